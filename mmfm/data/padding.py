"""Token ids of several notes as one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pad(rows: Sequence[np.ndarray | Sequence[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and mask, both int64 (b, T), of b > 0 rows of ids; T is the length of the longest."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.full(mask.shape, pad_id, np.int64)
    tokens[mask] = np.concatenate(rows)
    return tokens, mask.astype(np.int64)
