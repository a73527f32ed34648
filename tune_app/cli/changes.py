"""The verb that changes a sweep while it runs: change."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tune_app.cli.options import store_option
from tune_app.errors import InputError, WorkFailed

if TYPE_CHECKING:
    from tune_app.store.study import Study
    from tune_app.store.sweep_changes import SweepChange

ANSWER_S = 30.0
"""So long a sweep may take to answer; behind an object store it looks every few seconds."""
PERIOD_S = 0.1


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
    from tune_app.store.sweep_changes import SweepChange

    if concurrent is not None and concurrent != "auto" and not (concurrent.isdigit() and int(concurrent)):
        raise InputError(f"`--concurrent` must be auto or a whole number, 1 or more, but got `{concurrent}`")
    by = user_name()
    wanted = [SweepChange("stop", trial, by) for trial in stop]
    wanted += [] if trials is None else [SweepChange("trials", trials, by)]
    wanted += (
        [] if concurrent is None else [SweepChange("concurrent", 0 if concurrent == "auto" else int(concurrent), by)]
    )
    wanted += [SweepChange("retry", trial, by) for trial in retry]  # last: each adds to the number of trials
    if not wanted:
        raise InputError(
            "nothing was asked for", hint="`tune-app change --help` shows what a running sweep can be asked"
        )
    opened = Store(store).study(study)
    for asked in wanted:
        click.echo(_answer(opened, asked))


def _answer(study: Study, asked: SweepChange) -> str:
    """Ask for one change and wait for what comes of it.

    Raises:
        WorkFailed: the sweep did not look at it in time; it may have ended.
    """
    from tune_app.store.sweep_changes import SweepChanges

    number = SweepChanges(study).ask(asked)
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        live = study.json("live.json")
        if live.get("changes", 0) > number:
            return str(live["answer"])
        time.sleep(PERIOD_S)
    raise WorkFailed(
        f"the sweep of `{study.name}` has not answered for {ANSWER_S:g} s",
        hint="it may be ending, or its machine is gone",
    )
