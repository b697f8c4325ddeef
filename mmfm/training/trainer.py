"""The training loop: the same for pretraining and fine-tuning, read from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

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
from mmfm.training.failure import node_name
from mmfm.training.fence import Fence
from mmfm.training.links import check_links, gradient_bytes
from mmfm.training.metrics import Meter, MetricsWriter, memory_mb
from mmfm.training.optim import learning_rate
from mmfm.training.runfolder import RunFolder
from mmfm.training.saver import OnSaved, Saver
from mmfm.training.signals import StopFlag
from mmfm.training.startup import Startup, StoppedError
from mmfm.training.task import ClassifyTask, ContrastiveTask, Task
from mmfm.training.watchdog import Watchdog, collective_seconds

MakeTask = Callable[[RunFolder, Path | None], Task]  # from the run folder and the checkpoint to go on from


def pretrain(config: PretrainConfig, on_saved: OnSaved | None = None) -> Path | None:
    """Pretrain the two towers by contrast. Every rank calls it; returns the newest checkpoint's folder, or
    None if it was told to stop before the first step.

    `on_saved(folder, step)` is called on rank 0 after each save that stays; its errors are said, not raised.
    """
    return train(config, lambda folder, found: ContrastiveTask(config, folder, found), on_saved)


def finetune(config: FinetuneConfig, on_saved: OnSaved | None = None) -> Path | None:
    """Train a classifier on images, notes or both. As `pretrain`."""
    return train(config, lambda folder, found: ClassifyTask(config, folder, found), on_saved)


def train(config: PretrainConfig, make_task: MakeTask, on_saved: OnSaved | None = None) -> Path | None:
    """Start or continue the run of `config` until its last step, or until a stop signal.

    Returns the newest checkpoint, or None where a stop signal came before the first step. Raises `UserError`s
    for configs, run folders and data that cannot be used, `BadNodeError` for links that are too slow and
    `SaveError` for a disk that stays full, on all ranks alike.
    """
    require(config, "run.name", "data.shards")
    batching = Batching.of_environment(config.train)
    folder = RunFolder.of(config.run)
    fence = Fence.of_environment(folder.journal)
    with (
        StopFlag() as stop,
        Watchdog.of_environment(config.watchdog) as watchdog,
        joined(config, batching, watchdog) as accelerator,
    ):
        startup = Startup(stop, watchdog, accelerator.device)
        try:
            startup.phase("opening the run folder")
            run_on_first_rank(lambda: prepare(folder, config, fence))
            found: Path | None = run_on_first_rank(lambda: checkpoint.newest_valid(folder.checkpoints))
            if found and checkpoint.read_position(found).step >= config.train.steps:
                if distributed.rank() == 0:
                    say(f"{folder.path} has all of its {config.train.steps} steps already")
                    fence.record("done", step=config.train.steps)
                return found
            startup.phase("building the model")
            torch.manual_seed(config.train.seed)  # the same initial weights on every rank
            task = make_task(folder, found)
            startup.phase("opening the data")
            # Before the engine shards the model: the caches that it builds need a whole text tower.
            with task.open_stream(batching, accelerator.device, startup.on_first_rank) as stream:
                size = gradient_bytes(task.model, 2 if config.train.precision == "bf16" else 4)
                startup.phase("measuring the links")
                link = check_links(size, config.cluster.min_bandwidth, accelerator.device)
                startup.phase("building the engine")
                engine = Engine(accelerator, task.model, config.optim, watchdog.phase)
                startup.phase("loading the checkpoint")
                position = resume(engine, found, batching, config)
                startup.leave_if_told()
                if distributed.rank() == 0:
                    speed = {"allreduce_gbps": link.gbps, "allreduce_ms": link.ms} if link else {}
                    fence.record("ready", step=position.step, **speed)
                saver = Saver(engine, task, folder.checkpoints, fence, config.checkpoint, on_saved)
                parts = Parts(config, task, engine, stream, batching, folder, fence, saver, watchdog, stop)
                loop(parts, position)
                watchdog.phase("leaving", slow=True)
                assert saver.newest is not None, "the last step must be saved"
                return saver.newest
        except StoppedError:
            watchdog.phase("leaving", slow=True)
            if distributed.rank() == 0:
                say("stopped on request before the first step; start it again to go on")
                if not folder.journal.left(fence.start):  # its launcher may have been quicker
                    fence.record("left", cause=stop_cause(stop))
            return None


@dataclass(frozen=True)
class Parts:
    """What the loop works with."""

    config: PretrainConfig
    task: Task
    engine: Engine
    stream: TrainStream
    batching: Batching
    folder: RunFolder
    fence: Fence
    saver: Saver
    watchdog: Watchdog
    stop: StopFlag


@contextmanager
def joined(config: PretrainConfig, batching: Batching, watchdog: Watchdog) -> Iterator[Accelerator]:
    """The process group of the run, joined and left under the eyes of the watchdog."""
    watchdog.phase("joining the process group", slow=True)
    with process_group(
        config.train,
        batching.micro_batch,
        batching.accumulation,
        config.optim.clip_norm,
        collective_seconds(config.watchdog),
    ) as accelerator:
        yield accelerator


def prepare(folder: RunFolder, config: PretrainConfig, fence: Fence) -> None:
    """Prepare the run folder, if the run is still this start's."""
    fence.check()
    folder.prepare(config)


