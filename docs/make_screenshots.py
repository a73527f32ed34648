"""Write the pictures of the review page in docs/screenshots, light and dark, from a small real sweep.

    python docs/make_screenshots.py [PART …]

Needs playwright and Debian's chromium.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "screenshots"
SIZE = {"width": 1280, "height": 720}


def show_sweep(page: Page) -> None:
    """The settings, and the study below them."""
    page.get_by_text("trials ended").wait_for()


def show_review(page: Page) -> None:
    """A changed value beside what was found."""
    page.get_by_role("tab", name="Training").click()
    rate = page.get_by_label("learning_rate", exact=True)
    rate.fill("0.02")
    rate.press("Enter")
    page.get_by_text("1 changed", exact=True).wait_for()


def show_profiles(page: Page) -> None:
    """The list, and the values of one."""
    page.get_by_text("Where it comes from").wait_for()


PARTS: dict[str, Callable[[Page], None]] = {
    "sweep": show_sweep,
    "review": show_review,
    "profiles": show_profiles,
}
"""What is done on each part before its picture is taken."""


def main() -> None:
    """Take the pictures that the arguments name, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parts = parser.parse_args().parts or list(PARTS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="tune-app-pictures-") as folder,
        served(Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for part in parts:
                page = browser.new_page(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(f"{url}/{part}")
                page.get_by_role("heading", name=part.capitalize(), exact=True).wait_for()
                PARTS[part](page)
                page.wait_for_timeout(1500)  # until nothing moves
                page.screenshot(path=FOLDER / f"{part}{'-dark' * (scheme == 'dark')}.png")
                page.close()
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The page over a store with one study and two profiles; gives its address."""
    environment = {
        **os.environ,
        "TUNE_APP_STORE": str(folder / "results"),
        "TUNE_APP_PROFILES": str(folder / "profiles"),
    }

    def tune_app(*arguments: str) -> None:
        command = [sys.executable, "-m", "tune_app", *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

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
        yield re.search(r"http://\S+", line).group()  # type: ignore[union-attr]
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
