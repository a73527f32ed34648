"""What a finished study would have found with other pruning levels and samplers, and at what cost.

The study's own trials are the curves: nothing is trained, see `replay.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tune_app.search.encoding import encode
from tune_app.search.planned_sampler import PlannedSampler
from tune_app.search.recorded_sampler import RecordedSampler
from tune_app.search.samplers import make_sampler
from tune_app.search.schedule import make_scheduler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.pruning import rungs
from tune_app.spaces.section import Pruning
from tune_app.spaces.strategy import SAMPLERS
from tune_app.spaces.variable import Config
from tune_app.store.trial_row import TrialState
from tune_app.sweep.recorded_study import RecordedStudy, RecordedTrial
from tune_app.sweep.replay import Curve, Outcome, replay

PROPOSING = tuple(name for name in SAMPLERS if name != "grid")
"""The samplers that a replay supports; a grid's configurations do not come from a sampler."""


@dataclass(frozen=True)
class ReplayedStudy:
    """The result of one replay of a study.

    Attributes:
        sampler: the sampler that proposed configurations; None for the recorded order.
        pruning: the level.
        best: the objective of the best completed trial; None, as the next three are, if nothing completed.
        trial: the number of that trial in the study.
        place: its rank among the study's completed trials, from 1; equal ones share a rank.
        found_s: seconds from the first start to its end.
        best_state, best_epochs: how the study's best trial ended here, and after how many epochs.
        epochs: total number trained.
        share: fraction of the study's epochs, 0 to 1.
        seconds: from the first start to the last end; only epochs take time.
    """

    sampler: str | None
    pruning: str
    seed: int
    best: float | None
    trial: int | None
    place: int | None
    found_s: float | None
    best_state: TrialState
    best_epochs: int
    epochs: int
    share: float
    seconds: float


def replay_study(recorded: RecordedStudy, pruning: str, sampler: str | None, seed: int, workers: int) -> ReplayedStudy:
    """Run all trials of a study again in virtual time.

    Args:
        pruning: a level; the scheduler is the study's, or asha if it has none.
        sampler: one of `PROPOSING`: after the study's first configuration, each proposal is replaced by the nearest
            recorded configuration not used yet. None for the recorded order.
        seed: of the sampler, or of the order; 0 is the recorded order.
        workers: how many trials run in parallel.

    Raises:
        InputError: the sampler cannot search the study's space.
    """
    spec, curves, count = recorded.spec, _Curves(recorded), len(recorded.trials)
    section = _section(spec.pruning, pruning)
    first: Sequence[Config]
    asked: PlannedSampler
    if sampler is None:
        first = [recorded.trials[position].config for position in _order(count, seed)]
        asked = make_sampler("random", spec.space, seed, count, spec.budget.epochs)  # it never is
    else:
        SAMPLERS[sampler].check(spec.space)
        first = [recorded.trials[0].config]
        asked = RecordedSampler(make_sampler(sampler, spec.space, seed, count, spec.budget.epochs), curves.nearest)
    outcome = replay(
        StudySearch(spec.space, recorded.objective, asked),
        make_scheduler(section, recorded.objective.direction, spec.budget.epochs),
        recorded.objective,
        curves,
        rungs(section, spec.budget.epochs)[0],
        workers=min(workers, count),
        budget=recorded.epochs,
        trials=count,
        first=first,
    )
    return ReplayedStudy(sampler, pruning, seed, **_findings(recorded, outcome, curves.taken))


class _Curves:
    """The curves of a study's trials, each used once.

    Attributes:
        taken: the trials in the order in which they started.
    """

    def __init__(self, recorded: RecordedStudy) -> None:
        self._space = recorded.spec.space
        self._left = list(recorded.trials)
        self._points = encode(self._space, [trial.config for trial in recorded.trials])
        self.taken: list[RecordedTrial] = []

    def nearest(self, config: Config) -> Config:
        """The configuration nearest to `config` among the remaining trials."""
        return self._left[self._position(config)].config

    def curve(self, config: Config) -> Curve:
        """The curve of the nearest remaining trial, which is then used up."""
        position = self._position(config)
        self._points = np.delete(self._points, position, axis=0)
        self.taken.append(self._left.pop(position))
        return self.taken[-1].curve

    def _position(self, config: Config) -> int:
        return int(((self._points - encode(self._space, [config])) ** 2).sum(1).argmin())


def _section(recorded: Pruning, level: str) -> Pruning:
    """The study's pruning at another level."""
    scheduler = {} if recorded.scheduler == "none" else {"scheduler": recorded.scheduler}
    return Pruning.model_validate({**scheduler, "level": level})


def _order(count: int, seed: int) -> Sequence[int]:
    """The positions of the trials in the order of a seed."""
    return range(count) if seed == 0 else [int(p) for p in np.random.default_rng(seed).permutation(count)]


def _findings(recorded: RecordedStudy, outcome: Outcome, taken: list[RecordedTrial]) -> dict[str, Any]:
    """The attributes of `ReplayedStudy` that follow from what happened."""
    pairs = list(zip(taken, outcome.trials, strict=True))
    best = recorded.best
    best_ended = next(replayed for trial, replayed in pairs if trial is best)
    facts: dict[str, Any] = dict.fromkeys(("best", "trial", "place", "found_s"))
    if outcome.progress:
        value = outcome.progress[-1].truth
        found, ended = next(
            (trial, replayed.ended)
            for trial, replayed in pairs
            if replayed.state is TrialState.COMPLETED and trial.curve.truth == value
        )
        facts = {"best": value, "trial": found.trial, "place": recorded.place(value), "found_s": ended}
    return {
        **facts,
        "best_state": best_ended.state,
        "best_epochs": best_ended.epochs,
        "epochs": outcome.epochs,
        "share": outcome.epochs / recorded.epochs,
        "seconds": outcome.seconds,
    }
