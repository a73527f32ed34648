"""The learning curves that `benchmarks/search.py` replays."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_app.spaces.feasibility import sample
from tune_app.spaces.space import Space
from tune_app.spaces.variable import Categorical, Float, Variable

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "curves"
TABLES = {"digits_cnn": 600, "stdlib_docs_lstm": 200, "python_reference_gpt": 199}
MAKES = Callable[[int], Any]


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`benchmarks/curves.py`, whose folder is not a package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("curves")


@pytest.fixture(params=["taskset", "lcbench", *TABLES])
def make_source(request: pytest.FixtureRequest, curves: Any) -> MAKES:
    """A function that makes the source for a seed."""
    name = request.param
    folder = {"taskset": PUBLISHED / "taskset", "lcbench": PUBLISHED / "yahpo_lcbench"}.get(name, BENCHMARKS / "tables")
    if not folder.exists():
        pytest.skip("the published curves are not available: ../shared/curves")
    if name == "lcbench":
        pytest.importorskip("onnxruntime")
    makes: MAKES = next(make for task, make in curves.find_sources([folder], [name] if name in TABLES else None))
    return makes


def test_every_curve_follows_the_rules(make_source: MAKES) -> None:
    source, again, other = make_source(3), make_source(3), make_source(4)
    rng = np.random.default_rng(0)
    for config in [sample(source.space, rng) for _ in range(20)]:
        curve, same, noisier = source.curve(config), again.curve(config), other.curve(config)
        assert np.array_equal(curve.values, same.values, equal_nan=True), "the seed determines the noise"
        assert len(curve.values) == len(curve.ends) == source.epochs
        assert (np.diff(np.isfinite(curve.values).astype(int)) <= 0).all(), "finite until it diverges"
        assert (np.diff(curve.ends, prepend=0.0) > 0).all()
        if np.isfinite(curve.truth):
            assert noisier.truth == curve.truth
            assert not np.array_equal(noisier.values, curve.values)
    assert source.objective.direction == "minimize"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_holds_its_trials_and_their_search_space(name: str, curves: Any) -> None:
    spec, configs, values, seconds = curves.read_table(BENCHMARKS / "tables" / f"{name}.parquet")
    assert len(configs) == len(values) >= TABLES[name]
    assert values.shape == seconds.shape == (len(configs), spec.budget.epochs)
    assert all(spec.space.validate(config) for config in configs)


def test_lcbench_is_split_in_half(curves: Any) -> None:
    folder = PUBLISHED / "yahpo_lcbench"
    if not folder.exists():
        pytest.skip("the published curves are not available: ../shared/curves")
    names = {half: {task for task, _ in curves.find_sources([folder], [half])} for half in ("odd", "even")}
    assert not names["odd"] & names["even"]
    assert len(names["odd"] | names["even"]) == 34
    assert {task for task, _ in curves.find_sources([folder], None)} == names["even"]


def test_a_surrogate_predicts_and_diverges(curves: Any) -> None:
    rate, kind = Float(1e-3, 1.0, log=True), Categorical(("a", "b"))
    space = Space(
        (Variable("rate", "training", rate, 0.1, ""), Variable("kind", "training", kind, "a", "")),
        {"rate": rate, "kind": kind},
        {},
        {},
        (),
    )

    def losses(config: Any) -> Any:
        values = 1 + abs(np.log(config["rate"]) + 3) + (config["kind"] == "b") + 1 / np.arange(1, 7)
        values[2:] = np.nan if config["rate"] > 0.5 else values[2:]
        return values

    rng = np.random.default_rng(0)
    configs = [sample(space, rng) for _ in range(80)]
    seconds = np.array([np.arange(1, 7) * (2.0 if config["kind"] == "b" else 1.0) for config in configs])
    values = np.array([losses(config) for config in configs])
    surrogate = importlib.import_module("surrogate").Surrogate(space, configs, values, seconds, share=False)
    for config in ({"rate": 0.02, "kind": "a"}, {"rate": 0.2, "kind": "b"}):
        found = surrogate.predict(config, np.zeros(7))
        assert found.values == pytest.approx(losses(config), rel=0.05)
        assert found.ends[-1] == pytest.approx(12.0 if config["kind"] == "b" else 6.0, rel=0.05)
    gone = surrogate.predict({"rate": 0.9, "kind": "a"}, np.zeros(7)).values
    assert np.isfinite(gone[:2]).all()
    assert np.isnan(gone[2:]).all()
