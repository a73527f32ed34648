"""The sections of a search space file: objective, budget, search, pruning, resources.

The description under each field is also what help texts and forms show.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces.strategy import SAMPLERS, SCHEDULERS
from tune_app.spaces.variable import DIRECTIONS

MODES = ("simple", "health", "pareto")
SECOND_OBJECTIVES = ("health", "size", "latency")
LEVELS = ("off", "gentle", "normal", "aggressive")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> float:
    """Read ``90s``, ``30m``, ``2h``, ``1d``, ``1h30m`` or a number of seconds; returns seconds.

    Raises:
        ValueError: it has another format, or is not above 0.
    """
    seconds = math.nan
    if isinstance(value, str) and re.fullmatch(r"(\d+(\.\d+)?[smhd])+", value):
        seconds = sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)([smhd])", value))
    elif isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        seconds = float(value)  # a number, as a shell gives it
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    if not 0 < seconds < math.inf:
        raise ValueError("must be a time above 0 such as 90s, 30m, 2h or a number of seconds")
    return seconds


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """A pydantic validator that accepts only `names`."""
    names = tuple(names)

    def check(value: str) -> str:
        if value not in names:
            raise PydanticCustomError("one_of", f"must be one of {', '.join(names)}", {"valid": names})
        return value

    return check


def _time(value: object) -> float | None:
    return None if value is None else parse_duration(value)


def _whole_above_one(value: float) -> float:
    if value > 1 and value != int(value):
        raise ValueError("must be a fraction up to 1 or a whole number")
    return value


def _concurrent(value: object) -> int | str:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("must be auto or a whole number of at least 1")


def _gpus(value: object) -> float | str:
    if value == "auto":
        return "auto"
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError("must be auto or a number of at least 0")
    return _whole_above_one(float(value))


def _names(value: object) -> object:
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of names, such as [digits-best]")
    return value


def _history(value: object) -> object:
    if value in ("auto", "none"):
        return value
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("must be auto, none, or a list of studies, such as [digits-cnn]")
    return value


Seconds = Annotated[float | None, BeforeValidator(_time)]
HistoryChoice = Literal["auto", "none"] | Annotated[tuple[str, ...], Field(strict=False)]
Whole = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: frozen, exact types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Objective(Section):
    """What a sweep optimizes."""

    mode: Annotated[str, AfterValidator(one_of(MODES))] = "simple"
    """How trials are ranked. simple: by one metric; health: by a weighted mean of the metric and the network's health;
    pareto: by two objectives, trading neither for the other."""
    metric: str
    """The metric of the task that decides which trial is best."""
    direction: Annotated[Literal["maximize", "minimize"], BeforeValidator(one_of(DIRECTIONS))]
    """Whether a higher or a lower metric is better. Default: the task's direction."""
    health_weight: Annotated[Finite, Field(ge=0, le=1)] = 0.3
    """In mode health: the weight of the health score against the metric."""
    against: Annotated[Literal["health", "size", "latency"], BeforeValidator(one_of(SECOND_OBJECTIVES))] = "health"
    """In mode pareto: the second objective: overall health, number of parameters, or milliseconds per row."""


class Budget(Section):
    """When a sweep and its trials end."""

    trials: Whole = 20
    """How many configurations to try."""
    epochs: Whole = 10
    """Maximum number of epochs per trial."""
    time: Seconds = None
    """How long the whole sweep may take, such as 30m or 2h; null means no limit."""
    trial_time: Seconds = None
    """How long a single trial may train before it counts as hung and fails; null means no limit."""


class Search(Section):
    """How to choose the next configuration."""

    sampler: Annotated[str, AfterValidator(one_of(SAMPLERS))] = "auto"
    """The sampler, which proposes configurations; `tune-app strategies` lists them."""
    history: Annotated[HistoryChoice, BeforeValidator(_history)] = "auto"
    """Past studies of the same task from which the sampler auto learns: auto uses the newest ones in the store and
    those shipped with tune-app; none; or names of studies."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Random seed of the sweep; the same seed proposes the same first configurations."""
    start_from: Annotated[tuple[str, ...], BeforeValidator(_names), Field(strict=False)] = ()
    """Profiles or studies whose configurations to try first. Default: the task's defaults."""


