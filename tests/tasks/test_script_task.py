"""A script as a task: its parts, its errors, and how its training ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tune_app.datasets.dataset import Dataset
from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.profiles.profile import Profile
from tune_app.profiles.profile_document import read_document
from tune_app.profiles.profiles import differences
from tune_app.tasks import load_task
from tune_app.tasks.catalogs import catalog_of, load_catalog
from tune_app.tasks.script_failure import ScriptError
from tune_app.training.failure import Diverged, describe_error, failure_kind


def test_named_choices_and_dotted_names_are_passed_as_their_values(script: Any, script_catalog: Any) -> None:
    sizes = {"type": "categorical", "choices": {"small": [64], "wide": [64, 32]}}
    text = "import os"
    training = script(text)
    task = load_task("script", script_catalog(parameters={"architecture": {"model.sizes": sizes}}))
    state = task.start(
        {"model.sizes": "wide"}, Dataset("none", "none", {}, {}), epochs=1, seed=1, device=torch.device("cpu")
    )
    told: list[bytes] = []
    state.on_output = told.append  # type: ignore[attr-defined]
    with pytest.raises(ScriptError):
        task.train_epoch(state, 1, lambda fraction: None)
    state.close()  # type: ignore[attr-defined]
    assert b"'--model.sizes=[64, 32]'" in told[0]
    training.close()


@pytest.mark.parametrize(
    ("text", "message", "kind"),
    [
        ("sys.exit('no such\\nfile')", "ended with exit code 1: hello | no such | file", "error"),
        ("raise MemoryError", "MemoryError", "oom"),
        ("raise RuntimeError('CUDA out of memory. Tried')", "out of memory", "oom"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal 9", "error"),
        ("print('loss: 3')", "must report 4 epochs, but ended after 0; `stdout: step", "error"),
        ("print('loss: 3')", "the last lines were: loss: 3", "error"),
        (
            "import logging; logging.warning('step 20: val loss 1')",
            "is not read: hello | WARNING:root:step",
            "error",
        ),
        ("print('step 20: val loss 1')", "must report 4 epochs, but ended after 1", "error"),
        ("print('step 20: val loss tiny')", "`val_loss` must be a number, but got 'tiny' in the line", "error"),
        ("print('step 60: val loss 1')", "reports step 60 where step 20 was due; `every: 20` sets", "error"),
        ("print('step 20: val loss nan')", "a metric must be finite", "diverged"),
    ],
)
def test_errors_of_a_script_are_described(script: Any, text: str, message: str, kind: str) -> None:
    training = script(text)
    with pytest.raises((ScriptError, Diverged)) as told:
        script.losses(training)
    assert message in describe_error(told.value)
    assert failure_kind(told.value) == kind


def test_a_script_may_save_after_its_last_report_in_a_training(script: Any, tmp_path: Path) -> None:
    training = script(script.TRAINING + "time.sleep(0.5); (given.out / 'model').write_text('whole')")
    training.state.write_to(tmp_path / "kept")
    script.losses(training)
    assert training.task.finish(training.state) == {}
    training.close()
    assert (tmp_path / "kept" / "model").read_text() == "whole"
    assert not training.state.restorable


def test_a_script_that_fails_after_its_last_report_fails_the_training(script: Any) -> None:
    training = script(script.TRAINING + "sys.exit(3)")
    script.losses(training)
    with pytest.raises(ScriptError, match="exit code 3"):
        training.task.finish(training.state)


def test_a_profile_holds_the_script(script_catalog: Any) -> None:
    found = script_catalog()
    profile = Profile("best", found, "none", {"lr": 0.5}, (), {})
    written = Document.parse(profile.to_yaml(), "best.yaml")
    assert read_document(written, load_catalog).catalog == found
    assert catalog_of(load_task("script", found), "script") == found
    bare = Document.of({key: value for key, value in profile.to_dict().items() if key != "catalog"}, "best.yaml")
    with pytest.raises(InputError, match="the profile of a script must have its `catalog` with its command"):
        read_document(bare, load_catalog)


def test_profiles_of_two_commands_differ(script_catalog: Any) -> None:
    one, other = (
        Profile("best", script_catalog(command=f"python {name} --out={{trial_folder}}"), "none", {"lr": 0.5})
        for name in ("a.py", "b.py")
    )
    assert differences(one, one) == {}
    assert differences(one, other)["command"] == (
        "python a.py '--out={trial_folder}'",
        "python b.py '--out={trial_folder}'",
    )


def test_a_script_without_a_command_is_rejected() -> None:
    with pytest.raises(InputError, match="the task `script` must have its `command`"):
        load_task("script")
