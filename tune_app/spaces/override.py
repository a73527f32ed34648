"""What may stand above a search space file: by the short names of options, forms and requests."""

from __future__ import annotations

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
    "start_from": "search.start_from",
}
"""The key of the file that each one stands above: ``--trials`` above ``budget.trials``."""


def describe(key: str) -> str:
    """The description of a key of the file, as it stands under its field."""
    from tune_app.spaces.spec import SECTIONS  # half a second, which a command that needs no description saves

    if key == "name":
        return "The name of the study."
    section, _, name = key.partition(".")
    return str(SECTIONS[section].model_fields[name].description)
