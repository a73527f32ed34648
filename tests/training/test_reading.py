"""Reading networks of every kind: sick ones against their healthy twins, and that reading leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tune_app.training.health import Reading, gradient_health, neuron_utilization, parameter_efficiency
from tune_app.training.reading import ProbeError, latency_ms, read_network

ROWS, CLASSES = 32, 3
LABELS = torch.arange(ROWS) % CLASSES
DEAD = -1e4
"""A bias that makes a ReLU output zero for any input."""


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def read(model: nn.Module, inputs: Tensor) -> Reading:
    return read_network(model, lambda: functional.cross_entropy(model(inputs), LABELS))


def utilization(model: nn.Module, inputs: Tensor) -> float:
    figure = neuron_utilization(read(model, inputs).layers)
    assert figure is not None
    return figure


def gradients(model: nn.Module, inputs: Tensor) -> float:
    figure = gradient_health(read(model, inputs).gradients)
    assert figure is not None
    return figure


class Functional(nn.Module):
    """A perceptron with a functional activation, which no hook can see."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, width), nn.Linear(width, CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.two(functional.relu(self.one(rows)))
        return out


class Recurrent(nn.Module):
    """Classifies tokens with an embedding and a recurrent module, packed or not."""

    def __init__(self, kind: type[nn.RNNBase], packed: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.recurrent = kind(6, 10, batch_first=True, bidirectional=True, num_layers=2, dropout=0.5)
        self.out = nn.Linear(20, CLASSES)
        self.packed = packed

    def forward(self, tokens: Tensor) -> Tensor:
        inputs = self.embedding(tokens)
        if self.packed:
            inputs = pack_padded_sequence(inputs, torch.full((len(tokens),), tokens.shape[1]), batch_first=True)
        states, _ = self.recurrent(inputs)
        if self.packed:
            states, _ = pad_packed_sequence(states, batch_first=True)
        out: Tensor = self.out(states.mean(1))
        return out


class Steps(nn.Module):
    """A recurrent cell, called once per token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell, self.out = nn.Embedding(20, 6), nn.LSTMCell(6, 10), nn.Linear(10, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        state = None
        for inputs in self.embedding(tokens).unbind(1):
            state = self.cell(inputs, state)
        assert state is not None
        out: Tensor = self.out(state[0])
        return out


class Transformer(nn.Module):
    """Classifies tokens with torch's own encoder, whose feed-forward part uses a functional ReLU."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
        self.embedding, self.position = nn.Embedding(20, 8), nn.Embedding(5, 8)
        self.encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.out = nn.Linear(8, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = self.embedding(tokens) + self.position(torch.arange(tokens.shape[1]))
        out: Tensor = self.out(self.encoder(rows).mean(1))
        return out


def perceptron(width: int = 16, activation: type[nn.Module] = nn.ReLU, **options: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, width), activation(**options), nn.Linear(width, CLASSES))


def convolutional(activation: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.MaxPool2d(2),
        activation or nn.ReLU(),
        nn.Conv2d(8, 4, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * 9, CLASSES),
    )


TOKENS = torch.arange(ROWS * 5).reshape(ROWS, 5) * 7 % 20
VECTORS = torch.randn(ROWS, 8, generator=torch.Generator().manual_seed(1))
IMAGES = torch.randn(ROWS, 1, 6, 6, generator=torch.Generator().manual_seed(1))
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor, list[int]]] = {
    "perceptron": (perceptron, VECTORS, [16]),
    "functional": (lambda: Functional(12), VECTORS, [12]),
    "convolutional": (convolutional, IMAGES, [8, 4]),
    "lstm": (lambda: Recurrent(nn.LSTM), TOKENS, [6, 20]),
    "gru, packed": (lambda: Recurrent(nn.GRU, packed=True), TOKENS, [6, 20]),
    "cell": (Steps, TOKENS, [6, 10]),
    "transformer": (Transformer, TOKENS, [8, 8, 16, 8, 16, 8]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_can_be_read(name: str) -> None:
    build, inputs, units = NETWORKS[name]
    reading = read(build(), inputs)
    assert [layer.units for layer in reading.layers] == units
    for layer in reading.layers:
        assert 0.75 * layer.units <= layer.used <= layer.units
        assert 1 <= layer.dimensions <= layer.units
        assert layer.parameters > 0
    assert len(reading.gradients) == len(units) + 1
    health = gradient_health(reading.gradients)
    assert health is not None
    assert health > 0.6


@pytest.mark.parametrize("build", [perceptron, lambda: perceptron(inplace=True), lambda: Functional(16)])
def test_each_dead_relu_counts(build: Callable[[], nn.Module]) -> None:
    model = build()
    bias = next(m for m in model.modules() if isinstance(m, nn.Linear)).bias
    assert utilization(model, VECTORS) == 1.0
    for dead in range(1, 17):
        bias.data[dead - 1] = DEAD
        assert utilization(model, VECTORS) == 1 - dead / 16


def test_dead_channels_after_batch_normalization() -> None:
    model = convolutional().eval()
    model[1].weight.data[:4], model[1].bias.data[:4] = 0.0, -1.0
    assert read(model, IMAGES).layers[0].used == 4


def test_dead_units_of_a_transformer_with_a_functional_activation() -> None:
    model = Transformer()
    model.encoder.layers[1].linear1.bias.data[:12] = DEAD
    assert [layer.used for layer in read(model, TOKENS).layers] == [8, 8, 16, 8, 4, 8]


def test_silent_states_of_an_lstm() -> None:
    model = Recurrent(nn.LSTM)
    output_gate = slice(30, 37)  # seven of the ten units
    model.recurrent.bias_ih_l1.data[output_gate] = DEAD
    assert read(model, TOKENS).layers[1].used == 20 - 7


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid])
def test_saturated_units_are_unused(activation: type[nn.Module]) -> None:
    model = perceptron(activation=activation)
    model[0].bias.data[:4] = 100.0
    assert utilization(model, VECTORS) == 0.75


