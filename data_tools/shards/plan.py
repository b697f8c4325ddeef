"""What a folder of shards will hold, settled before anything is written, and told apart from other plans."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from data_tools.config import ShardsConfig
from data_tools.notes.audit import VERSION
from mmfm import __version__
from mmfm.config.flatten import flatten
from mmfm.data.index import SPLITS
from mmfm.errors import ConfigError, DataError
from mmfm.files import write_atomically
from mmfm.records import Record

PLAN_NAME = "plan.json"
REFUSED_NAME = "refused_notes.jsonl"
DEAL_NAME = "deal.json"
VERDICTS_NAME = "verdicts.jsonl"
AUDITS_NAME = "audits.jsonl"
PARTS = ".parts"  # work in progress below the output folder; gone once everything is written
# What may change between runs that go on. How notes are asked for and where they are kept is no part of a
# plan: their texts are.
SAME_PLAN_KEYS = ("root", "output", "max_reject_share", "cluster", "store", "tasks")
SAME_PACK_KEYS = ("workers", "tasks")
SHAPING_SERVER_KEYS = ("structured", "image_detail")  # what is asked of a server, not how
SHAPING_LOCAL_KEYS = ("dtype",)


@dataclass
class Sample:
    """One image that is to be packed. `source` numbers the recipe's sources, `row` its metadata."""

    source: int
    row: int
    record: Record  # with its notes
    image: Path
    file: str  # the image, relative to the recipe's root
    table: str = ""  # that the row stands in, where the source has several

    @property
    def changed(self) -> float:
        """Time of the last change to the image, in seconds since the epoch; 0 if it is gone."""
        try:
            return self.image.stat().st_mtime
        except OSError:
            return 0.0


@dataclass
class ShardJob:
    """The samples of one tar, in order. `name` is its path below the output folder, without suffix."""

    name: str
    split: str
    samples: list[Sample]

    @property
    def newest_input(self) -> float:
        """Time of the last change to one of the images, in seconds since the epoch; 0 if all are gone."""
        return max((sample.changed for sample in self.samples), default=0.0)


def plan_shards(samples: Sequence[Sample], splits: Sequence[str], per_shard: int) -> list[ShardJob]:
    """Deal samples into tars of `per_shard`, by split and dataset, mixed by a hash of their keys.

    `splits` names the split of each sample; "" leaves it out. The result depends on the arguments alone.
    """
    places = [
        Place(split, sample.record.dataset, sample.record.key)
        for split, sample in zip(splits, samples, strict=True)
    ]
    tars = deal_tars(places, per_shard)
    return [ShardJob(tar.name, tar.split, [samples[number] for number in tar.members]) for tar in tars]


class Place(NamedTuple):
    """What decides the tar of a sample. A split "" leaves it out."""

    split: str
    dataset: str
    key: str


class Tar(NamedTuple):
    """A tar to be written: its path without suffix, its split, and the numbers of its samples in order."""

    name: str
    split: str
    members: list[int]


def deal_tars(places: Sequence[Place], per_shard: int, seed: int = 0) -> list[Tar]:
    """Deal samples into tars of `per_shard`, by split and dataset, mixed by a hash of `seed` and key."""
    chosen = [number for number, place in enumerate(places) if place.split]
    chosen.sort(key=lambda number: (*_series(places[number]), _mixing(places[number].key, seed)))
    tars = []
    for (order, series), group in groupby(chosen, key=lambda number: _series(places[number])):
        members = list(group)
        for number, start in enumerate(range(0, len(members), per_shard)):
            name = f"{SPLITS[order]}/{series}-{number:06d}"
            tars.append(Tar(name, SPLITS[order], members[start : start + per_shard]))
    return tars


