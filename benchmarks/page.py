"""How long the Trials page takes: the first view, cold and warm, a filter, each figure.

Machine: printed with each line. Workload: a study of 10,000 trials of `search_spaces/digits_cnn.yaml`, all columns that
a sweep writes, and 50,000 epochs, made up and written in the package's own table format; and a study of 40 trials.
Peers: none; the bars are the project's: the first view in 3 s (40 trials: 5 s cold, 1.5 s warm), a filter in 0.5 s.

`script` is the page's own run in process, by Streamlit's AppTest. `browser` is what a person sees: from the click or
the address until table and figure are drawn and the page is at rest, in Debian's chromium on the server's cores and
without a GPU, so WebGL runs in software. It is skipped if chromium or playwright is missing.
`browser: filter` ends when the page shows how many trials meet the filter and the table draws one of them, which was in
no earlier row; `browser: filter, figure too` ends when the page is at rest.
The browser is driven over a debugger's connection, for which V8 parses the drawing library of 4.7 MB four more times
to locate its errors: 0.8 s, or 2 ms without a debugger, by V8's own trace. So the browser is set to record the
locations on its first parse, which costs more than a person's browser pays.
`browser: cold view` is the first page of a new `tune-app ui`, in a browser that has nothing cached, from the moment
the server accepts connections; `browser: start and cold view` counts from the start of the command.
The first run of each other kind warms up the server's imports and is not counted; `first view` opens a new session each
time.
Theoretical minimum: reading the table, printed as `read`; in the browser, the same page with 40 trials, printed as
`floor`: the time of Streamlit and the machine's other work. The two are measured in turns. `browser: bare view` is a
page of Streamlit's own with one table of 40 rows and one chart of 40 points, from a warm server: ours cannot be faster.

    python benchmarks/page.py [--trials 10000] [--epochs 5] [--runs 5]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from streamlit.testing.v1 import AppTest

from tune_app.results.review import load_trials
from tune_app.spaces.feasibility import sample
from tune_app.store.columns import EPOCH_COLUMNS, TRIAL_COLUMNS, column_types, make_table
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks.spec_file import load_spec
from tune_app.training.health import SCORES

ROOT = Path(__file__).parents[1]
SPACE = ROOT / "search_spaces" / "digits_cnn.yaml"
METRICS = ("val_accuracy", "val_loss", "train_loss", "val_coverage", "val_selective_accuracy")
VIEWS = ("Learning curves", "Parallel", "Slice", "Contour", "Rank", "Distribution", "Timeline", "History")
WAIT_MS = 60_000
FLOOR_TRIALS = 40
SETTLED_MS = 1_000
"""Between opening the filter and using it, as a person does."""
HEAR_TEXTS = """
const draw = CanvasRenderingContext2D.prototype.fillText;
globalThis.drawnTexts = new Set();
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  globalThis.drawnTexts.add(text);
  return draw.call(this, text, ...rest);
};
"""
"""The table is a canvas; it keeps the texts that are drawn on it."""
PRESS = """
(state) => new Promise((seen) => {
  globalThis.drawnTexts.clear();
  const start = performance.now();
  [...document.querySelectorAll("button")].find((button) => button.innerText.trim() === state).click();
  const look = () => {
    const counted = document.querySelector(".st-key-filter-chips")?.innerText.includes("meet the filter");
    if (counted && globalThis.drawnTexts.has(state.toUpperCase())) seen(performance.now() - start);
    else requestAnimationFrame(look);
  };
  look();
})
"""
"""Presses the button of a state; milliseconds until the count is there and the table draws a trial of the state."""
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT / "ui")!r})
from sources import choose_study
import trials_page
choose_study()
trials_page.show()
"""


BARE = """
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
st.dataframe(pd.DataFrame({"a": range(40)}))
st.plotly_chart(go.Figure(go.Scatter(x=list(range(40)), y=list(range(40)))))
"""


