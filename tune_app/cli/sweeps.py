"""The commands that search: check, run, resume."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tune_app.cli.ending import report_end, stopped
from tune_app.cli.last_words import LastWords
from tune_app.cli.notification import EndNotification, notify_option
from tune_app.cli.options import json_option, parse_settings, print_json, profiles_option, set_option, store_option
from tune_app.cli.space_argument import SpaceFile
from tune_app.cli.study_argument import study_argument
from tune_app.errors import InputError, Terminated, WorkFailed
from tune_app.extras import missing
from tune_app.readable import counted
from tune_app.spaces.override import OVERRIDES, describe
from tune_app.standard_output import reserved
from tune_app.sweep.watchdog import STOPS, TERMINATED, Cause, Watchdog

if TYPE_CHECKING:
    from tune_app.datasets.dataset import Dataset
    from tune_app.search.history import History
    from tune_app.search.past_study import PastPreference
    from tune_app.spaces.spec import Spec
    from tune_app.store.study import Study
    from tune_app.sweep.preflight import Forecast
    from tune_app.sweep.sweep import Outcome


class GpuCount(click.ParamType[Any]):
    """A number, or ``auto``."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse it; the search space decides which numbers are valid."""
        return value if value == "auto" else click.FLOAT.convert(value, param, ctx)


class HistoryNames(click.ParamType[Any]):
    """``auto``, ``none``, or names of studies separated by commas."""

    name = "auto|none|study,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse it; the store decides which studies exist."""
        return (
            value
            if value in ("auto", "none") or not isinstance(value, str)
            else [name.strip() for name in value.split(",")]
        )


KINDS: dict[str, Any] = {
    "trials": int,
    "epochs": int,
    "cpus": float,
    "gpus": GpuCount(),
    "devices": int,
    "seed": int,
    "history": HistoryNames(),
}
"""An option's type, if not a string."""


class OverrideOption(click.Option):
    """An option that overrides a key of the file, and shares its description."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Look up the description only for help texts: that imports half a second's worth of modules."""
        assert self.name is not None
        self.help = describe(OVERRIDES[self.name])
        return super().get_help_record(ctx)


Command = Callable[..., Any]

address_option = click.option(
    "--address",
    help="Ray cluster: auto for the one on this machine, or HOST:PORT. Default: no cluster, only this machine.",
)
tensorboard_option = click.option("--no-tensorboard", is_flag=True, help="Do not write TensorBoard files.")
fallback_option = click.option(
    "--fallback", type=click.Choice(["local"]), help="Run on this machine if no cluster answers at --address."
)


def override_options(command: Command) -> Command:
    """Add the options that override the search space file."""
    for name in reversed(OVERRIDES):
        if name != "start_from":  # repeatable, and only for `run` and `submit`
            kind = KINDS.get(name, str)
            command = click.option(f"--{name}", cls=OverrideOption, type=kind, default=None)(command)
    return command


def read_overrides(given: dict[str, Any], settings: tuple[str, ...], start_from: tuple[str, ...]) -> dict[str, Any]:
    """The given options, by the key in the file that they override."""
    overrides = {key: given[name] for name, key in OVERRIDES.items() if given.get(name) is not None}
    concurrent = overrides.get("resources.concurrent", "auto")
    if concurrent.isdecimal():
        overrides["resources.concurrent"] = int(concurrent)
    if start_from:
        overrides["search.start_from"] = list(start_from)
    return {**overrides, **({"parameters": parse_settings(settings)} if settings else {})}


@click.command()
@click.argument("space", type=SpaceFile())
@override_options
@set_option
@json_option
@store_option
def check(space: str, settings: tuple[str, ...], as_json: bool, store: str, **given: Any) -> None:
    """Validate SPACE, briefly train its smallest, largest and some random configurations, and forecast the sweep.

    SPACE is a YAML file, or the name of a space in ./search_spaces or of one that ships with tune-app.
    """
    from tune_app.search.history import find_history
    from tune_app.store.store import Store
    from tune_app.tasks.spec_file import load_spec

    with reserved():
        spec = load_spec(space, read_overrides(given, settings, ()))
        history = find_history(spec, Store(store).folder)
        forecast = _preflight(spec, _load_data(spec))
    if as_json:
        names = [one.name for one in history.studies]
        print_json({"ok": True, "spec": spec.to_dict(), "history": names, "forecast": forecast.to_dict()})
    else:
        _print_space(spec)
        _print_history(history, err=False)
        _print_forecast(forecast, err=False)


