"""The registry of strategies, grids, and what is rejected before anything starts."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_app.cli.main import run
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.search.samplers import make_sampler
from tune_app.spaces.expression import Expression
from tune_app.spaces.space import Space
from tune_app.spaces.strategy import SAMPLERS, SCHEDULERS, check_grid, grid_configs
from tune_app.spaces.variable import Categorical, Domain, Float, Int, Variable, values_of
from tune_app.tasks.spec_file import read_spec

VARIABLES = (
    Variable("depth", "architecture", Int(1, 9), 1, "A depth."),
    Variable("kind", "architecture", Categorical(("a", "b")), "a", "A kind."),
    Variable("share", "training", Float(0.0, 1.0), 0.5, "A share."),
    Variable("rate", "training", Float(1e-5, 1.0, log=True), 0.1, "A rate."),
)


def space(searched: dict[str, Domain], *constraints: str, **when: str) -> Space:
    conditions = {name: Expression.parse(text) for name, text in when.items()}
    return Space(VARIABLES, searched, {}, conditions, tuple(Expression.parse(text) for text in constraints))


def document(**sections: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "small",
        "dataset": "digits",
        "parameters": {"architecture": {"filters": {"type": "categorical", "choices": [4, 8]}}},
        **sections,
    }


def test_every_strategy_can_be_made_and_has_a_summary() -> None:
    for name, strategy in SAMPLERS.items():
        assert make_sampler(name, space({"depth": Int(1, 3), "share": Float(0, 1)}), 0, 40, 5) is not None
        assert strategy.summary.endswith(".")
    assert list(SAMPLERS) == ["auto", "tpe", "random", "grid", "quasi-random", "cma-es", "gp", "nsga2"]
    assert list(SCHEDULERS) == ["asha", "hyperband", "median", "none"]


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["strategies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(SAMPLERS) + len(SCHEDULERS)
    assert run(["strategies", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == [*SAMPLERS, *SCHEDULERS]


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Int(2, 8, step=3), (2, 5, 8)),
        (Int(1, 3), (1, 2, 3)),
        (Float(0.0, 0.3, step=0.1), (0.0, 0.1, 0.2, 0.3)),
        (Categorical(("a", True, 3)), ("a", True, 3)),
        (Float(0.0, 1.0), None),
        (Float(1e-3, 1.0, log=True), None),
    ],
)
def test_values_of(domain: Domain, values: tuple[object, ...] | None) -> None:
    found = values_of(domain)
    assert (
        found is None
        if values is None
        else tuple(found or ()) == (pytest.approx(values) if _numbers(values) else values)
    )
    assert all(domain.contains(value) for value in found or ())


def _numbers(values: tuple[object, ...]) -> bool:
    return all(isinstance(value, float) for value in values)


def test_a_grid_has_every_feasible_combination_once() -> None:
    searched: dict[str, Domain] = {"depth": Int(1, 4), "kind": Categorical(("a", "b")), "share": Float(0, 1, step=0.5)}
    found = list(grid_configs(space(searched, "depth * share <= 2", share="kind == 'b'"), 0))
    # kind a: share has no effect and stays at 0.5; kind b: three shares, but 1.0 is too much for depths 3 and 4.
    assert sum(config["kind"] == "a" for config in found) == 4
    assert sum(config["kind"] == "b" for config in found) == 4 * 3 - 2
    assert len({tuple(config.items()) for config in found}) == len(found)
    assert {config["rate"] for config in found} == {0.1}


def test_the_seed_shuffles_a_grid() -> None:
    searched: dict[str, Domain] = {"depth": Int(1, 9), "kind": Categorical(("a", "b"))}
    first, again, other = (list(grid_configs(space(searched), seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert {tuple(c.items()) for c in first} == {tuple(c.items()) for c in other}


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_size_of_a_grid_is_the_product(high: int, step: int, seed: int) -> None:
    searched: dict[str, Domain] = {"depth": Int(1, high, step=step), "kind": Categorical(("a", "b"))}
    assert len(list(grid_configs(space(searched), seed))) == 2 * math.ceil(high / step)


def test_a_grid_rejects_continuous_variables() -> None:
    with pytest.raises(InputError) as refused:
        check_grid(space({"rate": Float(1e-5, 1.0, log=True), "depth": Int(1, 5), "kind": Categorical(("a", "b"))}))
    assert "`rate` is continuous" in refused.value.message
    assert "the other variables alone take 10 trials" in refused.value.hint
    with pytest.raises(InputError, match="this one has 9,000,009"):
        check_grid(space({"share": Float(0, 1, step=1e-6), "depth": Int(1, 9)}))


@pytest.mark.parametrize(
    ("sections", "place", "words"),
    [
        (
            {
                "search": {"sampler": "grid"},
                "parameters": {"training": {"learning_rate": {"type": "float", "low": 0.1, "high": 0.2}}},
            },
            "search.sampler",
            ("`learning_rate` is continuous", "step"),
        ),
        ({"search": {"sampler": "cma-es"}}, "search.sampler", ("two or more searched numbers", "tpe")),
        ({"search": {"sampler": "cmaes"}}, "search.sampler", ("must be one of auto, tpe", "did you mean `cma-es`")),
        ({"pruning": {"scheduler": "hyperbrand"}}, "pruning.scheduler", ("did you mean `hyperband`",)),
        (
            {"objective": {"mode": "pareto"}, "pruning": {"scheduler": "asha"}},
            "pruning.scheduler",
            ("no single objective can stop a trial", "asha", "--pruning off"),
        ),
        (
            {
                "objective": {"mode": "pareto"},
                "search": {"sampler": "cma-es"},
                "parameters": {
                    "architecture": {
                        "filters": {"type": "int", "low": 2, "high": 4},
                        "conv_layers": {"type": "int", "low": 1, "high": 2},
                    }
                },
            },
            "search.sampler",
            ("mode pareto has two", "nsga2"),
        ),
        ({"objective": {"health_weight": 1.5}}, "objective.health_weight", ("less than or equal to 1",)),
        ({"objective": {"mode": "pareto", "against": "speed"}}, "objective.against", ("health, size, latency",)),
        (
            {"parameters": {"architecture": {"filters": 4}}},
            "parameters",
            ("must search at least one variable", "20 trials"),
        ),
        (
            {"parameters": {"data": {"validation_fraction": {"type": "float", "low": 0.1, "high": 0.5}}}},
            "data.validation_fraction",
            ("must have a single value", "validation_fraction: 0.2"),
        ),
        (
            {"objective": {"mode": "pareto"}, "pruning": {"level": "normal"}},
            "pruning.level",
            ("no single objective can stop a trial", "normal"),
        ),
        ({"task": "text_lstm"}, "task", ("does not support data sets of kind `image`", "image_cnn")),
        ({"dataset": "digit"}, "dataset", ("did you mean `digits`",)),
        ({"dataset": {"kind": "folder", "path": "x"}}, "dataset.kind", ("image_folder",)),
    ],
)
def test_it_rejects(sections: dict[str, Any], place: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as refused:
        read_spec(Document.of(document(**sections), "here"))
    assert place in refused.value.where
    for word in words:
        assert word in f"{refused.value.message} {refused.value.hint}"


def test_the_task_follows_from_the_data_set() -> None:
    spec = read_spec(Document.of(document(), "here"))
    assert spec.task == "image_cnn"
    assert spec.objective.metric == "val_accuracy"
    parameters = {"architecture": {"n_layer": {"type": "int", "low": 1, "high": 2}}}
    assert (
        read_spec(Document.of(document(dataset="python_reference", parameters=parameters), "here")).task == "small_gpt"
    )
    units: dict[str, Any] = {"architecture": {"units": {"type": "int", "low": 4, "high": 8}}}
    own = {"kind": "table", "path": "reviews.csv", "text": "review", "label": "stars"}
    spec = read_spec(Document.of(document(dataset=own, parameters=units), "here"))
    assert spec.task == "text_lstm"
    assert read_spec(Document.of(spec.to_dict(), "there")) == spec


def test_pareto_stops_nothing_early_by_default() -> None:
    spec = read_spec(Document.of(document(objective={"mode": "pareto"}), "here"))
    assert spec.pruning.scheduler == "none"
