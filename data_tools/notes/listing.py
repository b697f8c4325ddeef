"""Notes for people: what a store holds, and what the first records of a recipe get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent

from rich.markup import escape
from rich.table import Table

from data_tools.config import ShardsConfig
from data_tools.notes.asking import Questions, asked_notes
from data_tools.notes.meter import money
from data_tools.notes.registry import write_notes
from data_tools.notes.store import Entry, NoteStore
from data_tools.notes.strategies.shuffled import NAME as CONTROL
from data_tools.notes.strategy import Settings
from data_tools.shards.inputs import Inputs, read_samples


@dataclass
class Tally:
    """The notes of one name by one model. Tokens and cost are those of all answers, also of replaced ones."""

    notes: int = 0
    cut: int = 0  # notes that met the limit of tokens
    failed: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


@dataclass
class Listing:
    """What a store holds."""

    store: NoteStore
    tallies: dict[tuple[str, str], Tally]  # by name of the note, and model

    @classmethod
    def of(cls, folder: Path) -> Listing:
        """Read the store in `folder`. Raises `DataError` if there is none."""
        store = NoteStore.existing(folder)
        tallies: dict[tuple[str, str], Tally] = {}
        for entry in store.entries():
            tally = tallies.setdefault((entry.name, entry.model), Tally())
            if entry.failure:
                tally.failed[entry.failure] += 1
            else:
                tally.notes += 1
                tally.cut += entry.finish == "length"
        for entry in store.all_lines():
            tally = tallies.setdefault((entry.name, entry.model), Tally())
            tally.tokens_in += entry.tokens_in
            tally.tokens_out += entry.tokens_out
            tally.cost += entry.cost
        return cls(store, dict(sorted(tallies.items())))

    def table(self) -> Table:
        """A row for each name and model."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("note", "model"):
            table.add_column(name, overflow="fold")
        for name in ("notes", "cut", "failed", "tokens asked", "answered", "cost"):
            table.add_column(name, justify="right")
        table.add_column("failures")
        for (name, model), tally in self.tallies.items():
            kinds = ", ".join(f"{kind} {count}" for kind, count in tally.failed.most_common())
            counts = (tally.notes, tally.cut, tally.failed.total(), tally.tokens_in, tally.tokens_out)
            cost = money(tally.cost) if tally.cost else "-"
            table.add_row(
                escape(name), escape(model), *(f"{count:,}" for count in counts), cost, escape(kinds)
            )
        return table

    def remarks(self) -> list[str]:
        """What the table cannot tell."""
        cut = any(tally.cut for tally in self.tallies.values())
        return [
            *(["cut: notes that met max_tokens before they ended"] if cut else []),
            *([f"{self.store.damaged} damaged lines are passed over"] if self.store.damaged else []),
        ]


def shown(cfg: ShardsConfig, count: int, prompts: bool = False) -> Iterator[str]:
    """Lines with the notes of the first `count` records of each source and, if asked for, the prompts.

    Raises `ConfigError` for names and writers that cannot be used, before any table is read.
    """
    asked_notes(cfg, to_write=False)
    inputs = read_samples(cfg)
    samples = [(sample.record, sample.image) for sample in inputs.samples]
    chosen = _first(inputs, count)
    questions = Questions(cfg, samples, to_write=False)
    stored = _stored(cfg, questions, chosen)
    for number in chosen:
        record, _ = samples[number]
        yield record.key
        written = write_notes(record, cfg.notes, Settings(graph=cfg.graph))
        for name in cfg.notes:
            text = written[name].text if name in written else _told(name, stored.get((number, name)))
            yield f"  {name}  {text}"
        for asked in questions.asked if prompts else []:
            prompt = questions.prompt(asked, number)
            yield f"  {asked.name} is asked{', with the picture' if prompt.image else ''}:"
            yield indent(f"system: {prompt.system}\nuser: {prompt.user}", "    | ", lambda line: True)


def _told(name: str, entry: Entry | None) -> str:
    """What is known of a note that no template writes."""
    if name == CONTROL:
        return "(the note of another lesion, dealt when shards are written)"
    if entry is None:
        return "(not written yet)"
    return f"(failed: {entry.failure}: {entry.detail})" if entry.failure else entry.text


def _first(inputs: Inputs, count: int) -> list[int]:
    """Numbers of the first samples of each source."""
    taken: Counter[int] = Counter()
    chosen = []
    for number, sample in enumerate(inputs.samples):
        taken[sample.source] += 1
        if taken[sample.source] <= count:
            chosen.append(number)
    return chosen


def _stored(cfg: ShardsConfig, questions: Questions, chosen: list[int]) -> dict[tuple[int, str], Entry]:
    """What the store has of the chosen samples, by number and name of the note."""
    if not questions.asked or not cfg.store or not Path(cfg.store).is_dir():
        return {}
    about = list(questions.about(chosen))
    entries = NoteStore(cfg.store).get_all(question.key for question in about)
    return {(one.number, one.asked.name): entries[one.key] for one in about if one.key in entries}
