"""The results of a training in the store: ``trainings/<name>/`` with its record, profile and checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tune_app.document import Document
from tune_app.errors import InputError, NotFound
from tune_app.folder import Folder
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.variable import GROUPS, Value
from tune_app.store.columns import family


def record_path(name: str) -> str:
    """Path of the record of the training `name`, the last file that it writes."""
    return f"trainings/{name}/metrics.json"


def profile_path(name: str) -> str:
    """Path of its profile."""
    return f"trainings/{name}/profile.yaml"


def checkpoint_path(name: str) -> str:
    """Path of its checkpoint."""
    return f"trainings/{name}/checkpoint.pt"


def files_path(name: str) -> str:
    """Path of its script's files."""
    return f"trainings/{name}/files"


def log_path(name: str) -> str:
    """Path of its script's output."""
    return f"trainings/{name}/output.log"


@dataclass(frozen=True)
class TrainingRecord:
    """A successful training.

    Attributes:
        facts: the content of ``metrics.json``.
        config: by group, with the values that the training used.
        catalog: for a function or a script; None for a class, which has its own.
    """

    name: str
    facts: dict[str, Any]
    config: dict[str, dict[str, Value]]
    catalog: Catalog | None

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the last epoch, and ``test_…``; None if one is undefined."""
        return {key: value for key, value in self.facts["metrics"].items() if not key.startswith("health/")}

    @property
    def health(self) -> dict[str, float | None]:
        """The health scores after the last epoch, from 0 to 1."""
        return family(self.facts["metrics"], "health")


def read_training(folder: Folder, name: str) -> TrainingRecord:
    """Read the training `name`.

    Raises:
        NotFound: there is no such training, or it did not succeed.
        InputError: one of its files is damaged.
    """
    content, profile = folder.read(record_path(name)), folder.read(profile_path(name))
    if content is None or profile is None:
        raise NotFound(f"the training `{name}` left no model in {folder.url}", where=folder.path(record_path(name)))
    try:
        facts = json.loads(content)
        document = Document.parse(profile.decode(), folder.path(profile_path(name))).data
        groups, catalog = document["config"], document.get("catalog")
        config: dict[str, dict[str, Value]] = {
            group: {key: facts["config"][key] for key in groups[group]} for group in GROUPS
        }
        return TrainingRecord(name, facts, config, None if catalog is None else Catalog.from_dict(catalog))
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"the file must be the record of a training, but {type(error).__name__}: {error}",
            where=folder.path(record_path(name)),
            hint="train again",
        ) from error
