"""The engine: Accelerate with the DeepSpeed plugin around one model and its optimizer.

It owns devices, precision, ZeRO, accumulation, clipping and the saved state. The data stream stays outside.
"""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from accelerate import Accelerator, DeepSpeedPlugin, InitProcessGroupKwargs
from torch import Tensor, nn
from transformers.integrations import unset_hf_deepspeed_config

from mmfm import distributed
from mmfm.config.schema import OptimConfig, TrainConfig
from mmfm.data.batch import Batch
from mmfm.errors import CheckpointError, UserError
from mmfm.progress import say
from mmfm.training.checkpoint import Position
from mmfm.training.failure import node_name
from mmfm.training.optim import build_optimizer, set_learning_rate
from mmfm.training.reshard import load_resharded
from mmfm.training.writer import PatientWriter

# DeepSpeed would compile this operator for half a minute at the first start, and a killed build leaves a lock
# on which later runs hang. Gloo's own reduction serves CPU runs; GPU runs use NCCL anyway.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False

# torch 2.13 renames collectives that DeepSpeed and torch 2.11 know by their old names.
warnings.filterwarnings(
    "ignore", message=".*is deprecated", category=FutureWarning, module="torch.distributed"
)

ENGINE_TAG = "engine"
Term = tuple[Tensor, Tensor]  # what to run backward on, and the loss to report


class NonFiniteLossError(UserError):
    """The loss is not a finite number. Raised on all ranks, before the weights are touched."""


@contextmanager
def process_group(
    train: TrainConfig, micro_batch: int, accumulation: int, clip: float, seconds: float
) -> Iterator[Accelerator]:
    """Join the process group, whose environment (RANK, ...) the launcher has set, and leave it cleanly.

    A collective that takes longer than `seconds` fails.
    Leaving with a barrier matters: without it a few runs in a hundred abort at exit after correct results.
    """
    settings = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": clip,
        "bf16": {"enabled": train.precision == "bf16"},
        "zero_optimization": {
            "stage": train.zero_stage,
            "stage3_gather_16bit_weights_on_model_save": train.zero_stage == 3,
        },
        "steps_per_print": 10**9,
    }
    plugin = DeepSpeedPlugin(hf_ds_config=settings, gradient_accumulation_steps=accumulation)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    accelerator = Accelerator(
        deepspeed_plugin=plugin,
        kwargs_handlers=[InitProcessGroupKwargs(backend=backend, timeout=timedelta(seconds=seconds))],
    )
    # Accelerate has told transformers of the plugin, which at stage 3 makes it shard its models while they
    # are built, in low precision and apart from ours. Engine shards all of the model at once.
    unset_hf_deepspeed_config()
    yield accelerator
    distributed.barrier()
    dist.destroy_process_group()


@dataclass
class StepOutcome:
    """What one optimizer step said: mean loss over all ranks, gradient norm, whether a rank asks to stop."""

    loss: float
    grad_norm: float
    stop: bool