@click.command()
@click.argument("space", type=SpaceFile())
@override_options
@set_option
@click.option(
    "--start-from", multiple=True, metavar="NAME", help="Start with this profile, or with a study's best trials."
)
@address_option
@fallback_option
@click.option("--no-preflight", is_flag=True, help="Skip the preflight.")
@click.option("--no-fuse", is_flag=True, help="Continue even if trials keep failing.")
@tensorboard_option
@notify_option
@json_option
@store_option
@profiles_option
def run(
    space: str,
    settings: tuple[str, ...],
    start_from: tuple[str, ...],
    address: str | None,
    fallback: str | None,
    no_preflight: bool,
    no_fuse: bool,
    no_tensorboard: bool,
    notify: tuple[str, ...],
    as_json: bool,
    store: str,
    profiles_folder: str,
    **given: Any,
) -> None:
    """Search SPACE: preflight, sweep, leaderboard. Ctrl-C finishes the running trials; a second Ctrl-C stops
    immediately.

    SPACE is a YAML file, or the name of a space in ./search_spaces or of one that ships with tune-app.
    """
    from tune_app.document import Document

    def prepare() -> Prepared:
        from tune_app.profiles.profiles import Profiles
        from tune_app.profiles.warm_start import starting_configs
        from tune_app.search.history import find_history
        from tune_app.search.past_study import PastPreference
        from tune_app.store.store import Store
        from tune_app.store.study import Study
        from tune_app.tasks.spec_file import load_spec

        opened = Store(store)
        spec = load_spec(space, read_overrides(given, settings, start_from))
        study = Study(opened.folder, spec.name)
        study.refuse_another()
        notification.about(spec, study)
        starts = starting_configs(spec, opened.folder, Profiles(profiles_folder)) if spec.search.start_from else []
        history = find_history(spec, opened.folder)
        _print_history(history, err=True)
        past = [PastPreference.fit(one, spec.space) for one in history.studies]
        return Prepared.of(spec, study, spec.budget.time, not no_preflight, starts, past)

    Document.read(space)  # reject a file that is not YAML before anything starts
    notification = EndNotification(notify)
    _sweep(prepare, notification, address, fallback == "local", not no_fuse, not no_tensorboard, as_json)


@click.command()
@study_argument()
@click.option("--trials", type=click.IntRange(min=1), help="Add this many trials.")
@click.option(
    "--retry",
    multiple=True,
    type=click.IntRange(min=0),
    metavar="TRIAL",
    help="Run a trial again; repeatable.",
)
@click.option("--time", "time_", help="Stop after this long, such as 30m or 2h.")
@address_option
@fallback_option
@click.option("--no-fuse", is_flag=True, help="Continue even if trials keep failing.")
@tensorboard_option
@notify_option
@json_option
@store_option
def resume(
    study: str,
    trials: int | None,
    retry: tuple[int, ...],
    time_: str | None,
    address: str | None,
    fallback: str | None,
    no_fuse: bool,
    no_tensorboard: bool,
    notify: tuple[str, ...],
    as_json: bool,
    store: str,
) -> None:
    """Continue STUDY after an interrupt or a crash; --trials adds trials, --retry runs trials again."""
    from tune_app.document import Document
    from tune_app.spaces.section import parse_duration
    from tune_app.store.store import Store
    from tune_app.tasks.spec_file import read_spec

    opened = Store(store).study(study)
    with opened.writing():  # rejected before Ray starts if another process is writing it
        pass
    document = Document.of(opened.document(), opened.folder.path(f"{opened.base}/spec.yaml"))
    retry = tuple(dict.fromkeys(retry))
    if more := (trials or 0) + len(retry):
        document = document.replaced(("budget", "trials"), document.data["budget"]["trials"] + more)
    try:
        time_limit = None if time_ is None else parse_duration(time_)
    except ValueError as error:
        raise InputError(f"`--time` {error}, but got {time_!r}") from None

    def prepare() -> Prepared:
        spec = read_spec(document)
        notification.about(spec, opened)
        return Prepared.of(spec, opened, time_limit, preflight=False, retry=retry)

    notification = EndNotification(notify)
    _sweep(prepare, notification, address, fallback == "local", not no_fuse, not no_tensorboard, as_json)


