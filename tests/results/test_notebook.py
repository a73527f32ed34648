"""The notebook, run from first to last cell on a real store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tune_app.store.study import Study

ROOT = Path(__file__).parents[2]
FIGURE = "application/vnd.plotly.v1+json"
MakeStudy = Callable[..., Study]


def shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything that the notebook shows about the store in `folder`."""
    monkeypatch.setenv("TUNE_APP_STORE", str(folder))
    monkeypatch.delenv("TUNE_APP_STUDY", raising=False)
    notebook = nbformat.read(ROOT / "notebooks" / "analysis.ipynb", as_version=4)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(o.get("text") or _text(o.get("data", {}))) for o in outputs)


def _text(data: dict[str, Any]) -> str:
    return str(data.get("text/markdown") or data.get("text/plain", ""))


# The garbage collector closes the kernel's sockets.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_answers_its_questions(make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ("COMPLETED", "PRUNED", "COMPLETED", "FAILED", "COMPLETED", "COMPLETED")
    make_study(tmp_path, ends=ends)
    text = shown(tmp_path, monkeypatch)
    assert "**digits-small** trained image_cnn on digits: 6 trials (4 completed, 1 pruned, 1 failed)" in text
    assert "**Trial 0 won with val_accuracy 0.9** after 2 epochs" in text
    assert "It was the first trial to complete" in text
    assert "Pruning stopped 1 trial and saved **10%** of the epochs" in text
    assert "1 trial failed." in text
    assert "ValueError: no [/bracket] fits" in text
    assert "learning_rate" in text


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_runs_on_a_study_of_two_trials(
    make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(tmp_path, ends=("COMPLETED", "PRUNED"))
    assert "importances of 5 variables need 15 completed trials, but the study has 1" in shown(tmp_path, monkeypatch)


def test_its_outputs_are_stored_for_readers_who_do_not_run_it() -> None:
    text = (ROOT / "notebooks" / "analysis.ipynb").read_text(encoding="utf-8")
    outputs = [output for cell in nbformat.reads(text, as_version=4).cells for output in cell.get("outputs", [])]
    figures = [output["data"] for output in outputs if FIGURE in output.get("data", {})]
    assert len(figures) >= 5
    assert all("image/png" in figure for figure in figures), "run docs/make_notebook.py"
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/(home|root|tmp|work)/", text), "a path on the author's machine"
