"""How good a model a searcher finds, and at what cost: sweeps replayed in virtual time over recorded learning curves.

Curves: `.npz` files in the form of TaskSet (github google-research TaskSet, arXiv 2002.11887; CC BY 4.0): ``hp_names``,
``hp`` (configurations, variables), ``valid`` (configurations, epochs + 1), a loss. They are means over five seeds, so
the noise of one, 0.01 in the loss, is added; it is tied to configuration and epoch. A proposed configuration stands for
the nearest one of the table. Workers are asynchronous; the budget is so many full trainings.
Arms: `random` and `tpe` (told the truth) with the rungs of Ray Tune's documentation (the first after one epoch, a
quarter goes on); `stock` is Tune's own OptunaSearch with them; `today` is what tune-app does without any options;
`halving` trains as many as fit for one epoch, and then the best three in full.
What counts is the true final loss of the completed trial that looks best: what a user takes home.

    python benchmarks/search.py --curves FOLDER [--tasks NAME …] [--arms random today] [--seeds 10] [--workers 16]

Prints one JSON line per task, arm and seed with the best loss so far after 2, 5, 10, 20 and 30 full trainings, and a
summary: per task and arm the median at the end, and the cost to reach the final best of `random` and `stock`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from optuna.samplers import TPESampler
from ray.tune.search.optuna import OptunaSearch

from tune_app.search.samplers import make_sampler
from tune_app.search.schedule import make_asha, make_scheduler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.pruning import rungs
from tune_app.spaces.section import Objective, Pruning
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config, Float, Variable
from tune_app.sweep.replay import Curve, Outcome, replay

NOISE = 0.01
LOOKS = (2, 5, 10, 20, 30)
OBJECTIVE = Objective(metric="loss", direction="minimize")
ARMS = ("random", "stock", "tpe", "today", "halving")


class TaskSet:
    """The curves of one file; losses after each of its epochs."""

    def __init__(self, path: Path, seed: int) -> None:
        data = np.load(path)
        self.losses = data["valid"][:, 1:].astype(float)
        self.epochs = self.losses.shape[1]
        points = data["hp"].astype(float)
        betas = [position for position, name in enumerate(data["hp_names"]) if str(name).startswith("beta")]
        points[:, betas] = 1 - points[:, betas]  # they were drawn so, uniformly in the logarithm
        logs = np.log(points)
        self._low, self._span = logs.min(0), np.ptp(logs, axis=0)
        self._points = (logs - self._low) / self._span
        self._names = [str(name) for name in data["hp_names"]]
        self._noise = np.random.default_rng(seed).normal(0.0, NOISE, self.losses.shape)
        low, high = points.min(0), points.max(0)
        self.space = Space(
            tuple(
                Variable(name, "training", Float(float(a), float(b), log=True), float(np.sqrt(a * b)), "")
                for name, a, b in zip(self._names, low, high, strict=True)
            ),
            {name: Float(float(a), float(b), log=True) for name, a, b in zip(self._names, low, high, strict=True)},
            {},
            {},
            (),
        )

    def curve(self, config: Config) -> Curve:
        """The curve of the nearest configuration of the table; every epoch takes one virtual second."""
        point = (np.log([float(config[name]) for name in self._names]) - self._low) / self._span
        row = int(((self._points - point) ** 2).sum(1).argmin())
        losses = self.losses[row]
        return Curve(losses + self._noise[row], np.arange(1.0, self.epochs + 1), float(losses[-1]))


class StockSearch(OptunaSearch):
    """Tune's own searcher as documented: a trial that was stopped is told as complete with its last value."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space_ = space
        super().__init__(space=space.distributions(), metric="objective", mode="min", sampler=TPESampler(seed=seed))

    def suggest(self, trial_id: str) -> Config:
        """A full configuration."""
        return self._space_.complete(super().suggest(trial_id))


def run_arm(arm: str, curves: TaskSet, seed: int, workers: int, budget: int) -> Outcome:
    """One sweep with `arm`, of `budget` epochs."""
    space, epochs = curves.space, curves.epochs
    if arm == "halving":
        return halving(curves, seed, budget)
    stock = tuple(4**power for power in range(10) if 4**power < epochs)
    if arm == "today":
        section = Pruning()
        decided, scheduler = rungs(section, epochs)[0], make_scheduler(section, "minimize", epochs)
    else:
        decided, scheduler = stock, make_asha("minimize", epochs, stock, 4)
    name = "random" if arm == "random" else "tpe"
    search: Any = (
        StockSearch(space, seed)
        if arm == "stock"
        else StudySearch(space, OBJECTIVE, make_sampler(name, space, seed, 400), seed)
    )
    return replay(search, scheduler, OBJECTIVE, curves, decided, workers=workers, budget=budget)


def halving(curves: TaskSet, seed: int, budget: int) -> Outcome:
    """As many random configurations as fit for one epoch, then the best three in full."""
    from tune_app.spaces.feasibility import sample
    from tune_app.sweep.replay import Progress

    rng = np.random.default_rng(seed)
    drawn = [curves.curve(sample(curves.space, rng)) for _ in range(budget - 3 * (curves.epochs - 1))]
    best = sorted((c for c in drawn if np.isfinite(c.values[0])), key=lambda c: float(c.values[0]))[:3]
    outcome = Outcome(epochs=budget)
    done = [c for c in best if np.isfinite(c.values).all()]
    if done:
        outcome.progress.append(Progress(budget, min(done, key=lambda c: float(c.values[-1])).truth))
    return outcome


def main() -> None:
    """Replay every arm on every task with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--budget", type=int, default=30, help="full trainings")
    given = parser.parse_args()
    for path in sorted(given.curves.glob("*.npz")):
        if given.tasks is None or path.stem in given.tasks:
            summarize(path, given)


def summarize(path: Path, given: argparse.Namespace) -> None:
    """Print a line per arm and seed, and one that compares the arms."""
    found: dict[str, list[Outcome]] = {}
    for arm in given.arms:
        for seed in range(given.seeds):
            curves, began = TaskSet(path, seed), time.process_time()
            outcome = run_arm(arm, curves, seed, given.workers, given.budget * curves.epochs)
            found.setdefault(arm, []).append(outcome)
            looks = {str(n): outcome.truth_at(n * curves.epochs) for n in LOOKS if n <= given.budget}
            facts = {"trials": len(outcome.trials), "cpu_s": round(time.process_time() - began, 2)}
            print(json.dumps({"task": path.stem, "arm": arm, "seed": seed, "best": looks, **facts}), flush=True)
    epochs = TaskSet(path, 0).epochs
    ends = {arm: _median([o.truth_at(given.budget * epochs) for o in runs]) for arm, runs in found.items()}
    costs = {
        f"cost to {peer}": {arm: _median([_cost(o, ends[peer], epochs) for o in runs]) for arm, runs in found.items()}
        for peer in ("random", "stock")
        if ends.get(peer) is not None
    }
    print(json.dumps({"summary": path.stem, "final": ends, **costs}), flush=True)


def _cost(outcome: Outcome, level: float | None, epochs: int) -> float | None:
    """Full trainings until the best was at `level`; None if it never was."""
    return next((p.epochs / epochs for p in outcome.progress if level is not None and p.truth <= level), None)


def _median(values: list[float | None]) -> float | None:
    """The median; a run that never got there counts as infinitely bad."""
    middle = statistics.median(np.inf if value is None else value for value in values)
    return None if np.isinf(middle) else round(middle, 4)


if __name__ == "__main__":
    main()
