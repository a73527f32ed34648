"""The commands that show results: studies, trials, show, logs, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.options import json_option, print_json, store_option
from tune_app.cli.study_argument import study_argument
from tune_app.errors import TuneAppError, WorkFailed
from tune_app.extras import require
from tune_app.readable import counted, is_absent, shown
from tune_app.standard_output import reserved

if TYPE_CHECKING:
    import pandas as pd

TRIAL_COLUMNS = ("trial", "state", "objective", "failure_kind", "epochs", "duration_s", "error")

MOST_FOLDED = 200
"""The most rows in a table that is wrapped to the width of a terminal; rich takes milliseconds for each."""
LINES_AT_ONCE = 500
FOLLOW_S = 0.5
"""How often a log that is followed is read."""

csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout.")


@click.command()
@json_option
@csv_option
@store_option
def studies(as_json: bool, as_csv: bool, store: str) -> None:
    """List the studies in the store."""
    import pandas as pd

    from tune_app.results.review import summary
    from tune_app.store.store import Store

    opened = Store(store)
    rows: list[dict[str, Any]] = []
    for name in opened.studies():
        try:
            rows.append({**summary(opened.study(name)), "invalid": None})
        except TuneAppError as error:
            rows.append({"study": name, "invalid": error.message})
    if as_json:
        print_json(rows)
    elif as_csv:
        click.echo(pd.DataFrame(rows).to_csv(index=False), nl=False)
    elif rows:
        print_table(rows)
    else:
        click.echo(f"no studies in {opened.folder.url}; start one with `tune-app run digits_cnn`")


@click.command()
@study_argument()
@json_option
@csv_option
@store_option
def trials(study: str, as_json: bool, as_csv: bool, store: str) -> None:
    """List the trials of STUDY, best first; --json and --csv include every variable."""
    from tune_app.results.review import ranked_trials
    from tune_app.store.store import Store

    opened = Store(store).study(study)
    table = ranked_trials(opened)
    if as_json:
        print_json(records(table))
    elif as_csv:
        click.echo(table.to_csv(index=False), nl=False)
    elif table.empty:
        ended = sum(record.finished for record in opened.history().trials.values())
        if ended and not opened.being_written():  # a crash or a full disk kept it from being written
            rule = f"the table must have the {counted(ended, 'trial')} of {study} that ended, but it is empty"
            raise WorkFailed(rule, where=opened.trials_path, hint=f"`tune-app resume {study}` writes it again")
        click.echo(f"no trial of {study} has ended yet")
    else:
        searched = searched_columns(opened.document())
        names = {**{n: n for n in TRIAL_COLUMNS[:3]}, **bare(searched), **{n: n for n in TRIAL_COLUMNS[3:]}}
        print_columns({name: table[column].tolist() for name, column in names.items() if column in table})


@click.command()
@study_argument()
@click.argument("trial", type=int, required=False)
@json_option
@store_option
def show(study: str, trial: int | None, as_json: bool, store: str) -> None:
    """Show one trial of STUDY: TRIAL by number, or the best one and, with two objectives, the Pareto front. Exits with
    1
    if no trial completed."""
    from tune_app.results.review import front_trials, trial_row
    from tune_app.store.store import Store

    opened = Store(store).study(study)
    row = trial_row(opened, trial)
    found = {str(key): value for key, value in row.items()}
    pareto = front_trials(opened) if trial is None else None
    if as_json:
        numbers = [] if pareto is None else pareto["trial"].tolist()
        print_json({**nested(found), **({"front": numbers} if numbers else {})})
        return
    if pareto is not None and not pareto.empty:
        click.echo("Pareto front:")
        leaderboard(pareto, opened.document(), rows=len(pareto))
        click.echo(f"\nthe trial with the best {opened.document()['objective']['metric']}:")
    print_row(found, opened.document())


@click.command()
@study_argument()
@click.argument("trial", type=click.IntRange(min=0))
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the trial ends.")
@store_option
def logs(study: str, trial: int, follow: bool, store: str) -> None:
    """Print the output of a TRIAL of STUDY so far."""
    from tune_app.results.review import is_running, trial_log
    from tune_app.store.log_lines import LARGEST_PIECE
    from tune_app.store.store import Store

    opened = Store(store).study(study)
    name, start = trial_log(opened, trial), 0
    while True:
        running = follow and is_running(opened, trial)
        while piece := opened.folder.read(name, start, LARGEST_PIECE):
            click.echo(piece, nl=False)
            start += len(piece)
        if not running:
            break
        time.sleep(FOLLOW_S)


def print_row(found: dict[str, Any], document: dict[str, Any]) -> None:
    """Print one trial: its results, and its configuration by group with the searched variables marked."""
    searched = set(searched_columns(document))
    facts = {k: v for k, v in found.items() if "/" not in k and shown(v) and (k, v) != ("star", False)}
    width = max(len(k) for k in [*facts, *(k.rsplit("/", 1)[-1] for k in found)]) + 4
    for name, value in facts.items():
        click.echo(f"{name:<{width}}{shown(value)}")
    for prefix in ("metric", "health", "config/architecture", "config/training", "config/data", "config/inference"):
        values = {k: v for k, v in found.items() if k.startswith(prefix + "/")}
        if values:
            click.echo(f"\n{prefix.rsplit('/', 1)[-1]}")
        for key, value in values.items():
            mark = "  searched" if key in searched else ""
            text = shown(value)
            if key == "health/overall" and not text:
                known = sum(not is_absent(v) for k, v in values.items() if k != key)
                text = f"unknown: {known} of {len(values) - 1} scores"
            click.echo(f"  {key.rsplit('/', 1)[-1]:<{width - 2}}{text}{mark}")


def leaderboard(table: pd.DataFrame, document: dict[str, Any], rows: int = 5) -> None:
    """Print the best completed trials side by side: the metric, then each variable that was searched."""
    best = records(table[table["state"] == "COMPLETED"].head(rows))
    if not best:
        raise WorkFailed("no trial completed", hint="`tune-app trials` shows why")
    lines = _compared(document)
    lines |= bare(searched_columns(document))
    print_table(
        [{"best trials": name} | {f"trial {r['trial']}": r[column] for r in best} for name, column in lines.items()]
    )


def _compared(document: dict[str, Any]) -> dict[str, str]:
    """The columns that rank trials, under their names in tables."""
    from tune_app.spaces.objective import AGAINST, label_of
    from tune_app.spaces.section import Objective

    objective = Objective.model_validate(document["objective"])
    columns = {label_of(objective): "objective"}
    if objective.mode == "health":
        columns |= {objective.metric: f"metric/{objective.metric}", "health": "health/overall"}
    if objective.mode == "pareto":
        columns[objective.against] = AGAINST[objective.against][0]
    return columns


def searched_columns(document: dict[str, Any]) -> list[str]:
    """Columns of the variables that the space searches."""
    parameters = document.get("parameters") or {}
    return [
        f"config/{group}/{name}"
        for group, named_ in parameters.items()
        for name, value in named_.items()
        if isinstance(value, dict)
    ]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as mappings; missing values are None."""
    return [{str(k): None if is_absent(v) else v for k, v in row.items()} for row in table.to_dict(orient="records")]


