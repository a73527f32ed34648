"""How good a model a searcher finds, and at what cost: sweeps replayed in virtual time over recorded learning curves.

Curves: those of `curves.py`, all of them errors or losses, with the noise of one training seed, which is tied to
configuration and epoch. Workers are asynchronous; the budget counts full trainings.
Arms: `random` and `tpe` (told the truth) with ASHA as in Ray Tune's documentation (the first rung after one epoch, a
quarter continues); `stock` is Tune's own OptunaSearch with it; `gentle`, `normal` and `aggressive` are tune-app's
sampler `auto` at these pruning levels, `normal` its default; `before` is the previous default, tpe with rungs after a
tenth of the epochs; `halving` trains as many as fit for one epoch, and then the best three in full.
The score is the true final loss of the completed trial that looks best: what a user takes home.
With `--history` the levels start from studies of other tasks: the next three tasks with the same variables, each
searched cold by `normal` with another seed; the task itself is left out. With `shuffled` the scores of those trials are
shuffled, so that they mislead.

    python benchmarks/search.py --curves FOLDER_OR_FILE … [--tasks NAME …] [--arms random normal]
        [--seeds 10] [--workers 16] [--budget 30] [--history related]

`--curves` takes our own tables (`benchmarks/tables`), TaskSet's `.npz` files, folders of either, and the folder of
LCBench's surrogate, for which `--tasks` takes OpenML ids, `odd` or `even` (the default): develop on one half, evaluate
on the other.

Prints one JSON line per task, arm and seed with the best loss so far after 2, 5, 10, 15, 20, 25 and 30 full trainings,
and a summary: per task and arm the median at the end, and the cost to reach the final best of `random` and `stock`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from curves import Source, find_sources
from optuna.samplers import TPESampler
from ray.tune.search.optuna import OptunaSearch

from tune_app.search.history import make_portfolio
from tune_app.search.past_study import PastPreference, PastStudy
from tune_app.search.samplers import make_sampler
from tune_app.search.schedule import Hyperband, make_scheduler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.feasibility import sample
from tune_app.spaces.pruning import LEVELS, rungs
from tune_app.spaces.section import Pruning
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Config
from tune_app.sweep.replay import Array, Outcome, Progress, replay

LOOKS = (2, 5, 10, 15, 20, 25, 30)
ARMS = ("random", "stock", "tpe", "before", *LEVELS, "halving")
"""See above."""


class StockSearch(OptunaSearch):
    """Tune's own searcher as documented: a stopped trial is reported to Optuna as complete with its last value."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space_ = space
        super().__init__(space=space.distributions(), metric="objective", mode="min", sampler=TPESampler(seed=seed))

    def suggest(self, trial_id: str) -> Config:
        """A full configuration."""
        return self._space_.complete(super().suggest(trial_id))


