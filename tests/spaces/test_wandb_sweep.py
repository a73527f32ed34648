"""Sweep files of Weights & Biases, read as search spaces."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.spaces.spec import Spec
from tune_app.spaces.variable import Categorical, Float, Int
from tune_app.spaces.wandb_sweep import Imported, _report, read_sweep
from tune_app.tasks.spec_file import read_spec

SWEEP: dict[str, Any] = {
    "program": "train.py",
    "method": "bayes",
    "name": "My Sweep!",
    "metric": {"name": "val_loss", "goal": "minimize"},
    "run_cap": 30,
    "parameters": {"lr": {"min": 0.0, "max": 0.5}},
}


def imported(**keys: Any) -> Imported:
    return read_sweep(Document.of({key: value for key, value in {**SWEEP, **keys}.items() if value is not None}, "s"))


def spec_of(found: Imported) -> Spec:
    return read_spec(Document.of(found.space, "space"))


def command_line(**keys: Any) -> list[str]:
    spec = spec_of(imported(**keys))
    assert spec.catalog.script is not None
    return spec.catalog.script.command_line(spec.space.complete({}), "folder", 0)


def ranged(distribution: str, low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return {"parameters": {"x": {"distribution": distribution, "min": low, "max": high, **more}}}


def test_a_sweep_is_a_search_space() -> None:
    found = imported()
    spec = spec_of(found)
    assert (spec.name, spec.budget.trials, spec.search.sampler, spec.pruning.level) == ("my-sweep", 30, "auto", "off")
    assert dict(spec.catalog.metrics) == {"val_loss": "minimize"}
    assert command_line() == ["python", "train.py", "--lr=0.25"]
    assert [note.partition(":")[0] for note in found.notes] == ["`report`"]


@pytest.mark.parametrize(
    ("parameter", "domain"),
    [
        ({"values": [16, 32]}, Categorical((16, 32))),
        ({"distribution": "categorical", "values": ["a", True]}, Categorical(("a", True))),
        ({"min": 1, "max": 4}, Int(1, 4)),
        ({"min": 1, "max": 4.5}, Float(1, 4.5)),
        ({"distribution": "uniform", "min": 1, "max": 4}, Float(1, 4)),
        ({"distribution": "int_uniform", "min": 1, "max": 4}, Int(1, 4)),
        ({"distribution": "q_uniform", "min": 16, "max": 64, "q": 16}, Int(16, 64, step=16)),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, Float(0, 1, step=0.25)),
        ({"distribution": "log_uniform", "min": -2, "max": 0}, Float(math.exp(-2), 1.0, log=True)),
        ({"distribution": "log_uniform_values", "min": 0.01, "max": 1}, Float(0.01, 1, log=True)),
    ],
)
def test_each_distribution_has_its_domain(parameter: dict[str, Any], domain: Any) -> None:
    assert spec_of(imported(parameters={"x": parameter})).space.searched == {"x": domain}


def test_a_single_value_is_fixed() -> None:
    space = spec_of(imported(parameters={**SWEEP["parameters"], "a": {"value": 3}, "b": {"values": ["x"]}})).space
    assert space.fixed == {"a": 3, "b": "x"}


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({"project": "mine"}, "`project` has no equivalent"),
        ({"early_terminate": {"type": "hyperband"}}, "asha stops trials instead"),
        ({"parameters": {"x": {"distribution": "normal"}, "y": {"min": 0, "max": 1}}}, "`x`: the distribution normal"),
        ({"parameters": {"x": {"values": [2, 1], "probabilities": [0.1, 0.9]}}}, "`probabilities` have no equivalent"),
        (
            {"parameters": {"x": {"distribution": "q_log_uniform_values", "min": 1, "max": 9, "q": 2}}},
            "`q` of q_log_uniform_values has no equivalent",
        ),
        ({"command": ["${program}", "${args_json}"]}, "`${args_json}` of `command` has no equivalent"),
        ({"command": ["${program}", "${args_no_boolean_flags}"]}, "true and false are passed as --flag=True"),
        (
            {"command": ["${program}", "--x=${envvar:HOME}", "${args}"]},
            "`${envvar:HOME}` in `--x=${envvar:HOME}` of `command` has no equivalent",
        ),
        ({"metric": {"name": "loss", "target": 0.1}}, "`metric.target` has no equivalent"),
        ({"command": ["${program}"]}, "takes no `${args}`"),
        ({"command": ["${program}", "${args}", "--fast"]}, "`--fast` of `command` comes before the variables"),
        ({"parameters": {"a-b": {"min": 0, "max": 1}}}, "`a-b` is named `a_b` here"),
    ],
)
def test_what_has_no_equivalent_is_named(keys: dict[str, Any], note: str) -> None:
    found = imported(**keys)
    spec_of(found)
    assert any(note in said for said in found.notes)


@pytest.mark.parametrize(
    ("value", "argument"), [([64, 32], "[64, 32]"), ([], "[]"), (None, "null"), ({"a": [1]}, '{"a": [1]}')]
)
@pytest.mark.parametrize("form", ["value", "values"])
def test_a_single_value_may_be_a_list_a_mapping_or_null(value: Any, argument: str, form: str) -> None:
    parameters = {**SWEEP["parameters"], "x": {form: [value] if form == "values" else value}}
    assert command_line(parameters=parameters)[-1] == f"--x={argument}"
    assert len(imported(parameters=parameters).notes) == 1


def test_choices_may_be_lists_and_null() -> None:
    assert command_line(parameters={"x": {"values": [[64, 32], None]}})[-1] == "--x=[64, 32]"


def test_macros_in_the_command() -> None:
    command = ["${env}", "${interpreter}", "-m", "mine", "--x", "${args_no_hyphens}"]
    assert command_line(command=command, program=None) == ["python", "-m", "mine", "--x", "lr=0.25"]


def test_flags_without_booleans_are_arguments_with_one_note() -> None:
    keys = {"command": ["${env}", "${interpreter}", "${program}", "${args_no_boolean_flags}"]}
    assert command_line(**keys) == ["python", "train.py", "--lr=0.25"]
    notes = imported(**keys).notes
    assert [note.partition("`")[2].partition("`")[0] for note in notes] == ["${args_no_boolean_flags}", "report"]


def test_braces_in_a_command_are_kept() -> None:
    assert command_line(command=["a", "{lr}", '{"b": {"c": 1}}', "$x${y}", "${args}"])[1:4] == [
        "{lr}",
        '{"b": {"c": 1}}',
        "$x${y}",
    ]


def test_nested_parameters_and_unusual_names_keep_their_arguments() -> None:
    nested = {"opt": {"parameters": {"name": {"values": ["sgd", "adam"]}}}, "opt_name": {"value": 3}}
    assert command_line(parameters=nested) == ["python", "train.py", "--opt.name=sgd", "--opt_name=3"]
    assert list(spec_of(imported(parameters=nested)).space.searched) == ["opt.name"]
    assert command_line(parameters={"a-b": {"min": 0, "max": 2}}) == ["python", "train.py", "--a-b=1"]


def test_a_metric_that_is_not_a_valid_group_name_is_read_from_a_file() -> None:
    report = spec_of(imported(metric={"name": "val/loss"})).catalog.script.report  # type: ignore[union-attr]
    assert (report.kind, report.source) == ("jsonl", "{trial_folder}/metrics.jsonl")


@pytest.mark.parametrize(
    ("keys", "rule", "where"),
    [
        ({"methods": "grid"}, "a key must be one of those below, but got `methods`", "methods"),
        ({"method": "hyperopt"}, "`method` must be one of bayes, random, grid", "method"),
        ({"metric": None}, "`metric` must have a name, but got None", "metric"),
        ({"metric": {"name": "a", "gaol": "maximize"}}, "a key must be one of those below, but got `gaol`", "gaol"),
        ({"metric": {"name": "a", "goal": "max"}}, "`goal` must be maximize or minimize", "metric.goal"),
        ({"program": None}, "`program` must name the script, but got None", "program"),
        ({"command": "python train.py"}, "`command` must be a list of words", "command"),
        ({"parameters": {"x": {"distribution": "unifrom"}}}, "`distribution` must be one of W&B's", "parameters.x"),
        ({"parameters": {"x": {"min": 1}}}, "`max` must be a number, but got None", "parameters.x.max"),
        ({"parameters": {"x": {"values": 3}}}, "`values` must be a list, but got 3", "parameters.x.values"),
        ({"parameters": {"x": 3}}, "`x` must be a mapping", "parameters.x"),
        (
            {"parameters": {"x": {}}},
            "`values`, or `min` and `max`, but `x` has none of them",
            "parameters.x",
        ),
        ({"parameters": {"x": {"vals": [3]}}}, "a key must be one of those below, but got `vals`", "parameters.x.vals"),
        (
            {"parameters": {"x": {"parameter": {}, "parameters": {"y": {"value": 3}}}}},
            "a key must be one of those below, but got `parameter`",
            "parameters.x.parameter",
        ),
        (ranged("int_uniform", 1.5, 3), "`min` of int_uniform must be a whole number, but got 1.5", "parameters.x.min"),
        (ranged("log_uniform", -1000, 3), "`min` of log_uniform must be a natural logarithm", "parameters.x.min"),
        (ranged("q_log_uniform", -3, 900), "`max` of q_log_uniform must be a natural logarithm", "parameters.x.max"),
        (ranged("log_uniform_values", 0, 1), "`min` of log_uniform_values must be above 0", "parameters.x.min"),
        (ranged("uniform", 3, 3), "`min` must be below `max`, but got 3 and 3", "parameters.x.min"),
        (ranged("uniform", 3, math.inf), "`max` must be a number, but got inf", "parameters.x.max"),
        (ranged("q_uniform", 3, 4, q=0), "`q` must be above 0, but got 0", "parameters.x.q"),
    ],
)
def test_errors_in_a_sweep_file(keys: dict[str, Any], rule: str, where: str) -> None:
    with pytest.raises(InputError) as told:
        imported(**keys)
    assert rule in told.value.message
    assert told.value.where.endswith(where)


def test_the_hint_for_an_exponent_out_of_range_is_the_values_distribution() -> None:
    with pytest.raises(InputError) as told:
        imported(**ranged("log_uniform", -1000, 900))
    assert "log_uniform_values" in told.value.hint


@pytest.mark.parametrize(("line", "figure"), [("reward: -12.3", "-12.3"), ("reward=.5", ".5"), ("x_reward: 1", None)])
def test_the_guessed_expression_reads_the_number_exactly(line: str, figure: str | None) -> None:
    found = re.search(_report("reward", [])["stdout"], line)
    assert (found and found["reward"]) == figure
