"""The plot of the searches, and what the readers benchmark counts as a fault."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def test_the_plot_of_searches_compares_medians_with_the_end_of_random_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    plot_search = importlib.import_module("plot_search")
    lines: list[dict[str, object]] = [{"summary": "a"}]
    for task, scale in (("a", 1.0), ("b", 10.0), ("c", 100.0)):
        for seed, value in enumerate((1.0, 2.0, 9.0)):
            lines.append({"task": task, "arm": "random", "seed": seed, "best": {"5": None, "30": scale * value}})
            lines.append({"task": task, "arm": "normal", "seed": seed, "best": {"5": scale * 3, "30": scale}})
    found = plot_search.quartiles(lines)
    assert found == {"random": [(30, 1.0, 1.0, 1.0)], "normal": [(5, 1.5, 1.5, 1.5), (30, 0.5, 0.5, 0.5)]}
    titles = [note.text for note in plot_search.draw(found, tasks=3).layout.annotations]
    assert titles == [plot_search.NAMES["random"], plot_search.NAMES["normal"]]


def test_the_readers_benchmark_notices_wrong_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    faults = importlib.import_module("readers").faults
    before = [(0, "COMPLETED", 0.5, 2, "t"), (1, "FAILED", None, 0, "t")]
    assert faults("trials", [*before, (2, "PRUNED", 0.1, 1, "t")], before) == []
    assert faults("trials", [*before, (1, "FAILED", None, 0, "u")], before) == ["a row is there twice"]
    assert faults("trials", before[:1], before) == ["1 rows where there were 2", "1 rows are gone or have changed"]
    assert faults("trials", [before[0], (1, "COMPLETED", 0.9, 2, "t")], before) == ["1 rows are gone or have changed"]
    assert faults("epochs", [(0, 1), (0, 2), (0, 1)], [(0, 1)]) == ["a row is there twice"]
