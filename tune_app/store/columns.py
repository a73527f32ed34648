"""The columns of the two tables, and rows as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from tune_app.errors import InputError
from tune_app.spaces.variable import Categorical, Float, Int, Variable

SCHEMA_VERSION = 1

_TIME = pa.timestamp("us", tz="UTC")
TRIAL_COLUMNS: dict[str, pa.DataType] = {
    "trial": pa.int64(),
    "trial_id": pa.string(),
    "state": pa.string(),
    "objective": pa.float64(),
    "failure_kind": pa.string(),
    "error": pa.string(),
    "epochs": pa.int64(),
    "started_at": _TIME,
    "ended_at": _TIME,
    "duration_s": pa.float64(),
    "node": pa.string(),
    "device": pa.string(),
    "gpu_fraction": pa.float64(),
    "peak_memory_mb": pa.float64(),
    "gpu_utilization": pa.float64(),
    "model_parameters": pa.int64(),
    "seed": pa.int64(),
    "attempt": pa.int64(),
    "checkpoint": pa.string(),
    "source": pa.string(),
    "latency_ms": pa.float64(),
    "resumed_from": pa.int64(),
}
EPOCH_COLUMNS: dict[str, pa.DataType] = {
    "trial": pa.int64(),
    "epoch": pa.int64(),
    "ended_at": _TIME,
    "duration_s": pa.float64(),
}

Row = dict[str, Any]
"""A row of the `epochs` table, or any other mapping of columns."""


def column_types(variables: Iterable[Variable]) -> dict[str, pa.DataType]:
    """Types of the ``config/<group>/<variable>`` columns."""
    return {v.column: _column_type(v) for v in variables}


def _column_type(variable: Variable) -> pa.DataType:
    domain = variable.domain
    if isinstance(domain, Float):
        return pa.float64()
    if isinstance(domain, Int):
        return pa.int64()
    assert isinstance(domain, Categorical)
    kinds = {type(choice) for choice in domain.choices}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds <= {int, float}:
        return pa.float64()
    return pa.string()


def make_table(rows: list[Row], columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Rows as a table: `columns` first, then all others in the rows; ``metric/…`` and ``health/…`` as numbers.

    Missing values and numbers that are not finite are null.
    """
    types = dict(columns)
    for row in rows:
        for name, value in row.items():
            if name not in types and (value is not None or name.startswith(("metric/", "health/"))):
                types[name] = {str: pa.string(), bool: pa.bool_()}.get(type(value), pa.float64())
    arrays = [pa.array([_cell(row.get(name), kind) for row in rows], kind) for name, kind in types.items()]
    metadata = {"schema_version": str(SCHEMA_VERSION)}
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(types.items()), metadata=metadata))


def _cell(value: Any, kind: pa.DataType) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if kind == _TIME:
        return datetime.fromisoformat(value)
    return str(value) if kind == pa.string() else value


def check_version(found: object, where: str) -> None:
    if str(found) not in map(str, range(1, SCHEMA_VERSION + 1)):
        raise InputError(
            f"`schema_version` must be 1 to {SCHEMA_VERSION}, but got {found}", where=where, hint="update tune-app"
        )


def family(row: Mapping[str, Any], prefix: str) -> Row:
    """The values of the columns ``prefix/…`` by the rest of their names."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in row.items() if key.startswith(f"{prefix}/")}
