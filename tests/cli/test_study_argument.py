"""Shell completion of study names."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from tune_app.cli.main import cli


def completed(*arguments: str, word: str) -> list[str]:
    """The completions that the shell offers for a word."""
    shell = ShellComplete(cli, {}, "tune-app", "_TUNE_APP_COMPLETE")
    return [item.value for item in shell.get_completions(list(arguments), word)]


@pytest.mark.parametrize("verb", ["show", "trials", "resume", "apply", "logs", "watch", "replay", "note", "change"])
def test_names_of_the_store_are_completed(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("digits", "digits-2", "texts"):
        (tmp_path / "studies" / name).mkdir(parents=True)
    assert completed(verb, "--store", str(tmp_path), word="dig") == ["digits", "digits-2"]
    monkeypatch.setenv("TUNE_APP_STORE", str(tmp_path))
    assert completed(verb, word="t") == ["texts"]


def test_without_a_store_nothing_is_completed(tmp_path: Path) -> None:
    assert completed("show", "--store", str(tmp_path / "none"), word="") == []
    assert completed("show", "--store", "s3://", word="") == []
