"""`verify`: every way in which a folder of shards differs from what was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data_tools.groupids import GroupId
from data_tools.shards import problems as kinds
from data_tools.shards.inspect import Findings, Inspection, inspect_shard
from data_tools.shards.plan import PARTS
from data_tools.shards.problems import Problem
from data_tools.shards.summary import Tally, by_dataset
from data_tools.shards.writer import INDEX_SUFFIX, TAR_SUFFIX
from data_tools.workers import each
from mmfm.data.manifest import MANIFEST_NAME, Manifest, SplitInfo


def verify(folder: Path, decode: bool = False, workers: int = 0) -> list[Problem]:
    """All problems of a folder of shards, in the order of its manifest; an empty list for a sound one.

    Every file is read whole and held against the manifest, every member against the index of its shard.
    `decode` also decodes all images. `workers` processes, 0 for one per core. Raises `DataError` when the
    folder has no manifest that can be read.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    splits = manifest.splits.items()
    jobs = [Inspection(folder, split, info, decode) for split, part in splits for info in part.shards]
    findings = list(each(inspect_shard, jobs, "verifying shards", workers))
    problems = [problem for found in findings for problem in found.problems]
    problems += _unknown_files(folder, manifest)
    problems += _repeated_keys(findings)
    for split, part in splits:
        problems += _wrong_counts(split, part, [found for found in findings if found.split == split])
    problems += _shared_groups(findings)
    return problems or _wrong_notes(manifest, findings)  # damage elsewhere loses notes as well


def _unknown_files(folder: Path, manifest: Manifest) -> list[Problem]:
    """Shards, indices and remains of writing that the manifest does not name."""
    infos = [info for part in manifest.splits.values() for info in part.shards]
    known = {info.path for info in infos} | {info.index for info in infos}
    found = [path for suffix in (TAR_SUFFIX, INDEX_SUFFIX) for path in folder.glob(f"*/*{suffix}")]
    names = sorted(path.relative_to(folder).as_posix() for path in found if path.parent.name != PARTS)
    return [
        Problem(kinds.EXTRA_SHARD, name, "", f"{MANIFEST_NAME} does not name it")
        for name in names
        if name not in known
    ]


def _repeated_keys(findings: Sequence[Findings]) -> list[Problem]:
    first: dict[str, str] = {}
    problems = []
    for found in findings:
        for key in found.keys:
            if key in first:
                detail = f"the sample is in {first[key]} as well"
                problems.append(Problem(kinds.DUPLICATED, found.shard, key, detail))
            first.setdefault(key, found.shard)
    return problems


def _wrong_counts(split: str, part: SplitInfo, findings: Sequence[Findings]) -> list[Problem]:
    """Counts of the manifest that are not those of its own shards, or of the samples in them."""
    problems = []
    listed = sum(info.samples for info in part.shards)
    if listed != part.samples:
        problems.append(f"the manifest says {part.samples} samples, its shards sum to {listed}")
    told = {(d, n): counts for d, domains in part.by_dataset.items() for n, counts in domains.items()}
    shaped = by_dataset(sum((found.tally for found in findings), start=Tally()))
    true = {(d, n): counts for d, domains in shaped.items() for n, counts in domains.items()}
    for name in sorted(told.keys() | true.keys()):
        if told.get(name) != true.get(name):
            there, here = (
                f"{counts.samples} samples {counts.labels}" if counts else "none"
                for counts in (told.get(name), true.get(name))
            )
            problems.append(f"{' '.join(name)}: the manifest says {there}, the shards hold {here}")
    return [Problem(kinds.COUNTS, "", "", f"split {split}: {problem}") for problem in problems]


def _wrong_notes(manifest: Manifest, findings: Sequence[Findings]) -> list[Problem]:
    """Notes that the manifest counts otherwise than the records hold them; none where it counts none."""
    if "notes" not in manifest.audit:
        return []
    told = Counter({name: counts["packed"] for name, counts in manifest.audit["notes"].items()})
    true = sum((found.notes for found in findings), start=Counter[str]())
    return [
        Problem(
            kinds.COUNTS, "", "", f"note {name}: the manifest says {told[name]}, the shards hold {true[name]}"
        )
        for name in sorted(told.keys() | true.keys())
        if told[name] != true[name]
    ]


def _shared_groups(findings: Sequence[Findings]) -> list[Problem]:
    """Lesions and patients with samples in more than one split, joined as the split joins them."""
    sides: dict[GroupId, dict[str, list[str]]] = {}
    for found in findings:
        for group in found.groups:
            sides.setdefault(group, {}).setdefault(found.split, []).append(found.shard)
    problems = []
    for group, splits in sorted(sides.items()):
        if len(splits) > 1:
            places = "; ".join(f"{split} ({', '.join(shards)})" for split, shards in splits.items())
            problems.append(Problem(kinds.GROUP, "", "", f"{group} is in several splits: {places}"))
    return problems