def write_study(root: Path, trials: int, epochs: int) -> Study:
    """A study of made-up trials: one in ten completed, one in twenty failed, the others were pruned."""
    spec = load_spec(SPACE)
    study = Study(Store(root).folder, spec.name)
    rng = np.random.default_rng(0)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    rows: list[dict[str, Any]] = []
    epoch_rows: list[dict[str, Any]] = []
    for number in range(trials):
        config = sample(spec.space, rng)
        state = "COMPLETED" if number % 10 == 0 else "FAILED" if number % 20 == 1 else "PRUNED"
        level = 1.0 - abs(np.log10(float(config["learning_rate"])) + 2) / 4 - rng.random() / 10
        measured = {f"metric/{name}": level for name in METRICS} | {f"health/{name}": rng.random() for name in SCORES}
        start = began + timedelta(seconds=5 * (number // 8))
        row = {
            "trial": number,
            "trial_id": f"{spec.name}-{number:05d}",
            "state": state,
            "objective": None if state == "FAILED" else level,
            "failure_kind": "diverged" if state == "FAILED" else None,
            "error": "Diverged: a metric must be finite" if state == "FAILED" else None,
            "epochs": epochs,
            "started_at": start.isoformat(),
            "ended_at": (start + timedelta(seconds=4.5)).isoformat(),
            "duration_s": 4.5,
            "node": f"10.0.0.{number % 8}",
            "device": "cpu",
            "model_parameters": 10_000 + number,
            "seed": number,
            "attempt": 1,
            "latency_ms": 0.1,
        }
        rows.append(row | {f"config/{v.group}/{v.name}": config[v.name] for v in spec.space.variables} | measured)
        epoch_rows += [
            {"trial": number, "epoch": epoch, "ended_at": start.isoformat(), "duration_s": 0.9, **measured}
            for epoch in range(1, epochs + 1)
        ]
    study.folder.write(f"{study.base}/spec.yaml", spec.to_yaml().encode())
    columns = {"trials": {**TRIAL_COLUMNS, **column_types(spec.space.variables)}, "epochs": dict(EPOCH_COLUMNS)}
    for kind, table_rows in (("trials", rows), ("epochs", epoch_rows)):
        buffer = io.BytesIO()
        pq.write_table(make_table(table_rows, columns[kind]), buffer, compression="zstd")
        study.folder.write(f"{kind}/study={study.name}/data.parquet", buffer.getvalue())
    return study


def timed(act: Callable[[], object]) -> float:
    """Seconds that `act` takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def tell(measure: str, times: list[float], **facts: Any) -> None:
    """One line of JSON; the first of several times was a warm-up."""
    counted = times[1:] if len(times) > 1 else times
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "load": round(os.getloadavg()[0], 1)}
    found = {"median_s": statistics.median(counted), "min_s": min(counted), "max_s": max(counted), "runs": len(counted)}
    print(
        json.dumps({"measure": measure, **{k: round(v, 3) for k, v in found.items()}, **facts, **machine}), flush=True
    )


def measure_script(study: str, runs: int, facts: dict[str, Any]) -> None:
    """The page's script, run in process."""

    def first() -> AppTest:
        page = AppTest.from_string(SCRIPT, default_timeout=120).run()
        assert not page.exception, page.exception
        return page

    tell("script: first view", [timed(first) for _ in range(runs + 1)], bar_s=3, **facts)
    page = first()
    states = page.pills(key=f"{study}-filter-states")
    times = []
    for number in range(runs + 1):
        states = page.pills(key=f"{study}-filter-states").set_value([("COMPLETED", "PRUNED")[number % 2]])
        times.append(timed(states.run))
    tell("script: filter", times, bar_s=0.5, **facts)
    for view in VIEWS:
        page.segmented_control(key=f"{study}-figure").set_value(view)
        tell(f"script: {view.lower()}", [timed(page.run) for _ in range(3)], **facts)


def serving(root: Path) -> AbstractContextManager[str]:
    """The page over the store, see `served`."""
    return served([sys.executable, "-m", "tune_app", "ui", "--store", str(root), "--port"])


@contextmanager
def served(start: list[str]) -> Iterator[str]:
    """What the command serves on loopback once it accepts connections; its last argument, the port, is added here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([*start, str(port)], stdout=log, stderr=log)
        try:
            for _ in range(600):
                with socket.socket() as asked:
                    if asked.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def rest(page: Any) -> None:
    """Wait until the page has run, and its table and its figure are drawn."""
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        " && document.querySelector('[data-testid=stDataFrame] canvas')"
        " && document.querySelector('.js-plotly-plot .main-svg')"
    )


def open_page(context: Any, url: str) -> tuple[Any, float]:
    """A page at rest, and the seconds until then."""
    page = context.new_page()
    start = time.perf_counter()
    page.goto(url)
    rest(page)
    return page, time.perf_counter() - start


def press(page: Any, state: str) -> tuple[float, float]:
    """Seconds from a filter by `state` to its trials in the table, and to a page at rest."""
    page.get_by_role("button", name="Filter").first.click()
    page.get_by_role("button", name=state, exact=True).wait_for()
    page.wait_for_timeout(SETTLED_MS)
    seen = page.evaluate(PRESS, state) / 1000
    start = time.perf_counter()
    rest(page)
    return seen, seen + time.perf_counter() - start


def measure_browser(root: Path, small: Path, runs: int, facts: dict[str, Any]) -> None:
    """What a person sees in Debian's chromium, with the large study and with the small one."""
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        print(json.dumps({"measure": "browser", "left_out": "chromium or playwright is absent"}))
        return

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--js-flags=--no-enable-lazy-source-positions",
            ],
        )
        measure_cold(browser, small, runs, facts)
        measure_warm(browser, root, small, runs, facts)
        measure_bare(browser, root, runs)
        browser.close()


