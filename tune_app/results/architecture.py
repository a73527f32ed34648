"""What a trained network is made of: its layers with names, types, shapes and parameters.

    python -m tune_app.results.architecture STORE STUDY TRIAL
    python -m tune_app.results.architecture STORE TRAINING

prints them as a JSON list, or what went wrong as a mapping. A server uses this command: building the network loads its
data and runs the task's code, whose memory and faults are then those of a process that ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tune_app.errors import TuneAppError, WorkFailed
from tune_app.results.review import config_of, trial_row
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks import load_data, load_task
from tune_app.tasks.task import Probed
from tune_app.store.training_record import read_training
from tune_app.training.trial import describe_error, prepared
from tune_app.spaces.variable import Config

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A module of a network that computes something itself: one without children, or with parameters of its own.

    Attributes:
        name: its path in the network, such as ``convolutions.0``; empty for the network itself.
        type: its class, such as ``Conv2d``.
        settings: what it was made with, as torch prints it.
        input_shapes: of the tensors that it is called with; the rows of the probe are the first axis where the network
            keeps them apart. Empty where it was not called, or the task has no probe.
        output_shape: of the tensor that it gives; of the first one where it gives several; None as above.
        parameter_shapes: its own parameters, those of its children left out.
        parameters: number of its own values.
        trainable: how many of them are trained.
    """

    name: str
    type: str
    settings: str
    input_shapes: tuple[Shape, ...]
    output_shape: Shape | None
    parameter_shapes: dict[str, Shape]
    parameters: int
    trainable: int


def read_layers(model: nn.Module, run: Callable[[], object] | None = None) -> list[Layer]:
    """The layers of `model`: those that `run` calls in the order of their first call, then the others.

    Args:
        run: makes the network compute something; without it no shapes of what flows are known.

    The pass runs in evaluation mode and without gradients; afterwards modes and buffers are as before and no hook is
    left. A parameter that several layers share counts for each of them.
    """
    named = {module: name for name, module in model.named_modules() if _is_layer(module)}
    seen: dict[nn.Module, tuple[tuple[Shape, ...], Shape | None]] = {}

    def note(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        seen.setdefault(module, (tuple(_shapes(arguments)), next(iter(_shapes((output,))), None)))

    if run is not None:
        hooks = [module.register_forward_hook(note) for module in named]
        modes = {module: module.training for module in model.modules()}
        try:
            model.eval()
            with torch.no_grad():
                run()
        finally:
            for module, mode in modes.items():
                module.training = mode
            for hook in hooks:
                hook.remove()
    order = [*seen, *(module for module in named if module not in seen)]
    return [_layer(named[module], module, *seen.get(module, ((), None))) for module in order]


def trial_layers(study: Study, trial: int) -> list[Layer]:
    """The layers of the network that trial number `trial` trained, built anew from its configuration and data.

    Raises:
        NotFound: no such trial has ended.
        InputError: the task or its data cannot be loaded.
        WorkFailed: the task's code raised.
    """
    document, row = study.document(), trial_row(study, trial)
    config = config_of(row, load_task(document["task"]).variables)
    epochs = int(config.get("epochs", document["budget"]["epochs"]))
    return _network_layers(document, config, epochs, int(row["seed"]), f"trial {trial}")


def training_layers(store: Store, name: str) -> list[Layer]:
    """The layers of the network of the training `name`; see `trial_layers`.

    Raises:
        NotFound: no such training has ended well.
        InputError: its record is damaged, or the task or its data cannot be loaded.
        WorkFailed: the task's code raised.
    """
    facts = read_training(store.folder, name).facts
    return _network_layers(facts, facts["config"], facts["epochs"], facts["seed"], f"the training `{name}`")


def _network_layers(source: Mapping[str, Any], config: Config, epochs: int, seed: int, what: str) -> list[Layer]:
    """See `trial_layers`; `source` names the `task` and the `dataset`."""
    task = load_task(source["task"])
    data = load_data(task, source["dataset"]).without_test()
    try:
        state = task.start(config, prepared(task, config, data), epochs=epochs, seed=seed, device=torch.device("cpu"))
        run = (lambda: task.probe_loss(state)) if isinstance(task, Probed) else None
        return read_layers(state.model, run)
    except TuneAppError:
        raise
    except Exception as error:  # of a task, anything may come
        raise WorkFailed(
            f"the network of {what} cannot be built: {describe_error(error)}", where=f"task {source['task']}"
        ) from error


def _is_layer(module: nn.Module) -> bool:
    return next(module.children(), None) is None or any(p is not None for p in module._parameters.values())


def _layer(name: str, module: nn.Module, inputs: tuple[Shape, ...], output: Shape | None) -> Layer:
    own = dict(module.named_parameters(recurse=False))
    return Layer(
        name=name,
        type=type(module).__name__,
        settings=module.extra_repr(),
        input_shapes=inputs,
        output_shape=output,
        parameter_shapes={key: tuple(p.shape) for key, p in own.items()},
        parameters=sum(p.numel() for p in own.values()),
        trainable=sum(p.numel() for p in own.values() if p.requires_grad),
    )


def _shapes(values: tuple[Any, ...]) -> list[Shape]:
    """Shapes of the tensors in `values`, also those in tuples; a packed sequence's is that of its data."""
    found: list[Shape] = []
    for value in values:
        if isinstance(value, PackedSequence):
            found.append(tuple(value.data.shape))
        elif isinstance(value, Tensor):
            found.append(tuple(value.shape))
        elif isinstance(value, (tuple, list)):
            found += _shapes(tuple(value))
    return found


def main() -> int:
    """Print the layers of the trial, or the training, that the arguments name; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tune_app.results.architecture")
    parser.add_argument("store")
    parser.add_argument("name", help="of a study; of a training where no trial follows")
    parser.add_argument("trial", type=int, nargs="?")
    given = parser.parse_args()
    torch.set_num_threads(1)  # it builds and looks; the cores are the sweep's
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a user's task may print
            store = Store(given.store)
            if given.trial is None:
                layers = training_layers(store, given.name)
            else:
                layers = trial_layers(store.study(given.name), given.trial)
    except TuneAppError as error:
        print(json.dumps({"message": error.message, "where": error.where, "hint": error.hint}))
        return error.exit_code
    print(json.dumps([asdict(layer) for layer in layers]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
