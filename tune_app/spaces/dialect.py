"""What other tuners write in a search space, and its equivalent here, for users who bring their own space."""

from __future__ import annotations

from collections.abc import Mapping

KEYS: Mapping[str, str] = {
    # Weights & Biases
    "min": "write `low`",
    "max": "write `high`",
    "values": "write `choices`, with `type: categorical`",
    "value": "write the value itself, without a mapping, to fix a variable",
    "distribution": "write `type` (float, int or categorical), and `log: true` for a logarithmic one",
    "q": "write `step`",
    "mu": "a normal distribution is not searched: write `low` and `high`",
    "sigma": "a normal distribution is not searched: write `low` and `high`",
    "probabilities": "weighted choices are not supported: omit it",
    # NNI
    "_type": "write `type` (float, int or categorical), and `log: true` for a logarithmic one",
    "_value": "write `choices` for a categorical variable, `low` and `high` for a number",
    # Katib
    "parameterType": "write `type`: float for double, int for int, categorical for categorical and discrete",
    "feasibleSpace": "write its `min` and `max` as `low` and `high`, and its `list` as `choices`, next to `type`",
    "list": "write `choices`",
    # Ray Tune, Ax
    "lower": "write `low`",
    "upper": "write `high`",
    "bounds": "write `low` and `high`",
    "log_scale": "write `log`",
}
"""Keys of other tuners, and what to write here."""
TYPES: Mapping[str, str] = {
    "uniform": "type: float",
    "double": "type: float",
    "range": "type: float",
    "quniform": "type: float, with step",
    "q_uniform": "type: float, with step",
    "loguniform": "type: float, log: true",
    "log_uniform": "type: float, log: true",
    "log_uniform_values": "type: float, log: true",
    "integer": "type: int",
    "randint": "type: int",
    "int_uniform": "type: int",
    "choice": "type: categorical",
    "discrete": "type: categorical",
    "bool": "type: categorical, choices: [true, false]",
}
"""Types of other tuners, and what to write here."""
