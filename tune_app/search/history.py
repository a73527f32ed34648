"""The start of a new study: a portfolio of configurations preferred by past studies of the same task.

Greedy portfolios of past results: Feurer et al. 2022 (auto-sklearn 2.0); Pfisterer et al. 2021.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from tune_app.errors import InputError, TuneAppError, nearest
from tune_app.folder import Folder
from tune_app.search.encoding import Array, encode
from tune_app.search.frozen_trial import AVOIDED
from tune_app.search.past_study import PastPreference, PastStudy
from tune_app.spaces.catalog import as_member
from tune_app.spaces.objective import objective_of
from tune_app.spaces.space import Space
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Config, Variable
from tune_app.store.store import study_names
from tune_app.store.study import Study

PORTFOLIO = 8
"""Configurations of a portfolio."""

MOST_STUDIES = 4
"""Number of past studies to read: the newest ones."""
FILE = "history.json"
"""The file in which a study stores its past studies."""


@dataclass(frozen=True)
class History:
    """The past studies of a new one.

    Attributes:
        left_out: why some past studies could not be used, by name.
    """

    studies: tuple[PastStudy, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def find_history(spec: Spec, folder: Folder) -> History:
    """The past studies for a new study of `spec`: those that it names, or the newest of its task.

    Raises:
        InputError: a named study is missing, damaged or running, or has too few trials to learn from.
    """
    if spec.search.history == "none" or not learns(spec):
        return History()
    if spec.search.history != "auto":
        return History(tuple(_named(name, spec, folder) for name in spec.search.history))
    found: list[PastStudy] = []
    left_out: dict[str, str] = {}
    for study in _newest(spec, folder, left_out):
        try:
            past = read_past(study, spec)
        except TuneAppError as error:
            left_out[study.name] = error.message
            continue
        if past is not None:
            found.append(past)
        if len(found) == MOST_STUDIES:
            break
    return History((*found, *shipped(spec)), left_out)


def learns(spec: Spec) -> bool:
    """Whether the sampler learns from past studies, and has anything to choose."""
    return spec.search.sampler == "auto" and spec.objective.mode != "pareto" and bool(spec.space.searched)


def shipped(spec: Spec) -> list[PastStudy]:
    """The study of random trials that ships with tune-app for the task, see `benchmarks/make_shipped.py`."""
    file = resources.files("tune_app.search") / "shipped" / f"{spec.task}.json"
    if not file.is_file():
        return []
    document = json.loads(file.read_text(encoding="utf-8"))
    return [PastStudy.from_dict(document, str(file))] if document["metric"] == spec.objective.metric else []


def kept_history(study: Study) -> tuple[PastStudy, ...]:
    """The past studies of `study`, as it stored them.

    Raises:
        InputError: the file is damaged.
    """
    where = study.folder.path(f"{study.base}/{FILE}")
    return tuple(PastStudy.from_dict(one, where) for one in study.json(FILE).get("studies", []))


def keep_history(study: Study, past: Sequence[PastStudy]) -> None:
    """Store the past studies with the study's other files, so that it can be resumed without them.

    Raises:
        WorkFailed: the store could not be written.
    """
    content = json.dumps({"studies": [one.to_dict() for one in past]}).encode()
    study.folder.write(f"{study.base}/{FILE}", content)


def read_past(study: Study, spec: Spec) -> PastStudy | None:
    """The results of the trials of `study` for the objective of `spec`; None if there are too few to learn from.

    Raises:
        InputError: one of its files is missing or damaged.
    """
    trials = study.table("trials").to_pylist()
    epochs = study.table("epochs")
    figures = [f"metric/{spec.objective.metric}", "health/overall"]
    frame = epochs.select([c for c in ("trial", "epoch", *figures) if c in epochs.column_names]).to_pandas()
    values = objective_of(spec.objective, frame)
    if values is None:
        return None
    frame = frame.assign(gain=values if spec.objective.direction == "maximize" else -values)
    curves = {int(number): _curve(rows) for number, rows in frame.groupby("trial")}
    variables = {variable.name: variable for variable in study.catalog().variables}
    if not any(_varies(trials, variables.get(name)) for name in spec.space.searched):
        return None
    known = [
        (_config(row, variables, spec.space), np.empty(0) if row["failure_kind"] in AVOIDED else curves[row["trial"]])
        for row in trials
        if row["failure_kind"] in AVOIDED or (row["failure_kind"] is None and row["trial"] in curves)
    ]
    return PastStudy.of(study.name, known)


def make_portfolio(space: Space, past: Sequence[PastPreference], size: int = PORTFOLIO) -> list[Config]:
    """Up to `size` configurations, each one adding most to the past studies' preference for the best among them."""
    candidates: list[Config] = []
    for one in past:
        candidates += [config for config in one.best if config not in candidates]
    if not candidates:
        return []
    points = encode(space, candidates)
    expected = np.array([one.preference.expected(points) for one in past])
    expected = (expected - expected.mean(1, keepdims=True)) / np.maximum(expected.std(1, keepdims=True), 1e-9)
    best = expected.min(1)
    chosen: list[int] = [candidates.index(config) for config in _best_of_each(past)][: size // 2]
    if chosen:
        best = expected[:, chosen].max(1)
    while len(chosen) < min(size, len(candidates)):
        # Once no candidate adds anything, the most preferred overall.
        gains = np.maximum(best[:, None], expected).mean(0) + 1e-3 * expected.mean(0)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        best = np.maximum(best, expected[:, chosen[-1]])
    return [candidates[position] for position in chosen]


def _best_of_each(past: Sequence[PastPreference]) -> list[Config]:
    """The best of each past study, then the second of each, and so on."""
    rows = itertools.zip_longest(*(one.best for one in past))
    return list({tuple(c.items()): c for row in rows for c in row if c is not None}.values())


def _named(name: str, spec: Spec, folder: Folder) -> PastStudy:
    names = study_names(folder)
    if name not in names:
        rule = f"`history` must list studies in the store, but got `{name}`"
        raise InputError(rule, where="search.history", hint=nearest(name, names))
    study = Study(folder, name)
    if study.being_written():
        rule = f"`history` must list finished studies, but `{name}` is running"
        raise InputError(rule, where="search.history", hint="wait until it ends")
    past = read_past(study, spec)
    if past is None:
        rule = f"`history` must list studies with at least 8 trials that reported `{spec.objective.metric}`, "
        raise InputError(rule + f"but `{name}` has fewer", where="search.history", hint="omit it")
    return past


def _newest(spec: Spec, folder: Folder, left_out: dict[str, str]) -> list[Study]:
    """The ended studies of the same task, newest first; unreadable ones go to `left_out`."""
    found: list[tuple[str, Study]] = []
    for name in study_names(folder):
        study = Study(folder, name)
        try:
            same = name != spec.name and _is_same_task(study.json("catalog.json"), spec)
            if same and not study.being_written():
                found.append((str(study.json("live.json").get("at", "")), study))
        except TuneAppError as error:
            left_out[name] = error.message
    return [study for _, study in sorted(found, key=lambda pair: pair[0], reverse=True)]


def _is_same_task(catalog: Mapping[str, Any], spec: Spec) -> bool:
    """Whether a study with this catalog trained the same as `spec`: for scripts, the same command."""
    script = spec.catalog.script
    command = list(script.command) if script else None
    return catalog.get("task") == spec.task and (catalog.get("script") or {}).get("command") == command


def _curve(rows: pd.DataFrame) -> Array:
    curve = np.full(int(rows["epoch"].max()), np.nan)
    curve[rows["epoch"].to_numpy() - 1] = rows["gain"].to_numpy(dtype=float)
    return curve


def _varies(trials: Sequence[Mapping[str, Any]], variable: Variable | None) -> bool:
    """Whether trials differ in any variable."""
    return variable is not None and len({row.get(variable.column) for row in trials}) > 1


def _config(row: Mapping[str, Any], variables: Mapping[str, Variable], space: Space) -> Config:
    """The configuration of a row; a variable that is missing or of another type takes the current default.

    A value may be outside the space, and outside the variable's domain if a search space defines it.

    Args:
        variables: those of the row's study.
    """
    config: Config = {}
    for variable in space.variables:
        former = variables.get(variable.name)
        value = row.get(variable.column)
        if former is None or value is None or type(former.domain) is not type(variable.domain):
            config[variable.name] = variable.default
        elif isinstance(former.domain, Categorical):
            # A column with choices of several types contains strings.
            config[variable.name] = next((c for c in former.domain.choices if value in (c, str(c))), variable.default)
        else:
            config[variable.name] = as_member(former.domain, value)
    return config