def loop(parts: Parts, start: Position) -> None:
    """Train from `start` to the last step; save when due, when told to stop, and at the end.

    `start` must lie before the last step.
    """
    config, task, engine, stream = parts.config, parts.task, parts.engine, parts.stream
    batching, phase = parts.batching, parts.watchdog.phase
    total = config.train.steps
    report = open_report(parts, start) if distributed.rank() == 0 else None
    batches = stream.batches(start.samples)
    meter = Meter.start()
    for step in range(start.step, total):
        done = step + 1
        phase("waiting for data", done)
        asked = time.perf_counter()
        micro_batches = [batch.to(engine.device) for batch in next(batches)]
        meter.waited += time.perf_counter() - asked
        seed_step(config.train.seed, step)
        rate = learning_rate(step, total, config.optim)
        stop = parts.stop.raised
        outcome = engine.step(task.terms(engine.forward, micro_batches), micro_batches, rate, stop)
        samples = done * batching.global_batch
        meter.add(batching.global_batch)
        if report and step == start.step:
            parts.fence.record("stepped", step=done)
        if done % config.log.every == 0 or done == total:
            phase("reporting")
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
        leaves = outcome.stop or done == total
        if done % config.checkpoint.every == 0 or leaves:
            phase("saving", slow=True)
            asked = time.perf_counter()
            position = Position(done, samples, batching.world, config.train.zero_stage)
            parts.saver.save(position, must=leaves)
            meter.leave_out(time.perf_counter() - asked)
        if leaves:
            break
    if report:
        report.close()
        tell_end(parts, done)


def open_report(parts: Parts, start: Position) -> MetricsWriter:
    """The metrics of this start, which begin after `start`. Run by rank 0."""
    parts.fence.check()
    dump(parts.config, parts.folder.config)  # what may change between starts is kept as of the last
    total = parts.config.train.steps
    return MetricsWriter(parts.folder.metrics, parts.folder.tensorboard, start.step, total)


def tell_end(parts: Parts, done: int) -> None:
    """Say and record that training ends after step `done`, which is saved. Run by rank 0."""
    total = parts.config.train.steps
    if done == total:
        parts.fence.record("done", step=done)
        return
    say(f"stopped on request after step {done} of {total}; start it again to go on")
    parts.fence.record("left", step=done, cause=stop_cause(parts.stop))


def stop_cause(stop: StopFlag) -> str:
    """Which signal had the ranks leave, and where it came, as far as this rank knows."""
    return f"{stop.name} on {node_name()}" if stop.raised else "a stop signal at another rank"


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


def resume(engine: Engine, found: Path | None, batching: Batching, config: PretrainConfig) -> Position:
    """Load the checkpoint `found`, if there is one, and say where the run stands."""
    if found is None:
        return Position(0, 0, batching.world, config.train.zero_stage)
    position = checkpoint.read_position(found)
    engine.load(found, position)
    if distributed.rank() == 0:
        say(f"continuing from {found}: step {position.step} of {config.train.steps}")
    return position
