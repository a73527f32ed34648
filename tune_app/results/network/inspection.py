"""Inspects a trained network: its predictions, its layers' weights and activations, and the gradient flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from tune_app.errors import NotFound
from tune_app.results.network.layer import Array, Histogram, Inspection, LayerStatistics
from tune_app.results.network.rebuild import in_words, of_trial, rebuild
from tune_app.store.study import KEEP, Study
from tune_app.tasks.task import Classifying
from tune_app.training import health
from tune_app.training.reading import read_by_name
from tune_app.training.walk import Visit, Walk, walk

BINS = 60
IMAGES = 3
"""Number of images with activation maps."""
MAPS = 8
"""Number of maps per layer: the first ones."""


def inspect_trial(study: Study, number: int) -> Inspection:
    """Rebuild the network of trial `number`, load its trained weights, and inspect it.

    Raises:
        NotFound: no such trial has ended, it has no checkpoint, or its task has no network.
        InputError: the task or its data cannot be loaded.
        WorkFailed: the task's code raised.
    """
    source = of_trial(study, number)
    content = study.folder.read(study.checkpoint(number))
    if content is None:
        raise NotFound(
            f"trial {number} of the study `{study.name}` has no checkpoint, so its network cannot be inspected",
            hint=KEEP,
        )
    with in_words(source, "looked into"):
        rebuilt = rebuild(source, content)
        network, task = rebuilt.network, source.task
        labels, answers = task.classify(rebuilt.training.state) if isinstance(task, Classifying) else ((), ())
        layers, images, maps = look(network, rebuilt.probe_loss)
    info = rebuilt.data.info
    names = tuple(map(str, info.get("class_names", range(int(info.get("classes", 0))))))
    return Inspection(tuple(labels), tuple(answers), names, layers, images, maps)


def look(
    network: nn.Module, probe_loss: Callable[[], Tensor] | None
) -> tuple[tuple[LayerStatistics, ...], Array | None, dict[str, Array]]:
    """Statistics of the layers with matrices, images and activation maps, as in `Inspection`.

    Without a probe, there are only weights. The passes run in evaluation mode, like those of the health scores.
    """
    gradients: dict[str, Tensor] = {}
    if probe_loss is None:
        walked, hidden = walk(network), {}
    else:
        probe = probe_loss
        walked = walk(network, lambda: gradients.update(_gradients(network, probe())))
        hidden = read_by_name(network, probe)
    found = (_statistics(visit, gradients, hidden.get(visit.name)) for visit in walked.visits)
    return (tuple(layer for layer in found if layer is not None), *_pictures(walked))


def _gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of `loss` by each trained parameter that it depends on, by the parameter's path."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(trained, found, strict=True) if gradient is not None}


def _pictures(walked: Walk) -> tuple[Array | None, dict[str, Array]]:
    """The first input images, and the output of each convolution for them; empty for other inputs."""
    images = walked.inputs[0] if walked.inputs else None
    if images is None or images.dim() != 4 or not images.is_floating_point():
        return None, {}
    maps = {
        visit.name: visit.output[:IMAGES, :MAPS].float().numpy(force=True)
        for visit in walked.visits
        if isinstance(visit.module, nn.Conv2d) and visit.output is not None and visit.output.dim() == 4
    }
    return images[:IMAGES].float().numpy(force=True), maps


def _statistics(visit: Visit, gradients: Mapping[str, Tensor], hidden: health.Layer | None) -> LayerStatistics | None:
    """Statistics of a layer; None if it has no matrices."""
    own = {key: p.detach() for key, p in visit.module._parameters.items() if p is not None}
    matrices = {key: p for key, p in own.items() if p.dim() > 1}
    vectors = [p for p in own.values() if p.dim() == 1]
    if not matrices:
        return None
    prefix = f"{visit.name}." if visit.name else ""
    flowing = [gradients[prefix + key].abs().flatten() for key in matrices if prefix + key in gradients]
    activations = None
    if visit.output is not None and visit.output.is_floating_point():
        values = visit.output.float()
        activations = (float(values.mean()), float(values.std(correction=0)), float((values == 0).float().mean()))
    return LayerStatistics(
        name=visit.name,
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
