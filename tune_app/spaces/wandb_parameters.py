"""The parameters of a sweep file of Weights & Biases as variables of a search space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tune_app.document import Document, shown
from tune_app.errors import InputError, nearest
from tune_app.spaces.section import unknown_key

RANGES: dict[str, dict[str, Any]] = {
    "uniform": {"type": "float"},
    "int_uniform": {"type": "int"},
    "q_uniform": {"type": "float"},
    "log_uniform": {"type": "float", "log": True},
    "log_uniform_values": {"type": "float", "log": True},
    "q_log_uniform": {"type": "float", "log": True},
    "q_log_uniform_values": {"type": "float", "log": True},
}
EXPONENTS = ("log_uniform", "q_log_uniform")
"""Their `min` and `max` are natural logarithms."""
LARGEST_EXPONENT = 700
"""e to the power of it, and of its negative, is a float."""
LOGARITHMIC = ("log_uniform_values", "q_log_uniform_values")
"""Their `min` and `max` are above 0."""
CHOICES = ("constant", "categorical", "categorical_w_probabilities")
UNBOUNDED = ("normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta")
INVERSE = ("inv_log_uniform", "inv_log_uniform_values")
KEYS = ("value", "values", "probabilities", "distribution", "min", "max", "q", "mu", "sigma", "a", "b", "parameters")
DISTRIBUTIONS = (*CHOICES, *RANGES, *UNBOUNDED, *INVERSE)


def read_parameters(document: Document, path: tuple[str, ...], prefix: str, notes: list[str]) -> dict[str, Any]:
    """The variables at `path`, under the names that W&B passes to the script.

    Args:
        prefix: of these names; parameters may be nested.
        notes: collects a sentence for each item without an equivalent.

    Raises:
        InputError: a parameter is invalid.
    """
    found: dict[str, Any] = {}
    for name in document.mapping(*path):
        here, full = (*path, name), f"{prefix}{name}"
        content = document.mapping(*here)
        for key in content:
            if key not in KEYS:
                raise unknown_key(key, KEYS, document.where(*here, key))
        if "parameters" in content:
            notes.append(
                f"`{full}`: W&B passes it as one argument, a dictionary; here each value in it is a separate argument"
            )
            found |= read_parameters(document, (*here, "parameters"), f"{full}.", notes)
            continue
        value = _parameter(document, here, full, content, notes)
        if value is not None:
            found[full] = value
    return found


def _parameter(
    document: Document, path: tuple[str, ...], name: str, content: Mapping[str, Any], notes: list[str]
) -> Any:
    """A variable, or its one value; None, with a note, for one that has no equivalent."""
    distribution = content.get("distribution") or _implied(content)
    if distribution not in DISTRIBUTIONS:
        rule = f"`distribution` must be one of W&B's, but got {shown(distribution)}"
        raise InputError(rule, where=document.where(*path), hint=nearest(distribution, DISTRIBUTIONS))
    if distribution in (*UNBOUNDED, *INVERSE):
        notes.append(f"`{name}`: the distribution {distribution} has no equivalent: give it a `low` and a `high`")
        return None
    if distribution in CHOICES:
        return _choices(document, path, name, content, notes)
    _check_range(distribution, content, document, path)
    return _range(distribution, name, content, notes)


def _choices(document: Document, path: tuple[str, ...], name: str, content: Mapping[str, Any], notes: list[str]) -> Any:
    if "values" not in content and "value" not in content:
        rule = f"a parameter must have `value`, `values`, or `min` and `max`, but `{name}` has none of them"
        raise InputError(rule, where=document.where(*path))
    values = content.get("values", [content.get("value")])
    if not isinstance(values, list) or not values:
        rule = f"`values` must be a list, but got {shown(values)}"
        raise InputError(rule, where=document.where(*path, "values"))
    if "probabilities" in content:
        notes.append(f"`{name}`: `probabilities` have no equivalent: all choices are equally likely")
    if len(values) == 1 and isinstance(values[0], (bool, int, float, str)):
        return values[0]
    return {"type": "categorical", "choices": values}


def _implied(content: Mapping[str, Any]) -> str:
    """The default distribution of a parameter."""
    if "values" in content:
        return "categorical"
    if "min" not in content and "max" not in content:
        return "constant"
    ends = (content.get("min"), content.get("max"))
    return "int_uniform" if all(isinstance(end, int) for end in ends) else "uniform"


def _check_range(distribution: str, content: Mapping[str, Any], document: Document, path: tuple[str, ...]) -> None:
    """Reject bounds that are not a valid range of the distribution, by their names in the file."""
    whole = distribution == "int_uniform"
    for key in ("min", "max", *(("q",) if "q" in content else ())):
        value, where = content.get(key), document.where(*path, key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -math.inf < value < math.inf:
            raise InputError(f"`{key}` must be a number, but got {shown(value)}", where=where)
        if whole and key != "q" and value != int(value):
            rule = f"`{key}` of {distribution} must be a whole number, but got {shown(value)}"
            raise InputError(rule, where=where, hint="use the distribution uniform for other numbers")
        if distribution in EXPONENTS and key != "q" and not -LARGEST_EXPONENT <= value <= LARGEST_EXPONENT:
            rule = f"`{key}` of {distribution} must be a natural logarithm, but e^{value} is out of range"
            raise InputError(rule, where=where, hint="log_uniform_values is the distribution that takes plain values")
        if distribution in LOGARITHMIC and key != "q" and value <= 0:
            raise InputError(f"`{key}` of {distribution} must be above 0, but got {shown(value)}", where=where)
    if content["min"] >= content["max"]:
        rule = f"`min` must be below `max`, but got {shown(content['min'])} and {shown(content['max'])}"
        raise InputError(rule, where=document.where(*path, "min"))
    if content.get("q", 1) <= 0:
        raise InputError(f"`q` must be above 0, but got {shown(content['q'])}", where=document.where(*path, "q"))


def _range(distribution: str, name: str, content: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    low, high = content["min"], content["max"]
    if distribution in EXPONENTS:
        low, high = math.exp(low), math.exp(high)
    if distribution == "int_uniform":
        low, high = int(low), int(high)
    found: dict[str, Any] = {**RANGES[distribution], "low": low, "high": high}
    if distribution == "q_uniform":
        step = content.get("q", 1)
        whole = all(isinstance(value, int) for value in (low, high, step))
        found |= {"type": "int" if whole else "float", "step": step}
    elif distribution.startswith("q_"):
        notes.append(
            f"`{name}`: `q` of {distribution} has no equivalent on a logarithmic scale: values are not rounded"
        )
    return found