class Engine:
    """A model, its optimizer and their DeepSpeed engine. `phase` is told what a step does next."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optim: OptimConfig,
        phase: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.accelerator = accelerator
        self.device: torch.device = accelerator.device
        self.model = model  # the unwrapped module
        self._engine: Any
        self._phase = phase
        self._engine, _ = accelerator.prepare(model, build_optimizer(model, optim))
        self._writer = PatientWriter(self._engine.checkpoint_engine)
        self._engine.checkpoint_engine = self._writer
        # It would copy a script of its own into every checkpoint, and skip a barrier where it cannot.
        self._engine._copy_recovery_script = lambda folder: None

    def forward(self, **inputs: Any) -> Any:
        """The model's output, through DeepSpeed."""
        return self._engine(**inputs)

    def step(self, terms: Iterator[Term], batches: list[Batch], rate: float, stop: bool) -> StepOutcome:
        """One optimizer step from one term per micro-batch.

        Every rank calls it together; that is also where they agree on stopping. Raises `NonFiniteLossError`
        on all ranks, naming rank and samples, before anything is updated.
        """
        number = int(self._engine.global_steps) + 1
        self._engine.train()
        set_learning_rate(self._engine.optimizer, rate)
        last = len(batches) - 1
        losses = []
        self._phase("computing the loss")
        for index, (term, loss) in enumerate(terms):
            self._phase("computing the gradient")
            self._engine.set_gradient_accumulation_boundary(index == last)
            self._engine.backward(term)
            self._phase("computing the loss")
            losses.append(loss.detach().double())
            if index < last:
                self._engine.step()
        local = torch.stack(losses).mean()
        self._phase("agreeing with the other ranks")
        agreed = self._agree(local, stop)
        if agreed[2]:
            self._blame(local, batches, number)
        norm = self._plain_grad_norm()
        if norm is not None:
            check_norm(norm, number)
        self._phase("updating the weights")
        self._engine.step()
        if norm is None:  # DeepSpeed tells it only now; at least nothing is saved
            norm = float(self._engine.get_global_grad_norm())
            check_norm(norm, number)
        return StepOutcome(float(agreed[0]), norm, bool(agreed[1]))

    def state_dict(self) -> dict[str, Tensor] | None:
        """All weights, gathered from all ranks; None on ranks that do not hold them. Collective."""
        state: dict[str, Tensor] | None = self.accelerator.get_state_dict(self._engine)
        return state

    def save(self, folder: Path) -> dict[str, int]:
        """Write the state for exact continuation into `folder/engine`. Collective.

        Returns the files that this rank wrote, with their bytes. Raises what kept it from writing, when all
        ranks are through.
        """
        self._engine.save_checkpoint(
            str(folder), tag=ENGINE_TAG, save_latest=False, exclude_frozen_parameters=True
        )
        return self._writer.finish()

    def load(self, folder: Path, position: Position) -> None:
        """Continue from `folder/engine`, whatever the number of ranks that saved it. Collective.

        Raises `CheckpointError` for another ZeRO stage.
        """
        stage = int(self._engine.zero_optimization_stage())
        if stage != position.zero_stage:
            raise CheckpointError(
                f"{folder} was saved at ZeRO stage {position.zero_stage}, this start has "
                f"train.zero_stage={stage}. Start it at that stage, or begin a new run from its weights with "
                "init=..."
            )
        world = distributed.world_size()
        if stage > 0 and world != position.world_size:
            if distributed.rank() == 0:
                say(
                    f"{folder} was saved by {position.world_size} processes: dealing its state out to {world}"
                )
            load_resharded(self._engine, folder / ENGINE_TAG, position.world_size)
            return
        loaded, _ = self._engine.load_checkpoint(str(folder), tag=ENGINE_TAG, load_module_strict=False)
        if loaded is None:
            raise CheckpointError(f"DeepSpeed found no state in {folder / ENGINE_TAG}")

    def _agree(self, local: Tensor, stop: bool) -> list[float]:
        """[mean loss, someone asks to stop, someone's loss is not finite], the same on every rank."""
        bad = not bool(torch.isfinite(local))
        flags = torch.tensor([0.0 if bad else float(local), stop, bad], dtype=torch.float64)
        mean = distributed.all_reduce_mean(flags.to(self.device))
        return [float(value) for value in mean]

    def _blame(self, local: Tensor, batches: list[Batch], number: int) -> None:
        """Raise `NonFiniteLossError` with the ranks, nodes and samples at fault."""
        mine = [] if torch.isfinite(local) else [key for batch in batches for key in batch.keys]
        guilty = "; ".join(
            f"rank {rank} on {node}: samples {', '.join(keys[:8])}{' ...' if len(keys) > 8 else ''}"
            for rank, (node, keys) in enumerate(gather_objects((node_name(), mine)))
            if keys
        )
        raise NonFiniteLossError(
            f"the loss of step {number} is not finite ({guilty}). The weights of the "
            "step before are kept. Lower optim.lr, lengthen optim.warmup_steps or set optim.clip_norm."
        )

    def _plain_grad_norm(self) -> float | None:
        """Norm before clipping where DeepSpeed keeps none itself: the plain optimizer of fp32 at stage 0."""
        if not isinstance(self._engine.optimizer, torch.optim.Optimizer):
            return None
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))


def check_norm(norm: float, step: int) -> None:
    """Refuse a gradient that is not finite. The norm is that of all ranks, so all of them raise.

    Raises `NonFiniteLossError`.
    """
    if not math.isfinite(norm):
        raise NonFiniteLossError(
            f"the gradient of step {step} is not finite, though its loss is. Started again, the run goes on "
            "from its last checkpoint. Lower optim.lr or train in fp32."
        )


def gather_objects(mine: Any) -> list[Any]:
    """What each rank gives, by rank. Collective."""
    everyone: list[Any] = [mine]
    if distributed.world_size() > 1:
        everyone = [None] * distributed.world_size()
        dist.all_gather_object(everyone, mine)
    return everyone


def run_on_first_rank(action: Any) -> Any:
    """Run `action()` on rank 0 and return its result on every rank; its error is raised on every rank.

    Without this, a user's mistake found by rank 0 would leave the others waiting in the next collective.
    """
    answer: list[Any] = [None, None]
    if distributed.rank() == 0:
        try:
            answer[0] = action()
        except Exception as error:  # passed on, not swallowed
            answer[1] = portable(error)
    if distributed.world_size() > 1:
        dist.broadcast_object_list(answer, src=0)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def portable(error: Exception) -> Exception:
    """`error`, or where it cannot travel to other ranks, one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
