"""A sweep of a function, from a notebook or a script."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from rich.console import Console

from tune_app.cli.notification import EndNotification
from tune_app.cli.progress import Progress
from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.errors import InputError, WorkFailed, one_line
from tune_app.notebook.domain import parameters_of
from tune_app.notebook.finished_study import FinishedStudy
from tune_app.ray_backend.backend import RayBackend
from tune_app.ray_backend.cluster import check_no_client, connected
from tune_app.results.review import default_store
from tune_app.search.history import find_history
from tune_app.search.past_study import PastPreference
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Direction
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.sweep.preflight import preflight
from tune_app.sweep.sweep import Outcome, run_sweep
from tune_app.tasks import load_data, load_task
from tune_app.tasks.given_function import given_function, name_function
from tune_app.tasks.spec_file import read_spec


def run(
    function: Callable[..., Any],
    *,
    space: Mapping[str, Any],
    metrics: Mapping[str, Direction],
    trials: int | None = None,
    epochs: int | None = None,
    name: str | None = None,
    store: str | Path | None = None,
    address: str | None = None,
    check: bool = True,
    **sections: Any,
) -> FinishedStudy:
    """Search `space` for the best configuration of ``function(config, report)``, see docs/own_task.md.

    Ctrl-C lets the running trials finish, a second Ctrl-C stops them; finished trials are kept.

    Args:
        function: it may be defined in the notebook; then its current version is sent to the workers, and past studies
            are only used if `search` lists them.
        space: domains by name: ours, Ray Tune's, Optuna's, or in the form of a search space file; any other value is
            fixed. Nested mappings become names with dots, and arrive nested. Tuples arrive as lists.
        metrics: the metrics that the function reports, each with its direction; the first is the main one.
        trials: number of trials; None for the default of `budget`.
        epochs: maximum epochs per trial; None for the default of `budget`.
        name: of the study; None for the function's name, with a number if that is in use.
        store: root of the store; None for ``TUNE_APP_STORE``, else ``./results``.
        address: of a Ray cluster; None for the one this process is connected to, then ``RAY_ADDRESS``, then this
            machine.
        check: try the smallest, the largest and some random configurations first.
        sections: the other keys of a search space file, such as ``pruning={"level": "aggressive"}``.

    Raises:
        InputError: an argument is invalid, or the function fails in the check; a study of that name exists; it is not
            called in the main thread; an address is given although this process is already connected to a cluster; it
            is connected as a Ray client.
        WorkFailed: the sweep could not continue, or no trial completed.
    """
    _check_place(address)
    opened = Store(store if store is not None else default_store())
    task_name = name_function(function)
    _check_sendable(given_function(task_name), task_name)
    spec = _spec(task_name, space, metrics, name or _free_name(function, opened), trials, epochs, sections)
    study = Study(opened.folder, spec.name)
    study.refuse_another()
    task = load_task(spec.task, spec.catalog)
    data = load_data(task, spec.dataset)
    if check:
        preflight(spec, task, data)
    outcome = _sweep(spec, study, data, address)
    return FinishedStudy(spec.name, opened.folder.url, outcome, study, spec.catalog)


def _sweep(spec: Spec, study: Study, data: Dataset, address: str | None) -> Outcome:
    """Run the trials on the cluster, with the same display as the command."""
    past = [PastPreference.fit(one, spec.space) for one in find_history(spec, study.folder).studies]
    with EndNotification(()) as notification, ExitStack() as using:
        notification.about(spec, study)
        if address is not None or not ray.is_initialized():
            using.enter_context(connected(address))
        using.enter_context(study.writing())
        study.refuse_another()
        progress = using.enter_context(Progress(Console(stderr=True)))
        backend = RayBackend()

        def show(live: dict[str, Any]) -> None:
            notification.live = live
            progress.update(live)

        outcome = run_sweep(spec, study, data, backend, show=show, past=past, time_limit=spec.budget.time)
        notification.reason = outcome.reason
        _check_outcome(study, outcome)
    return outcome


def _spec(
    task: str,
    space: Mapping[str, Any],
    metrics: Mapping[str, Direction],
    name: str,
    trials: int | None,
    epochs: int | None,
    sections: Mapping[str, Any],
) -> Spec:
    budget = {key: value for key, value in (("trials", trials), ("epochs", epochs)) if value is not None}
    search = dict(sections.get("search") or {})
    if given_function(task) is not None:  # a function with the same name in another notebook is another task
        search.setdefault("history", "none")
    document = {
        "schema_version": 1,
        "name": name,
        "task": task,
        "metrics": dict(metrics),
        "parameters": {"training": parameters_of(space)},
        **sections,
        "search": search,
        "budget": {**(sections.get("budget") or {}), **budget},
    }
    return read_spec(Document.of(document, "tune_app.run"))


def _free_name(function: Callable[..., Any], opened: Store) -> str:
    base = re.sub(r"[^a-z0-9_-]+", "-", function.__name__.lower()).strip("-_")[:50] or "study"
    taken = set(opened.studies())
    return next(
        name for name in (base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))) if name not in taken
    )


def _check_place(address: str | None) -> None:
    if threading.current_thread() is not threading.main_thread():
        raise InputError("a sweep must start in the main thread, because it handles Ctrl-C, but this is another thread")
    if address is not None and ray.is_initialized():
        rule = "`address` must be omitted if this process is already connected to a Ray cluster"
        raise InputError(f"{rule}, but got {address!r}", hint="or call `ray.shutdown()` first")
    check_no_client()


def _check_sendable(function: Callable[..., Any] | None, name: str) -> None:
    """Reject a given function that cannot be sent to a worker."""
    try:
        cloudpickle.dumps(function)
    except Exception as error:  # its contents may raise anything
        rule = f"`{name}` must be a function that can be sent to workers, but {one_line(error):.300}"
        raise InputError(
            rule, hint="create what cannot be sent, such as a lock or a connection, inside the function"
        ) from None


def _check_outcome(study: Study, outcome: Outcome) -> None:
    """Raise an error for a sweep without results."""
    if outcome.best and outcome.reason != "lost":
        return
    hint = f"`tune_app.load_trials({study.name!r})` has the results so far"
    if outcome.reason is not None:
        raise WorkFailed(f"the sweep was stopped: {outcome.message}", hint=hint)
    failed = next((trial.row.error for trial in study.history().trials.values() if trial.row and trial.row.error), None)
    why = "" if failed is None else f"; the first failure: {failed.strip().splitlines()[-1]}"
    raise WorkFailed(f"no trial of `{study.name}` completed{why}", hint=hint)
