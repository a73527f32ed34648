"""The notebook, run from its first cell to its last on a real store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tune_app.store.study import Study

ROOT = Path(__file__).parents[2]
MakeStudy = Callable[..., Study]


def shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything that the notebook shows of the store in `folder`."""
    monkeypatch.setenv("TUNE_APP_STORE", str(folder))
    monkeypatch.delenv("TUNE_APP_STUDY", raising=False)
    notebook = nbformat.read(ROOT / "notebooks" / "analysis.ipynb", as_version=4)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(o.get("text") or o.get("data", {}).get("text/plain", "")) for o in outputs)


# The kernel's sockets are closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_answers_its_questions(make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ("COMPLETED", "PRUNED", "COMPLETED", "FAILED", "COMPLETED", "COMPLETED")
    make_study(tmp_path, ends=ends)
    text = shown(tmp_path, monkeypatch)
    assert "digits-small: image_cnn on digits, 6 trials" in text
    assert "trial 0: val_accuracy 0.9 after 2 epochs" in text
    assert "share saved" in text
    assert "ValueError: no [/bracket] fits" in text
    assert "learning_rate" in text


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_runs_on_a_study_of_two_trials(
    make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(tmp_path, ends=("COMPLETED", "PRUNED"))
    assert "importances of 5 variables need 15 completed trials, but the study has 1" in shown(tmp_path, monkeypatch)


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "analysis.ipynb", as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
