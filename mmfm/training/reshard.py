"""Going on with another number of ranks: DeepSpeed's sharded state, read by other ranks than saved it.

From ZeRO stage 1 on each rank saves its own slices of the weights in fp32 and of AdamW's moments, and
DeepSpeed loads them into as many ranks only. Its way around that, the universal checkpoint, writes some
thousand small files first and mixes up decay and step counts at stage 3. Here every rank picks what it needs
out of the old ranks' files, by parameter name, and gives DeepSpeed a state like one that it would have saved
itself. Nothing is computed and nothing is written, so the state is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from deepspeed.checkpoint.constants import (
    BASE_OPTIMIZER_STATE,
    FP32_FLAT_GROUPS,
    GROUP_PADDINGS,
    OPTIMIZER_STATE_DICT,
    PARAM_SHAPES,
    PARAM_SLICE_MAPPINGS,
    SINGLE_PARTITION_OF_FP32_GROUPS,
)
from torch import Tensor

from mmfm import distributed
from mmfm.errors import CheckpointError

WEIGHT = "weight"  # key of the weights in fp32, beside the optimizer's own keys for its moments


@dataclass(frozen=True)
class Slice:
    """Where elements `start` to `start + numel` of the flattened parameter `name` lie in a rank's state."""

    name: str
    start: int
    numel: int
    group: int  # which of the rank's flat tensors
    offset: int  # of the first of them in that tensor


Layout: TypeAlias = list[Slice]  # of one rank


def load_resharded(engine: Any, folder: Path, ranks: int) -> None:
    """Load what `ranks` ranks saved in `folder` into a DeepSpeed engine at the same ZeRO stage. Collective.

    Raises `CheckpointError` where the state there does not cover a parameter.
    """
    stage = int(engine.zero_optimization_stage())
    assert stage > 0, "at stage 0 every rank holds everything: DeepSpeed loads it at any number of ranks"
    whole = _read(folder / model_file(stage))
    old = [_read(path)[OPTIMIZER_STATE_DICT] for path in _state_files(folder, ranks)]
    if stage == 3:
        engine.optimizer.checkpoint_event_prologue()  # all parameters into their slices
        sources = [
            Source.of_stage3(state, rank, whole[PARAM_SHAPES], ranks) for rank, state in enumerate(old)
        ]
        state = _stage3_state(engine, Pieces(sources, folder))
    else:
        layouts = flat_layouts([state[PARAM_SLICE_MAPPINGS] for state in old])
        sources = [Source.of_stage12(*pair) for pair in zip(old, layouts, strict=True)]
        state = _stage12_state(engine, Pieces(sources, folder))
    engine.load_module_state_dict(checkpoint=whole, strict=False)  # weights below stage 3, and buffers
    mine = distributed.rank()
    others = [None] * distributed.world_size()
    engine.optimizer.load_state_dict(
        [*others[:mine], state, *others[mine + 1 :]], load_from_fp32_weights=True
    )
    if stage == 3:
        engine.optimizer.checkpoint_event_epilogue()
    for counter in ("global_steps", "global_samples", "skipped_steps"):
        setattr(engine, counter, whole[counter])


def model_file(stage: int) -> str:
    """Name of the file with weights (below stage 3), buffers and counters, as rank 0 saved it."""
    return f"{'zero_pp_rank_0_' if stage == 3 else ''}mp_rank_00_model_states.pt"


def flat_layouts(mappings: Sequence[Sequence[Mapping[str, Any]]]) -> list[Layout]:
    """Layouts of all ranks at stages 1 and 2, from their `PARAM_SLICE_MAPPINGS` in the order of the ranks.

    A group's parameters lie in one row that is cut into as many parts as there are ranks. A mapping says
    where a slice lies in its part; where it begins in the parameter follows from the parts before.
    """
    done: dict[str, int] = {}
    layouts = []
    for groups in mappings:
        layout = []
        for group, mapping in enumerate(groups):
            for name, address in mapping.items():
                layout.append(Slice(name, done.get(name, 0), address.numel, group, address.start))
                done[name] = done.get(name, 0) + address.numel
        layouts.append(layout)
    return layouts


def partitioned_layout(groups: Sequence[Mapping[str, torch.Size]], rank: int, world: int) -> Layout:
    """Layout of one rank at stage 3, where every parameter by itself is cut into `world` parts, rounded up.

    `groups` are the shapes of the parameters by name, for each flat tensor. The last parts may be short, or
    empty: their padding belongs to no parameter.
    """
    layout = []
    for group, shapes in enumerate(groups):
        parts = [math.ceil(shape.numel() / world) for shape in shapes.values()]
        offsets = accumulate(parts, initial=0)
        for (name, shape), part, offset in zip(shapes.items(), parts, offsets, strict=False):
            start = min(rank * part, shape.numel())
            layout.append(Slice(name, start, min(part, shape.numel() - start), group, offset))
    return layout


