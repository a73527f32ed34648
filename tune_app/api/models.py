"""The models of requests and responses, as shown in /docs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tune_app.spaces.override import OVERRIDES, describe
from tune_app.spaces.variable import Value
from tune_app.store.trial_notes import LONGEST_NOTE, TAG

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Amount = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Json = dict[str, Any]
Configuration = dict[str, dict[str, Value]]
"""By group: ``{"training": {"learning_rate": 0.01}}``."""
Figures = dict[str, float | None]
UNKNOWN_KEY = "unknown_key"
"""The type of pydantic's error for an unknown key; its context has the `key` and the `valid` ones."""


class _Asked(BaseModel):
    """Base of requests: exact types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        """Like `extra`, but the error lists the valid keys."""
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                raise PydanticCustomError(UNKNOWN_KEY, "unknown", {"key": key, "valid": list(cls.model_fields)})
        return given


class _Told(BaseModel):
    """Base of responses."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorFacts(_Told):
    """What went wrong."""

    code: str
    """A word for programs, one for each status: `not_found`, `invalid`, …"""
    message: str
    """The rule and the offending value."""
    where: str
    """Where it is, such as `body.trials` or a file with its line; may be empty."""
    hint: str
    """The nearest valid choice, or what to do; may be empty."""


class ErrorBody(_Told):
    """The format of all errors."""

    error: ErrorFacts


def _above(name: str) -> Any:
    """The description of an override: that of the key it overrides."""
    return Field(description=describe(OVERRIDES[name]))


class Overrides(_Asked):
    """Settings that override a search space, like the options of `tune-app submit`."""

    name: Annotated[str | None, _above("name")] = None
    trials: Annotated[int | None, _above("trials")] = None
    time: Annotated[str | float | None, _above("time")] = None
    epochs: Annotated[int | None, _above("epochs")] = None
    concurrent: Annotated[int | Literal["auto"] | None, _above("concurrent")] = None
    cpus: Annotated[float | None, _above("cpus")] = None
    gpus: Annotated[float | Literal["auto"] | None, _above("gpus")] = None
    devices: Annotated[int | None, _above("devices")] = None
    pruning: Annotated[str | None, _above("pruning")] = None
    objective: Annotated[str | None, _above("objective")] = None
    sampler: Annotated[str | None, _above("sampler")] = None
    seed: Annotated[int | None, _above("seed")] = None
    history: Annotated[Literal["auto", "none"] | list[str] | None, _above("history")] = None
    start_from: Annotated[list[str] | None, _above("start_from")] = None
    set: dict[str, Value] = {}
    """Variables to fix, by `group.variable`."""


NONE = {"type": "null"}
TEXT = {"type": "string"}


def _one_of(*choices: Json) -> Json:
    """Additional schema: exactly one of these choices, each given by the schemas of its keys."""
    return {"oneOf": [{"properties": keys, "required": [n for n, k in keys.items() if k != NONE]} for keys in choices]}


class SweepRequest(_Asked):
    """A sweep of one of the server's search spaces, by name, or of one in the request."""

    model_config = ConfigDict(
        json_schema_extra=_one_of(
            {"search_space": TEXT, "space": NONE}, {"space": {"type": ["object", "string"]}, "search_space": NONE}
        )
    )

    kind: Literal["sweep"]
    search_space: str | None = None
    """One of the server's search spaces, as listed by `GET /search-spaces`."""
    space: Json | str | None = None
    """The search space itself: the content of its file, as an object or as YAML text."""
    overrides: Overrides = Overrides()
    preflight: bool = True
    """Whether to try some configurations before the sweep."""
    fuse: bool = True
    """Whether to stop the sweep if trials keep failing."""

    @model_validator(mode="after")
    def _one_space(self) -> SweepRequest:
        if (self.search_space is None) == (self.space is None):
            raise ValueError("either `search_space` or `space` is required")
        return self


A_SOURCE = _one_of({"profile": TEXT, "study": NONE, "trial": NONE}, {"study": TEXT, "profile": NONE})


class Source(_Asked):
    """The source of a configuration: a profile, or a trial of a study."""

    model_config = ConfigDict(json_schema_extra=A_SOURCE)

    profile: str | None = None
    """Name of a profile."""
    study: str | None = None
    """Name of a study."""
    trial: Count | None = None
    """Number of a trial of `study`. Default: the best one."""

    @model_validator(mode="after")
    def _one_source(self) -> Source:
        if (self.profile is None) == (self.study is None):
            raise ValueError("either `profile` or `study` is required")
        if self.profile is not None and self.trial is not None:
            raise ValueError("`trial` requires `study`")
        return self


class TrainingRequest(Source):
    """A full training run with a profile, or with a trial's configuration."""

    kind: Literal["training"]
    epochs: Positive | None = None
    """Epochs. Default: the configuration's own."""
    seed: Seed | None = None
    """Seed. Default: the trial's own."""
    cpus: Amount | None = None
    """Free CPUs that a machine of the cluster must have."""
    gpus: Amount | None = None
    """Free GPUs that it must have."""
    set: dict[str, Value] = {}
    """Variables to change, by `group.variable`."""


