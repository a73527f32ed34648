"""Tasks by name: ours, a user's own class from the current folder, and every way this can go wrong."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tune_app.errors import InputError
from tune_app.spaces.variable import Float, Variable
from tune_app.tasks import TASKS, load_data, load_dataset_of_kind, load_task
from tune_app.tasks.catalog_process import read_catalog
from tune_app.tasks.contract import PARTS, contract_faults
from tune_app.tasks.split import split_rows
from tune_app.training.trial import Training

LINE = """
import numpy as np
import torch
from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import Float, Variable

class LineState:
    def __init__(self, config):
        self.model = torch.nn.Linear(1, 1)
        self.rate = config["rate"]
    def state_dict(self):
        return {"model": self.model.state_dict()}
    def load_state_dict(self, saved):
        self.model.load_state_dict(saved["model"])

class Line:
    data_kind = "line"
    variables = (Variable("rate", "training", Float(0, 1), 0.1, "Learning rate."),)
    constraints = ()
    metrics = {"loss": "minimize"}
    def load_data(self, dataset):
        return Dataset(dataset, "line", {"x": np.ones((4, 1), dtype=np.float32)}, {})
    def start(self, config, data, *, epochs, seed, device):
        return LineState(config)
    def train_epoch(self, state, epoch, progress):
        with torch.no_grad():
            state.model.bias -= state.rate * state.model.bias
        return {"loss": float(state.model.bias.detach() ** 2)}
    def evaluate(self, state, arrays):
        return {"loss": float(state.model.bias.detach() ** 2)}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder as the current one; modules imported from it are removed afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("name", TASKS)
def test_our_tasks_follow_the_contract(name: str) -> None:
    task = load_task(name)
    assert contract_faults(task) == []
    assert f"{type(task).__module__}:{type(task).__qualname__}" == TASKS[name]
    assert type(load_task(TASKS[name])) is type(task)


def test_listing_task_names_does_not_import_torch() -> None:
    code = "import sys, tune_app.tasks; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_users_class_trains(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "line.py").write_text(LINE)
    task = load_task("mine.line:Line")
    training = Training(task, {"rate": 0.5}, task.load_data("any"), epochs=2, seed=0)
    first, second = training.run_epoch(), training.run_epoch()
    assert second.metrics["loss"] == pytest.approx(first.metrics["loss"] / 4)
    assert task.evaluate(training.state, {}) == second.metrics


@pytest.mark.parametrize("name", ["image_cmn", "image_cnn:", ":ImageCNN", ""])
def test_unknown_name(name: str) -> None:
    with pytest.raises(InputError, match="must be one of our tasks, your own") as caught:
        load_task(name)
    assert "image_cnn" in caught.value.hint


def test_no_such_module(folder: Path) -> None:
    with pytest.raises(InputError, match="there is no module `nowhere`") as caught:
        load_task("nowhere.deep:Line")
    assert str(folder) in caught.value.hint
    (folder / "mine").mkdir()
    with pytest.raises(InputError, match=r"there is no module `mine\.line`"):
        load_task("mine.line:Line")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy\nimport absent_library\n", "No module named 'absent_library'"),
        ("def f(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_module_that_fails(folder: Path, text: str, expected: str) -> None:
    (folder / "failing.py").write_text(text)
    with pytest.raises(InputError, match="importing `failing` failed") as caught:
        load_task("failing:Line")
    assert expected in caught.value.message
    assert "failing.py" in caught.value.message


def test_no_such_class(folder: Path) -> None:
    (folder / "other.py").write_text(LINE)
    with pytest.raises(InputError, match="`other` has no class and no function `Lime`") as caught:
        load_task("other:Lime")
    assert "did you mean `Line`?" in caught.value.hint
    assert str(folder / "other.py") in caught.value.hint
    assert "Dataset" not in caught.value.hint  # only imported there, not defined


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "import argparse\nargparse.ArgumentParser().parse_args(['run', 'x.yaml'])\n",
            "it reads the command-line arguments (",  # without listing them: a server's are none of a client's business
        ),
        (
            "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--data', required=True)\n"
            "parser.parse_args([])\n",
            "it reads the command-line arguments: the following arguments are required: --data",
        ),
        ("import sys\nsys.exit('no license')\n", "sys.exit('no license')"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("import asyncio\nraise asyncio.CancelledError('late')\n", "CancelledError: late"),
    ],
)
def test_the_hint_for_a_module_that_would_end_the_process_is_a_main_guard(
    folder: Path, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "ending.py").write_text(text)
    with pytest.raises(InputError, match="importing `ending` failed") as caught:
        load_task("ending:Line")
    assert expected in caught.value.message
    assert "__main__" in caught.value.hint
    assert capsys.readouterr().err == "", "argparse prints nothing on its own"


@pytest.mark.parametrize("part", ["__init__", "load_data"])
def test_a_class_that_would_end_the_process(folder: Path, part: str) -> None:
    (folder / "quitter.py").write_text(LINE + f"    def {part}(self, *given):\n        raise SystemExit(3)\n")
    with pytest.raises(InputError, match=r"sys\.exit\(3\)"):
        load_data(load_task("quitter:Line"), "any")


