"""What is packed of the notes: lies are refused, listed and counted; always the same; as the recipe says."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data_tools.config import AuditConfig, PackConfig, ServerConfig, ShardsConfig, WriterConfig
from data_tools.notes.asking import Questions
from data_tools.notes.audit import engine
from data_tools.notes.store import Entry, NoteStore
from data_tools.shards import verdicts
from data_tools.shards.build import prepare, shard, write_share
from data_tools.shards.inputs import read_samples
from data_tools.shards.ls import print_samples
from data_tools.shards.plan import AUDITS_NAME, REFUSED_NAME
from data_tools.shards.verify import verify
from mmfm.data.index import Split
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError
from mmfm.records import Record

IMAGES = 48
NAMES = ["M", "K", "L1", "R"]
FORM = "A) Asymmetry: asymmetric. B) Border: sharp. C) Colors: red. D) Dermoscopic structures: dots. "
LIES = range(0, IMAGES, 4)  # samples whose L1 names another class
NOT_THERE, FAILED = 1, 2  # samples without an L1
SHORT = 3  # the sample whose L1 has fewer than MIN_WORDS
MIN_WORDS = 14


def _text(number: int, record: Record) -> str:
    if number == SHORT:
        return FORM.strip()
    named = "dermatofibroma" if number in LIES else record.class_name
    return f"{FORM}Impression: {named}."


def _fill(config: ShardsConfig) -> None:
    """Write the store of `config`: an L1 for each sample but two, every fourth of them a lie."""
    samples = [(sample.record, sample.image) for sample in read_samples(config).samples]
    with NoteStore(config.store) as store:
        for question in Questions(config, samples):
            number = question.number
            if number == NOT_THERE:
                continue
            record = samples[number][0]
            text = _text(number, record)
            failure = "refused" if number == FAILED else ""
            entry = Entry(
                question.key, record.key, "L1", "1", "p", {}, "server", "m", {}, text, text, failure=failure
            )
            store.append(entry)


@pytest.fixture
def noted(recipe: Callable[..., ShardsConfig], tmp_path: Path) -> Callable[..., ShardsConfig]:
    """`noted(output="shards", **changes)`: the recipe with all four notes, and a store with planted lies."""

    def noted(output: str = "shards", **changes: Any) -> ShardsConfig:
        settings: dict[str, Any] = {
            "notes": NAMES,
            "writers": {"default": WriterConfig(model="m")},
            "audit": AuditConfig(refuse=["class", "leak"]),
            **changes,
        }
        config = recipe(output, store=str(tmp_path / "store"), **settings)
        config.audit.min_words = MIN_WORDS
        if not (tmp_path / "store").exists():
            _fill(config)
        return config

    return noted


def refused_notes(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / REFUSED_NAME).read_text().splitlines()]


def records(output: Path) -> Iterator[Record]:
    for name, info in Manifest.read(output).splits.items():
        if info.samples:
            split = Split.open(output, name)
            yield from (split.read_record(sample) for sample in range(len(split)))


def test_the_control_comes_from_a_lesion_of_the_same_split(noted: Callable[..., ShardsConfig]) -> None:
    config = noted(notes=["M", "R"], audit=AuditConfig(enabled=False))
    shard(config)
    output = Path(config.output)
    split_of = {
        split.read_record(sample).key: name
        for name, info in Manifest.read(output).splits.items()
        if info.samples and (split := Split.open(output, name))
        for sample in range(len(split))
    }
    found = list(records(output))
    assert set(split_of.values()) == {"train", "val", "test"}
    assert all(split_of[record.notes["R"].provenance["of"]] == split_of[record.key] for record in found)


def lying() -> set[str]:
    return {f"tiny-img{number:02d}" for number in LIES}


def test_lies_are_refused_listed_and_counted(noted, tmp_path) -> None:
    manifest = shard(noted())
    output = tmp_path / "shards"
    listed = refused_notes(output)
    assert {(line["key"], line["note"]) for line in listed} == {(key, "L1") for key in lying()}
    for line in listed:
        assert "class" in line["reasons"] and "dermatofibroma" in line["text"]
        assert line["provenance"]["model"] == "m"
        assert any(finding["kind"] == "class" for finding in line["findings"])
    packed = Counter(name for record in records(output) for name in record.notes)
    refused = Counter(line["note"] for line in listed)
    for name in NAMES:
        counts = manifest.audit["notes"][name]
        assert counts["written"] + counts["missing"] == IMAGES
        assert counts["written"] == counts["packed"] + counts["refused"] + counts["left_out"]
        assert (counts["packed"], counts["refused"]) == (packed[name], refused[name])
    assert manifest.audit["notes"]["L1"]["missing"] == 2
    assert manifest.audit["notes"]["L1"]["reasons"]["class"] == len(LIES)
    assert manifest.notes == NAMES
    assert verify(output, workers=1) == []


def test_what_is_packed_carries_its_audit(noted, tmp_path, capsys) -> None:
    shard(noted())
    packed = {record.key: record for record in records(tmp_path / "shards")}
    for key in lying():
        assert packed[key].notes.keys() == {"M", "K", "R"}
    for record in packed.values():
        assert all({"version", "findings", "scores"} <= note.audit.keys() for note in record.notes.values())
    controls = [record.notes["R"] for record in packed.values()]
    assert any(note.audit["findings"] for note in controls)  # exempt: notes of other lesions stay
    short = packed[f"tiny-img{SHORT:02d}"]
    assert [finding["kind"] for finding in short.notes["L1"].audit["findings"]] == ["length"]
    print_samples(tmp_path / "shards", limit=0)
    assert f"    L1 [length]: {FORM.strip()}\n" in capsys.readouterr().out


def test_another_run_in_other_places_gives_the_same_bytes(noted, tmp_path, digests) -> None:
    shard(noted("one"))
    moved = noted("two", pack=PackConfig(samples_per_shard=7, workers=1))
    moved.store = str(shutil.copytree(tmp_path / "store", tmp_path / "elsewhere"))
    moved.writers["default"].server = ServerConfig(url="http://elsewhere/v1", concurrency=99)
    shard(moved)
    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert one == two and REFUSED_NAME in one
    moved.output = str(tmp_path / "one")
    shard(moved)  # and so it is the same plan


def test_the_recipe_says_what_is_refused(noted, tmp_path) -> None:
    strict = shard(noted("strict", audit=AuditConfig(refuse=["class", "length"])))
    assert strict.audit["notes"]["L1"]["reasons"] == {"class": len(LIES), "length": 1}
    lenient = shard(noted("lenient", audit=AuditConfig(refuse=[])))
    assert lenient.audit["notes"]["L1"]["refused"] == 0
    assert refused_notes(tmp_path / "lenient") == []
    off = shard(noted("off", audit=AuditConfig(enabled=False)))
    assert off.audit["version"] == "" and off.audit["notes"]["L1"]["refused"] == 0
    assert all(not note.audit for record in records(tmp_path / "off") for note in record.notes.values())
    with pytest.raises(ConfigError, match=r"audit\.enabled is True there, False here"):
        shard(noted("strict", audit=AuditConfig(enabled=False)))


def test_a_sample_without_any_sound_note_keeps_its_place(noted, tmp_path) -> None:
    manifest = shard(noted(notes=["L1"]))
    bare = {record.key for record in records(tmp_path / "shards") if not record.notes}
    assert bare == lying() | {f"tiny-img{number:02d}" for number in (NOT_THERE, FAILED)}
    assert sum(info.samples for info in manifest.splits.values()) == IMAGES
    assert verify(tmp_path / "shards", workers=1) == []


def test_a_name_of_which_nothing_is_packed_is_not_promised(noted) -> None:
    all_too_long = AuditConfig(refuse=["length"], max_words=1)
    manifest = shard(noted(notes=["M", "L1"], audit=all_too_long))
    assert manifest.notes == []
    assert manifest.audit["notes"]["M"]["refused"] == IMAGES


def test_the_audit_is_settled_once_for_all_tasks(noted, tmp_path, digests, monkeypatch) -> None:
    shard(noted("alone"))
    config = noted("shared")
    prepare(config)
    monkeypatch.setattr(verdicts, "audit_chunks", None)
    for number in (1, 0):
        write_share(config, number, 2)
    shard(config)
    assert digests(tmp_path / "shared") == digests(tmp_path / "alone")


@pytest.mark.parametrize("torn", [b"", b'{"findings": [], "sc', b'{"findings": [], "scores": {}}'])
def test_an_audit_that_was_interrupted_goes_on(noted, tmp_path, digests, monkeypatch, torn) -> None:
    shard(noted("alone"))
    config = noted("killed")
    monkeypatch.setattr(engine, "CHUNK", 10)
    audited: list[str] = []
    true = engine.audit_note

    def audit_some(record, note, cfg):
        audited.append(note.strategy)
        if len(audited) == 75:
            raise KeyboardInterrupt
        return true(record, note, cfg)

    monkeypatch.setattr(engine, "audit_note", audit_some)
    with pytest.raises(KeyboardInterrupt):
        shard(config)
    with (tmp_path / "killed" / ".parts" / AUDITS_NAME).open("ab") as journal:
        journal.write(torn)
    shard(config)
    assert len(audited) == 75 + (4 * IMAGES - 2) - 70  # those of whole chunks are not audited again
    assert digests(tmp_path / "killed") == digests(tmp_path / "alone")


def test_a_plan_that_was_changed_before_its_first_shard_is_audited_anew(noted, tmp_path, digests) -> None:
    prepare(noted("changed"))
    for output in ("changed", "alone"):
        shard(noted(output, audit=AuditConfig(refuse=[])))
    assert digests(tmp_path / "changed") == digests(tmp_path / "alone")


def test_a_note_that_was_written_since_is_another_plan(noted, tmp_path) -> None:
    config = noted()
    shard(config)
    shutil.rmtree(tmp_path / "store")
    _fill_truthfully(config)
    with pytest.raises(ConfigError, match="records, notes or images have changed since"):
        shard(config)


def _fill_truthfully(config: ShardsConfig) -> None:
    samples = [(sample.record, sample.image) for sample in read_samples(config).samples]
    with NoteStore(config.store) as store:
        for question in Questions(config, samples):
            record = samples[question.number][0]
            text = f"{FORM}Impression: {record.class_name}."
            store.append(Entry(question.key, record.key, "L1", "1", "p", {}, "server", "m", {}, text, text))


def test_verify_counts_the_notes(noted, tmp_path) -> None:
    manifest = shard(noted())
    manifest.audit["notes"]["K"]["packed"] -= 1
    manifest.write(tmp_path / "shards")
    (problem,) = verify(tmp_path / "shards", workers=1)
    assert str(problem).count("note K: the manifest says 47, the shards hold 48") == 1
