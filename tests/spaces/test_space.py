"""Search spaces: Optuna's form, conditions, constraints, sampling, and repair."""

from __future__ import annotations

import pickle
import statistics
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_app.errors import InputError
from tune_app.spaces.catalog import check_value
from tune_app.spaces.expression import Expression
from tune_app.spaces.feasibility import CANDIDATES, check_feasible, distance, largest, repair, sample, smallest
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Config, Domain, Float, Int, Value, Variable

CATALOG = (
    Variable("layers", "architecture", Int(1, 6), 2, "Layers."),
    Variable("filters", "architecture", Int(1, 512), 16, "Filters."),
    Variable("dropout", "architecture", Float(0, 0.9), 0.1, "Dropout."),
    Variable("optimizer", "training", Categorical(("sgd", "adam", "adamw")), "adamw", "Optimizer."),
    Variable("momentum", "training", Float(0, 0.99), 0.9, "Momentum.", when="optimizer == 'sgd'"),
    Variable("nesterov", "training", Categorical((True, False)), False, "Nesterov."),
    Variable("rate", "training", Float(1e-6, 10, log=True), 0.01, "Learning rate."),
    Variable("batch_size", "training", Int(1, 1024, log=True), 64, "Batch size."),
)
SEARCHED: dict[str, Domain] = {
    "layers": Int(1, 3),
    "filters": Categorical((8, 16, 32, 64)),
    "optimizer": Categorical(("sgd", "adam")),
    "momentum": Float(0.0, 0.5),
    "nesterov": Categorical((True, False)),
    "rate": Float(1e-4, 1.0, log=True),
}
WHEN = {"momentum": "optimizer == 'sgd'", "nesterov": "momentum > 0.1"}


def space(
    searched: dict[str, Domain] = SEARCHED,
    fixed: dict[str, Value] | None = None,
    when: dict[str, str] | None = None,
    constraints: tuple[str, ...] = (),
) -> Space:
    conditions = {n: Expression.parse(t) for n, t in (WHEN if when is None else when).items() if n in searched}
    return Space(CATALOG, searched, fixed or {}, conditions, tuple(map(Expression.parse, constraints)))


ANY_CONSTRAINTS = st.lists(
    st.sampled_from(
        [
            "filters * layers <= 64",
            "filters % (layers + 1) == 0 or layers == 1",
            "rate < 0.01 or optimizer == 'adam'",
            "momentum * 10 < rate or not nesterov",
            "layers == 2 or filters == 8",
        ]
    ),
    unique=True,
    max_size=4,
).map(tuple)
SEEDS = st.integers(0, 2**32)


def check(space: Space, config: Config) -> None:
    """Check that `config` is complete and feasible; searched variables are in their domain or inactive at default."""
    assert list(config) == [v.name for v in CATALOG]
    assert space.violated(config) == []
    assert space.validate(config) == config
    for name, domain in space.searched.items():
        expected = domain.contains(config[name]) if space.active(name, config) else config[name] == default(name)
        assert expected, name


def default(name: str) -> Value:
    return next(v.default for v in CATALOG if v.name == name)


def test_distributions_are_in_order() -> None:
    ordered = list(space().distributions())
    assert ordered == list(space().order)
    assert set(ordered) == set(SEARCHED)
    assert ordered.index("optimizer") < ordered.index("momentum") < ordered.index("nesterov")


def test_a_cycle_is_rejected() -> None:
    circle = space(when={"momentum": "nesterov", "nesterov": "rate > 0.1", "rate": "momentum > 0.1 and layers > 1"})
    with pytest.raises(InputError, match=r"in a cycle.*(momentum|rate|nesterov) -> ") as caught:
        _ = circle.order
    assert {"momentum", "nesterov", "rate"} <= set(caught.value.message.replace(",", "").split())
    assert "layers" not in caught.value.message
    assert caught.value.where in {e.text for e in circle.when.values()}


