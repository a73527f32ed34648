"""Write docs/cli.md from the commands' own help: ``make docs``; a test compares."""

from __future__ import annotations

from pathlib import Path

import click

from tune_app.cli.main import cli

HEAD = """# Command line

Generated from the commands by `make docs`. Exit codes: 0 done; 1 the work failed; 2 the input was invalid;
130 interrupted, 143 terminated (results are kept, `resume` continues). With `--json`, stdout has exactly one JSON
document.
"""


def reference() -> str:
    """The whole page."""
    return HEAD + "".join(_section(cli, "tune-app"))


def _section(command: click.Command, name: str, parent: click.Context | None = None) -> list[str]:
    settings = {**command.context_settings, "max_content_width": 110, "terminal_width": 110}
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, **settings)
    parts = [f"\n## {name}\n\n```\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            found = command.get_command(context, verb)
            assert found is not None
            parts += _section(found, f"{name} {verb}", context)
    return parts


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(reference(), encoding="utf-8")