@dataclass
class Prepared:
    """Everything a sweep needs apart from the cluster."""

    spec: Spec
    study: Study
    data: Dataset
    time_limit: float | None
    forecast: Forecast | None
    start_with: Sequence[dict[str, Any]]
    past: Sequence[PastPreference]
    new: bool
    retry: Sequence[int] = ()

    @classmethod
    def of(
        cls,
        spec: Spec,
        study: Study,
        time_limit: float | None,
        preflight: bool,
        start_with: Sequence[dict[str, Any]] = (),
        past: Sequence[PastPreference] = (),
        retry: Sequence[int] = (),
    ) -> Prepared:
        """Load the data, and run the preflight if requested."""
        data = _load_data(spec)
        forecast = _preflight(spec, data) if preflight else None
        from tune_app.ray_backend import backend  # noqa: F401  # half a second of imports, in parallel with Ray's start

        return cls(spec, study, data, time_limit, forecast, start_with, past, not study.exists(), retry)


def _sweep(
    prepare: Callable[[], Prepared],
    notification: EndNotification,
    address: str | None,
    fallback: bool,
    fuse: bool,
    tensorboard: bool,
    as_json: bool,
) -> None:
    """Run the sweep, then show the results and send the notifications."""
    with notification:
        study, outcome = _run(prepare, notification, address, fallback, fuse, tensorboard)
        notification.reason = outcome.reason
        report_end(study, outcome.reason, outcome.message, outcome.states, as_json)


def _run(
    prepare: Callable[[], Prepared],
    notification: EndNotification,
    address: str | None,
    fallback: bool,
    fuse: bool,
    tensorboard: bool,
) -> tuple[Study, Outcome]:
    """Start Ray while a thread reads the space and runs the preflight, then run the sweep."""
    from rich.console import Console

    from tune_app.cli.progress import Progress
    from tune_app.ray_backend.cluster import connected
    from tune_app.ray_backend.liveness import Liveness

    if tensorboard and (package := missing("tensorboard")):
        click.echo(f"no TensorBoard files: {package} is not installed; install tune-app[tensorboard]", err=True)
    # Output of a user's task is for the person watching, not for the JSON document on stdout.
    with (
        reserved(),
        LastWords() as last_words,
        Watchdog(lambda cause: _leave(cause, preparing, notification, last_words)) as watchdog,
        ThreadPoolExecutor(1) as thread,
    ):
        preparing = thread.submit(prepare)

        def show(live: dict[str, Any], progress: Progress) -> None:
            last_words.sweeping(ready.study.name)
            notification.live = live
            progress.update(live)

        liveness = Liveness()
        watchdog.lost = liveness.lost
        with connected(address, _say_fallback if fallback else None, liveness):
            _answer_terminations()  # Ray's own handler would print its own message
            ready = preparing.result()
            from tune_app.ray_backend.backend import RayBackend
            from tune_app.sweep.sweep import run_sweep

            _fit_to_cluster(ready)
            with ready.study.writing(), Progress(Console(stderr=True)) as progress:
                if ready.new:
                    ready.study.refuse_another()
                outcome = run_sweep(
                    ready.spec,
                    ready.study,
                    ready.data,
                    RayBackend(),
                    show=lambda live: show(live, progress),
                    start_with=ready.start_with,
                    past=ready.past,
                    retry=ready.retry,
                    time_limit=ready.time_limit,
                    fuse=fuse,
                    tensorboard=tensorboard,
                    watchdog=watchdog,
                )
    return ready.study, outcome


