"""Packages that a user's own code needs, as a search space lists them, and which of them a machine lacks."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from tune_app.document import Document, shown
from tune_app.errors import InputError

REQUIREMENTS = "requirements"


def read_requirements(document: Document) -> tuple[str, ...]:
    """The `requirements` of a search space, such as ``transformers>=4.40``; empty if the key is absent.

    Raises:
        InputError: it is not a list, or one item is not a valid pip requirement.
    """
    found = document.data.get(REQUIREMENTS) or []
    if not isinstance(found, list):
        rule = f"`{REQUIREMENTS}` must be a list of packages, but got {shown(found)}"
        raise InputError(rule, where=document.where(REQUIREMENTS), hint="write for example `[transformers>=4.40]`")
    for number, text in enumerate(found):
        try:
            Requirement(text)
        except (InvalidRequirement, TypeError):
            rule = f"a requirement must be a package, optionally with versions, but got {shown(text)}"
            where = document.where(REQUIREMENTS, str(number))
            raise InputError(rule, where=where, hint="write for example `transformers>=4.40`") from None
    return tuple(found)


def lacking(requirements: Sequence[str]) -> list[str]:
    """The `requirements` that this machine's Python does not meet, each as text."""
    found = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            found.append(f"`{requirement.name}` is not installed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            found.append(f"`{requirement.name}` is {version}, not {requirement.specifier}")
    return found


def check_requirements(requirements: Sequence[str]) -> None:
    """Reject a search space that this machine cannot run.

    Raises:
        InputError: a package is missing.
    """
    if missing := lacking(requirements):
        raise missing_here("this machine", missing, requirements)


def missing_here(place: str, missing: Sequence[str], requirements: Sequence[str]) -> InputError:
    """The error if `place` lacks packages."""
    needed = " ".join(f"'{text}'" for text in requirements)
    return InputError(
        f"{place} must have all of `{REQUIREMENTS}`, but {', '.join(missing)}", hint=f"run there: pip install {needed}"
    )
