"""A trained network looked into: what it answers, what its layers hold and make, how gradients flow through it.

    python -m tune_app.results.inspection STORE STUDY TRIAL

prints what it saw of each layer as a JSON list, or what went wrong as a mapping; the page uses this command, so that
the task's code runs in a process that ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tune_app.errors import NotFound, TuneAppError, WorkFailed
from tune_app.training.health import Layer
from tune_app.training.reading import read_by_name
from tune_app.results.review import config_of, trial_row
from tune_app.store.store import Store
from tune_app.store.study import Study
from tune_app.tasks import load_data, load_task
from tune_app.tasks.task import Classifying, Probed
from tune_app.training.trial import Training, describe_error, prepared

BINS = 60
IMAGES = 3
"""Images whose activation maps are kept."""
MAPS = 8
"""Maps of each layer that are kept, the first ones."""


@dataclass(frozen=True)
class Histogram:
    """How values are spread: `counts` between neighbouring `edges`, one more than them."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True)
class LayerInspection:
    """One layer that holds trained values.

    Attributes:
        name: its path in the network.
        weights: of its matrices, all values together.
        biases: of its vectors, the scales of normalisations among them; None where it has none.
        gradient: mean absolute gradient of the probe's loss by the values of its matrices; None without a probe.
        activations: mean and standard deviation of what it gives for the probe, and the part of zeros; None without.
        units, used: features it makes, and how many of them are used, as `health.neuron_utilisation` counts them; None
            for the output layer, and without a probe.
    """

    name: str
    weights: Histogram
    biases: Histogram | None
    gradient: float | None
    activations: tuple[float, float, float] | None
    units: int | None = None
    used: int | None = None


@dataclass(frozen=True)
class Inspection:
    """What was seen of one trial's network, with the weights of its checkpoint.

    Attributes:
        labels, answers: classes of the validation rows and what the model answers; empty for a task without classes.
        class_names: in words, by their numbers.
        images: (`IMAGES`, channels, height, width), the first of the probe; None where the network takes no images.
        maps: for each convolution by name, (`IMAGES`, up to `MAPS`, height, width).
    """

    labels: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    layers: tuple[LayerInspection, ...] = ()
    images: np.ndarray[Any, Any] | None = None
    maps: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)


def inspect_trial(study: Study, number: int) -> Inspection:
    """Build the network of trial `number` anew, put its trained weights into it, and look.

    Raises:
        NotFound: no such trial has ended, or it has no checkpoint.
        InputError: the task or its data cannot be loaded.
        WorkFailed: the task's code raised.
    """
    document, row = study.document(), trial_row(study, number)
    content = study.folder.read(study.checkpoint(number))
    if content is None:
        raise NotFound(
            f"trial {number} of the study `{study.name}` has no checkpoint, so its network cannot be looked into",
            hint="trials that completed keep one",
        )
    task = load_task(document["task"])
    config = config_of(row, task.variables)
    raw = load_data(task, document["dataset"]).without_test()
    epochs = int(config.get("epochs", document["budget"]["epochs"]))
    try:
        training = Training(task, config, prepared(task, config, raw), epochs=epochs, seed=int(row["seed"]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "checkpoint.pt")
            path.write_bytes(content)
            training.restore(path)
        labels, answers = task.classify(training.state) if isinstance(task, Classifying) else ((), ())
        layers, images, maps = _look(training)
    except TuneAppError:
        raise
    except Exception as error:  # of a task, anything may come
        raise WorkFailed(
            f"the network of trial {number} cannot be looked into: {describe_error(error)}",
            where=f"task {document['task']}",
        ) from error
    count = int(raw.info.get("classes", 0))
    names = tuple(map(str, raw.info.get("class_names", range(count))))
    return Inspection(tuple(labels), tuple(answers), names, layers, images, maps)


def _look(
    training: Training,
) -> tuple[tuple[LayerInspection, ...], np.ndarray[Any, Any] | None, dict[str, np.ndarray[Any, Any]]]:
    """One pass over the probe, in evaluation mode, as the health figures make it."""
    model: nn.Module = training.state.model
    named = {name: module for name, module in model.named_modules() if module._parameters}
    made: dict[str, Tensor] = {}
    taken: list[Tensor] = []

    def keep(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor) and first.is_floating_point():
                made.setdefault(name, first.detach())

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    hooks.append(model.register_forward_pre_hook(lambda module, arguments: taken.extend(arguments[:1])))
    gradients: dict[str, Tensor] = {}
    try:
        if isinstance(training.task, Probed):
            model.eval()
            trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
            loss = training.task.probe_loss(training.state)
            found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
            gradients = {name: g for name, g in zip(trained, found, strict=True) if g is not None}
    finally:
        for hook in hooks:
            hook.remove()
    task = training.task
    hidden = read_by_name(model, lambda: task.probe_loss(training.state)) if isinstance(task, Probed) else {}
    layers = tuple(
        layer
        for name, module in named.items()
        if (layer := _layer(name, module, gradients, made.get(name), hidden.get(name))) is not None
    )
    images = taken[0] if taken and taken[0].dim() == 4 and taken[0].is_floating_point() else None
    if images is None:
        return layers, None, {}
    maps = {
        name: made[name][:IMAGES, :MAPS].float().numpy(force=True)
        for name, module in named.items()
        if name in made and made[name].dim() == 4 and isinstance(module, nn.Conv2d)
    }
    return layers, images[:IMAGES].float().numpy(force=True), maps


def _layer(
    name: str, module: nn.Module, gradients: Mapping[str, Tensor], output: Tensor | None, hidden: Layer | None
) -> LayerInspection | None:
    own = {key: p.detach() for key, p in module._parameters.items() if p is not None}
    matrices = {key: p for key, p in own.items() if p.dim() > 1}
    vectors = [p for p in own.values() if p.dim() == 1]
    if not matrices:
        return None
    prefix = f"{name}." if name else ""
    flowing = [gradients[prefix + key].abs().flatten() for key in matrices if prefix + key in gradients]
    activations = None
    if output is not None:
        values = output.float()
        activations = (float(values.mean()), float(values.std(correction=0)), float((values == 0).float().mean()))
    return LayerInspection(
        name=name,
        weights=_histogram(list(matrices.values())),
        biases=_histogram(vectors) if vectors else None,
        gradient=float(torch.cat(flowing).mean()) if flowing else None,
        activations=activations,
        units=hidden.units if hidden else None,
        used=hidden.used if hidden else None,
    )


def _histogram(tensors: list[Tensor]) -> Histogram:
    values = torch.cat([t.flatten().float() for t in tensors]).numpy(force=True)
    counts, edges = np.histogram(values, BINS)
    return Histogram(tuple(counts.tolist()), tuple(edges.tolist()))


def main() -> int:
    """Print what is seen of the layers of the trial that the arguments name; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tune_app.results.inspection")
    parser.add_argument("store")
    parser.add_argument("study")
    parser.add_argument("trial", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)  # it looks; the cores are the sweep's
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a user's task may print
            seen = inspect_trial(Store(given.store).study(given.study), given.trial)
    except TuneAppError as error:
        print(json.dumps({"message": error.message, "where": error.where, "hint": error.hint}))
        return error.exit_code
    print(json.dumps([asdict(layer) for layer in seen.layers]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
