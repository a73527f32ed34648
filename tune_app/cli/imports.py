"""The command `import`, which reads other tuners' files."""

from __future__ import annotations

import click

from tune_app.errors import InputError


@click.command("import")
@click.argument("file", type=click.Path())
def import_(file: str) -> None:
    """Convert a Weights & Biases sweep FILE to a search space on stdout, and list what has no equivalent on stderr."""
    from tune_app.document import Document, to_yaml
    from tune_app.spaces.wandb_sweep import read_sweep
    from tune_app.tasks.spec_file import read_spec

    imported = read_sweep(Document.read(file))
    for note in imported.notes:
        click.echo(f"note: {note}", err=True)
    try:
        read_spec(Document.of(imported.space, f"{file} as a search space"))
    except InputError as error:
        raise InputError(error.message, where=error.where, hint=error.hint or "change it in the file") from None
    click.echo(to_yaml(imported.space, compact=True), nl=False)
