"""Tasks by name: ours, a user's own class or function named ``package.module:name``, and ``script``, a user's command.

To add one of ours, add a file in this folder and an entry in `TASKS`. A user's class is loaded by the same function
and follows the same contract, `tune_app.tasks.task.Task`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from tune_app.datasets import load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.datasets.reference import read_reference
from tune_app.errors import InputError, TuneAppError, nearest, one_line
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.script import SCRIPT
from tune_app.spaces.variable import DatasetReference
from tune_app.tasks.contract import contract_faults, data_faults
from tune_app.tasks.given_function import check_function, given_function
from tune_app.tasks.user_code import exits_as_errors, import_module, last_line, looked_in

if TYPE_CHECKING:
    from tune_app.tasks.task import Task

TASKS: dict[str, str] = {
    "image_cnn": "tune_app.tasks.image_cnn:ImageCNNTask",
    "text_lstm": "tune_app.tasks.text_lstm:TextLSTMTask",
    "small_gpt": "tune_app.tasks.small_gpt:SmallGPTTask",
}

TASK_OF_KIND: dict[str, str] = {"image": "image_cnn", "labeled_text": "text_lstm", "text": "small_gpt"}
"""The task for a search space that names only its data set."""


def load_task(name: str, catalog: Catalog | None = None) -> Task:
    """Create the task `name`: one of `TASKS`, or a user's own as ``package.module:name``, a class or a function.

    Args:
        catalog: the search space's variables and metrics, for a function or a script.

    Raises:
        InputError: the name is unknown, the module cannot be imported, there is no such class or function in it, or a
            class cannot be created without arguments or violates the contract (lists all violations).
    """
    if (function := given_function(name)) is not None:
        return _of_function(function, name, catalog)
    if name == SCRIPT:
        from tune_app.tasks.script_task import ScriptTask

        return cast("Task", ScriptTask(catalog or Catalog(name, (), open=True)))
    address = TASKS.get(name, name)
    module_name, colon, own_name = address.partition(":")
    if not (module_name and colon and own_name):
        raise InputError(
            f"`task` must be one of our tasks, your own as `package.module:name`, or `{SCRIPT}`, but got `{name}`",
            hint=nearest(name, [*TASKS, SCRIPT]),
        )
    if module_name == "__main__":
        raise InputError(
            f"`task` must be in a module that can be imported, but `{name}` is from a notebook or a script",
            hint=f"put `{own_name}` in a file, such as train.py, and name it `train:{own_name}`",
        )
    module = import_module(module_name, name)
    found: Any = module
    for part in own_name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type):
        return _make(found, name)
    if callable(found):
        return _of_function(found, name, catalog)
    own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
    raise InputError(
        f"`{module_name}` has no class and no function `{own_name}`",
        where=f"task {name}",
        hint=f"{looked_in(module)}; {nearest(own_name, own) if own else 'it defines none'}",
    )


def _of_function(function: Callable[..., Any], name: str, catalog: Catalog | None) -> Task:
    """A task of a function."""
    from tune_app.tasks.function_task import FunctionTask

    check_function(function, name)
    return cast("Task", FunctionTask(function, catalog or Catalog(name, (), open=True)))


def _make(task_class: type, name: str) -> Task:
    """A task of a class."""
    try:
        with exits_as_errors():
            task = task_class()
    except Exception as error:
        raise InputError(
            f"`{task_class.__name__}()` must work without arguments, but raised "
            f"{type(error).__name__}: {one_line(error)}",
            where=f"task {name}",
        ) from error
    faults = contract_faults(task)
    if faults:
        raise InputError(
            f"a task must follow the contract, but `{task_class.__name__}`: {'; '.join(faults)}",
            where=f"task {name}",
            hint="the contract is tune_app.tasks.task.Task; tune_app/tasks/image_cnn.py is an example",
        )
    return cast("Task", task)


def load_data(task: Task, dataset: DatasetReference) -> Dataset:
    """The result of the task's own `load_data`, checked against the contract. Its arrays are read-only, as in a sweep.

    Raises:
        InputError: it is not a `Dataset` that follows the contract, or the task raised an exception.
        WorkFailed: as the task's `load_data`.
    """
    where = f"task {type(task).__module__}:{type(task).__qualname__}"
    try:
        with exits_as_errors():
            loaded = task.load_data(dataset)
    except TuneAppError:
        raise
    except Exception as error:
        raise InputError(f"`load_data` failed: {last_line(error)}", where=where, hint="--debug shows more") from error
    if faults := data_faults(loaded):
        raise InputError(f"`load_data` must follow the contract, but {'; '.join(faults)}", where=where)
    return loaded.read_only()


def load_dataset_of_kind(dataset: DatasetReference, kind: str) -> Dataset:
    """Load `dataset` for a task that uses data sets of `kind`.

    Raises:
        InputError: it is unknown, of another kind (checked before a download), or cannot be read.
        WorkFailed: it could not be downloaded.
    """
    named = read_reference(dataset)
    if named.data_kind != kind:
        raise InputError(
            f"the task uses data sets of kind `{kind}`, but `{named.title}` is of kind `{named.data_kind}`",
            where="dataset",
            hint=f"use the task {TASK_OF_KIND[named.data_kind]}; `tune-app data list` shows each kind",
        )
    return load_dataset(dataset)
