"""Packages that a user's code needs: parsed, looked up, and reported if one is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_app.document import Document
from tune_app.errors import InputError
from tune_app.spaces.requirements import lacking, read_requirements
from tune_app.tasks.spec_file import read_spec


def test_unmet_requirements_are_listed_with_the_installed_version() -> None:
    assert lacking(["numpy>=2", "torch", "nothing-of-this-name; python_version < '3'"]) == []
    assert lacking(["numpy<1", "nothing-of-this-name"]) == [
        f"`numpy` is {np.__version__}, not <1",
        "`nothing-of-this-name` is not installed",
    ]


@pytest.mark.parametrize(("given", "rule"), [("torch", "must be a list"), ([">=2"], "a package"), ([3], "a package")])
def test_invalid_requirements_are_rejected(given: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        read_requirements(Document.of({"requirements": given}, "space"))


def test_a_missing_package_is_reported_before_the_import_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_it.py").write_text("import nothing_of_this_name\ndef tune(config, report): ...\n")
    monkeypatch.chdir(tmp_path)
    document = {
        "schema_version": 1,
        "name": "own",
        "task": "needs_it:tune",
        "metrics": {"loss": "minimize"},
        "parameters": {"training": {"lr": {"type": "float", "low": 0.0, "high": 1.0}}},
    }
    with pytest.raises(InputError, match="importing `needs_it` failed"):
        read_spec(Document.of(document, "space"))
    with pytest.raises(InputError, match="this machine must have all of `requirements`") as told:
        read_spec(Document.of({**document, "requirements": ["nothing-of-this-name>=2"]}, "space"))
    assert told.value.hint == "run there: pip install 'nothing-of-this-name>=2'"


def test_a_space_keeps_its_requirements(make_spec: Any) -> None:
    spec = make_spec(requirements=["numpy>=2"])
    assert spec.to_dict()["requirements"] == ["numpy>=2"]
    assert read_spec(Document.of(spec.to_dict(), "space")) == spec
    assert "requirements" not in make_spec().to_dict()
