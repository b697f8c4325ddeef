"""The meeting of a start's processes, played by threads in one folder."""

from __future__ import annotations

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from launch.start.environment import Place, master_port
from launch.start.meeting import Meeting, Report, Verdict, attendance
from mmfm.errors import UserError
from mmfm.training.failure import BadNodeError

NODES = ("n1", "n2", "n3")


def place(rank: int) -> Place:
    return Place(rank, world=3, local_rank=0, local_world=1, nodes=NODES)


def fit(rank: int) -> Report:
    return Report(rank, NODES[rank], code="abc", cores=[0, 1], machine_cores=2)


def meet(folder: Path, reports: list[Report], seconds: float = 20, cpus: int = 2) -> list[int | BadNodeError]:
    """What each process that comes takes home: a port, or what it raises."""

    def one(report: Report) -> int | BadNodeError:
        try:
            return Meeting(folder, place(report.rank), seconds, cpus).attend(report, "job 7, start 1")
        except BadNodeError as error:
            return error

    with ThreadPoolExecutor(len(reports)) as pool:
        return list(pool.map(one, reports))


def blamed(found: list[int | BadNodeError]) -> tuple[list[str], str]:
    """The nodes that all processes name alike, and the message."""
    errors = [error for error in found if isinstance(error, BadNodeError)]
    assert len(errors) == len(found)
    assert len({(str(error), tuple(error.nodes)) for error in errors}) == 1
    return errors[0].nodes, str(errors[0])


def test_all_get_the_same_free_port_though_one_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", master_port("job 7, start 1")))
        taken.listen()
        assert meet(tmp_path, [fit(0), fit(1), fit(2)]) == [master_port("job 7, start 1", 1)] * 3


def test_late_comers_are_waited_for(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(meet, tmp_path, [fit(0), fit(1)])
        end = time.monotonic() + 20
        while len(attendance(tmp_path)) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        late = meet(tmp_path, [fit(2)])
        assert early.result() == late * 2


def test_a_node_that_does_not_come_is_named_by_all(tmp_path: Path) -> None:
    nodes, told = blamed(meet(tmp_path, [fit(0), fit(2)], seconds=0.5))
    assert nodes == ["n2"]
    assert "n2: rank 1 did not come" in told and "does the node see" in told and str(tmp_path) in told


def test_what_a_node_finds_wrong_with_itself_is_named_by_all(tmp_path: Path) -> None:
    sick = replace(fit(1), wrong=["GPU 3 has errors", "no ib0"])
    nodes, told = blamed(meet(tmp_path, [fit(0), sick, replace(fit(2), wrong=["no ib0"])]))
    assert nodes == ["n2", "n3"]
    assert "n2: GPU 3 has errors, no ib0; n3: no ib0" in told


@pytest.mark.parametrize(("seconds", "side"), [(600, "ahead of"), (-600, "behind")])
def test_a_clock_that_goes_wrong_is_named(tmp_path: Path, seconds: float, side: str) -> None:
    nodes, told = blamed(meet(tmp_path, [fit(0), fit(1), replace(fit(2), time=time.time() + seconds)]))
    assert nodes == ["n3"] and f"its clock is 600 s {side} n1's" in told


def test_one_who_wrote_long_ago_has_no_wrong_clock(tmp_path: Path) -> None:
    long_ago = time.time() - 200
    (tmp_path / "1.json").write_text(json.dumps(replace(fit(1), time=long_ago).__dict__))
    os.utime(tmp_path / "1.json", (long_ago, long_ago))
    (tmp_path / "2.json").write_text(json.dumps(fit(2).__dict__))
    assert Meeting(tmp_path, place(0), 5, 2).attend(fit(0), "x") == master_port("x")


def test_a_node_with_other_code_is_named(tmp_path: Path) -> None:
    nodes, told = blamed(meet(tmp_path, [fit(0), replace(fit(1), code="old"), fit(2)]))
    assert nodes == ["n2"] and "other code than n1" in told


def test_processes_bound_to_too_few_cores_are_named(tmp_path: Path) -> None:
    nodes, told = blamed(meet(tmp_path, [fit(0), fit(1), replace(fit(2), cores=[1])]))
    assert nodes == ["n3"] and "may use 1 cores" in told and "cluster.cpus=2" in told


def test_a_machine_need_not_have_more_cores_than_it_has(tmp_path: Path) -> None:
    assert meet(tmp_path, [fit(0), fit(1), fit(2)], cpus=8) == [master_port("job 7, start 1")] * 3


def test_cores_of_a_nodes_processes_count_together(tmp_path: Path) -> None:
    shared = Place(0, world=2, local_rank=0, local_world=2, nodes=("n1",))
    meeting = Meeting(tmp_path, shared, 5, cpus=1)
    reports = [Report(rank, "n1", cores=[0], machine_cores=8) for rank in (0, 1)]
    (tmp_path / "1.json").write_text(json.dumps(reports[1].__dict__))
    with pytest.raises(BadNodeError, match="2 processes may use 1 cores together"):
        meeting.attend(reports[0], "x")


def test_a_folder_that_cannot_be_written_is_the_nodes_own_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadNodeError, match="n2 cannot write to the run folder") as raised:
        Meeting(tmp_path / "file" / "meeting", place(1), 1).attend(fit(1), "x")
    assert raised.value.nodes == ["n2"]


