"""A profile: a configuration with its catalog and its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from tune_app.document import to_yaml
from tune_app.readable import writable
from tune_app.results import review
from tune_app.spaces.catalog import Catalog, check_value, find_variable, parse_value
from tune_app.spaces.space import Space
from tune_app.spaces.spec import epochs_of
from tune_app.spaces.variable import Config, DatasetReference, Value, group_config
from tune_app.store.study import Study

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Profile:
    """The current configuration, or one saved under a name.

    Attributes:
        catalog: of its task: what its values are checked against.
        config: every variable of the task.
        constraints: what must hold after edits: the constraints of the space it came from.
        provenance: study, trial, objective, seed, epochs, what was edited, code, hashes of space and data.
        revision: counts the saved versions under this name, from 1; 0 before the first.
    """

    name: str
    catalog: Catalog
    dataset: DatasetReference
    config: Config
    constraints: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    revision: int = 0

    @property
    def task(self) -> str:
        """The name of its task."""
        return self.catalog.task

    @property
    def measured(self) -> float | None:
        """The trial's objective; None if the configuration was edited, because nobody has measured that."""
        found = self.provenance.get("objective")
        return None if found is None or self.provenance.get("edited") else float(found)

    def space(self) -> Space:
        """The task's catalog with this profile's constraints, for checking values."""
        return Space.of_catalog(self.catalog, self.constraints)

    def validated(self, where: str = "") -> Profile:
        """This profile with its values checked against the task's variables and the constraints.

        Raises:
            InputError: the first invalid value.
        """
        return replace(self, config=self.space().validate(self.config, where or f"profile {self.name}"))

    def for_catalog(self, catalog: Catalog) -> Profile:
        """This profile for the current version of its task; new variables take their defaults.

        Raises:
            InputError: a value is no longer valid.
        """
        defaults = {variable.name: variable.default for variable in catalog.variables}
        return replace(self, catalog=catalog, config={**defaults, **self.config}).validated()

    def edited(self, edits: Mapping[str, Value], source: str = "--set") -> Profile:
        """This profile with other values by ``group.variable``; the provenance records old and new values.

        A string is parsed as the variable's type, as in ``--set group.variable=value``.

        Args:
            source: where the values come from, for errors.

        Raises:
            InputError: an unknown variable, a value outside its domain, or a constraint that no longer holds.
        """
        space = self.space()
        config = dict(self.config)
        marks = dict(self.provenance.get("edited") or {})
        for key, given in edits.items():
            where = f"{source} {key}={given}"
            variable = find_variable(key, space.variables, where)
            value = (
                parse_value(variable, given, where) if isinstance(given, str) else check_value(variable, given, where)
            )
            found = marks.get(variable.key, {}).get("found", config[variable.name])
            config[variable.name] = value
            marks.pop(variable.key, None)
            if value != found:
                marks[variable.key] = {"found": found, "saved": value}
        changed = replace(self, config=config, provenance={**self.provenance, "edited": marks})
        return changed.validated(where=source)

    def to_dict(self) -> dict[str, Any]:
        """The document in its fixed order; the configuration by group, in the catalog's order."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "revision": self.revision,
            "task": self.task,
            "dataset": self.dataset if isinstance(self.dataset, str) else dict(self.dataset),
            "note": writable(self.note),
            "config": group_config(self.config, self.catalog.variables),
            "constraints": list(self.constraints),
            "provenance": dict(self.provenance),
            **({"catalog": self.catalog.to_dict()} if self.catalog.open else {}),
        }

    def to_yaml(self) -> str:
        """`to_dict` as YAML."""
        return to_yaml(self.to_dict(), compact=False)


def from_trial(study: Study, row: pd.Series[Any], name: str) -> Profile:
    """The configuration of a trial as an unsaved profile."""
    document = study.document()
    kept = study.json("provenance.json")
    objective = row["objective"]
    catalog = study.catalog()
    config = review.config_of(row, catalog.variables)
    return Profile(
        name=name,
        catalog=catalog,
        dataset=document["dataset"],
        config=config,
        constraints=tuple(document["constraints"]),
        provenance={
            "study": study.name,
            "trial": int(row["trial"]),
            "state": str(row["state"]),
            "metric": document["objective"]["metric"],
            "mode": document["objective"]["mode"],
            "objective": None if pd.isna(objective) else float(objective),
            # Of the whole training, even if the trial stopped early.
            "epochs": epochs_of(config, document["budget"]["epochs"]),
            "seed": None if pd.isna(row["seed"]) else int(row["seed"]),
            "edited": {},
            "code": kept.get("code", {}),
            "spec_sha256": kept.get("spec_sha256"),
            "dataset_sha256": kept.get("dataset_sha256"),
        },
    )
