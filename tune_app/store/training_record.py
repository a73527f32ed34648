"""What a training left in the store: ``trainings/<name>/`` with its record, its profile and its checkpoint."""

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
    """Where the training `name` leaves its record: the last file that it writes."""
    return f"trainings/{name}/metrics.json"


def profile_path(name: str) -> str:
    """Where it leaves the profile that it was given."""
    return f"trainings/{name}/profile.yaml"


def checkpoint_path(name: str) -> str:
    """Where it leaves its checkpoint."""
    return f"trainings/{name}/checkpoint.pt"


def files_path(name: str) -> str:
    """Where its script leaves its files."""
    return f"trainings/{name}/files"


def log_path(name: str) -> str:
    """Where it leaves what its script printed."""
    return f"trainings/{name}/output.log"


@dataclass(frozen=True)
class TrainingRecord:
    """A training that ended well.

    Attributes:
        facts: what stands in ``metrics.json``.
        config: by group, with the values that the training itself held.
        catalog: of a function or a script; None for a class, which has its own.
    """

    name: str
    facts: dict[str, Any]
    config: dict[str, dict[str, Value]]
    catalog: Catalog | None

    @property
    def metrics(self) -> dict[str, float | None]:
        """Those of the last epoch, and ``test_…``; None where one is undefined."""
        return {key: value for key, value in self.facts["metrics"].items() if not key.startswith("health/")}

    @property
    def health(self) -> dict[str, float | None]:
        """The figures of health after the last epoch, from 0 to 1."""
        return family(self.facts["metrics"], "health")


def read_training(folder: Folder, name: str) -> TrainingRecord:
    """What the training `name` left.

    Raises:
        NotFound: there is no such training, or it has not ended well.
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
