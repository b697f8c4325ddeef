"""Writing shards: what is in them, that it is true, and that it is the same every time."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import webdataset
from PIL import Image

from data_tools.config import AuditConfig, PackConfig, SplitConfig
from data_tools.shards.build import shard
from data_tools.shards.ls import list_samples
from data_tools.shards.stats import stats
from data_tools.shards.verify import verify
from mmfm.data.index import Split
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError, DataError


def read_rejects(folder: Path) -> list[dict[str, str]]:
    with (folder / "rejects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_is_in_one_shard_and_counted(recipe, raw, tmp_path):
    manifest = shard(recipe())
    with (raw / "table.csv").open() as file:
        classes = {f"tiny-{Path(row['file']).stem}": row["class"] for row in csv.DictReader(file)}
    found: Counter[str] = Counter()
    for name, info in manifest.splits.items():
        split = Split.open(tmp_path / "shards", name)
        records = [split.read_record(sample) for sample in range(len(split))]
        assert all(record.notes["M"].text for record in records)
        assert Counter(classes[key] for key in split.keys) == info.by_dataset["tiny"]["drawn"].labels
        assert info.samples == len(split) == sum(shard.samples for shard in info.shards)
        assert max(shard.samples for shard in info.shards) <= 7
        found.update(split.keys)
    assert found == Counter(classes.keys())
    assert manifest.sources[0]["records"] == 48
    assert Manifest.read(tmp_path / "shards") == manifest
    assert verify(tmp_path / "shards", decode=True, workers=1) == []
    assert not (tmp_path / "shards" / ".parts").exists()


def test_plain_webdataset_reads_a_shard(recipe, tmp_path):
    manifest = shard(recipe())
    split = Split.open(tmp_path / "shards", "train")
    first = manifest.splits["train"].shards[0]
    samples = list(webdataset.WebDataset(str(tmp_path / "shards" / first.path), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == list(split.keys[: first.samples])
    for number, sample in enumerate(samples):
        assert sample["jpg"] == split.read_image(number)
        assert Image.open(io.BytesIO(sample["jpg"])).size == (24, 20)
        assert json.loads(sample["json"])["dataset"] == "tiny"


def test_jpeg_files_are_kept_byte_for_byte_and_others_become_jpeg(recipe, raw, tmp_path):
    shard(recipe(split=SplitConfig(val=0, test=0)))
    split = Split.open(tmp_path / "shards", "train")
    for sample, key in enumerate(split.keys):
        name = key.removeprefix("tiny-")
        stored = split.read_image(sample)
        if name == "img04":
            assert Image.open(io.BytesIO(stored)).format == "JPEG"
        else:
            assert stored == (raw / "images" / f"{name}.jpg").read_bytes()


def test_shards_mix_lesions_and_classes(recipe, tmp_path):
    shard(recipe(split=SplitConfig(val=0, test=0)))
    keys = list(Split.open(tmp_path / "shards", "train").keys)
    assert keys != sorted(keys)


def test_same_bytes_for_any_number_of_processes(sound, recipe, tmp_path, digests):
    shard(recipe("two", workers=2))
    one, two = digests(sound), digests(tmp_path / "two")
    assert {"dataset.json", "rejects.csv", "plan.json"} < one.keys()
    assert one == two


def test_unreadable_images_are_listed_and_counted(recipe, raw, tmp_path):
    (raw / "images" / "img07.jpg").write_bytes(b"this is no picture")
    whole = (raw / "images" / "img08.jpg").read_bytes()
    (raw / "images" / "img08.jpg").write_bytes(whole[: len(whole) // 2])
    (raw / "images" / "img09.jpg").unlink()
    manifest = shard(recipe(max_reject_share=0.1))
    listed = read_rejects(tmp_path / "shards")
    rows = {Path(row["file"]).name: row["row"] for row in listed}
    assert rows == {"img07.jpg": "9", "img08.jpg": "10", "img09.jpg": "11"}  # the header is row 1
    rejects = {Path(row["file"]).name: row["reason"] for row in listed}
    assert rejects["img07.jpg"] == "cannot be decoded: not an image"
    assert "truncated" in rejects["img08.jpg"].lower()
    assert sum(info.samples for info in manifest.splits.values()) == 45
    assert (manifest.sources[0]["records"], manifest.sources[0]["rejected"]) == (45, 3)
    assert verify(tmp_path / "shards", workers=1) == []


def test_a_shard_without_a_usable_image_is_not_written(recipe, raw, tmp_path):
    for path in (raw / "images").iterdir():
        path.write_bytes(b"no picture")
    manifest = shard(recipe(max_reject_share=1.0))
    assert [info.shards for info in manifest.splits.values()] == [[], [], []]
    assert not list((tmp_path / "shards").rglob("*.tar"))
    assert len(read_rejects(tmp_path / "shards")) == 48


def test_too_many_rejects_stop_with_the_source_and_the_list(recipe, raw, tmp_path):
    for number in (10, 11, 12):
        (raw / "images" / f"img{number}.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"source tiny: 3 of 48 rows .*6\.2%.*5\.0%.*rejects\.csv"):
        shard(recipe())
    assert len(read_rejects(tmp_path / "shards")) == 3
    assert not (tmp_path / "shards" / "dataset.json").exists()
    manifest = shard(recipe(max_reject_share=0.1))  # a higher tolerance goes on from there
    assert manifest.sources[0]["rejected"] == 3


def test_rows_refused_by_the_source_count_as_well(recipe, raw, tmp_path):
    for number in range(10, 30):
        (raw / "images" / f"img{number}.jpg").unlink()
    config = recipe()
    with pytest.raises(DataError, match="20 of 48 rows"):
        shard(config)
    with pytest.raises(DataError, match=r"refused as too many rows.*rejects\.csv lists"):
        Manifest.read(tmp_path / "shards")
    config.sources[0].allow_missing = True  # mended before the first shard: the same folder will do
    assert shard(config).sources[0]["rejected"] == 20
    assert len(read_rejects(tmp_path / "shards")) == 20


def test_a_key_of_two_sources_is_refused_once(recipe, tmp_path):
    config = recipe()
    config.sources = [config.sources[0], replace(config.sources[0])]
    config.max_reject_share = 1.0
    manifest = shard(config)
    assert [source["records"] for source in manifest.sources] == [48, 0]
    assert "key tiny-img00 is taken" in read_rejects(tmp_path / "shards")[0]["reason"]


def test_held_out_sources_are_never_trained_on(recipe):
    config = recipe()
    config.sources.append(replace(config.sources[0], dataset="other", heldout=True))
    manifest = shard(config)
    assert "other" not in manifest.splits["train"].by_dataset
    assert "other" not in manifest.splits["val"].by_dataset
    tiny, other = manifest.sources
    assert other["records"] == manifest.splits["test"].by_dataset["other"]["drawn"].samples > 0
    assert other["records"] + other["left_out"] == tiny["records"] == 48


def test_near_duplicates_are_counted(recipe, raw):
    (raw / "images" / "img40.jpg").write_bytes((raw / "images" / "img01.jpg").read_bytes())
    config = recipe()
    config.dedup.enabled = True
    assert shard(config).dedup["pairs"] >= 1


def test_large_images_are_shrunk(recipe, tmp_path):
    shard(recipe(pack=PackConfig(samples_per_shard=7, short_side=10, workers=1)))
    sizes = {size for part in stats(tmp_path / "shards", workers=1).slices.values() for size in part.sizes}
    assert sizes == {(12, 10)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": []}, "sources is empty"),
        ({"pack": PackConfig(samples_per_shard=0)}, "samples_per_shard=0"),
        ({"notes": ["X"]}, "note 'X': .* not a strategy"),
        (
            {"audit": AuditConfig(refuse=["clas"])},
            r"audit\.refuse: 'clas' is none of .* Did you mean class\?",
        ),
        ({"audit": AuditConfig(exempt=["Q"])}, r"audit\.exempt: note 'Q'"),
    ],
)
def test_recipes_that_cannot_work(recipe, changes, message):
    with pytest.raises(ConfigError, match=message):
        shard(recipe(**changes))


def test_a_missing_data_folder_is_named(recipe, tmp_path):
    config = recipe()
    config.root = str(tmp_path / "nowhere")
    with pytest.raises(DataError, match="nowhere not found: set root"):
        shard(config)


def test_stats_count_what_is_there(recipe, tmp_path):
    manifest = shard(recipe())
    counted = stats(tmp_path / "shards", workers=1)
    for split, info in manifest.splits.items():
        part = counted.slices[split, "tiny", "drawn"]
        assert dict(part.labels) == info.by_dataset["tiny"]["drawn"].labels
        assert part.notes["M"].notes == part.samples == info.samples
        assert part.sizes == {(24, 20): info.samples}
        assert counted.tar_bytes[split] == sum(shard.bytes for shard in info.shards)


def test_ls_filters_and_limits(recipe, tmp_path):
    manifest = shard(recipe())
    melanomas = list_samples(tmp_path / "shards", split="train", label="mel", limit=0)
    assert len(melanomas) == manifest.splits["train"].by_dataset["tiny"]["drawn"].labels["MEL"]
    assert {(row.split, row.record.class_name) for row in melanomas} == {("train", "melanoma")}
    assert len(list_samples(tmp_path / "shards", limit=5)) == 5
    for wrong in ({"split": "dev"}, {"dataset": "huge"}, {"label": "wart"}):
        with pytest.raises(ConfigError, match=next(iter(wrong.values()))):
            list_samples(tmp_path / "shards", **wrong)
