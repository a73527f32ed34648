"""Functions that are given to this process, because no import finds them: those of a notebook, or within a function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from typing import Any

_given: dict[str, Callable[..., Any]] = {}


def name_function(function: Callable[..., Any]) -> str:
    """The name of `function` as a task, ``module:name``; where no import finds it under that, it is kept here."""
    name = f"{function.__module__}:{function.__qualname__}"
    if not is_importable(function):
        give_function(name, function)
    return name


def is_importable(function: Callable[..., Any]) -> bool:
    """Whether another process finds it by its module and name."""
    module: Any = sys.modules.get(function.__module__)
    parts = function.__qualname__.split(".")
    found = reduce(lambda owner, name: getattr(owner, name, None), parts, module)
    return function.__module__ != "__main__" and found is function


def give_function(name: str, function: Callable[..., Any]) -> None:
    """Keep `function` as the task `name`, in the place of an earlier one."""
    _given[name] = function


def given_function(name: str) -> Callable[..., Any] | None:
    """The function that was given as the task `name`."""
    return _given.get(name)
