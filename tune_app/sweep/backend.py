"""Who trains: all that a sweep needs of it, as one protocol.

Ray Tune's controller is the one implementation so far (`tune_app.ray_backend`). `replay.py` drives sampler and
scheduler without it: it has no study to write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from tune_app.datasets.dataset import Dataset
from tune_app.search.schedule import Scheduler
from tune_app.search.study_search import StudySearch
from tune_app.spaces.spec import Spec, epochs_of
from tune_app.spaces.variable import Config
from tune_app.store.columns import Row
from tune_app.store.study import Study
from tune_app.store.trial_row import FailureKind, Source
from tune_app.sweep.requests import Request


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Attributes:
        data: the data set; its test part must not reach a trial.
        requests: the trials to run, in this order.
        search: proposes the configurations that the requests leave open, and is told how each trial ends.
        scheduler: decides at its rungs which trials go on.
    """

    spec: Spec
    study: Study
    data: Dataset
    requests: Sequence[Request]
    search: StudySearch
    scheduler: Scheduler

    def epochs_of(self, config: Config) -> int:
        """How many epochs `config` trains at most."""
        return epochs_of(config, self.spec.budget.epochs)

    def name_of(self, trial: int) -> str:
        """The id of trial number `trial`."""
        return f"{self.spec.name}-{trial:05d}"


@dataclass(frozen=True)
class Run:
    """One attempt at a trial.

    Attributes:
        trial: its number.
        attempt: from 1; one more after each time that its process or node was lost.
        source: where its configuration came from.
    """

    trial: int
    trial_id: str
    config: Config
    epochs: int
    seed: int
    attempt: int
    source: Source | None = None


@dataclass(frozen=True)
class Started:
    """A process took the trial."""

    run: Run


@dataclass(frozen=True)
class Reported:
    """The trial finished epochs.

    Attributes:
        rows: of the `epochs` table, in their order.
        facts: what is known of the training so far, by columns of the `trials` table.
    """

    run: Run
    rows: Sequence[Row]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Lost:
    """Its process or node died, and the trial will be run again from its checkpoint."""

    run: Run


@dataclass(frozen=True)
class Failure:
    """Why a trial failed: the kind, and a line for people."""

    kind: FailureKind
    error: str


@dataclass(frozen=True)
class Ended:
    """The trial is over.

    Attributes:
        finished: whether it trained all of its epochs; if not and there is no failure, the scheduler stopped it.
        failure: why it failed.
        facts: as in `Reported`.
    """

    run: Run
    finished: bool
    failure: Failure | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


Event: TypeAlias = Started | Reported | Lost | Ended


class Backend(Protocol):
    """Whoever trains the trials of one sweep."""

    @property
    def slots(self) -> int:
        """How many trials it trains at once, as of now."""
        ...

    def begin(self, plan: Plan) -> None:
        """Take the sweep; nothing is trained before the first `step`.

        Raises:
            InputError: it has no room for a single trial.
        """
        ...

    def finished(self) -> bool:
        """Whether all trials have ended."""
        ...

    def step(self) -> Sequence[Event]:
        """Wait a moment for what happens next; start trials where there is room."""
        ...

    def running(self) -> Sequence[Run]:
        """The trials that are being trained."""
        ...

    def kill(self, run: Run) -> None:
        """End a trial that does not answer; it is not run again, and its end comes as an event."""
        ...

    def stop(self, run: Run) -> None:
        """End a trial after the epoch that it trains; it counts as pruned."""
        ...

    def waiting(self) -> Sequence[Request]:
        """The trials that nobody has begun yet, in their order."""
        ...

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        """Train these trials instead of those that are `waiting`."""
        ...

    def limit(self, concurrent: int | None) -> None:
        """Train at most so many trials at once from now on, as many as fit for None; running ones go on."""
        ...

    def start_no_more(self) -> None:
        """Let the running trials finish and start no other."""
        ...

    def abandon(self) -> None:
        """End all running trials at once; their ends do not come as events."""
        ...

    def progress(self, runs: Sequence[Run]) -> Mapping[int, tuple[int, float]]:
        """By number of the trial, the epoch that each of `runs` trains and the fraction (0..1) that is done.

        Those that told nothing yet are left out. Where a trial may only take so long, it tells epoch 0 when its
        training begins: what comes before is the start of its process.
        """
        ...

    def resources(self) -> Mapping[str, float]:
        """What it trains on, for the record of the study."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
