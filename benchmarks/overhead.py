"""What the application itself costs: a task that does nothing, at 300 and at 3,000 trials.

Machine: printed with each line. Workload: a task whose epoch returns at once, 10 epochs, two slots, the random
sampler, pruning at its default level, store, Optuna study and live output on (plain lines to a file). The figure is the
time from the first trial's start to the last trial's end, over the number of trials: startup is left out, and printed
separately.
Peer: none; Ray Tune with its defaults needs 1,340 ms a trial for the same, 28 to 41 ms with `reuse_actors`.
Theoretical minimum: two messages there and back per trial and report, about 1 ms each, over two slots.
The samplers' own cost is measured, too: milliseconds of one `ask` with tpe after 300 and after 3,000 trials, and of one
suggestion of `auto` and `random` (the last 500 before 1,000 and before 10,000 trials of 20 variables, 16 at a time,
pruned as at the level `normal`). The bars for their medians are 5 and 10 ms for `auto` and 0.5 ms for `random`: `auto`
refits its models whenever there are a twentieth more trials, and the worst suggestions wait for that.

    python benchmarks/overhead.py [--runs 3] [--trials 300 3000] [--no-tensorboard]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[1]
SPACE = """
schema_version: 1
name: nothing
task: overhead:Nothing
dataset: none
objective: {metric: score}
budget: {trials: 300, epochs: 10}
search: {sampler: random}
resources: {concurrent: 2}
parameters:
  training:
    learning_rate: {type: float, low: 1.0e-5, high: 1.0, log: true}
    momentum: {type: float, low: 0.0, high: 1.0}
    width: {type: int, low: 1, high: 512}
"""


def _variables() -> tuple[Any, ...]:
    from tune_app.spaces.variable import Float, Int, Variable

    return (
        Variable("learning_rate", "training", Float(1e-6, 10.0, log=True), 0.1, "Not used."),
        Variable("momentum", "training", Float(0.0, 1.0), 0.9, "The score is drawn around it."),
        Variable("width", "training", Int(1, 1024), 8, "Not used."),
    )


class Nothing:
    """A task that does nothing: its score is a random number, so the scheduler has something to compare."""

    data_kind: ClassVar[str] = "none"
    variables: ClassVar[tuple[Any, ...]] = _variables()
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, str]] = {"score": "maximize"}

    def load_data(self, dataset: str) -> Any:
        """No data."""
        from tune_app.datasets.dataset import Dataset

        return Dataset("none", "none", {}, {})

    def start(self, config: dict[str, Any], data: Any, *, epochs: int, seed: int, device: Any) -> Any:
        """A state without a model."""
        return _State(config["momentum"])

    def train_epoch(self, state: Any, epoch: int, progress: Any) -> Mapping[str, float]:
        """A random number."""
        import random

        return {"score": state.level + 0.1 * random.random()}

    def evaluate(self, state: Any, arrays: Any) -> Mapping[str, float]:
        """Nothing to measure."""
        return {}


class _State:
    def __init__(self, level: float) -> None:
        import torch

        self.level = level
        self.model = torch.nn.Identity()

    def state_dict(self) -> dict[str, Any]:
        """The level."""
        return {"level": self.level}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The level."""
        self.level = saved["level"]


def run(trials: int, folder: Path, options: list[str], document: str = SPACE) -> dict[str, Any]:
    """One sweep of `document` with `options` in a fresh process: milliseconds a trial, the driver's peak memory."""
    space = folder / "nothing.yaml"
    space.write_text(document)
    command = [
        sys.executable,
        "-m",
        "tune_app",
        "run",
        str(space),
        "--trials",
        str(trials),
        "--store",
        str(folder / "r"),
    ]
    began = time.perf_counter()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options, "--no-preflight", "--json"], cwd=ROOT / "benchmarks", stdout=log, stderr=log
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    assert status == 0, (folder / "log").read_text()
    import pandas as pd

    table = pd.read_parquet(folder / "r" / "trials" / "study=nothing")
    epochs = pd.read_parquet(folder / "r" / "epochs" / "study=nothing")
    assert len(table) == trials
    span = (table["ended_at"].max() - table["started_at"].min()).total_seconds()
    return {
        "trials": trials,
        "ms_per_trial": round(1000 * span / trials, 2),
        "startup_s": round(wall - span, 2),
        "wall_s": round(wall, 2),
        "epoch_rows": len(epochs),
        "driver_peak_mib": round(usage.ru_maxrss / 1024),
    }


