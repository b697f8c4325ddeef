"""A start takes the run over, unless the run is done or has failed too often."""

from __future__ import annotations

from mmfm.errors import UserError
from mmfm.training.checkpoint import folder_name
from mmfm.training.journal import Event, Journal, Start
from mmfm.training.runfolder import RunFolder


class GivenUpError(UserError):
    """A run that failed too often in a row. The message lists the causes."""


def claim(journal: Journal, start: Start, nodes: list[str], processes: int, max_failures: int) -> None:
    """Take the run for `start`: whatever an older start still does, it may not write any more.

    Raises `GivenUpError` after `max_failures` failures of the same submission without a new checkpoint.
    """
    journal.claim(start, nodes=nodes, processes=processes)
    causes = failures(journal, start)
    if len(causes) >= max_failures:
        give_up(journal, start, causes)


def give_up(journal: Journal, start: Start, causes: list[Event]) -> None:
    """Write down that the run stays down, and raise `GivenUpError`."""
    told = "\n".join(f"  {event.start}: {event.values.get('cause', '')}" for event in causes)
    message = (
        f"{len(causes)} starts in a row failed without a new checkpoint (cluster.max_failures):\n{told}\n"
        "the run stays down; when that is mended, start it again"
    )
    journal.append("given_up", start, cause=message)
    raise GivenUpError(message)


def failures(journal: Journal, start: Start) -> list[Event]:
    """The failures in a row that count for `start`: of its job, and of those that it was queued behind.

    Whoever submits the run anew begins to count anew.
    """
    jobs = chain(journal, start.job)
    return [event for event in journal.failures() if event.start.job in jobs]


def chain(journal: Journal, job: str) -> set[str]:
    """A job and those that it was queued behind."""
    before = {
        event.start.job: event.values.get("after", "")
        for event in journal.events()
        if event.name == "submitted"
    }
    found: set[str] = set()
    while job and job not in found:
        found.add(job)
        job = before.get(job, "")
    return found


def is_done(folder: RunFolder) -> bool:
    """Whether the run has done its last step, and the checkpoint of that step is there."""
    done = [event.values["step"] for event in folder.journal.events() if event.name == "done"]
    return bool(done) and (folder.checkpoints / folder_name(done[-1])).is_dir()