def _fit_to_cluster(ready: Prepared) -> None:
    """Measure the share of a GPU if requested, and print the result and the forecast for this cluster."""
    from tune_app.ray_backend.gpu_share import measured_share
    from tune_app.ray_backend.slots import count_slots

    if ready.spec.resources.gpus == "auto":
        share, found = measured_share(ready.spec, ready.data)
        ready.spec = ready.spec.with_gpus(share)
        click.echo(f"gpus: auto: {found}", err=True)
    if ready.forecast is not None:
        _print_forecast(ready.forecast.on(count_slots(ready.spec.resources)), err=True)
    else:
        _print_notes(ready.spec.space.remarks, err=True)


def _answer_terminations() -> None:
    def on_signal(number: int, frame: object) -> None:
        raise Terminated(TERMINATED)

    for number in STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as with `nohup` and a closed terminal
            signal.signal(number, on_signal)


def _leave(cause: Cause, preparing: Future[Prepared], notification: EndNotification, last_words: LastWords) -> None:
    """End the process, whose main thread waits for a Ray that does not respond."""
    ready = preparing.result() if preparing.done() and preparing.exception() is None else None
    if ready is not None and ready.study.exists():
        error = stopped(*cause, ready.study.name)
    else:  # nothing has started that could be resumed
        error = Terminated(cause[1]) if cause[0] == "terminate" else WorkFailed(cause[1])
    last_words.withdraw()
    click.echo(f"error: {error}", err=True)
    if ready is not None:
        ready.study.release_lock()
    notification.reason = cause[0]
    notification.tell(error)
    os._exit(error.exit_code)


def _say_fallback(error: InputError) -> None:
    click.echo(f"{error.message}; running on this machine (--fallback local)", err=True)


def _load_data(spec: Spec) -> Dataset:
    from tune_app.tasks import load_data, load_task

    return load_data(load_task(spec.task, spec.catalog), spec.dataset)


def _preflight(spec: Spec, data: Dataset) -> Forecast:
    from tune_app.sweep.preflight import preflight
    from tune_app.tasks import load_task

    return preflight(spec, load_task(spec.task, spec.catalog), data)


def _print_space(spec: Spec) -> None:
    from tune_app.datasets.reference import dataset_title
    from tune_app.spaces.spec import NO_DATASET

    searched = ", ".join(spec.space.searched)
    data = f" on {dataset_title(spec.dataset)}" if spec.dataset != NO_DATASET else ""
    count = counted(len(spec.space.searched), "variable")
    click.echo(f"{spec.name}: {spec.task}{data}, {count} searched: {searched}")


def _print_history(history: History, err: bool) -> None:
    if history.studies:
        names = ", ".join(one.name for one in history.studies)
        click.echo(f"history: starts from the results of {names} (--history none turns this off)", err=err)
    for name, why in history.left_out.items():
        click.echo(f"history: without {name}: {why}", err=True)


def _print_forecast(forecast: Forecast, err: bool) -> None:
    from tune_app.cli.progress import duration

    for probe in forecast.probes:
        state = f"{probe.epoch_s:.3g} s an epoch" if probe.epoch_s is not None else f"{probe.kind}: {probe.error}"
        size = f"{probe.model_parameters:,} parameters, " if probe.model_parameters is not None else ""
        click.echo(f"preflight: {probe.label:<8} {size}{state}", err=err)
    rungs = f"rungs at epochs {', '.join(map(str, forecast.rungs))}" if forecast.rungs else "no rungs"
    time = "time unknown until a node starts"
    if forecast.seconds is not None:
        time = f"about {duration(max(1, forecast.seconds))} on {counted(forecast.slots, 'slot')}"
    click.echo(
        f"forecast: {counted(forecast.trials, 'trial')}, {rungs}: {counted(round(forecast.epochs), 'epoch')}, {time}, "
        f"{forecast.device_hours:.2g} device hours",
        err=err,
    )
    _print_notes(forecast.notes, err)


def _print_notes(notes: Sequence[str], err: bool) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=err)
