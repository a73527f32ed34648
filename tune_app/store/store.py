"""The store: all studies under one root."""

from __future__ import annotations

from pathlib import Path

from tune_app.errors import NotFound, nearest
from tune_app.folder import Folder, open_folder
from tune_app.store.study import Study


def study_names(folder: Folder) -> list[str]:
    """Names of the studies in a store, sorted; a study exists once it has its ``spec.yaml``."""
    return [name for name in folder.names("studies") if folder.exists(f"studies/{name}/spec.yaml")]


class Store:
    """All studies under one root: a folder, or an address such as ``s3://bucket/results``."""

    def __init__(self, root: str | Path) -> None:
        self.folder = open_folder(root)

    def studies(self) -> list[str]:
        """Names of the studies, sorted."""
        return study_names(self.folder)

    def study(self, name: str) -> Study:
        """The study `name`.

        Raises:
            InputError: there is no such study.
        """
        # Not all studies are looked at for one of them: a store may hold thousands.
        if name not in self.folder.names("studies") or not self.folder.exists(f"studies/{name}/spec.yaml"):
            names = self.studies()
            hint = nearest(name, names) if names else "the store is empty; start with `tune-app run`"
            raise NotFound(f"there is no study `{name}` in {self.folder.url}", hint=hint)
        return Study(self.folder, name)
