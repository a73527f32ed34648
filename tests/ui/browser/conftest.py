"""A real server of the UI with its own store, and Debian's Chromium."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_app.jobs.job_head import end_head
from tune_app.profiles.profiles import Profiles
from tune_app.store.store import Store

HERE = Path(__file__).parent
WAIT_MS = 60_000
WITHOUT_GPU = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
"""Flags that let Chromium draw WebGL on a machine without a GPU."""


class Site:
    """The served UI, with its store, profiles, and search spaces."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = ""
        self.store = Store(root / "results")
        self.profiles = Profiles(root / "profiles")

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "TUNE_APP_STORE": str(self.root / "results"),
            "TUNE_APP_PROFILES": str(self.root / "profiles"),
            "TUNE_APP_SEARCH_SPACES": str(self.root / "search_spaces"),
        }
        addresses = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
        return {key: value for key, value in os.environ.items() if key not in addresses} | own


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, make_spec: Any) -> Iterator[Site]:
    """See `Site`; its only search space is a small one on the digits."""
    found = Site(tmp_path_factory.mktemp("site"))
    (found.root / "search_spaces").mkdir()
    space = make_spec(name="digits-page", budget={"trials": 4, "epochs": 2}, pruning={"level": "off"}).to_dict()
    (found.root / "search_spaces" / "digits_page.yaml").write_text(yaml.safe_dump(space))
    server = subprocess.Popen(
        [sys.executable, "-m", "tune_app", "ui", "--port", "0"],
        cwd=found.root,
        env=found.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        address = re.search(r"http://\S+", line)
        assert address, line
        found.url = address.group()
        yield found
    finally:
        end_head(found.store.folder)
        server.terminate()
        server.wait(20)
        assert server.stderr is not None
        server.stderr.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; the test is skipped if it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox", *WITHOUT_GPU])
        yield launched
        launched.close()


@pytest.fixture
def new_page(browser: Any, site: Site) -> Iterator[Callable[[str], Any]]:
    """Open a page of the UI in a separate browser, like another person."""
    contexts = []

    def open_part(part: str) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        for _ in range(50):  # until the server is listening
            try:
                page.goto(f"{site.url}/{part}")
                break
            except Exception:
                page.wait_for_timeout(200)
        page.get_by_role("heading", name=part.capitalize(), exact=True).wait_for()
        return page

    yield open_part
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def cut_texts() -> Callable[[Any], list[str]]:
    """Labels of buttons, links, and tiles that do not fit and end in an ellipsis."""

    def find(page: Any) -> list[str]:
        labels = "button p, a p, [data-testid=stMetricLabel] p, [data-testid=stMetricValue] p"
        return list(
            page.eval_on_selector_all(
                labels,
                """all => all.flatMap(label => {
                    for (let box = label; box && !box.matches("button, a, .stMetric"); box = box.parentElement)
                        if (box.clientWidth > 1 && box.scrollWidth > box.clientWidth + 1
                            && getComputedStyle(box).overflowX !== "visible") return [label.textContent];
                    return [];
                })""",
            )
        )

    return find


@pytest.fixture(scope="session")
def serving() -> Callable[[Path, Path], AbstractContextManager[str]]:
    """Serve a Streamlit script with a store, on loopback; yields the address."""

    @contextmanager
    def serve(script: Path, results: Path) -> Iterator[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
        options = ["--server.address", "127.0.0.1", "--server.headless", "true", "--server.fileWatcherType", "none"]
        server = subprocess.Popen(
            [*command, *options, "--browser.gatherUsageStats", "false"],
            env={**os.environ, "TUNE_APP_STORE": str(results)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)

    return serve