@dataclass
class Plan:
    """What identifies the content of a folder of shards: two runs with equal plans write equal bytes."""

    created_by: str
    config: dict[str, Any]
    inputs_hash: str

    @property
    def config_hash(self) -> str:
        """Hash of the config and of the version of the code."""
        return _hash([self.created_by, self.config])

    @classmethod
    def of(cls, cfg: ShardsConfig, samples: Sequence[Sample], rejects: Sequence[Any]) -> Plan:
        """The plan of a config and of what its sources hold: records, notes, image names and sizes.

        Notes are those before the audit, which is a function of them, of the config and of its own version.
        """
        digest = hashlib.sha256(VERSION.encode() if cfg.audit.enabled else b"")
        for sample in samples:
            size = sample.image.stat().st_size if sample.image.is_file() else -1
            digest.update(_json([sample.file, size, sample.record.to_json()]))
        told = [
            {name: value for name, value in asdict(one).items() if name != "table" or value}
            for one in rejects
        ]
        digest.update(_json(told))
        return cls(f"mmfm {__version__}", identity(cfg), digest.hexdigest())

    def check(self, output: Path) -> bool:
        """Whether `output` is this plan's folder already. Raises `ConfigError` if it holds something else."""
        there = _read(output / PLAN_NAME)
        if there == asdict(self):
            return True
        if there is None and _holds_other_files(output):
            raise ConfigError(f"{output} is not empty and holds no shards: choose another output")
        # A run that stopped before its first shard binds nobody: its mistake may have been mended since.
        if there is not None and any(output.glob("*/*.tar")):
            raise ConfigError(
                f"{output} holds shards of another plan ({self._difference(there)}). "
                "Choose another output, or delete that folder to write it anew"
            )
        return False

    def claim(self, output: Path) -> None:
        """Make `output` this plan's folder, for the process that holds its lock. Raises as `check` does."""
        if self.check(output):
            return
        for name in (DEAL_NAME, VERDICTS_NAME, AUDITS_NAME):  # of another plan, as are the reports of shards
            (output / PARTS / name).unlink(missing_ok=True)
        for path in (output / PARTS).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_atomically(output / PLAN_NAME, text)

    def _difference(self, there: dict[str, Any]) -> str:
        """The first thing in which the plan in the folder differs from this one, for people."""
        if there.get("created_by") != self.created_by:
            return f"written by {there.get('created_by')}, this is {self.created_by}"
        old, new = (flatten(_numbered(config)) for config in (there.get("config", {}), self.config))
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return f"{key} is {old.get(key)!r} there, {new.get(key)!r} here"
        return "its records, notes or images have changed since"


def identity(cfg: ShardsConfig) -> dict[str, Any]:
    """The config without what does not change the bytes of a shard: places, processes, tasks, tolerance.

    Nor does it matter how fast and by which road a writer is asked, once it has written.
    """
    config = {key: value for key, value in asdict(cfg).items() if key not in SAME_PLAN_KEYS}
    config["pack"] = {key: value for key, value in config["pack"].items() if key not in SAME_PACK_KEYS}
    for writer in config["writers"].values():
        del writer["retry_failed"]
        if writer["backend"] == "local":
            writer["model"] = Path(writer["model"]).name  # its content is told by the notes
        for part, shaping in (("server", SHAPING_SERVER_KEYS), ("local", SHAPING_LOCAL_KEYS)):
            writer[part] = {key: writer[part][key] for key in shaping}
    return config


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        return plan if isinstance(plan, dict) else {}
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): delete {path.parent} to write it anew") from error


def _holds_other_files(folder: Path) -> bool:
    """Whether there is anything that no run of ours put there: those make their folder of parts first."""
    return folder.is_dir() and not (folder / PARTS).is_dir() and any(folder.iterdir())


def _numbered(config: dict[str, Any]) -> dict[str, Any]:
    """The config with its sources by number, so that a single key of one of them can be named."""
    return {**config, "sources": dict(enumerate(config.get("sources", [])))}


def _series(place: Place) -> tuple[int, str]:
    """The run of tars that a sample goes into: its split, and its dataset's name fit for a file name."""
    return SPLITS.index(place.split), place.dataset.replace("/", "_").replace(".", "_")


def _mixing(key: str, seed: int) -> tuple[bytes, str]:
    return hashlib.sha256((f"{seed}:{key}" if seed else key).encode()).digest(), key


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def _hash(value: Any) -> str:
    return hashlib.sha256(_json(value)).hexdigest()
