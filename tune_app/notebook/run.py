"""A sweep of a function, from a notebook or a script."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from tune_app.cli.progress import Progress
from tune_app.document import Document
from tune_app.notebook.domain import parameters_of
from tune_app.notebook.finished_study import FinishedStudy
from tune_app.ray_backend.backend import RayBackend
from tune_app.ray_backend.cluster import connected
from tune_app.results.review import default_store
from tune_app.search.history import find_history
from tune_app.search.past_study import PastPreference
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import GROUPS, Direction
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.sweep.preflight import preflight
from tune_app.sweep.sweep import run_sweep
from tune_app.tasks import load_data, load_task
from tune_app.tasks.given_function import name_function
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

    Ctrl-C once lets the running trials finish, twice stops them; what ended is kept.

    Args:
        function: it may be one of the notebook; then it is sent to the workers as it is now.
        space: domains by name: ours, Ray Tune's, Optuna's, or as a search space file has them; what is none is fixed.
            Nested mappings become names with dots, and arrive nested. By group where all keys are groups.
        metrics: what the function reports, with the direction in which it is better; the first is the main one.
        trials: how many; None for the default of `budget`, as for the epochs of the longest trial.
        epochs: see there.
        name: of the study; None for the function's name, with a number where that is in use.
        store: root of the store; None for ``TUNE_APP_STORE``, else ``./results``.
        address: of a Ray cluster; None for the one this process is connected to, else for this machine.
        check: try the smallest, the largest and some random configurations first.
        sections: the other keys of a search space file, such as ``pruning={"level": "aggressive"}``.

    Raises:
        InputError: what breaks a rule, or a function that fails in the check; a study of that name exists.
        WorkFailed: the sweep could not go on.
    """
    opened = Store(store if store is not None else default_store())
    spec = _spec(function, space, metrics, name or _free_name(function, opened), trials, epochs, sections)
    study = Study(opened.folder, spec.name)
    task = load_task(spec.task, spec.catalog)
    data = load_data(task, spec.dataset)
    if check:
        preflight(spec, task, data)
    past = [PastPreference.fit(one, spec.space) for one in find_history(spec, opened.folder).studies]
    with ExitStack() as using:
        if address is not None or not ray.is_initialized():
            using.enter_context(connected(address))
        using.enter_context(study.writing())
        study.refuse_another()
        progress = using.enter_context(Progress(Console(stderr=True)))
        backend = RayBackend()
        outcome = run_sweep(spec, study, data, backend, show=progress.update, past=past, time_limit=spec.budget.time)
    return FinishedStudy(spec.name, opened.folder.url, outcome, study, spec.catalog)


def _spec(
    function: Callable[..., Any],
    space: Mapping[str, Any],
    metrics: Mapping[str, Direction],
    name: str,
    trials: int | None,
    epochs: int | None,
    sections: Mapping[str, Any],
) -> Spec:
    grouped = bool(space) and space.keys() <= set(GROUPS)
    parameters = {group: parameters_of(found) for group, found in (space if grouped else {"training": space}).items()}
    budget = {key: value for key, value in (("trials", trials), ("epochs", epochs)) if value is not None}
    document = {
        "schema_version": 1,
        "name": name,
        "task": name_function(function),
        "metrics": dict(metrics),
        "parameters": parameters,
        **sections,
        "budget": {**sections.get("budget", {}), **budget},
    }
    return read_spec(Document.of(document, "tune_app.run"))


def _free_name(function: Callable[..., Any], opened: Store) -> str:
    base = re.sub(r"[^a-z0-9_-]+", "-", function.__name__.lower()).strip("-_")[:50] or "study"
    taken = set(opened.studies())
    return next(
        name for name in (base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))) if name not in taken
    )
