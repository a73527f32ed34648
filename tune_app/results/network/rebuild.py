"""Rebuilds the network of a trial or a training from its configuration and data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from tune_app.datasets.dataset import Dataset
from tune_app.errors import NotFound, TuneAppError, WorkFailed
from tune_app.results.review import config_of, trial_row
from tune_app.spaces.catalog import Catalog
from tune_app.spaces.script import SCRIPT
from tune_app.spaces.spec import epochs_of
from tune_app.spaces.variable import Config, DatasetReference
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.store.training_record import read_training
from tune_app.tasks import load_data, load_task
from tune_app.tasks.function_task import FunctionState, FunctionTask
from tune_app.tasks.task import Probed, Task
from tune_app.training.failure import describe_error
from tune_app.training.trial import Training, prepared

NO_MODEL = "none of the restored objects is named `model`"


@dataclass(frozen=True)
class Source:
    """The source of a network.

    Attributes:
        what: its owner, for messages: ``trial 3``.
        task_name: as in the search space or the profile.
    """

    what: str
    task_name: str
    task: Task
    dataset: DatasetReference
    config: Config
    epochs: int
    seed: int


def of_trial(study: Study, number: int) -> Source:
    """The source of trial `number`.

    Raises:
        NotFound: no such trial has ended.
        InputError: the task cannot be loaded.
    """
    document, row = study.document(), trial_row(study, number)
    task = _load(document["task"], study.catalog(), row["model_parameters"])
    config = config_of(row, task.variables)
    epochs = epochs_of(config, document["budget"]["epochs"])
    return Source(f"trial {number}", document["task"], task, document["dataset"], config, epochs, int(row["seed"]))


def of_training(store: Store, name: str) -> Source:
    """The source of the training `name`.

    Raises:
        NotFound: there is no such successful training.
        InputError: its record is damaged, or the task cannot be loaded.
    """
    record = read_training(store.folder, name)
    facts = record.facts
    task, dataset = _load(facts["task"], record.catalog, facts["model_parameters"]), facts["dataset"]
    what = f"the training `{name}`"
    return Source(what, facts["task"], task, dataset, facts["config"], facts["epochs"], facts["seed"])


def _load(name: str, catalog: Catalog | None, model_parameters: float | None) -> Task:
    """The task of a training with this many parameters; rejected if that means there was no network."""
    if name == SCRIPT:
        raise _without_network(name, "the model of a script is not accessible")
    task = load_task(name, catalog)
    if isinstance(task, FunctionTask) and model_parameters is None:
        raise _without_network(name, NO_MODEL)
    return task


def _without_network(task: str, why: str) -> NotFound:
    return NotFound(f"the task `{task}` has no network to show: {why}")


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt network.

    Attributes:
        training: contains it, with its initial weights or those of the checkpoint.
        data: as loaded by the task, without the test part.
    """

    source: Source
    training: Training
    data: Dataset

    @property
    def network(self) -> nn.Module:
        """The network itself.

        Raises:
            NotFound: the task's model is not a torch module.
        """
        network = self.training.network
        if network is None:
            is_function = isinstance(self.source.task, FunctionTask)
            raise _without_network(
                self.source.task_name, NO_MODEL if is_function else "its model is not a torch.nn.Module"
            )
        return network

    @property
    def probe_loss(self) -> Callable[[], Tensor] | None:
        """One pass of the task's probe; None for a task without one, and for a function, whose reports include it."""
        task, state = self.source.task, self.training.state
        if isinstance(state, FunctionState):
            return None
        return (lambda: task.probe_loss(state)) if isinstance(task, Probed) else None


def rebuild(source: Source, checkpoint: bytes | None = None) -> Rebuilt:
    """Build the network of `source`; with a checkpoint, load its weights.

    Raises:
        InputError: the data cannot be loaded, or the checkpoint belongs to something else.
        WorkFailed: the checkpoint cannot be read.
        Exception: whatever the task's code raises; see `in_words`.
    """
    task, config = source.task, source.config
    data = load_data(task, source.dataset).without_test()
    training = Training(task, config, prepared(task, config, data), epochs=source.epochs, seed=source.seed)
    with closing(training):
        if checkpoint is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "checkpoint.pt")
                path.write_bytes(checkpoint)
                training.restore(path)
        if isinstance(training.state, FunctionState):
            training.state.build()
    return Rebuilt(source, training, data)


@contextmanager
def in_words(source: Source, failed: str) -> Iterator[None]:
    """Convert exceptions of the task's code to a `WorkFailed`: the network of … cannot be `failed`."""
    try:
        yield
    except TuneAppError:
        raise
    except Exception as error:  # a task may raise anything
        raise WorkFailed(
            f"the network of {source.what} cannot be {failed}: {describe_error(error)}",
            where=f"task {source.task_name}",
        ) from error
