"""Checks of a node before the processes of a job meet: GPUs, scratch folder, network interface, data.

They run once on each node and import nothing heavy. What they find wrong is said in words; a node that is
named so is not used again by the job.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.start.environment import Place, scratch_folder
from mmfm.config.schema import ClusterConfig, EvaluateConfig, PretrainConfig
from mmfm.errors import UserError
from mmfm.training.runfolder import RunFolder

GPU_SECONDS = 60  # a driver that does not answer in this time will not do so later either
GPU_QUERY = (
    "nvidia-smi",
    "--query-gpu=index,name,ecc.errors.uncorrected.volatile.total",
    "--format=csv,noheader",
)
INTERFACES = Path("/sys/class/net")
GB = 1e9


def check_node(cluster: ClusterConfig, place: Place) -> list[str]:
    """What is wrong with the node that this process is on; nothing if it is fit for the job."""
    found: list[str] = []
    if cluster.gpus and cluster.check_gpus:
        found += check_gpus(int(cluster.gpus.rpartition(":")[2]))
    try:
        scratch = scratch_folder(cluster)
    except UserError:  # told by `lacking`
        scratch = None
    if scratch is not None:
        found += check_scratch(scratch, cluster.min_free_gb)
    if cluster.interface and len(place.nodes) > 1:
        found += check_interface(cluster.interface)
    return found


def lacking(config: Any, run_folder: Path) -> dict[str, str]:
    """What the recipe of a job names and this node does not have: the setting, and why.

    It is the node's fault if others have it, else the user's mistake.
    """
    found = {}
    for key, value in inputs(config, run_folder).items():
        try:
            with os.scandir(value) as inside:
                if next(inside, None) is None:  # as the place of a file system that is not mounted
                    found[f"{key}={value}"] = "it is empty"
        except OSError as error:
            found[f"{key}={value}"] = error.strerror or str(error)
    try:
        scratch_folder(getattr(config, "cluster", ClusterConfig()))
    except UserError as error:
        found[f"cluster.scratch={config.cluster.scratch}"] = str(error)
    return found


def inputs(config: Any, run_folder: Path) -> dict[str, str]:
    """The folders that every node must see, by their settings. A run with a checkpoint reads no `init`."""
    if isinstance(config, EvaluateConfig):
        return {"shards": config.shards, "checkpoint": config.checkpoint}
    if not isinstance(config, PretrainConfig):
        return {}
    begun = any(RunFolder(run_folder).checkpoints.glob("step_*"))
    init = {"init": config.init} if config.init and not begun else {}
    return {"data.shards": config.data.shards, **init}


def check_gpus(wanted: int) -> list[str]:
    """What is wrong with the GPUs that NVIDIA's driver shows to this job."""
    if shutil.which(GPU_QUERY[0]) is None:
        return [f"{GPU_QUERY[0]} is missing, though {wanted} GPUs were asked for"]
    try:
        done = subprocess.run(GPU_QUERY, capture_output=True, text=True, timeout=GPU_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return [f"{GPU_QUERY[0]} does not answer within {GPU_SECONDS} s"]
    if done.returncode:
        said = (done.stdout.strip() or done.stderr.strip()).splitlines()
        return [f"{GPU_QUERY[0]} fails: {said[-1] if said else f'exit code {done.returncode}'}"]
    return list(judge_gpus(done.stdout.splitlines(), wanted))


def judge_gpus(lines: list[str], wanted: int) -> Iterator[str]:
    """What is wrong with GPUs of which the driver prints `lines`: index, name, uncorrected memory errors."""
    gpus = [[word.strip() for word in line.split(",")] for line in lines if line.strip()]
    if len(gpus) < wanted:
        yield f"{len(gpus)} GPUs are there, {wanted} were asked for"
    for index, name, errors in gpus:
        if errors.isdigit() and int(errors) > 0:  # others print [N/A]
            yield f"GPU {index} ({name}) has {errors} uncorrected memory errors"


def check_scratch(folder: Path, min_free_gb: float) -> list[str]:
    """What is wrong with the node's scratch folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        free = free_gb(folder)
    except OSError as error:
        return [f"cluster.scratch={folder} cannot be written to: {error.strerror or error}"]
    if free < min_free_gb:
        return [f"cluster.scratch={folder} has {free:.1f} GB free (cluster.min_free_gb={min_free_gb:g})"]
    return []


def check_interface(name: str) -> list[str]:
    """What is wrong with the network interface that the recipe names."""
    if (INTERFACES / name).exists():
        return []
    there = sorted(path.name for path in INTERFACES.iterdir()) if INTERFACES.is_dir() else []
    return [f"there is no network interface {name} (cluster.interface), only {', '.join(there) or 'none'}"]


def check_run_folder(folder: Path, min_free_gb: float) -> None:
    """Refuse to start where checkpoints will not fit. The folder is shared: no node is to blame."""
    free = free_gb(folder)
    if free < min_free_gb:
        raise UserError(
            f"{folder} has {free:.1f} GB free, and cluster.min_free_gb={min_free_gb:g}: make room there, "
            "then start again"
        )


def free_gb(folder: Path) -> float:
    """Free space below a folder, in GB."""
    return shutil.disk_usage(folder).free / GB
