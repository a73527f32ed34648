"""Domains of a search space as Python has them, ours, Ray Tune's or Optuna's, in the form of a search space file."""

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
    """The variables of `space` by name, those of nested mappings with dots between, as a search space file has them.

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
    """A domain as a mapping with a `type`; anything else as it is."""
    if isinstance(content, Mapping) and content.keys() == {"grid_search"}:
        return _choices(content["grid_search"])
    if isinstance(content, np.generic):
        return content.item()
    if content is None or (isinstance(content, (list, tuple)) and not content):
        return {"type": "categorical", "choices": [_plain(content)]}  # a file has nothing in such a place by mistake
    if isinstance(content, BaseDistribution):
        choices = getattr(content, "choices", None)
        return _choices(choices) if choices is not None else from_optuna(content).to_dict()
    if isinstance(content, Domain):
        return content.to_dict()
    if type(content).__module__ == RAYS:
        return _of_ray(name, content)
    return _plain(content)


def _is_domain(content: Mapping[str, Any]) -> bool:
    """Whether a mapping is a domain as files have it, or Ray Tune's grid, and not a part of the configuration."""
    known = content.get("type") in ("float", "int", "categorical") and not content.keys().isdisjoint(("low", "choices"))
    return known or content.keys() == {"grid_search"}


def _plain(value: Any) -> Any:
    """A value as a file would have it."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _choices(choices: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": [_plain(one) for one in choices]}


def _of_ray(name: str, domain: Any) -> dict[str, Any]:
    """One of Ray Tune's domains, which say how they are drawn by a sampler that belongs to them."""
    kind = type(domain).__name__
    if kind == "Categorical":
        return _choices(domain.categories)
    sampler = domain.sampler
    step = getattr(sampler, "q", None)  # it wraps the sampler of what is rounded
    drawn = type(sampler.sampler if step is not None else sampler).__name__.lstrip("_")
    if kind not in ("Float", "Integer") or drawn not in ("Uniform", "LogUniform", "NoneType"):
        raise InputError(
            f"a domain of Ray Tune must be uniform, loguniform, a choice or whole numbers, but `{name}` is "
            + (f"a {kind} drawn by {drawn}" if kind in ("Float", "Integer") else f"a {kind}"),
            hint="write a range or choices that cover it",
        )
    log = drawn == "LogUniform"
    if kind == "Integer" and step == 1:
        step = None
    if log and step is not None:
        rule = f"a domain must have a logarithm or a step, but `{name}` has both"
        raise InputError(rule, hint="leave the step out: tune_app.Float(low, high, log=True)")
    low, high = domain.lower, domain.upper
    if kind == "Integer" and step is None:
        high -= 1  # Ray Tune leaves it out there
    if step is not None:  # multiples of the step
        low, high = round(math.ceil(low / step - 1e-9) * step, 12), round(math.floor(high / step + 1e-9) * step, 12)
        return {"type": kind.lower().removesuffix("eger"), "low": low, "high": high, "step": step}
    return {"type": kind.lower().removesuffix("eger"), "low": low, "high": high, "log": log}
