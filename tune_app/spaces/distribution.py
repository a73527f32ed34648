"""Domains as Optuna's distributions and back, exactly."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tune_app.spaces.variable import Categorical, Domain, Float, Int


def to_optuna(domain: Domain) -> BaseDistribution:
    """The distribution for `domain`; `from_optuna` returns an equal domain."""
    match domain:
        case Float():
            return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
        case Int():
            return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
        case Categorical():
            return CategoricalDistribution(domain.choices)


def from_optuna(distribution: BaseDistribution) -> Domain:
    """The domain for `distribution`.

    Raises:
        ValueError: it contains something that no domain can, such as a choice that is None.
    """
    match distribution:
        case FloatDistribution():
            return Float(distribution.low, distribution.high, distribution.log, distribution.step)
        case IntDistribution():
            return Int(distribution.low, distribution.high, distribution.log, distribution.step)
        case CategoricalDistribution():
            return Categorical(tuple(distribution.choices))  # type: ignore[arg-type]
        case _:
            raise ValueError(f"a distribution must be float, int or categorical, but got {distribution!r}")