@dataclass(frozen=True)
class Source:
    """The state that one old rank saved: its flat tensors by key and group, and what lies where in them."""

    tensors: dict[str, list[Tensor]]
    scalars: dict[str, Any]  # the optimizer's values that are the same for all of its elements: the step
    layout: Layout

    @classmethod
    def of_stage12(cls, state: dict[str, Any], layout: Layout) -> Source:
        weights = state[SINGLE_PARTITION_OF_FP32_GROUPS]
        return cls._of(weights, state[BASE_OPTIMIZER_STATE]["state"], layout)

    @classmethod
    def of_stage3(
        cls, state: dict[str, Any], rank: int, shapes: Sequence[Mapping[str, torch.Size]], world: int
    ) -> Source:
        moments = state[OPTIMIZER_STATE_DICT]["state"]
        return cls._of(state[FP32_FLAT_GROUPS], moments, partitioned_layout(shapes, rank, world))

    @classmethod
    def _of(cls, weights: list[Tensor], moments: dict[int, dict[str, Any]], layout: Layout) -> Source:
        groups = [moments[group] for group in range(len(weights))]
        keys = [key for key, value in groups[0].items() if torch.is_tensor(value) and value.ndim]
        tensors = {WEIGHT: weights, **{key: [group[key] for group in groups] for key in keys}}
        scalars = {key: value for key, value in groups[0].items() if key not in keys}
        assert all(group[key] == value for group in groups for key, value in scalars.items()), (
            f"parameter groups differ in {list(scalars)}"
        )
        return cls(tensors, scalars, layout)


class Pieces:
    """All that the old ranks saved, to be asked for by parameter."""

    def __init__(self, sources: list[Source], folder: Path) -> None:
        self._folder = folder
        self.moments = [key for key in sources[0].tensors if key != WEIGHT]
        self._scalars = sources[0].scalars
        self._found: dict[str, list[tuple[Slice, Source]]] = {}
        for source in sources:
            for piece in source.layout:
                self._found.setdefault(piece.name, []).append((piece, source))

    def scalars(self) -> dict[str, Any]:
        """The values that are no slices, in tensors of the caller's own: AdamW counts up in place."""
        scalars = self._scalars.items()
        return {key: value.clone() if torch.is_tensor(value) else value for key, value in scalars}

    def fill(self, flat: Tensor, key: str, wanted: Iterator[Slice]) -> Tensor:
        """Copy the `wanted` slices of `key` to where they belong in `flat`, and return it.

        Raises `CheckpointError` for a slice that nobody saved.
        """
        for target in wanted:
            copied = 0
            for piece, source in self._found.get(target.name, []):
                first = max(target.start, piece.start)
                count = min(target.start + target.numel, piece.start + piece.numel) - first
                if count > 0:
                    saved = source.tensors[key][piece.group]
                    part = saved.narrow(0, piece.offset + first - piece.start, count)
                    flat.narrow(0, target.offset + first - target.start, count).copy_(part)
                    copied += count
            if copied != target.numel:
                raise CheckpointError(
                    f"{self._folder} holds {copied} of {target.numel} elements of {target.name} ({key}): "
                    "the run was begun with another model"
                )
        return flat


def _stage12_state(engine: Any, pieces: Pieces) -> dict[str, Any]:
    """This rank's state in DeepSpeed's form for stages 1 and 2; settings are those of the live optimizer."""
    state: dict[str, Any] = engine.optimizer.state_dict()
    mappings: list[Any] = [None] * distributed.world_size()
    dist.all_gather_object(mappings, state[PARAM_SLICE_MAPPINGS])
    layout = flat_layouts(mappings)[distributed.rank()]
    lean = state[SINGLE_PARTITION_OF_FP32_GROUPS]  # without the padding, which the moments have
    sizes = [w.numel() + padding for w, padding in zip(lean, state[GROUP_PADDINGS], strict=True)]
    weights, moments = _flat_tensors(sizes, layout, pieces)
    state[SINGLE_PARTITION_OF_FP32_GROUPS] = weights
    state[BASE_OPTIMIZER_STATE]["state"] = moments
    return state


def _stage3_state(engine: Any, pieces: Pieces) -> dict[str, Any]:
    """This rank's state in DeepSpeed's form for stage 3; settings are those of the live optimizer."""
    state: dict[str, Any] = engine.optimizer.state_dict()
    groups = [
        {engine.param_names[parameter]: parameter.ds_shape for parameter in group}
        for group in engine.optimizer.fp16_groups
    ]
    layout = partitioned_layout(groups, distributed.rank(), distributed.world_size())
    sizes = [flat.numel() for flat in state[FP32_FLAT_GROUPS]]
    weights, moments = _flat_tensors(sizes, layout, pieces)
    state[FP32_FLAT_GROUPS] = weights
    state[OPTIMIZER_STATE_DICT]["state"] = moments
    return state


def _flat_tensors(
    sizes: list[int], layout: Layout, pieces: Pieces
) -> tuple[list[Tensor], dict[int, dict[str, Any]]]:
    """Weights, and moments with their scalars, of each group. What is no parameter's stays zero."""

    def flat(group: int, key: str) -> Tensor:
        wanted = (piece for piece in layout if piece.group == group)
        return pieces.fill(torch.zeros(sizes[group]), key, wanted)

    groups = range(len(sizes))
    weights = [flat(group, WEIGHT) for group in groups]
    moments = {
        group: pieces.scalars() | {key: flat(group, key) for key in pieces.moments} for group in groups
    }
    return weights, moments


def _state_files(folder: Path, ranks: int) -> list[Path]:
    """The old ranks' files in the order of the ranks. DeepSpeed's names say whether they trained in bf16."""
    prefix = "bf16_" if (folder / _state_file("bf16_", 0)).exists() else ""
    return [folder / _state_file(prefix, rank) for rank in range(ranks)]


def _state_file(prefix: str, rank: int) -> str:
    return f"{prefix}zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"


def _read(path: Path) -> dict[str, Any]:
    """A file that DeepSpeed saved, on the CPU; its tensors are read from disk when they are used."""
    values: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    return values
