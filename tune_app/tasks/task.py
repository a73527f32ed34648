"""The contract of a task, for ours and for a user's own class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import Config, DatasetReference, Direction, Variable

Progress = Callable[[float], None]
"""Called with the completed fraction of the epoch, 0..1, as often as the task likes; cheap to call."""


class State(Protocol):
    """The state of a training between epochs; created by the task and kept by the caller.

    It may have an attribute `model`. If that is a ``torch.nn.Module``, its parameters are counted and checked after
    each epoch, and its layers can be shown; with a probe (see `Probed`) its health and latency are measured. Without
    one, or with another kind of model (from scikit-learn or a script), these are None and there are no layers to show.
    """

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which `load_state_dict` continues the training exactly."""
        ...

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        ...


class Task(Protocol):
    """What to train. A task keeps no state: one instance may serve many training runs.

    The optional parts of a task are in `Preparing`, `Probed`, `Sampling`, `Paced` and `DataParallel`.

    Draw random numbers from the global generators of torch, numpy and random. The caller seeds them from the trial's
    seed before `start`, and again from seed and epoch before each `train_epoch`.

    Attributes:
        data_kind: the kind of data set it uses.
        variables: **all** of its variables, in the order of results and forms.
        constraints: expressions over its variables that every configuration must satisfy.
        metrics: every metric that `train_epoch` returns, with the direction in which it is better.
    """

    data_kind: ClassVar[str]
    variables: ClassVar[tuple[Variable, ...]]
    constraints: ClassVar[tuple[str, ...]]
    metrics: ClassVar[Mapping[str, Direction]]

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Load the search space's data set; called once per sweep, not once per trial."""
        ...

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> State:
        """Build the model, the optimizer and everything else for a training of `epochs` epochs, on `device`.

        `config` has every variable. `seed` is for things that must be the same in every epoch and differ between
        trials; the generators are already seeded from it. The validation part should not depend on it, because trials
        are compared on it.
        """
        ...

    def train_epoch(self, state: State, epoch: int, progress: Progress) -> Mapping[str, float | None]:
        """Train epoch number `epoch` (from 1), validate, and return all of `metrics`; None if one is undefined."""
        ...

    def evaluate(self, state: State, arrays: Mapping[str, Any]) -> Mapping[str, float | None]:
        """Measure the model on `arrays`, such as ``data.test``; the names are those of `metrics` without ``val_``."""
        ...


@runtime_checkable
class RunningByItself(Protocol):
    """A state whose training has its own loop, as for a function or a script.

    Attributes:
        restorable: whether there is anything to save.
    """

    restorable: bool

    def close(self) -> None:
        """End the training at any point."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A task that converts the data set before `start`, such as texts to numbers.

    The prepared data only depends on the data set and the variables in `prepared_by`, so that trials with the same
    values share it; it is created once per sweep, not once per trial.
    """

    prepared_by: ClassVar[tuple[str, ...]]

    def prepare(self, config: Config, data: Dataset) -> Dataset:
        """The data set that `start` and `evaluate` get: both parts of `data`, if they are there, as arrays."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A task whose network can be inspected, for the health scores and the latency."""

    def probe_loss(self, state: Any) -> Tensor:
        """The training loss on a small, fixed batch of training rows, with its graph.

        One forward pass of ``state.model``, a torch module, in its current mode and without augmentation; nothing of
        `state` changes.
        """
        ...


@runtime_checkable
class Finishing(Protocol):
    """A task that measures the trained model itself after the last epoch, like a function."""

    def finish(self, state: Any) -> Mapping[str, float | None]:
        """Test metrics by name."""
        ...


@runtime_checkable
class Classifying(Protocol):
    """A task whose model predicts one of several classes."""

    def classify(self, state: Any) -> tuple[Sequence[int], Sequence[int]]:
        """The true and the predicted class of each validation row, numbers from 0."""
        ...


@runtime_checkable
class Sampling(Protocol):
    """A task whose model generates text."""

    def sample(self, state: Any) -> str:
        """A generated text, stored with the trial."""
        ...


@runtime_checkable
class Paced(Protocol):
    """A task whose epoch is not one pass over all training rows."""

    def rows_per_epoch(self, config: Config, rows: int) -> int:
        """How many of `rows` training rows an epoch uses, for the forecast."""
        ...


@runtime_checkable
class DataParallel(Protocol):
    """A task that can train on several devices, with a process on each; see `tune_app.tasks.replica`.

    All processes call `start` and `train_epoch` with the same arguments and the same seeds. After the last epoch they
    hold the same weights, the same as in one process except for rounding. What `train_epoch` returns counts on the
    first rank only, and only that one is asked for anything else.

    Attributes:
        data_parallel: True; such a task gets its part of each batch from `replica`.
    """

    data_parallel: ClassVar[bool]
