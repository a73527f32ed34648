"""Properties of every domain: it round-trips through Optuna's form and the file's, and contains its own samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from tune_app.spaces.distribution import from_optuna, to_optuna
from tune_app.spaces.variable import DOMAIN_TYPES, Categorical, Domain, Float, Int


def domains() -> st.SearchStrategy[Domain]:
    """Any domain with numbers of moderate size."""
    whole = st.tuples(st.integers(-1000, 1000), st.integers(0, 1000), st.integers(1, 50))
    positive = st.tuples(st.integers(1, 1000), st.integers(0, 10_000))
    real = st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6))
    decimal = st.tuples(st.integers(-500, 500), st.integers(0, 500), st.integers(1, 60))
    choice = st.one_of(st.booleans(), st.integers(-9, 99), st.floats(-9, 9), st.text(max_size=5))
    return st.one_of(
        whole.map(lambda x: Int(x[0], x[0] + x[1], step=x[2])),
        positive.map(lambda x: Int(x[0], x[0] + x[1], log=True)),
        real.map(lambda x: Float(x[0], x[0] + x[1])),
        st.tuples(st.floats(1e-8, 1e3), st.floats(1, 1e6)).map(lambda x: Float(x[0], x[0] * x[1], log=True)),
        decimal.map(lambda x: Float(x[0] / 100, (x[0] + x[1]) / 100, step=x[2] / 100)),
        st.lists(choice, min_size=1, max_size=6, unique_by=lambda c: c).map(lambda c: Categorical(tuple(c))),
    )


@given(domains(), st.integers(0, 2**32))
def test_a_domain_contains_its_samples(domain: Domain, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert all(domain.contains(domain.sample(rng)) for _ in range(5))


@given(domains())
def test_to_dict_round_trip(domain: Domain) -> None:
    content = domain.to_dict()
    assert DOMAIN_TYPES[content.pop("type")](**content) == domain


@given(domains())
def test_optuna_round_trip(domain: Domain) -> None:
    assert from_optuna(to_optuna(domain)) == domain
    stored = json_to_distribution(distribution_to_json(to_optuna(domain)))
    assert from_optuna(stored) == domain
    assert repr(from_optuna(stored)) == repr(domain)  # 1 and 1.0 are distinguished


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(1e-4, 1.0, log=True),
        FloatDistribution(0.0, 0.9, step=0.3),
        IntDistribution(1, 9, step=2),
        IntDistribution(1, 64, log=True),
        CategoricalDistribution(["sgd", True, 2, 0.5]),
    ],
)
def test_optuna_round_trip_from_its_side(distribution: BaseDistribution) -> None:
    assert to_optuna(from_optuna(distribution)) == distribution


def test_none_is_not_a_choice() -> None:
    with pytest.raises(ValueError, match="a choice must be"):
        from_optuna(CategoricalDistribution([None, 1]))
