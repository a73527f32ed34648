"""Reports of a real study: the contents of the file, and that it opens offline."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tune_app.cli.main import cli
from tune_app.results import report
from tune_app.results.report import study_report, trial_report
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study
from tune_app.tasks import load_task
from tune_app.training.trial import Training

MakeStudy = Callable[..., Study]


@pytest.fixture(scope="module")
def study(make_study: MakeStudy, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of six trials, the first of which has a real checkpoint."""
    made = make_study(tmp_path_factory.mktemp("store"), ends=("COMPLETED",) * 4 + ("PRUNED", "FAILED"))
    record, task = made.history().trials[0], load_task("image_cnn")
    training = Training(task, record.config, task.load_data("digits").without_test(), epochs=2, seed=record.seed)
    while not training.finished:
        training.run_epoch()
    training.save(Path(made.folder.path(made.checkpoint(0))))
    return made


def titles(text: str) -> list[str]:
    return re.findall(r'"title":\{"text":"([^"]+)"\}', text)


def fetched(text: str) -> list[str]:
    """What the page itself would load; URLs inside plotly's own script are for its editor and maps."""
    return re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="[^"]+"', text)


def test_a_study_in_one_file(study: Study) -> None:
    text = study_report(study)
    found = " | ".join(titles(text))
    for title in (
        "Val accuracy over trials",
        "Val accuracy over epochs",
        "Val accuracy over filters",
        "Trials over time",
    ):
        assert title in found
    assert "parcoords" in text
    assert "No importances: importances of 5 variables need 15 completed trials, but the study has 4." in text
    assert "<h1>Study digits-small</h1>" in text
    assert "ValueError: no [/bracket] fits" in text
    assert fetched(text) == []


def test_contours_show_variables_that_vary_together(
    make_study: MakeStudy, tmp_path: Path, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ["optimizer", "momentum", "learning_rate", "filters"]
    monkeypatch.setattr(report, "by_association", lambda spec, trials: first)
    many = make_study(tmp_path, spec, ends=("COMPLETED",) * 10)
    contours = [title for title in titles(study_report(many)) if " over " in title and " and " in title]
    assert len(contours) == 3
    assert not [title for title in contours if "optimizer" in title and "momentum" in title], "only sgd has momentum"


def test_a_trial_in_one_file(study: Study) -> None:
    text = trial_report(study, None)
    found = titles(text)
    for title in (
        "Training history",
        "The training, epoch by epoch",
        "Confusion matrix (validation part)",
        "Gradient flow",
        "Weights and biases: convolutions.0",
        "Activation maps of image 1",
    ):
        assert title in found
    assert "<h1>Trial 0 of digits-small</h1>" in text
    for variable in study.history().trials[0].config:
        assert f"<td>{variable}</td>" in text
    assert fetched(text) == []


def test_without_a_checkpoint_the_report_says_what_is_missing(study: Study) -> None:
    text = trial_report(study, 5)
    assert "Failed (error): ValueError" in text
    assert "has no checkpoint" in text
    assert "Gradient flow" not in titles(text)


def test_a_study_in_which_nothing_completed(make_study: MakeStudy, tmp_path: Path) -> None:
    text = study_report(make_study(tmp_path, ends=("FAILED", "FAILED")))
    assert "No trial completed" in text
    assert "importances of 5 variables need 15 completed trials, but the study has 0" in text


def test_untrusted_names_and_texts_are_escaped(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def table(self: Study, kind: str, columns: Any = None) -> Any:
        read = original(self, kind, columns)
        if kind != "trials" or columns is not None:
            return read
        frame = read.to_pandas()
        frame["error"] = "<script>alert(1)</script>"
        return type(read).from_pandas(frame)

    original = Study.table
    monkeypatch.setattr(Study, "table", table)
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in study_report(study)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", *arguments])


def test_the_command_writes_the_file(study: Study, tmp_path: Path) -> None:
    done = run(study.name, "--trial", "best", "-o", str(tmp_path / "r.html"), "--store", study.folder.url)
    assert done.exit_code == 0, done.output
    assert "<h1>Trial 0 of digits-small</h1>" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["digits-small", "--trial", "77"], "has no trial 77"),
        (["digits-smal"], "there is no study `digits-smal`"),
        (["digits-small", "-o", "/nowhere/r.html"], "cannot write /nowhere/r.html"),
    ],
)
def test_invalid_arguments(study: Study, arguments: list[str], said: str) -> None:
    done = run(*arguments, "--store", study.folder.url)
    assert said in str(done.exception)
