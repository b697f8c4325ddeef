"""Image buffers that are used again once nobody holds them: fresh memory costs a page fault every 4 KB."""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np
import torch


class BufferPool:
    """Uninitialised uint8 tensors of one shape. Their memory comes back when the last view of it is gone."""

    def __init__(self, shape: tuple[int, ...], pinned: bool) -> None:
        self._shape = shape
        self._pinned = pinned
        self._free: deque[np.ndarray] = deque()

    def take(self) -> torch.Tensor:
        """A tensor that shares memory with no tensor in use."""
        if self._pinned:  # torch keeps a pool of page-locked memory itself
            return torch.empty(self._shape, dtype=torch.uint8, pin_memory=True)
        memory = self._free.popleft() if self._free else np.empty(self._shape, np.uint8)
        lent = memory[:]  # the tensor's storage holds this view, so the view dies with the storage
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return torch.from_numpy(lent)
