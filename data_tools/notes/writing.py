"""`mmfm notes write`: asks language models for the notes that a recipe names and the store lacks."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

from data_tools.config import PrepareConfig, ShardsConfig, WriterConfig
from data_tools.notes.asking import Asked, Question, Questions, asked_notes
from data_tools.notes.backends import Answer, Backend, Failure, Request
from data_tools.notes.keys import decoding, seed_of
from data_tools.notes.meter import Meter, money
from data_tools.notes.store import WRITTEN, Entry, NoteStore
from data_tools.notes.strategy import Prompt, UnusableAnswerError
from data_tools.shards.inputs import read_samples
from data_tools.shards.plan import identity
from data_tools.shards.rejects import check_rejects
from mmfm.config.load import require
from mmfm.errors import ConfigError, DataError, UserError
from mmfm.files import write_atomically
from mmfm.progress import say, track
from mmfm.records import Record

REFRESH_SECONDS = 5.0  # how often a look is taken at what other processes have written
UNUSABLE = "unusable"  # the failure of an answer that cannot become a note
SAME_NOTES_KEYS = ("audit", "split", "dedup", "pack")  # of what identifies shards


class Askable(Protocol):
    """What can be asked about samples: `Questions`, or what is like them."""

    @property
    def samples(self) -> Sequence[tuple[Record, Path]]:
        """Records with the pictures that prompts may show."""

    def prompt(self, asked: Asked, number: int) -> Prompt:
        """What is asked about a sample."""


@dataclass
class Summary:
    """What a run came to. `there` notes had been written before; `failed` counts by kind."""

    done: str = "written"  # or "judged"
    there: int = 0
    written: int = 0
    left_out: int = 0  # failed before, and not asked for again
    failed: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, meter: Meter) -> None:
        """Take what was counted for one writer."""
        self.there += meter.passed
        self.written += meter.written
        self.failed += meter.failed
        self.tokens_in += meter.tokens_in
        self.tokens_out += meter.tokens_out
        self.cost += meter.cost
        self.seconds += meter.seconds

    def __str__(self) -> str:
        parts = [f"{self.written} notes {self.done}, {self.there} were there"]
        if self.failed:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.failed.most_common())
            parts.append(f"{self.failed.total()} failed ({kinds})")
        if self.left_out:
            parts.append(f"{self.left_out} failed before and were left out")
        if self.tokens_in or self.tokens_out:
            parts.append(f"{self.tokens_in} tokens asked, {self.tokens_out} answered")
        if self.cost:
            parts.append(f"cost {money(self.cost)}")
        return "; ".join(parts)


def write_notes(cfg: ShardsConfig, share: tuple[int, int] = (0, 1)) -> Summary:
    """Write the notes of `cfg` that the store lacks; `share` (number, of) takes a part of them.

    Every answer is on disk before it counts, so the run may be killed at any point: the same call goes on.
    What failed before is asked for again, but for writers with `retry_failed=false`. Raises `ConfigError`
    where no note needs a model, `UserError` where a backend cannot go on, `DataError` where too many rows of
    a source cannot be used, or every answer failed; what was written stays.
    """
    require(cfg, "root", "store")
    if not asked_notes(cfg):
        raise ConfigError(
            f"notes=[{','.join(cfg.notes)}]: no language model writes these. Name some that one does, such "
            "as notes=[L1,OL]"
        )
    inputs = read_samples(cfg)
    check_rejects(inputs.sources, cfg.max_reject_share)
    samples = [(sample.record, sample.image) for sample in inputs.samples]
    questions, summary = Questions(cfg, samples), Summary()
    with NoteStore(cfg.store) as store, said_when_stopped(store):
        everything = list(track(questions, "looking for notes"))
        write_answers(questions, everything, store, cfg.prepare, summary, share)
        if share == (0, 1):
            _write_down(cfg, everything, store)
    return summary


def write_answers(
    questions: Askable,
    everything: Sequence[Question],
    store: NoteStore,
    prepare: PrepareConfig,
    summary: Summary,
    share: tuple[int, int] = (0, 1),
) -> None:
    """Ask what the store has no answer to, of `everything` that `questions` hold, and count in `summary`.

    Raises as `write_notes`.
    """
    todo = _todo(everything, store, share, summary)
    if todo:
        store.check_writable()
    writers = {question.asked.writer_name: question.asked.writer for question in todo}
    costs = _costs(everything, store) if any(one.server.budget for one in writers.values()) else {}
    parts = {name: _part_of(name, one, share, costs.get(name, {})) for name, one in writers.items()}
    backends = {name: backend_of(part, prepare) for name, part in parts.items()}
    for name, backend in backends.items():
        mine = _in_order(question for question in todo if question.asked.writer_name == name)
        with Meter(f"{_names(mine)} by {writers[name].model}", len(mine)) as meter:
            _write(questions, mine, store, backend, meter)
        summary.add(meter)
    store.refresh()
    if summary.failed and not summary.written + summary.there:
        raise _nothing_but_failures(store, summary)


def written_path(cfg: ShardsConfig) -> Path:
    """The file that says that all notes of a recipe were asked for, and what came of it."""
    values = {key: value for key, value in identity(cfg).items() if key not in SAME_NOTES_KEYS}
    values["root"] = cfg.root
    values["models"] = {name: writer.model for name, writer in cfg.writers.items()}
    return Path(cfg.store) / WRITTEN / f"{_digest(json.dumps(values, sort_keys=True))}.json"


def backend_of(writer: WriterConfig, prepare: PrepareConfig) -> Backend:
    """The language model of a writer."""
    if writer.backend == "local":
        from data_tools.notes.backends.local import LocalBackend

        return LocalBackend(writer, prepare)
    from data_tools.notes.backends.server import ServerBackend

    return ServerBackend(writer, prepare)


def _todo(
    questions: Sequence[Question], store: NoteStore, share: tuple[int, int], summary: Summary
) -> list[Question]:
    """The questions of this share that the store has no note for, each once."""
    number, of = share
    todo: dict[str, Question] = {}
    for question in questions:
        if _share_of(question.key, of) != number or question.key in todo:
            continue
        if question.key in store:
            summary.there += 1
        elif store.has_failed(question.key) and not question.asked.writer.retry_failed:
            summary.left_out += 1
        else:
            todo[question.key] = question
    return list(todo.values())


def _in_order(questions: Iterable[Question]) -> list[Question]:
    """In which order this process asks one writer.

    Of a server lesion by lesion in an order of its own: several processes on one store seldom ask the same
    within `REFRESH_SECONDS`. Of a local model in the order of the recipe, on which its batches depend.
    """
    token = secrets.token_hex(8)

    def place(question: Question) -> bytes:
        if question.asked.writer.backend == "local":
            return b""
        return hashlib.blake2b(f"{token}:{question.number}".encode(), digest_size=8).digest()

    return sorted(questions, key=place)


def _write(
    questions: Askable, todo: Sequence[Question], store: NoteStore, backend: Backend, meter: Meter
) -> None:
    """Ask one writer, and add to the store what comes."""
    under_way: dict[str, tuple[Question, Prompt]] = {}

    def requests() -> Iterator[Request]:
        looked = time.monotonic()
        for question in todo:
            if time.monotonic() - looked > REFRESH_SECONDS:
                store.refresh()
                looked = time.monotonic()
            if question.key in store:
                meter.skip()
                continue
            prompt = questions.prompt(question.asked, question.number)
            under_way[question.key] = question, prompt
            image = questions.samples[question.number][1] if prompt.image else None
            yield Request(question.key, prompt, image, seed_of(question.key))

    outcomes = backend.answer(requests())
    with closing(cast("Generator[Answer | Failure]", outcomes)):
        for outcome in outcomes:
            question, prompt = under_way.pop(outcome.key)
            entry = _entry(question.asked, questions.samples[question.number][0].key, prompt, outcome)
            store.append(entry)
            meter.add(entry)
    assert not under_way, f"{len(under_way)} requests without an outcome"
    store.flush()


def _entry(asked: Asked, record: str, prompt: Prompt, outcome: Answer | Failure) -> Entry:
    """What is stored of an outcome."""
    entry = Entry(
        key=outcome.key,
        record=record,
        name=asked.name,
        version=prompt.version,
        prompt=prompt.digest,
        facts=prompt.facts,
        backend=asked.writer.backend,
        model=asked.writer.model,
        decoding=decoding(asked.writer),
        tries=outcome.tries,
        tokens_in=outcome.tokens_in,
        tokens_out=outcome.tokens_out,
        cost=outcome.cost,
    )
    if isinstance(outcome, Failure):
        return replace(entry, failure=outcome.kind, detail=outcome.detail)
    entry = replace(
        entry,
        answer=outcome.text,
        finish=outcome.finish,
        answered_by=outcome.model,
        seconds=outcome.seconds,
    )
    try:
        return replace(entry, text=asked.strategy.read(outcome.text, prompt))
    except UnusableAnswerError as error:
        return replace(entry, failure=UNUSABLE, detail=str(error))


def _share_of(key: str, of: int) -> int:
    """The number of the share of a key, of so many."""
    return int(key[:8], 16) % of


def _costs(everything: Sequence[Question], store: NoteStore) -> dict[str, dict[str, float]]:
    """What the answers in the store have cost: for each writer by key, over all tries of all runs."""
    costs: dict[str, dict[str, float]] = {}
    for question in everything:
        costs.setdefault(question.asked.writer_name, {})[question.key] = 0.0
    for entry in store.all_lines():
        for of_writer in costs.values():
            if entry.key in of_writer:
                of_writer[entry.key] += entry.cost
    return costs


def _part_of(
    name: str, writer: WriterConfig, share: tuple[int, int], costs: Mapping[str, float]
) -> WriterConfig:
    """The writer as one of several that share the limits of its account, with the budget that is left.

    `costs` are those of its notes so far, by key. Raises `UserError` where nothing is left.
    """
    server, (number, tasks) = writer.server, share
    part = replace(
        server,
        requests_per_minute=-(-server.requests_per_minute // tasks),
        tokens_per_minute=-(-server.tokens_per_minute // tasks),
    )
    if server.budget:
        spent = [0.0] * tasks
        for key, cost in costs.items():
            spent[_share_of(key, tasks)] += cost
        part = replace(part, budget=_left(server.budget, spent, number))
        if part.budget <= 1e-6 * server.budget:  # but for rounding
            raise UserError(
                f"the budget of {server.budget:g} is spent: answers to these questions by {name!r} have cost "
                f"{money(sum(spent))} so far. `writers.{name}.server.budget` allows more"
            )
    return replace(writer, server=part)


def _left(budget: float, spent: Sequence[float], number: int) -> float:
    """What the share of that number may still cost; all shares together no more than is left of `budget`.

    It does not rise by what other shares spend meanwhile, so that they may begin one after the other.
    """
    left = [max(0.0, budget / len(spent) - one) for one in spent]
    over = sum(left) - max(0.0, budget - sum(spent))  # what some have spent beyond their own part
    return left[number] * (1 - over / sum(left)) if left[number] else 0.0


def _names(questions: Sequence[Question]) -> str:
    return ", ".join(dict.fromkeys(question.asked.name for question in questions))


@contextmanager
def said_when_stopped(store: NoteStore) -> Iterator[None]:
    """Say what is safe when the block ends early."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, UserError) as error:
        store.flush()
        on = "" if isinstance(error, UserError) else "; the same command goes on from there"
        if on or store.durable:
            say(f"{store.durable} new answers are safe in {store.folder}{on}")
        raise


def _nothing_but_failures(store: NoteStore, summary: Summary) -> DataError:
    kind, count = summary.failed.most_common(1)[0]
    newest = max(
        (entry for entry in store.entries() if entry.failure == kind),
        key=lambda entry: entry.time,
    )
    return DataError(
        f"no note could be {summary.done}: all {summary.failed.total()} failed, {count} of them as {kind!r}, "
        f"the last ({newest.name} of {newest.record}): {newest.detail or 'no more is known'}"
    )


def _write_down(cfg: ShardsConfig, questions: Sequence[Question], store: NoteStore) -> None:
    """Write what is there of each note now, with a digest of the texts, for stages that come after."""
    keys = [(question.asked.name, question.key) for question in questions]
    found = store.read(key for _, key in keys)
    notes = {entry.key: _digest(entry.text) for entry in found if not entry.failure}
    counts = {
        name: {
            "notes": sum(key in notes for other, key in keys if other == name),
            "asked": sum(other == name for other, _ in keys),
        }
        for name in dict.fromkeys(name for name, _ in keys)
    }
    digest = _digest(json.dumps(sorted(notes.items())))
    write_atomically(written_path(cfg), json.dumps({"notes": counts, "digest": digest}, indent=1) + "\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:16]
