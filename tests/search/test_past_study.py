"""What is kept of a study for later ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_app.errors import InputError
from tune_app.search.past_study import MOST_CANDIDATES, MOST_TRIALS, PastPreference, PastStudy
from tune_app.spaces.feasibility import sample
from tune_app.spaces.variable import Config, Int

from .test_auto_sampler import loss_of, space_of


def studied(count: int, seed: int = 0) -> list[tuple[Config, np.ndarray]]:
    """Random trials of `space_of`; two of three were stopped after an epoch."""
    rng = np.random.default_rng(seed)
    configs = [sample(space_of(), rng) for _ in range(count)]
    return [(c, -loss_of(c) / np.arange(1, (3 if n % 3 == 0 else 1) + 1)) for n, c in enumerate(configs)]


def test_too_few_trials_make_no_past_study() -> None:
    assert PastStudy.of("small", studied(7)) is None
    assert PastStudy.of("small", studied(8)) is not None


@settings(max_examples=20, deadline=None)
@given(count=st.integers(8, 400), seed=st.integers(0, 99))
def test_the_best_and_some_other_trials_are_kept_and_round_trip(count: int, seed: int) -> None:
    trials = studied(count, seed)
    past = PastStudy.of("a", trials)
    assert past is not None
    assert len(past.configs) == min(count, MOST_TRIALS)
    assert list(past.scores) == sorted(past.scores, reverse=True)
    assert PastStudy.from_dict(past.to_dict(), "here") == past
    firsts = sorted((curve[0] for _, curve in trials), reverse=True)
    assert -loss_of(past.configs[0]) >= firsts[count // 5]


def test_a_diverged_trial_comes_last() -> None:
    trials = studied(20)
    trials[4] = (trials[4][0], np.empty(0))
    past = PastStudy.of("a", trials)
    assert past is not None
    assert past.configs[-1] == trials[4][0]
    assert past.epochs[-1] == 0


def test_its_hash_depends_on_the_trials_and_not_on_the_name() -> None:
    one, other = PastStudy.of("a", studied(20)), PastStudy.of("b", studied(20))
    changed = PastStudy.of("a", studied(20, seed=1))
    assert one is not None
    assert other is not None
    assert changed is not None
    assert one.sha256 == other.sha256 != changed.sha256


@pytest.mark.parametrize("document", [{}, {"name": "a", "variables": ["x"], "trials": [[[1, 2], 0.5, 1]]}])
def test_a_damaged_history_is_rejected(document: dict[str, object]) -> None:
    with pytest.raises(InputError, match="unchanged"):
        PastStudy.from_dict(document, "history.json")


def test_a_narrower_space_uses_only_what_fits() -> None:
    past = PastStudy.of("a", studied(120))
    assert past is not None
    whole = PastPreference.fit(past, space_of())
    assert len(whole.best) == MOST_CANDIDATES
    domains = {**space_of().searched, "layers": Int(1, 2)}
    narrow = space_of(**domains)
    fitting = PastPreference.fit(past, narrow).best
    assert fitting == tuple(c for c in past.configs[:MOST_CANDIDATES] if int(c["layers"]) <= 2)
    assert fitting