JobAsked = Annotated[SweepRequest | TrainingRequest, Field(discriminator="kind")]


class SessionRequest(Source):
    """The configuration to make current."""

    set: dict[str, Value] = {}
    """Variables to change, by `group.variable`."""


OWN = ("task", "dataset", "config", "constraints", "provenance")
"""The keys of a profile that a source replaces."""


class ProfileRequest(_Asked):
    """A profile to save: from a source, or in full. `revision`, or the If-Match header, names the revision it
    replaces."""

    model_config = ConfigDict(
        json_schema_extra=_one_of(
            {"source": {"type": "object"}, **dict.fromkeys(OWN, NONE)},
            {"task": TEXT, "dataset": {"type": ["object", "string"]}, "config": {"type": "object"}, "source": NONE},
        )
    )

    source: Source | None = None
    """A trial or another profile to copy."""
    task: str | None = None
    """The task, unless there is a source."""
    dataset: str | Json | None = None
    """The data set, unless there is a source."""
    config: dict[str, dict[str, Any]] | None = None
    """The configuration by group, unless there is a source; missing variables take the task's default."""
    constraints: list[str] | None = None
    """Expressions that must stay true when it is edited, unless there is a source."""
    provenance: Json | None = None
    """Its origin, unless there is a source."""
    set: dict[str, Value] = {}
    """Variables to change, by `group.variable`; recorded in the provenance."""
    note: str | None = None
    """A note to store with it."""
    revision: Count | None = None
    """The revision that it replaces; null or 0 for a new profile."""

    @model_validator(mode="after")
    def _source_or_content(self) -> ProfileRequest:
        own = [n for n in OWN if getattr(self, n) is not None]
        if self.source is not None and own:
            raise ValueError(f"`{own[0]}` cannot be combined with `source`")
        if self.source is None and (self.task is None or self.dataset is None or self.config is None):
            raise ValueError("either `source`, or `task`, `dataset` and `config`, is required")
        return self


class NoteRequest(_Asked):
    """A note, tags and a star for a trial."""

    note: Annotated[str, Field(max_length=LONGEST_NOTE)] | None = None
    """The note; an empty one removes it."""
    edits: Count = 0
    """The `edits` of the note that was read, which `note` replaces; a note that you have not read is never replaced."""
    star: bool | None = None
    """Whether it has a star."""
    tags: list[Annotated[str, Field(pattern=f"^{TAG.pattern}$")]] = []
    """Tags to add."""
    untags: list[str] = []
    """Tags to remove."""


class NoteFacts(_Told):
    """The note, tags and star of a trial."""

    trial: int
    star: bool
    tags: list[str]
    note: str | None
    edits: int
    """How often the note was written; pass it back to replace the note."""
    by: str | None
    """Who wrote it last."""


class ChangeRequest(_Asked):
    """Changes to a running sweep, like the options of `tune-app change`."""

    stop: list[Count] = []
    """Trials to stop after their current epoch."""
    retry: list[Count] = []
    """Trials to run again."""
    trials: Positive | None = None
    """Total number of trials in the study."""
    concurrent: Positive | Literal["auto"] | None = None
    """How many trials run at once; `auto` fills the cluster."""


class ChangeAnswers(_Told):
    """The sweep's responses."""

    answers: list[str]
    """One for each change, in the order stop, trials, concurrent, retry."""


class Best(_Told):
    """The best trial so far."""

    trial: int
    objective: float


class ProgressFacts(_Told):
    """Progress of a sweep."""

    ended: int
    """Number of ended trials."""
    total: int
    running: int
    best: Best | None
    left_s: float | None
    """Estimated seconds left; null if unknown."""


class TrainingProgress(_Told):
    """Progress of a training run."""

    epoch: int
    """Completed epochs."""
    epochs: int
    fraction: float | None
    """Fraction of the current epoch; null between epochs."""
    metrics: dict[str, float | None]
    """Metrics of the last completed epoch."""
    at: str


