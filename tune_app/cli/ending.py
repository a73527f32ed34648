"""How a sweep ended, for the user who ran or watched it: its results, or the error if it failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from tune_app.cli.options import print_json
from tune_app.cli.results import leaderboard, records
from tune_app.errors import Interrupted, Terminated, TuneAppError, WorkFailed

if TYPE_CHECKING:
    from tune_app.store.study import Study


def report_end(study: Study, reason: str | None, message: str | None, states: Mapping[str, int], as_json: bool) -> None:
    """Print the best trials, or one JSON document.

    Args:
        reason: why the sweep ended before all trials were done, see `tune_app.sweep.sweep.Outcome`.
        message: the reason in words.
        states: the number of the study's trials in each end state.

    Raises:
        TuneAppError: the sweep was stopped, or no trial completed.
    """
    from tune_app.results.review import front_trials, ranked_trials

    name, completed = study.name, states.get("COMPLETED", 0) > 0
    ranked, pareto = ranked_trials(study), front_trials(study)
    if as_json:
        best = records(ranked.head(1))[0] if completed else None
        found = {"study": name, "reason": reason, "states": states, "best": best}
        print_json({**found, **({} if pareto.empty else {"front": pareto["trial"].tolist()})})
    elif completed:
        counts = ", ".join(f"{count} {state.lower()}" for state, count in sorted(states.items()))
        click.echo(f"{name}: {counts}")
        leaderboard(ranked if pareto.empty else pareto, study.document())
        click.echo(
            f"\nkeep the best: tune-app profile save NAME --trial {name}"
            f"\nall trials:    tune-app trials {name}        results: {study.trials_path}"
        )
    _raise_end(name, reason, message, completed)


def _raise_end(study: str, reason: str | None, message: str | None, completed: bool) -> None:
    hint = f"`tune-app resume {study}` continues"
    if reason in ("terminate", "lost"):
        raise stopped(reason, message, study)
    if reason == "interrupt":
        raise Interrupted(f"{message}; results are kept", hint=hint)
    if reason == "fuse":
        raise WorkFailed(f"the sweep was stopped: {message}", hint=f"{hint}; --no-fuse lets it run on regardless")
    if not completed:
        why = f"{message}, and " if reason == "time" else ""
        raise WorkFailed(
            f"{why}no trial of `{study}` completed, so there is no best configuration",
            hint=f"`tune-app trials {study}` shows what happened; {hint}",
        )
    if reason == "time":
        click.echo(f"{message}; {hint}", err=True)


def stopped(reason: str, message: str | None, study: str) -> TuneAppError:
    """The error for a sweep that had to stop immediately."""
    hint = f"`tune-app resume {study}` continues"
    if reason == "terminate":
        return Terminated(f"{message}; results are kept", hint=hint)
    return WorkFailed(f"the sweep was stopped: {message}; results are kept", hint=hint)
