"""The command `replay`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.options import json_option, print_json, store_option
from tune_app.cli.results import print_table
from tune_app.cli.study_argument import study_argument
from tune_app.errors import InputError, nearest
from tune_app.readable import counted, shown

if TYPE_CHECKING:
    from tune_app.sweep.recorded_study import RecordedStudy
    from tune_app.sweep.study_replay import ReplayedStudy


@click.command()
@study_argument()
@click.option("--pruning", multiple=True, metavar="LEVEL", help="A pruning level; repeatable. Default: all.")
@click.option(
    "--sampler",
    multiple=True,
    metavar="NAME",
    help="A sampler that chooses among the recorded configurations; repeatable. Default: their original order.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of replays, with different sampler seeds or orders.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Parallel trials. Default: as many as in the study.")
@json_option
@store_option
def replay(
    study: str,
    pruning: tuple[str, ...],
    sampler: tuple[str, ...],
    seeds: int,
    workers: int | None,
    as_json: bool,
    store: str,
) -> None:
    """Show what other pruning levels and samplers would have found in STUDY, and at what cost. Needs a study that you
    ran
    with `--pruning off`: it replays the learning curves and trains nothing."""
    from tune_app.spaces.section import LEVELS
    from tune_app.store.store import Store
    from tune_app.sweep.recorded_study import read_study
    from tune_app.sweep.study_replay import PROPOSING, replay_study

    levels = _known("--pruning", "a pruning level", pruning, LEVELS) or LEVELS
    samplers = _known("--sampler", "a sampler that proposes configurations", sampler, PROPOSING) or (None,)
    recorded = read_study(Store(store).study(study))
    workers = workers or recorded.workers
    arms = dict.fromkeys([(None, "off"), *((name, level) for name in samplers for level in levels)])
    runs = [replay_study(recorded, level, name, seed, workers) for name, level in arms for seed in range(seeds)]
    if as_json:
        print_json({**_facts(recorded, workers), "replays": [asdict(run) for run in runs]})
    else:
        _show(recorded, runs, workers)


def _known(option: str, rule: str, given: Sequence[str], valid: Iterable[str]) -> tuple[str, ...]:
    """The given names without duplicates.

    Raises:
        InputError: one of them is not valid.
    """
    for name in given:
        if name not in valid:
            raise InputError(f"`{option}` must be {rule}, but got `{name}`", hint=nearest(name, valid))
    return tuple(dict.fromkeys(given))


def _facts(recorded: RecordedStudy, workers: int) -> dict[str, Any]:
    """What all replays have in common."""
    return {
        "study": recorded.spec.name,
        "objective": recorded.objective.metric,
        "direction": recorded.objective.direction,
        "trials": len(recorded.trials),
        "left_out": recorded.left_out,
        "epochs": recorded.epochs,
        "workers": workers,
        "best": {"trial": recorded.best.trial, "objective": recorded.best.curve.truth},
    }


def _show(recorded: RecordedStudy, runs: list[ReplayedStudy], workers: int) -> None:
    """Print a summary, and a line for each sampler and level."""
    metric, best = recorded.objective.metric, recorded.best
    count, name = len(recorded.trials), recorded.spec.name
    click.echo(
        f"{name}: {counted(count, 'trial')}, {counted(recorded.epochs, 'epoch')}; "
        f"the best is trial {best.trial} with {metric} {shown(best.curve.truth)}. Replayed with {workers} at a time:\n"
    )
    grouped = groupby(runs, key=lambda run: (run.sampler, run.pruning))
    print_table([_line(metric, sampler, level, list(found)) for (sampler, level), found in grouped])
    notes = ["time only counts epochs: not the start of a trial, nor the choice of its configuration"]
    if any(run.sampler for run in runs):
        notes.append(f"a proposal is the nearest of the {count} recorded configurations that no trial has used yet")
    if seeds := runs[-1].seed:
        notes.append(
            f"medians of {seeds + 1} replays, in brackets the range; all but the first shuffle the recorded order"
        )
    if recorded.left_out:
        notes.append(
            f"left out: {recorded.left_out} of the study's trials failed for reasons other than their configurations"
        )
    click.echo("\n" + "\n".join(notes))


def _line(metric: str, sampler: str | None, level: str, runs: list[ReplayedStudy]) -> dict[str, Any]:
    """A row of the table: one run, or the medians and ranges of several."""
    best = [run for run in runs if run.best is not None]
    return {
        "configurations": sampler or "as recorded",
        "pruning": level,
        f"best {metric}": _spread([run.best for run in best], shown) or "none completed",
        "its place": _spread([run.place for run in best], _whole),
        "found after": _spread([run.found_s for run in best], _time),
        "the study's best": _fate(runs),
        "epochs": _spread([run.epochs for run in runs], _whole),
        "of all": _spread([100 * run.share for run in runs], lambda percent: f"{percent:.0f}%"),
        "time": _spread([run.seconds for run in runs], _time),
    }


def _fate(runs: list[ReplayedStudy]) -> str:
    """What happened to the study's best trial."""
    if len(runs) > 1:
        return f"completed in {sum(run.best_state == 'COMPLETED' for run in runs)} of {len(runs)}"
    state, epochs = runs[0].best_state, runs[0].best_epochs
    return "completed" if state == "COMPLETED" else f"pruned after {counted(epochs, 'epoch')}"


def _spread(values: Sequence[Any], text: Callable[[Any], str]) -> str:
    """A single value, or the median and range of several; empty if there are none."""
    import statistics

    if len(set(map(text, values))) <= 1:
        return text(values[0]) if values else ""
    return f"{text(statistics.median(values))} ({text(min(values))} to {text(max(values))})"


def _time(seconds: float) -> str:
    from tune_app.cli.progress import duration

    return f"{seconds:.3g} s" if seconds < 60 else duration(seconds)


def _whole(value: float) -> str:
    return f"{value:g}"
