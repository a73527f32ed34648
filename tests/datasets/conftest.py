"""Fixtures shared by the tests of data sets: a separate cache folder, a server on loopback, the real files."""

from __future__ import annotations

import io
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


class Server:
    """Answers on loopback with the bytes in `files`; counts the requests for each path.

    For a path in `cut` it sends only half of the bytes that the header promises; for one in `held` too, but it keeps
    the connection open until the server ends; a path in `chunked` is sent in small pieces without a length.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.held: set[str] = set()
        self.chunked: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.half_sent = threading.Event()
        self.ended = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked[self.path] += 1
                content = server.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.close_connection = True
                self.send_response(200)
                if self.path in server.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    pieces = [content[start : start + 500] for start in range(0, len(content), 500)]
                    self.wfile.write(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""]))
                    return
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                half = len(content) // 2 if self.path in server.cut | server.held else len(content)
                self.wfile.write(content[:half])
                if self.path in server.held:
                    self.wfile.flush()
                    server.half_sent.set()
                    server.ended.wait(30)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, no mirror, and no proxy between the tests and loopback."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TUNE_APP_DATA_DIR", str(folder))
    monkeypatch.delenv("TUNE_APP_DATA_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    return folder


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder with the real files of a data set; the test is skipped if it is missing."""

    def folder(name: str) -> Path:
        found = REAL_DATA / name
        if not found.is_dir():
            pytest.skip(f"the real files of {name} are not in ../shared/data next to the repository")
        return found

    return folder


@pytest.fixture
def make_tar(tmp_path: Path) -> Callable[..., Path]:
    """Write a ``.tar.gz`` with files and with unmodified extra members."""

    def make(files: Mapping[str, bytes], *members: tarfile.TarInfo, name: str = "made.tar.gz") -> Path:
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            for path, content in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for member in members:
                archive.addfile(member)
        return tmp_path / name

    return make


@pytest.fixture
def make_zip(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip of files."""

    def make(files: Mapping[str | zipfile.ZipInfo, bytes], name: str = "made.zip") -> Path:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        return tmp_path / name

    return make