def test_nobody_waits_for_rank_0_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.start.meeting.PATIENCE_SECONDS", 0.1)
    with pytest.raises(BadNodeError, match="n1: rank 0 did not come") as raised:
        Meeting(tmp_path, place(1), 0.1).attend(fit(1), "x")
    assert raised.value.nodes == ["n1"]
    (tmp_path / "0.json").touch()
    with pytest.raises(TimeoutError, match="rank 0 on n1 said nothing"):
        Meeting(tmp_path, place(1), 0.1).attend(fit(1), "x")


def test_rank_0_may_come_late_and_still_wait_its_whole_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedClock({200: tmp_path / "0.json", 499: tmp_path / "verdict.json"})
    monkeypatch.setattr("launch.start.meeting.time", clock)
    assert Meeting(tmp_path, place(1), 300).await_verdict() == Verdict(port=1)


class SimulatedClock:
    """In place of the module `time`; files appear when their second comes."""

    def __init__(self, files: dict[int, Path]) -> None:
        self.files, self.now = files, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for second, path in self.files.items():
            if self.now >= second:
                path.write_text('{"port": 1}')


def test_what_only_one_node_lacks_is_the_nodes_fault(tmp_path: Path) -> None:
    shards = {"data.shards=/d": "No such file or directory"}
    nodes, told = blamed(meet(tmp_path, [fit(0), replace(fit(1), lacks=shards), fit(2)]))
    assert nodes == ["n2"] and "n2: it does not have data.shards=/d (No such file or directory)" in told


def test_what_no_node_has_is_the_users_mistake(tmp_path: Path) -> None:
    alike, own = {"data.shards=/d": "it is empty"}, {"init=/i": "No such file or directory"}
    lacks = ({**alike, **own}, {"data.shards=/d": "No such file or directory"}, alike)
    reports = [replace(fit(rank), lacks=lacks[rank]) for rank in range(3)]

    def one(report: Report) -> str:
        with pytest.raises(UserError) as raised:
            Meeting(tmp_path, place(report.rank), 20, 2).attend(report, "x")
        return str(raised.value)

    with ThreadPoolExecutor(3) as pool:
        (told,) = set(pool.map(one, reports))
    assert "no node of this job has data.shards=/d (it is empty)" in told and "init" not in told


def test_processes_of_a_node_do_not_count_as_other_nodes(tmp_path: Path) -> None:
    shared = Place(0, world=2, local_rank=0, local_world=2, nodes=("n1",))
    report = Report(0, "n1", lacks={"data.shards=/d": "it is empty"})
    (tmp_path / "1.json").write_text(json.dumps(Report(1, "n1").__dict__))  # only the first one looks
    with pytest.raises(UserError, match="no node of this job"):
        Meeting(tmp_path, shared, 5).attend(report, "x")


def test_a_node_without_a_free_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(start: str) -> int:
        raise OSError("no free port")

    monkeypatch.setattr("launch.start.meeting.free_port", none)
    nodes, told = blamed(meet(tmp_path, [fit(0), fit(1), fit(2)]))
    assert nodes == ["n1"] and "no free port" in told
