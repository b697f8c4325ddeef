"""The trainer in real processes: stop and go on, other world sizes, accumulation, ZeRO, fine-tuning."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest
import training_processes as runs

from mmfm.models.build import load_model
from mmfm.training.beat import read_beats
from mmfm.training.checkpoint import newest_checkpoint
from mmfm.training.journal import Event, Journal, Start


def settings(shards: Path, root: Path, *more: str) -> list[str]:
    return [
        f"data.shards={shards}",
        f"run.root={root}",
        "run.name=b",
        "train.steps=30",
        "checkpoint.every=5",
        *more,
    ]


def wait_for(path: Path, ranks: list) -> None:
    """Wait until `path` exists, while the ranks are alive."""
    deadline = time.monotonic() + runs.TIMEOUT
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        assert all(rank.poll() is None for rank in ranks), runs.finish(ranks)[1][-4000:]
        time.sleep(0.005)


def test_killed_run_continues_with_the_same_losses(
    shards_folder: Path, reference_run: Path, tmp_path: Path
) -> None:
    arguments = settings(shards_folder, tmp_path)
    ranks = runs.start("pretrain", 2, *arguments)
    wait_for(tmp_path / "b" / "checkpoints" / "step_00000010" / "manifest.json", ranks)
    for rank in ranks:
        rank.kill()
    codes, _ = runs.finish(ranks)
    assert -signal.SIGKILL in codes
    printed = runs.train("pretrain", 2, *arguments)
    assert "continuing" in printed
    assert runs.losses(tmp_path / "b") == runs.losses(reference_run)


def test_signalled_zero2_run_saves_leaves_and_continues_with_the_same_losses(
    shards_folder: Path, reference_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two starts of a job, which keep the run's journal."""
    arguments = settings(shards_folder, tmp_path, "train.zero_stage=2")
    journal = Journal(tmp_path / "b" / "journal.jsonl")
    begin(journal, 0, tmp_path, monkeypatch)
    ranks = runs.start("pretrain", 2, *arguments)
    wait_for(tmp_path / "b" / "checkpoints" / "step_00000005" / "manifest.json", ranks)
    ranks[1].send_signal(signal.SIGTERM)  # one rank is told, all leave together
    codes, printed = runs.finish(ranks)
    assert codes == [0, 0], printed[-4000:]
    assert "stopped on request" in printed
    ready, stepped, saved, *_, left = events_of(journal, 0)
    assert (ready.name, ready.values["step"], ready.values["allreduce_gbps"] > 0) == ("ready", 0, True)
    assert (stepped.name, stepped.values) == ("stepped", {"step": 1})
    assert (saved.name, saved.values["step"], saved.values["seconds"] > 0) == ("saved", 5, True)
    assert (left.name, left.values["cause"]) == ("left", "a stop signal at another rank")
    begin(journal, 1, tmp_path, monkeypatch)
    runs.train("pretrain", 2, *arguments)
    ready, *_, done = events_of(journal, 1)
    assert (ready.name, ready.values["step"]) == ("ready", left.values["step"])
    assert (done.name, done.values) == ("done", {"step": 30})
    assert [beat.rank for beat in read_beats(tmp_path, 1)] == [0, 1]
    assert runs.losses(tmp_path / "b") == pytest.approx(runs.losses(reference_run), abs=2e-4)
    monkeypatch.delenv("MMFM_JOB")
    undisturbed = settings(shards_folder, tmp_path / "again", "train.zero_stage=2")
    runs.train("pretrain", 2, *undisturbed)
    assert runs.losses(tmp_path / "b") == runs.losses(tmp_path / "again" / "b")


def begin(journal: Journal, count: int, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the processes to come a start of job 7, which has the run."""
    for name, value in {"MMFM_JOB": "7", "MMFM_START": str(count), "MMFM_LOGS": str(logs)}.items():
        monkeypatch.setenv(name, value)
    journal.claim(Start("7", count))


def events_of(journal: Journal, count: int) -> list[Event]:
    """The events of a start of job 7 after its claim."""
    return [event for event in journal.events() if event.start.count == count][1:]


def test_one_process_with_accumulation_gives_the_losses_of_two(
    shards_folder: Path, reference_run: Path, tmp_path: Path
) -> None:
    runs.train("pretrain", 1, *settings(shards_folder, tmp_path, "train.micro_batch=4"))
    assert runs.losses(tmp_path / "b") == pytest.approx(runs.losses(reference_run), abs=2e-4)


def test_bf16_at_zero3_trains_and_its_model_loads(
    shards_folder: Path, reference_run: Path, tmp_path: Path
) -> None:
    precision = ["train.precision=bf16", "train.zero_stage=3"]
    runs.train("pretrain", 2, *settings(shards_folder, tmp_path, *precision))
    ours, reference = runs.losses(tmp_path / "b"), runs.losses(reference_run)
    assert ours[30] < ours[1]
    assert ours == pytest.approx(reference, abs=0.3)
    loaded = load_model(newest_checkpoint(tmp_path / "b") / "model")
    assert all(bool(p.isfinite().all()) for p in loaded.model.parameters())


def test_frozen_text_tower_at_zero3_is_read_from_its_cache(
    shards_folder: Path, reference_run: Path, tmp_path: Path
) -> None:
    frozen = ["model.text.freeze=true", "train.zero_stage=3", "train.steps=2"]
    runs.train("pretrain", 2, *settings(shards_folder, tmp_path, *frozen))
    # Before the first update a frozen tower is the same as a trained one, if its cache tells the truth.
    assert runs.losses(tmp_path / "b")[1] == pytest.approx(runs.losses(reference_run)[1], abs=2e-4)


@pytest.mark.parametrize("inputs", ["image", "both"])
def test_finetuning_starts_from_a_run(
    shards_folder: Path, reference_run: Path, tmp_path: Path, inputs: str
) -> None:
    task = [f"task.inputs={inputs}", f"init={reference_run}"]
    runs.train("finetune", 2, *settings(shards_folder, tmp_path, *task))
    losses = runs.losses(tmp_path / "b")
    assert losses[30] < losses[1]
    assert load_model(newest_checkpoint(tmp_path / "b") / "model").kind == "classifier"


def test_diverged_run_names_step_rank_and_samples(shards_folder: Path, tmp_path: Path) -> None:
    arguments = settings(shards_folder, tmp_path, "optim.lr=1e30", "optim.clip_norm=0")
    codes, printed = runs.finish(runs.start("pretrain", 2, *arguments))
    assert all(code != 0 for code in codes)
    assert f"is not finite (rank 0 on {socket.gethostname()}: samples" in printed
    assert "Lower optim.lr" in printed


def test_run_folder_of_another_config_is_refused_by_all_ranks(
    shards_folder: Path, reference_run: Path
) -> None:
    arguments = [f"data.shards={shards_folder}", f"run.root={reference_run.parent}", "run.name=a"]
    before = (reference_run / "config.yaml").read_bytes()
    codes, printed = runs.finish(runs.start("pretrain", 2, *arguments, "train.steps=31"))
    assert all(code != 0 for code in codes)
    assert "train.steps: 30 there, 31 here" in printed
    assert (reference_run / "config.yaml").read_bytes() == before
