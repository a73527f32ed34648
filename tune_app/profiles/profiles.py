"""The folder of profiles, with their earlier revisions and the session."""

from __future__ import annotations

import json
import os
import re
import shlex
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
from tune_app.folder import LocalFolder, cannot_write
from tune_app.moment import now
from tune_app.naming import NAME_PATTERN, check_name
from tune_app.profiles.profile import Profile, from_trial
from tune_app.profiles.profile_document import read_document, read_revision
from tune_app.results import review
from tune_app.shipped import shipped_folder
from tune_app.spaces.catalog import Catalog
from tune_app.store.store import Store
from tune_app.tasks import TASKS
from tune_app.tasks.catalogs import load_catalog

DEFAULT_FOLDER = "profiles"
WHAT = "a profile's name"
LOCK_WAIT_S = 30.0


def default_folder() -> str:
    """The profiles folder: ``TUNE_APP_PROFILES``, else ``./profiles``."""
    return os.environ.get("TUNE_APP_PROFILES", DEFAULT_FOLDER)


def find_configuration(
    profiles: Profiles, store: Store, *, profile: str | None = None, study: str | None = None, trial: int | None = None
) -> Profile:
    """The configuration of a profile, or of a study's trial number `trial` (None: the best one).

    Raises:
        NotFound: it does not exist.
        InputError: not exactly one of `profile` and `study` is given.
        WorkFailed: the best trial is requested, but none completed.
    """
    if (study is None) == (profile is None):
        raise InputError("name either a study or a profile", hint="for example `tune-app apply digits-cnn`")
    if profile is not None:
        return profiles.find(profile)
    assert study is not None
    opened = store.study(study)
    row = review.trial_row(opened, trial)
    found = from_trial(opened, row, f"{study}-{int(row['trial'])}"[:64])
    # A catalog rebuilt from an old study's tables only knows the values in them.
    return found if opened.keeps_catalog() else profiles.for_today(found)


