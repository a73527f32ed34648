"""Search space files: what is read, what is rejected with which message, and the round trip."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.spec import Spec, read_spec
from tune_app.spaces.variable import Categorical, Float, Int, Variable

SPACES = Path(__file__).parents[2] / "search_spaces"


CATALOG = Catalog(
    task="fake",
    variables=(
        Variable("layers", "architecture", Int(1, 6), 2, "Layers."),
        Variable("filters", "architecture", Int(8, 512, step=8), 16, "Filters."),
        Variable("dropout", "architecture", Float(0, 0.9), 0.1, "Dropout."),
        Variable("optimizer", "training", Categorical(("sgd", "adam", "adamw")), "adamw", "Optimizer."),
        Variable("momentum", "training", Float(0, 0.99), 0.9, "Momentum.", when="optimizer == 'sgd'"),
        Variable("rate", "training", Float(1e-6, 10, log=True), 0.01, "Learning rate."),
        Variable("epochs", "training", Int(1, 1000), 15, "Epochs."),
        Variable("flip", "data", Categorical((True, False)), False, "Flip."),
    ),
    constraints=("filters * layers <= 1024",),
    metrics={"val_accuracy": "maximize", "val_loss": "minimize"},
)

GOOD = """\
schema_version: 1
name: a-space
task: fake
dataset: digits
objective: {metric: val_accuracy}
budget: {trials: 5, epochs: 3}
search: {}
pruning: {}
resources: {}
parameters:
  architecture:
    layers: {type: int, low: 1, high: 3}
    filters: {type: categorical, choices: [8, 16]}
    dropout: 0
  training:
    optimizer: {type: categorical, choices: [sgd, adam]}
    momentum: {type: float, low: 0.0, high: 0.9}
    rate: {type: float, low: 1e-4, high: 1, log: true}
  data:
    flip: {type: categorical, choices: [true, false], when: "optimizer == 'adam' and rate < 0.1"}
constraints:
  - "filters * layers <= 32"
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "space.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, text: str, overrides: Mapping[str, Any] | None = None) -> Spec:
    return read_spec(Document.read(write(folder, text)), lambda _: CATALOG, overrides)


