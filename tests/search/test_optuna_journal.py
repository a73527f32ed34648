"""The journal of a study, and what happens if it cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune_app.errors import WorkFailed
from tune_app.search.optuna_journal import OptunaJournal
from tune_app.spaces.spec import Spec
from tune_app.store.study import Study

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize("content", [b"{", b"1 2\n"])
def test_an_error_in_its_thread_has_a_clear_message(
    make_study: MakeStudy, make_spec: Callable[..., Spec], tmp_path: Path, content: bytes
) -> None:
    spec = make_spec()
    record = make_study(tmp_path).history().trials[0]
    journal = OptunaJournal(tmp_path / "optuna.journal", spec.name, spec.space, spec.objective)
    (tmp_path / "optuna.journal").write_bytes(content)
    journal.add(record)
    journal.close()
    assert isinstance(journal.error, WorkFailed)
    assert "cannot write" in journal.error.message


def test_a_journal_that_cannot_be_created(make_spec: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spec = make_spec()
    with pytest.raises(WorkFailed, match="cannot write"):
        OptunaJournal(tmp_path / "file" / "optuna.journal", spec.name, spec.space, spec.objective)