def run_arm(
    arm: str,
    curves: Source,
    seed: int,
    workers: int,
    budget: int,
    trials: int | None = None,
    past: Sequence[PastPreference] = (),
) -> Outcome:
    """One sweep with `arm`, of `budget` epochs or `trials` trials; the levels start from `past` studies."""
    space, epochs, expected = curves.space, curves.epochs, trials or 10 * budget // curves.epochs
    if arm == "halving":
        return halving(curves, seed, budget)
    if arm in LEVELS:
        section = Pruning(level=arm)
        decided, scheduler = rungs(section, epochs)[0], make_scheduler(section, "minimize", epochs)
        sampler = make_sampler("auto", space, seed, expected, epochs, past=past)
    else:
        first, factor = (max(1, epochs // 10), 3) if arm == "before" else (1, 4)
        decided = tuple(first * factor**power for power in range(10) if first * factor**power < epochs)
        scheduler = Hyperband("epoch", "objective", "min", epochs, first, factor)
        sampler = make_sampler("random" if arm == "random" else "tpe", space, seed, expected, epochs)
    search: Any = StockSearch(space, seed) if arm == "stock" else StudySearch(space, curves.objective, sampler)
    first = make_portfolio(space, past) if arm in LEVELS else ()
    many: dict[str, Any] = {"workers": workers, "budget": budget, "trials": trials}
    return replay(search, scheduler, curves.objective, curves, decided, first=first, **many)


def halving(curves: Source, seed: int, budget: int) -> Outcome:
    """As many random configurations as fit for one epoch, then the best three in full."""
    rng = np.random.default_rng(seed)
    drawn = [curves.curve(sample(curves.space, rng)) for _ in range(budget - 3 * (curves.epochs - 1))]
    best = sorted((c for c in drawn if np.isfinite(c.values[0])), key=lambda c: float(c.values[0]))[:3]
    outcome = Outcome(epochs=budget)
    done = [c for c in best if np.isfinite(c.values).all()]
    if done:
        outcome.progress.append(Progress(budget, min(done, key=lambda c: float(c.values[-1])).truth))
    return outcome


Task = tuple[str, Callable[[int], Source]]
RELATED = 3
"""Past studies of `--history`."""


def past_of(tasks: Sequence[Task], position: int, seed: int, shuffled: bool) -> list[PastPreference]:
    """The preferences of the next tasks' studies, among tasks with the variables of the one at `position`."""
    space = tasks[position][1](seed).space
    others = [tasks[(position + step) % len(tasks)] for step in range(1, len(tasks))]
    related = [task for task in others if task[1](seed).space.order == space.order][:RELATED]
    found = []
    for name, source in related:
        trials = list(_studied(source, seed + 1000))
        curves = [curve for _, curve in trials]
        if shuffled:
            order = np.random.default_rng(seed).permutation(len(curves))
            curves = [curves[place] for place in order]
        study = PastStudy.of(name, list(zip((config for config, _ in trials), curves, strict=True)))
        assert study is not None
        found.append(PastPreference.fit(study, space))
    return found


@cache
def _studied(source: Callable[[int], Source], seed: int) -> tuple[tuple[Config, Array], ...]:
    """The trials of a cold study: configurations and reported values, larger is better."""
    curves = source(seed)
    outcome = run_arm("normal", curves, seed, 16, 30 * curves.epochs)
    return tuple((t.config, _reported(-t.curve.values[: t.epochs])) for t in outcome.trials if t.epochs)


def _reported(curve: Array) -> Array:
    return curve if np.isfinite(curve).all() else np.empty(0)  # it diverged


def main() -> None:
    """Replay every arm on every task with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, nargs="+", required=True)
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--budget", type=int, default=30, help="full trainings")
    parser.add_argument("--trials", type=int, help="end after this many trials instead, whatever they cost")
    parser.add_argument("--history", choices=("none", "related", "shuffled"), default="none")
    given = parser.parse_args()
    tasks = list(find_sources(given.curves, given.tasks))
    for position in range(len(tasks)):
        summarize(tasks, position, given)


def summarize(tasks: Sequence[Task], position: int, given: argparse.Namespace) -> None:
    """Print a line per arm and seed, and one that compares the arms."""
    task, source = tasks[position]
    found: dict[str, list[Outcome]] = {}
    for arm in given.arms:
        for seed in range(given.seeds):
            curves = source(seed)
            knows = arm in LEVELS and given.history != "none"
            past = past_of(tasks, position, seed, given.history == "shuffled") if knows else ()
            began = time.process_time()
            budget = curves.epochs * (given.trials or given.budget)
            outcome = run_arm(arm, curves, seed, given.workers, budget, given.trials, past)
            found.setdefault(arm, []).append(outcome)
            looks = {str(n): outcome.truth_at(n * curves.epochs) for n in LOOKS if n <= given.budget}
            facts = {
                "trials": len(outcome.trials),
                "epochs": outcome.epochs,
                "cpu_s": round(time.process_time() - began, 2),
            }
            print(json.dumps({"task": task, "arm": arm, "seed": seed, "best": looks, **facts}), flush=True)
    epochs = source(0).epochs
    ends = {arm: _median([o.truth_at(np.inf) for o in runs]) for arm, runs in found.items()}
    costs = {
        f"cost to {peer}": {arm: _median([_cost(o, ends[peer], epochs) for o in runs]) for arm, runs in found.items()}
        for peer in ("random", "stock")
        if ends.get(peer) is not None
    }
    print(json.dumps({"summary": task, "final": ends, **costs}), flush=True)


def _cost(outcome: Outcome, level: float | None, epochs: int) -> float | None:
    """Full trainings until the best reached `level`; None if it never did."""
    return next((p.epochs / epochs for p in outcome.progress if level is not None and round(p.truth, 4) <= level), None)


def _median(values: list[float | None]) -> float | None:
    """The median; a run that never got there counts as infinite."""
    middle = statistics.median(np.inf if value is None else value for value in values)
    return None if np.isinf(middle) else round(middle, 4)


if __name__ == "__main__":
    main()