def refusal(folder: Path, text: str | bytes, overrides: Mapping[str, Any] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_spec(Document.read(write(folder, text)), lambda _: CATALOG, overrides)
    error = caught.value
    assert len(str(error).splitlines()) <= 2, "an error has one or two lines"
    assert "space.yaml" in error.where or error.where.startswith("override ")
    return error


def test_a_file_is_read(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD)
    assert (spec.name, spec.task, spec.dataset, spec.schema_version) == ("a-space", "fake", "digits", 1)
    assert (spec.objective.mode, spec.objective.metric, spec.objective.direction) == (
        "simple", "val_accuracy", "maximize",
    )  # fmt: skip
    assert spec.space.searched["rate"] == Float(1e-4, 1.0, log=True)
    assert spec.space.searched["filters"] == Categorical((8, 16))
    assert spec.space.fixed == {"dropout": 0.0, "epochs": 3}
    assert isinstance(spec.space.fixed["dropout"], float)
    assert {name: e.text for name, e in spec.space.when.items()} == {
        "momentum": "optimizer == 'sgd'",  # comes from the catalog
        "flip": "optimizer == 'adam' and rate < 0.1",
    }
    assert [c.text for c in spec.space.constraints] == ["filters * layers <= 32", "filters * layers <= 1024"]


def test_defaults(tmp_path: Path) -> None:
    text = "schema_version: 1\nname: x\ntask: fake\ndataset: digits\nobjective: {metric: val_loss}\nparameters:\n"
    text += "  training: {rate: {type: float, low: 0.1, high: 0.2}}\n"
    spec = read(tmp_path, text)
    assert spec.objective.direction == "minimize"
    assert spec.budget.model_dump() == {"trials": 20, "epochs": 10, "time": None, "trial_time": None}
    assert spec.search.model_dump() == {"sampler": "auto", "history": "auto", "seed": 0, "start_from": ()}
    assert spec.pruning.model_dump() == {"scheduler": "asha", "level": "normal"}
    assert spec.resources.model_dump() == {"cpus": 1.0, "gpus": 0.0, "concurrent": "auto", "devices": 1}
    assert list(spec.space.searched) == ["rate"]
    assert spec.space.fixed == {"epochs": 10}


def test_yaml_1_2_reads_values_as_people_expect(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD.replace("pruning: {}", "pruning: {level: off}").replace("low: 1e-4", "low: 1E-5"))
    assert spec.pruning.level == "off"
    assert spec.space.searched["rate"] == Float(1e-5, 1.0, log=True)


REFUSED: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    # error: (text in the good file, its replacement, where, parts of the message)
    "unknown section": ("budget:", "budgte:", ":6 budgte", ("`budgte`", "did you mean `budget`")),
    "unknown key": ("trials: 5", "trails: 5", ":6 budget.trails", ("`trails`", "did you mean `trials`")),
    "unknown group": ("  data:", "  dta:", ":19 parameters.dta", ("`dta`", "did you mean `data`")),
    "unknown variable": ("dropout: 0", "droput: 0", ":14 parameters.architecture.droput", (
        "a name must be a variable of the task", "`droput`", "did you mean `dropout`")),
    "wrong group": ("dropout: 0", "rate: 0.1", ":14 parameters.architecture.rate", (
        "its own group", "`rate` under `architecture`", "training.rate")),
    "unknown domain key": ("high: 3}", "hihg: 3}", ":12 parameters.architecture.layers.hihg", (
        "`hihg`", "did you mean `high`")),
    "unknown type": ("type: int,", "type: itn,", ":12 parameters.architecture.layers.type", (
        "must be one of int, categorical", "'itn'", "did you mean `int`")),
    "wrong kind of type": ("type: int,", "type: float,", ":12 parameters.architecture.layers.type", (
        "must be one of int, categorical", "'float'")),
    "no type": ("{type: int, low", "{low", ":12 parameters.architecture.layers.type", ("`type` of `layers`", "none")),
    "no high": (", high: 3}", "}", ":12 parameters.architecture.layers", ("`high` is required",)),
    "text for a number": ("low: 1,", 'low: "1",', ":12 parameters.architecture.layers", (
        "`low` must be a whole number", "'1'")),
    "float for an int": ("low: 1,", "low: 1.0,", ":12 parameters.architecture.layers", ("whole number", "1.0")),
    "text for log": ("log: true", "log: no", ":18 parameters.training.rate.log", ("true or false", "'no'")),
    "low above high": ("low: 1, high: 3", "low: 3, high: 1", ":12 parameters.architecture.layers", (
        "`low` <= `high` must hold", "3 and 1")),
    "log of zero": ("low: 1e-4", "low: 0", ":18 parameters.training.rate", ("above 0 if `log`", "0.0")),
    "empty range": ("[8, 16]", "[]", ":13 parameters.architecture.filters", ("at least one value", "[]")),
    "infinite": ("low: 1e-4", "low: .inf", ":18 parameters.training.rate", ("finite number", "inf")),
    "beyond the task's range": ("high: 3", "high: 7", ":12 parameters.architecture.layers.high", (
        "a whole number from 1 to 6", "7", "nearest valid value is 6")),
    "choice beyond the task": ("[8, 16]", "[8, 17]", ":13 parameters.architecture.filters.choices", (
        "in steps of 8", "17")),
    "unknown choice": ("[sgd, adam]", "[sgd, amad]", ":16 parameters.training.optimizer.choices", (
        "one of sgd, adam, adamw", "'amad'", "did you mean `adam`")),
    "choice twice": ("[sgd, adam]", "[sgd, sgd]", ":16 parameters.training.optimizer", ("distinct", "'sgd'")),
    "step off the task's grid": (
        "{type: categorical, choices: [8, 16]}", "{type: int, low: 8, high: 32, step: 4}",
        ":13 parameters.architecture.filters", ("`step` must be a multiple of 8", "4")),
    "fixed beyond the task": ("dropout: 0", "dropout: 0.95", ":14 parameters.architecture.dropout", (
        "a number from 0 to 0.9", "0.95", "nearest valid value is 0.9")),
    "fixed of wrong type": ("dropout: 0", "dropout: yes", ":14 parameters.architecture.dropout", ("'yes'", "a number")),
    "fixed true for a number": ("dropout: 0", "dropout: true", ":14 parameters.architecture.dropout", ("True",)),
    "fixed nothing": ("dropout: 0", "dropout:", ":14 parameters.architecture.dropout", ("must have a value", "None")),
    "fixed list": ("dropout: 0", "dropout: [0.1]", ":14 parameters.architecture.dropout", ("[0.1]", "categorical")),
    "group no mapping": ("  data:\n", "  data: 3\n  inference:\n", ":19 parameters.data", ("must be a mapping", "3")),
    "section no mapping": ("search: {}", "search: [tpe]", ":7 search", ("must be a mapping", "['tpe']")),
    "condition's name": ("rate < 0.1", "raet < 0.1", ":20 parameters.data.flip.when", (
        "`raet`", "did you mean `rate`")),
    "condition's text": ("optimizer == 'adam'", "optimizer == 'adm'", ":20 parameters.data.flip.when", (
        "one of sgd, adam, adamw", "'adm'", "did you mean `adam`")),
    "condition's syntax": ("rate < 0.1", "rate < ", ":20 parameters.data.flip.when", ("well-formed", "rate <")),
    "condition with a call": ("rate < 0.1", "exit(3)", ":20 parameters.data.flip.when", ("only", "`exit(3)`")),
    "condition no text": ('when: "optimizer == \'adam\' and rate < 0.1"', "when: true",
        ":20 parameters.data.flip.when", ("must be a string", "True")),
    "circle": ("choices: [sgd, adam]}", 'choices: [sgd, adam], when: "flip"}', ".when", (
        "in a cycle", "flip", "optimizer", "->")),
    "circle of one": ("high: 0.9}", 'high: 0.9, when: "momentum > 0"}', ":17 parameters.training.momentum.when", (
        "in a cycle", "momentum -> momentum")),
    "constraint's name": ('"filters * l', '"filtres * l', ":22 constraints.0", ("`filtres`", "did you mean `filters`")),
    "constraint's type": ('"filters * l', '"optimizer * l', ":22 constraints.0", ("needs numbers", "optimizer = '")),
    "constraint on nothing": ('"filters * layers <= 32"', '"1 < 2"', ":22 constraints.0", ("at least one variable",)),
    "constraint no text": ('"filters * layers <= 32"', "3", ":22 constraints.0", ("must be a string", "3")),
    "constraints no list": ('constraints:\n  - "', 'constraints:\n  "', ":21 constraints", ("must be a list",)),
    "constraint nothing meets": ("<= 32", "<= 7", ":22 constraints.0", (
        "no configuration satisfies `filters * layers <= 7`", "filters: one of 8, 16; layers: a whole number from "
        "1 to 3")),
    "constraints nothing meets": ('<= 32"', '<= 32"\n  - "layers > 2"\n  - "filters > 8"', ":22 constraints.0", (
        "`filters * layers <= 32` and `layers > 2` and `filters > 8`",)),
    "schema version": ("schema_version: 1", "schema_version: 2", ":1 schema_version", ("must be 1", "2")),
    "no schema version": ("schema_version: 1", "", " schema_version", ("must be 1", "None")),
    "name": ("name: a-space", "name: ../a", ":2 name", ("must be 1 to 64 lowercase letters", "'../a'")),
    "name number": ("name: a-space", "name: 12", ":2 name", ("must be a string", "12")),
    "no data set": ("dataset: digits", "", " dataset", ("`dataset` must be a string", "None")),
    "metric": ("val_accuracy", "val_acuracy", ":5 objective.metric", ("`val_acuracy`", "did you mean `val_accuracy`")),
    "direction": ("val_accuracy}", "val_accuracy, direction: max}", ":5 objective.direction", (
        "one of maximize, minimize", "'max'", "did you mean `maximize`")),
    "mode": ("{metric", "{mode: pareta, metric", ":5 objective.mode", (
        "must be one of simple, health, pareto", "'pareta'", "did you mean `pareto`")),
    "trials": ("trials: 5", "trials: 0", ":6 budget.trials", ("greater than or equal to 1", "0")),
    "trials text": ("trials: 5", 'trials: "5"', ":6 budget.trials", ("must be a valid integer", "'5'")),
    "trials true": ("trials: 5", "trials: true", ":6 budget.trials", ("must be a valid integer", "True")),
    "time": ("epochs: 3", "time: 3 hours", ":6 budget.time", ("90s, 30m, 2h", "'3 hours'")),
    "no time": ("epochs: 3", "trial_time: 0s", ":6 budget.trial_time", ("above 0", "'0s'")),
    "sampler": ("search: {}", "search: {sampler: tep}", ":7 search.sampler", ("tpe, random", "did you mean `tpe`")),
    "seed": ("search: {}", "search: {seed: -1}", ":7 search.seed", ("greater than or equal to 0", "-1")),
    "start from": ("search: {}", "search: {start_from: best}", ":7 search.start_from", (
        "must be a list of names", "'best'")),
    "other direction": ("val_accuracy}", "val_loss, direction: maximize}", ":5 objective.direction", (
        "`val_loss` is better the other way", "write minimize")),
    "scheduler": ("pruning: {}", "pruning: {scheduler: asah}", ":8 pruning.scheduler", ("did you mean `asha`",)),
    "level": ("pruning: {}", "pruning: {level: norml}", ":8 pruning.level", ("did you mean `normal`",)),
    "cpus": ("resources: {}", "resources: {cpus: 1.5}", ":9 resources.cpus", ("whole number", "1.5")),
    "no cpus": ("resources: {}", "resources: {cpus: 0}", ":9 resources.cpus", ("greater than 0",)),
    "gpus": ("resources: {}", "resources: {gpus: all}", ":9 resources.gpus", ("must be auto or a number", "'all'")),
    "negative gpus": ("resources: {}", "resources: {gpus: -1}", ":9 resources.gpus", ("a number of at least 0",)),
    "nan gpus": ("resources: {}", "resources: {gpus: .nan}", ":9 resources.gpus", ("a number of at least 0",)),
    "concurrent": ("resources: {}", "resources: {concurrent: 0}", ":9 resources.concurrent", ("auto", "0")),
    "devices": ("resources: {}", "resources: {devices: 2}", ":9 resources.devices", ("data_parallel", "but got 2")),
    "no devices": ("resources: {}", "resources: {devices: 0}", ":9 resources.devices", ("or equal to 1", "0")),
    "epochs above the budget": ("  data:", "    epochs: 4\n  data:", ":19 parameters.training.epochs", (
        "at most budget.epochs (3)", "4")),
    "searched epochs": (
        "  data:", "    epochs: {type: int, low: 1, high: 4}\n  data:", ":19 parameters.training.epochs",
        ("at most budget.epochs (3)", "4")),
    "epochs among choices": (
        "  data:", "    epochs: {type: categorical, choices: [2, 9]}\n  data:", ":19 parameters.training.epochs",
        ("at most budget.epochs (3)", "9")),
    "budget beyond the task": ("epochs: 3", "epochs: 1001", ":6 budget.epochs", ("from 1 to 1000", "1001")),
    "duplicate section": ("search: {}", "search: {}\nbudget: {}", ":8 budget", ("unique keys", 'key "budget"')),
    "duplicate variable": ("dropout: 0", "dropout: 0.1\n    dropout: 0.2", ":15 dropout", ('"dropout"', '"0.2"')),
    "duplicate domain key": ("low: 1,", "low: 1, low: 2,", ":12 low", ('duplicate key "low" with value "2"',)),
    "tab": ("dropout: 0", "dropout: 0\n\t\trate: 1", ":15", ("YAML must be well-formed", r"\t")),
    "open bracket": ("[8, 16]", "[8, 16", ":13", ("YAML must be well-formed",)),
    "two documents": ("search: {}", "---\nsearch: {}", "", ("another document",)),
    "key no text": ("search: {}", "3: {}", "", ("a key must be a string", "3")),
    "tag": ("dropout: 0", "dropout: !!python/name:os.system x", ":14 parameters.architecture.dropout", ("a value",)),
    "date": ("dropout: 0", "dropout: 2020-01-01", ":14 parameters.architecture.dropout", ("2020-01-01", "quotes")),
    "impossible date": ("dropout: 0", "dropout: 2020-13-45", "", ("well-formed",)),
    "huge number": ("dropout: 0", "dropout: 0x" + "f" * 6000, ":14 parameters.architecture.dropout", ("64 bits",)),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_rejects(what: str, tmp_path: Path) -> None:
    old, new, where, parts = REFUSED[what]
    assert old in GOOD
    error = refusal(tmp_path, GOOD.replace(old, new, 1))
    assert error.where.endswith(where), error.where
    assert all(part in f"{error.message}\n{error.hint}" for part in parts), str(error)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("", "a file must hold a mapping, but got nothing"),
        ("# only a comment\n", "a file must hold a mapping, but got nothing"),
        ("- a\n- b\n", "a file must hold a mapping, but got list ['a', 'b']"),
        ("text", "a file must hold a mapping, but got str 'text'"),
        (b"\x80\x81\xff", "a file must be YAML text in UTF-8"),
        (b"\x00\x01\x02", "a file must be YAML text"),
        (b"PK\x03\x04" + bytes(range(256)), "a file must be YAML text"),
        ("[" * 999, "YAML must be well-formed"),
        ("- " * 3000, "YAML must be well-formed"),
        ("{" * 3000, "at most 1,000 brackets and braces, but got 3,000"),
        ("a: &x [" + "1," * 200 + "]\nb: &y [" + "*x," * 100 + "]\nc: [" + "*y," * 99 + "]", "10,000 values"),
        ("a: &a [*a]", "but got"),
        ("a: " + "x" * 200_001, "at most 200,000 bytes"),
    ],
)
def test_it_rejects_what_is_not_a_document(content: str | bytes, rule: str, tmp_path: Path) -> None:
    assert rule in refusal(tmp_path, content).message


