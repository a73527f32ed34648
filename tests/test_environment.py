"""Changes to the environment of a process are only temporary."""

from __future__ import annotations

import os

import pytest

from tune_app.environment import changed_environment, restored_environment


def test_temporary_changes_are_undone_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_variables_that_other_code_sets_meanwhile_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_APP_KEPT", "former")
    monkeypatch.delenv("TUNE_APP_NEW", raising=False)
    with restored_environment("TUNE_APP_KEPT", "TUNE_APP_NEW"):
        os.environ["TUNE_APP_NEW"] = "set"
        del os.environ["TUNE_APP_KEPT"]
    assert (os.environ["TUNE_APP_KEPT"], "TUNE_APP_NEW" in os.environ) == ("former", False)
