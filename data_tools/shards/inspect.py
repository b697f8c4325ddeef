"""One shard against its manifest entry and its index: the damage, member by member."""

from __future__ import annotations

import io
import json
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from data_tools.groupids import GroupId, group_ids
from data_tools.shards import problems as kinds
from data_tools.shards.members import Member, scan
from data_tools.shards.problems import Problem
from data_tools.shards.summary import Tally, code_of
from mmfm.data.index import IMAGE_EXTENSION, JSON_EXTENSION, ShardIndex, read_index
from mmfm.data.manifest import ShardInfo
from mmfm.errors import DataError
from mmfm.files import file_digest
from mmfm.records import Record

BLOCK = 512  # bytes of a tar header


@dataclass
class Inspection:
    """One shard to inspect; `decode` also decodes its images."""

    folder: Path
    split: str
    info: ShardInfo
    decode: bool


@dataclass
class Findings:
    """What one shard holds and what is wrong with it."""

    split: str
    shard: str
    problems: list[Problem] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)  # of which it has a member
    tally: Tally = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)  # by name
    groups: set[GroupId] = field(default_factory=set)  # its lesions and patients

    def report(self, kind: str, key: str, detail: str) -> None:
        """Note a problem of this shard."""
        self.problems.append(Problem(kind, self.shard, key, detail))


def inspect_shard(job: Inspection) -> Findings:
    """Check the files of a shard against the manifest, and its members against the index."""
    findings = Findings(job.split, job.info.path)
    index = _checked_index(job, findings)
    tar = job.folder / job.info.path
    if not tar.is_file():
        findings.report(kinds.MISSING_SHARD, "", "the manifest names it, but the file is not there")
        return findings
    size = tar.stat().st_size
    if size != job.info.bytes:
        findings.report(kinds.CHECKSUM, "", f"it has {size} bytes, the manifest says {job.info.bytes}")
    elif file_digest(tar) != job.info.sha256:
        findings.report(kinds.CHECKSUM, "", "its SHA-256 is not that of the manifest")
    with tar.open("rb") as file:
        _Members(file, index, findings, job.decode).check()
    return findings


def _checked_index(job: Inspection, findings: Findings) -> ShardIndex | None:
    """The index of a shard if it is as it was written; else None and a problem."""
    path = job.folder / job.info.index
    if not path.is_file():
        findings.report(kinds.INDEX, "", f"{job.info.index} is missing")
        return None
    if file_digest(path) != job.info.index_sha256:
        findings.report(kinds.INDEX, "", f"the SHA-256 of {job.info.index} is not that of the manifest")
        return None
    try:
        index = read_index(path)
    except DataError as error:
        findings.report(kinds.INDEX, "", str(error))
        return None
    if len(index) != job.info.samples:
        detail = f"{job.info.index} has {len(index)} samples, the manifest says {job.info.samples}"
        findings.report(kinds.COUNTS, "", detail)
    return index