def test_it_rejects_what_is_not_a_file(tmp_path: Path) -> None:
    for path, rule in [(tmp_path, "got a folder"), (tmp_path / "no.yaml", "No such file"), ("a\x00b", "null")]:
        with pytest.raises(InputError, match=rule) as caught:
            read_spec(Document.read(path), lambda _: CATALOG)
        assert caught.value.where == str(path)
        assert caught.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_it_rejects_what_it_may_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        read_spec(Document.read(path), lambda _: CATALOG)


@given(st.one_of(st.binary(max_size=60), st.text("ab:-[]{}!&*#'\"|>%@?,\n\t 01.", max_size=40).map(str.encode)))
@settings(max_examples=300, deadline=None)
def test_no_bytes_are_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), content)
    with pytest.raises(InputError):
        read_spec(Document.read(path), lambda _: CATALOG)


def test_overrides(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD, {
        "name": "other", "budget.trials": 9, "budget.time": "1h30m", "search.start_from": ["best"],
        "parameters": {"training.rate": 0.5, "architecture.layers": "2", "data.flip": "true"},
    })  # fmt: skip
    assert (spec.name, spec.budget.trials, spec.budget.time, spec.search.start_from) == ("other", 9, 5400, ("best",))
    assert spec.space.fixed == {"dropout": 0.0, "epochs": 3, "rate": 0.5, "layers": 2, "flip": True}
    assert set(spec.space.searched) == {"filters", "optimizer", "momentum"}
    assert "flip" not in spec.space.when


