"""DeepSpeed's writer of checkpoint files, with errors that wait until every rank is through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine

from mmfm.training.checkpoint import sync


class PatientWriter(TorchCheckpointEngine):
    """Remembers the first error of a save in place of raising it.

    DeepSpeed's save has barriers between and after its writes: a rank that left at a full disk would keep the
    others waiting there.
    """

    def __init__(self, like: TorchCheckpointEngine) -> None:
        super().__init__()
        self.zipfile_serialization = like.zipfile_serialization
        self._error: Exception | None = None
        self._written: dict[str, int] = {}

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder."""
        self._try(super().makedirs, path, exist_ok=exist_ok)

    def save(self, state_dict: Any, path: str) -> None:
        """Write one file, and flush it to disk."""
        self._try(super().save, state_dict, path)
        self._try(sync, Path(path))
        if self._error is None:
            self._written[path] = Path(path).stat().st_size

    def finish(self) -> dict[str, int]:
        """The files written since the last call, with their bytes. Raises what went wrong, if anything."""
        error, self._error = self._error, None
        written, self._written = self._written, {}
        if error is not None:
            raise error
        return written

    def _try(self, write: Any, *arguments: Any, **named: Any) -> None:
        if self._error is not None:
            return  # the save has failed already
        try:
            write(*arguments, **named)
        except Exception as error:  # raised later, not swallowed
            self._error = error
