"""The training loop: the same for pretraining and fine-tuning, read from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from mmfm import distributed
from mmfm.config import dump
from mmfm.config.load import require
from mmfm.config.schema import FinetuneConfig, PretrainConfig
from mmfm.data.batching import Batching
from mmfm.progress import say
from mmfm.training import checkpoint
from mmfm.training.checkpoint import Position
from mmfm.training.engine import Engine, StepOutcome, process_group, run_on_first_rank
from mmfm.training.metrics import Meter, MetricsWriter, memory_mb
from mmfm.training.optim import learning_rate
from mmfm.training.runfolder import RunFolder
from mmfm.training.signals import StopFlag
from mmfm.training.task import ClassifyTask, ContrastiveTask, Task

MakeTask = Callable[[RunFolder], Task]


def pretrain(config: PretrainConfig) -> Path:
    """Pretrain the two towers by contrast. Every rank calls it; returns the newest checkpoint's folder."""
    return train(config, lambda folder: ContrastiveTask(config, folder))


def finetune(config: FinetuneConfig) -> Path:
    """Train a classifier on images, notes or both. Every rank calls it; returns the newest checkpoint."""
    return train(config, lambda folder: ClassifyTask(config, folder))


def train(config: PretrainConfig, make_task: MakeTask) -> Path:
    """Start or continue the run of `config` until its last step, or until a stop signal.

    Raises `UserError`s for configs, run folders and data that cannot be used, on all ranks alike.
    """
    require(config, "run.name", "data.shards")
    batching = Batching.of_environment(config.train)
    with (
        StopFlag() as stop,
        process_group(
            config.train, batching.micro_batch, batching.accumulation, config.optim.clip_norm
        ) as accelerator,
    ):
        folder = RunFolder.of(config.run)
        run_on_first_rank(lambda: folder.prepare(config))
        torch.manual_seed(config.train.seed)  # the same initial weights on every rank
        task = make_task(folder)
        engine = Engine(accelerator, task.model, config.optim)
        position = resume(engine, folder, config)
        if position.step < config.train.steps:
            loop(config, task, engine, folder, batching, position, stop)
        elif distributed.rank() == 0:
            say(f"{folder.path} has all of its {position.step} steps already")
        return run_on_first_rank(lambda: checkpoint.newest_checkpoint(folder.path))


def loop(
    config: PretrainConfig,
    task: Task,
    engine: Engine,
    folder: RunFolder,
    batching: Batching,
    start: Position,
    stop: StopFlag,
) -> None:
    """Train from `start` to the last step; save when due, when told to stop, and at the end."""
    total = config.train.steps
    report = Report(config, folder, start.step) if distributed.rank() == 0 else None
    with task.open_stream(batching, engine.device) as stream:
        batches = stream.batches(start.samples)
        meter = Meter.start()
        for step in range(start.step, total):
            asked = time.perf_counter()
            micro_batches = [batch.to(engine.device) for batch in next(batches)]
            meter.waited += time.perf_counter() - asked
            seed_step(config.train.seed, step)
            rate = learning_rate(step, total, config.optim)
            terms = task.terms(engine.forward, micro_batches)
            outcome = engine.step(terms, micro_batches, rate, stop.raised)
            done = step + 1
            meter.steps += 1
            meter.samples += batching.global_batch
            if done % config.log.every == 0 or done == total:
                if report:
                    epoch = done * batching.global_batch / stream.epoch_length
                    report.line(done, outcome, rate, epoch, task.scalars(), meter)
                meter = Meter.start()
            if done % config.checkpoint.every == 0 or done == total or outcome.stop:
                asked = time.perf_counter()
                samples = done * batching.global_batch
                position = Position(done, samples, batching.world, config.train.zero_stage)
                save(engine, task, folder, position, config)
                meter.leave_out(time.perf_counter() - asked)
            if outcome.stop and done < total:
                if report:
                    say(f"stopped on request after step {done} of {total}; start it again to go on")
                break
    if report:
        report.close()


def seed_step(seed: int, step: int) -> None:
    """Seed torch by step and rank, so that dropout does not depend on when the run was last started."""
    torch.manual_seed((seed * 1_000_003 + step) * 65_537 + distributed.rank())


def save(engine: Engine, task: Task, folder: RunFolder, position: Position, config: PretrainConfig) -> None:
    """Save a checkpoint. All ranks enter; rank 0 seals it when all have written."""
    draft = run_on_first_rank(lambda: checkpoint.begin(folder.checkpoints, position.step))
    state = engine.state_dict()
    engine.save(draft)
    distributed.barrier()

    def seal() -> None:
        task.save_model(draft / "model", state)
        checkpoint.commit(draft, position)
        checkpoint.retain(folder.checkpoints, config.checkpoint.keep, config.checkpoint.keep_every)

    run_on_first_rank(seal)


def resume(engine: Engine, folder: RunFolder, config: PretrainConfig) -> Position:
    """Load the run's newest whole checkpoint, if it has one, and say where it stands."""
    found: Path | None = run_on_first_rank(lambda: checkpoint.newest_valid(folder.checkpoints))
    if found is None:
        return Position(0, 0, distributed.world_size(), config.train.zero_stage)
    position = checkpoint.read_position(found)
    engine.load(found, position)
    if distributed.rank() == 0:
        say(f"continuing {folder.path} after step {position.step} of {config.train.steps}")
    return position


class Report:
    """Rank 0's account of the run: metric lines, and the config as it now stands."""

    def __init__(self, config: PretrainConfig, folder: RunFolder, step: int) -> None:
        dump(config, folder.config)
        self._writer = MetricsWriter(folder.metrics, folder.tensorboard, step, config.train.steps)

    def line(
        self,
        step: int,
        outcome: StepOutcome,
        rate: float,
        epoch: float,
        scalars: dict[str, float],
        meter: Meter,
    ) -> None:
        """Write the metrics of one step."""
        values = {"loss": outcome.loss, "lr": rate, "grad_norm": outcome.grad_norm, "epoch": epoch}
        samples = {"samples": float(step) * meter.samples / max(1, meter.steps)}
        self._writer.write(step, {**values, **samples, **scalars, **meter.rates(), "memory_mb": memory_mb()})

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()
