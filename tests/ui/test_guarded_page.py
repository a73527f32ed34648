"""The page as `tune-app ui` serves it: it answers only requests with its own host and origin."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a page on loopback."""
    folder = tmp_path_factory.mktemp("page")
    process = subprocess.Popen(
        [sys.executable, "-m", "tune_app", "ui", "--port", "0"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        assert process.stderr is not None
        found = int(process.stderr.readline().rpartition(":")[2])
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{found}/_stcore/health", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline, "the page does not answer"
                time.sleep(0.1)
        yield found
    finally:
        process.terminate()
        process.communicate(timeout=20)


def asked(port: int, **headers: str) -> int:
    return httpx.get(f"http://127.0.0.1:{port}/", headers=headers, trust_env=False).status_code


def test_it_answers_only_its_own_host_and_origin(port: int) -> None:
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert asked(port, Host=host) == 200
        assert asked(port, Host=host, Origin=f"http://{host}") == 200
        for origin in (f"http://localhost:{port + 1}", "http://localhost", "http://evil.example", "null"):
            assert asked(port, Host=host, Origin=origin) == 403
    for host in (f"localhost:{port + 1}", "localhost", f"evil.example:{port}", f"localhost:x@evil.example:{port}", ""):
        assert asked(port, Host=host) == 400


def test_its_websocket_rejects_pages_of_other_servers_on_this_machine(port: int) -> None:
    url = f"ws://localhost:{port}/_stcore/stream"
    with connect(url, origin=f"http://localhost:{port}"):  # type: ignore[arg-type]
        pass
    for origin in (f"http://localhost:{port + 1}", f"http://127.0.0.1:{port}", "http://evil.example"):
        with pytest.raises(InvalidStatus) as caught, connect(url, origin=origin):  # type: ignore[arg-type]
            pass
        assert caught.value.response.status_code == 403
