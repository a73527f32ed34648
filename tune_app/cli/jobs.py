"""The commands for jobs: submit, and jobs list, status, logs, cancel, purge, shutdown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.notification import default_webhooks, notify_option
from tune_app.cli.options import json_option, print_json, profiles_option, set_option, store_option
from tune_app.cli.profiles import chosen_to_train
from tune_app.cli.results import print_table
from tune_app.cli.space_argument import SpaceFile
from tune_app.cli.sweeps import override_options, read_overrides
from tune_app.errors import InputError, Interrupted, WorkFailed
from tune_app.readable import counted
from tune_app.standard_output import reserved

if TYPE_CHECKING:
    from tune_app.jobs.job import Job
    from tune_app.jobs.job_request import JobRequest
    from tune_app.jobs.jobs import Jobs

TRAINING_TAKES = ("epochs", "seed", "cpus", "gpus")
"""Which of a sweep's options a training also accepts."""


@click.command()
@click.argument("space", type=SpaceFile(), required=False)
@click.option("--profile", "profile_name", metavar="NAME", help="Train this profile instead of running a sweep.")
@click.option("--trial", "trial_text", metavar="STUDY:N", help="Train the configuration of this trial instead.")
@override_options
@set_option
@click.option(
    "--start-from", multiple=True, metavar="NAME", help="Start with this profile, or with a study's best trials."
)
@click.option(
    "--address",
    envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
    help="Job server of a cluster, such as http://head:8265. Default: a head on this machine.",
)
@click.option("--no-preflight", is_flag=True, help="Skip the preflight.")
@click.option("--no-fuse", is_flag=True, help="Continue even if trials keep failing.")
@notify_option
@click.option(
    "--wait", is_flag=True, help="Wait until the job ends; exit with 1 if it failed, 130 if it was cancelled."
)
@click.option("--follow", is_flag=True, help="Show the job's output and wait until it ends.")
@json_option
@store_option
@profiles_option
def submit(
    space: str | None,
    profile_name: str | None,
    trial_text: str | None,
    settings: tuple[str, ...],
    start_from: tuple[str, ...],
    address: str | None,
    no_preflight: bool,
    no_fuse: bool,
    notify: tuple[str, ...],
    wait: bool,
    follow: bool,
    as_json: bool,
    store: str,
    profiles_folder: str,
    **given: Any,
) -> None:
    """Run a sweep of SPACE, or train a profile or a trial, as a Ray job that continues after this command exits."""
    from tune_app.jobs.job_request import sweep_request, training_request
    from tune_app.jobs.jobs import Jobs
    from tune_app.profiles.profiles import Profiles
    from tune_app.spaces.webhook import checked_webhooks
    from tune_app.store.store import Store

    _check_sources({"SPACE": space, "--profile": profile_name, "--trial": trial_text})
    opened = Store(store)
    request: JobRequest
    with reserved():  # a user's task may print
        if space is not None:
            overrides = read_overrides(given, settings, start_from)
            profiles = Profiles(profiles_folder)
            request = sweep_request(space, overrides, opened, profiles, preflight=not no_preflight, fuse=not no_fuse)
            request = replace(
                request, notify=checked_webhooks(notify, "--notify") or request.notify or default_webhooks()
            )
        else:
            _check_training_options({**given, "start_from": start_from or None, "notify": notify or None})
            request = training_request(
                chosen_to_train(profile_name, trial_text, settings, store, profiles_folder),
                **{name: given[name] for name in TRAINING_TAKES},
            )
        mine = Jobs(opened)
        job = mine.submit(request, address=address)
    if not as_json or follow or wait:
        click.echo(
            f"submitted {job.id}{f', study {job.study}' if job.study else ''}; `tune-app jobs logs {job.id} --follow`",
            err=True,
        )
    if follow or wait:
        job = _wait(mine, job, follow)
    if as_json:
        print_json(_row(mine, job))
    raise_end(job)