def test_a_keyboard_interrupt_is_passed_on(folder: Path) -> None:
    (folder / "slow.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n")
    with pytest.raises(KeyboardInterrupt):
        load_task("slow:Line")


def test_a_file_in_the_folder_does_not_hide_a_standard_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cgitb.py").write_text("raise ValueError('this is no module of Python')")
    (folder / "plain.py").write_text("import cgitb\n" + LINE)
    monkeypatch.syspath_prepend(str(folder))  # as `python -m` and Ray do
    with warnings.catch_warnings(action="ignore"):
        load_task("plain:Line")
    assert sys.path[-1] == str(folder)


def test_a_standard_module_that_hides_the_users_file_is_named(folder: Path) -> None:
    (folder / "calendar.py").write_text(LINE)
    with pytest.raises(InputError, match="`calendar` has no class and no function `Line`") as caught:
        load_task("calendar:Line")
    assert str(folder / "calendar.py") in caught.value.hint
    assert "is hidden by" in caught.value.hint


def test_class_that_needs_arguments(folder: Path) -> None:
    (folder / "needy.py").write_text(LINE + "    def __init__(self, size):\n        pass\n")
    with pytest.raises(InputError, match=r"`Line\(\)` must work without arguments.*size"):
        load_task("needy:Line")


def test_every_missing_part_is_named(folder: Path) -> None:
    (folder / "empty.py").write_text("class Nothing:\n    pass\n")
    with pytest.raises(InputError, match="must follow the contract") as caught:
        load_task("empty:Nothing")
    for part in PARTS:
        assert f"`{part}`" in caught.value.message


RATE = Variable("rate", "training", Float(0, 1), 0.1, "Learning rate.")


@pytest.mark.parametrize(
    ("part", "value", "expected"),
    [
        ("data_kind", 3, "`data_kind` must be a string"),
        ("variables", [RATE], "`variables` must be a tuple"),
        ("variables", ("rate",), "`variables` must be a tuple of Variable"),
        ("variables", (RATE, RATE), "has rate more than once"),
        ("constraints", "rate < 1", "`constraints` must be a tuple"),
        ("variables", (), "must have at least one"),
        ("constraints", ("filtres <= 3",), "reads `filtres`, which is not a variable; did you mean `filters`?"),
        ("constraints", ("filters <",), "'filters <': an expression must be well-formed"),
        ("prepared_by", ("filters",), "there is only `prepared_by`"),
        ("prepare", lambda self, config, data: data, "there is only `prepare`"),
        ("metrics", {}, "at least one"),
        ("metrics", {"loss": "down"}, "'loss' is 'down'"),
        ("train_epoch", 5, "`train_epoch` must be a method"),
    ],
)
def test_malformed_part(part: str, value: object, expected: str) -> None:
    task = type("Changed", (type(load_task("image_cnn")),), {part: value})()
    (fault,) = contract_faults(task)
    assert expected in fault


@pytest.mark.parametrize(
    ("prepared_by", "expected"),
    [
        (("vocabulary",), "names `vocabulary`, which is not a variable; did you mean `vocabulary_size`?"),
        ("vocabulary_size", "must be a tuple of names of variables"),
    ],
)
def test_malformed_preparation(prepared_by: object, expected: str) -> None:
    task = type("Changed", (type(load_task("text_lstm")),), {"prepared_by": prepared_by})()
    (fault,) = contract_faults(task)
    assert expected in fault


def test_a_condition_that_reads_an_unknown_variable() -> None:
    stray = Variable("stray", "training", Float(0, 1), 0.1, "Not used.", when="rates > 1")
    cnn = type(load_task("image_cnn"))
    (fault,) = contract_faults(type("Changed", (cnn,), {"variables": (*cnn.variables, stray)})())
    assert "`when` of `stray` reads `rates`, which is not a variable" in fault


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"training", Float(0, 1), 0.1', '"model", Float(0, 1), 0.1', "the group of `rate` must be architecture"),
        ("Float(0, 1), 0.1", "Float(0, 1), 2.0", "the default of `rate` must be a number from 0 to 1, but got 2.0"),
        (
            "Float(0, 1), 0.1",
            "(0, 1), 0.1",
            r"the domain of `rate` must be Float, Int or Categorical, but got \(0, 1\)",
        ),
        ('"rate", "training"', '"learning rate", "training"', "a variable's name must be a word"),
    ],
)
def test_malformed_variable(folder: Path, old: str, new: str, expected: str) -> None:
    (folder / "odd.py").write_text(LINE.replace(old, new))
    with pytest.raises(InputError, match=expected) as caught:
        load_task("odd:Line")
    assert f"odd.py:{LINE[: LINE.index('variables =')].count(chr(10)) + 1}" in caught.value.message


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ('open("absent.csv")', r"`load_data` failed: FileNotFoundError.*absent\.csv.*own\.py:\d+\)"),
        ('{}["a"]', r"`load_data` failed: KeyError: 'a' \(.*own\.py:\d+\)"),
        ("None", "it must return a Dataset, but returned a NoneType"),
        ('{"train": 1}', "it must return a Dataset, but returned a dict"),
        ('Dataset("a", "line", {"x": np.ones(4)}, None)', r"`test` must map names to arrays, but is a NoneType"),
        (
            'Dataset("a", "line", {"x": torch.ones(4)}, {})',
            r"`train\['x'\]` must be a NumPy array, but is a torch\.Tensor",
        ),
        ('Dataset("a", "line", {"x": np.array([1, None])}, {})', r"`train\['x'\]` has objects, which must be strings"),
    ],
)
def test_invalid_data_of_a_users_class(folder: Path, returned: str, expected: str) -> None:
    given = 'Dataset(dataset, "line", {"x": np.ones((4, 1), dtype=np.float32)}, {})'
    (folder / "own.py").write_text(LINE.replace(given, returned))
    with pytest.raises(InputError, match=expected) as caught:
        load_data(load_task("own:Line"), "any")
    assert caught.value.where == "task own:Line"
    assert len(str(caught.value).splitlines()) <= 2