@pytest.mark.parametrize(
    ("overrides", "where", "part"),
    [
        ({"budget.trials": 0}, "override budget.trials", "greater than or equal to 1, but got 0"),
        ({"budget.trails": 1}, "override budget.trails", "did you mean `trials`"),
        ({"bugdet.trials": 1}, "override bugdet", "did you mean `budget`"),
        ({"budget": 3}, "override budget", "must be a mapping, but got 3"),
        ({"parameters": {"training.raet": "1"}}, "override parameters.training.raet", "did you mean `rate`"),
        ({"parameters": {"data.rate": "1"}}, "override parameters.data.rate", "training.rate"),
        ({"parameters": {"training.rate": "fast"}}, "override parameters.training.rate", "'fast'"),
        ({"parameters": {"training.rate": 11}}, "override parameters.training.rate", "nearest valid value is 10"),
        ({"parameters": {"filters": "512", "layers": 3}}, ":22 constraints.0", "it reads filters: 512; layers: 3"),
    ],
)
def test_rejected_overrides_are_named_as_such(overrides: dict[str, Any], where: str, part: str, tmp_path: Path) -> None:
    error = refusal(tmp_path, GOOD, overrides)
    assert error.where.endswith(where)
    assert part in str(error)


def test_epochs_follow_the_budget(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD, {"budget.epochs": 7})
    assert spec.space.unsearched["epochs"] == 7
    again = read_spec(Document.read(write(tmp_path, spec.to_yaml())), lambda _: CATALOG, {"budget.epochs": 5})
    assert again.space.unsearched["epochs"] == 5
    fixed = read(tmp_path, GOOD.replace("  data:", "    epochs: 2\n  data:"))
    assert fixed.space.unsearched["epochs"] == 2
    assert fixed.to_dict()["parameters"]["training"]["epochs"] == 2


