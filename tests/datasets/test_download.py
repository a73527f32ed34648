"""Downloads from start to end: the order of addresses, checksums, broken downloads, and no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tune_app.datasets import download, load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.datasets.download import Fetched, fetch, verify
from tune_app.datasets.entry import Entry, RemoteFile
from tune_app.datasets.registry import DATASETS
from tune_app.datasets.split import split_text
from tune_app.errors import InputError, WorkFailed

if TYPE_CHECKING:
    from conftest import Server

CONTENT = b"To be, or not to be\n" * 2000


@pytest.fixture
def entry(server: Server) -> Entry:
    """A data set of one file with an official address and a mirror; neither has the file yet."""
    file = RemoteFile(
        "a.txt",
        (f"{server.address}/official/a.txt", f"{server.address}/mirror/a.txt"),
        f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
        len(CONTENT),
    )
    return Entry("made_up", "text", "", "", lambda files: Dataset("", "", *split_text(files[0].read_text())), (file,))


def only_file(cache: Path) -> list[str]:
    return [path.name for path in sorted(cache.joinpath("made_up").iterdir()) if path.name != ".lock"]


def test_the_official_address_comes_first(server: Server, entry: Entry, cache: Path) -> None:
    server.files = {"/official/a.txt": CONTENT, "/mirror/a.txt": CONTENT}
    assert fetch(entry) == [Fetched(cache / "made_up" / "a.txt", f"{server.address}/official/a.txt")]
    assert (cache / "made_up" / "a.txt").read_bytes() == CONTENT
    assert only_file(cache) == ["a.txt"]


def test_a_correct_file_is_not_downloaded_again(server: Server, entry: Entry) -> None:
    server.files = {"/official/a.txt": CONTENT}
    fetch(entry)
    assert fetch(entry)[0].source is None
    assert server.asked.total() == 1


@pytest.mark.parametrize("fault", ["absent", "other content", "half of it", "much more"])
def test_a_mirror_replaces_the_official_address(fault: str, server: Server, entry: Entry, cache: Path) -> None:
    contents = {"other content": CONTENT.replace(b"not", b"yes"), "half of it": CONTENT, "much more": CONTENT * 100}
    server.files = {"/mirror/a.txt": CONTENT}
    if fault in contents:
        server.files["/official/a.txt"] = contents[fault]
    server.cut = {"/official/a.txt"} if fault == "half of it" else set()
    assert fetch(entry)[0].source == f"{server.address}/mirror/a.txt"
    assert server.asked["/official/a.txt"] == 1
    assert only_file(cache) == ["a.txt"]


def test_a_server_that_states_no_length(server: Server, entry: Entry) -> None:
    server.files, server.chunked = {"/official/a.txt": CONTENT}, {"/official/a.txt"}
    assert fetch(entry)[0].source == f"{server.address}/official/a.txt"


def test_the_users_mirror_comes_first(server: Server, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", f"{server.address}/own/")
    server.files = {"/own/made_up/a.txt": CONTENT, "/official/a.txt": CONTENT}
    assert fetch(entry)[0].source == f"{server.address}/own/made_up/a.txt"


def test_the_password_of_the_users_mirror_is_not_shown(
    server: Server, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", f"{server.address.replace('://', '://me:hidden@')}/own")
    with pytest.raises(WorkFailed, match="://…@") as caught:
        fetch(entry)
    assert "hidden" not in str(caught.value)
    server.files = {"/own/made_up/a.txt": CONTENT}
    assert fetch(entry)[0].source == f"{server.address}/own/made_up/a.txt"


def test_the_checksum_applies_to_the_users_mirror_too(
    server: Server, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", server.address)
    server.files = {"/made_up/a.txt": CONTENT[:-1] + b"?", "/official/a.txt": CONTENT}
    assert fetch(entry)[0].source == f"{server.address}/official/a.txt"


@pytest.mark.parametrize("mirror", ["/srv/mirror", "ftp://localhost", "http://", "mirror.example"])
def test_the_users_mirror_must_be_an_address(mirror: str, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", mirror)
    with pytest.raises(InputError, match="must be an http:// or https:// address") as caught:
        fetch(entry)
    assert mirror in caught.value.message


def test_bad_downloads_are_not_kept(server: Server, entry: Entry, cache: Path) -> None:
    server.files = {"/official/a.txt": CONTENT[:-1], "/mirror/a.txt": CONTENT}
    server.cut = {"/mirror/a.txt"}
    with pytest.raises(WorkFailed) as caught:
        fetch(entry)
    for part in ("official/a.txt returned a file without the checksum sha256:", "mirror/a.txt broke off ("):
        assert part in caught.value.message
    assert only_file(cache) == []


def test_a_damaged_file_is_downloaded_again(server: Server, entry: Entry, cache: Path) -> None:
    server.files = {"/official/a.txt": CONTENT}
    fetch(entry)
    damaged = bytearray(CONTENT)
    damaged[1000] ^= 1
    (cache / "made_up" / "a.txt").write_bytes(damaged)
    assert verify(entry) == {"a.txt": "damaged"}
    assert fetch(entry)[0].source is not None
    assert verify(entry) == {"a.txt": "ready"}
    (cache / "made_up" / "a.txt").write_bytes(damaged)
    server.files = {}
    with pytest.raises(WorkFailed, match=r"is damaged and could not be downloaded again: .* answered 404"):
        fetch(entry)


def test_a_killed_download_leaves_no_usable_file(server: Server, entry: Entry, cache: Path) -> None:
    server.files = {"/tinyshakespeare/input.txt": bytes(1_000_000)}
    server.held = {"/tinyshakespeare/input.txt"}
    command = [sys.executable, "-m", "tune_app", "data", "fetch", "tinyshakespeare"]
    with subprocess.Popen(command, env={**os.environ, "TUNE_APP_DATA_MIRROR": server.address}) as process:
        assert server.half_sent.wait(20)
        folder = cache / "tinyshakespeare"
        while not (folder / "input.txt.part").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (folder / "input.txt").exists()
    assert verify(DATASETS["tinyshakespeare"]) == {"input.txt": "missing"}
    # Neither its lock nor its partial file blocks the next download.
    (cache / "made_up").mkdir()
    (folder / "input.txt.part").replace(cache / "made_up" / "a.txt.part")
    server.files = {"/official/a.txt": CONTENT}
    fetch(entry)
    assert only_file(cache) == ["a.txt"]


def test_concurrent_fetches_download_once(server: Server, cache: Path, real_data: Callable[[str], Path]) -> None:
    names = [file.name for file in DATASETS["mnist"].files]
    server.files = {f"/mnist/{name}": real_data("mnist").joinpath(name).read_bytes() for name in names}
    command = [sys.executable, "-m", "tune_app", "data", "fetch", "mnist", "--json"]
    environment = {**os.environ, "TUNE_APP_DATA_MIRROR": server.address}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(3)]
    for process in running:
        process.communicate()
    assert [process.returncode for process in running] == [0, 0, 0]
    assert dict(server.asked) == {f"/mnist/{name}": 1 for name in names}
    assert set(verify(DATASETS["mnist"]).values()) == {"ready"}


def test_mnist_with_its_official_checksums(
    server: Server, cache: Path, real_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", server.address)
    for file in DATASETS["mnist"].files:
        server.files[f"/mnist/{file.name}"] = real_data("mnist").joinpath(file.name).read_bytes()
    data = load_dataset("mnist")
    assert data.train["images"].shape == (60_000, 1, 28, 28)
    assert data.test["labels"].shape == (10_000,)
    assert data.info["official"] is True
    server.files.clear()
    assert load_dataset("mnist").sha256() == data.sha256()


def test_a_subset_never_passes_for_the_whole(
    server: Server, real_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = real_data("fashion_mnist")
    file = DATASETS["fashion_mnist"].files[0]
    server.files = {f"/fashion_mnist/{file.name}": folder.joinpath(file.name).read_bytes()}
    monkeypatch.setenv("TUNE_APP_DATA_MIRROR", server.address)
    elsewhere = replace(DATASETS["fashion_mnist"], files=(replace(file, addresses=()),))
    with pytest.raises(WorkFailed, match=f"returned a file without the checksum {file.checksum}"):
        fetch(elsewhere)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address that neither accepts nor rejects connections: its backlog is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
            waiting.append(client)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for client in waiting:
            client.close()


def offline(entry: Entry, addresses: tuple[str, ...]) -> WorkFailed:
    start = time.monotonic()
    with pytest.raises(WorkFailed) as caught:
        fetch(replace(entry, files=(replace(entry.files[0], addresses=addresses), *entry.files)))
    assert time.monotonic() - start < 5
    return caught.value


def test_the_offline_error_names_address_folder_and_an_embedded_data_set(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening, so it rejects connections
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/t10k.gz"
        error = offline(DATASETS["mnist"], (address, "https://no-such-host.invalid/t10k.gz"))
    assert f"{address} cannot be reached (Connection refused)" in error.message
    assert "https://no-such-host.invalid/t10k.gz cannot be reached (" in error.message
    assert str(cache / "mnist") in error.where
    assert "use digits, which needs no download" in error.hint
    assert str(cache / "mnist") in error.hint


@pytest.mark.parametrize(("name", "other"), [("imdb", "stdlib_docs"), ("tinyshakespeare", "python_reference")])
def test_the_embedded_alternative_is_of_the_same_kind(name: str, other: str) -> None:
    assert f"use {other}, which" in offline(DATASETS[name], ("http://no-such-host.invalid/x",)).hint


def test_a_black_hole_fails_within_five_seconds(black_hole: str) -> None:
    error = offline(DATASETS["mnist"], tuple(f"{black_hole}/{mirror}" for mirror in range(5)))
    assert error.message.count("cannot be reached (") == 5


def test_an_unanswered_dns_query_fails_within_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def unanswered(*_: object, **__: object) -> None:
        ended.wait(20)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", unanswered)
    error = offline(DATASETS["mnist"], ("http://a.example/x", "http://b.example/x"))
    assert error.message.count("no answer within 3 s") == 2
    ended.set()


def test_a_download_goes_through_the_proxy(server: Server, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", server.address)
    address = "http://no-such-host.invalid/a.txt"
    server.files = {address: CONTENT}  # a proxy is asked for the full URL
    behind = replace(entry, files=(replace(entry.files[0], addresses=(address,)),))
    assert fetch(behind)[0].source == address


def test_a_silent_server_is_abandoned(server: Server, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SILENCE_S", 0.3)
    server.files = {"/official/a.txt": CONTENT, "/mirror/a.txt": CONTENT}
    server.held = {"/official/a.txt"}
    assert fetch(entry)[0].source == f"{server.address}/mirror/a.txt"


def test_terms_are_shown_and_accepted_once(server: Server, entry: Entry, cache: Path) -> None:
    server.files = {"/official/a.txt": CONTENT}
    bound = replace(entry, terms="For research only.")
    with pytest.raises(InputError, match=r"must be accepted before its download: For research only\.") as caught:
        fetch(bound)
    assert caught.value.hint == "`tune-app data fetch made_up --accept-terms` accepts them"
    assert server.asked.total() == 0
    fetch(bound, accept_terms=True)
    shutil.rmtree(cache)
    with pytest.raises(InputError):
        fetch(bound)
    fetch(bound, accept_terms=True)
    assert fetch(bound)[0].source is None


def test_a_sweep_on_reuters_asks_for_its_terms() -> None:
    with pytest.raises(InputError, match="research purposes only") as caught:
        load_dataset("reuters")
    assert "tune-app data fetch reuters --accept-terms" in caught.value.hint


def test_an_invalid_cache_folder(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUNE_APP_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="the cache folder must be writable, but Not a directory"):
        fetch(entry)


def test_the_cache_folder_without_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tune_app.datasets.cache import data_folder

    monkeypatch.delenv("TUNE_APP_DATA_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder().name == "tune-app"


def test_the_progress_bar_appears_only_on_a_terminal(
    server: Server, entry: Entry, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files = {"/official/a.txt": CONTENT}
    fetch(entry)
    assert capsys.readouterr() == ("", "")
    shutil.rmtree(cache)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    fetch(entry)
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.txt" in err
