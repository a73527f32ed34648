"""The public API: the names that users import, and how much importing them costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import tune_app

LOAD = "(studies: 'str | Sequence[str] | None' = None, store: 'str | Path | None' = None) -> 'pd.DataFrame'"
SIGNATURES = {
    "Categorical": "(choices: 'tuple[Value, ...]') -> None",
    "Dataset": "(name: 'str', kind: 'str', train: 'Arrays', test: 'Arrays', "
    "info: 'Mapping[str, Any]' = <factory>) -> None",
    "Float": "(low: 'float', high: 'float', log: 'bool' = False, step: 'float | None' = None) -> None",
    "Int": "(low: 'int', high: 'int', log: 'bool' = False, step: 'int' = 1) -> None",
    "Variable": "(name: 'str', group: 'Group', domain: 'Domain', default: 'Value', description: 'str', "
    "when: 'str | None' = None, searchable: 'bool' = True, values: 'Mapping[str, Any] | None' = None) -> None",
    "best": "(study: 'str', store: 'str | Path | None' = None) -> 'pd.Series[Any]'",
    "load_epochs": LOAD,
    "load_trials": LOAD,
    "run": "(function: 'Callable[..., Any]', *, space: 'Mapping[str, Any]', metrics: 'Mapping[str, Direction]', "
    "trials: 'int | None' = None, epochs: 'int | None' = None, name: 'str | None' = None, "
    "store: 'str | Path | None' = None, address: 'str | None' = None, check: 'bool' = True, "
    "**sections: 'Any') -> 'FinishedStudy'",
}
"""A change here breaks someone's task or notebook."""


def test_the_names_are_frozen() -> None:
    assert tune_app.__all__ == sorted(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_is_frozen(name: str) -> None:
    assert str(inspect.signature(getattr(tune_app, name))) == SIGNATURES[name]


ADAPTERS = {
    "lightning": ("(report: 'Report', metrics: 'Sequence[str]') -> 'None'", {"resume_path", "trainer_arguments"}),
    "transformers": (
        "(report: 'Report', metrics: 'Mapping[str, str]') -> 'None'",
        {"resume_path", "training_arguments"},
    ),
}


@pytest.mark.filterwarnings("ignore")  # the packages themselves use deprecated parts of torch
@pytest.mark.parametrize("package", ADAPTERS)
def test_an_adapter_is_frozen(package: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed: make test-frameworks")
    callback = importlib.import_module(f"tune_app.{package}").TuneCallback
    signature, attributes = ADAPTERS[package]
    assert str(inspect.signature(callback)) == signature
    assert attributes <= {*vars(callback), *inspect.get_annotations(callback)}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Flaot'"):
        tune_app.Flaot  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, tune_app; print(sorted({'numpy', 'pandas', 'torch', 'ray', 'optuna'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
