"""The command `change`, which changes a running sweep."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tune_app.cli.options import store_option
from tune_app.cli.study_argument import study_argument
from tune_app.errors import InputError


@click.command()
@study_argument()
@click.option(
    "--stop", multiple=True, type=click.IntRange(min=0), metavar="TRIAL", help="Stop a trial after its current epoch."
)
@click.option("--retry", multiple=True, type=click.IntRange(min=0), metavar="TRIAL", help="Run a trial again.")
@click.option("--trials", type=click.IntRange(min=1), help="Total number of trials in the study.")
@click.option("--concurrent", metavar="N|auto", help="How many trials run at once; auto fills the cluster.")
@store_option
def change(
    study: str, stop: Sequence[int], retry: Sequence[int], trials: int | None, concurrent: str | None, store: str
) -> None:
    """Change the running sweep of STUDY, wherever it runs.

    A stopped trial counts as pruned and is tagged "stopped by hand". A retried trial is a new trial with the same
    configuration and seed; it starts next. Lowering --concurrent or --trials lets running trials finish.
    """
    from tune_app.provenance import user_name
    from tune_app.store.store import Store
    from tune_app.store.sweep_changes import SweepChanges, changes_of

    if concurrent is not None and concurrent != "auto" and not (concurrent.isdigit() and int(concurrent)):
        raise InputError(f"`--concurrent` must be auto or a whole number, 1 or more, but got `{concurrent}`")
    at_once = None if concurrent is None else 0 if concurrent == "auto" else int(concurrent)
    wanted = changes_of(stop, retry, trials, at_once, user_name())
    if not wanted:
        raise InputError("there is nothing to change", hint="`tune-app change --help` lists what you can change")
    changes = SweepChanges(Store(store).study(study))
    for asked in wanted:
        click.echo(changes.answer_to(asked))
