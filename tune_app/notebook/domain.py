"""Converts domains as Python objects (ours, Ray Tune's or Optuna's) to the form in a search space file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from tune_app.errors import InputError
from tune_app.spaces.distribution import from_optuna
from tune_app.spaces.variable import Domain

RAYS = "ray.tune.search.sample"


def parameters_of(space: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of `space` by name, with dots for nested mappings, as in a search space file.

    Raises:
        InputError: a domain has no equivalent here.
    """
    found: dict[str, Any] = {}
    for name, content in space.items():
        if isinstance(content, Mapping) and not _is_domain(content):
            found |= {f"{name}.{below}": domain for below, domain in parameters_of(content).items()}
        else:
            found[str(name)] = _written(str(name), content)
    return found


def _written(name: str, content: Any) -> Any:
    """A domain as a mapping with a `type`; anything else unchanged."""
    if isinstance(content, Mapping) and content.keys() == {"grid_search"}:
        return _choices(content["grid_search"])
    if isinstance(content, np.generic):
        return content.item()
    if content is None or (isinstance(content, (list, tuple)) and not content):
        return {"type": "categorical", "choices": [_plain(content)]}  # in a file, an empty value is a mistake
    if isinstance(content, BaseDistribution):
        choices = getattr(content, "choices", None)
        return _choices(choices) if choices is not None else from_optuna(content).to_dict()
    if isinstance(content, Domain):
        return content.to_dict()
    if type(content).__module__ == RAYS:
        return _of_ray(name, content)
    return _plain(content)


def _is_domain(content: Mapping[str, Any]) -> bool:
    """Whether a mapping is a domain (in the form of a file, or Ray Tune's grid) instead of part of the
    configuration."""
    known = content.get("type") in ("float", "int", "categorical") and not content.keys().isdisjoint(("low", "choices"))
    return known or content.keys() == {"grid_search"}


def _plain(value: Any) -> Any:
    """A value as it would appear in a file."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _choices(choices: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": [_plain(one) for one in choices]}


def _of_ray(name: str, domain: Any) -> dict[str, Any]:
    """One of Ray Tune's domains, whose distribution is defined by their sampler."""
    kind = type(domain).__name__
    if kind == "Categorical":
        return _choices(domain.categories)
    sampler = domain.sampler
    step = getattr(sampler, "q", None)  # it wraps the sampler of the unrounded values
    drawn = type(sampler.sampler if step is not None else sampler).__name__.lstrip("_")
    if kind not in ("Float", "Integer") or drawn not in ("Uniform", "LogUniform", "NoneType"):
        raise InputError(
            f"a Ray Tune domain must be uniform, loguniform, a choice or whole numbers, but `{name}` is "
            + (f"a {kind} drawn by {drawn}" if kind in ("Float", "Integer") else f"a {kind}"),
            hint="use a range or choices that cover it",
        )
    log = drawn == "LogUniform"
    if kind == "Integer" and step == 1:
        step = None
    if log and step is not None:
        rule = f"a domain can have either a log scale or a step, but `{name}` has both"
        raise InputError(rule, hint="omit the step: tune_app.Float(low, high, log=True)")
    low, high = domain.lower, domain.upper
    if kind == "Integer" and step is None:
        high -= 1  # Ray Tune excludes it
    if step is not None:  # multiples of the step
        low, high = round(math.ceil(low / step - 1e-9) * step, 12), round(math.floor(high / step + 1e-9) * step, 12)
        return {"type": kind.lower().removesuffix("eger"), "low": low, "high": high, "step": step}
    return {"type": kind.lower().removesuffix("eger"), "low": low, "high": high, "log": log}
