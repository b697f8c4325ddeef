"""Archives from elsewhere: what is written, and what is not."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from data_tools.fetch.unpack import is_archive, unpack
from mmfm.errors import DataError

FILES = {"top.csv": b"a,b\n", "images/part 1/ISIC_1.jpg": b"picture", "images/empty.txt": b""}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/", b"")
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def found(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(("make", "name"), [(zipped, "a.zip"), (tarred, "a.tar.gz")])
def test_all_members_are_written_again_and_again(tmp_path: Path, make, name: str) -> None:  # type: ignore[no-untyped-def]
    archive = make(tmp_path / name, FILES)
    assert is_archive(name)
    for _ in range(2):
        assert unpack(archive, tmp_path / "out") in (3, 4)
        assert found(tmp_path / "out") == FILES


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:/evil", "a/..\\..\\evil"]
)
def test_nothing_leaves_the_folder(tmp_path: Path, make, name: str) -> None:  # type: ignore[no-untyped-def]
    archive = make(tmp_path / "a.archive", {"good": b"x", name: b"evil"})
    with pytest.raises(DataError, match="leads out of its folder: nothing of it was unpacked"):
        unpack(archive, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("*evil*")) and not list(tmp_path.rglob("good"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("again", ["a/one", "a\\one", "./a/one"])
def test_a_file_that_stands_twice_is_refused(tmp_path: Path, kind: str, again: str) -> None:
    names = ("good", "a/one", again)
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a", "w") as archive:
            for number, name in enumerate(names):
                archive.writestr(name, str(number))
    else:
        with tarfile.open(tmp_path / "a", "w") as tar:
            for name in names:
                tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(DataError, match="one' twice"):
        unpack(tmp_path / "a", tmp_path / "out")
    assert not found(tmp_path / "out")


@pytest.mark.parametrize(("make", "name"), [(zipped, "a.zip"), (tarred, "a.tar.gz")])
def test_room_on_the_disk_is_looked_at_first(tmp_path: Path, make, name: str, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    archive = make(tmp_path / name, {"one": bytes(600), "two": bytes(600)})
    (tmp_path / "out").mkdir()
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("data_tools.fetch.unpack.shutil.disk_usage", lambda path: free)
    with pytest.raises(DataError, match=f"what is in {name} needs"):
        unpack(archive, tmp_path / "out")
    assert not found(tmp_path / "out")
    (tmp_path / "out" / "one").write_bytes(bytes(600))  # by an earlier run
    assert unpack(archive, tmp_path / "out") == 2


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
        archive.writestr("link/file", b"x")
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(member)
    for name in ("a.zip", "a.tar"):
        with pytest.raises(DataError, match="'link' is a link or a device"):
            unpack(tmp_path / name, tmp_path / "out")
    assert not found(tmp_path / "out")


def test_links_that_lie_in_the_folder_are_not_followed_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="would be written outside"):
        unpack(zipped(tmp_path / "a.zip", FILES), tmp_path / "out")
    assert not found(tmp_path / "elsewhere")


def test_bombs_are_stopped(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"big": bytes(3_000_000)})
    with pytest.raises(DataError, match="more bytes than it says or than are allowed"):
        unpack(archive, tmp_path / "out", limit=2_000_000)
    assert not found(tmp_path / "out")
    together = zipped(tmp_path / "c.zip", {"one": bytes(1_500_000), "two": bytes(1_500_000)})
    with pytest.raises(DataError, match="more bytes than it says or than are allowed"):
        unpack(together, tmp_path / "both", limit=2_000_000)
    lying = archive.read_bytes()
    size = (3_000_000).to_bytes(4, "little")
    assert lying.count(size) == 2  # in the member's own header and in the directory
    (tmp_path / "b.zip").write_bytes(lying.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(DataError, match=r"damaged|more bytes than it says"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_damaged_and_encrypted_archives(tmp_path: Path) -> None:
    good = zipped(tmp_path / "a.zip", FILES).read_bytes()
    (tmp_path / "b.zip").write_bytes(good.replace(b"picture"[:3], b"xxx") if b"pic" in good else good[:-30])
    (tmp_path / "c.tar.gz").write_bytes(tarred(tmp_path / "t.tar.gz", FILES).read_bytes()[:60])
    (tmp_path / "d.zip").write_bytes(b"no archive")
    for name in ("b.zip", "c.tar.gz", "d.zip"):
        with pytest.raises(DataError, match=f"{name} is damaged"):
            unpack(tmp_path / name, tmp_path / "out")
    flagged = bytearray(good)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        flagged[flagged.index(mark) + offset] |= 1
    (tmp_path / "e.zip").write_bytes(flagged)
    with pytest.raises(DataError, match="is encrypted: unpack it by hand"):
        unpack(tmp_path / "e.zip", tmp_path / "out")


def test_archives_that_cannot_be_written(tmp_path: Path) -> None:
    clash = zipped(tmp_path / "a.zip", {"one": b"x", "one/two": b"y"})
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked: .*File exists"):
        unpack(clash, tmp_path / "out")
    damaged = bytearray(tarred(tmp_path / "b.tar.gz", {"f": bytes(range(256)) * 4000}).read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 20] = bytes(byte ^ 255 for byte in damaged[middle : middle + 20])
    (tmp_path / "b.tar.gz").write_bytes(damaged)
    with pytest.raises(DataError, match=r"b\.tar\.gz cannot be unpacked: CRC check failed"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")