class JobFacts(_Told):
    """The current state of a job."""

    id: str
    kind: Literal["sweep", "training"]
    space: str
    """What its run number counts: the name of the space; `train-<profile>` for a training run."""
    run: int
    study: str | None
    """The study that a sweep writes."""
    requested_by: str
    requested_at: str
    address: str | None
    """The job server it was submitted to; null for the one on the machine `host`."""
    host: str
    folder: str
    """The folder it runs in."""
    submission_id: str
    """Its name in Ray."""
    state: Literal["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]
    reason: str | None
    """Why it ended: `error`, `lost`, `cancelled`."""
    message: str | None
    """The reason in words."""
    exit_code: int | None
    submitted_at: str | None
    started_at: str | None
    ended_at: str | None
    schema_version: int
    progress: ProgressFacts | TrainingProgress | None
    """Progress; null before the job starts."""


class JobWithRequest(JobFacts):
    """The current state of a job, with its request."""

    request: Json
    """The complete space or profile at the time of the request."""


class JobId(_Told):
    """An accepted job."""

    id: str
    study: str | None
    state: str


class JobPage(_Told):
    """A page of jobs, latest first."""

    items: list[JobFacts]
    total: int
    """Total number."""
    offset: int
    limit: int
    damaged: list[str]
    """Errors of unreadable records."""


class TrialFacts(_Told):
    """One trial."""

    trial: int
    trial_id: str
    state: Literal["RUNNING", "COMPLETED", "PRUNED", "FAILED", "CANCELLED"]
    objective: float | None
    failure_kind: str | None
    error: str | None
    epochs: int
    """Trained epochs."""
    started_at: str
    ended_at: str | None
    duration_s: float | None
    node: str | None
    device: str | None
    gpu_fraction: float | None
    gpu_utilization: float | None
    """Percentage of its training time in which its GPU was busy, with any process; null on a CPU."""
    peak_memory_mb: float | None
    model_parameters: int | None
    latency_ms: float | None
    seed: int | None
    """The seed it trains from; null for a script that takes none."""
    attempt: int
    resumed_from: int | None
    """The epoch after which the last attempt resumed, 0 if it started over; null for a first attempt."""
    source: str | None
    """Where the configuration came from: default, start, history, random, model or grid; null in an old study."""
    configuration: Configuration
    metrics: Figures
    """Of the last epoch."""
    health: Figures
    """Of the last epoch."""


class TrialPage(_Told):
    """A page of a job's trials."""

    items: list[TrialFacts]
    total: int
    """Total number in the requested states."""
    offset: int
    limit: int


class EpochFacts(_Told):
    """One epoch of a trial."""

    epoch: int
    ended_at: str
    duration_s: float
    metrics: Figures
    health: Figures


class TrialWithEpochs(TrialFacts):
    """One trial with all of its epochs."""

    history: list[EpochFacts]
    sample: str | None
    """A text that the model generated; null if the task's model does not generate text."""


class LayerFacts(_Told):
    """A layer of a network, as `tune_app.training.layers.Layer` explains it."""

    name: str
    type: str
    settings: str
    input_shapes: list[list[int]]
    output_shape: list[int] | None
    parameter_shapes: dict[str, list[int]]
    parameters: int
    trainable: int


class TrainingFacts(_Told):
    """A successful training run."""

    training: str
    """Its name: the id of its job."""
    epochs: int
    seed: int
    device: str
    model_parameters: int | None
    """Null if the task's model is not a network."""
    latency_ms: float | None
    health: Figures
    """After the last epoch."""


class BestModel(_Told):
    """The best trial of a job's study, or the result of a training run, and its network."""

    study: str | None
    """Null for a training run, as are `metric`, `direction` and `trial`."""
    task: str
    dataset: str | Json
    metric: str | None
    direction: Literal["maximize", "minimize"] | None
    trial: TrialFacts | None
    training: TrainingFacts | None
    """Null for a sweep."""
    configuration: Configuration
    metrics: Figures
    """After the last epoch; for a training run, also `test_…`."""
    layers: list[LayerFacts] | None
    """In the order in which the network computes them; null if the network could not be built here."""
    layers_missing: str | None
    """Why there are no layers."""


class ProfileFacts(_Told):
    """A profile as stored in its file."""

    schema_version: int
    name: str
    revision: int
    task: str
    dataset: str | Json
    note: str
    config: Configuration
    constraints: list[str]
    provenance: Json


class ProfileLine(_Told):
    """A profile in the list."""

    name: str
    revision: int | None
    task: str | None
    dataset: str | Json | None
    note: str | None
    study: str | None
    trial: int | None
    objective: float | None
    saved_at: str | None
    invalid: str | None
    """What is wrong with its file."""


class RevisionLine(_Told):
    """A revision of a profile."""

    revision: int
    saved_at: str | None
    study: str | None
    trial: int | None
    note: str
    changed: dict[str, list[Any]]
    """Its changes: `group.variable` to the old and the new value."""


class StrategyLine(_Told):
    """A sampler or a scheduler."""

    name: str
    summary: str


class Strategies(_Told):
    """Samplers, which propose configurations, and schedulers, which stop trials early."""

    samplers: list[StrategyLine]
    schedulers: list[StrategyLine]


class SearchSpaceLine(_Told):
    """One of the server's search spaces."""

    search_space: str
    """Its name for `POST /jobs`."""
    document: Json | None
    """The content of its file."""
    invalid: str | None
    """What is wrong with the file; whether it fits its task is only checked when a sweep starts."""


class DatasetLine(_Told):
    """A data set that tune-app knows by name."""

    name: str
    kind: str
    description: str
    license: str
    terms: str | None
    state: Literal["embedded", "fetched", "incomplete", "absent"]
    bytes: int
    """Size of the downloaded files."""


class Health(_Told):
    """The server is up."""

    status: Literal["ok"]
    version: str
