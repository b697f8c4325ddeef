"""Mixtures: names that stand for several notes, of which each sample gets one at each of its turns.

`LM` of `data.notes` is `L1`, `L2` and `M` in equal shares. With the name of a writer behind it, `LM-gemma`,
it is those that this writer wrote: `L1-gemma`, `L2-gemma` and `M`, which needs no writer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmfm.errors import ConfigError

WITHOUT_WRITER = ("M", "R")  # notes that no language model writes
MIXTURES: dict[str, tuple[str, ...]] = {
    "L": ("L1", "L2"),
    "LM": ("L1", "L2", "M"),
    "meta": ("L1", "L2"),
    "all": ("L1", "L2", "M"),
    "SM": ("S1", "M"),
    "DM": ("D1", "M"),
}
# These take what the shards have of the strategies that tell a language model the metadata, by any writer.
WHOLE: dict[str, tuple[str, ...]] = {
    "whole": ("L1", "L2", "S1", "D1"),
    "whole_all": ("L1", "L2", "S1", "D1", "M"),
}


def expand(shares: Mapping[str, float], there: Sequence[str]) -> dict[str, float]:
    """The share of each note, with mixtures split evenly over their notes; `there`: the notes of the shards.

    A name that the shards have is that note, whatever else it could mean, and a name that means nothing stays
    as it is. Raises `ConfigError` where the shards lack a note of a mixture.
    """
    found: dict[str, float] = {}
    for name, share in shares.items():
        notes = [name] if name in there else _notes_of(name, there)
        for note in notes:
            found[note] = found.get(note, 0.0) + share / len(notes)
    return found


def _notes_of(name: str, there: Sequence[str]) -> list[str]:
    mixture, _, writer = name.partition("-")
    if mixture in WHOLE:
        return _whole(name, WHOLE[mixture], writer, there)
    if mixture not in MIXTURES:
        return [name]
    notes = [_by(note, writer) for note in MIXTURES[mixture]]
    missing = [note for note in notes if note not in there]
    if missing:
        raise ConfigError(
            f"data.notes: {name} mixes {', '.join(notes)}, and the shards lack {', '.join(missing)}; "
            f"they have the notes {', '.join(there) or 'of no strategy'}"
        )
    return notes


def _whole(name: str, strategies: Sequence[str], writer: str, there: Sequence[str]) -> list[str]:
    notes = [note for note in there if _belongs(note, strategies, writer)]
    if set(notes) <= set(WITHOUT_WRITER):  # M alone is no mixture
        raise ConfigError(
            f"data.notes: {name} mixes all notes of {', '.join(WHOLE['whole'])}"
            f"{f' by {writer}' if writer else ''}, and the shards have none of these; they have the notes "
            f"{', '.join(there) or 'of no strategy'}"
        )
    return sorted(notes)


def _belongs(note: str, strategies: Sequence[str], writer: str) -> bool:
    strategy = note.partition("-")[0]
    return strategy in strategies and (not writer or note == _by(strategy, writer))


def _by(strategy: str, writer: str) -> str:
    return f"{strategy}-{writer}" if writer and strategy not in WITHOUT_WRITER else strategy
