"""Write the pictures of the review page in docs/screenshots, light and dark, from a small real sweep.

    python docs/make_screenshots.py [PART …]

Needs playwright and Debian's chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "screenshots"
HIDE_STORE = """for (const text of document.querySelectorAll('.stSidebar p'))
    if (text.textContent.startsWith('Store: ')) text.textContent = 'Store: results'"""
SIZE = {"width": 1440, "height": 900}


@dataclass(frozen=True)
class Site:
    """The served page, and the environment of commands that write its store."""

    url: str
    environment: dict[str, str]

    def tune_app(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command on the same store."""
        return subprocess.Popen(
            [sys.executable, "-m", "tune_app", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def sweeping(page: Page, site: Site) -> Iterator[None]:
    """A sweep while it runs."""
    studies = Path(site.environment["TUNE_APP_STORE"]) / "studies"
    space, name = "search_spaces/digits_cnn.yaml", f"digits-cnn-{len(list(studies.iterdir())) + 1}"
    sweep = site.tune_app("run", space, "--name", name, "--epochs", "8", "--no-preflight")
    try:
        for _ in range(30):  # the newest study is the one that a new visitor sees
            page.reload()
            with suppress(TimeoutError):
                page.get_by_text("Running trials").wait_for(timeout=3000)
                break
        page.get_by_text("batches").first.wait_for()
        yield
    finally:
        sweep.terminate()
        sweep.wait(60)


@contextmanager
def reviewing(page: Page, site: Site) -> Iterator[None]:
    """A changed value next to the study's."""
    page.get_by_role("tab", name="Training").click()
    page.mouse.move(0, 0)
    rate = page.get_by_label("learning_rate", exact=True)
    rate.fill("0.02")
    rate.press("Enter")
    page.get_by_text("1 changed", exact=True).wait_for()
    yield


@contextmanager
def keeping(page: Page, site: Site) -> Iterator[None]:
    """The list, and the values of one."""
    page.get_by_text("Where it comes from").wait_for()
    yield


@contextmanager
def comparing(page: Page, site: Site) -> Iterator[None]:
    """Two studies side by side."""
    table = page.locator("[data-testid=stDataFrame]").first
    table.locator("canvas").first.wait_for()
    page.wait_for_timeout(1000)
    box = table.bounding_box()
    assert box is not None
    for row in (0, 1):
        x, y = box["x"] + 15, box["y"] + 36 + 35 * (row + 0.5)  # a header and rows of these heights
        page.mouse.move(x + 40, y - 20)  # the table takes no click of a pointer that never moves
        page.mouse.move(x, y, steps=5)
        page.mouse.click(x, y)
        page.wait_for_timeout(1000)
    page.mouse.move(0, 0)
    page.get_by_text("differ between the winners").wait_for()
    yield


@contextmanager
def looking_at_trials(page: Page, site: Site) -> Iterator[None]:
    """The first view: summary, history, table."""
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    yield


@contextmanager
def looking_at_a_network(page: Page, site: Site) -> Iterator[None]:
    """The network of the best trial, with a chosen layer."""
    page.locator(".network .list li", has_text="Conv2d").first.click()
    yield


@contextmanager
def looking_at_health(page: Page, site: Site) -> Iterator[None]:
    """The figures of the best trial."""
    page.get_by_text("overall health").wait_for()
    yield


PARTS: dict[str, Callable[[Page, Site], AbstractContextManager[None]]] = {
    "trials": looking_at_trials,
    "architecture": looking_at_a_network,
    "health": looking_at_health,
    "review": reviewing,
    "profiles": keeping,
    "studies": comparing,
    "sweep": sweeping,
}
"""What the picture of each part shows; the sweep comes last, because its study is then the newest."""


def main() -> None:
    """Take the pictures that the arguments name, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tune-app-pictures-") as folder,
        served(Path(folder)) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],  # WebGL without a GPU
        )
        for part in parts:
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(f"{site.url}/{part}")
                page.get_by_role("heading", name=part.capitalize(), exact=True).wait_for()
                with PARTS[part](page, site):
                    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
                    page.wait_for_timeout(1500)  # until nothing moves
                    page.evaluate(HIDE_STORE)
                    page.screenshot(path=FOLDER / f"{part}{'-dark' * (scheme == 'dark')}.png")
                page.close()
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[Site]:
    """The page over a store with two studies, of which the second is the newest, and two profiles."""
    environment = {
        **os.environ,
        "TUNE_APP_STORE": str(folder / "results"),
        "TUNE_APP_PROFILES": str(folder / "profiles"),
    }

    def tune_app(*arguments: str) -> None:
        command = [sys.executable, "-m", "tune_app", *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

    former = ("--name", "digits-random", "--sampler", "random")
    tune_app("run", "search_spaces/digits_cnn.yaml", *former, "--trials", "6", "--epochs", "4", "--no-preflight")
    tune_app("run", "search_spaces/digits_cnn.yaml", "--trials", "8", "--epochs", "4", "--no-preflight")
    tune_app("profile", "save", "digits-best", "--trial", "digits-cnn")
    tune_app("profile", "save", "digits-slow", "--trial", "digits-cnn", "--set", "training.learning_rate=0.001")
    tune_app("apply", "--profile", "digits-best")
    server = subprocess.Popen(
        [sys.executable, "-m", "tune_app", "ui", "--port", "0"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stderr is not None
        line = next(line for line in server.stderr if "http://" in line)
        site = Site(line.split()[-1], environment)
        for _ in range(100):  # until it listens
            with suppress(OSError), urllib.request.urlopen(f"{site.url}/_stcore/health", timeout=5):
                break
            time.sleep(0.2)
        yield site
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
