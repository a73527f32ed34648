"""The verb that changes a sweep while it runs: change."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tune_app.cli.options import store_option
from tune_app.errors import InputError


@click.command()
@click.argument("study")
@click.option("--stop", multiple=True, type=click.IntRange(min=0), metavar="TRIAL", help="End a trial after its epoch.")
@click.option("--retry", multiple=True, type=click.IntRange(min=0), metavar="TRIAL", help="Try a trial once more.")
@click.option("--trials", type=click.IntRange(min=1), help="How many trials the study gets in all.")
@click.option("--concurrent", metavar="N|auto", help="How many trials run at once; auto fills the cluster.")
@store_option
def change(
    study: str, stop: Sequence[int], retry: Sequence[int], trials: int | None, concurrent: str | None, store: str
) -> None:
    """Change the sweep that runs STUDY, wherever it runs.

    A stopped trial counts as pruned and is tagged "stopped by hand". A trial that is tried again is a new one with the
    same configuration and seed; it is the next to start. Lowering --concurrent or --trials lets running trials finish.
    """
    from tune_app.provenance import user_name
    from tune_app.store.store import Store
    from tune_app.store.sweep_changes import SweepChanges, changes_of

    if concurrent is not None and concurrent != "auto" and not (concurrent.isdigit() and int(concurrent)):
        raise InputError(f"`--concurrent` must be auto or a whole number, 1 or more, but got `{concurrent}`")
    at_once = None if concurrent is None else 0 if concurrent == "auto" else int(concurrent)
    wanted = changes_of(stop, retry, trials, at_once, user_name())
    if not wanted:
        raise InputError(
            "nothing was asked for", hint="`tune-app change --help` shows what a running sweep can be asked"
        )
    changes = SweepChanges(Store(store).study(study))
    for asked in wanted:
        click.echo(changes.answer_to(asked))
