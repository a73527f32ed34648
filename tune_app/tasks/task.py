"""The contract of a task, for ours and for a user's own class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import Config, DatasetReference, Direction, Variable

Progress = Callable[[float], None]
"""Told the fraction of the epoch that is done, 0..1, as often as the task likes; cheap to call."""


class State(Protocol):
    """Everything one training holds between epochs; the task makes it and the caller keeps it.

    It may have an attribute `model`. Where that is a ``torch.nn.Module``, its parameters are counted and checked after
    each epoch, and its layers can be shown; with a probe (see `Probed`) its health and latency are measured. Without
    one, or with a model of another kind (of scikit-learn, a script's), these are None and there are no layers to show.
    """

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which `load_state_dict` continues the training exactly."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        ...


class Task(Protocol):
    """What is trained. A task holds no state of its own: one instance may serve many trainings.

    What a task need not have stands in `Preparing`, `Probed`, `Sampling`, `Paced` and `DataParallel`.

    Randomness comes from torch's, numpy's and random's global generators. The caller seeds them from the trial's
    seed before `start`, and again from seed and epoch before each `train_epoch`.

    Attributes:
        data_kind: the kind of data set it takes.
        variables: **all** of its variables, in the order in which results and forms show them.
        constraints: expressions over its variables that every configuration must meet.
        metrics: every figure `train_epoch` returns, with the direction in which it is better.
    """

    data_kind: ClassVar[str]
    variables: ClassVar[tuple[Variable, ...]]
    constraints: ClassVar[tuple[str, ...]]
    metrics: ClassVar[Mapping[str, Direction]]

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Load the data set that the search space names; called once per sweep, not once per trial."""
        ...

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> State:
        """Build model, optimiser and what else a training of `epochs` epochs needs, on `device`.

        `config` has every variable. `seed` is for what must be the same in every epoch and differ between trials; the
        generators are seeded from it already. The validation part should not depend on it: trials are compared on it.
        """
        ...

    def train_epoch(self, state: State, epoch: int, progress: Progress) -> Mapping[str, float | None]:
        """Train epoch number `epoch` (from 1), validate, and return all of `metrics`; None where one is undefined."""
        ...

    def evaluate(self, state: State, arrays: Mapping[str, Any]) -> Mapping[str, float | None]:
        """Measure the model on `arrays`, such as ``data.test``; the names are those of `metrics` without ``val_``."""
        ...


@runtime_checkable
class RunningByItself(Protocol):
    """A state whose training has a loop of its own, as a function's and a script's has.

    Attributes:
        restorable: whether there is anything to save.
    """

    restorable: bool

    def close(self) -> None:
        """End the training, however far it is."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A task that turns a data set into another one before `start`, such as texts into numbers.

    What is prepared depends on the data set and the variables named in `prepared_by` alone, so that trials which agree
    in these share it; it is made once per sweep, not once per trial.
    """

    prepared_by: ClassVar[tuple[str, ...]]

    def prepare(self, config: Config, data: Dataset) -> Dataset:
        """The data set that `start` and `evaluate` get: both parts of `data`, where they are there, as arrays."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A task that lets its network be looked into: for the health figures and the latency."""

    def probe_loss(self, state: Any) -> Tensor:
        """The training loss on a small batch of training rows, always the same ones, with its graph.

        One forward pass of ``state.model``, a torch module, in its current mode and without augmentation; nothing of
        `state` changes.
        """
        ...


@runtime_checkable
class Finishing(Protocol):
    """A task that measures the trained model by itself after the last epoch, as a function does."""

    def finish(self, state: Any) -> Mapping[str, float | None]:
        """Figures of the test part, by the names that they shall have."""
        ...


@runtime_checkable
class Classifying(Protocol):
    """A task whose model answers with one of several classes."""

    def classify(self, state: Any) -> tuple[Sequence[int], Sequence[int]]:
        """The true class of each row of the validation part and the model's answer, numbers from 0."""
        ...


@runtime_checkable
class Sampling(Protocol):
    """A task whose model makes something to look at."""

    def sample(self, state: Any) -> str:
        """A text the model wrote; kept with the trial."""
        ...


@runtime_checkable
class Paced(Protocol):
    """A task whose epoch is not one pass over all rows of the training part."""

    def rows_per_epoch(self, config: Config, rows: int) -> int:
        """How many rows an epoch takes of a training part of `rows` rows; the forecast goes by it."""
        ...


@runtime_checkable
class DataParallel(Protocol):
    """A task that can train on several devices, a process on each; `tune_app.tasks.replica` has all that it takes.

    All processes call `start` and `train_epoch` with the same arguments and the same seeds. After the last epoch they
    hold the same weights, those of one process but for rounding. What `train_epoch` returns counts on the first rank
    only, and only that one is asked for anything else.

    Attributes:
        data_parallel: True; a task that says so asks `replica` for its part of each batch.
    """

    data_parallel: ClassVar[bool]
