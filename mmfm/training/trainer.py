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
from mmfm.data.stream import TrainStream
from mmfm.progress import say
from mmfm.training import checkpoint
from mmfm.training.checkpoint import Position
from mmfm.training.engine import Engine, process_group, run_on_first_rank
from mmfm.training.metrics import Meter, MetricsWriter, memory_mb
from mmfm.training.optim import learning_rate
from mmfm.training.runfolder import RunFolder
from mmfm.training.signals import StopFlag
from mmfm.training.task import ClassifyTask, ContrastiveTask, Task

MakeTask = Callable[[RunFolder, Path | None], Task]  # from the run folder and the checkpoint to go on from


def pretrain(config: PretrainConfig) -> Path:
    """Pretrain the two towers by contrast. Every rank calls it; returns the newest checkpoint's folder."""
    return train(config, lambda folder, found: ContrastiveTask(config, folder, found))


def finetune(config: FinetuneConfig) -> Path:
    """Train a classifier on images, notes or both. Every rank calls it; returns the newest checkpoint."""
    return train(config, lambda folder, found: ClassifyTask(config, folder, found))


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
        found: Path | None = run_on_first_rank(lambda: checkpoint.newest_valid(folder.checkpoints))
        if found and checkpoint.read_position(found).step >= config.train.steps:
            if distributed.rank() == 0:
                say(f"{folder.path} has all of its {config.train.steps} steps already")
            return found
        torch.manual_seed(config.train.seed)  # the same initial weights on every rank
        task = make_task(folder, found)
        # Before the engine shards the model: the caches that it builds need a whole text tower.
        with task.open_stream(batching, accelerator.device) as stream:
            engine = Engine(accelerator, task.model, config.optim)
            position = resume(engine, found, batching, config)
            return loop(config, task, engine, stream, folder, batching, position, stop)


def loop(
    config: PretrainConfig,
    task: Task,
    engine: Engine,
    stream: TrainStream,
    folder: RunFolder,
    batching: Batching,
    start: Position,
    stop: StopFlag,
) -> Path:
    """Train from `start` to the last step; save when due, when told to stop, and at the end.

    Returns the last checkpoint saved. `start` must lie before the last step.
    """
    total = config.train.steps
    report = None
    if distributed.rank() == 0:
        dump(config, folder.config)  # what may change between starts is kept as of the last
        report = MetricsWriter(folder.metrics, folder.tensorboard, start.step, total)
    batches = stream.batches(start.samples)
    meter = Meter.start()
    for step in range(start.step, total):
        asked = time.perf_counter()
        micro_batches = [batch.to(engine.device) for batch in next(batches)]
        meter.waited += time.perf_counter() - asked
        seed_step(config.train.seed, step)
        rate = learning_rate(step, total, config.optim)
        outcome = engine.step(task.terms(engine.forward, micro_batches), micro_batches, rate, stop.raised)
        done = step + 1
        samples = done * batching.global_batch
        meter.add(batching.global_batch)
        if done % config.log.every == 0 or done == total:
            values = {
                "loss": outcome.loss,
                "lr": rate,
                "grad_norm": outcome.grad_norm,
                "epoch": samples / stream.epoch_length,
                "samples": samples,
                **averaged(task.scalars(), engine.device),
                "corrupt": summed(stream.corrupt.total(), engine.device),
                **meter.rates(),
                "memory_mb": memory_mb(),
            }
            if report:
                report.write(done, values)
            meter = Meter.start()
        if done % config.checkpoint.every == 0 or done == total or outcome.stop:
            asked = time.perf_counter()
            position = Position(done, samples, batching.world, config.train.zero_stage)
            saved = save(engine, task, folder, position, config)
            meter.leave_out(time.perf_counter() - asked)
        if outcome.stop and done < total:
            if report:
                say(f"stopped on request after step {done} of {total}; start it again to go on")
            break
    if report:
        report.close()
    return saved


def averaged(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Mean of each value over the ranks. Collective."""
    mean = distributed.all_reduce_mean(torch.tensor(list(values.values()), dtype=torch.float64).to(device))
    return dict(zip(values, mean.tolist(), strict=True))


def summed(value: int, device: torch.device) -> int:
    """Sum of a count over the ranks. Collective."""
    mean = distributed.all_reduce_mean(torch.tensor(float(value), dtype=torch.float64).to(device))
    return round(float(mean) * distributed.world_size())


def seed_step(seed: int, step: int) -> None:
    """Seed torch by step and rank, so that dropout does not depend on when the run was last started."""
    torch.manual_seed(((seed * 1_000_003 + step) * 65_537 + distributed.rank()) % 2**63)


def save(engine: Engine, task: Task, folder: RunFolder, position: Position, config: PretrainConfig) -> Path:
    """Save a checkpoint and return its folder. All ranks enter; rank 0 seals it when all have written."""
    draft = run_on_first_rank(lambda: checkpoint.begin(folder.checkpoints, position.step))
    state = engine.state_dict()
    engine.save(draft)
    distributed.barrier()

    def seal() -> Path:
        task.save_model(draft / "model", state)
        sealed = checkpoint.commit(draft, position)
        checkpoint.retain(sealed, config.checkpoint.keep, config.checkpoint.keep_every)
        return sealed

    sealed: Path = run_on_first_rank(seal)
    return sealed


def resume(engine: Engine, found: Path | None, batching: Batching, config: PretrainConfig) -> Position:
    """Load the checkpoint `found`, if there is one, and say where the run stands."""
    if found is None:
        return Position(0, 0, batching.world, config.train.zero_stage)
    position = checkpoint.read_position(found)
    engine.load(found, position)
    if distributed.rank() == 0:
        say(f"continuing from {found}: step {position.step} of {config.train.steps}")
    return position