def _check_sources(sources: dict[str, str | None]) -> None:
    named = [name for name, value in sources.items() if value is not None]
    if len(named) != 1:
        raise InputError(
            f"pass one of {', '.join(sources)}, but got {' and '.join(named) or 'none'}",
            hint="for example `tune-app submit digits_cnn`",
        )


def _check_training_options(given: dict[str, Any]) -> None:
    wrong = [name for name, value in given.items() if value is not None and name not in TRAINING_TAKES]
    if wrong:
        options = {option.name: option.opts[0] for option in click.get_current_context().command.params}
        raise InputError(
            f"a training run does not accept sweep options, but got {', '.join(str(options[name]) for name in wrong)}",
            hint="it accepts --epochs, --seed, --cpus, --gpus and --set",
        )
    if given["gpus"] == "auto":
        raise InputError("`--gpus` must be a number for a training run, but got auto", hint="--gpus 1")


@click.group()
def jobs() -> None:
    """List jobs, show one, read its log, cancel it, remove old ones."""


@jobs.command("list")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only jobs in this state; repeatable.")
@json_option
@store_option
def jobs_list(states: tuple[str, ...], as_json: bool, store: str) -> None:
    """List the jobs in the store, latest last."""
    opened = _jobs(store)
    chosen = _states(states)
    rows = [_row(opened, job) for job in opened.all() if not chosen or job.state in chosen]
    for error in opened.damaged():
        click.echo(f"warning: {error.where}: {error.message}", err=True)
    if as_json:
        print_json(rows)
    elif rows:
        print_table([_short(row) for row in rows])
    else:
        click.echo(f"no jobs in {opened.store.folder.url}; start one with `tune-app submit digits_cnn`")


@jobs.command("status")
@click.argument("job_id", metavar="ID")
@json_option
@store_option
def jobs_status(job_id: str, as_json: bool, store: str) -> None:
    """Show the status of job ID."""
    opened = _jobs(store)
    row = _row(opened, opened.get(job_id))
    if as_json:
        print_json(row)
        return
    shown = {**row, "progress": _progress(row["progress"])}
    for name in ("id", "kind", "state", "reason", "message", "progress", "study", "requested_by", "requested_at",
                 "started_at", "ended_at", "address", "folder", "log"):  # fmt: skip
        if shown[name] is not None:
            click.echo(f"{name:<14}{shown[name]}")


@jobs.command("logs")
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the job ends.")
@store_option
def jobs_logs(job_id: str, follow: bool, store: str) -> None:
    """Print the output of job ID."""
    from tune_app.store.log_lines import LARGEST_PIECE

    opened = _jobs(store)
    job = opened.get(job_id)
    if follow and not job.ended:
        _wait(opened, job, follow=True, err=False)
    else:
        start = 0
        while piece := opened.records.log(job_id, start, LARGEST_PIECE):
            _print_log(piece, err=False)
            start += len(piece)


@jobs.command("cancel")
@click.argument("job_id", metavar="ID")
@json_option
@store_option
def jobs_cancel(job_id: str, as_json: bool, store: str) -> None:
    """Stop job ID within seconds; finished trials are kept, and `tune-app resume` continues its study."""
    opened = _jobs(store)
    job = opened.cancel(job_id)
    if as_json:
        print_json(_row(opened, job))
    else:
        click.echo(f"{job.id} is {job.state}: {job.message}")


