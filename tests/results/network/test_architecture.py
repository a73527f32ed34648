"""The layers of a network: every kind, in the order of computation, and that reading them leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_app.errors import NotFound, WorkFailed
from tune_app.results.network.architecture import layers_of
from tune_app.results.network.rebuild import of_trial
from tune_app.store.study import Study
from tune_app.tasks.image_cnn import ImageCNNTask
from tune_app.training.layers import read_layers

MakeStudy = Callable[..., Study]


class Crossed(nn.Module):
    """Modules called in a different order than defined, one twice, one never, and a parameter of the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Linear(4, 3)
        self.first = nn.Linear(2, 4)
        self.square = nn.Linear(4, 4, bias=False)
        self.unused = nn.Linear(1, 1)
        self.scale = nn.Parameter(torch.ones(3))
        self.norm = nn.BatchNorm1d(4)
        self.norm.requires_grad_(False)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.second(self.square(self.square(self.norm(self.first(rows))))) * self.scale
        return out


def test_layers_are_listed_in_the_order_of_computation() -> None:
    model = Crossed()
    layers = read_layers(model, lambda: model(torch.ones(5, 2)))
    assert [layer.name for layer in layers] == ["first", "norm", "square", "second", "", "unused"]
    first, norm, square, _, own, unused = layers
    assert (first.type, first.input_shapes, first.output_shape) == ("Linear", ((5, 2),), (5, 4))
    assert (first.parameter_shapes, first.parameters) == ({"weight": (4, 2), "bias": (4,)}, 12)
    assert (norm.parameters, norm.trainable) == (8, 0)
    assert square.settings == "in_features=4, out_features=4, bias=False"
    assert (own.type, own.parameters) == ("Crossed", 3)
    assert (unused.input_shapes, unused.output_shape, unused.parameters) == ((), None, 2)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters())


def test_reading_layers_leaves_no_trace() -> None:
    model = Crossed().train()
    model.first.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    read_layers(model, lambda: model(torch.randn(5, 2)))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    assert not [module for module in model.modules() if module._forward_hooks]


def test_without_a_forward_pass_there_are_no_activation_shapes() -> None:
    layers = read_layers(nn.Sequential(nn.Embedding(7, 3), nn.LSTM(3, 2)))
    assert [(layer.name, layer.type, layer.output_shape) for layer in layers] == [
        ("0", "Embedding", None),
        ("1", "LSTM", None),
    ]
    assert layers[0].parameter_shapes == {"weight": (7, 3)}


def test_recurrent_modules_report_the_shape_of_their_first_output() -> None:
    model = nn.LSTM(3, 2, batch_first=True)
    (layer,) = read_layers(model, lambda: model(torch.zeros(4, 5, 3)))
    assert (layer.input_shapes, layer.output_shape) == (((4, 5, 3),), (4, 5, 2))


@pytest.fixture
def study(tmp_path: Path, make_study: MakeStudy) -> Study:
    return make_study(tmp_path / "results")


def test_the_network_of_a_trial_is_built_from_its_configuration(study: Study) -> None:
    config = study.history().trials[0].config
    layers = layers_of(of_trial(study, 0))
    convolutions = [layer for layer in layers if layer.type == "Conv2d"]
    assert len(convolutions) == config["conv_layers"]
    assert convolutions[0].parameter_shapes["weight"][0] == config["filters"]
    with pytest.raises(NotFound, match="has no trial 77"):
        of_trial(study, 77)


def test_an_error_of_the_task_gets_our_message(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*given: Any, **named: Any) -> None:
        raise ZeroDivisionError("no width")

    monkeypatch.setattr(ImageCNNTask, "start", start)
    with pytest.raises(WorkFailed, match=r"trial 0 cannot be built: ZeroDivisionError: no width"):
        layers_of(of_trial(study, 0))
