"""Variables: the named settings of a task, and the domains of their values.

A domain is plain data, frozen, with the three types of Optuna: `Float`, `Int` and `Categorical`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from tune_app.readable import writable

if TYPE_CHECKING:
    import numpy as np

MAX_STEPS = 1_000_000

Group = Literal["architecture", "training", "data", "inference"]
GROUPS: tuple[Group, ...] = get_args(Group)

Value: TypeAlias = bool | int | float | str
Config: TypeAlias = dict[str, Value]
"""A full configuration: every variable of a task by name, regardless of group."""
DatasetReference: TypeAlias = str | Mapping[str, Any]
"""A data set by name, or the user's own: ``{kind: image_folder, path: …}``; `tune_app.datasets` reads it."""
Direction = Literal["maximize", "minimize"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True)
class Float:
    """Real numbers from `low` to `high`, both included; on a grid of `step` from `low` if there is a step.

    As in Optuna, a `high` between two points of the grid becomes the lower one.

    Raises:
        ValueError: the rule that does not hold, with the values.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if not _is_number(getattr(self, name)) or not math.isfinite(getattr(self, name)):
                raise ValueError(f"`{name}` must be a finite number, but got {getattr(self, name)!r}")
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        _check_range(self.low, self.high, self.log)
        if self.step is not None:
            if not _is_number(self.step) or not self.step > 0:
                raise ValueError(f"`step` must be a number above 0, but got {self.step!r}")
            if self.log:
                raise ValueError(f"`log` and `step` cannot be combined, but got log true and step {self.step}")
            object.__setattr__(self, "step", float(self.step))
            object.__setattr__(self, "high", _last_on_grid(self.low, self.high, float(self.step)))

    def contains(self, value: object) -> bool:
        """Whether `value` is a number of this domain; a step allows for rounding in the last digits."""
        if not _is_number(value) or not self.low <= value <= self.high:  # type: ignore[operator]
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step  # type: ignore[operator]
        return abs(steps - round(steps)) < 1e-8 * max(1.0, abs(steps))

    def nearest(self, value: object) -> float:
        """The member nearest to `value`; the low end if it is not a number."""
        if not _is_number(value):
            return self.low
        clipped = min(self.high, max(self.low, float(value)))  # type: ignore[arg-type]
        if self.step is None:
            return clipped
        last = math.floor((self.high - self.low) / self.step + 1e-8)
        return self.low + min(last, round((clipped - self.low) / self.step)) * self.step

    def sample(self, rng: np.random.Generator) -> float:
        """Draw one value, uniform (in the logarithm if `log` is set)."""
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-8)
            return min(self.high, self.low + int(rng.integers(count + 1)) * self.step)
        if self.log:
            drawn = math.exp(_uniform(rng, math.log(self.low), math.log(self.high)))
            return min(self.high, max(self.low, drawn))
        return _uniform(rng, self.low, self.high)

    def describe(self) -> str:
        """Describe the domain: ``a number from 0.0001 to 1.0``."""
        return f"a number from {self.low:g} to {self.high:g}" + (f" in steps of {self.step:g}" if self.step else "")

    def to_dict(self) -> dict[str, Any]:
        """This domain as a mapping in a search space file."""
        extra: dict[str, Any] = {"log": True} if self.log else {}
        if self.step is not None:
            extra["step"] = self.step
        return {"type": "float", "low": self.low, "high": self.high, **extra}


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included, in steps of `step` from `low`.

    As in Optuna, a `high` between two steps becomes the lower one.

    Raises:
        ValueError: the rule that does not hold, with the values.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            if not _is_whole(getattr(self, name)):
                raise ValueError(f"`{name}` must be a whole number, but got {getattr(self, name)!r}")
            object.__setattr__(self, name, int(getattr(self, name)))
        _check_range(self.low, self.high, self.log)
        if self.step < 1:
            raise ValueError(f"`step` must be at least 1, but got {self.step}")
        if self.log and self.step != 1:
            raise ValueError(f"`log` and `step` cannot be combined, but got log true and step {self.step}")
        object.__setattr__(self, "high", self.high - (self.high - self.low) % self.step)

    def contains(self, value: object) -> bool:
        """Whether `value` is a whole number of this domain."""
        return _is_whole(value) and self.low <= value <= self.high and (value - self.low) % self.step == 0  # type: ignore[operator]

    def nearest(self, value: object) -> int:
        """The member nearest to `value`; the low end if it is not a number."""
        if not _is_number(value):
            return self.low
        clipped = min(self.high, max(self.low, float(value)))  # type: ignore[arg-type]
        return self.low + min((self.high - self.low) // self.step, round((clipped - self.low) / self.step)) * self.step

    def sample(self, rng: np.random.Generator) -> int:
        """Draw one value, uniform (in the logarithm if `log` is set)."""
        if self.log:
            drawn = math.exp(_uniform(rng, math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return min(self.high, max(self.low, round(drawn)))
        return self.low + int(rng.integers((self.high - self.low) // self.step + 1)) * self.step

    def describe(self) -> str:
        """Describe the domain: ``a whole number from 1 to 3``."""
        return f"a whole number from {self.low} to {self.high}" + (f" in steps of {self.step}" if self.step > 1 else "")

    def to_dict(self) -> dict[str, Any]:
        """This domain as a mapping in a search space file."""
        extra: dict[str, Any] = {"log": True} if self.log else {}
        if self.step != 1:
            extra["step"] = self.step
        return {"type": "int", "low": self.low, "high": self.high, **extra}


@dataclass(frozen=True)
class Categorical:
    """One of `choices`: strings, numbers or booleans, without order.

    Raises:
        ValueError: the rule that does not hold, with the values.
    """

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        if isinstance(self.choices, str) or not isinstance(self.choices, (list, tuple)) or not self.choices:
            raise ValueError(f"`choices` must be a list of at least one value, but got {self.choices!r}")
        for choice in self.choices:
            if not isinstance(choice, (bool, int, float, str)) or choice in (math.inf, -math.inf) or choice != choice:
                raise ValueError(f"a choice must be a string, a finite number or true/false, but got {choice!r}")
            if writable(choice) != choice:
                raise ValueError(f"a choice that is a string must be Unicode, but got {choice!a}")
        object.__setattr__(self, "choices", tuple(self.choices))
        texts = [str(choice) for choice in self.choices if not isinstance(choice, str)]
        if alike := {text for text in texts if text in self.choices}:  # tables store mixed choices as strings
            raise ValueError(f"`choices` must be distinct, but {min(alike)} is also there as a string")
        twice = [c for c in self.choices if self.choices.count(c) > 1]
        if twice:  # Optuna looks a choice up by equality, so 1, 1.0 and true are one choice to it
            raise ValueError(f"`choices` must be distinct, but {twice[0]!r} equals {twice[1]!r}")

    def contains(self, value: object) -> bool:
        """Whether `value` is one of the choices; true and 1 are different."""
        return isinstance(value, (bool, int, float, str)) and _choice_key(value) in map(_choice_key, self.choices)

    def nearest(self, value: object) -> Value:
        """`value` if it is one of the choices; otherwise the nearest number among them, or the first choice."""
        if self.contains(value):
            return self.choices[list(map(_choice_key, self.choices)).index(_choice_key(value))]  # type: ignore[arg-type]
        numbers = [choice for choice in self.choices if _is_number(choice)]
        if not _is_number(value) or not numbers:
            return self.choices[0]
        return min(numbers, key=lambda choice: abs(choice - value))  # type: ignore[operator]

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw one of the choices."""
        return self.choices[int(rng.integers(len(self.choices)))]

    def describe(self) -> str:
        """Describe the domain: ``one of sgd, adam``."""
        return "one of " + ", ".join(str(c) for c in self.choices)

    def to_dict(self) -> dict[str, Any]:
        """This domain as a mapping in a search space file."""
        return {"type": "categorical", "choices": list(self.choices)}


