"""The protocol of whatever trains: everything a sweep needs from it.

Ray Tune's controller is the one implementation so far (`tune_app.ray_backend`). `replay.py` drives sampler and
scheduler without it: it does not write a study.
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
    """What to train.

    Attributes:
        data: the data set; trials must not see its test part.
        requests: the trials to run, in this order.
        search: proposes configurations for requests without one, and learns how each trial ends.
        scheduler: decides at its rungs which trials continue.
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
        attempt: from 1; increases each time its process or node is lost.
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
    """A process started the trial."""

    run: Run


@dataclass(frozen=True)
class Reported:
    """The trial finished epochs.

    Attributes:
        rows: of the `epochs` table, in their order.
        facts: what is known about the training so far, by column of the `trials` table.
    """

    run: Run
    rows: Sequence[Row]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Lost:
    """Its process or node died, and the trial will resume from its checkpoint."""

    run: Run


@dataclass(frozen=True)
class Failure:
    """Why a trial failed: the kind, and a readable line."""

    kind: FailureKind
    error: str


@dataclass(frozen=True)
class Ended:
    """The trial is over.

    Attributes:
        finished: whether it trained all its epochs; if not and there is no failure, the scheduler stopped it.
        failure: why it failed.
        facts: as in `Reported`.
    """

    run: Run
    finished: bool
    failure: Failure | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


Event: TypeAlias = Started | Reported | Lost | Ended


class Backend(Protocol):
    """Trains the trials of one sweep."""

    @property
    def slots(self) -> int:
        """How many trials it currently trains at once."""
        ...

    def begin(self, plan: Plan) -> None:
        """Accept the sweep; nothing trains before the first `step`.

        Raises:
            InputError: there is no room for even one trial.
        """
        ...

    def finished(self) -> bool:
        """Whether all trials have ended."""
        ...

    def step(self) -> Sequence[Event]:
        """Wait briefly for the next events; start trials if there is room."""
        ...

    def running(self) -> Sequence[Run]:
        """The trials in training."""
        ...

    def kill(self, run: Run) -> None:
        """End a trial that does not respond; it does not run again, and its end arrives as an event."""
        ...

    def stop(self, run: Run) -> None:
        """End a trial after its current epoch; it counts as pruned."""
        ...

    def waiting(self) -> Sequence[Request]:
        """The trials that have not started, in order."""
        ...

    def replace_waiting(self, requests: Sequence[Request]) -> None:
        """Train these trials instead of the `waiting` ones."""
        ...

    def limit(self, concurrent: int | None) -> None:
        """From now on, train at most this many trials at once, as many as fit for None; running ones continue."""
        ...

    def start_no_more(self) -> None:
        """Let the running trials finish and start no others."""
        ...

    def abandon(self) -> None:
        """End all running trials immediately; their ends do not arrive as events."""
        ...

    def progress(self, runs: Sequence[Run]) -> Mapping[int, tuple[int, float]]:
        """By trial number, the current epoch of each of `runs` and the completed fraction (0..1).

        Omits
        trials that have reported nothing yet. If trials have a time limit, a trial reports epoch 0 when its training
        starts: everything before is the start of its process.
        """
        ...

    def resources(self) -> Mapping[str, float]:
        """The hardware it trains on, for the study's record."""
        ...

    def shared_data(self) -> Mapping[str, str | None]:
        """SHA-256 of what the trials loaded together, by the call; None if it cannot be had."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...
