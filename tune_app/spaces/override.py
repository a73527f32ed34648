"""Settings that can override a search space file, under the short names of options, forms and requests."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from pathlib import Path

OVERRIDES: dict[str, str] = {
    "name": "name",
    "trials": "budget.trials",
    "time": "budget.time",
    "epochs": "budget.epochs",
    "concurrent": "resources.concurrent",
    "cpus": "resources.cpus",
    "gpus": "resources.gpus",
    "devices": "resources.devices",
    "pruning": "pruning.level",
    "objective": "objective.mode",
    "sampler": "search.sampler",
    "seed": "search.seed",
    "history": "search.history",
    "start_from": "search.start_from",
}
"""The key of the file that each one overrides: ``--trials`` overrides ``budget.trials``."""


def describe(key: str) -> str:
    """The description of a key of the file: its field's docstring."""
    return "The name of the study." if key == "name" else _descriptions()[key]


@functools.cache
def _descriptions() -> dict[str, str]:
    """The docstrings of the sections' fields, by ``section.field``.

    They are read from the source, because importing it would delay a help text by half a second.
    """
    tree = ast.parse(Path(__file__).with_name("section.py").read_text(encoding="utf-8"))
    return {
        f"{section.name.lower()}.{field.target.id}": inspect.cleandoc(text.value.value)
        for section in tree.body
        if isinstance(section, ast.ClassDef)
        for field, text in itertools.pairwise(section.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
