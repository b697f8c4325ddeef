"""What comes after a start of a training job that ended badly: name the cause, then start again or stay down.

`python -m launch.slurm.aftermath LOGS CODE` runs in the job's script after srun, which ended with CODE. It
exits with what the job is to exit with. The script has it ignore SIGTERM: requeueing the job ends it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import SlurmJobEnvironment

from launch.slurm.cause import Cause, find_cause
from launch.slurm.queue import SLURM_SECONDS, cancel_job
from launch.slurm.requeue import ask_again, is_last, job_fact
from launch.slurm.srunlines import complaints, endings, newest_start
from launch.start.claim import GivenUpError, failures, give_up, is_done
from launch.start.job import Job, slurm_start
from launch.start.meeting import attendance, meeting_folder
from mmfm.config.schema import ClusterConfig
from mmfm.errors import USER_ERROR_EXIT, UserError
from mmfm.progress import say
from mmfm.training.beat import read_beats
from mmfm.training.failure import read_failures
from mmfm.training.journal import Journal, Start
from mmfm.training.runfolder import RunFolder

NOT_AGAIN = ("user", "stale")  # kinds of failures that another start would only repeat


def aftermath(job: Job, logs: Path, log: Path, code: int) -> int:
    """Deal with a start of `job` that ended with `code`. `logs` is its folder, `log` its script's own log.

    Returns what the script is to exit with.
    """
    if code == 0:
        return 0
    here = SlurmJobEnvironment()
    start = slurm_start()
    journal = job.journal
    later = later_start(journal, start)
    if later:
        say(f"mmfm: {start} ends here: {later} has the run")
        return code
    if is_done(RunFolder(Path(job.run_folder))):  # libraries may abort while processes leave
        say(f"mmfm: the run is done, though {start} ended with {code} after its last save")
        return 0
    cause = cause_of(logs, log, start, here.hostnames, code)
    say(f"mmfm: {start} failed: {cause.message}")
    given_up = any(event.name == "given_up" and event.start == start for event in journal.events())
    try:
        if not given_up:  # when it took the run: then the causes are those of earlier starts
            journal.append(
                "failed", start, cause=cause.message, kind=cause.kind, ranks=cause.ranks, nodes=cause.nodes
            )
    except OSError as error:  # nobody could count any more how often it fails
        say(f"mmfm: error: that cannot be written to {journal.path}: {error}. The run stays down")
        return 1
    if cause.kind in NOT_AGAIN:
        say("mmfm: it is not started again: another start would end alike")
        if cause.kind == "user":
            cancel_rest(journal, start.job)
        return USER_ERROR_EXIT
    cluster: ClusterConfig = job.typed_config().cluster
    causes = failures(journal, start)
    if len(causes) >= cluster.max_failures:
        try:
            give_up(journal, start, causes)
        except GivenUpError as error:
            say(f"mmfm: error: {error}")
            cancel_rest(journal, start.job)
            return 1
    if cluster.chain == 1:
        ask_again(journal, start, spare(cause, cluster, start.job, here.hostnames))
    elif is_last(journal, start.job, cluster.chain):
        say(f"mmfm: it was the last of cluster.chain={cluster.chain}: submit the command again")
    else:
        say("mmfm: the next job of the chain goes on")
    return code


def cancel_rest(journal: Journal, job: str) -> None:
    """Cancel the jobs of a chain that are queued behind `job`: they would end like it."""
    behind = {
        event.values.get("after"): event.start.job for event in journal.events() if event.name == "submitted"
    }
    rest: list[str] = []
    while job := behind.get(job, ""):
        rest.append(job)
    for later in reversed(rest):  # else each would begin when the one before it is gone
        try:
            cancel_job(later)
        except UserError as error:
            say(f"mmfm: job {later} of the chain goes on: {error}")
        else:
            say(f"mmfm: job {later} of the chain is cancelled")


def later_start(journal: Journal, start: Start) -> str:
    """Who has the run if it is not `start` any more, in words; "" if it is still its own.

    A node that lost its network may come back when its job has long been started elsewhere.
    """
    claims = [event.start for event in journal.events() if event.name == "start"]
    if start in claims and claims[-1] != start:  # a start may also fail before it claims anything
        return str(claims[-1])
    if shutil.which("scontrol"):
        restarts = job_fact(start.job, "Restarts")
        if restarts.isdigit() and int(restarts) > start.count:
            return f"start {int(restarts) + 1}"
    return ""


def cause_of(logs: Path, log: Path, start: Start, nodes: Sequence[str], code: int) -> Cause:
    """Why a start on `nodes` failed. Other nodes in its log are those of an older start that still ends."""
    lines = newest_start(log)
    said = complaints(lines)
    otherwise = f"srun ended with {code}" + (f": {said[0]}" if said else "")
    return find_cause(
        failures=read_failures(logs, start.count),
        ended=[ending for ending in endings(lines) if ending.node in nodes],
        beats=read_beats(logs, start.count),
        met=attendance(meeting_folder(logs, start.count)),
        otherwise=otherwise,
    )


def spare(cause: Cause, cluster: ClusterConfig, job: str, nodes: Sequence[str]) -> list[str]:
    """The bad ones of a start's `nodes`, which `job` should not get again, if enough others are there."""
    bad = list(cause.bad_nodes)
    if not bad:
        return []
    if len(bad) > 1 and set(bad) >= set(nodes):
        say("mmfm: all nodes of this start are said to be bad: none is excluded, look at the settings")
        return []
    fewest = cluster.min_nodes or cluster.nodes
    usable = usable_nodes(job)
    others = len(usable - set(bad))
    if usable and others < fewest:
        say(f"mmfm: {', '.join(bad)} not excluded: {others} other nodes can be used, {fewest} are needed")
        return []
    say(f"mmfm: excluding {', '.join(bad)}")
    return bad


def usable_nodes(job: str) -> set[str]:
    """The nodes of a job's partition that are neither down, drained nor excluded; none if Slurm is silent."""
    partition = job_fact(job, "Partition")
    excluded = job_fact(job, "ExcNodeList")
    up = _node_names("sinfo", "-h", "-N", "-p", partition, "-t", "idle,alloc,mix,comp,resv", "-o", "%N")
    return up - (_node_names("scontrol", "show", "hostnames", excluded) if excluded else set())


def _node_names(*command: str) -> set[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SLURM_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(done.stdout.split())


def main(words: Sequence[str]) -> int:
    """Entry of the process: the job's log folder as submitit has it, and srun's exit code."""
    folder, code = words
    paths = JobPaths(folder, job_id=SlurmJobEnvironment().job_id)
    job = DelayedSubmission.load(paths.submitted_pickle).function
    assert isinstance(job, Job)
    return aftermath(job, paths.folder, paths.stderr, int(code))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