@jobs.command("purge")
@click.option(
    "--state", "states", multiple=True, metavar="STATE", help="Only jobs in this end state; all end states by default."
)
@click.option(
    "--older-than",
    default="7d",
    show_default=True,
    metavar="TIME",
    help="Only jobs that ended longer ago than this: 30m, 2h, 7d; 0 for all.",
)
@click.option(
    "--with-studies",
    is_flag=True,
    help="Also remove their studies and training runs, with results and checkpoints.",
)
@click.option("--yes", is_flag=True, help="Remove them instead of listing them.")
@json_option
@store_option
def jobs_purge(
    states: tuple[str, ...], older_than: str, with_studies: bool, yes: bool, as_json: bool, store: str
) -> None:
    """Remove the records and logs of ended jobs; without --yes, only list them."""
    from tune_app.jobs.job import END_STATES

    opened = _jobs(store)
    chosen = _states(states) or END_STATES
    if running := [state for state in chosen if state not in END_STATES]:
        raise InputError(
            f"only ended jobs can be removed, but got --state {running[0]}", hint=f"Valid: {', '.join(END_STATES)}"
        )
    found = opened.purgeable(chosen, _age(older_than))
    refused: list[InputError] = []
    for job in list(found) if yes else []:
        try:
            opened.purge(job, study=with_studies)
        except InputError as error:  # its study is being written; remove the others anyway
            refused.append(error)
            found.remove(job)
    if as_json:
        print_json({"removed": yes, "with_studies": with_studies, "jobs": [_row(opened, job) for job in found]})
    elif not found and not refused:
        click.echo(f"no job that is {' or '.join(chosen)} is older than {older_than}")
    else:
        print_table([_short(_row(opened, job)) for job in found])
        jobs = counted(len(found), "job")
        if yes:
            click.echo(f"removed {jobs}{' with their results' if with_studies else '; their results are kept'}")
        else:
            click.echo(f"would remove {jobs}{' with their results' if with_studies else ''}; pass --yes to remove")
    if refused:
        raise refused[0]


@jobs.command("shutdown")
@store_option
def jobs_shutdown(store: str) -> None:
    """Stop the Ray head that runs jobs on this machine; it also stops after five minutes without a job."""
    head = _jobs(store).end_head()
    click.echo(f"stopped the head at {head.address}" if head else "no head is running on this machine for this store")


def _jobs(store: str) -> Jobs:
    from tune_app.jobs.jobs import Jobs
    from tune_app.store.store import Store

    return Jobs(Store(store))


def _states(given: tuple[str, ...]) -> tuple[str, ...]:
    from tune_app.errors import nearest
    from tune_app.jobs.job import STATES

    for state in given:
        if state.upper() not in STATES:
            raise InputError(f"there is no state `{state}`", where="--state", hint=nearest(state.upper(), STATES))
    return tuple(state.upper() for state in given)


def _age(text: str) -> Any:
    from datetime import timedelta

    from tune_app.spaces.section import parse_duration

    try:
        return timedelta(seconds=0.0 if text == "0" else parse_duration(text))
    except (ValueError, OverflowError):
        raise InputError(f"`--older-than` must be a time such as 30m, 2h, 7d, or 0, but got `{text}`") from None


def _wait(opened: Jobs, job: Job, follow: bool, err: bool = True) -> Job:
    try:
        return opened.wait(job.id, (lambda text: _print_log(text, err)) if follow else lambda text: None)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped watching; the job `{job.id}` continues", hint=f"`tune-app jobs cancel {job.id}` stops it"
        ) from None


def _print_log(content: bytes, err: bool) -> None:
    click.echo(content.decode(errors="replace"), nl=False, err=err)


def raise_end(job: Job) -> None:
    """The command that waits for a job fails the same way as the job."""
    log = f"`tune-app jobs logs {job.id}` shows more"
    if job.state == "FAILED":
        raise WorkFailed(f"the job `{job.id}` failed ({job.reason}): {job.message}", hint=log)
    if job.state == "CANCELLED":
        raise Interrupted(f"the job `{job.id}` was cancelled: {job.message}", hint=log)


def _row(opened: Jobs, job: Job) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(job), "progress": opened.progress(job), "log": opened.records.log_path(job.id)}


def _short(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("id", "state", "reason", "study", "requested_by", "requested_at")}
    shown["requested_at"] = row["requested_at"][:19]
    return {**shown, "progress": _progress(row["progress"]), "message": row["message"]}


def _progress(live: dict[str, Any] | None) -> str | None:
    if live is None:
        return None
    from tune_app.cli.progress import duration

    if "epochs" in live:
        return f"{live['epoch']}/{live['epochs']} epochs"
    best = f", best {live['best']['objective']:.4g}" if live["best"] else ""
    left = f", about {duration(live['left_s'])} left" if live["left_s"] is not None else ""
    return f"{live['ended']}/{live['total']} trials{best}{left}"