class _Members:
    """The members of one tar, each against its row of the index if there is a sound one."""

    def __init__(self, file: BinaryIO, index: ShardIndex | None, findings: Findings, decode: bool) -> None:
        self.file = file
        self.index = index
        self.findings = findings
        self.decode = decode
        self.expected = _expected(index) if index is not None else {}
        self.labels = _labels(index) if index is not None else {}
        self.scan = scan(file, sorted(offset - BLOCK for offset, _, _ in self.expected.values()))

    def check(self) -> None:
        """Report all that is wrong, and take the keys, counts and groups."""
        self._recover_headers()
        names = Counter(member.name for member in self.scan.members)
        self.findings.keys = sorted({_key(name) for name in names})
        self.findings.tally.update(self.labels.values())
        self._check_names(names)
        for member in self.scan.members:
            self._check_member(member)

    def _recover_headers(self) -> None:
        """Report damaged headers; where the index knows the member behind one, go on with its data."""
        behind = {offset - BLOCK: name for name, (offset, _, _) in self.expected.items()}
        for position in self.scan.unreadable:
            name = behind.get(position)
            if name is None:
                detail = f"the tar header at byte {position} is damaged, what follows is lost"
                self._report(kinds.ALTERED, "", detail)
                continue
            offset, size, _ = self.expected[name]
            self.scan.members.append(Member(name, offset, size))
            self._report(kinds.ALTERED, _key(name), f"the tar header of {name} is damaged")
        if self.scan.truncated:
            self._report(kinds.TRUNCATED, "", "the file ends before the tar does")

    def _check_names(self, names: Counter[str]) -> None:
        """Members that are there twice, or not at all, or that nobody knows of, or that have moved."""
        for name, times in names.items():
            if times > 1:
                self._report(kinds.DUPLICATED, _key(name), f"{name} is there {times} times")
            if self.index is not None and name not in self.expected:
                self._report(kinds.EXTRA, _key(name), f"the index does not know {name}")
        wanted = self.expected if self.index is not None else _pairs(names)
        lost: dict[str, list[str]] = {}
        for name in wanted:
            if name not in names:
                lost.setdefault(_key(name), []).append(name)
        for key, members in lost.items():
            kind = kinds.TRUNCATED if self.scan.truncated else kinds.MISSING
            self._report(kind, key, f"{' and '.join(members)} not in the tar")
        known = [member for member in self.scan.members if member.name in self.expected]
        moved = [member for member in known if self.expected[member.name][:2] != (member.offset, member.size)]
        if moved:
            detail = f"{len(moved)} members, the first of them {moved[0].name}, are not where it says"
            self._report(kinds.INDEX, "", detail)

    def _check_member(self, member: Member) -> None:
        """The data of one member: complete, as it was written, and what it should be."""
        self.file.seek(member.offset)
        data = self.file.read(member.size)
        key = _key(member.name)
        if len(data) < member.size:
            self._report(kinds.TRUNCATED, key, f"{member.name} has {len(data)} of {member.size} bytes")
            return
        if member.name in self.expected and zlib.crc32(data) != self.expected[member.name][2]:
            self._report(kinds.ALTERED, key, f"the bytes of {member.name} are not those that were written")
        if member.name.endswith(f".{JSON_EXTENSION}"):
            self._check_record(key, data)
        elif self.decode:
            self._check_image(key, data)

    def _check_record(self, key: str, data: bytes) -> None:
        try:
            record = Record.from_json(json.loads(data))
        except (ValueError, TypeError, AttributeError) as error:
            self._report(kinds.JSON, key, f"{key}.{JSON_EXTENSION} is no record: {error}")
            return
        if record.key != key:
            self._report(kinds.JSON, key, f"its record is that of {record.key}")
        told = (record.dataset, record.domain, code_of(record.label))
        if self.index is None:
            self.findings.tally[told] += 1
        elif self.labels.get(key, told) != told:
            self._report(kinds.INDEX, key, f"its record says {told}, the index {self.labels[key]}")
        self.findings.notes.update(record.notes.keys())
        self.findings.groups.update(group_ids(record))

    def _check_image(self, key: str, data: bytes) -> None:
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                image.load()
        except Exception as error:  # Pillow's decoders raise errors of many families
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._report(kinds.IMAGE, key, f"{key}.{IMAGE_EXTENSION} cannot be decoded: {reason}")

    def _report(self, kind: str, key: str, detail: str) -> None:
        self.findings.report(kind, key, detail)


def _expected(index: ShardIndex) -> dict[str, tuple[int, int, int]]:
    """Offset, size and CRC-32 of the data of every member, by its name."""
    expected = {}
    for row, key in enumerate(index.key):
        image = (index.image_offset[row], index.image_size[row], index.image_crc[row])
        record = (index.json_offset[row], index.json_size[row], index.json_crc[row])
        expected[f"{key}.{IMAGE_EXTENSION}"] = (int(image[0]), int(image[1]), int(image[2]))
        expected[f"{key}.{JSON_EXTENSION}"] = (int(record[0]), int(record[1]), int(record[2]))
    return expected


def _labels(index: ShardIndex) -> dict[str, tuple[str, str, str]]:
    """Dataset, domain and class code of every sample, by its key."""
    columns = zip(index.key, index.dataset, index.domain, index.label, strict=True)
    return {key: (dataset, domain, code_of(label)) for key, dataset, domain, label in columns}


def _pairs(names: Counter[str]) -> list[str]:
    """Image and record of every key that has either."""
    keys = dict.fromkeys(_key(name) for name in names)
    return [f"{key}.{extension}" for key in keys for extension in (IMAGE_EXTENSION, JSON_EXTENSION)]


def _key(name: str) -> str:
    return name.partition(".")[0]
