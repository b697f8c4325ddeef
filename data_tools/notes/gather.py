"""The notes of samples from wherever they come: templates, the store of language models, other lesions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data_tools.config import ShardsConfig
from data_tools.notes.asking import Questions, asked_notes
from data_tools.notes.registry import strategy_of, write_notes
from data_tools.notes.store import Entry, NoteStore
from data_tools.notes.strategies.shuffled import NAME as CONTROL
from data_tools.notes.strategies.shuffled import shuffled
from data_tools.notes.strategy import Settings
from mmfm.config.load import require
from mmfm.errors import DataError
from mmfm.progress import say, track
from mmfm.records import Note, Record


def notes_of(cfg: ShardsConfig, samples: Sequence[tuple[Record, Path]]) -> list[dict[str, Note]]:
    """The notes of each sample by name, in the order of `cfg.notes`.

    Templates are written here, answers of models are looked up in `cfg.store`, and R comes last, from the
    others. A note that the store does not have is missing, and counted in a line. Raises `DataError` where
    it has none at all of one name, `ConfigError` for names and writers that cannot be used.
    """
    check_notes(cfg)
    settings = Settings(graph=cfg.graph)
    notes = [write_notes(record, cfg.notes, settings) for record, _ in track(samples, "writing notes")]
    if asked_notes(cfg):
        _add_stored(cfg, samples, notes)
    if CONTROL in cfg.notes:
        for own, note in zip(notes, shuffled([record for record, _ in samples], notes), strict=True):
            if note is not None:
                own[CONTROL] = note
    return [{name: own[name] for name in cfg.notes if name in own} for own in notes]


def check_notes(cfg: ShardsConfig) -> None:
    """Refuse names of notes that cannot be gathered, before any table is read.

    Raises `ConfigError` for names and writers that cannot be used, and `DataError` where there is no store.
    """
    for name in cfg.notes:
        strategy_of(name)
    if not asked_notes(cfg):
        return
    require(cfg, "store")
    if not Path(cfg.store).is_dir():
        raise DataError(
            f"there is no store {cfg.store}: `mmfm notes write RECIPE store={cfg.store}` makes one, with the "
            "notes of language models that the recipe names"
        )


def note_of(entry: Entry, writer: str, identity: str) -> Note:
    """The note of an entry in the store. Its provenance holds no times, no costs and no places.

    A local model goes by the name of its folder and by its content, `identity`: the folder may lie anywhere.
    """
    local = entry.backend == "local"
    provenance = {
        "backend": entry.backend,
        "writer": writer,
        "model": Path(entry.model).name if local else entry.model,
        **({"identity": identity} if local else {}),
        "version": entry.version,
        "prompt": entry.prompt,
        "decoding": entry.decoding,
        "facts": entry.facts,
        "finish": entry.finish,
        "key": entry.key,
    }
    text = entry.text.encode(errors="replace").decode()  # half a character would not go into a shard
    return Note(entry.name.partition("-")[0], text, provenance)


def _add_stored(
    cfg: ShardsConfig, samples: Sequence[tuple[Record, Path]], notes: Sequence[dict[str, Note]]
) -> None:
    store = NoteStore.existing(cfg.store)
    recipe = Questions(cfg, samples)
    questions = list(track(recipe, "looking up notes"))
    entries = store.get_all(question.key for question in questions)
    missing: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for question in questions:
        name, entry = question.asked.name, entries.get(question.key)
        if entry is not None and not entry.failure:
            writer = question.asked.writer_name
            notes[question.number][name] = note_of(entry, writer, recipe.models[writer])
            continue
        missing[name] += 1
        failed[name] += entry is not None
    _tell_missing(cfg, missing, failed, len(samples))


def _tell_missing(cfg: ShardsConfig, missing: Counter[str], failed: Counter[str], samples: int) -> None:
    """Say which notes are missing. Raises `DataError` where all of one name are."""
    if not missing:
        return
    parts = [
        f"{name} {count} of {samples}" + (f" ({failed[name]} failed)" if failed[name] else "")
        for name, count in missing.items()
    ]
    message = f"{cfg.store} lacks notes of this recipe: {', '.join(parts)}. `mmfm notes write` writes them"
    if samples in missing.values():
        raise DataError(
            f"{message}; it needs the same recipe and overrides: another prompt, model or decoding is "
            "another note"
        )
    say(message)
