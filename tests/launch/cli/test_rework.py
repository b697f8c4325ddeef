"""`mmfm data mix | reshard | browse`: words to wishes, and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_shards import write_tiny

from data_tools.shards.verify import verify
from launch.cli import main
from mmfm.records import Record


def folder(path: Path, dataset: str, samples: int) -> Path:
    return write_tiny(
        path, {"train": [Record(dataset, str(i), "drawn", label=i % 8) for i in range(samples)]}
    )


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_mix_says_what_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, new = folder(tmp_path / "a", "x", 8), folder(tmp_path / "b", "y", 8), tmp_path / "new"
    words = (
        "--output",
        new,
        "--where",
        "label=BEK,DF",
        "dataset=x,y",
        "label=NEV",
        "--take",
        "b=2",
        "--samples-per-shard",
        2,
    )
    code, out, _ = run(capsys, "data", "mix", a, f"b={b}", *words)
    assert code == 0
    assert out.splitlines() == [
        f"{new}: train 5, val 0, test 0 samples in 3 shards",
        "  a: 3 of 8; left out: filter 5",
        "  b: 2 of 8; left out: filter 5, share 1",
    ]
    assert verify(new, workers=1) == []


def test_reshard_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = folder(tmp_path / "old", "x", 8), tmp_path / "new"
    code, out, _ = run(capsys, "data", "reshard", old, "--output", new, "--samples-per-shard", 3)
    assert (code, out) == (0, f"{new}: train 8, val 0, test 0 samples in 3 shards\n  old: 8 of 8\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "a=0"], "0 must be above 0"),
        (["--weights", "a"], "'a' is not NAME=VALUE"),
        (["--weights", "a=x"], "'x' is no number"),
        (["--take", "a=-1"], "-1 is too small"),
        (["--take", "a=1,a=2"], "a is there twice"),
        (["--take", "a=1", "--weights", "a=1"], "not allowed with"),
        (["--thin", ","], "names at least one"),
    ],
)
def test_options_that_cannot_be_read(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["data", "mix", "a", "--output", "b", *words])
    assert left.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mix", "nowhere", "--output", "new"], "no folder of shards at nowhere"),
        (["mix", "nowhere", "--output", "new", "--where", "sex"], "it takes FIELD=VALUE"),
        (["mix", "nowhere", "--output", "new", "--where", "sex=female,"], "it takes FIELD=VALUE"),
        (["reshard", "nowhere", "--output", "new"], "no folder of shards at nowhere"),
        (["browse", "nowhere"], "no folder of shards at nowhere"),
        (["stats", "nowhere", "--json"], "no folder of shards at nowhere"),
    ],
)
def test_mistakes_are_told_in_a_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, messages = run(capsys, "data", *words)
    assert code == 2
    assert message in messages
    assert "Traceback" not in messages