class Profiles:
    """The profiles of one folder, with their earlier revisions and the session."""

    def __init__(self, folder: str | Path | None = None, may_import: Callable[[str], bool] = lambda task: True) -> None:
        """Open a folder, which need not exist.

        Args:
            folder: None for the default.
            may_import: whether a user's own task may be imported to get its catalog. Importing runs code: the page
                never does it, the server only for the classes listed by its owner.
        """
        self.folder = Path(folder or default_folder()).absolute()
        self._may_import = may_import

    def catalog(self, task: str) -> Catalog:
        """The catalog of one of our tasks, or of a user's own task that may be imported.

        Raises:
            InputError: there is no such task, or it may not be imported.
        """
        if task not in TASKS and not self._may_import(task):
            raise InputError(
                f"the task `{task}` may not be imported here, and there is no catalog of it next to the profile",
                hint="`tune-app profile save NAME --from NAME --replace` on the command line creates one",
            )
        return load_catalog(task)

    def for_today(self, profile: Profile) -> Profile:
        """`profile` for the current version of its task; unchanged if the task may not be imported.

        Raises:
            InputError: the task cannot be imported, or a value does not fit any more.
        """
        known = not profile.catalog.open and (profile.task in TASKS or self._may_import(profile.task))
        return profile.for_catalog(load_catalog(profile.task)) if known else profile

    def _read(self, path: Path) -> Profile:
        """The profile in the file `path`, checked against its task, or against its stored catalog."""
        kept = self._kept_catalog(path)

        def find(task: str) -> Catalog:
            if kept is None or task in TASKS or self._may_import(task):
                return self.catalog(task)
            hint = f"its catalog is {self._catalog_path(path)}; save the profile on the command line to write it again"
            try:
                return Catalog.from_dict(dict(json.loads(kept)))
            except (ValueError, TypeError) as error:  # also raised by `from_dict`
                raise InputError(f"the catalog of the task `{task}` is damaged: {error}", hint=hint) from error

        return read_document(Document.read(path), find)

    def _catalog_path(self, path: Path) -> Path:
        """The catalog's path for the file `path`: a profile, an earlier revision or the session."""
        return (self.folder / ".catalogs" / path.relative_to(self.folder)).with_suffix(".json")

    def _kept_catalog(self, path: Path) -> str | None:
        catalog = self._catalog_path(path)
        return catalog.read_text(encoding="utf-8") if catalog.is_file() else None

    def _keep(self, path: Path, text: str, catalog: str | None) -> None:
        """Write a profile's file, after the catalog of a user's own task, which not everyone may import."""
        if catalog is not None:
            _write(self._catalog_path(path), catalog)
        _write(path, text)

    def _copy(self, path: Path, to: Path, name: str | None = None) -> None:
        """Copy a profile's file with its catalog; under another name if one is given."""
        text = path.read_text(encoding="utf-8")
        self._keep(to, text if name is None else _renamed(text, name), self._kept_catalog(path))

    def names(self) -> list[str]:
        """Names of the profiles, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.yaml") if NAME_PATTERN.fullmatch(p.stem) and p.is_file())

    def load(self, name: str, revision: int | None = None) -> Profile:
        """The profile `name`, or an earlier revision of it.

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
        profile = self._read(path)
        if profile.name != name:
            raise InputError(
                f"`name` must match the file name, `{name}`, but got `{profile.name}`",
                where=f"{path} name",
                hint="copy a profile with `tune-app profile save NAME --from PROFILE`",
            )
        return profile

    def find(self, name: str) -> Profile:
        """As `load`, or an example that ships with tune-app if the folder has no such profile.

        Raises:
            InputError: there is no such profile, or its file is not a valid profile.
        """
        if name not in self.names() and (shipped := shipped_profiles().get(name)):
            return shipped
        return self.load(name)

    def revisions(self, name: str) -> list[int]:
        """Numbers of the stored revisions, the current one last."""
        former = [int(p.stem) for p in self._former(name).glob("*.yaml") if p.stem.isdigit()]
        current = [self._revision(name)] if self._path(name).is_file() else []
        return sorted({*former, *current})

    def save(self, profile: Profile, *, loaded_revision: int) -> Profile:
        """Validate and save; the earlier revision is kept.

        Args:
            loaded_revision: the revision that the caller saw last; 0 for a new profile.

        Raises:
            InputError: a value is invalid.
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
                self._copy(path, self._former(profile.name) / f"{current}.yaml")
            self._keep(path, saved.to_yaml(), _own_catalog(saved))
        return saved

    def _check_unchanged(self, name: str, current: int, loaded: int) -> None:
        if current != loaded:
            raise Conflict(
                f"the profile `{name}` is at revision {current}, but revision {loaded} was loaded",
                where=str(self._path(name)),
                hint="review it with `tune-app profile diff`, then save again (--replace on the command line)",
            )

    def delete(self, name: str, *, loaded_revision: int | None = None) -> None:
        """Remove a profile from the list; its revisions stay in the history.

        Args:
            loaded_revision: the revision that the caller saw last; None for the current one.

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
            self._copy(path, self._former(name) / f"{self._revision(name)}.yaml")
            try:
                path.unlink()
                self._catalog_path(path).unlink(missing_ok=True)
            except OSError as error:
                raise _cannot_write(path, error) from error

    def rename(self, name: str, new: str, *, loaded_revision: int | None = None) -> Profile:
        """Rename a profile, along with its revisions. If this is interrupted, both names exist.

        Args:
            loaded_revision: the revision that the caller saw last; None for the current one.

        Raises:
            NotFound: there is none.
            Conflict: the new name is taken, by a profile or by the history of a deleted one, or the profile changed
                since it was loaded.
            InputError: the new name is invalid.
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
                self._copy(former, self._former(new) / former.name, new)
            self._copy(path, target, new)
            try:
                path.unlink()
                self._catalog_path(path).unlink(missing_ok=True)
                shutil.rmtree(self._catalog_path(self._former(name) / "1.yaml").parent, ignore_errors=True)
                shutil.rmtree(self._former(name), ignore_errors=True)
            except OSError as error:
                raise _cannot_write(path, error) from error
        return self.load(new)

    def apply(self, profile: Profile) -> Profile:
        """Make `profile` the session: what ``train`` uses when no profile is named."""
        session = replace(profile.validated(), provenance={**profile.provenance, "saved_at": now()})
        with self._writing():
            self._keep(self.folder / ".session.yaml", session.to_yaml(), _own_catalog(session))
        return session

    def session(self) -> Profile:
        """The current configuration.

        Raises:
            InputError: nothing has been applied yet.
        """
        path = self.folder / ".session.yaml"
        if not path.is_file():
            raise NotFound(
                f"there is no current configuration in {self.folder}: nothing has been applied yet",
                hint="`tune-app apply STUDY` applies the best trial of a study",
            )
        return self._read(path)

    def _path(self, name: str) -> Path:
        check_name(WHAT, name)
        return self._inside(self.folder / f"{name}.yaml", name)

    def _former(self, name: str) -> Path:
        self._path(name)
        return self._inside(self.folder / ".history" / name, name)

    def _inside(self, path: Path, name: str) -> Path:
        """`path`, if no link on the way points outside the folder."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # circular links
            real = Path("/")
        if not real.is_relative_to(self.folder.resolve()):
            raise InputError(f"a profile must be in {self.folder}, but `{name}` points to {real}", where=str(path))
        return path

    def _revision(self, name: str) -> int:
        return read_revision(Document.read(self._path(name)))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the exclusive right to write the folder, among processes and threads."""
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


def shipped_profiles() -> dict[str, Profile]:
    """The names of the examples that ship with tune-app, read-only; in a checkout, their folder also has the user's
    own profiles."""
    shipped = Profiles(shipped_folder(DEFAULT_FOLDER))
    return {name: shipped.load(name) for name in shipped.names() if name.endswith("-example")}


def differences(old: Profile, new: Profile) -> dict[str, tuple[Any, Any]]:
    """The differences of two profiles: ``group.variable`` (and task, dataset, a script's command) to both values."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in ("task", "dataset"):
        if getattr(old, name) != getattr(new, name):
            found[name] = (getattr(old, name), getattr(new, name))
    if old.catalog.script != new.catalog.script:
        found["command"] = (_command(old), _command(new))
    keys = {v.name: v.key for p in (old, new) for v in p.catalog.variables}
    for name, key in keys.items():
        before, after = old.config.get(name), new.config.get(name)
        if before != after:
            found[key] = (before, after)
    return found


def _command(profile: Profile) -> str | None:
    return None if profile.catalog.script is None else shlex.join(profile.catalog.script.command)


def _own_catalog(profile: Profile) -> str | None:
    """The catalog to store with a profile; those of our tasks are in the package."""
    return None if profile.task in TASKS else json.dumps(profile.catalog.to_dict(), indent=1)


def _renamed(text: str, name: str) -> str:
    """The text of a profile's file with another name; the rest is unchanged, even if it is no longer valid.

    The name is quoted, because it may look like a number.
    """
    return re.sub(r"(?m)^name:.*$", f"name: '{name}'", text, count=1)


def _write(path: Path, text: str) -> None:
    try:
        LocalFolder(path.parent).write(path.name, text.encode())
    except WorkFailed as error:
        if isinstance(error.__cause__, OSError):
            raise _cannot_write(path, error.__cause__) from error
        raise


def _cannot_write(path: Path, error: OSError) -> WorkFailed:
    return cannot_write(path, error, "--profiles")
