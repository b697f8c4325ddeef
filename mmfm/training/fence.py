"""The fence: keeps a process whose run was taken over from writing there; its owner keeps the journal.

A node that loses its network goes on computing while Slurm starts the job elsewhere. Before a process changes
anything in the run folder it asks whether the run is still its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmfm.progress import say
from mmfm.training.journal import Journal, StaleError, Start


@dataclass(frozen=True)
class Fence:
    """What `start` may do with the run of `journal`. Only rank 0 uses it. Outside a job there is no fence."""

    journal: Journal
    start: Start | None

    @classmethod
    def of_environment(cls, journal: Journal) -> Fence:
        """The fence for this process, which belongs to the start that its launcher named."""
        return cls(journal, Start.of_environment())

    def check(self) -> None:
        """Call it before anything of the run is written or deleted. Raises `StaleError` if it is not ours."""
        if self.start:
            self.journal.check(self.start)

    def record(self, event: str, **values: Any) -> None:
        """Write one event. A journal that cannot be written, as on a full disk, does not stop training."""
        if self.start is None:
            return
        try:
            self.check()
            self.journal.append(event, self.start, **values)
        except StaleError:
            pass  # said by the next check, on all ranks
        except OSError as error:
            say(f"warning: {event!r} is not in {self.journal.path}: {error}")
