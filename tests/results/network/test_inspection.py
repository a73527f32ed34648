"""Inspecting a trained network: it is the network that was trained, and the results are correct."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tune_app.errors import NotFound
from tune_app.results.network.inspection import BINS, IMAGES, MAPS, inspect_trial
from tune_app.store.study import Study
from tune_app.training.trial import Training


def test_the_answers_match_the_metrics_of_the_training(trained: tuple[Study, Training]) -> None:
    study, training = trained
    seen = inspect_trial(study, 0)
    right = np.mean(np.asarray(seen.labels) == np.asarray(seen.answers))
    assert right == pytest.approx(training.history[-1].metrics["val_accuracy"])
    assert seen.class_names == tuple("0123456789")


def test_every_layer_with_weights_is_included_with_all_of_them(trained: tuple[Study, Training]) -> None:
    study, training = trained
    seen = {layer.name: layer for layer in inspect_trial(study, 0).layers}
    modules = {name: m for name, m in training.state.model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    assert set(seen) == set(modules)
    for name, module in modules.items():
        layer = seen[name]
        assert sum(layer.weights.counts) == module.weight.numel()
        assert len(layer.weights.edges) == BINS + 1
        assert layer.weights.edges[0] == pytest.approx(module.weight.min().item())
        assert (layer.biases is None) == (module.bias is None)
        assert layer.gradient is not None
        assert layer.gradient > 0
    training.state.model.eval()
    parameters = list(training.state.model.parameters())
    found = torch.autograd.grad(training.task.probe_loss(training.state), parameters)
    gradients = {id(p): g for p, g in zip(parameters, found, strict=True)}
    for name, module in modules.items():
        assert seen[name].gradient == pytest.approx(gradients[id(module.weight)].abs().mean().item(), rel=1e-4)


def test_the_maps_are_the_outputs_of_the_convolutions(trained: tuple[Study, Training]) -> None:
    study, training = trained
    seen = inspect_trial(study, 0)
    assert seen.images is not None
    assert seen.images.shape == (IMAGES, 1, 8, 8)
    first = next(name for name, m in training.state.model.named_modules() if isinstance(m, nn.Conv2d))
    model = training.state.model.eval()
    made = model.convolutions[0](model.normalize(torch.as_tensor(seen.images)))
    assert seen.maps[first].shape[1] == min(MAPS, made.shape[1])
    np.testing.assert_allclose(seen.maps[first], made[:, :MAPS].detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_trial_without_a_checkpoint_cannot_be_inspected(trained: tuple[Study, Training]) -> None:
    with pytest.raises(NotFound, match="trial 1 of the study `digits-small` has no checkpoint"):
        inspect_trial(trained[0], 1)