def test_data_is_always_read_only(folder: Path) -> None:
    (folder / "reading.py").write_text(LINE)
    arrays = load_data(load_task("reading:Line"), "any").train
    with pytest.raises(ValueError, match="read-only"):
        arrays["x"][:] = 0


def test_data_set_of_another_kind() -> None:
    with pytest.raises(InputError, match="`image`, but `tinyshakespeare` is of kind `text`") as caught:
        load_task("image_cnn").load_data("tinyshakespeare")  # raised before anything is downloaded
    assert "use the task small_gpt" in caught.value.hint
    assert load_dataset_of_kind("python_reference", "text").name == "python_reference"


def test_rows_of_one_source_stay_on_one_side() -> None:
    groups = [number // 5 for number in range(100)]
    for fraction in (0.01, 0.2, 0.5, 0.9):
        training, validation = split_rows(100, validation_fraction=fraction, training_fraction=1.0, groups=groups)
        sides = [{groups[row] for row in part.tolist()} for part in (training, validation)]
        assert not sides[0] & sides[1]
        assert len(training) + len(validation) == 100
        assert 100 * fraction <= len(validation) <= 100 * fraction + 5 or fraction == 0.9
    assert len(split_rows(100, validation_fraction=0.9, training_fraction=1.0, groups=groups)[0]) >= 2


def test_large_sources_are_picked_for_validation_no_more_often_than_small_ones() -> None:
    sizes = [40, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    taken = []
    for first in range(len(sizes)):  # the large source at each position
        rotated = sizes[first:] + sizes[:first]
        groups = [group for group, size in enumerate(rotated) for _ in range(size)]
        _, validation = split_rows(len(groups), validation_fraction=0.2, training_fraction=1.0, groups=groups)
        taken.append(len(validation) >= 40)
    assert sum(taken) <= 3


def test_every_class_is_in_the_validation_set() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 30, 60)
    groups = np.repeat(np.arange(60), sizes)
    labels = np.repeat(np.arange(60) % 6, sizes)  # ten sources each
    before: set[int] = set()
    for fraction in (0.05, 0.2, 0.5):
        training, validation = split_rows(
            len(groups), validation_fraction=fraction, training_fraction=1.0, groups=groups, labels=labels
        )
        shares = np.bincount(labels[validation.numpy()]) / np.bincount(labels)
        assert shares.shape == (6,)
        largest = [sizes[label::6].max() / sizes[label::6].sum() for label in range(6)]
        assert (abs(shares - fraction) <= largest).all(), "as close as whole sources allow"
        assert not set(groups[validation.numpy()]) & set(groups[training.numpy()])
        assert before <= set(validation.tolist()), "a smaller validation set is a subset of a larger one"
        before = set(validation.tolist())


@pytest.mark.parametrize("groups", [[0] * 20, [0] * 19 + [1], None])
def test_a_split_with_too_few_sources_to_separate(groups: list[int] | None) -> None:
    training, validation = split_rows(20, validation_fraction=0.2, training_fraction=1.0, groups=groups)
    assert len(training) >= 2
    assert len(validation) >= 1
    assert sorted([*training.tolist(), *validation.tolist()]) == list(range(20))


def test_one_source_per_row_gives_the_plain_split() -> None:
    plain = split_rows(50, validation_fraction=0.2, training_fraction=0.5)
    grouped = split_rows(50, validation_fraction=0.2, training_fraction=0.5, groups=list(range(50)))
    assert [part.tolist() for part in plain] == [part.tolist() for part in grouped]


def test_our_processes_import_modules_like_the_sweep(folder: Path) -> None:
    """A user's file named like a standard module that torch imports is not imported in its place."""
    (folder / "profile.py").write_text("NAME = 'my speakers'\n")
    (folder / "mine.py").write_text("import os\nos.system('echo what a child prints')\n" + LINE)
    assert read_catalog("mine:Line").metrics
