"""The pieces below the page: axes, numbers, metrics files and the interval of a drop."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfm.evaluation.results import Outcome, Result, Slice
from mmfm.evaluation.suitefile import SuiteFile
from mmfm.reports import format as fmt
from mmfm.reports.charts import line_chart, nice_ticks, running_mean
from mmfm.reports.findings import drops, headline, headlines
from mmfm.reports.runs import Run, read_runs
from mmfm.reports.summary import training_line

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@given(FINITE, FINITE)
def test_ticks_cover_the_values_and_ascend(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    if 0 < high - low < 1e-6 * max(abs(low), abs(high)):
        return  # closer than a label can tell
    ticks = nice_ticks(low, high)
    room = 1e-8 * (ticks[-1] - ticks[0]) + fmt.TINY  # less than is seen
    assert ticks[0] <= low + room and ticks[-1] >= high - room
    assert all(x < y for x, y in pairwise(ticks))
    assert 2 <= len(ticks) <= 12


@given(st.lists(FINITE, min_size=1, max_size=600))
def test_charts_draw_any_series(values: list[float]) -> None:
    svg = line_chart([(float(i), v) for i, v in enumerate(values)], "loss", smooth=True)
    assert svg.startswith("<svg") and "nan" not in svg and "inf" not in svg


def test_running_mean_keeps_a_constant() -> None:
    assert running_mean([(float(i), 2.0) for i in range(100)]) == [(float(i), 2.0) for i in range(100)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0005, "5e-4"), (0.00123, "0.00123"), (14.3, "14.3"), (12000, "12k"), (-0.25, "-0.25")],
)
def test_compact_labels(value: float, text: str) -> None:
    assert fmt.compact(value) == text


def test_metrics_keep_the_later_line_of_a_step_and_forgive_a_cut_end(tmp_path: Path) -> None:
    lines = [
        {"step": 10, "loss": 3.0},
        {"step": 20, "loss": 9.0},
        {"step": 20, "loss": 2.0},
        {"step": 30, "loss": math.nan},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4')
    (run,) = read_runs(tmp_path)
    assert run.series("loss") == [(10.0, 3.0), (20.0, 2.0)]


def _run(*results: Result) -> Run:
    return Run("r", "pretrain", Path("r"), suites=[SuiteFile("zeroshot", 1, "clean", Outcome(list(results)))])


def _result(part: Slice, n: int, value: float, low: float, high: float) -> Result:
    return Result("balanced_accuracy", "Balanced accuracy", part, n, n, 5, value, low, high, 0.2)


INSIDE = Slice("a", "dermoscopic", False)
LARGER = Slice("b", "dermoscopic", False)
SHIFTED = Slice("c", "clinical", True)


def test_headline_takes_the_joint_slice_then_the_largest_and_never_a_shifted_one() -> None:
    single = (
        _result(INSIDE, 10, 0.9, 0.8, 1.0),
        _result(LARGER, 50, 0.5, 0.4, 0.6),
        _result(SHIFTED, 99, 0.1, 0, 0.2),
    )
    found = headline([_run(*single)], "zeroshot", "balanced_accuracy")
    assert found is not None and found.result.slice == LARGER
    joint = _result(Slice("all", "all", False), 40, 0.6, 0.5, 0.7)
    found = headline([_run(*single, joint)], "zeroshot", "balanced_accuracy")
    assert found is not None and found.result == joint
    assert headline([_run(single[2])], "zeroshot", "balanced_accuracy") is None


def test_headlines_have_the_pick_of_each_suite_and_each_shift() -> None:
    joint = _result(Slice("all", "all", False), 40, 0.6, 0.5, 0.7)
    rows = [_result(INSIDE, 10, 0.9, 0.8, 1.0), joint, _result(SHIFTED, 99, 0.1, 0, 0.2)]
    other = [
        Result("accuracy", "Accuracy", LARGER, 9, 9, 5, 0.5, 0.4, 0.6, 0.2),
        Result("recall_at_10", "R@10", INSIDE, 9, 9, 5, 0.5, 0.4, 0.6, 0.2, "image to note"),
        Result("recall_at_10", "R@10", LARGER, 99, 9, 5, 0.5, 0.4, 0.6, 0.2, "image to note"),
        Result("recall_at_10", "R@10", INSIDE, 9, 9, 5, 0.5, 0.4, 0.6, 0.2, "note to image"),
    ]
    run = _run(*rows, *other)
    found = headlines([run])
    assert [one.result for one in found] == [joint, rows[2], other[2]]
    picked = headline([run], "zeroshot", "balanced_accuracy")
    assert picked is not None and picked.result == found[0].result  # the report's cards say the same


def test_drop_joins_both_intervals() -> None:
    (drop,) = drops([_run(_result(INSIDE, 10, 0.6, 0.57, 0.64), _result(SHIFTED, 10, 0.4, 0.36, 0.43))])
    assert drop.value == pytest.approx(-0.2)
    assert drop.low == pytest.approx(-0.2 - math.hypot(0.04, 0.04))
    assert drop.high == pytest.approx(-0.2 + math.hypot(0.03, 0.03))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([0, 0], ""),
        ([0, 2, 5], "5 unreadable samples replaced"),
        ([3, 4, 1, 2], "6 unreadable samples replaced"),  # started again after 4
    ],
)
def test_unreadable_samples_are_told_if_there_are_any(counts: list[int], said: str) -> None:
    metrics = [{"step": step, "corrupt": float(count)} for step, count in enumerate(counts, start=1)]
    line = training_line(Run("r", "pretrain", Path("r"), metrics=metrics))
    assert said in line and ("unreadable" in line) == bool(said)