def test_a_float_may_be_searched_as_numbers(tmp_path: Path) -> None:
    as_choices = read(tmp_path, GOOD.replace("dropout: 0", "dropout: {type: categorical, choices: [0, 0.5]}"))
    domain = as_choices.space.searched["dropout"]
    assert isinstance(domain, Categorical)
    assert [type(c) for c in domain.choices] == [float, float]
    as_int = read(tmp_path, GOOD.replace("low: 1e-4, high: 1, log: true", "low: 1, high: 3").replace(
        "rate: {type: float", "rate: {type: int"))  # fmt: skip
    assert as_int.space.searched["rate"] == Int(1, 3)


def test_the_condition_of_the_catalog_stays(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD.replace("high: 0.9}", "high: 0.9, when: null}"))
    assert spec.space.when["momentum"].text == "optimizer == 'sgd'"


def test_round_trip(tmp_path: Path) -> None:
    spec = read(tmp_path, GOOD)
    assert Spec.from_dict(spec.to_dict(), "here", CATALOG) == spec
    assert read_spec(Document.read(write(tmp_path, spec.to_yaml())), lambda _: CATALOG) == spec


def test_sha256_depends_on_the_meaning(tmp_path: Path) -> None:
    one = read(tmp_path, GOOD)
    spelled_out = GOOD.replace("search: {}", "search: {seed: 0, sampler: auto} # the default")
    assert re.fullmatch("[0-9a-f]{64}", one.sha256())
    assert read(tmp_path, spelled_out).sha256() == one.sha256()
    assert read(tmp_path, GOOD, {"search.seed": 1}).sha256() != one.sha256()
    assert read(tmp_path, GOOD.replace("<= 32", "<= 31")).sha256() != one.sha256()


