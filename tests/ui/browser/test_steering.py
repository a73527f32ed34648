"""In a real browser: a running sweep is changed from the page, and does what was asked."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_app.store.store import Store

pytestmark = pytest.mark.timeout(120)
STUDY = "steered"
TASK = """
import time


def tune(config, report):
    for _ in range(report.epochs):
        time.sleep(0.1)
        report({"score": config["level"]})
"""
SPACE = {
    "schema_version": 1,
    "name": STUDY,
    "task": "paced:tune",
    "metrics": {"score": "maximize"},
    "budget": {"trials": 2, "epochs": 200},
    "pruning": {"level": "off"},
    "parameters": {"training": {"level": {"type": "float", "low": 0.1, "high": 0.9}}},
}


@pytest.fixture
def sweep(site: Any, tmp_path: Path) -> Iterator[None]:
    """A sweep in a separate process, one trial at a time, whose trials take longer than the test."""
    (tmp_path / "paced.py").write_text(TASK)
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    running = subprocess.Popen(
        [sys.executable, "-m", "tune_app", "run", "space.yaml", "--concurrent", "1", "--no-preflight"],
        cwd=tmp_path,
        env=site.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield
    for _ in range(2):  # the first lets running trials finish
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)
    running.wait(30)
    for part in (f"studies/{STUDY}", f"trials/study={STUDY}", f"epochs/study={STUDY}"):
        shutil.rmtree(site.root / "results" / part)  # the other tests share the store


def ask_for(page: Any, label: str, number: int, button: str) -> None:
    """Enter a number under "Change…" and send it to the sweep."""
    field = page.get_by_label(label)
    if not field.is_visible():
        page.get_by_role("button", name="Change…").click()
    field.fill(str(number))
    page.get_by_role("button", name=button, exact=True).click()


@pytest.mark.usefixtures("sweep")
def test_a_running_sweep_is_changed_from_the_page(
    new_page: Callable[[str], Any], site: Any, cut_texts: Callable[[Any], list[str]]
) -> None:
    page = new_page("sweep")
    while STUDY not in Store(site.store.folder.url).studies():
        page.wait_for_timeout(200)
    page.goto(f"{site.url}/sweep?study={STUDY}")
    page.get_by_role("button", name="Stop trial 0").click()
    page.get_by_role("button", name="Stop trial 1").wait_for()
    page.get_by_text("1 of 2 trials ended").wait_for()

    page.set_viewport_size({"width": 900, "height": 900})
    page.wait_for_timeout(1_000)
    assert not cut_texts(page)

    ask_for(page, "Trials in total", 5, "Set trials")
    page.get_by_text("1 of 5 trials ended").wait_for()
    page.get_by_role("button", name="Stop trial 2").wait_for(state="detached")
    ask_for(page, "Trials at once (0: as many as fit)", 2, "Set")
    page.get_by_role("button", name="Stop trial 2").wait_for()
    page.get_by_role("button", name="Stop trial 1").wait_for()  # two trials run at the same time

    page.goto(f"{site.url}/?study={STUDY}&trial=0")
    page.get_by_role("heading", name="Trial 0 pruned").wait_for()
    page.get_by_role("button", name="Retry", exact=True).click()
    page.get_by_text("Sent to the sweep.").wait_for()
    page.goto(f"{site.url}/sweep?study={STUDY}")
    page.get_by_text("1 of 6 trials ended").wait_for()
    answer = page.get_by_text(re.compile(r"trial \d repeats trial 0", re.IGNORECASE)).inner_text()
    again = re.findall(r"\d", answer)[0]
    page.get_by_role("button", name="Stop trial 2").click()
    page.get_by_role("button", name=f"Stop trial {again}").wait_for()
