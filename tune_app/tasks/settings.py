"""Settings: a task's variables as one dataclass, with name, type, range, default and description in one place.

    @dataclass(frozen=True)
    class Settings:
        dropout: float = setting("training", Float(0, 0.9), 0.1, "Share of the features dropped in training.")

    class MyTask:
        variables = variables_of(Settings)

A task may as well write its `Variable`s out; nothing outside a task knows of this.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tune_app.spaces.variable import Domain, Group, Value, Variable


def setting(
    group: Group, domain: Domain, default: Value, description: str, when: str | None = None, searchable: bool = True
) -> Any:
    """A dataclass field that is a variable of the task; the arguments are those of `Variable`."""
    metadata = {"default": default, "group": group, "domain": domain, "description": description, "when": when}
    metadata["searchable"] = searchable
    return dataclasses.field(default=default, metadata=metadata)


def variables_of(settings: type) -> tuple[Variable, ...]:
    """The catalog: one variable per field of the dataclass `settings`, in their order."""
    return tuple(Variable(name=f.name, **f.metadata) for f in dataclasses.fields(settings))
