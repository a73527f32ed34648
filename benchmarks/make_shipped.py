"""The history shipped with tune-app for each task: the best and some other trials of the tables of `make_tables.py`.

    python benchmarks/make_shipped.py

Writes tune_app/search/shipped/<task>.json, which `search.history: auto` reads. Floats are rounded to five digits.
"""

from __future__ import annotations

import json
from pathlib import Path

from curves import read_table
from make_tables import ROOT, TABLES

from tune_app.search.past_study import PastStudy
from tune_app.spaces.variable import Config

SHIPPED = ROOT / "tune_app" / "search" / "shipped"


def main() -> None:
    """Write a file for each table."""
    for path in sorted(TABLES.glob("*.parquet")):
        ship(path)


def ship(path: Path) -> None:
    """Write the file of one table's task."""
    spec, configs, costs, _ = read_table(path)
    # One that diverged has no value from then on: it loses to all others.
    curves = [-cost if (cost == cost).all() else cost[:0] for cost in costs]
    past = PastStudy.of(f"tune-app:{path.stem}", [(_short(c), curve) for c, curve in zip(configs, curves, strict=True)])
    assert past is not None
    document = {"metric": spec.objective.metric, **past.to_dict()}
    SHIPPED.mkdir(exist_ok=True)
    content = json.dumps(document, separators=(",", ":"))
    (SHIPPED / f"{spec.task}.json").write_text(content + "\n", encoding="utf-8")
    print(json.dumps({"task": spec.task, "trials": len(past.configs), "bytes": len(content)}))


def _short(config: Config) -> Config:
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in config.items()}


if __name__ == "__main__":
    main()
