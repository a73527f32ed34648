"""How long the Architecture page takes: the network of the best trial, and of others for the first time.

Machine: printed with each line. Workload: a sweep of 8 trials of `search_spaces/digits_cnn.yaml` with 2 epochs each,
run here, so that the layers of the best trial are stored. Peers: none; the bars are the project's: the best trial in
3 s, another one in 10 s. In Debian's chromium on the server's cores and without a GPU, so WebGL runs in software.

`best` is a new session of a warm server, from the address to a page at rest with the network drawn. `another` is the
choice of a trial that this server has not shown, from the click to its network: the configuration is built and its
checkpoint read in a separate process. Theoretical minimum of `best`: `browser: bare view` of `page.py`.

    python benchmarks/architecture.py [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from page import SPACE, new_context, serving, tell
from playwright.sync_api import sync_playwright

from tune_app.results.review import load_trials

STUDY = "drawn"
SETTINGS = (
    *("--name", STUDY, "--trials", "8", "--epochs", "2", "--pruning", "off", "--history", "none"),
    *("--no-preflight", "--no-tensorboard"),
)


def rest(page: Any) -> None:
    """Wait until the page has run and its network is drawn."""
    page.locator(".network canvas").wait_for()
    page.locator("[data-test-script-state=notRunning]").wait_for()
    page.get_by_role("button", name="Layers (JSON)").wait_for()


def open_best(context: Any, url: str) -> tuple[Any, float]:
    """A page with the best trial's network, and the seconds until then."""
    page = context.new_page()
    start = time.perf_counter()
    page.goto(f"{url}/architecture?study={STUDY}")
    rest(page)
    return page, time.perf_counter() - start


def choose(page: Any, trial: int) -> float:
    """Seconds from the choice of a trial to its network."""
    page.get_by_label("Trial", exact=True).click()
    option = page.get_by_role("option", name=f"Trial {trial}:")
    option.wait_for()
    start = time.perf_counter()
    option.click()
    page.get_by_text(f"Trial {trial} (completed): ").wait_for()
    rest(page)
    return time.perf_counter() - start


def main() -> None:
    """Sweep, then measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        root = Path(folder)
        command = [sys.executable, "-m", "tune_app", "run", str(SPACE), *SETTINGS, "--store", str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        trials = load_trials(STUDY, root).sort_values("objective", ascending=False)["trial"].tolist()
        flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        os.environ["TUNE_APP_STORE"] = str(root)
        with serving(root) as url:
            context, best = new_context(browser), []
            for _ in range(given.runs + 1):
                page, seconds = open_best(context, url)
                best.append(seconds)
            tell("best", best, bar_s=3, trials=len(trials))
            # Listed twice: the first of the times is left out as a warm-up, which there is none of here.
            others = [choose(page, trial) for trial in trials[1:]]
            tell("another", [others[0], *others], bar_s=10, trials=len(trials))
        browser.close()


if __name__ == "__main__":
    main()