Domain: TypeAlias = Float | Int | Categorical


def count_values(domain: Domain) -> float:
    """How many values `domain` has; infinity for a continuous one."""
    match domain:
        case Categorical():
            return len(domain.choices)
        case Int():
            return (domain.high - domain.low) // domain.step + 1
        case Float(low=low, high=high, step=step):
            if low == high:
                return 1
            return math.inf if step is None else math.floor((high - low) / step + 1e-8) + 1


def values_of(domain: Domain) -> Sequence[Value] | None:
    """Every value of `domain`; None for a continuous one. A logarithmic range of whole numbers has all of them."""
    match domain:
        case Categorical():
            return domain.choices
        case Int():
            return range(domain.low, domain.high + 1, domain.step)
        case Float(low=low, high=high, step=step):
            if low == high:
                return (low,)
            if step is None:
                return None
            return tuple(min(high, low + position * step) for position in range(int(count_values(domain))))


DOMAIN_TYPES: dict[str, type[Float] | type[Int] | type[Categorical]] = {
    "float": Float,
    "int": Int,
    "categorical": Categorical,
}


@dataclass(frozen=True)
class Variable:
    """One named setting of a task.

    Attributes:
        name: its name in spaces, profiles and results; unique within its task. A function gets dotted names as nested
            mappings.
        group: architecture, training, data or inference.
        domain: every value the task accepts; a search space may search any part of it.
        default: the value it takes if none is set.
        description: one sentence, used by help texts and forms.
        when: an expression over the task's variables; if it is false the variable has no effect.
        searchable: whether a space may search it; false if it changes what trials are compared on.
        values: the actual values of named choices, such as a list, by their names in configurations; a function gets
            these values.

    Raises:
        ValueError: the rule that does not hold, with the value.
    """

    name: str
    group: Group
    domain: Domain
    default: Value
    description: str
    when: str | None = None
    searchable: bool = True
    values: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not all(part.isidentifier() for part in self.name.split(".")):
            rule = "a variable's name must be a word of letters, digits and _, or several joined by dots"
            raise ValueError(f"{rule}, but got {self.name!r}")
        if self.group not in GROUPS:
            raise ValueError(f"the group of `{self.name}` must be {', '.join(GROUPS)}, but got {self.group!r}")
        if not isinstance(self.domain, Domain):
            raise ValueError(f"the domain of `{self.name}` must be Float, Int or Categorical, but got {self.domain!r}")
        if not self.domain.contains(self.default):
            domain = self.domain.describe()
            raise ValueError(f"the default of `{self.name}` must be {domain}, but got {self.default!r}")

    @property
    def key(self) -> str:
        """``group.name``, as ``--set`` and profiles address it."""
        return f"{self.group}.{self.name}"

    @property
    def column(self) -> str:
        """``config/group/name``, its column in the table of trials."""
        return f"config/{self.group}/{self.name}"


