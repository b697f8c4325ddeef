"""Why a start failed, from what its processes left and from how they were seen to end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from launch.slurm.srunlines import Ending
from launch.start.job import NODE_ERROR_EXIT
from mmfm.errors import USER_ERROR_EXIT
from mmfm.training.beat import Beat, doing
from mmfm.training.failure import Failure

FIRST_OF_ALL = ("user", "stale", "node", "hang")  # these say more than whatever failed because of them


@dataclass(frozen=True)
class Cause:
    """Why a start failed. `kind` as in `failure.KINDS`; `bad_nodes` are not to be used again."""

    kind: str
    message: str
    ranks: tuple[int, ...] = ()
    nodes: tuple[str, ...] = ()
    bad_nodes: tuple[str, ...] = ()


def find_cause(
    failures: Sequence[Failure],
    ended: Sequence[Ending],
    beats: Sequence[Beat],
    met: Collection[int],
    otherwise: str,
) -> Cause:
    """The cause behind `failures` (first in time first) and endings (likewise).

    Where one process dies, the others lose their connection to it and fail in turn, perhaps before anyone
    has noticed the death: who was killed goes before who complained. `met` are the ranks that came to the
    meeting. `otherwise` is said if nobody complained.
    """
    for kind in FIRST_OF_ALL:
        of_kind = [failure for failure in failures if failure.kind == kind]
        if of_kind:
            return _of_failures(of_kind, beats)
    lost = [ending for ending in ended if ending.lost]
    if lost:
        nodes = tuple(dict.fromkeys(ending.node for ending in lost))
        return Cause("lost", "; ".join(map(str, lost)), nodes=nodes, bad_nodes=nodes)
    silent = [ending for ending in ended if not {f.rank for f in failures} & set(ending.ranks)]
    if silent and silent[0] == ended[0]:
        return _of_ending(silent[0], beats, absent=bool(met) and not set(silent[0].ranks) & set(met))
    if failures:
        return _of_failures(failures, beats)
    return Cause("crash", otherwise)


def _of_failures(failures: Sequence[Failure], beats: Sequence[Beat]) -> Cause:
    first = failures[0]
    bad = tuple(dict.fromkeys(node for failure in failures for node in failure.bad_nodes))
    if first.kind == "node":
        return Cause(first.kind, first.message, nodes=bad, bad_nodes=bad)
    message = str(first)
    if first.kind == "hang" and beats:
        message += "\nwhere each rank was last seen:" + "".join(f"\n  {beat}" for beat in beats)
    return Cause(first.kind, message, ranks=(first.rank,), nodes=(first.node,), bad_nodes=bad)


def _of_ending(ending: Ending, beats: Sequence[Beat], absent: bool) -> Cause:
    """The cause where processes ended without a word.

    If they are `absent` where others met, it is their node: it does not see the code, or has no Python.
    """
    kind = {None: "killed", USER_ERROR_EXIT: "user", NODE_ERROR_EXIT: "node"}.get(ending.code, "crash")
    message = str(ending)
    last = next((beat for beat in beats if beat.rank in ending.ranks), None)
    if absent and kind == "crash":
        kind, message = "node", f"{message}, before it could meet the others"
    elif last:
        message += f", while {doing(last.phase, last.step)}"
    bad = (ending.node,) if kind == "node" else ()
    return Cause(kind, message, ending.ranks, (ending.node,), bad)
