"""The folder of profiles: kept under names, with their former revisions, and the session."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tune_app import provenance
from tune_app.document import Document
from tune_app.errors import Conflict, InputError, NotFound, WorkFailed, nearest
from tune_app.folder import LocalFolder
from tune_app.moment import now
from tune_app.profiles.profile import Profile, from_trial
from tune_app.profiles.profile_document import read_document, read_revision
from tune_app.results import review
from tune_app.spaces.catalog import Catalog
from tune_app.store.store import Store
from tune_app.tasks import TASKS
from tune_app.tasks.catalogs import load_catalog

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DEFAULT_FOLDER = "profiles"
LOCK_WAIT_S = 30.0
HINT = "free some space or choose another folder with --profiles"


def default_folder() -> str:
    """The profiles folder: ``TUNE_APP_PROFILES``, else ``./profiles``."""
    return os.environ.get("TUNE_APP_PROFILES", DEFAULT_FOLDER)


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
        return read_revision(Document.read(self._path(name)))

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
