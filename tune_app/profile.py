"""Profiles: named, validated, versioned configurations that say where they come from."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from ruamel.yaml import YAML

from tune_app import provenance, review
from tune_app.document import Document
from tune_app.errors import InputError, WorkFailed, nearest
from tune_app.expression import Expression
from tune_app.space import Space
from tune_app.store import Study, now
from tune_app.tasks import load_task
from tune_app.variable import Config, flatten_config, group_config

SCHEMA_VERSION = 1
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DEFAULT_FOLDER = "profiles"
KEYS = ("schema_version", "name", "revision", "task", "dataset", "note", "config", "constraints", "provenance")


def default_folder() -> str:
    """The profiles folder: ``TUNE_APP_PROFILES``, else ``./profiles``."""
    return os.environ.get("TUNE_APP_PROFILES", DEFAULT_FOLDER)


@dataclass(frozen=True)
class Profile:
    """One configuration in force or kept under a name.

    Attributes:
        config: every variable of the task.
        constraints: what must hold when it is edited: the constraints of the space that it was found in.
        provenance: study, trial, objective, seed, epochs, what was edited, code, hashes of space and data.
        revision: counts the savings under this name, from 1; 0 before the first.
    """

    name: str
    task: str
    dataset: str
    config: Config
    constraints: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    revision: int = 0

    def space(self) -> Space:
        """The task's catalogue with this profile's constraints, for checking values.

        Raises:
            InputError: the task cannot be loaded.
        """
        own = Space.of_task(load_task(self.task))
        texts = [c.text for c in own.constraints]
        added = [Expression.parse(text) for text in self.constraints if text not in texts]
        return replace(own, constraints=(*own.constraints, *added))

    def validated(self, where: str = "") -> Profile:
        """This profile with its values checked against the task's variables and the constraints.

        Raises:
            InputError: the first value that does not fit.
        """
        return replace(self, config=self.space().validate(self.config, where or f"profile {self.name}"))

    def edited(self, edits: Mapping[str, str]) -> Profile:
        """This profile with values from ``--set group.variable=value``; provenance says what was found and saved.

        Raises:
            InputError: an unknown variable, a value outside its domain, or a constraint that no longer holds.
        """
        space = self.space()
        config = dict(self.config)
        marks = dict(self.provenance.get("edited", {}))
        for key, text in edits.items():
            value = space.parse_value(key, text, where=f"--set {key}={text}")
            variable = space.by_name[key.rpartition(".")[2]]
            found = marks.get(variable.key, {}).get("found", config[variable.name])
            config[variable.name] = value
            marks.pop(variable.key, None)
            if value != found:
                marks[variable.key] = {"found": found, "saved": value}
        changed = replace(self, config=config, provenance={**self.provenance, "edited": marks})
        return changed.validated(where="--set")

    def to_dict(self) -> dict[str, Any]:
        """The document in its fixed order; the configuration by group, in the catalogue's order."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "revision": self.revision,
            "task": self.task,
            "dataset": self.dataset,
            "note": self.note,
            "config": group_config(self.config, load_task(self.task).variables),
            "constraints": list(self.constraints),
            "provenance": dict(self.provenance),
        }

    def to_yaml(self) -> str:
        """`to_dict` as YAML."""
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        yaml.width = 120
        text = io.StringIO()
        yaml.dump(self.to_dict(), text)
        return text.getvalue()


def from_trial(study: Study, row: pd.Series[Any], name: str) -> Profile:
    """The configuration of a trial as a profile that is not saved yet."""
    document = study.document()
    kept = study.json("provenance.json")
    objective = row["objective"]
    return Profile(
        name=name,
        task=document["task"],
        dataset=document["dataset"],
        config=review.config_of(row),
        constraints=tuple(document["constraints"]),
        provenance={
            "study": study.name,
            "trial": int(row["trial"]),
            "state": str(row["state"]),
            "metric": document["objective"]["metric"],
            "objective": None if pd.isna(objective) else float(objective),
            "epochs": int(row["epochs"]) if row["state"] == "COMPLETED" else document["budget"]["epochs"],
            "seed": int(row["seed"]),
            "edited": {},
            "code": kept.get("code", {}),
            "spec_sha256": kept.get("spec_sha256"),
            "dataset_sha256": kept.get("dataset_sha256"),
        },
    )


def read_profile(path: Path) -> Profile:
    """Read a profile file and check it against its task.

    Raises:
        InputError: it is not a profile of a version that this program knows, or a value does not fit.
    """
    document = Document.read(path)
    for key in document.data:
        if key not in KEYS:
            raise InputError(f"a key must be known, but got `{key}`", where=document.where(key), hint=nearest(key, KEYS))
    version = document.data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"`schema_version` must be {SCHEMA_VERSION}, but got {version!r}", where=document.where("schema_version")
        )
    for key in ("name", "task", "dataset", "config"):
        if not document.data.get(key):
            raise InputError(f"a profile must have `{key}`", where=document.where(key))
    for group in document.mapping("config"):
        document.mapping("config", group)
    profile = Profile(
        name=str(document.data["name"]),
        task=str(document.data["task"]),
        dataset=str(document.data["dataset"]),
        config=flatten_config(document.mapping("config")),
        constraints=tuple(document.data.get("constraints") or ()),
        provenance=document.mapping("provenance"),
        note=str(document.data.get("note") or ""),
        revision=int(document.data.get("revision") or 1),
    )
    return profile.validated(where=str(path))