def test_a_network_that_is_dead_after_some_layer() -> None:
    model = nn.Sequential(nn.Linear(8, 9), nn.Tanh(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, CLASSES))
    model[2].bias.data[:] = DEAD
    assert utilization(model, VECTORS) == 0.0, "units that the loss does not depend on are unused"
    assert gradients(model, VECTORS) == 0.0


def deep(gain: float, activation: type[nn.Module]) -> nn.Sequential:
    blocks: list[nn.Module] = [nn.Linear(8, 32)]
    for _ in range(12):
        linear = nn.Linear(32, 32)
        nn.init.orthogonal_(linear.weight, gain)
        nn.init.zeros_(linear.bias)
        blocks += [linear, activation()]
    return nn.Sequential(*blocks, nn.Linear(32, CLASSES))


def test_vanishing_gradients() -> None:
    figures = [gradients(deep(gain, nn.Tanh), VECTORS) for gain in (1.0, 0.7, 0.5, 0.3)]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 0.8
    assert figures[-1] < 0.3
    assert gradients(deep(0.01, nn.Tanh), VECTORS) == 0.0


def test_exploding_gradients() -> None:
    figures = [gradients(deep(gain, nn.Identity), VECTORS / 1e6) for gain in (1.0, 1.5, 2.0, 3.0)]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 0.8
    assert figures[-1] < 0.3
    assert gradients(deep(1e4, nn.Identity), VECTORS) == 0.0


def test_exploding_gradients_through_time() -> None:
    healthy = Recurrent(nn.RNN)
    sick = copy.deepcopy(healthy)
    for name, weight in sick.recurrent.named_parameters():
        weight.data *= 8.0 if "hh" in name else 0.001 if "ih" in name else 0.0
    assert gradients(sick, TOKENS) < gradients(healthy, TOKENS)


