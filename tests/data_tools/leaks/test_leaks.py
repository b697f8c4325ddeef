"""What splits share: none of it in shards made here, all of it where it was planted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from webdataset import TarWriter

from data_tools.config import DedupConfig
from data_tools.leaks import Finding, find_leaks, read_sides, write_findings
from data_tools.leaks.compare import IMAGE, LESION, NEAR, NOTE, PATIENT
from launch.cli import main
from mmfm.data.index import build_index, write_index
from mmfm.data.manifest import Manifest, ShardInfo, SplitInfo
from mmfm.errors import ConfigError, DataError
from mmfm.files import file_digest
from mmfm.records import Note, Record

CFG = DedupConfig(max_distance=8, max_distance_across=16)
Sample = tuple[Record, int]  # with the seed of its picture


def picture(seed: int, quality: int = 90) -> bytes:
    grid = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grid).resize((96, 96), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def sample(number: int, dataset: str = "set", **fields: str) -> Sample:
    """A sample that has nothing in common with those of other numbers."""
    notes = {"M": Note("M", f"Note {number}.")}
    record = Record(
        dataset, f"I{number}", "drawn", lesion_id=f"L{number}", patient_id=f"P{number}", notes=notes
    )
    return replace(record, **fields), number


def write(folder: Path, **splits: list[Sample]) -> Path:
    """A folder of shards with one shard in each split."""
    manifest = Manifest(created_by="test")
    for split, samples in splits.items():
        tar = folder / split / "a.tar"
        tar.parent.mkdir(parents=True)
        with TarWriter(str(tar), encoder=False) as writer:
            for record, seed in samples:
                data = json.dumps(record.to_json()).encode()
                writer.write({"__key__": record.key, "jpg": picture(seed), "json": data})
        index = tar.with_name("a.idx.parquet")
        write_index(index, build_index(tar))
        names = [path.relative_to(folder).as_posix() for path in (tar, index)]
        size = tar.stat().st_size
        info = ShardInfo(names[0], len(samples), size, file_digest(tar), names[1], file_digest(index))
        manifest.splits[split] = SplitInfo(len(samples), [info])
    manifest.write(folder)
    return folder


def found(*folders: Path) -> dict[tuple[str, str, str], Finding]:
    """Findings by kind and the names of the two splits."""
    sides = read_sides(folders)
    findings = find_leaks(sides, CFG)
    return {
        (
            one.kind,
            *(f"{sides.sides[n].folder}{sides.sides[n].split.name}" for n in (one.first, one.second)),
        ): one
        for one in findings
    }


def test_splits_made_here_share_nothing(shards_folder: Path) -> None:
    sides = read_sides([shards_folder])
    assert len(sides.samples) > 100
    assert not [one for one in find_leaks(sides, CFG) if one.leaks]


@pytest.mark.parametrize(
    ("kind", "second"),
    [
        (LESION, sample(9, lesion_id="L1")),
        (PATIENT, sample(9, patient_id="P1")),
        (IMAGE, sample(9, image_id="I1")),
        (NEAR, (sample(9)[0], 1)),
    ],
)
@pytest.mark.parametrize("split", ["val", "test"])
def test_what_training_shares_is_a_leak(tmp_path: Path, kind: str, second: Sample, split: str) -> None:
    folder = write(tmp_path / "s", train=[sample(1), sample(2)], **{split: [sample(3), second]})
    [(names, finding)] = found(folder).items()
    assert names == (kind, "0train", f"0{split}")
    assert finding.leaks and len(finding.shared) == 1
    assert [len(samples) for samples in finding.samples] == [1, 1]


def test_what_val_and_test_share_is_told_but_is_no_leak(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", train=[sample(1)], val=[sample(2)], test=[sample(3, lesion_id="L2")])
    [(names, finding)] = found(folder).items()
    assert names == (LESION, "0val", "0test") and not finding.leaks


def test_equal_notes_are_told_but_are_no_leak(tmp_path: Path) -> None:
    second = sample(2)
    second[0].notes = dict(sample(1)[0].notes)
    folder = write(tmp_path / "s", train=[sample(1)], test=[second])
    [(names, finding)] = found(folder).items()
    assert names == (NOTE, "0train", "0test") and not finding.leaks
    assert finding.shared[0].detail == "M: Note 1."


def test_ids_of_bare_numbers_count_within_a_dataset_and_others_over_all(tmp_path: Path) -> None:
    one = write(
        tmp_path / "a",
        train=[
            sample(1, "ham", lesion_id="17", patient_id="4"),
            sample(2, "ham", lesion_id="IL_0000001"),
        ],
    )
    other = write(
        tmp_path / "b",
        test=[
            sample(7, "ham", lesion_id="17"),  # the same dataset
            sample(8, "msk", lesion_id="IL_0000001"),  # another one, with the id of the archive
            sample(9, "pad", patient_id="4"),  # another one's own number
        ],
    )
    [(names, finding)] = found(one, other).items()
    assert names == (LESION, "0train", "1test") and finding.leaks
    assert sorted(shared.detail for shared in finding.shared) == ["17", "IL_0000001"]


def test_within_a_folder_ids_count_over_datasets_as_for_the_split(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", train=[sample(1, "derm")], test=[sample(2, "clinic", lesion_id="L1")])
    assert list(found(folder)) == [(LESION, "0train", "0test")]


def test_folders_that_cannot_be_compared(tmp_path: Path) -> None:
    alone = write(tmp_path / "s", train=[sample(1)])
    with pytest.raises(DataError, match="one split alone"):
        read_sides([alone])
    with pytest.raises(ConfigError, match="named twice"):
        read_sides([alone, tmp_path / "." / "s"])


def test_names_of_folders_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / name / "[s]" for name in "ab"]
    for number, folder in enumerate(folders):
        write(folder, train=[sample(number)], test=[sample(5, image_id=f"J{number}")])
    main(["data", "leaks", *map(str, folders)])
    assert f"lesion, {folders[0]}:test and {folders[1]}:test:" in capsys.readouterr().out.replace("\n", "")


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    return write(tmp_path / "s", train=[sample(1)], test=[(sample(2, lesion_id="L1")[0], 1)])


def test_files_tell_all(leaking: Path, tmp_path: Path) -> None:
    sides = read_sides([leaking])
    findings = find_leaks(sides, CFG)
    write_findings(sides, findings, tmp_path / "leaks.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "leaks.csv").read_text())))
    assert [(row["kind"], row["leaks"], row["sample_a"], row["sample_b"]) for row in rows] == [
        (LESION, "yes", "set-I1", "set-I2"),
        (NEAR, "yes", "set-I1", "set-I2"),
    ]
    write_findings(sides, findings, tmp_path / "leaks.html")
    page = (tmp_path / "leaks.html").read_text()
    assert page.count("<img ") == 4 and "set-I1 = set-I2" in page and "http" not in page
    with pytest.raises(ConfigError, match=r"ends in \.csv or \.html"):
        write_findings(sides, findings, tmp_path / "leaks.txt")


def test_the_command_fails_where_training_data_leaks(
    leaking: Path, shards_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "leaks", str(leaking), "--output", str(tmp_path / "out.csv")]) == 1
    said = capsys.readouterr()
    assert "LEAK" in said.out and "set-I1 = set-I2  (L1)" in said.out and "leaks in 2 ways" in said.err
    assert main(["data", "leaks", str(shards_folder), "--no-images"]) == 0
    assert main(["data", "leaks", str(leaking), "--output", "leaks.pdf"]) == 2


def test_turned_copies_are_found_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain: Callable[[int], bytes] = picture

    def mirrored(seed: int) -> bytes:
        if seed < 100:
            return plain(seed)
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(plain(seed - 100))) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(buffer, "JPEG")
        return buffer.getvalue()

    monkeypatch.setitem(globals(), "picture", mirrored)
    folder = write(tmp_path / "s", train=[sample(1)], test=[(sample(2)[0], 101)])
    assert main(["data", "leaks", str(folder)]) == 0
    assert main(["data", "leaks", str(folder), "--turned"]) == 1
    assert NEAR in capsys.readouterr().out
