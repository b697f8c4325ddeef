from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmfm.errors import CheckpointError
from mmfm.training.metrics import MetricsWriter


def writer(folder: Path, step: int) -> MetricsWriter:
    return MetricsWriter(folder / "metrics.jsonl", folder / "tb", step, 9)


def test_going_on_keeps_each_step_once(tmp_path: Path) -> None:
    first = writer(tmp_path, 0)
    for step in (1, 2, 3):
        first.write(step, {"loss": 1.0 * step, "lr": 0.1, "samples_per_s": 5.0})
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed while writing
    second = writer(tmp_path, 2)
    second.write(3, {"loss": 7.0, "lr": 0.1, "samples_per_s": 5.0})
    second.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 1.0), (2, 2.0), (3, 7.0)]


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n')
    with pytest.raises(CheckpointError, match=r"line 2 of .*metrics\.jsonl"):
        writer(tmp_path, 5)


def test_a_full_disk_ends_neither_training_nor_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = writer(tmp_path, 0)
    room = ours._file.fileno()
    spare = os.dup(room)
    full = os.open("/dev/full", os.O_WRONLY)
    values = {"loss": 1.0, "lr": 0.1, "samples_per_s": 5.0}
    ours.write(1, values)
    os.dup2(full, room)
    ours.write(2, values)
    assert "No space left on device" in capsys.readouterr().err
    os.dup2(spare, room)
    ours.write(3, values)
    ours.close()
    os.close(full)
    os.close(spare)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
