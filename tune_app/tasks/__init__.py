"""Tasks by name: ours, and a user's own class named ``package.module:Class``.

Adding one of ours means one file in this folder and one entry in `TASKS`. A user's class is loaded by the same
function and held to the same contract, `tune_app.tasks.task.Task`.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, cast

from tune_app.dataset import Dataset, DatasetReference
from tune_app.datasets import load_dataset
from tune_app.datasets.reference import read_reference
from tune_app.errors import InputError, nearest
from tune_app.variable import Variable

if TYPE_CHECKING:
    from tune_app.tasks.task import Task

TASKS: dict[str, str] = {
    "image_cnn": "tune_app.tasks.image_cnn:ImageCNNTask",
    "text_lstm": "tune_app.tasks.text_lstm:TextLSTMTask",
    "small_gpt": "tune_app.tasks.small_gpt:SmallGPTTask",
}

TASK_OF_KIND: dict[str, str] = {"image": "image_cnn", "labelled_text": "text_lstm", "text": "small_gpt"}
"""The task for a search space that names only its data set."""

METHODS = ("load_data", "start", "train_epoch", "evaluate")
PARTS = ("data_kind", "variables", "constraints", "metrics", *METHODS)
"""What a class needs to be a task."""


def load_task(name: str) -> Task:
    """Make the task `name`: one of `TASKS`, or ``package.module:Class``, also from the current folder.

    Raises:
        InputError: the name is unknown, the module cannot be imported, the class is not in it, cannot be made
            without arguments, or does not keep the contract (every fault is named).
    """
    address = TASKS.get(name, name)
    module_name, colon, class_name = address.partition(":")
    if not (module_name and colon and class_name):
        raise InputError(
            f"`task` must name one of ours or a class as `package.module:Class`, but got `{name}`",
            hint=nearest(name, TASKS),
        )
    module = _import(module_name, name)
    task_class = getattr(module, class_name, None)
    if not isinstance(task_class, type):
        own = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
        raise InputError(
            f"`{module_name}` has no class `{class_name}`",
            where=f"task {name}",
            hint=nearest(class_name, own) if own else f"{module.__file__} defines no class",
        )
    try:
        task = task_class()
    except Exception as error:
        raise InputError(
            f"`{class_name}()` must work without arguments, but raised {type(error).__name__}: {error}",
            where=f"task {name}",
        ) from error
    faults = contract_faults(task)
    if faults:
        raise InputError(
            f"a task must keep the contract, but `{class_name}`: {'; '.join(faults)}",
            where=f"task {name}",
            hint="the contract is tune_app.tasks.task.Task; tune_app/tasks/image_cnn.py is an example",
        )
    return cast("Task", task)


def load_dataset_of_kind(dataset: DatasetReference, kind: str) -> Dataset:
    """Load `dataset` for a task that takes data sets of `kind`.

    Raises:
        InputError: it is unknown, of another kind (which shows before a download), or cannot be read.
        WorkFailed: it could not be downloaded.
    """
    named = read_reference(dataset)
    if named.data_kind != kind:
        raise InputError(
            f"the task takes data sets of kind `{kind}`, but `{named.title}` is of kind `{named.data_kind}`",
            where="dataset",
            hint=f"the task for it is {TASK_OF_KIND[named.data_kind]}; `tune-app data list` shows each kind",
        )
    return load_dataset(dataset)


def contract_faults(task: object) -> list[str]:
    """Say in words what `task` lacks or has in a wrong form; empty where it keeps the contract."""
    missing = [part for part in PARTS if not hasattr(task, part)]
    faults = [f"lacks {', '.join(f'`{part}`' for part in missing)}"] if missing else []
    faults += [f"`{m}` must be a method" for m in METHODS if m not in missing and not callable(getattr(task, m))]
    checks = {
        "data_kind": _data_kind_faults,
        "variables": _variable_faults,
        "constraints": _constraint_faults,
        "metrics": _metric_faults,
    }
    for part, check in checks.items():
        if part not in missing:
            faults += check(getattr(task, part))
    return faults


def _data_kind_faults(kind: object) -> list[str]:
    return [] if isinstance(kind, str) and kind else [f"`data_kind` must be a text, but is {kind!r}"]


def _variable_faults(variables: object) -> list[str]:
    if not isinstance(variables, tuple) or not all(isinstance(v, Variable) for v in variables):
        return [f"`variables` must be a tuple of Variable, but is {variables!r:.120}"]
    names = [v.name for v in variables]
    twice = sorted({n for n in names if names.count(n) > 1})
    return [f"`variables` must differ in name, but has {', '.join(twice)} more than once"] if twice else []


def _constraint_faults(constraints: object) -> list[str]:
    if isinstance(constraints, tuple) and all(isinstance(c, str) for c in constraints):
        return []
    return [f"`constraints` must be a tuple of texts, but is {constraints!r:.120}"]


def _metric_faults(metrics: object) -> list[str]:
    if not isinstance(metrics, Mapping) or not metrics:
        return [f"`metrics` must map at least one name to its direction, but is {metrics!r:.120}"]
    return [
        f"`metrics` must say `maximize` or `minimize`, but {name!r} is {direction!r}"
        for name, direction in metrics.items()
        if not isinstance(name, str) or direction not in ("maximize", "minimize")
    ]


def _import(module_name: str, task_name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        # At the end, where nothing of the folder can hide an installed package; kept, for what it imports later.
        sys.path.append(os.getcwd())
    where = f"task {task_name}"
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"`task` must name a module that can be imported, but there is no module `{error.name}`",
                where=where,
                hint=f"looked in the current folder ({os.getcwd()}) and in the installed packages",
            ) from error
        raise InputError(f"importing `{module_name}` failed: {_last_line(error)}", where=where) from error
    except Exception as error:
        raise InputError(f"importing `{module_name}` failed: {_last_line(error)}", where=where) from error


def _last_line(error: Exception) -> str:
    """The error and the place in the module it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "importlib" not in f.filename), None)
    return f"{type(error).__name__}: {error}" + (f" ({place.filename}:{place.lineno})" if place else "")