ends = st.tuples(st.floats(1e-6, 10), st.floats(1e-6, 10)).map(sorted)
rates = st.one_of(
    st.floats(1e-6, 10),
    st.builds(lambda e, log: {"type": "float", "low": e[0], "high": e[1], "log": log}, ends, st.booleans()),
    st.builds(lambda c: {"type": "categorical", "choices": c}, st.lists(st.floats(1e-6, 10), min_size=1, unique=True)),
)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
DOCUMENTS = st.fixed_dictionaries(
    {
        "schema_version": st.just(1),
        "name": st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True),
        "task": words,
        "dataset": words,
        "objective": st.sampled_from([
            {"metric": "val_accuracy"}, {"metric": "val_loss"}, {"metric": "val_loss", "direction": "minimize"},
            {"mode": "health", "health_weight": 0.5}]),
        "parameters": st.fixed_dictionaries({"training": st.fixed_dictionaries({"rate": rates})}),
    },
    optional={
        "budget": st.fixed_dictionaries({}, optional={
            "trials": st.integers(1, 10**9), "epochs": st.integers(1, 1000),
            "time": st.one_of(st.none(), st.floats(1e-9, 1e9), st.sampled_from(["30m", "2h", "90s"]))}),
        "search": st.fixed_dictionaries({}, optional={
            "seed": st.integers(0, 2**32 - 1), "start_from": st.lists(words)}),
        "pruning": st.fixed_dictionaries({"level": st.sampled_from(["off", "gentle", "normal", "aggressive"])}),
        "resources": st.fixed_dictionaries({}, optional={
            "cpus": st.integers(1, 64), "gpus": st.floats(0, 1),
            "concurrent": st.one_of(st.just("auto"), st.integers(1, 99))}),
        "constraints": st.lists(st.sampled_from(["rate > 0", "layers % 2 == 0", 'optimizer != "sgd"']), unique=True),
    },
)  # fmt: skip