def test_conditions_chain() -> None:
    chained = space()
    params: dict[str, Value] = {
        "layers": 1, "filters": 8, "optimizer": "sgd", "momentum": 0.4, "nesterov": True, "rate": 0.1,
    }  # fmt: skip
    config = chained.complete(params)
    assert (config["momentum"], config["nesterov"]) == (0.4, True)
    without = chained.complete(params | {"optimizer": "adam"})
    # The default momentum of 0.9 would meet nesterov's condition if momentum itself were active.
    assert (without["momentum"], without["nesterov"]) == (0.9, False)
    assert not chained.active("nesterov", without)
    assert not chained.active("momentum", without)
    assert set(chained.params_of(without)) == {"layers", "filters", "optimizer", "rate"}


def test_complete_has_every_variable_with_its_type() -> None:
    mixed = space({"rate": Int(1, 3), "dropout": Categorical((0.0, 0.5))}, fixed={"momentum": 0, "filters": 32})
    config = mixed.complete({"rate": 2, "dropout": 0.5})
    assert config == {
        "layers": 2, "filters": 32, "dropout": 0.5, "optimizer": "adamw", "momentum": 0.0, "nesterov": False,
        "rate": 2.0, "batch_size": 64,
    }  # fmt: skip
    assert isinstance(config["rate"], float)
    assert isinstance(config["momentum"], float)
    assert mixed.params_of(config) == {"rate": 2, "dropout": 0.5}
    assert isinstance(mixed.params_of(config)["rate"], int)
    assert mixed.complete({})["rate"] == 0.01


def test_fill_asks_for_active_variables_only() -> None:
    asked: list[str] = []

    def choose(name: str) -> Value:
        asked.append(name)
        return {"optimizer": "adam", "layers": 1, "filters": 8, "rate": 0.1}[name]

    space().fill(choose)
    assert sorted(asked) == ["filters", "layers", "optimizer", "rate"]


@given(ANY_CONSTRAINTS, SEEDS)
@settings(max_examples=60, deadline=None)
def test_sample_is_feasible_and_params_round_trip(constraints: tuple[str, ...], seed: int) -> None:
    constrained = space(constraints=constraints)
    config = sample(constrained, np.random.default_rng(seed))
    check(constrained, config)
    assert constrained.complete(constrained.params_of(config)) == config


