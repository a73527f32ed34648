"""The keys of a search space that describe a script."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.placeholders import filled, literal
from tune_app.spaces.script_report import ScriptReport
from tune_app.spaces.spec import Spec
from tune_app.tasks.spec_file import read_spec

STDOUT = r"step (?P<step>\d+): .* val loss (?P<val_loss>\S+)"
SPACE: dict[str, Any] = {
    "schema_version": 1,
    "name": "mine",
    "task": "script",
    "command": ["python", "train.py", "--out={trial_folder}"],
    "report": {"stdout": STDOUT, "every": 20, "skip": [0]},
    "metrics": {"val_loss": "minimize"},
    "resume": ["--init_from=resume"],
    "seed": "--seed {seed}",
    "parameters": {"training": {"lr": {"type": "float", "low": 0.0, "high": 1.0}, "batch": 8, "flip": True}},
}


def script_spec(**sections: Any) -> Spec:
    return read_spec(Document.of({**SPACE, **sections}, "space"))


def test_a_script_is_read_and_written() -> None:
    spec = script_spec()
    script = spec.catalog.script
    assert script is not None
    assert script.report == ScriptReport("stdout", STDOUT, 20, (0,))
    assert read_spec(Document.of(spec.to_dict(), "written")) == spec
    assert read_spec(Document.parse(spec.to_yaml(), "written")) == spec
    assert Catalog.from_dict(spec.catalog.to_dict()) == spec.catalog
    assert spec.dataset == "none"


def test_its_command_line_has_each_variable_the_seed_and_the_folder() -> None:
    script = script_spec(arguments={"batch": "-b {value}"}).catalog.script
    assert script is not None
    config = {"lr": 1e-05, "batch": 8, "flip": True}
    fresh = ["python", "train.py", "--out=/tmp/t 1", "--lr=1e-05", "-b", "8", "--flip=True", "--seed", "7"]
    assert script.command_line(config, "/tmp/t 1", 7) == fresh
    assert script.command_line(config, "/tmp/t 1", 7, resumed=True) == [*fresh, "--init_from=resume"]


def test_a_command_may_use_shell_syntax_and_a_single_template() -> None:
    script = script_spec(command="python 'my train.py'", arguments="{name}={value}", seed=None).catalog.script
    assert script is not None
    words = script.command_line({"lr": 0.5, "batch": 8, "flip": False}, "folder", 7)
    assert words == ["python", "my train.py", "lr=0.5", "batch=8", "flip=False"]


def test_braces_in_a_value_and_doubled_braces_are_not_placeholders() -> None:
    command = ["python", "{{trial_folder}}", '{"a": {"b": 1}}', "{trial_folder}"]
    script = script_spec(command=command, arguments='{name} {{value}}:{value} "{{name}}"', seed=None).catalog.script
    assert script is not None
    words = script.command_line({"lr": "{trial_folder}{{name}}{seed}"}, "folder", 7)
    start = ["python", "{trial_folder}", '{"a": {"b": 1}}', "folder"]
    assert words == [*start, "lr", "{value}:{trial_folder}{{name}}{seed}", "{name}"]


@given(st.text("{}a_ ", max_size=12))
@example("{{word}} {word} {{{word}}} {{word}")
@settings(deadline=None)
def test_a_literal_is_unchanged_whatever_its_braces(text: str) -> None:
    assert filled(literal(text), word=1, a=2, aa=3) == text


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([64, None, True, "é"], '--x=[64, null, true, "é"]'),
        ({"a": 1}, '--x={"a": 1}'),
        (None, "--x=null"),
        (True, "--x=True"),
        (1e-05, "--x=1e-05"),
        ("a b", "--x=a b"),
    ],
)
def test_a_value_that_is_not_plain_is_passed_as_json(value: Any, word: str) -> None:
    script = script_spec(seed=None).catalog.script
    assert script is not None
    assert script.command_line({"x": value}, "folder", 7)[-1] == word


@pytest.mark.parametrize(
    ("sections", "rule", "where"),
    [
        ({"command": None}, "must start the script, but it is empty", "command"),
        ({"command": "python 'train.py"}, "the command must be valid shell words, but No closing quotation", "command"),
        ({"command": {"python": "train.py"}}, "must be a list of words", "command"),
        ({"command": ["python", "--out={folder}"]}, "a placeholder must be one of those below, but got `{folder}`", ""),
        ({"arguments": "--x={value}"}, "`{name}` is required in it", "arguments"),
        ({"arguments": {"rate": "-r {value}"}}, "a name must be a variable, but got `rate`", "arguments.rate"),
        ({"arguments": {"lr": "-r"}}, "`{value}` is required in it, but got '-r'", "arguments.lr"),
        ({"arguments": {"lr": 3}}, "an argument must be a string, but got 3", "arguments.lr"),
        ({"seed": 3}, "`seed` must be the script's argument, but got 3", "seed"),
        ({"seed": "--seed"}, "`{seed}` is required in it", "seed"),
        ({"report": None}, "must have one of stdout, jsonl, tensorboard, but got none", "report"),
        ({"report": {"stdout": "(?P<val_loss>.)", "jsonl": "m"}}, "but got stdout and jsonl", "report"),
        ({"report": {"stdin": "x"}}, "a key must be one of those below, but got `stdin`", "report.stdin"),
        ({"report": {"stdout": "("}}, "must be a regular expression, but missing", "report.stdout"),
        ({"report": {"stdout": "(?P<step>.)"}}, "a group for each metric, but has none for `val_loss`", "stdout"),
        ({"report": {"stdout": "(?P<val_loss>.)(?P<los>.)"}}, "a group must be a metric or `step`, but got `los`", ""),
        ({"report": {"stdout": "(?P<val_loss>.)", "every": 2}}, "`every` and `skip` need a group", "stdout"),
        ({"report": {"stdout": "(?P<val_loss>.)"}}, "a resumable script must report its step", "report"),
        ({"report": {"stdout": STDOUT, "every": 0}}, "`every` must be a whole number of at least 1", "every"),
        ({"report": {"stdout": STDOUT, "skip": 0}}, "`skip` must be a list of steps, but got 0", "skip"),
        ({"report": {"tensorboard": {"trial_folder": None}}}, "`tensorboard` must be a string", "tensorboard"),
        ({"report": {"jsonl": "{folder}/m.jsonl"}}, "a placeholder must be one of those below", "jsonl"),
        ({"report": {"jsonl": "m.jsonl"}}, "`{trial_folder}` is required in it, but got 'm.jsonl'", "report.jsonl"),
        ({"report": {"tensorboard": "runs"}}, "`{trial_folder}` is required in it, but got 'runs'", "tensorboard"),
        ({"resources": {"devices": 2}}, "`devices` must be 1", "resources.devices"),
        ({"metrics": None}, "must list what `script` reports", "metrics"),
        ({"flat": True}, "`flat` belongs to a function, but `script` is a script", "flat"),
    ],
)
def test_errors_in_the_keys_of_a_script(sections: dict[str, Any], rule: str, where: str) -> None:
    with pytest.raises(InputError) as told:
        script_spec(**sections)
    assert rule in told.value.message
    assert told.value.where.endswith(where)


def test_other_tasks_reject_the_keys_of_a_script(make_spec: Any) -> None:
    with pytest.raises(InputError, match="`command` belongs to a script, but `image_cnn` is a class"):
        make_spec(command="python train.py")


def test_the_error_about_a_shared_report_says_how_to_pass_the_trial_folder() -> None:
    with pytest.raises(InputError) as told:
        script_spec(report={"jsonl": "m.jsonl"})
    assert "`command: python train.py --out_dir={trial_folder}`" in told.value.hint