def ask_cost(trials: int) -> float:
    """Milliseconds of one suggestion by tpe when `trials` trials are known: the median of 20."""
    import optuna

    from tune_app.search.samplers import make_sampler
    from tune_app.search.study_search import StudySearch
    from tune_app.tasks.spec_file import load_spec

    spec = load_spec(ROOT / "search_spaces" / "digits_cnn.yaml")
    search = StudySearch(spec.space, spec.objective, make_sampler("tpe", spec.space, 0, trials, spec.budget.epochs))
    random = StudySearch(spec.space, spec.objective, make_sampler("random", spec.space, 0, trials, spec.budget.epochs))
    for number in range(trials):
        params = spec.space.params_of(random.suggest(f"r{number}"))
        distributions = {name: spec.space.distributions()[name] for name in params}
        search._ot_study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=number % 97 / 97)
        )
    times = []
    for number in range(20):
        began = time.perf_counter()
        search.suggest(f"t{number}")
        times.append(time.perf_counter() - began)
        search._ot_study.tell(search._ot_trials[f"t{number}"], 0.5)
    return 1000 * statistics.median(times)


SUGGESTION_BARS = {"auto": {1_000: 5.0, 10_000: 10.0}, "random": {1_000: 0.5, 10_000: 0.5}}
"""Milliseconds that a suggestion may take, by sampler and number of trials."""
TIMED = 500
IN_FLIGHT = 16


def suggestion_costs(sampler: str, trials: int) -> dict[str, float]:
    """Milliseconds of the last `TIMED` suggestions of a sweep of `trials` trials: median, 99th percentile, worst."""
    import numpy as np

    from tune_app.search.samplers import make_sampler
    from tune_app.search.study_search import StudySearch
    from tune_app.spaces.section import Objective

    space, rng = _twenty_variables(), np.random.default_rng(0)
    objective = Objective(metric="loss", direction="minimize")
    search = StudySearch(space, objective, make_sampler(sampler, space, 0, trials, 15))
    running: list[tuple[str, dict[str, Any]]] = []
    times = []
    for number in range(trials):
        began = time.perf_counter()
        config = search.suggest(f"t{number}")
        times.append(time.perf_counter() - began)
        running.append((f"t{number}", config))
        if len(running) == IN_FLIGHT:
            name, config = running.pop(int(rng.integers(IN_FLIGHT)))
            epochs = int(rng.choice([1, 4, 15], p=[0.75, 0.19, 0.06]))
            level = (float(config["float0"]) - 0.3) ** 2 + 0.1 * rng.random()
            rows = [{"epoch": epoch, "metric/loss": level + 1 / epoch} for epoch in range(1, epochs + 1)]
            search.on_trial_complete(name, {"rows": rows, "finished": epochs == 15})
    median, slow, worst = (1000 * float(np.percentile(times[-TIMED:], share)) for share in (50, 99, 100))
    return {"ms_median": round(median, 2), "ms_p99": round(slow, 2), "ms_worst": round(worst, 2)}


def _twenty_variables() -> Any:
    """Twelve floats, half of them on a log scale, four whole numbers, four choices of three."""
    from tune_app.spaces.space import Space
    from tune_app.spaces.variable import Categorical, Float, Int, Variable

    domains: dict[str, Any] = {f"float{n}": Float(1e-4, 1.0, log=n % 2 == 1) for n in range(12)}
    domains |= {f"int{n}": Int(1, 64) for n in range(4)}
    domains |= {f"choice{n}": Categorical(("a", "b", "c")) for n in range(4)}
    defaults = {Float: 0.1, Int: 8, Categorical: "a"}
    variables = tuple(Variable(name, "training", d, defaults[type(d)], "") for name, d in domains.items())
    return Space(variables, domains, {}, {}, ())


def main() -> None:
    """Measure, print one JSON line per run and a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--trials", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--no-tensorboard", action="store_true", help="the difference is TensorBoard's cost")
    given = parser.parse_args()
    options = ["--no-tensorboard"] if given.no_tensorboard else []
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    found: dict[int, list[float]] = {n: [] for n in given.trials}
    for _ in range(given.runs):
        for trials in given.trials:
            with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
                figure = run(trials, Path(folder), options)
            found[trials].append(figure["ms_per_trial"])
            print(json.dumps({"measure": "overhead", **figure, **machine}), flush=True)
    for trials in given.trials:
        print(
            json.dumps({"measure": "tpe ask", "trials": trials, "ms": round(ask_cost(trials), 2), **machine}),
            flush=True,
        )
    for sampler, bars in SUGGESTION_BARS.items():
        for trials, bar in bars.items():
            costs = suggestion_costs(sampler, trials)
            line = {"measure": "suggestion", "sampler": sampler, "trials": trials, **costs, "bar_ms": bar, **machine}
            print(json.dumps(line), flush=True)
    medians = {n: statistics.median(values) for n, values in found.items()}
    print(json.dumps({"measure": "overhead, median ms a trial", **{str(n): m for n, m in medians.items()}, **machine}))
    if len(medians) > 1:
        few, many = min(medians), max(medians)
        ratios = [b / a for a, b in zip(found[few], found[many], strict=True)]
        print(
            json.dumps(
                {
                    "measure": f"ms a trial, {many} / {few}",
                    "median": round(statistics.median(ratios), 3),
                    "min": round(min(ratios), 3),
                    "max": round(max(ratios), 3),
                    **machine,
                }
            )
        )


if __name__ == "__main__":
    main()
