"""Checks whether a class is a valid task, and explains to its author what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError, nearest
from tune_app.readable import writable
from tune_app.spaces.expression import Expression
from tune_app.spaces.variable import Variable

METHODS = ("load_data", "start", "train_epoch", "evaluate")
PARTS = ("data_kind", "variables", "constraints", "metrics", *METHODS)
"""The required parts of a task."""


def contract_faults(task: object) -> list[str]:
    """Describe what is missing or wrong in `task`; empty if it follows the contract."""
    missing = [part for part in PARTS if not hasattr(task, part)]
    faults = [f"lacks {', '.join(f'`{part}`' for part in missing)}"] if missing else []
    faults += [f"`{m}` must be a method" for m in METHODS if m not in missing and not callable(getattr(task, m))]
    for part, check in CHECKS.items():
        if part not in missing:
            faults += check(getattr(task, part))
    if not faults:  # the following checks read these parts
        names = [variable.name for variable in getattr(task, "variables", ())]
        faults += _expression_faults(task, names) + _preparation_faults(task, names)
    return faults


def _data_kind_faults(kind: object) -> list[str]:
    return [] if isinstance(kind, str) and kind else [f"`data_kind` must be a string, but is {kind!r}"]


def _variable_faults(variables: object) -> list[str]:
    if not isinstance(variables, tuple) or not all(isinstance(v, Variable) for v in variables):
        return [f"`variables` must be a tuple of Variable, but is {variables!r:.120}"]
    if not variables:
        return ["`variables` must have at least one, but is empty"]
    names = [v.name for v in variables]
    twice = sorted({n for n in names if names.count(n) > 1})
    return [f"`variables` must have distinct names, but has {', '.join(twice)} more than once"] if twice else []


def _constraint_faults(constraints: object) -> list[str]:
    if isinstance(constraints, tuple) and all(isinstance(c, str) for c in constraints):
        return []
    return [f"`constraints` must be a tuple of strings, but is {constraints!r:.120}"]


def _metric_faults(metrics: object) -> list[str]:
    if not isinstance(metrics, Mapping) or not metrics:
        return [f"`metrics` must map at least one name to a direction, but is {metrics!r:.120}"]
    return [
        f"`metrics` must say `maximize` or `minimize`, but {name!r} is {direction!r}"
        for name, direction in metrics.items()
        if not isinstance(name, str) or name != writable(name) or direction not in ("maximize", "minimize")
    ]


CHECKS: dict[str, Callable[[object], list[str]]] = {
    "data_kind": _data_kind_faults,
    "variables": _variable_faults,
    "constraints": _constraint_faults,
    "metrics": _metric_faults,
}


def _expression_faults(task: object, names: Collection[str]) -> list[str]:
    """Problems of the expressions in `constraints` and in the variables' `when`."""
    texts = {f"`constraints`: {text!r}": text for text in getattr(task, "constraints", ())}
    texts |= {f"`when` of `{v.name}`": v.when for v in getattr(task, "variables", ()) if v.when is not None}
    faults = []
    for place, text in texts.items():
        try:
            unknown = sorted(Expression.parse(text).names - set(names))
        except InputError as error:
            faults.append(f"{place}: {error.message}")
            continue
        if unknown:
            faults.append(f"{place} reads `{unknown[0]}`, which is not a variable; {nearest(unknown[0], names)}")
    return faults


def _preparation_faults(task: object, names: Collection[str]) -> list[str]:
    """Problems of `prepare` and `prepared_by`; a task has both or neither."""
    there = [part for part in ("prepare", "prepared_by") if hasattr(task, part)]
    if len(there) == 1:
        return [f"`prepare` and `prepared_by` must be defined together, but there is only `{there[0]}`"]
    if not there:
        return []
    if not callable(getattr(task, "prepare", None)):
        return ["`prepare` must be a method"]
    prepared_by = getattr(task, "prepared_by", None)
    if not isinstance(prepared_by, tuple) or not all(isinstance(name, str) for name in prepared_by):
        return [f"`prepared_by` must be a tuple of names of variables, but is {prepared_by!r:.120}"]
    unknown = [name for name in prepared_by if name not in names]
    return [f"`prepared_by` names `{name}`, which is not a variable; {nearest(name, names)}" for name in unknown[:1]]


def data_faults(loaded: object) -> list[str]:
    """Describe why the result of a task's `load_data` is not a valid `Dataset`; empty if it is."""
    if not isinstance(loaded, Dataset):
        return [f"it must return a Dataset, but returned a {type(loaded).__name__}"]
    faults = []
    for part_name, part in (("train", loaded.train), ("test", loaded.test)):
        if not isinstance(part, Mapping):
            faults.append(
                f"`{part_name}` must map names to arrays, but is a {type(part).__name__}; without rows it is {{}}"
            )
            continue
        for name, array in part.items():
            if not isinstance(array, np.ndarray):
                found = f"{type(array).__module__}.{type(array).__qualname__}"
                faults.append(f"`{part_name}[{name!r}]` must be a NumPy array, but is a {found}")
            elif array.dtype == object and not all(isinstance(value, str) for value in array.flat):
                faults.append(f"`{part_name}[{name!r}]` has objects, which must be strings")
    return faults
