"""Profiles: named, validated, versioned configurations that say where they come from."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from tune_app import provenance
from tune_app.document import Document, shown
from tune_app.errors import Conflict, InputError, NotFound, WorkFailed, nearest
from tune_app.folder import LocalFolder
from tune_app.moment import now
from tune_app.results import review
from tune_app.spaces.catalog import Catalog, check_group, check_value, find_variable, parse_value
from tune_app.spaces.parameters import read_constraints
from tune_app.spaces.space import Space
from tune_app.spaces.spec import epochs_of
from tune_app.spaces.variable import Config, DatasetReference, Value, flatten_config, group_config
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks import TASKS
from tune_app.tasks.catalogs import load_catalog

SCHEMA_VERSION = 1
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DEFAULT_FOLDER = "profiles"
LOCK_WAIT_S = 30.0
HINT = "free some space or choose another folder with --profiles"
KEYS = ("schema_version", "name", "revision", "task", "dataset", "note", "config", "constraints", "provenance")


def default_folder() -> str:
    """The profiles folder: ``TUNE_APP_PROFILES``, else ``./profiles``."""
    return os.environ.get("TUNE_APP_PROFILES", DEFAULT_FOLDER)


@dataclass(frozen=True)
class Profile:
    """One configuration in force or kept under a name.

    Attributes:
        catalog: of its task: what its values are checked against.
        config: every variable of the task.
        constraints: what must hold when it is edited: the constraints of the space that it was found in.
        provenance: study, trial, objective, seed, epochs, what was edited, code, hashes of space and data.
        revision: counts the savings under this name, from 1; 0 before the first.
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

    def space(self) -> Space:
        """The task's catalog with this profile's constraints, for checking values."""
        return Space.of_catalog(self.catalog, self.constraints)

    def validated(self, where: str = "") -> Profile:
        """This profile with its values checked against the task's variables and the constraints.

        Raises:
            InputError: the first value that does not fit.
        """
        return replace(self, config=self.space().validate(self.config, where or f"profile {self.name}"))

    def for_catalog(self, catalog: Catalog) -> Profile:
        """This profile for its task as it is today; a variable that the task got since has its default.

        Raises:
            InputError: a value does not fit any more.
        """
        defaults = {variable.name: variable.default for variable in catalog.variables}
        return replace(self, catalog=catalog, config={**defaults, **self.config}).validated()

    def edited(self, edits: Mapping[str, Value], source: str = "--set") -> Profile:
        """This profile with other values by ``group.variable``; provenance says what was found and saved.

        A text is read as the variable's type, as ``--set group.variable=value`` gives it.

        Args:
            source: where the values stand, for errors.

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
            "note": self.note,
            "config": group_config(self.config, self.catalog.variables),
            "constraints": list(self.constraints),
            "provenance": dict(self.provenance),
        }

    def to_yaml(self) -> str:
        """`to_dict` as YAML."""
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        yaml.width = 2**20  # where ruamel.yaml folds an escaped text, a space too many is read back
        document = self.to_dict()
        # ruamel.yaml writes these line ends and marks as they are and reads them as something else.
        yaml.allow_unicode = not re.search("[\x80-\x9f\u2028\u2029\ufeff]", _texts(document))
        text = io.StringIO()
        yaml.dump(document, text)
        return text.getvalue()


def _texts(value: object) -> str:
    """All texts in a document, one behind the other."""
    if isinstance(value, Mapping):
        return "".join(str(key) + _texts(child) for key, child in value.items())
    if isinstance(value, (list, tuple)):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


def from_trial(study: Study, row: pd.Series[Any], name: str) -> Profile:
    """The configuration of a trial as a profile that is not saved yet."""
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
            # Of the whole training, also where the trial was stopped early.
            "epochs": epochs_of(config, document["budget"]["epochs"]),
            "seed": int(row["seed"]),
            "edited": {},
            "code": kept.get("code", {}),
            "spec_sha256": kept.get("spec_sha256"),
            "dataset_sha256": kept.get("dataset_sha256"),
        },
    )


def find_configuration(
    profiles: Profiles, store: Store, *, profile: str | None = None, study: str | None = None, trial: int | None = None
) -> Profile:
    """The configuration of a profile, of trial number `trial` of a study, or of the study's best trial for None.

    Raises:
        NotFound: there is no such thing.
        InputError: not exactly one of `profile` and `study` is given.
        WorkFailed: the best trial is wanted, and none completed.
    """
    if (study is None) == (profile is None):
        raise InputError("name a study or a profile, one of the two", hint="for example `tune-app apply digits-cnn`")
    if profile is not None:
        return profiles.load(profile)
    assert study is not None
    opened = store.study(study)
    row = review.trial_row(opened, trial)
    return from_trial(opened, row, f"{study}-{int(row['trial'])}"[:64])


def _is_mapping(document: Document, key: str) -> bool:
    return isinstance(document.data.get(key), dict)


def read_document(document: Document, find_catalog: Callable[[str], Catalog]) -> Profile:
    """Read a profile and check it against the catalog of its task.

    Args:
        find_catalog: the catalog of a task by its name, such as `Profiles.catalog`.

    Raises:
        InputError: it is not a profile of a version that this program knows, or a value does not fit.
    """
    for key in document.data:
        if key not in KEYS:
            raise InputError(
                f"a key must be one of those below, but got `{key}`", where=document.where(key), hint=nearest(key, KEYS)
            )
    version = document.data.get("schema_version")
    if version is True or version != SCHEMA_VERSION:
        raise InputError(
            f"`schema_version` must be {SCHEMA_VERSION}, but got {shown(version)}",
            where=document.where("schema_version"),
            hint="update tune-app" if isinstance(version, int) and version > SCHEMA_VERSION else "",
        )
    try:
        catalog = find_catalog(_text(document, "task"))
    except InputError as error:
        raise InputError(error.message, where=document.where("task"), hint=error.hint) from error
    profile = Profile(
        name=_text(document, "name"),
        catalog=catalog,
        dataset=document.mapping("dataset") if _is_mapping(document, "dataset") else _text(document, "dataset"),
        config=_read_config(document, catalog),
        constraints=tuple(expression.text for expression, _ in read_constraints(document)),
        provenance=_read_provenance(document),
        note=_text(document, "note") if document.data.get("note") else "",
        revision=_read_revision(document),
    )
    try:
        return profile.validated(where=document.source)
    except InputError as error:
        raise InputError(error.message, where=_within(document.source, error.where), hint=error.hint) from None


def _within(source: str, where: str) -> str:
    """`where` with the file in front; an expression that fails says only its own text."""
    return where if where.startswith(source) else f"{source} {where}".strip()


def _text(document: Document, key: str) -> str:
    value = document.data.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"`{key}` must be a text, but got {shown(value)}", where=document.where(key))
    return value


def _read_config(document: Document, catalog: Catalog) -> Config:
    """The full configuration; a variable that is not named has the task's default, as in a search space.

    So a profile stays valid when its task gets a new variable, whose default leaves things as they were.
    """
    variables = catalog.variables
    for group in document.mapping("config"):
        check_group(group, document.where("config", group))
        for name, value in document.mapping("config", group).items():
            where = document.where("config", group, name)
            check_value(find_variable(f"{group}.{name}", variables, where), value, where)
    named = flatten_config({group: document.mapping("config", group) for group in document.mapping("config")})
    return {**{variable.name: variable.default for variable in variables}, **named}


def _read_provenance(document: Document) -> dict[str, Any]:
    """What later work relies on is checked; the rest is kept as it is."""
    found = document.mapping("provenance")
    for variable in document.mapping("provenance", "edited"):
        document.mapping("provenance", "edited", variable)
    for key in ("seed", "epochs"):
        value = found.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise InputError(
                f"`{key}` must be a whole number from 0, but got {shown(value)}",
                where=document.where("provenance", key),
            )
    return found


def _read_revision(document: Document) -> int:
    value = document.data.get("revision", 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(
            f"`revision` must be a whole number from 0, but got {shown(value)}", where=document.where("revision")
        )
    return value


class Profiles:
    """The profiles of one folder, with their former revisions and the session."""

    def __init__(self, folder: str | Path | None = None, may_import: Callable[[str], bool] = lambda task: True) -> None:
        """Open a folder, which need not exist.

        Args:
            folder: None for the default.
            may_import: whether a user's own task may be imported to learn its catalog. To import is to run code: a page
                never does, a server only for the classes that its owner listed.
        """
        self.folder = Path(folder or default_folder()).absolute()
        self._may_import = may_import

    def catalog(self, task: str) -> Catalog:
        """The catalog of a task: of ours, of a user's own that may be imported, else as a saved profile left it here.

        Raises:
            InputError: there is no such task, or nothing here knows it.
        """
        if task in TASKS or self._may_import(task):
            return load_catalog(task)
        path = self._catalog_path(task)
        if not path.is_file():
            raise InputError(
                f"the catalog of the task `{task}` is not in {self.folder}, and the task may not be imported here",
                hint="`tune-app profile save` writes it beside a profile of the task",
            )
        return Catalog.from_dict(json.loads(path.read_text(encoding="utf-8")), str(path))

    def _catalog_path(self, task: str) -> Path:
        return self.folder / ".catalogs" / f"{hashlib.sha256(task.encode()).hexdigest()[:16]}.json"

    def names(self) -> list[str]:
        """Names of the profiles, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.yaml") if NAME_PATTERN.fullmatch(p.stem) and p.is_file())

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
                raise NotFound(f"the profile `{name}` has no revision {revision}", hint=f"kept: {kept}")
        elif not path.is_file():
            raise NotFound(
                f"there is no profile `{name}` in {self.folder}",
                hint=nearest(name, self.names()) if self.names() else "save one with `tune-app profile save`",
            )
        profile = read_document(Document.read(path), self.catalog)
        if profile.name != name:
            raise InputError(
                f"`name` must be that of the file, `{name}`, but got `{profile.name}`",
                where=f"{path} name",
                hint="a copy is made with `tune-app profile save NAME --from PROFILE`",
            )
        return profile

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
            InputError: a value does not fit.
            Conflict: the profile changed since it was loaded.
            WorkFailed: the folder cannot be written.
        """
        profile = profile.validated()
        path = self._path(profile.name)
        with self._writing():
            current = self._revision(profile.name) if path.is_file() else 0
            self._check_unchanged(profile.name, current, loaded_revision)
            number = max([0, *self.revisions(profile.name)]) + 1
            saved = replace(profile, revision=number, provenance={**profile.provenance, "saved_at": now()})
            if "code" not in saved.provenance:
                saved = replace(saved, provenance={**saved.provenance, "code": provenance.code()})
            if current:
                _write(self._former(profile.name) / f"{current}.yaml", path.read_text(encoding="utf-8"))
            if saved.task not in TASKS:
                _write(self._catalog_path(saved.task), json.dumps(saved.catalog.to_dict(), indent=1))
            _write(path, saved.to_yaml())
        return saved

    def _check_unchanged(self, name: str, current: int, loaded: int) -> None:
        if current != loaded:
            raise Conflict(
                f"the profile `{name}` is at revision {current}, but revision {loaded} was loaded",
                where=str(self._path(name)),
                hint="look at it with `tune-app profile diff`, then save again (--replace on the command line)",
            )

    def delete(self, name: str, *, loaded_revision: int | None = None) -> None:
        """Remove a profile from the list; its revisions stay in the history.

        Args:
            loaded_revision: the revision that the caller saw last; None for whatever it is at now.

        Raises:
            NotFound: there is none.
            Conflict: it changed since it was loaded.
        """
        path = self._path(name)
        with self._writing():
            if not path.is_file():
                self.load(name)
            if loaded_revision is not None:
                self._check_unchanged(name, self._revision(name), loaded_revision)
            _write(self._former(name) / f"{self._revision(name)}.yaml", path.read_text(encoding="utf-8"))
            try:
                path.unlink()
            except OSError as error:
                raise _cannot_write(path, error) from error

    def rename(self, name: str, new: str, *, loaded_revision: int | None = None) -> Profile:
        """Give a profile another name; its revisions go with it. Where this is cut short, both names exist.

        Args:
            loaded_revision: the revision that the caller saw last; None for whatever it is at now.

        Raises:
            NotFound: there is none.
            Conflict: the new name is taken, by a profile or by the history of a deleted one, or the profile changed
                since it was loaded.
            InputError: the new name is none.
        """
        path, target = self._path(name), self._path(new)
        with self._writing():
            if not path.is_file():
                self.load(name)
            if loaded_revision is not None:
                self._check_unchanged(name, self._revision(name), loaded_revision)
            if self.revisions(new):
                what = "a profile" if target.is_file() else "a deleted profile, whose history is kept,"
                raise Conflict(f"{what} has the name `{new}`", where=str(target), hint="choose another name")
            for former in sorted(self._former(name).glob("*.yaml")):
                _write(self._former(new) / former.name, _renamed(former.read_text(encoding="utf-8"), new))
            _write(target, _renamed(path.read_text(encoding="utf-8"), new))
            try:
                path.unlink()
                shutil.rmtree(self._former(name), ignore_errors=True)
            except OSError as error:
                raise _cannot_write(path, error) from error
        return self.load(new)

    def apply(self, profile: Profile) -> Profile:
        """Make `profile` the session: what ``train`` uses when no profile is named."""
        session = replace(profile.validated(), provenance={**profile.provenance, "saved_at": now()})
        with self._writing():
            _write(self.folder / ".session.yaml", session.to_yaml())
        return session

    def session(self) -> Profile:
        """The configuration in force now.

        Raises:
            InputError: nothing was applied yet.
        """
        path = self.folder / ".session.yaml"
        if not path.is_file():
            raise NotFound(
                f"there is no session in {self.folder}: nothing was applied yet",
                hint="`tune-app apply STUDY` applies the best trial of a study",
            )
        return read_document(Document.read(path), self.catalog)

    def _path(self, name: str) -> Path:
        if not NAME_PATTERN.fullmatch(name):
            raise InputError(
                f"a profile's name must match {NAME_PATTERN.pattern}, but got `{name}`",
                hint="use small letters, digits, - and _",
            )
        return self._inside(self.folder / f"{name}.yaml", name)

    def _former(self, name: str) -> Path:
        self._path(name)
        return self._inside(self.folder / ".history" / name, name)

    def _inside(self, path: Path, name: str) -> Path:
        """`path`, if no link on the way to it leads out of the folder."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # links in a circle
            real = Path("/")
        if not real.is_relative_to(self.folder.resolve()):
            raise InputError(f"a profile must lie in {self.folder}, but `{name}` points to {real}", where=str(path))
        return path

    def _revision(self, name: str) -> int:
        return _read_revision(Document.read(self._path(name)))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the right to write the folder, alone among processes and threads."""
        lock = FileLock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=LOCK_WAIT_S)
        except Timeout:
            raise WorkFailed(
                f"another process has been writing the profiles for {LOCK_WAIT_S:g} s", where=str(self.folder)
            ) from None
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        try:
            yield
        finally:
            lock.release()


def differences(old: Profile, new: Profile) -> dict[str, tuple[Any, Any]]:
    """What two profiles differ in: ``group.variable`` (and task, dataset) to both values."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in ("task", "dataset"):
        if getattr(old, name) != getattr(new, name):
            found[name] = (getattr(old, name), getattr(new, name))
    keys = {v.name: v.key for p in (old, new) for v in p.catalog.variables}
    for name, key in keys.items():
        before, after = old.config.get(name), new.config.get(name)
        if before != after:
            found[key] = (before, after)
    return found


def _renamed(text: str, name: str) -> str:
    """The text of a profile's file under another name; the rest stays as it is, also where it is valid no more.

    In quotes, because a name may look like a number.
    """
    return re.sub(r"(?m)^name:.*$", f"name: '{name}'", text, count=1)


def _write(path: Path, text: str) -> None:
    try:
        LocalFolder(path.parent).write(path.name, text.encode())
    except WorkFailed as error:
        raise WorkFailed(error.message, hint=HINT) from error


def _cannot_write(path: Path, error: OSError) -> WorkFailed:
    return WorkFailed(f"cannot write {path}: {error.strerror}", hint=HINT)
