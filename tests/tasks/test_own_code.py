"""The ported examples in docs/own_code/: they train, they can be restored, and their line counts are up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tune_app.datasets.dataset import Dataset
from tune_app.tasks import load_task
from tune_app.tasks.spec_file import load_spec
from tune_app.training.trial import Training

FOLDER = Path(__file__).parents[2] / "docs" / "own_code"
NO_DATA = Dataset("none", "none", {}, {})
NEEDS = {
    "lightning_module": ("lightning",),
    "transformers_trainer": ("transformers", "accelerate"),
    "mnist_script": ("sklearn",),
    "partial_fit": ("sklearn",),
}
EXAMPLES = sorted(path.parent.name for path in FOLDER.glob("*/train.py") if path.parent.name != "nanogpt_script")
EPOCHS = 3


def training_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for module in folder.glob("*.py"):  # each example has a `train`
        monkeypatch.delitem(sys.modules, module.stem, raising=False)
    spec = load_spec("space.yaml")
    task = load_task(spec.task, spec.catalog)
    return Training(task, spec.space.complete({}), NO_DATA, epochs=EPOCHS, seed=1, threads=1)


def rows_of(training: Training) -> list[dict[str, Any]]:
    while not training.finished:
        training.run_epoch()
    return [row.metrics for row in training.history]


@pytest.mark.filterwarnings("ignore")  # the frameworks call deprecated parts of torch
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_and_ends_with_the_same_metrics_after_a_restore(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package, reason=f"{package} is not installed: make test-frameworks")
    whole = training_in(FOLDER / name, monkeypatch)
    figures = rows_of(whole)
    finished = whole.task.finish(whole.state)  # type: ignore[attr-defined]
    whole.close()
    assert len(figures) == EPOCHS
    assert finished

    cut, again = (training_in(FOLDER / name, monkeypatch) for _ in range(2))
    cut.run_epoch()
    cut.save(tmp_path / "checkpoint.pt")
    cut.close()
    again.restore(tmp_path / "checkpoint.pt")
    assert rows_of(again) == figures
    again.close()


def test_the_line_counts_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, FOLDER / "count_lines.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
