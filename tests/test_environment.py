"""The environment of a process is changed for a while only."""

from __future__ import annotations

import os

import pytest

from tune_app.environment import changed_environment, restored_environment


def test_what_is_changed_for_a_while_is_as_before_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_KEPT", "former")
    monkeypatch.delenv("TUNE_APP_NEW", raising=False)
    monkeypatch.delenv("TUNE_APP_OTHER", raising=False)

    def fail() -> None:
        with changed_environment({"TUNE_APP_KEPT": "a", "TUNE_APP_NEW": "b"}):
            assert (os.environ["TUNE_APP_KEPT"], os.environ["TUNE_APP_NEW"]) == ("a", "b")
            os.environ["TUNE_APP_OTHER"] = "of another thread"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (os.environ["TUNE_APP_KEPT"], "TUNE_APP_NEW" in os.environ) == ("former", False)
    assert os.environ.pop("TUNE_APP_OTHER") == "of another thread"


def test_what_somebody_else_sets_meanwhile_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_KEPT", "former")
    monkeypatch.delenv("TUNE_APP_NEW", raising=False)
    with restored_environment("TUNE_APP_KEPT", "TUNE_APP_NEW"):
        os.environ["TUNE_APP_NEW"] = "set"
        del os.environ["TUNE_APP_KEPT"]
    assert (os.environ["TUNE_APP_KEPT"], "TUNE_APP_NEW" in os.environ) == ("former", False)