class Pruning(Section):
    """How to stop bad trials early."""

    scheduler: Annotated[str, AfterValidator(one_of(SCHEDULERS))] = "asha"
    """The scheduler, which decides which trials stop early; `tune-app strategies` lists them."""
    level: Annotated[Literal["off", "gentle", "normal", "aggressive"], BeforeValidator(one_of(LEVELS))] = "normal"
    """How early to stop trials, and how many: off, gentle, normal or aggressive."""


class Resources(Section):
    """What one trial uses of the cluster."""

    cpus: Annotated[Finite, Field(gt=0), AfterValidator(_whole_above_one)] = 1.0
    """CPU cores for each device of a trial; a fraction lets several trials share one."""
    gpus: Annotated[float | Literal["auto"], BeforeValidator(_gpus)] = 0.0
    """GPUs for each device of a trial; 0.25 lets four trials share one, 0 uses the CPU, auto measures how many fit."""
    concurrent: Annotated[int | Literal["auto"], BeforeValidator(_concurrent)] = "auto"
    """How many trials run at once; auto fills the cluster."""
    devices: Whole = 1
    """How many devices train one trial together, each with its part of every batch; each one uses a whole GPU."""

    @property
    def threads(self) -> int:
        """torch's CPU threads for each device of a trial; the number affects the last digits of the results."""
        return max(1, math.floor(self.cpus))

    @property
    def most(self) -> int | None:
        """How many trials run at once at most; None for as many as fit."""
        return None if self.concurrent == "auto" else int(self.concurrent)

    def devices_on(self, cpus: float, gpus: float) -> int:
        """For how many devices of trials a node with these resources has room; `gpus: auto` needs no GPU yet."""
        counts = [cpus // self.cpus]
        if self.gpus and isinstance(self.gpus, (int, float)):
            # An inexact share such as 1/3 must not cost a trial.
            counts.append(gpus * math.floor(1 / self.gpus + 1e-9) if self.gpus <= 1 else gpus // self.gpus)
        return int(min(counts))


SectionT = TypeVar("SectionT", bound=Section)


def read_section(kind: type[SectionT], document: Document, name: str, **defaults: Any) -> SectionT:
    """Read the section `name` of a search space file; `defaults` apply to keys that it omits.

    Raises:
        InputError: the first invalid value.
    """
    given = document.mapping(name)
    try:
        return kind.model_validate(defaults | given)
    except ValidationError as error:
        raise _input_error(error.errors(include_url=False)[0], kind, document, name) from None


def _input_error(error: ErrorDetails, kind: type[Section], document: Document, name: str) -> InputError:
    path = tuple(str(part) for part in error["loc"])
    context: Mapping[str, Any] = error.get("ctx", {})
    where = document.where(name, *path)
    if error["type"] == "extra_forbidden":
        return unknown_key(path[0], kind.model_fields, where)
    if error["type"] == "missing":
        return InputError(f"`{path[0]}` is required, but `{name}` has none", where=where, hint=_describe(kind, path))
    rule = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    hint = nearest(error["input"], context["valid"]) if "valid" in context else _describe(kind, path)
    return InputError(f"`{path[0]}` {rule}, but got {shown(error['input'])}", where=where, hint=hint)


def unknown_key(key: str, valid: Mapping[str, Any] | tuple[str, ...], where: str) -> InputError:
    """The error for a key that is not valid at its place."""
    return InputError(f"a key must be one of those below, but got `{key}`", where=where, hint=nearest(key, valid))


def _describe(kind: type[Section], path: tuple[str, ...]) -> str:
    return f"{path[0]}: {kind.model_fields[path[0]].description}"
