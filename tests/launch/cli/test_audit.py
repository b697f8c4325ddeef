"""`mmfm notes audit`: its files, its table, its messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.cli import main

DEMO = str(Path(__file__).parents[3] / "configs" / "data" / "demo.yaml")


def test_it_leaves_cards_refused_notes_and_a_page(
    raw_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [DEMO, f"root={raw_folder}", "notes=[M,R]", "audit.exempt=[]", "--workers", "1"]
    assert main(["notes", "audit", *words, "--limit", "6", "--output", str(tmp_path / "look")]) == 0
    told = capsys.readouterr().out
    cards = json.loads((tmp_path / "look" / "cards.json").read_text())
    assert cards["images"] == 12 and cards["settings"]["exempt"] == []
    by_name = {card["name"]: card["groups"][0] for card in cards["cards"]}
    assert by_name["M"]["refused"]["count"] == 0
    lines = [json.loads(line) for line in (tmp_path / "look" / "refused.jsonl").read_text().splitlines()]
    assert len(lines) == by_name["R"]["refused"]["count"] > 0  # notes of other lesions, no longer exempt
    assert all(line["note"] == "R" and line["reasons"] and line["text"] for line in lines)
    assert f"{len(lines)} refused notes" in told and "M" in told
    assert "on 12 images of Demo" in (tmp_path / "look" / "audit.html").read_text()


def test_a_note_that_is_none_is_named(
    raw_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [DEMO, f"root={raw_folder}", "notes=[M,Q]", "--output", str(tmp_path / "look")]
    assert main(["notes", "audit", *words]) == 2
    assert "'Q' is not a strategy" in capsys.readouterr().err
    assert not (tmp_path / "look").exists()


def test_sharding_tells_what_became_of_the_notes(
    raw_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [DEMO, f"root={raw_folder}", f"output={tmp_path / 'shards'}", "notes=[M,R]", "audit.exempt=[]"]
    assert main(["data", "shard", *words, "audit.refuse=[class]", "pack.workers=1"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "notes M: 160 packed" in told
    (control,) = (line for line in told if line.startswith("notes R: "))
    packed, refused = (int(part.split()[-2]) for part in control.split(" (class ")[0].split(","))
    assert packed + refused == 160 and refused > 80
    assert told[-1] == f"refused notes are kept, with reasons, in {tmp_path / 'shards'}/refused_notes.jsonl"
    lines = (tmp_path / "shards" / "refused_notes.jsonl").read_text().splitlines()
    assert len(lines) == refused


def test_the_audit_is_measured_on_planted_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is good enough is held where its rules are tested; here: the table and the exit code."""
    from data_tools.notes.audit import planted
    from data_tools.notes.audit.planted.measure import Measured, Row

    whole = planted.ALL
    rows = [Row(whole, "class", planted=10, found=9, right=9), Row(whole, "age", 4, 4, 4)]
    monkeypatch.setattr(planted, "measure", lambda: Measured(rows, {}, {}, []))
    assert main(["notes", "audit", "--planted"]) == 1
    captured = capsys.readouterr()
    assert "class" in captured.out and "class is below 0.95" in captured.err
    assert "age" not in captured.err
    monkeypatch.setattr(planted, "measure", lambda: Measured(rows[1:], {}, {}, []))
    assert main(["notes", "audit", "--planted"]) == 0
    assert main(["notes", "audit"]) == 2
    assert "--planted" in capsys.readouterr().err
