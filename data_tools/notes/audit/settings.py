"""The settings of the audit, checked before anything long begins."""

from __future__ import annotations

from difflib import get_close_matches

from data_tools.config import AuditConfig
from data_tools.notes.audit.findings import KINDS
from data_tools.notes.registry import strategy_of
from mmfm.errors import ConfigError


def check_settings(cfg: AuditConfig) -> None:
    """Raise `ConfigError` for a kind of finding, or a note, that does not exist: it would refuse nothing.

    Nor would a limit without that which it needs.
    """
    for kind in cfg.refuse:
        if kind not in KINDS:
            close = get_close_matches(kind, KINDS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"audit.refuse: {kind!r} is none of {', '.join(KINDS)}.{hint}")
    if cfg.min_similarity and not cfg.encoder:
        raise ConfigError(
            f"audit.min_similarity={cfg.min_similarity:g} needs a text encoder: say audit.encoder=minilm, or "
            "a folder that holds one"
        )
    if "judge" in cfg.refuse and not cfg.judge:
        raise ConfigError("audit.refuse: 'judge' needs one: say audit.judge=WRITER, one of `writers`")
    for key, names in (("exempt", cfg.exempt), ("hidden", cfg.hidden)):
        for name in names:
            try:
                strategy_of(name)
            except ConfigError as error:
                raise ConfigError(f"audit.{key}: {error}") from error