@given(DOCUMENTS)
@example({
    "schema_version": 1, "name": "x", "task": "\x85", "dataset": "é: 'ü' #", "objective": {"metric": "val_loss"},
    "budget": {"trials": 1},
})  # fmt: skip
@example({
    "schema_version": 1, "name": "x", "task": "?a", "dataset": "?", "objective": {"metric": "val_loss"},
    "budget": {"trials": 1}, "search": {"start_from": ["?0"]},
})  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_yaml_round_trip(tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    if not isinstance(document.get("parameters", {}).get("training", {}).get("rate"), dict):
        document = {**document, "budget": {**document.get("budget", {}), "trials": 1}}  # nothing is searched
    spec = Spec.from_dict(document, "given", CATALOG)
    assert Spec.from_dict(spec.to_dict(), "again", CATALOG) == spec
    again = read_spec(Document.read(write(tmp_path_factory.getbasetemp(), spec.to_yaml())), lambda _: CATALOG)
    assert again == spec
    assert again.sha256() == spec.sha256()
    assert again.to_dict() == spec.to_dict()


def test_from_dict_names_its_source() -> None:
    with pytest.raises(InputError) as caught:
        Spec.from_dict({"schema_version": 1, "name": "x", "tsak": 1}, "request", CATALOG)
    assert str(caught.value).startswith("request tsak: ")
    assert "did you mean `task`" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"min": 1e-4, "max": 0.1}, "write `low`"),
        ({"distribution": "log_uniform_values", "low": 1e-4}, "write `type`"),
        ({"values": [0.1, 0.2]}, "write `choices`"),
        ({"_type": "loguniform", "_value": [1e-4, 0.1]}, "write `type`"),
        ({"parameterType": "double", "feasibleSpace": {"min": "0.01", "max": "0.03"}}, "float for double"),
        ({"type": "float", "feasibleSpace": {"min": "0.01", "max": "0.03"}}, "`low` and `high`"),
        ({"type": "loguniform", "low": 1e-4, "high": 0.1}, "type: float, log: true"),
        ([0.1, 0.2], "{type: categorical, choices: [0.1, 0.2]}"),
    ],
)
def test_keys_of_other_tuners_get_a_hint(make_spec: Callable[..., Spec], content: object, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        make_spec(parameters={"training": {"learning_rate": content}})
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        ({"type": "float", "low": 0.1, "high": 0.1}, "`learning_rate` is searched but has only one value, 0.1"),
        ({"type": "categorical", "choices": [0.1]}, "`learning_rate` is searched but has only one choice, 0.1"),
        (
            {"type": "float", "low": 0.01, "high": 0.1, "step": 0.04},
            "`learning_rate` ends at 0.09: from 0.01 in steps of 0.04 it does not reach 0.1",
        ),
    ],
)
def test_suspicious_domains_get_a_remark(make_spec: Callable[..., Spec], content: object, remark: str) -> None:
    spec = make_spec(parameters={"training": {"learning_rate": content}}, constraints=[])
    assert spec.space.remarks == (remark,)


def test_our_tasks_train_on_several_devices(make_spec: Callable[..., Spec]) -> None:
    assert make_spec(resources={"devices": 3}).resources.devices == 3
    assert make_spec(resources={"devices": 2, "gpus": 1}).resources.gpus == 1


@pytest.mark.parametrize("gpus", [0.5, 2])
def test_each_of_several_devices_is_one_whole_gpu(make_spec: Callable[..., Spec], gpus: float) -> None:
    with pytest.raises(InputError, match=f"`gpus` must be 0 or 1 .* but got {gpus}") as caught:
        make_spec(resources={"devices": 2, "gpus": gpus})
    assert caught.value.where == "small space resources.gpus"
