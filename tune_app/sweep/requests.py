"""The trials that a sweep has to run: first those that an earlier run left unfinished, then new ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tune_app.errors import InputError, NotFound
from tune_app.spaces.feasibility import nearest_to_defaults
from tune_app.spaces.spec import Spec
from tune_app.spaces.strategy import grid_configs
from tune_app.spaces.variable import Config
from tune_app.store.event_log import History
from tune_app.store.trial_row import Source
from tune_app.training.seed import derive_seed

GRID: Source = "grid"


@dataclass(frozen=True)
class Request:
    """One trial to run; if the configuration is None, the sampler proposes it.

    Attributes:
        source: where the configuration came from; None if the sampler decides.
    """

    trial: int
    seed: int
    attempt: int = 1
    config: Config | None = None
    source: Source | None = None


def requests_of(
    spec: Spec, history: History, start_with: Sequence[Config], portfolio: Sequence[Config] = ()
) -> list[Request]:
    """The trials to run.

    The first new ones use the configurations to start with, or else the task's defaults: the author's choice, as a
    baseline for every study. Those of the `portfolio` follow. A grid determines all configurations, and ends with its
    last one.
    """
    is_grid = spec.search.sampler == "grid"
    kept = [c for sweep in history.sweeps for c in sweep.get("start_with", [])]
    known = {_key(record.config) for record in history.trials.values()}
    first: list[tuple[Config, Source]] = [(c, "start") for c in [*start_with] or kept if _key(c) not in known]
    if not (start_with or kept or is_grid):
        default = nearest_to_defaults(spec.space)
        first = [(default, "default")] if _key(default) not in known else []
    known |= {_key(config) for config, _ in first}
    first += [(config, "history") for config in portfolio if _key(config) not in known]
    known |= {_key(config) for config, _ in first}
    grid = grid_configs(spec.space, spec.search.seed) if is_grid else iter(())
    left = itertools.chain(first, ((config, GRID) for config in grid if _key(config) not in known))
    requests = [
        Request(r.trial, r.seed, r.attempt, *next(left, (None, None))) if r.config is None else r
        for r in open_requests(history, spec.budget.trials, lambda number: derive_seed(spec.search.seed, number))
    ]
    return [r for r in requests if r.config is not None] if is_grid else requests


def retried(history: History, trial: int, number: int) -> Request:
    """Trial `trial` again, as trial `number`, with the same configuration and seed.

    Raises:
        NotFound: there is no such trial.
        InputError: it has not ended.
    """
    record = history.trials.get(trial)
    if record is None:
        known = f"{min(history.trials)} to {max(history.trials)}" if history.trials else "none"
        raise NotFound(f"there is no trial {trial} to retry", hint=f"the study's trials: {known}")
    if not record.finished:
        raise InputError(f"only an ended trial can be retried, but trial {trial} has not ended")
    return Request(number, record.seed, config=record.config, source=record.source)


def with_retries(requests: Sequence[Request], history: History, trials: Sequence[int], total: int) -> list[Request]:
    """The requests for `total` trials; the last numbers retry `trials`, and run first."""
    first = total - len(trials)
    again = [retried(history, trial, number) for number, trial in enumerate(trials, start=first)]
    return [*again, *(request for request in requests if request.trial < first)]


def open_requests(history: History, total: int, seed_of: Callable[[int], int]) -> list[Request]:
    """The remaining work for `total` trials: unfinished ones again unchanged, then those never started.

    Among these, trials requested by the user come first.
    """
    again, asked, new = [], [], []
    for number in range(total):
        record, told = history.trials.get(number), history.requested.get(number)
        if record is None and told is not None:
            asked.append(Request(number, told["seed"], config=told["config"], source=told["source"]))
        elif record is None:
            new.append(Request(number, seed_of(number)))
        elif not record.finished:
            again.append(Request(number, record.seed, record.attempt + 1, record.config, record.source))
    return again + asked + new


def _key(config: Config) -> tuple[object, ...]:
    return tuple(config[name] for name in sorted(config))
