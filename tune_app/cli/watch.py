"""The command `watch`, which follows a sweep that another process runs, here or elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tune_app.cli.ending import report_end
from tune_app.cli.jobs import raise_end
from tune_app.cli.options import store_option
from tune_app.cli.study_argument import study_argument
from tune_app.errors import Interrupted, NotFound, WorkFailed

if TYPE_CHECKING:
    from tune_app.store.event_log import History
    from tune_app.store.store import Store
    from tune_app.store.study import Study

PERIOD_S = 0.25
REMOTE_PERIOD_S = 1.0
"""How often the live state is read; on an object store it is not written more often."""
JOB_PERIOD_S = 5.0
"""How often to check for a failed job that should have started the study."""
SILENT_S = 4.0
"""If a live state has not changed for this long, its sweep may have been killed."""


@click.command()
@study_argument()
@click.option("--wait", is_flag=True, help="Wait for a study that has not started yet.")
@store_option
def watch(study: str, wait: bool, store: str) -> None:
    """Follow a sweep of STUDY that runs elsewhere, as its own terminal shows it. Only needs the store.

    Exits with the sweep's exit code, or when nothing runs the study any more. Ctrl-C only stops watching.
    """
    from tune_app.store.store import Store

    opened = Store(store)
    try:
        found = _begun(opened, study, wait)
        history = _follow(found)
    except KeyboardInterrupt:
        raise Interrupted("stopped watching; the sweep continues", hint="`tune-app change` changes it") from None
    if not _has_ended(history):
        ended, total = sum(record.finished for record in history.trials.values()), found.document()["budget"]["trials"]
        rule = f"nothing runs the study `{study}` any more: its sweep was killed after {ended} of {total} trials"
        raise WorkFailed(f"{rule}, or its machine is gone", hint=f"`tune-app resume {study}` continues")
    states: dict[str, int] = {}
    for row in history.rows():
        states[str(row.state)] = states.get(str(row.state), 0) + 1
    report_end(found, history.sweeps[-1]["reason"], history.sweeps[-1]["message"], states, as_json=False)


def _begun(store: Store, name: str, wait: bool) -> Study:
    """The study, once it has started.

    Raises:
        NotFound: it has not, and `wait` is false.
        TuneAppError: the job that should have started it has ended.
    """
    from tune_app.jobs.job_store import JobStore

    said = not wait
    next_look = 0.0
    while True:
        try:
            return store.study(name)
        except NotFound as error:
            if not wait:
                raise NotFound(error.message, hint=f"{error.hint}; --wait waits for a study to start") from None
        if not said:
            said = True
            click.echo(f"waiting for the study `{name}` in {store.folder.url}", err=True)
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + JOB_PERIOD_S
            jobs = [job for job in JobStore(store.folder).all() if job.study == name]
            if jobs and all(job.ended for job in jobs) and name not in store.studies():
                raise_end(max(jobs, key=lambda job: job.requested_at))
        time.sleep(REMOTE_PERIOD_S)


def _follow(study: Study) -> History:
    """Show the sweep until it ends or nothing runs it any more; returns the final content of the event log."""
    from rich.console import Console

    from tune_app.cli.progress import Progress
    from tune_app.folder import LocalFolder

    period = PERIOD_S if isinstance(study.folder, LocalFolder) else REMOTE_PERIOD_S
    former = study.json("live.json")
    changed = time.monotonic()
    with Progress(Console(stderr=True), first=not former.get("latest")) as progress:
        while True:
            live = study.json("live.json")
            if live != former:
                former, changed = live, time.monotonic()
            if live.get("state") == "running":
                progress.update(live)
            silent = time.monotonic() - changed > SILENT_S
            # Checking takes the lock briefly, so do not check every time.
            if (live.get("state") == "ended" or silent) and not study.being_written():
                history = study.history()
                # A lock may not work across machines; written files do.
                if silent or _has_ended(history):
                    return history
            time.sleep(period)


def _has_ended(history: History) -> bool:
    """Whether the study's last sweep recorded how it ended."""
    return bool(history.sweeps) and history.sweeps[-1]["type"] == "sweep_ended"
