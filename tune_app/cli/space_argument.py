"""The argument SPACE of several commands."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from tune_app.spaces.space_file import find_space, space_names


class SpaceFile(click.ParamType[Any]):
    """The path of a search space, or the name of one."""

    name = "space"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The path as text."""
        return str(find_space(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names of search spaces, then files."""
        names = [CompletionItem(name) for name in space_names() if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="file")]