def measure_cold(browser: Any, small: Path, runs: int, facts: dict[str, Any]) -> None:
    """The first view of a new server in a new browser context."""
    cold, whole = [], []
    for _ in range(runs + 1):
        start = time.perf_counter()
        with serving(small) as url:
            context = new_context(browser)
            cold.append(open_page(context, url)[1])
            whole.append(time.perf_counter() - start)
            context.close()
    own = {**facts, "trials": FLOOR_TRIALS}
    tell("browser: cold view", cold, bar_s=5, **own)
    tell("browser: start and cold view", whole, **own)


def new_context(browser: Any) -> Any:
    """A browser context without a cache, whose tables keep the texts they draw."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(HEAR_TEXTS)
    return context


def measure_warm(browser: Any, root: Path, small: Path, runs: int, facts: dict[str, Any]) -> None:
    """Views and filters of both studies in turns, each view in a new session of a server that has shown one before."""
    with serving(root) as url, serving(small) as small_url:
        context = new_context(browser)
        names = {url: "", small_url: " floor"}
        counts = {url: facts["trials"], small_url: FLOOR_TRIALS}
        views: dict[str, list[float]] = {url: [], small_url: []}
        filters: dict[str, list[tuple[float, float]]] = {url: [], small_url: []}
        for _ in range(runs + 1):
            for address, times in views.items():
                page, seconds = open_page(context, address)
                times.append(seconds)
                filters[address].append(press(page, "pruned"))
                page.close()
        for address, name in names.items():
            own = {**facts, "trials": counts[address]}
            tell(f"browser: first view{name}", views[address], bar_s=3 if address == url else 1.5, **own)
            tell(f"browser: filter{name}", [seen for seen, _ in filters[address]], bar_s=0.5, **own)
            tell(f"browser: filter, figure too{name}", [whole for _, whole in filters[address]], **own)


def measure_bare(browser: Any, folder: Path, runs: int) -> None:
    """Views of Streamlit's own page, each in a new session of a server that has shown one before."""
    script = folder / "bare.py"
    script.write_text(BARE)
    options = ["--server.address", "127.0.0.1", "--server.headless", "true", "--browser.gatherUsageStats", "false"]
    with served([sys.executable, "-m", "streamlit", "run", str(script), *options, "--server.port"]) as url:
        context, times = new_context(browser), []
        for _ in range(runs + 1):
            page, seconds = open_page(context, url)
            times.append(seconds)
            page.close()
        tell("browser: bare view", times, trials=FLOOR_TRIALS)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        study = write_study(root, given.trials, given.epochs)
        os.environ["TUNE_APP_STORE"] = str(root)
        table = load_trials(study.name, root)
        facts = {"trials": len(table), "columns": table.shape[1], "epochs": len(table) * given.epochs}
        tell("read", [timed(lambda: load_trials(study.name, root)) for _ in range(given.runs + 1)], **facts)
        measure_script(study.name, given.runs, facts)
        write_study(root / "small", FLOOR_TRIALS, given.epochs)
        measure_browser(root, root / "small", given.runs, facts)


if __name__ == "__main__":
    main()
