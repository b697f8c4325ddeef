"""The opening of a report in plain English: what was trained on what, and the headline numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from mmfm.evaluation.results import ALL, IMAGE_TO_NOTE, Result, dataset_name
from mmfm.reports import format as fmt
from mmfm.reports.findings import (
    BALANCED,
    MAIN_RETRIEVAL,
    RECALL_AT,
    Drop,
    Found,
    drops,
    headline,
)
from mmfm.reports.runs import EVALUATE, FINETUNE, PRETRAIN, Run
from mmfm.reports.shards import ShardsView

INPUTS = {"image": "images", "note": "notes", "both": "images and notes together"}


@dataclass(frozen=True)
class Card:
    """A headline number with its 95% interval, as text, and what to draw below it."""

    title: str
    value: str
    interval: str
    detail: str
    result: Result | None = None  # drawn as a dot with whiskers
    drop: Drop | None = None  # drawn as a way from one mark to another


def sentences(runs: list[Run], shards: ShardsView | None) -> list[str]:
    """The summary, sentence by sentence."""
    said = [_pretrained(run, shards) for run in runs if run.kind == PRETRAIN and run.metrics]
    said += [_finetuned(run) for run in runs if run.kind == FINETUNE and run.metrics]
    if not said:
        said.append("No training metrics were found in this folder.")
    said += _findings(runs)
    if not any(run.suites for run in runs):
        said.append("Nothing has been evaluated yet: `mmfm evaluate` fills in the results below.")
    return said


def cards(runs: list[Run]) -> list[Card]:
    """The headline numbers that exist."""
    tuned = headline(runs, "classify", BALANCED) or headline(runs, "probe", BALANCED)
    found = [
        ("Zero-shot balanced accuracy", headline(runs, "zeroshot", BALANCED)),
        (
            f"Retrieval R@{RECALL_AT}, image to note",
            headline(runs, "retrieval", MAIN_RETRIEVAL, IMAGE_TO_NOTE),
        ),
        (f"{_tuned_name(tuned)} balanced accuracy", tuned),
    ]
    shown = [_card(title, each.result) for title, each in found if each is not None]
    worst = drops(runs)[:1]
    return shown + [_shift_card(drop) for drop in worst]


def training_line(run: Run) -> str:
    """How a run went, in one line: steps, samples, rate, waiting, time."""
    last = run.metrics[-1]
    parts = [f"{fmt.count(last['step'])} of {fmt.count(run.get('train.steps', last['step']))} steps"]
    if last.get("samples"):
        parts.append(f"{fmt.count(last['samples'])} samples")
    if last.get("epoch"):
        parts.append(f"{last['epoch']:.3g} epochs")
    rates = sorted(value for _, value in run.series("samples_per_s"))
    if rates:
        parts.append(f"median {fmt.compact(rates[len(rates) // 2])} samples/s")
    waits = [value for _, value in run.series("data_wait_share")]
    if waits:
        parts.append(f"{fmt.percent(sum(waits) / len(waits))} of the time waiting for data")
    peaks = [value for _, value in run.series("memory_mb")]
    if peaks:
        parts.append(f"peak memory {fmt.count(max(peaks))} MiB per process")
    corrupt = _counted([value for _, value in run.series("corrupt")])
    if corrupt:
        parts.append(f"{fmt.count(corrupt)} unreadable samples replaced")
    times = [value for _, value in run.series("time")]
    if len(times) > 1:
        parts.append(f"{fmt.duration(times[-1] - times[0])} from the first log line to the last")
    return " · ".join(parts)


def _counted(values: list[float]) -> float:
    """Total of a counter that each start of a run begins at 0 again: there it falls."""
    return sum(value - before if value >= before else value for before, value in pairwise([0.0, *values]))


def quote(result: Result, digits: int = 2) -> str:
    """A number as text carries it: "0.62 [0.58, 0.66], chance 0.125 over 8 classes, n = 900"."""
    over = f"among {fmt.count(result.pool)} items" if result.pool else f"over {result.classes} classes"
    value = f"{fmt.share(result.value, digits)} {fmt.interval(result.low, result.high, digits)}"
    return f"{value}, chance {fmt.share(result.chance)} {over}, n = {fmt.count(result.n)}"


def _pretrained(run: Run, shards: ShardsView | None) -> str:
    last = run.metrics[-1]
    text = f"An image tower and a text tower were pretrained together for {fmt.count(last['step'])} steps"
    batch = run.get("train.global_batch")
    text += f" of {fmt.count(batch)} pairs" if batch else ""
    sets = shards.datasets(str(run.get("data.split", "train"))) if shards else {}
    if sets:
        names = fmt.listing([f"{dataset_name(name)} ({fmt.count(n)})" for name, n in sets.items()])
        text += f", on {fmt.count(sum(sets.values()))} images with a note each, from {names}"
    return text + "."


def _finetuned(run: Run) -> str:
    inputs = INPUTS.get(str(run.get("task.inputs")), "the samples")
    start = "from the pretrained towers" if run.get("init") else "from random weights"
    return f"A classifier of {inputs} was trained {start} for {fmt.count(run.metrics[-1]['step'])} steps."


def _findings(runs: list[Run]) -> list[str]:
    said = []
    if zero := headline(runs, "zeroshot", BALANCED):
        said.append(
            f"Asked by prompts {_on(zero)} it reaches a zero-shot balanced accuracy of {quote(zero.result)}."
        )
    if found := headline(runs, "retrieval", MAIN_RETRIEVAL, IMAGE_TO_NOTE):
        share = f"The share of images that find their own note among the first {RECALL_AT}"
        said.append(f"{share} is {quote(found.result)}.")
    if tuned := headline(runs, "classify", BALANCED):
        said.append(f"Fine-tuned, balanced accuracy is {quote(tuned.result)}.")
    elif probe := headline(runs, "probe", BALANCED):
        said.append(f"A linear probe on the frozen image features reaches {quote(probe.result)}.")
    if worst := drops(runs)[:1]:
        said.append(_drop_sentence(worst[0]))
    return said


def _drop_sentence(drop: Drop) -> str:
    what = f"balanced accuracy of the {drop.suite.title.lower()} goes {_move(drop)}"
    if drop.value >= 0:
        return f"Balanced accuracy is not lower under domain shift: on {drop.outside.slice.name}, {what}."
    return (
        f"The largest drop under domain shift is on {drop.outside.slice.name}: {what}, "
        f"a change of {fmt.signed(drop.value)}{_ends(drop)}."
    )


def _on(found: Found) -> str:
    if found.result.slice.dataset == ALL:
        return "on the test samples of all sets trained on,"
    return f"on the test samples of {found.result.slice.name},"


def _tuned_name(found: Found | None) -> str:
    return "Fine-tuned" if found is not None and found.suite.name == "classify" else "Linear probe"


def _card(title: str, result: Result) -> Card:
    over = f"among {fmt.count(result.pool)}" if result.pool else f"over {result.classes} classes"
    chance = f"chance {fmt.share(result.chance)} {over}"
    detail = " · ".join((result.slice.name, f"n = {fmt.count(result.n)}", chance))
    return Card(title, fmt.share(result.value, 2), fmt.interval(result.low, result.high, 2), detail, result)


def _shift_card(drop: Drop) -> Card:
    title = "Largest drop under domain shift" if drop.value < 0 else "Smallest change under domain shift"
    where = f"{drop.outside.slice.name} · n = {fmt.count(drop.outside.n)}"
    detail = f"{where} · {drop.suite.title}, balanced accuracy {_move(drop)}"
    return Card(title, fmt.signed(drop.value), _ends(drop).strip(), detail, drop=drop)


def _move(drop: Drop) -> str:
    return f"from {fmt.share(drop.inside.value, 2)} to {fmt.share(drop.outside.value, 2)}"


def _ends(drop: Drop) -> str:
    return f" [{fmt.signed(drop.low)}, {fmt.signed(drop.high)}]"


def kinds(runs: list[Run]) -> str:
    """What the folder holds, for the subtitle."""
    names = {PRETRAIN: "pretraining", FINETUNE: "fine-tuning", EVALUATE: "evaluation"}
    seen = dict.fromkeys(names[run.kind] for run in runs)
    if any(run.suites for run in runs):
        seen["evaluation"] = None
    return fmt.listing(list(seen))