def bare(columns: list[str]) -> dict[str, str]:
    """Configuration columns by variable name, without the group."""
    return {column.rsplit("/", 1)[-1]: column for column in columns}


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """``config/<group>/<variable>``, ``metric/…`` and ``health/…`` as nested mappings."""
    result: dict[str, Any] = {}
    for key, value in row.items():
        *path, name = key.split("/")
        target = result
        for part in path:
            target = target.setdefault(part, {})
        target[name] = value
    return result


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows that all have the same names, see `print_columns`."""
    print_columns({name: [row.get(name) for row in rows] for name in rows[0]} if rows else {})


def print_columns(columns: Mapping[str, Sequence[Any]]) -> None:
    """Print columns of equal length under their names; skips columns that are empty in every row.

    On a terminal, long cells of a short table are wrapped. In a pipe, a table is as wide as needed, one line per row.
    """
    texts = {name: list(map(_cell, values)) for name, values in columns.items()}
    texts = {name: cells for name, cells in texts.items() if any(cells)}
    names, length = list(texts), len(next(iter(texts.values()), ()))
    if sys.stdout.isatty() and length <= MOST_FOLDED:
        _print_folded(names, list(zip(*texts.values(), strict=True)))
        return
    padded = []
    for name, cells in texts.items():
        width = max(len(name), *map(len, cells))
        padded.append([text.ljust(width) for text in (name, *cells)])
    lines = ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]
    for start in range(0, length + 1, LINES_AT_ONCE):
        click.echo("\n".join(lines[start : start + LINES_AT_ONCE]))


def _cell(value: Any) -> str:
    text = shown(value)
    return " ".join(text.split()) if isinstance(value, str) else text


def _print_folded(names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))  # as Text: an error may contain brackets, which rich would treat as markup
    Console(file=sys.stdout, highlight=False).print(table)


class TrialNumber(click.ParamType[Any]):
    """A trial's number, or ``best``."""

    name = "number|best"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        return value if value == "best" else click.IntRange(min=0).convert(value, param, ctx)


@click.command()
@study_argument()
@click.option("--trial", type=TrialNumber(), help="Report on one trial: its number, or best.")
@click.option("-o", "--output", default="report.html", show_default=True, help="The file to write.")
@store_option
def report(study: str, trial: int | str | None, output: str, store: str) -> None:
    """Write STUDY, or one of its trials, to a single HTML file with figures that works offline."""
    from pathlib import Path

    require("ui", "report")
    from tune_app.folder import cannot_write
    from tune_app.results.report import study_report, trial_report
    from tune_app.store.store import Store

    opened = Store(store).study(study)
    with reserved():  # a user's task may print
        if trial is None:
            text = study_report(opened)
        else:
            text = trial_report(opened, trial if isinstance(trial, int) else None)
    try:
        Path(output).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise cannot_write(output, error) from error
    click.echo(f"{output}: {len(text) / 2**20:.1f} MiB", err=True)
