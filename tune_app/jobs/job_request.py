"""What a job should do: checked when it is requested, stored in its record, and turned into a command where it runs.

A request includes the complete space or profile at the time of the request: editing the file afterwards does not change
a queued job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_app.document import Document
from tune_app.errors import Conflict
from tune_app.jobs.job import Job
from tune_app.profiles.profile import Profile
from tune_app.profiles.profiles import Profiles
from tune_app.profiles.warm_start import starting_configs
from tune_app.search.history import find_history
from tune_app.spaces.catalog import Catalog
from tune_app.store.store import Store
from tune_app.tasks.catalogs import load_catalog
from tune_app.tasks.spec_file import read_spec

NAME_LENGTH = 56
"""How much of a space's name is kept in a job's name, before the run number."""


@dataclass(frozen=True)
class JobRequest:
    """A valid request.

    Attributes:
        kind: ``sweep`` or ``training``.
        space: what its run numbers count.
        study: the study's name, if the user gave one.
        content: the part stored in the job's record.
        cpus: reserved by Ray for the job's own process; a sweep's trials request their own.
        gpus: the same.
        notify: addresses to notify at a sweep's end; secrets, which reach the job through its environment, never a
            record.
    """

    kind: str
    space: str
    study: str | None
    content: Mapping[str, Any]
    cpus: float | None = None
    gpus: float | None = None
    notify: tuple[str, ...] = field(default=(), repr=False)


def request_of(job: Job) -> JobRequest:
    """The request of `job`, from its record."""
    return JobRequest(
        job.kind, job.space, job.study, job.request, cpus=job.request.get("cpus"), gpus=job.request.get("gpus")
    )


def sweep_request(
    source: str | Path | Document,
    overrides: Mapping[str, Any],
    store: Store,
    profiles: Profiles,
    *,
    preflight: bool = True,
    fuse: bool = True,
    catalog_of: Callable[[str], Catalog] = load_catalog,
) -> JobRequest:
    """A request to sweep the space in the file at `source`, or in a document, with `overrides` as in `load_spec`.

    Args:
        catalog_of: the catalog of a task by its name; `load_catalog` imports a user's own.

    Raises:
        Conflict: the name of the study is taken.
        InputError: the space is invalid, or what it starts from does not exist.
    """
    document = source if isinstance(source, Document) else Document.read(source)
    spec = read_spec(document, overrides, catalog_of)
    name = overrides.get("name")
    if name in store.studies():
        raise Conflict(
            f"the study `{name}` exists in {store.folder.url}",
            hint="choose another name, or omit it to name the study after its job",
        )
    if spec.search.start_from:
        starting_configs(spec, store.folder, profiles)
    if spec.search.history not in ("auto", "none"):
        find_history(spec, store.folder)
    kept = {n: profiles.load(n).to_yaml() for n in spec.search.start_from if n in profiles.names()}
    content = {"space": spec.to_yaml(), "profiles": kept, "preflight": preflight, "fuse": fuse}
    space = spec.name if name is None else str(document.data.get("name", name))
    return JobRequest("sweep", space[:NAME_LENGTH], name, content, notify=spec.notify)


def training_request(
    profile: Profile,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    cpus: float | None = None,
    gpus: float | None = None,
) -> JobRequest:
    """A request to train `profile`; its own epochs and seed if none are given.

    With `cpus` or `gpus` it runs on a machine of the cluster that has them free, otherwise on the head.

    Raises:
        InputError: a value is invalid for the profile's task.
    """
    text = profile.validated().to_yaml()
    content = {"profile": text, "name": profile.name, "epochs": epochs, "seed": seed, "cpus": cpus, "gpus": gpus}
    return JobRequest("training", f"train-{profile.name}"[:NAME_LENGTH], None, content, cpus, gpus)


def command(job: Job, store: str, scratch: Path) -> list[str]:
    """The ``tune-app`` arguments that do the work of `job`; writes the files that they read to `scratch`."""
    profiles = scratch / "profiles"
    profiles.mkdir()
    places = ["--store", store, "--profiles", str(profiles)]
    if job.kind == "training":
        name = job.request["name"]
        (profiles / f"{name}.yaml").write_text(job.request["profile"], encoding="utf-8")
        given = [[f"--{key}", str(job.request[key])] for key in ("epochs", "seed") if job.request[key] is not None]
        return ["train", name, "--name", job.id, *(part for option in given for part in option), *places]
    for name, text in job.request["profiles"].items():
        (profiles / f"{name}.yaml").write_text(text, encoding="utf-8")
    space = scratch / f"{job.space}.yaml"
    space.write_text(job.request["space"], encoding="utf-8")
    off = [flag for flag, key in (("--no-preflight", "preflight"), ("--no-fuse", "fuse")) if not job.request[key]]
    return ["run", str(space), "--name", str(job.study), *off, *places]
