"""The client and its command: the answers of a separate process, and errors that keep their type."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tune_app.errors import Conflict, InputError, Interrupted, NotFound, TuneAppError, WorkFailed
from tune_app.results.network import client
from tune_app.results.network.command import main
from tune_app.results.network.protocol import read_error, written_error
from tune_app.store.study import Study
from tune_app.training.trial import Training

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def place(trained: tuple[Study, Training]) -> tuple[str, str]:
    """The store and the name of the study."""
    return trained[0].folder.url, trained[0].name


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process and return its exit code and output."""

    def run(verb: str, *arguments: str) -> tuple[int, Any]:
        threads = torch.get_num_threads()
        try:
            return main([verb, *arguments]), json.loads(capsys.readouterr().out)
        finally:
            torch.set_num_threads(threads)

    return run


def test_layers_and_their_statistics_come_from_a_process(place: tuple[str, str]) -> None:
    layers, statistics = client.read_layers(*place, 0), client.read_statistics(*place, 0)
    assert layers[0]["name"] == "normalize"
    assert {"weights", "gradient", "activations", "units", "used"} <= set(statistics[0])
    assert statistics[-1]["units"] is None, "the output layer is not judged"
    assert {layer["name"] for layer in statistics} < {layer["name"] for layer in layers}


def test_weights_and_report_are_files(place: tuple[str, str]) -> None:
    assert torch.load(io.BytesIO(client.read_weights(*place, 0)), weights_only=True)["trial"] == 0
    assert "Activation maps" in client.read_report(*place, 0)


def test_an_error_keeps_its_type(place: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no trial 77 that ended") as caught:
        client.read_layers(*place, 77)
    assert caught.value.hint == "its trials: 0 to 4"


def test_a_task_without_a_network_still_has_weights_and_a_report(sgd_study: Study, tmp_path: Path, run: Run) -> None:
    named = sgd_study.folder.url, sgd_study.name
    message = "the task `sgd_digits:SGDDigits` has no network to show: its model is not a torch.nn.Module"
    with pytest.raises(InputError) as caught:
        client.read_layers(*named, 0)
    assert caught.value.message == message
    code, error = run("statistics", *named, "0")
    assert (code, error["message"]) == (2, message)
    assert run("weights", *named, "0", str(tmp_path / "model.pt")) == (0, None)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weights"]["coef_"].shape == (10, 64)
    assert run("report", *named, "0", str(tmp_path / "report.html")) == (0, None)
    report = (tmp_path / "report.html").read_text()
    assert "Training history" in report
    assert "has no network to show" in report


def test_the_command_prints_json_and_exits_with_the_code_of_the_error(
    place: tuple[str, str], tmp_path: Path, run: Run
) -> None:
    code, layers = run("layers", *place, "0")
    assert (code, layers[0]["name"]) == (0, "normalize")
    code, error = run("layers", *place)
    assert code == 2
    assert error["message"].startswith("the training `digits-small` left no model")
    code, error = run("statistics", *place, "1")
    assert (code, set(error)) == (2, {"kind", "message", "where", "hint"})
    file = str(tmp_path / "model.pt")
    assert run("weights", *place, "0", file) == (0, None)
    code, error = run("weights", *place, "77", file)
    assert (code, error["message"]) == (2, "the study `digits-small` has no trial 77")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotFound("a", where="b", hint="c"), NotFound),
        (Conflict("a"), InputError),
        (InputError("a"), InputError),
        (WorkFailed("a", hint="c"), WorkFailed),
        (Interrupted("a"), WorkFailed),
    ],
)
def test_every_error_becomes_the_nearest_type_that_a_client_knows(error: TuneAppError, kind: type) -> None:
    read = read_error(json.loads(json.dumps(written_error(error))))
    assert type(read) is kind
    assert (read.message, read.where, read.hint) == (error.message, error.where, error.hint)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", "ended with -6: without an error message"),
        ("raise SystemError('deep inside')", "ended with 1: SystemError: deep inside"),
        ("print('no document')", "ended with 0: without an error message"),
        ("import time; time.sleep(60)", "must be read within 1 s, but it took longer"),
    ],
)
def test_a_process_that_dies_or_hangs_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport faulthandler; faulthandler.disable()\n{code}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(client, "LIMIT_S", 1 if "sleep" in code else 60)
    with pytest.raises(WorkFailed, match=said):
        client.read_layers("store", "study", 0)


def test_the_process_gets_keys_through_its_environment_but_not_the_api_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, os, sys; print(json.dumps([sys.argv[4:], dict(os.environ)]))\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("TUNE_APP_API_TOKEN", "marked-token")
    arguments, environment = client.read_layers("s3://someone:hidden@bucket", "study", 0)
    assert arguments == ["layers", "s3://bucket", "study", "0"]
    assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]) == ("someone", "hidden")
    assert "TUNE_APP_API_TOKEN" not in environment


def test_neither_the_package_nor_the_client_imports_torch() -> None:
    code = "import sys; import tune_app.results.network.client; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]
