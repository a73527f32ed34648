"""The command `replay`: its table, its document, and what it rejects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_app.cli import main as cli_main
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

Replay = Callable[..., tuple[int, str, str]]


@pytest.fixture
def replay(
    tmp_path: Path,
    make_study: Callable[..., Study],
    make_spec: Callable[..., Spec],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Replay:
    """Run the command on a store with an unpruned study and a pruned one."""
    spec = make_spec(name="whole", budget={"trials": 8, "epochs": 5})
    make_study(tmp_path, spec, ends=["COMPLETED"] * 7 + ["FAILED"])
    make_study(tmp_path)
    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli_main.run(["replay", *arguments])
        return code, *capsys.readouterr()

    return run


def test_a_table_for_people(replay: Replay) -> None:
    code, out, err = replay("whole")
    assert (code, err) == (0, "")
    head, _, columns, *lines = out.splitlines()
    assert head.startswith("whole: 7 trials, 35 epochs; the best is trial 0 with val_accuracy 0.9.")
    assert columns.startswith("configurations  pruning     best val_accuracy  its place")
    assert [line.split()[2] for line in lines[:4]] == ["off", "gentle", "normal", "aggressive"]
    assert "100%" in lines[0]
    assert "completed" in lines[2]
    assert "left out: 1 of the study's trials" in out
    assert "nearest" not in out


def test_samplers_and_seeds(replay: Replay) -> None:
    code, out, _ = replay("whole", "--sampler", "auto", "--sampler", "random", "--pruning", "normal", "--seeds", "3")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[3:6]] == ["as", "auto", "random"]
    assert "a proposal is the nearest of the 7 recorded configurations" in out
    assert "medians of 3 replays" in out
    assert "completed in 3 of 3" in out


def test_one_document(replay: Replay) -> None:
    code, out, _ = replay("whole", "--pruning", "aggressive", "--seeds", "2", "--workers", "2", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["best"] == {"trial": 0, "objective": 0.9}
    assert (document["trials"], document["left_out"], document["workers"]) == (7, 1, 2)
    replays = document["replays"]
    assert [(run["pruning"], run["seed"]) for run in replays] == [(p, s) for p in ("off", "aggressive") for s in (0, 1)]
    assert replays[0]["sampler"] is None
    assert replays[0]["seconds"] == 10.0  # 35 epochs of half a second on two workers, one of which trains the odd trial
    assert replays[2]["epochs"] < replays[0]["epochs"] == 35
    assert replays[2]["best_state"] == "COMPLETED"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["whole", "--pruning", "agressive"], "did you mean `aggressive`?"),
        (["whole", "--sampler", "grid"], "Valid: auto, cma-es"),
        (["whole", "--seeds", "0"], "--seeds"),
        (["digits-small"], "`digits-small` pruned 1 of 5 trials"),
        (["wole"], "did you mean `whole`?"),
    ],
)
def test_mistakes_are_answered_in_two_lines(replay: Replay, arguments: list[str], said: str) -> None:
    code, out, err = replay(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 2
