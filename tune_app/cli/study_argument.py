"""The argument STUDY of several commands."""

from __future__ import annotations

import click

from tune_app.cli.options import Decorator
from tune_app.errors import TuneAppError


def study_argument(*, required: bool = True) -> Decorator:
    """The name of a study; the shell completes those of the store."""
    return click.argument("study", required=required, shell_complete=_names)


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from tune_app.store.store import Store

    try:
        names = Store(context.params["store"]).folder.names("studies")
    except TuneAppError:
        return []  # a shell shows no errors while a person types
    return [name for name in names if name.startswith(incomplete)]