def widened(model: nn.Sequential, times: int) -> nn.Sequential:
    """The same function with `times` copies of each hidden unit (Net2Net, Chen et al., 2016)."""
    linear = [m for m in model if isinstance(m, nn.Linear)]
    wide = []
    for number, old in enumerate(linear):
        weight, bias = old.weight.data, old.bias.data
        if number:
            weight = weight.repeat(1, times) / times
        if number < len(linear) - 1:
            weight, bias = weight.repeat(times, 1), bias.repeat(times)
        new = nn.Linear(weight.shape[1], weight.shape[0])
        new.weight.data, new.bias.data = weight, bias
        wide += [new, nn.ReLU()]
    return nn.Sequential(*wide[:-1])


def test_a_hundredfold_overparameterized_network() -> None:
    lean = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, CLASSES))
    fat = widened(lean, 10)
    assert torch.allclose(lean(VECTORS), fat(VECTORS), atol=1e-5)
    assert fat[2].weight.numel() == 100 * lean[2].weight.numel()
    ours, theirs = read(lean, VECTORS), read(fat, VECTORS)
    for one, other in zip(ours.layers, theirs.layers, strict=True):
        assert other.dimensions == pytest.approx(one.dimensions, rel=1e-3)
    lean_figure, fat_figure = parameter_efficiency(ours.layers[1:]), parameter_efficiency(theirs.layers[1:])
    assert lean_figure is not None
    assert fat_figure == pytest.approx(lean_figure / 10, rel=1e-3)


def test_wider_networks_of_the_same_kind_are_less_efficient() -> None:
    figures = []
    for width in (8, 32, 128, 512):
        torch.manual_seed(0)
        figures.append(parameter_efficiency(read(perceptron(width), VECTORS).layers) or 0.0)
    assert figures == sorted(figures, reverse=True)
    assert figures[-1] < figures[0] / 10


