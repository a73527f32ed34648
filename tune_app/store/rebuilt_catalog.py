"""A catalog for a study from before studies stored theirs, rebuilt from its search space and its table of trials.

Everything else is unknown: descriptions are empty, a default is the value that the trials had, and only the metric of
the objective has a direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tune_app.spaces.catalog import Catalog
from tune_app.spaces.expression import Expression
from tune_app.spaces.variable import Categorical, Domain, Float, Int, Value, Variable, domain_from_dict


def rebuilt_catalog(document: Mapping[str, Any], trials: pa.Table) -> Catalog:
    """The catalog of the study with the search space `document` and the table `trials`, whose columns name the rest."""
    parameters = document.get("parameters") or {}
    keys = {(group, name): None for group, named in parameters.items() for name in named}
    columns = [column.split("/") for column in trials.column_names if column.startswith("config/")]
    keys |= {(group, name): None for _, group, name in columns}
    metrics = [column.removeprefix("metric/") for column in trials.column_names if column.startswith("metric/")]
    objective = document["objective"]
    directions = dict.fromkeys(metrics) | {objective["metric"]: objective["direction"]}
    texts = _compared_texts(document)
    return Catalog(
        task=document["task"],
        variables=tuple(_variable(group, name, parameters, trials, texts.get(name, [])) for group, name in keys),
        metrics=directions,
        data_parallel=document.get("resources", {}).get("devices", 1) > 1,
    )


def _compared_texts(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """The strings that conditions and constraints compare each variable with, which are also possible values."""
    named = [content for group in (document.get("parameters") or {}).values() for content in group.values()]
    conditions = [content["when"] for content in named if isinstance(content, Mapping) and content.get("when")]
    texts: dict[str, list[str]] = {}
    for expression in (*conditions, *(document.get("constraints") or ())):
        for name, text in Expression.parse(expression).compared_texts():
            texts.setdefault(name, []).append(text)
    return texts


def _variable(group: str, name: str, parameters: Mapping[str, Any], trials: pa.Table, texts: Sequence[str]) -> Variable:
    content = parameters.get(group, {}).get(name)
    column = f"config/{group}/{name}"
    found = trials[column].unique().to_pylist() if column in trials.column_names else []
    values = [value for value in found if value is not None]
    if isinstance(content, Mapping):
        domain = domain_from_dict({key: value for key, value in content.items() if key != "when"})
        if isinstance(domain, Categorical):
            domain = Categorical(tuple(dict.fromkeys([*domain.choices, *texts])))
        return Variable(name, group, domain, domain.nearest(values[0] if values else None), "")  # type: ignore[arg-type]
    if content is not None:
        values.insert(0, content)
    return Variable(name, group, _domain([*values, *texts]), values[0] if values else "", "")  # type: ignore[arg-type]


def _domain(values: list[Value]) -> Domain:
    """The smallest domain that contains all of `values`."""
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not values:
        return Categorical(tuple(dict.fromkeys(values)) or ("",))
    if all(isinstance(number, int) for number in numbers):
        return Int(min(numbers), max(numbers))  # type: ignore[arg-type]
    return Float(min(numbers), max(numbers))
