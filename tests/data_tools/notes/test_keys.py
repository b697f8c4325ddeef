"""Keys of notes: what changes them and what does not; files are read once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from data_tools.config import LocalModelConfig, PrepareConfig, ServerConfig, WriterConfig
from data_tools.images import prepare
from data_tools.notes import keys
from data_tools.notes.backends import images
from data_tools.notes.keys import FileDigests, model_identity, note_key, seed_of
from data_tools.notes.strategy import Prompt
from mmfm.errors import ConfigError, DataError

PROMPT = Prompt("L1", "1", "You are.", "Describe.", image=True)
FORM = replace(PROMPT, schema={"type": "object"})
WRITER = WriterConfig(model="m")
LOCAL = replace(WRITER, backend="local")
LONG_AGO = 1_500_000_000
KNOWN = ("a6369d5520d13339", "ed105f4b06965533", "5a59570ccc0b4042")


def key(
    image: str = "i",
    prompt: Prompt = PROMPT,
    model: str = "m",
    writer: WriterConfig = WRITER,
    prepare: PrepareConfig | None = None,
) -> str:
    return note_key(image, prompt, model, writer, prepare or PrepareConfig())


def test_all_that_decides_the_answer_changes_the_key() -> None:
    others = [
        key(image="j"),
        key(prompt=replace(PROMPT, system="You were.")),
        key(prompt=replace(PROMPT, user="Describe!")),
        key(prompt=FORM),
        key(prompt=replace(PROMPT, image=False)),
        key(model="n"),
        key(writer=LOCAL),
        key(writer=replace(WRITER, temperature=0.0)),
        key(writer=replace(WRITER, top_p=0.9)),
        key(writer=replace(WRITER, max_tokens=10)),
        key(writer=replace(WRITER, seed=1)),
        key(writer=replace(WRITER, image_side=256)),
        key(writer=replace(WRITER, server=ServerConfig(image_detail="low"))),
        key(writer=replace(LOCAL, local=LocalModelConfig(dtype="bfloat16"))),
        key(prompt=FORM, writer=replace(WRITER, server=ServerConfig(structured="off"))),
        key(prepare=PrepareConfig(hair=True)),
        key(prepare=PrepareConfig(lesion=True)),
        key(prepare=PrepareConfig(lesion=True, margin=0.5)),
    ]
    assert len({key(), *others}) == len(others) + 1
    assert len({seed_of(one) for one in others}) == len(others) and all(
        seed_of(one) < 2**31 for one in others
    )


def test_how_and_how_fast_it_is_asked_does_not() -> None:
    writer = replace(
        WRITER,
        max_words=99,  # in the prompt, where it counts
        retry_failed=False,
        server=ServerConfig(url="http://other/v1", concurrency=1, timeout=3, price_in=1, budget=2),
        local=LocalModelConfig(batch=1, processes=3),
    )
    assert key(writer=writer, prepare=PrepareConfig(max_pixels=5)) == key()
    free = replace(WRITER, server=ServerConfig(structured="off"))
    assert key(writer=free) == key()  # where the answer has no form
    insisting = replace(WRITER, server=ServerConfig(structured="on"))
    assert key(prompt=FORM, writer=insisting) == key(prompt=FORM)
    blind = replace(PROMPT, image=False)
    assert key(prompt=blind, writer=replace(WRITER, image_side=256)) == key(prompt=blind)
    assert key(prompt=replace(PROMPT, facts={"age": "80"}, version="2")) == key()


def test_the_keys_of_before_are_those_of_now() -> None:
    """A store of other days is found: what is new enters a key only where it differs from what was usual."""
    assert (key()[:16], key(writer=LOCAL)[:16], key(prepare=PrepareConfig(hair=True))[:16]) == KNOWN


@pytest.mark.parametrize("changed", ["steps", "quality"])
def test_what_is_shown_otherwise_by_new_code_has_new_keys(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hair = PrepareConfig(hair=True)
    plain, prepared, blind = key(), key(prepare=hair), key(prompt=replace(PROMPT, image=False))
    if changed == "steps":
        monkeypatch.setattr(prepare, "VERSION", prepare.VERSION + 1)
    else:
        monkeypatch.setattr(images, "JPEG_QUALITY", 90)
    assert key(prepare=hair) != prepared
    assert (key() != plain) is (changed == "quality")  # without steps their code does not matter
    assert key(prompt=replace(PROMPT, image=False)) == blind


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, in order."""
    names: list[str] = []
    digest = keys.file_digest

    def counted(path: Path) -> str:
        names.append(path.name)
        return digest(path)

    monkeypatch.setattr(keys, "file_digest", counted)
    return names


def write(path: Path, content: str, time: int = LONG_AGO) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    os.utime(path, (time, time))
    return path


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path, reads: list[str]) -> None:
    one, two = write(tmp_path / "one", "1"), write(tmp_path / "two", "2")
    first = FileDigests(tmp_path / "store").of([one, two, one])
    assert sorted(reads) == ["one", "two"] and first[0] == first[2] != first[1]
    assert FileDigests(tmp_path / "store").of([two, one]) == [first[1], first[0]] and len(reads) == 2
    write(one, "2", LONG_AGO + 1)
    assert FileDigests(tmp_path / "store").of([one]) == [first[1]] and reads[2:] == ["one"]


def test_a_file_that_has_just_been_changed_is_not_trusted_later(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "new").write_text("1")
    for _ in range(2):
        FileDigests(tmp_path / "store").of([tmp_path / "new"])
    assert reads == ["new", "new"]


def test_a_store_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "1")
    (tmp_path / "store").write_text("a file where a folder should be")
    assert FileDigests(tmp_path / "store" / "digests").of([one]) == [keys.file_digest(one)]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: No such file"):
        FileDigests(tmp_path / "store").of([tmp_path / "gone"])


def test_a_local_model_is_what_its_files_hold_wherever_they_are(tmp_path: Path) -> None:
    digests = FileDigests(tmp_path / "store")

    def identity(folder: str, **files: str) -> str:
        for name, content in files.items():
            write(tmp_path / folder / name.replace("_", "."), content, LONG_AGO + len(content))
        writer = WriterConfig(backend="local", model=str(tmp_path / folder))
        return model_identity("default", writer, digests)

    first = identity("a", config_json="{}", model_safetensors="w")
    assert identity("b", config_json="{}", model_safetensors="w", README_md="x") == first
    assert identity("b", model_safetensors="other") != first
    (tmp_path / "a").rename(tmp_path / "c")
    assert identity("a") == first  # what the store knows of it
    assert identity("c") == first
    with pytest.raises(ConfigError, match=r"writers\.default\.model=.*/d is no folder"):
        identity("d")
    assert model_identity("default", WRITER, digests) == "m"
