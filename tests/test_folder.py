"""Folders, local and remote: whole files, appended files, names, and the messages if nothing can be written."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.fs
import pytest

from tune_app import conditional_puts
from tune_app.errors import InputError, WorkFailed
from tune_app.folder import ASIDE, Folder, LocalFolder, RemoteFolder, cannot_write, open_folder


@pytest.fixture(params=["local", "mock", "subtree", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "s3":
        return open_folder(request.getfixturevalue("s3_url"))
    if request.param == "local":
        return LocalFolder(tmp_path / "root")
    if request.param == "mock":
        filesystem, root = pyarrow.fs.FileSystem.from_uri("mock:///bucket/root")
        return RemoteFolder("mock://bucket/root", filesystem, root)
    filesystem = pyarrow.fs.SubTreeFileSystem(str(tmp_path), pyarrow.fs.LocalFileSystem())
    return RemoteFolder("sub://root", filesystem, "root")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(InputError, match="/file` is a file"):
        open_folder(tmp_path / "file")


def test_nothing_is_there_yet(folder: Folder) -> None:
    assert folder.read("a/b.txt") is None
    assert folder.names("a") == folder.names("") == []
    assert not folder.exists("a/b.txt")
    folder.remove("a")
    folder.remove("a/b.txt")
    folder.remove_leftovers("a")


def test_write_and_write_again(folder: Folder) -> None:
    folder.write("a/b.txt", b"one, longer")
    folder.write("a/b.txt", b"two")
    folder.write("a/c/d.bin", bytes(range(256)) * 1000)
    folder.write("a/empty", b"")
    folder.write("a/.hidden", b"")
    assert folder.read("a/b.txt") == b"two"
    assert folder.read("a/c/d.bin") == bytes(range(256)) * 1000
    assert folder.read("a/empty") == b""
    assert folder.names("a") == ["b.txt", "c", "empty"]
    assert folder.names("a/b.txt/x") == []
    assert folder.exists("a/b.txt")
    assert not folder.exists("a/c")


def test_a_stamp_changes_with_the_content(folder: Folder) -> None:
    assert folder.stamp("a/b.txt") is None
    stamps = []
    for content in (b"one", b"two", b"six"):
        folder.write("a/b.txt", content)
        stamps += [folder.stamp("a/b.txt"), folder.stamp("a/b.txt")]
    assert [stamps.index(stamp) for stamp in stamps] == [0, 0, 2, 2, 4, 4]


def test_a_file_can_be_read_from_an_offset(folder: Folder) -> None:
    assert folder.read("log", 3) is None
    folder.append("log", b"abc")
    folder.append("log", b"def")
    assert [folder.read("log", start) for start in (0, 2, 6, 9)] == [b"abcdef", b"cdef", b"", b""]


def test_append(folder: Folder) -> None:
    for number in range(12):
        folder.append("log/events", b"%d\n" % number)
    assert folder.read("log/events") == b"".join(b"%d\n" % n for n in range(12))
    assert folder.names("log") == ["events"]
    assert folder.exists("log/events")


def test_merging_keeps_what_was_appended(folder: Folder) -> None:
    folder.write("log", b"first;")
    for number in range(12):
        folder.append("log", b"%d;" % number)
        if number in (0, 4, 5, 9):
            folder.merge("log")
    assert folder.read("log") == b"first;" + b"".join(b"%d;" % n for n in range(12))
    folder.merge("log")
    folder.merge("nothing")
    assert folder.read("log") == b"first;" + b"".join(b"%d;" % n for n in range(12))
    assert folder.names("") == ["log"]


def test_an_interrupted_merge_neither_loses_nor_duplicates_anything() -> None:
    filesystem, root = pyarrow.fs.FileSystem.from_uri("mock:///root")
    folder = RemoteFolder("mock://root", filesystem, root)
    for text in (b"a", b"b", b"c"):
        folder.append("log", text)
    folder.write("log.parts/000002.merged", b"ab")  # the writer was killed before it removed the parts
    assert folder.read("log") == b"abc"
    folder.append("log", b"d")
    assert RemoteFolder("mock://root", filesystem, root).read("log") == b"abcd"


def test_append_and_write_mix(folder: Folder) -> None:
    folder.write("log", b"a")
    folder.append("log", b"b")
    folder.append("log", b"c")
    assert folder.read("log") == b"abc"
    folder.write("log", b"d")
    assert folder.read("log") == b"d"
    folder.append("log", b"e")
    assert folder.read("log") == b"de"
    folder.remove("log")
    assert folder.read("log") is None
    folder.append("log", b"f")
    assert folder.read("log") == b"f"


def test_another_process_appends_at_the_end() -> None:
    filesystem, root = pyarrow.fs.FileSystem.from_uri("mock:///root")
    for text in (b"a", b"b", b"c"):
        RemoteFolder("mock://root", filesystem, root).append("log", text)
    assert RemoteFolder("mock://root", filesystem, root).read("log") == b"abc"


def test_create_and_replace(folder: Folder) -> None:
    assert folder.read_version("a/b") == (None, None)
    assert folder.create("a/b", b"one")
    assert not folder.create("a/b", b"other")
    content, version = folder.read_version("a/b")
    assert content == b"one"
    second = folder.replace("a/b", b"two", version)
    assert second is not None
    assert folder.replace("a/b", b"three", version) is None, "the stored version is a different one"
    assert folder.read_version("a/b") == (b"two", second)
    folder.write("a/b", b"four")
    assert folder.replace("a/b", b"five", second) is None
    folder.remove("a/b")
    assert folder.replace("a/b", b"six", second) is None, "a removed file is not restored"
    assert folder.read("a/b") is None
    assert folder.names("a") == []


@pytest.fixture(params=["local", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "root") if request.param == "local" else str(request.getfixturevalue("s3_url"))


def at_once(address: str, count: int, work: Callable[[Folder, int], object]) -> list[object]:
    """The results of `work` in `count` threads, each with a separate folder."""
    start = threading.Barrier(count)

    def begin(number: int) -> object:
        folder = open_folder(address)
        start.wait()
        return work(folder, number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def test_only_one_of_many_creates_a_file(address: str) -> None:
    for name in ("a/1", "a/2", "3"):
        made = at_once(address, 6, lambda folder, number, name=name: folder.create(name, b"%d" % number))
        assert made.count(True) == 1
        assert open_folder(address).read(name) == b"%d" % made.index(True)


def test_no_replacement_is_lost(address: str) -> None:
    def count_up(folder: Folder, number: int) -> None:
        done = 0
        while done < 5:
            content, version = folder.read_version("a/count")
            # The thread number matters: otherwise two threads write the same content, which has the same version.
            count = int((content or b"0").split()[0]) + 1
            done += folder.replace("a/count", b"%d %d" % (count, number), version) is not None

    at_once(address, 4, count_up)
    assert (open_folder(address).read("a/count") or b"").split()[0] == b"20"


def test_keys_from_the_address_and_from_a_profile(
    s3_url: str, s3_access: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    server = s3_access["AWS_ENDPOINT_URL"].removeprefix("http://")
    query = f"region=us-east-1&scheme=http&endpoint_override={server}"
    assert open_folder(f"{s3_url.replace('://', '://someone:secret@')}?{query}").create("a", b"1")
    keys = "[default]\naws_access_key_id = a\n[work]\naws_access_key_id = b\naws_secret_access_key = c\n"
    (tmp_path / "keys").write_text(keys)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    folder = open_folder(f"{s3_url}?{query}")
    assert not folder.create("a", b"2")
    assert folder.create("b", b"2")
    assert folder.read("b") == b"2"


def test_conditional_puts_that_fail(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(s3_url.replace("results", "no-such-bucket"))
    with pytest.raises(WorkFailed, match=r"cannot write s3://no-such-bucket/.*/a: ") as caught:
        folder.create("a", b"1")
    assert len(str(caught.value).splitlines()) == 2
    monkeypatch.setitem(conditional_puts.RETRIES, "max_retries", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    folder = open_folder(s3_url)
    with pytest.raises(WorkFailed, match=r"cannot read s3://.*/a: ") as caught_too:
        folder.read_version("a")
    assert len(str(caught_too.value).splitlines()) == 2


def test_remove_a_folder(folder: Folder) -> None:
    folder.write("a/b/c", b"1")
    folder.append("a/b/d", b"2")
    folder.write("a/e", b"3")
    folder.remove("a/b")
    assert folder.names("a") == ["e"]
    assert folder.read("a/b/d") is None


# An object store has no folders: ``a`` and ``a/b`` can coexist.
with_folders = pytest.mark.parametrize("folder", ["local", "mock", "subtree"], indirect=True)


@with_folders
def test_a_path_below_a_file(folder: Folder) -> None:
    folder.write("a", b"kept")
    for write in (folder.write, folder.append):
        with pytest.raises(WorkFailed, match=r"cannot write .*a/b") as caught:
            write("a/b/c", b"1")
        assert len(str(caught.value).splitlines()) == 2
        assert "irectory" in caught.value.message, "the reason is named"
    assert folder.read("a") == b"kept"


@with_folders
def test_a_folder_where_a_file_is_wanted(folder: Folder) -> None:
    folder.write("a/b", b"1")
    with pytest.raises(WorkFailed, match=r"cannot read .*a"):
        folder.read("a")
    with pytest.raises(WorkFailed, match=r"cannot write .*a"):
        folder.write("a", b"1")
    assert folder.read("a/b") == b"1"


def test_no_temporary_file_is_left_behind(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a/b", b"1")
    (tmp_path / "a" / "c").mkdir()
    with pytest.raises(WorkFailed):
        folder.write("a/c", b"1")
    assert sorted(os.listdir(tmp_path / "a")) == ["b", "c"]
    assert os.listdir(tmp_path / ASIDE) == []


def test_temporary_files_are_never_in_a_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    replace = os.replace

    def look(source: Path, target: Path) -> None:
        seen.append(os.listdir(tmp_path / "trials" / "study=s"))
        replace(source, target)

    monkeypatch.setattr("tune_app.folder.os.replace", look)
    folder = LocalFolder(tmp_path)
    folder.write("trials/study=s/data.parquet", b"1")
    folder.write("trials/study=s/data.parquet", b"2")
    assert seen == [[], ["data.parquet"]]


def test_a_folder_on_another_disk_can_be_written(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "trials").symlink_to(small_disk)
    LocalFolder(tmp_path).write("trials/a", b"1")
    assert os.listdir(small_disk) == ["a"]


@pytest.mark.parametrize(
    ("number", "said", "unsaid"),
    [
        (errno.ENOSPC, "free some space", "rights"),
        (errno.EACCES, "check the write permissions there", "space"),
        (errno.EROFS, "is read-only", "space"),
        (errno.ENOTDIR, "check the path", "space"),
    ],
)
def test_the_hint_says_what_helps(number: int, said: str, unsaid: str) -> None:
    error = cannot_write("a", OSError(number, os.strerror(number)))
    assert said in error.hint
    assert unsaid not in error.hint
    assert "--store" in error.hint


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a/b", b"1")
    (tmp_path / "a" / ".b.123.456.tmp").write_bytes(b"half")
    folder.write("a.b/c", b"1")
    for name in ("a.b.123.456.tmp", "a%2Eb.c.123.456.tmp"):
        (tmp_path / ASIDE / name).write_bytes(b"half")
    (tmp_path / "a" / ".lock").touch()
    folder.remove_leftovers("a")
    assert sorted(os.listdir(tmp_path / "a")) == [".lock", "b"]
    assert os.listdir(tmp_path / ASIDE) == ["a%2Eb.c.123.456.tmp"], "the writer of another folder may still be running"


def test_a_reader_sees_only_whole_files(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    contents = [bytes([n]) * 300_000 for n in (1, 2)]
    folder.write("a", contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                folder.write("a", content)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen: set[bytes | None] = set()
    reads = 0
    while reads < 300 or len(seen) < 2:  # on a slow disk, 300 reads may finish before the first write
        seen.add(folder.read("a"))
        reads += 1
    stop.set()
    for writer in writers:
        writer.join()
    assert seen == set(contents)
    assert os.listdir(tmp_path) == ["a"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_disk(small_disk: Path) -> None:
    folder = LocalFolder(small_disk)
    folder.write("a", b"former")
    folder.append("log", b"line\n")
    for write, name in ((folder.write, "a"), (folder.append, "log")):
        with pytest.raises(WorkFailed) as caught:
            write(name, b"x" * 100_000)
        assert caught.value.message == f"cannot write {small_disk / name}: No space left on device"
        assert caught.value.exit_code == 1
    assert folder.read("a") == b"former"
    assert folder.read("log") == b"line\n", "a half-appended line is removed again"
    assert sorted(os.listdir(small_disk)) == ["a", "log"]
    folder.append("log", b"next\n")
    assert folder.read("log") == b"line\nnext\n"


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_folder("results").url == str(tmp_path / "results")
    assert open_folder("~/results").url == str(tmp_path / "home" / "results")
    assert open_folder(f"file://{tmp_path}/x").url == str(tmp_path / "x")
    assert isinstance(open_folder(f"file://{tmp_path}/x"), LocalFolder)
    remote = open_folder("mock:///bucket/results")
    assert remote.path("trials/study=a") == "mock:///bucket/results/trials/study=a"
    assert list(tmp_path.iterdir()) == [], "opening creates nothing"


@pytest.mark.parametrize("url", ["s4://bucket/x", "s3://", "://", "a\0b", "http://host/x"])
def test_addresses_that_are_rejected(url: str) -> None:
    with pytest.raises(InputError, match="the store must be a folder") as caught:
        open_folder(url)
    assert len(str(caught.value).splitlines()) <= 2


def test_names_that_no_file_system_takes(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    long = "x" * 5000
    with pytest.raises(InputError, match="File name too long"):
        folder.names(long)
    with pytest.raises(InputError, match="File name too long"):
        folder.read(long)
    with pytest.raises(WorkFailed, match="File name too long"):
        folder.write(long, b"")
    with pytest.raises(WorkFailed, match="File name too long"):
        folder.remove(long)
    assert not folder.exists(long)


def test_a_file_replaced_while_it_is_read_is_whole(s3_url: str) -> None:
    folder, contents = open_folder(s3_url), [letter * length for letter, length in ((b"a", 9), (b"b", 900), (b"c", 90))]
    folder.write("live.json", contents[0])
    done = threading.Event()

    def replace() -> None:
        writer = open_folder(s3_url)
        while not done.is_set():
            for content in contents:
                writer.write("live.json", content)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        read = {folder.read("live.json") for _ in range(60)}
    finally:
        done.set()
        thread.join()
    assert read <= set(contents)
