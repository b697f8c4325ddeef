"""Overrides as words: `cluster=NAME` becomes the profile's keys, and nested values become dotted words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from launch.recipes.places import config_folders
from mmfm.config.load import check_keys, parse_overrides, read_yaml
from mmfm.config.schema import ClusterConfig
from mmfm.errors import ConfigError

PREFIX = "cluster="


def expand_cluster(words: Sequence[str]) -> list[str]:
    """Replace `cluster=NAME` by what configs/cluster/NAME.yaml says; other words stay, and go after it.

    So `cluster=slurm cluster.nodes=4` takes the profile and changes one key, in whichever order.
    """
    names = [_profile_name(word) for word in words if word.startswith(PREFIX)]
    others = [word for word in words if not word.startswith(PREFIX)]
    return [word for name in names for word in profile_words(name)] + others


def _profile_name(word: str) -> str:
    """NAME of `cluster=NAME`, quoted or not."""
    return str(OmegaConf.to_container(parse_overrides([word]), resolve=False)["cluster"])  # type: ignore[index,call-overload]


def profile_words(name: str) -> list[str]:
    """The overrides that a cluster profile stands for. Raises `ConfigError` listing the profiles."""
    profiles = cluster_profiles()
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise ConfigError(f"cluster={name}: there is no configs/cluster/{name}.yaml. Profiles: {known}")
    values = read_yaml(profiles[name])
    check_keys(ClusterConfig, values, str(profiles[name]))
    return to_words({"cluster": OmegaConf.to_container(values)})


def cluster_profiles() -> dict[str, Path]:
    """Profile files by name; those of the working folder go before those that come with the project."""
    found: dict[str, Path] = {}
    for folder in config_folders():
        for path in sorted((folder / "cluster").glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def one_process(cluster: Mapping[str, Any], gpu: bool) -> dict[str, Any]:
    """A profile changed so that it asks for one process, with a GPU where it has some and `gpu` is set."""
    processes = int(cluster.get("processes", 1))
    kind, _, count = str(cluster.get("gpus", "")).rpartition(":")
    one = f"{kind}:1" if kind else "1"
    return {
        **cluster,
        **{"nodes": 1, "processes": 1, "min_nodes": 0, "chain": 1},
        "gpus": one if count and gpu else "",
        "memory_gb": -(-int(cluster.get("memory_gb", 0)) // processes),
    }


def to_words(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Nested values as `a.b=value` words that `mmfm.config.load` reads back to the same values."""
    words: list[str] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and all("." not in str(inner) for inner in value):
            words += to_words(value, f"{name}.")
        else:
            words.append(f"{name}={json.dumps(value)}")  # JSON is YAML, with no doubt about types
    return words
