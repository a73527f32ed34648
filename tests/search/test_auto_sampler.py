"""The sampler `auto`: its proposals are feasible, new, reproducible, and better than random search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_app.search.auto_sampler import AutoSampler
from tune_app.search.encoding import encode
from tune_app.search.gaussian_process import MOST_POINTS, GaussianProcess
from tune_app.search.preference import levels_of
from tune_app.search.samplers import make_sampler
from tune_app.search.study_search import StudySearch
from tune_app.search.win_rate import win_rates
from tune_app.spaces.expression import Expression
from tune_app.spaces.section import Objective
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config, Float, Int, Variable

LOSS = Objective(metric="loss", direction="minimize")


def space_of(constraints: tuple[str, ...] = (), **domains: Any) -> Space:
    """A space with a condition: `momentum` has an effect with sgd only."""
    domains = domains or {
        "rate": Float(1e-4, 1.0, log=True),
        "layers": Int(1, 4),
        "optimizer": Categorical(("adam", "sgd")),
        "momentum": Float(0.0, 0.99),
    }
    variables = tuple(
        Variable(name, "training", domain, domain.sample(np.random.default_rng(0)), "")
        for name, domain in domains.items()
    )
    when = {"momentum": Expression.parse("optimizer == 'sgd'")} if "momentum" in domains else {}
    return Space(variables, domains, {}, when, tuple(map(Expression.parse, constraints)))


def loss_of(config: Config) -> float:
    """The loss, lowest at a rate of 0.01 with adam and four layers."""
    off = (
        abs(math.log10(float(config["rate"])) + 2) + (config["optimizer"] != "adam") + 0.2 * (4 - int(config["layers"]))
    )
    return off + 0.3 * float(config["momentum"]) * (config["optimizer"] == "sgd")


def swept(space: Space, trials: int, seed: int = 0, sampler: str = "auto", epochs: int = 3) -> list[Config]:
    """The configurations of a sweep in which two of three trials are stopped after an epoch."""
    search, found = StudySearch(space, LOSS, make_sampler(sampler, space, seed, trials, epochs)), []
    for number in range(trials):
        name = f"t{number}"
        config = search.suggest(name)
        found.append(config)
        done = epochs if number % 3 == 0 else 1
        rows = [{"epoch": epoch, "metric/loss": loss_of(config) / epoch} for epoch in range(1, done + 1)]
        search.on_trial_complete(name, {"rows": rows, "finished": done == epochs})
    return found


def test_it_beats_random_search() -> None:
    space = space_of()
    better = 0
    for seed in range(5):
        auto, random = (swept(space, 60, seed, sampler)[30:] for sampler in ("auto", "random"))
        better += np.median([loss_of(c) for c in auto]) < 0.7 * np.median([loss_of(c) for c in random])
    assert better >= 4


def test_the_same_seed_proposes_the_same_configurations() -> None:
    space = space_of()
    assert swept(space, 40, 3) == swept(space, 40, 3) != swept(space, 40, 4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), high=st.integers(2, 4))
def test_it_proposes_each_feasible_configuration_once(seed: int, high: int) -> None:
    space = space_of(
        ("layers + width <= 5",),
        rate=Categorical((0.1, 0.2, 0.3)),
        layers=Int(1, high),
        width=Int(1, high),
        optimizer=Categorical(("adam", "sgd")),
        momentum=Float(0.0, 1.0, step=0.5),
    )
    found = swept(space, 24, seed)
    assert all(not space.violated(config) for config in found)
    keys = [tuple(space.params_of(config).items()) for config in found]
    assert len(set(keys)) == len(keys)


def test_an_exhausted_space_is_proposed_again() -> None:
    space = space_of(layers=Int(1, 3))
    search = StudySearch(space, LOSS, make_sampler("auto", space, 0, 30, 3))
    assert {search.suggest(f"t{number}")["layers"] for number in range(12)} == {1, 2, 3}


def test_it_avoids_diverged_configurations() -> None:
    space = space_of(rate=Float(0.0, 1.0), other=Float(0.0, 1.0))
    search = StudySearch(space, LOSS, make_sampler("auto", space, 0, 100, 1))
    found = []
    for number in range(100):
        config = search.suggest(f"t{number}")
        found.append(float(config["rate"]))
        if found[-1] > 0.5:
            search.on_trial_complete(f"t{number}", {"rows": [], "finished": False, "failure_kind": "diverged"})
        else:
            search.on_trial_complete(f"t{number}", {"rows": [{"epoch": 1, "metric/loss": 1.0}], "finished": True})
    assert np.mean(np.array(found[40:]) > 0.5) < 0.25


def test_running_trials_count() -> None:
    space = space_of(rate=Float(0.0, 1.0), other=Float(0.0, 1.0))
    search, found = StudySearch(space, LOSS, make_sampler("auto", space, 0, 100, 1)), []
    for number in range(80):
        found.append(float(search.suggest(f"t{number}")["rate"]))
        search.on_trial_result(f"t{number}", {"rows": [{"epoch": 1, "metric/loss": found[-1]}]})
    assert np.median(found[40:]) < 0.2


def test_encoding_has_a_column_for_each_number_and_each_choice() -> None:
    space = space_of()
    (point,) = encode(space, [{"rate": 0.01, "layers": 4, "optimizer": "adam", "momentum": 0.5}])
    by_name = dict(zip([n for n in space.order for _ in range(2 if n == "optimizer" else 1)], point, strict=False))
    assert by_name["rate"] == pytest.approx(0.5)
    assert by_name["layers"] == 1.0
    assert by_name["momentum"] == 0.5  # without effect
    assert sorted(point)[-2:] == pytest.approx([0.5**0.5, 1.0])


def test_each_level_scores_its_own_trials_only() -> None:
    """The eight long trials rank at the end in the reverse of their order after one epoch."""
    stopped = [np.array([float(place)]) for place in range(20)]
    long = [np.array([2.0 * place, 1.0, 1.0, 1.0, -float(place)]) for place in range(8)]
    everyone, *further = levels_of([*stopped, *long, np.empty(0)], np.random.default_rng(0))
    assert everyone.trials.tolist() == list(range(29)), "the one that diverged, too"
    assert everyone.scores[20] < everyone.scores[27], "most comparisons are at epoch 1"
    assert len(further) == 2
    for level in further:
        assert level.trials.tolist() == list(range(20, 28))
        assert np.argsort(-level.scores).tolist() == list(range(8))


@pytest.mark.parametrize(("epochs", "expected"), [(9, [4, 16, 64]), (3, [16, 64]), (1, [64])])
def test_it_draws_more_once_it_knows_about_the_end(
    monkeypatch: pytest.MonkeyPatch, epochs: int, expected: list[int]
) -> None:
    counts: list[int] = []
    draw = AutoSampler._draw
    monkeypatch.setattr(AutoSampler, "_draw", lambda *args: [counts.append(args[2]), draw(*args)][1])
    space = space_of()
    search = StudySearch(space, LOSS, make_sampler("auto", space, 0, 120, epochs))
    for number in range(120):
        config, name = search.suggest(f"t{number}"), f"t{number}"
        done = [1, min(2, epochs), epochs][min(2, number // 40)]
        rows = [{"epoch": epoch, "metric/loss": loss_of(config) / epoch} for epoch in range(1, done + 1)]
        search.on_trial_complete(name, {"rows": rows, "finished": done == epochs})
    assert list(dict.fromkeys(count for count in counts if count > 1)) == expected


def test_win_rates_compare_at_the_last_common_epoch() -> None:
    rng = np.random.default_rng(0)
    slow, fast, stopped, diverged = [1.0, 2.0, 9.0], [3.0, 4.0, 5.0], [2.0], []
    rates = win_rates([np.array(curve, dtype=float) for curve in (slow, fast, stopped, diverged)], rng)
    # Each is compared with the other three and itself: slow beats fast and diverged, fast beats stopped and diverged.
    assert rates.tolist() == [2.5 / 4, 2.5 / 4, 2.5 / 4, 0.5 / 4]


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, math.nan]), max_size=4).map(lambda c: np.array(c, dtype=float)),
        min_size=1,
        max_size=12,
    )
)
def test_win_rates_count_all_pairs(curves: list[np.ndarray[Any, Any]]) -> None:
    def wins(mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> float:
        last = min(len(mine), len(theirs))
        a, b = (mine[last - 1], theirs[last - 1]) if last else (len(mine), len(theirs))
        return 1.0 if a > b else 0.0 if a < b else 0.5

    expected = [sum(wins(mine, theirs) for theirs in curves) / len(curves) for mine in curves]
    assert win_rates(curves, np.random.default_rng(0)).tolist() == expected


def test_win_rates_of_many_are_estimated_from_some() -> None:
    curves = [np.array([float(number)]) for number in range(2_000)]
    rates = win_rates(curves, np.random.default_rng(0))
    assert np.corrcoef(rates, np.arange(2_000))[0, 1] > 0.99


def test_a_gaussian_process_learns_a_curve() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((3 * MOST_POINTS, 2))
    target = -((points[:, 0] - 0.3) ** 2)
    model = GaussianProcess.fit(points, target, np.array([0, 1]), rng)
    line = np.c_[np.linspace(0, 1, 21), np.full(21, 0.5)]
    assert abs(line[int(np.argmax(model.predict(line))), 0] - 0.3) <= 0.05
    lengths = model.hyperparameters.lengths
    assert lengths[1] > lengths[0]  # the second column does not matter