class Profiles:
    """The profiles of one folder, with their former revisions and the session."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder or default_folder()).absolute()

    def names(self) -> list[str]:
        """Names of the profiles, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.yaml") if NAME_PATTERN.fullmatch(p.stem))

    def load(self, name: str, revision: int | None = None) -> Profile:
        """The profile `name`, or a former revision of it.

        Raises:
            InputError: there is none, or its file is not a valid profile.
        """
        path = self._path(name)
        if revision is not None and (not path.is_file() or self._revision(name) != revision):
            path = self._former(name) / f"{revision}.yaml"
            if not path.is_file():
                kept = ", ".join(str(r) for r in self.revisions(name)) or "none"
                raise InputError(f"the profile `{name}` has no revision {revision}", hint=f"kept: {kept}")
        elif not path.is_file():
            raise InputError(
                f"there is no profile `{name}` in {self.folder}",
                hint=nearest(name, self.names()) if self.names() else "save one with `tune-app profile save`",
            )
        return read_profile(path)

    def revisions(self, name: str) -> list[int]:
        """Numbers of the revisions that are kept, the one in force last."""
        former = [int(p.stem) for p in self._former(name).glob("*.yaml") if p.stem.isdigit()]
        current = [self._revision(name)] if self._path(name).is_file() else []
        return sorted({*former, *current})

    def save(self, profile: Profile, *, loaded_revision: int) -> Profile:
        """Validate and save; the former revision is kept.

        Args:
            loaded_revision: the revision that the caller saw last; 0 for a new profile.

        Raises:
            InputError: a value does not fit, or the profile changed since it was loaded.
            WorkFailed: the folder cannot be written.
        """
        profile = profile.validated()
        path = self._path(profile.name)
        with self._lock():
            current = self._revision(profile.name) if path.is_file() else 0
            if current != loaded_revision:
                raise InputError(
                    f"the profile `{profile.name}` is at revision {current}, but revision {loaded_revision} was loaded",
                    where=str(path),
                    hint="look at the difference with `tune-app profile diff`, then save again (--replace on the command line)",
                )
            number = max([0, *self.revisions(profile.name)]) + 1
            saved = replace(profile, revision=number, provenance={**profile.provenance, "saved_at": now()})
            if "code" not in saved.provenance:
                saved = replace(saved, provenance={**saved.provenance, "code": provenance.code()})
            if current:
                _write(self._former(profile.name) / f"{current}.yaml", path.read_text(encoding="utf-8"))
            _write(path, saved.to_yaml())
        return saved

    def delete(self, name: str) -> None:
        """Remove a profile from the list; its revisions stay in the history.

        Raises:
            InputError: there is none.
        """
        profile = self.load(name)
        with self._lock():
            _write(self._former(name) / f"{profile.revision}.yaml", self._path(name).read_text(encoding="utf-8"))
            self._path(name).unlink()

    def apply(self, profile: Profile) -> Profile:
        """Make `profile` the session: what ``train`` uses when no profile is named."""
        session = replace(profile.validated(), provenance={**profile.provenance, "saved_at": now()})
        with self._lock():
            _write(self.folder / ".session.yaml", session.to_yaml())
        return session

    def session(self) -> Profile:
        """The configuration in force now.

        Raises:
            InputError: nothing was applied yet.
        """
        path = self.folder / ".session.yaml"
        if not path.is_file():
            raise InputError(
                f"there is no session in {self.folder}: nothing was applied yet",
                hint="`tune-app apply STUDY` applies the best trial of a study",
            )
        return read_profile(path)

    def _path(self, name: str) -> Path:
        if not NAME_PATTERN.fullmatch(name):
            raise InputError(
                f"a profile's name must match {NAME_PATTERN.pattern}, but got `{name}`",
                hint="use small letters, digits, - and _",
            )
        path = self.folder / f"{name}.yaml"
        if path.is_symlink() and not path.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(f"a profile must lie in {self.folder}, but `{name}` points to {path.resolve()}")
        return path

    def _former(self, name: str) -> Path:
        self._path(name)
        return self.folder / ".history" / name

    def _revision(self, name: str) -> int:
        return int(Document.read(self._path(name)).data.get("revision") or 1)

    def _lock(self) -> FileLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        return FileLock(self.folder / ".lock", timeout=30)


def differences(old: Profile, new: Profile) -> dict[str, tuple[Any, Any]]:
    """What two profiles differ in: ``group.variable`` (and task, dataset) to both values."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in ("task", "dataset"):
        if getattr(old, name) != getattr(new, name):
            found[name] = (getattr(old, name), getattr(new, name))
    keys = {v.name: v.key for p in (old, new) for v in load_task(p.task).variables}
    for name, key in keys.items():
        before, after = old.config.get(name), new.config.get(name)
        if before != after:
            found[key] = (before, after)
    return found


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> WorkFailed:
    return WorkFailed(f"cannot write {path}: {error.strerror}", hint="free some space or choose another folder with --profiles")