def resolved(variable: Variable, value: Value) -> Any:
    """The actual value of `value` of `variable`: itself, except for named choices."""
    return value if variable.values is None else variable.values.get(value, value)  # type: ignore[arg-type]


def group_config(config: Mapping[str, Value], variables: tuple[Variable, ...]) -> dict[str, dict[str, Value]]:
    """Arrange a flat configuration as ``{group: {name: value}}`` in the catalog's order."""
    return {g: {v.name: config[v.name] for v in variables if v.group == g} for g in GROUPS}


def flatten_config(grouped: Mapping[str, Mapping[str, Value]]) -> Config:
    """The inverse of `group_config`."""
    return {name: value for values in grouped.values() for name, value in values.items()}


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """The same number as ``rng.uniform``, in half the time."""
    return low + (high - low) * rng.random()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _choice_key(value: Value) -> tuple[bool, Value]:
    return isinstance(value, bool), value


def _last_on_grid(low: float, high: float, step: float) -> float:
    """The last point of the grid up to `high`, in the decimal arithmetic of `optuna.distributions`."""
    if (high - low) / step > MAX_STEPS:
        raise ValueError(f"`step` must leave at most {MAX_STEPS} steps, but got {step} from {low} to {high}")
    first, size = Decimal(str(low)), Decimal(str(step))
    last = float((Decimal(str(high)) - first) // size * size + first)
    if (Decimal(str(last)) - first) % size:
        raise ValueError(f"`step` must have few digits, but got {step} from {low} to {high}")
    return last


def _check_range(low: float, high: float, log: bool) -> None:
    if low > high:
        raise ValueError(f"`low` <= `high` must hold, but got {low} and {high}")
    if log and low <= 0:
        raise ValueError(f"`low` must be above 0 if `log` is true, but got {low}")


def domain_from_dict(content: Mapping[str, Any]) -> Domain:
    """The domain that ``to_dict`` of a domain wrote.

    Raises:
        ValueError: the rule that does not hold, with the values.
    """
    return DOMAIN_TYPES[content["type"]](**{key: value for key, value in content.items() if key != "type"})