@given(ANY_CONSTRAINTS, SEEDS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_repair_is_feasible(constraints: tuple[str, ...], seed: int, nearest: bool) -> None:
    constrained = space(constraints=constraints)
    drawn = sample(space(), np.random.default_rng(seed))
    repaired = repair(constrained, drawn, np.random.default_rng(seed), CANDIDATES if nearest else 1)
    check(constrained, repaired)
    if not constrained.violated(drawn):
        assert repaired is drawn
    assert repaired == repair(constrained, drawn, np.random.default_rng(seed), CANDIDATES if nearest else 1)


def test_sample_is_uniform_over_feasible_configurations() -> None:
    constrained = space({"layers": Int(1, 3), "filters": Categorical((8, 16, 32, 64))}, constraints=(
        "filters * layers <= 64",
    ))  # fmt: skip
    rng = np.random.default_rng(0)
    drawn = [(c["layers"], c["filters"]) for c in (sample(constrained, rng) for _ in range(4000))]
    counts = {pair: drawn.count(pair) for pair in set(drawn)}
    assert len(counts) == 9
    assert all(count == pytest.approx(4000 / 9, rel=0.25) for count in counts.values())


def test_repair_keeps_variables_that_no_broken_constraint_reads() -> None:
    constrained = space(constraints=("filters * layers <= 64", "rate < 0.5"))
    rng = np.random.default_rng(0)
    for _ in range(50):
        params = {name: domain.sample(rng) for name, domain in SEARCHED.items()}
        drawn = constrained.complete(params | {"layers": 3, "filters": 64, "rate": 0.1})
        repaired = repair(constrained, drawn, rng)
        assert {n for n in drawn if drawn[n] != repaired[n]} <= {"filters", "layers"}


def test_repair_extends_to_constraints_that_a_change_breaks() -> None:
    # Meeting the first constraint alone always breaks the second, unless dropout changes too.
    tied = space(
        {"layers": Int(1, 3), "dropout": Float(0, 0.9)}, constraints=("layers >= 2", "layers == 1 or dropout > 0.5")
    )
    start = tied.complete({"layers": 1, "dropout": 0.1})
    repaired = repair(tied, start, np.random.default_rng(0))
    assert repaired["layers"] in (2, 3)
    assert float(repaired["dropout"]) > 0.5


def test_repair_picks_the_nearest_configuration() -> None:
    constrained = space({"rate": Float(1e-4, 1.0, log=True)}, constraints=("rate < 0.1",))
    start = constrained.complete({"rate": 0.11})
    near, first = (
        [distance(constrained, start, repair(constrained, start, np.random.default_rng(i), n)) for i in range(50)]
        for n in (CANDIDATES, 1)
    )
    assert statistics.mean(near) < 0.5 * statistics.mean(first)


def test_repair_gives_up_and_names_the_constraint() -> None:
    hopeless = space({"rate": Float(0.1, 1)}, constraints=("rate < 0.05",))
    with pytest.raises(InputError, match=r"`rate < 0.05`, but none of 100,000 random"):
        repair(hopeless, hopeless.complete({"rate": 0.5}), np.random.default_rng(0))
    with pytest.raises(InputError, match=r"`rate < 0.05`, but none of 100,000 random"):
        sample(hopeless, np.random.default_rng(0))


def test_repair_with_one_in_a_hundred_feasible_takes_under_50_ms() -> None:
    searched: dict[str, Domain] = {**SEARCHED, "dropout": Float(0.0, 0.9), "batch_size": Int(1, 1000)}
    tight = space(searched, constraints=("dropout < 0.09", "batch_size <= 100"))
    rng = np.random.default_rng(0)
    times = []
    for _ in range(30):
        start = tight.complete({n: d.sample(rng) for n, d in searched.items()} | {"dropout": 0.5, "batch_size": 999})
        before = time.process_time()
        check(tight, repair(tight, start, rng))
        times.append(time.process_time() - before)
    assert statistics.median(times) < 0.05


def test_smallest_and_largest() -> None:
    free = space()
    low, high = smallest(free), largest(free)
    assert (low["layers"], low["filters"], high["layers"], high["filters"]) == (1, 8, 3, 64)
    assert low["rate"] == high["rate"] == 0.01
    assert high["dropout"] == 0.1
    bound = space(constraints=("filters * layers <= 128",))
    assert (largest(bound)["layers"], largest(bound)["filters"]) == (2, 64)
    check(bound, largest(bound))
    check(bound, smallest(bound))


@pytest.mark.parametrize(
    ("searched", "constraints", "found"),
    [
        ({"layers": Int(1, 3)}, ("layers > 3",), "no configuration satisfies `layers > 3`"),
        ({}, ("filters > 16",), "no configuration satisfies `filters > 16`"),
        ({"rate": Float(0.1, 1)}, ("rate < 0.05",), "none of 20,000 sampled configurations satisfies `rate < 0.05`"),
        (
            {"layers": Int(1, 3), "filters": Categorical((8, 16))},
            ("layers > 2 or filters > 8", "layers < 3", "filters < 16"),
            "no configuration satisfies `layers > 2 or filters > 8` and `layers < 3` and `filters < 16`",
        ),
        ({"filters": Int(1, 512), "layers": Int(1, 3)}, ("filters * layers == 1531",), "no configuration satisfies"),
    ],
)
def test_infeasible_spaces_are_rejected(searched: dict[str, Domain], constraints: tuple[str, ...], found: str) -> None:
    before = time.process_time()
    with pytest.raises(InputError) as caught:
        check_feasible(space(searched, constraints=constraints))
    assert found in caught.value.message
    assert caught.value.where == constraints[0]
    assert time.process_time() - before < 3


def test_one_configuration_is_enough() -> None:
    rare = ("filters * layers == 3072 and nesterov",)
    searched = {"filters": Int(1, 512), "layers": Int(1, 6), "nesterov": Categorical((True, False))}
    check_feasible(space(searched, constraints=rare))


def test_a_constraint_that_raises_for_some_configurations_is_rejected() -> None:
    with pytest.raises(InputError, match="division by zero"):
        check_feasible(space({"layers": Int(1, 3)}, constraints=("filters / (layers - 2) < 100",)))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"dropuot": 0.1}, ("`dropuot`", "did you mean `dropout`")),
        ({"dropout": 0.95}, ("p architecture.dropout", "a number from 0 to 0.9", "nearest valid value is 0.9")),
        ({"optimizer": "adm"}, ("p training.optimizer", "one of sgd, adam, adamw", "'adm'", "did you mean `adam`")),
        ({"layers": 2.0}, ("p architecture.layers", "a whole number from 1 to 6", "2.0")),
        ({"layers": 9}, ("p architecture.layers", "nearest valid value is 6")),
        ({"nesterov": 1}, ("p training.nesterov", "one of True, False", "1")),
        ({"layers": 5, "filters": 400}, ("`filters * layers <= 1000` must hold", "filters = 400, layers = 5")),
    ],
)
def test_validate_rejects(change: dict[str, object], parts: tuple[str, ...]) -> None:
    config: dict[str, object] = {**space().complete({}), **change}
    with pytest.raises(InputError) as caught:
        space(constraints=("filters * layers <= 1000",)).validate(config, "p")
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_validate_names_missing_variables_and_sorts() -> None:
    config = space().complete({})
    with pytest.raises(InputError, match="every variable, but layers, rate is missing"):
        space().validate({n: v for n, v in config.items() if n not in ("rate", "layers")})
    mixed = dict(reversed(config.items())) | {"dropout": 0}
    assert list(space().validate(mixed)) == list(config)
    assert isinstance(space().validate(mixed)["dropout"], float)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "1e-4", 1e-4),
        ("training.rate", "1", 1.0),
        ("layers", "3", 3),
        ("nesterov", "true", True),
        ("nesterov", "False", False),
        ("optimizer", "adam", "adam"),
    ],
)
def test_parse_value(name: str, text: str, value: Value) -> None:
    parsed = space().parse_value(name, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("rat", "1", ("`rat`", "did you mean `rate`")),
        ("trainig.rate", "1", ("`trainig`", "did you mean `training`")),
        ("data.rate", "1", ("`rate` under `data`", "training.rate")),
        ("rate", "fast", ("a number from 1e-06 to 10", "'fast'")),
        ("rate", "nan", ("a number from", "nan")),
        ("rate", "-inf", ("a number from", "nearest valid value is 1e-06")),
        ("layers", "2.5", ("a whole number from 1 to 6", "'2.5'")),
        ("nesterov", "yes", ("one of True, False", "'yes'")),
        ("optimizer", "sdg", ("'sdg'", "did you mean `sgd`")),
    ],
)
def test_parse_value_rejects(name: str, text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        space().parse_value(name, text, "--set")
    assert caught.value.where == "--set"
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_it_is_plain_data() -> None:
    one = space(constraints=("filters * layers <= 64",))
    _ = one.order, one.unsearched
    twin = pickle.loads(pickle.dumps(one))
    assert twin == one == space(constraints=("filters * layers <= 64",))
    assert one != space()


@pytest.mark.parametrize(("value", "text"), [(64, "64"), (1e-4, "1e-4"), (True, "true")])
def test_the_hint_for_an_unquoted_string_adds_quotes(value: Value, text: str) -> None:
    sizes = Variable("sizes", "architecture", Categorical(("64", "1e-4", "true", "none")), "none", "Sizes.")
    with pytest.raises(InputError) as caught:
        check_value(sizes, value)
    assert f'put it in quotes, "{text}"' in caught.value.hint


@pytest.mark.parametrize(
    ("value", "hint"), [("0.5", "remove the quotes: 0.5"), ("'1e-2'", "remove the quotes: 1e-2"), ("a", "Rate.")]
)
def test_the_hint_for_a_quoted_number_removes_the_quotes(value: Value, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        check_value(Variable("rate", "training", Float(0.0, 1.0), 0.1, "Rate."), value)
    assert caught.value.hint == hint