def test_dimensions_match_the_data() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, CLASSES))
    nn.init.eye_(model[0].weight)
    for filled in (1, 4, 8):
        # Rows of the identity and their negatives: `filled` directions with equal deviation.
        corners = torch.eye(8)[:filled]
        inputs = torch.cat([corners, -corners]).repeat(4, 1)
        labels = torch.arange(len(inputs)) % CLASSES

        def loss(inputs: Tensor = inputs, labels: Tensor = labels) -> Tensor:
            return functional.cross_entropy(model(inputs), labels)

        assert read_network(model, loss).layers[0].dimensions == pytest.approx(filled, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_with_other_precisions(dtype: torch.dtype) -> None:
    model = perceptron()
    expected = read(model, VECTORS)
    found = read(copy.deepcopy(model).to(dtype), VECTORS.to(dtype))
    (layer,), (other,) = found.layers, expected.layers
    assert layer.units == other.units
    assert layer.dimensions == pytest.approx(other.dimensions, rel=0.05)
    assert found.gradients == pytest.approx(expected.gradients, rel=0.05)


@pytest.mark.parametrize(
    "parametrize", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]
)
def test_a_parametrized_layer_counts_as_a_layer(parametrize: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(parametrize(nn.Linear(8, 16)), nn.ReLU(), parametrize(nn.Linear(16, CLASSES)))
    reading = read(model, VECTORS)
    (layer,) = reading.layers
    assert (layer.units, layer.parameters) == (16, sum(p.numel() for p in model[0].parameters()))
    assert 0 < layer.used <= 16
    assert len(reading.gradients) == 2


def test_the_scale_of_the_loss_does_not_matter() -> None:
    model = perceptron()
    large = read_network(model, lambda: 1e6 * functional.cross_entropy(model(VECTORS), LABELS))
    small = read(model, VECTORS)
    assert large.layers == small.layers
    assert gradient_health(large.gradients) == pytest.approx(gradient_health(small.gradients))


@pytest.mark.parametrize("scale", [1e19, 1e-25])
def test_the_scale_of_the_activations_does_not_matter(scale: float) -> None:
    model, inputs = perceptron(), torch.randn(ROWS, 8)
    scaled = copy.deepcopy(model)
    linear = [module for module in scaled if isinstance(module, nn.Linear)]
    with torch.no_grad():
        linear[0].weight *= scale
        linear[0].bias *= scale
        linear[-1].weight /= scale
    (found,), (expected,) = read(scaled, inputs).layers, read(model, inputs).layers
    assert (found.units, found.used) == (expected.units, expected.used)
    assert found.dimensions == pytest.approx(expected.dimensions, rel=1e-3)


def test_a_loss_that_is_exactly_zero() -> None:
    model = perceptron()
    reading = read_network(model, lambda: 0.0 * model(VECTORS).sum())
    assert neuron_utilization(reading.layers) == 1.0, "units are judged only by their outputs"
    assert gradient_health(reading.gradients) is None


def test_a_network_without_hidden_layers_has_no_figures() -> None:
    model = nn.Linear(8, CLASSES)
    reading = read(model, VECTORS)
    assert (reading.layers, len(reading.gradients)) == ((), 1)
    weight = nn.Parameter(torch.ones(3))
    assert read_network(nn.Identity(), lambda: weight.sum()) == Reading((), ())


def test_overflow_is_unhealthy_but_not_an_error() -> None:
    model = deep(1e30, nn.Identity)
    reading = read(model, VECTORS)
    assert gradient_health(reading.gradients) == 0.0
    assert reading.layers[-1].used == 0


def test_a_frozen_layer_has_no_gradient() -> None:
    model = perceptron()
    model[0].requires_grad_(False)
    reading = read(model, VECTORS)
    assert (reading.layers[0].parameters, reading.layers[0].used) == (0, 16)
    assert len(reading.gradients) == 1


def test_half_precision() -> None:
    model = convolutional()
    with torch.autocast("cpu", torch.bfloat16):
        reading = read(model, IMAGES)
    whole = read(model, IMAGES)
    assert [layer.used for layer in reading.layers] == [layer.used for layer in whole.layers]
    assert gradient_health(reading.gradients) == pytest.approx(gradient_health(whole.gradients), abs=0.05)


@pytest.mark.parametrize("name", NETWORKS)
def test_reading_changes_nothing(name: str) -> None:
    build, inputs, _ = NETWORKS[name]
    model = build().train()
    frozen = next(iter(model.children()))
    frozen.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    functional.cross_entropy(model(inputs), LABELS).backward()  # type: ignore[no-untyped-call]
    model.load_state_dict(before)
    kept = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes, random_state = [m.training for m in model.modules()], torch.get_rng_state()
    dropouts = [getattr(m, "dropout", None) for m in model.modules()]

    first, second = read(model, inputs), read(model, inputs)
    assert first == second
    assert (latency_ms(model, lambda: functional.cross_entropy(model(inputs), LABELS)) or 0) > 0

    assert [m.training for m in model.modules()] == modes
    assert [getattr(m, "dropout", None) for m in model.modules()] == dropouts
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for parameter, grad in zip(model.parameters(), kept, strict=True):
        assert (parameter.grad is None) if grad is None else torch.equal(parameter.grad, grad)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("returned", [None, 0.5, torch.ones(3, requires_grad=True), torch.tensor(1.0)])
def test_an_invalid_loss_is_rejected(returned: Any) -> None:
    with pytest.raises(ProbeError, match="must return one number with its graph, but returned"):
        read_network(perceptron(), lambda: returned)


def test_an_error_of_the_task_is_passed_on_and_leaves_no_trace() -> None:
    model = perceptron().train()

    def fail() -> Tensor:
        model(VECTORS)
        raise KeyError("no such row")

    for measure in (read_network, latency_ms):
        with pytest.raises(KeyError, match="no such row"):
            measure(model, fail)
        assert all(m.training for m in model.modules())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_no_latency_if_the_number_of_rows_is_unknown() -> None:
    model = perceptron()
    assert latency_ms(model, lambda: model[0](VECTORS).sum()) is None, "the model itself was never called"
