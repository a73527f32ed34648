"""Archives: reading their members, and rejecting malicious or damaged ones."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_app.datasets import archive
from tune_app.datasets.archive import read_tar, read_zip
from tune_app.errors import InputError

Make = Callable[..., Path]
ESCAPES = ("../outside.txt", "a/../../outside.txt", "/outside.txt", "\\outside.txt", "C:\\outside.txt", "a\\..\\b.txt")


def everything(_: str) -> bool:
    return True


def test_tar_yields_the_wanted_members_in_order(make_tar: Make) -> None:
    folder = tarfile.TarInfo("a")
    folder.type = tarfile.DIRTYPE
    path = make_tar({"a/2.txt": b"two", "a/1.txt": b"one", "b.bin": b"no"}, folder)
    assert list(read_tar(path, lambda name: name.endswith(".txt"))) == [("a/2.txt", b"two"), ("a/1.txt", b"one")]


def test_zip_yields_the_wanted_members_in_order(make_zip: Make) -> None:
    path = make_zip({"a/": b"", "a/2.txt": b"two", "a/1.txt": b"one", "b.bin": b"no"})
    assert list(read_zip(path, lambda name: name.endswith(".txt"))) == [("a/2.txt", b"two"), ("a/1.txt", b"one")]


@pytest.mark.parametrize("name", ESCAPES)
def test_member_names_that_leave_the_archive_are_rejected(name: str, make_tar: Make, make_zip: Make) -> None:
    for read, path in ((read_tar, make_tar({name: b"x"})), (read_zip, make_zip({name: b"x"}))):
        with pytest.raises(InputError, match="must only have members inside its own folder") as caught:
            list(read(path, everything))
        assert str(path) in caught.value.where
        assert "outside" in caught.value.message or "b.txt" in caught.value.message


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_rejected(kind: bytes, make_tar: Make) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "/etc/hostname"
    with pytest.raises(InputError, match="must only contain files and folders, but `link` is something else"):
        list(read_tar(make_tar({}, member), everything))


def test_links_in_a_zip_are_rejected(make_zip: Make) -> None:
    member = zipfile.ZipInfo("link")
    member.external_attr = 0o120777 << 16
    with pytest.raises(InputError, match="must only contain files and folders, but `link` is something else"):
        list(read_zip(make_zip({member: b"/etc/hostname"}), everything))


def test_a_large_member_is_rejected_before_it_is_read(
    make_tar: Make, make_zip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBER", 999)
    for read, path in ((read_tar, make_tar({"big": bytes(1000)})), (read_zip, make_zip({"big": bytes(1000)}))):
        with pytest.raises(InputError, match="at most 999 bytes, but `big` has 1,000"):
            list(read(path, everything))


def test_the_unpacked_size_is_limited(make_tar: Make, make_zip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{number}.txt": bytes(10_000) for number in range(10)}
    small, packed = make_tar(files), make_zip(files)
    monkeypatch.setattr(archive, "MAX_TOTAL", 50_000)
    for read, path in ((read_tar, small), (read_zip, packed)):
        with pytest.raises(InputError, match="must unpack to at most 50,000 bytes"):
            list(read(path, lambda _: False))


def test_a_long_name_cannot_exhaust_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An extended header states its own length, and tarfile reads all of it.
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 2**30
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(member.tobuf(tarfile.PAX_FORMAT))
        file.write(bytes(200_000))
    monkeypatch.setattr(archive, "MAX_TOTAL", 100_000)
    with pytest.raises(InputError, match="must unpack to at most 100,000 bytes"):
        list(read_tar(path, everything))


def test_too_many_members(make_tar: Make, make_zip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    files = {str(number): b"" for number in range(4)}
    for read, path in ((read_tar, make_tar(files)), (read_zip, make_zip(files))):
        with pytest.raises(InputError, match="at most 3 members"):
            list(read(path, everything))


@pytest.mark.parametrize("keep", [0, 5, 60, 200])
def test_a_truncated_archive_is_rejected(keep: int, make_tar: Make, make_zip: Make) -> None:
    files = {f"{number}.txt": str(number).encode() * 100 for number in range(20)}
    for read, path in ((read_tar, make_tar(files)), (read_zip, make_zip(files))):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(InputError, match=r"must be a complete (tar\.gz|zip) file, but "):
            list(read(path, everything))


def test_changed_content_is_detected(make_zip: Make) -> None:
    path = make_zip({"a.txt": bytes(range(256)) * 4})
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="must be a complete zip file"):
        list(read_zip(path, everything))


def test_an_encrypted_archive_is_rejected(make_zip: Make) -> None:
    path = make_zip({"a.txt": b"x"})
    content = bytearray(path.read_bytes())
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(head) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"must be a complete zip file, but .*encrypted"):
        list(read_zip(path, everything))
