"""Functions passed to this process because they cannot be imported: from a notebook, or nested in a function."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from tune_app.errors import InputError

_given: dict[str, Callable[..., Any]] = {}


def name_function(function: Callable[..., Any]) -> str:
    """The name of `function` as a task, ``module:name``; registers it here if it cannot be imported by that name.

    Raises:
        InputError: it is not a function of a configuration and a report.
    """
    if not inspect.isfunction(function):
        found = f"{type(function).__module__}.{type(function).__qualname__}"
        raise InputError(
            f"the object to tune must be a function, but got a {found}",
            hint="write `def tune(config, report): ...` around it",
        )
    check_function(function, function.__qualname__)
    name = f"{function.__module__}:{function.__qualname__}"
    if is_importable(function):
        _given.pop(name, None)
    else:
        give_function(name, function)
    return name


def check_function(function: Callable[..., Any], name: str) -> None:
    """Reject what cannot be called as a task.

    Raises:
        InputError: it is a coroutine, or does not take a configuration and a report.
    """
    if inspect.iscoroutinefunction(function):
        raise InputError(f"`{name}` must be a regular function, but it is `async`", hint="call `asyncio.run` inside it")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        rule = f"`{name}` must take a configuration and a report, `def tune(config, report)`, but: {error}"
        raise InputError(rule) from None


def is_importable(function: Callable[..., Any]) -> bool:
    """Whether another process of this installation, in this folder, can import it by module and name."""
    module: Any = sys.modules.get(function.__module__)
    parts = function.__qualname__.split(".")
    found = reduce(lambda owner, name: getattr(owner, name, None), parts, module)
    file = getattr(module, "__file__", None)
    if function.__module__ == "__main__" or found is not function or file is None:
        return False
    path = Path(file).resolve()
    top = path.parent if path.name == "__init__.py" else path
    root = top.parents[function.__module__.count(".")]  # the folder that Python searched
    places = (os.getcwd(), *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")))
    return root in [Path(place).resolve() for place in places]


def give_function(name: str, function: Callable[..., Any]) -> None:
    """Register `function` as the task `name`, replacing an earlier one."""
    _given[name] = function


def given_function(name: str) -> Callable[..., Any] | None:
    """The function registered as the task `name`."""
    return _given.get(name)
