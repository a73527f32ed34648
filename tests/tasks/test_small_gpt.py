"""Every variable of `small_gpt` has the effect it describes, and the task reads text exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tune_app.datasets.dataset import Dataset
from tune_app.errors import InputError
from tune_app.spaces.expression import Expression
from tune_app.spaces.variable import GROUPS, Config, Value
from tune_app.tasks.small_gpt import (
    GPTState,
    SmallGPT,
    SmallGPTTask,
    batches_per_epoch,
    continue_text,
    keep_likeliest,
    measure,
    next_token_loss,
)
from tune_app.training.trial import Training, prepared

TASK = SmallGPTTask()
VARIABLES = {v.name: v for v in TASK.variables}


def text_of(text: str, test: str = "") -> Dataset:
    def part(written: str) -> dict[str, np.ndarray]:
        return {"text": np.array([ord(c) for c in written], dtype=np.uint32)} if written else {}

    return Dataset("text", "text", part(text), part(test), {})


FEW = text_of("the cat sat on the mat, the dog sat on the log; ça va. " * 40)
EFFECTS: dict[str, Callable[[], None]] = {}


def effect(test: Callable[[], None]) -> Callable[[], None]:
    """Register the test of the variable that the function is named after."""
    EFFECTS[test.__name__] = test
    return test


@pytest.mark.parametrize("name", VARIABLES)
def test_variable_has_its_effect(name: str) -> None:
    assert name in EFFECTS, f"write a test of what `{name}` does: a function of that name under @effect"
    EFFECTS[name]()


def config(**changes: Value) -> Config:
    small: Config = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16, "batch_size": 8, "iterations": 5}
    small["sample_length"] = 20
    return {**{name: v.default for name, v in VARIABLES.items()}, **small, **changes}


def training(data: Dataset = FEW, seed: int = 0, **changes: Value) -> Training:
    whole = config(**changes)
    return Training(TASK, whole, prepared(TASK, whole, data), epochs=int(whole["epochs"]), seed=seed)


def state_of(begun: Training) -> GPTState:
    assert isinstance(begun.state, GPTState)
    return begun.state


def trained(run: int = 1, data: Dataset = FEW, **changes: Value) -> tuple[GPTState, dict[str, Any]]:
    begun = training(data, **changes)
    for _ in range(run):
        row = begun.run_epoch()
    return state_of(begun), row.metrics


def network(**changes: Value) -> SmallGPT:
    return state_of(training(**changes)).model


def weights(state: GPTState) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in state.model.parameters()])


def of_type(model: nn.Module, kind: type[Any]) -> list[Any]:
    return [m for m in model.modules() if isinstance(m, kind)]


def changes_training(name: str, *values: Value, **others: Value) -> None:
    """Each of the values leads to different weights."""
    found = [weights(trained(**{**others, name: value})[0]) for value in values]
    for position, one in enumerate(found):
        assert all(one.shape != other.shape or not torch.equal(one, other) for other in found[position + 1 :])


# Architecture


@effect
def n_layer() -> None:
    assert len(network(n_layer=3).blocks) == 3


@effect
def n_head() -> None:
    assert network(n_head=4).blocks[0].attention.heads == 4  # type: ignore[union-attr]
    changes_training("n_head", 1, 2, 4)


@effect
def n_embd() -> None:
    assert network(n_embd=32).embedding.embedding_dim == 32


@effect
def block_size() -> None:
    tokens = torch.randint(1, 10, (1, 16))
    changed = tokens.clone()
    changed[0, 0] = 11 - changed[0, 0]
    model = network(block_size=16).eval()
    assert not torch.allclose(model(tokens)[0, -1], model(changed)[0, -1])  # attention covers the whole block
    assert network(block_size=24, position="learned").positions.num_embeddings == 24  # type: ignore[union-attr]


@effect
def dropout() -> None:
    model = network(dropout=0.3)
    assert {d.p for d in of_type(model, nn.Dropout)} == {0.3}
    changes_training("dropout", 0.0, 0.3)


@effect
def bias() -> None:
    def biases(model: nn.Module) -> list[str]:
        return [name for name, _ in model.named_parameters() if name.endswith("bias")]

    assert not biases(network(bias=False, norm="layer"))
    assert len(biases(network(bias=True, norm="layer"))) == 2 * 6 + 1


@effect
def tied_weights() -> None:
    tied, free = network(tied_weights=True), network(tied_weights=False)
    assert tied.output.weight is tied.embedding.weight
    count = [sum(p.numel() for p in model.parameters()) for model in (tied, free)]
    assert count[1] - count[0] == free.output.weight.numel()


@effect
def activation() -> None:
    changes_training("activation", "gelu", "relu", "silu", "squared_relu")


@effect
def position() -> None:
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6]])
    swapped = torch.tensor([[2, 1, 3, 4, 5, 6]])
    for way in ("learned", "rotary"):
        model = network(position=way, n_layer=1).eval()
        assert not torch.allclose(model(tokens)[0, -1], model(swapped)[0, -1], atol=1e-7)
    # Rotary positions are relative: the same tokens at a later position are read the same way.
    model = network(position="rotary", n_layer=1).eval()
    angles = model.angles
    values = torch.randn(1, 4, 16)
    attention = model.blocks[0].attention
    torch.testing.assert_close(attention(values, angles[:4]), attention(values, angles[5:9]))  # type: ignore[operator]


@effect
def norm() -> None:
    assert len(of_type(network(norm="rms"), nn.RMSNorm)) == 5
    assert len(of_type(network(norm="layer"), nn.LayerNorm)) == 5


# Training


@effect
def learning_rate() -> None:
    changes_training("learning_rate", 1e-4, 1e-2)


@effect
def final_learning_rate() -> None:
    for share in (0.0, 0.25, 1.0):
        state, _ = trained(run=2, epochs=2, warmup_epochs=0.0, learning_rate=1e-3, final_learning_rate=share)
        done = 0.5 * (1 + math.cos(math.pi * 0.9))
        expected = 1e-3 * (share + (1 - share) * done)
        assert state.optimization.optimizer.param_groups[0]["lr"] == pytest.approx(expected)


@effect
def warmup_epochs() -> None:
    state, _ = trained(warmup_epochs=2.0, learning_rate=1e-3)
    assert state.optimization.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * 5 / 11)


@effect
def beta1() -> None:
    assert trained(beta1=0.5)[0].optimization.optimizer.param_groups[0]["betas"][0] == 0.5
    changes_training("beta1", 0.5, 0.9)


@effect
def beta2() -> None:
    assert trained(beta2=0.5)[0].optimization.optimizer.param_groups[0]["betas"][1] == 0.5
    changes_training("beta2", 0.5, 0.99)


@effect
def weight_decay() -> None:
    groups = trained(weight_decay=0.3, bias=True)[0].optimization.optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert {p.dim() >= 2 for p in groups[0]["params"]} == {True}
    assert {p.dim() >= 2 for p in groups[1]["params"]} == {False}
    changes_training("weight_decay", 0.0, 0.5)


@effect
def gradient_clip() -> None:
    changes_training("gradient_clip", 0.0, 1e-4)


@effect
def batch_size() -> None:
    changes_training("batch_size", 4, 8)


@effect
def iterations() -> None:
    assert [trained(iterations=count)[0].optimization.steps for count in (1, 4)] == [1, 4]
    settings = trained(iterations=1000)[0].settings
    assert batches_per_epoch(settings, 8 * 16 * 7 + 5) == 7  # no more than one pass over the text
    assert TASK.rows_per_epoch(config(iterations=1000), 8 * 16 * 7 + 5) == 8 * 16 * 7


@effect
def epochs() -> None:
    assert [state_of(training(epochs=count)).optimization.total_steps for count in (2, 20)] == [10, 100]


@effect
def precision() -> None:
    full, half = trained(precision="fp32"), trained(precision="bf16")
    assert full[1]["val_loss"] != half[1]["val_loss"]
    assert half[1]["val_loss"] == pytest.approx(full[1]["val_loss"], rel=0.05)
    assert all(p.dtype == torch.float32 for p in half[0].model.parameters())


# Data


@effect
def tokenizer() -> None:
    data = text_of("aé€𝄞 a", test="ba")
    chars = prepared(TASK, config(tokenizer="char"), data)
    assert chars.train["tokens"].tolist() == [2, 3, 4, 5, 1, 2]
    assert chars.test["tokens"].tolist() == [0, 2]  # an unknown character and a known one
    raw = prepared(TASK, config(tokenizer="byte"), data)
    assert bytes(raw.train["tokens"].tolist()).decode() == "aé€𝄞 a"
    assert network(tokenizer="byte").embedding.num_embeddings == 256


@effect
def training_fraction() -> None:
    full, part = trained()[0], trained(training_fraction=0.25)[0]
    assert torch.equal(part.training_tokens, full.training_tokens[: round(len(full.training_tokens) / 4)])
    assert torch.equal(part.validation_tokens, full.validation_tokens)


@effect
def validation_fraction() -> None:
    small, large = trained(validation_fraction=0.1)[0], trained(validation_fraction=0.5)[0]
    assert len(small.validation_tokens) == 220
    assert torch.equal(large.validation_tokens[-220:], small.validation_tokens)
    assert len(large.training_tokens) == len(large.validation_tokens) == 1100


# Inference


def drawn(**changes: Value) -> list[int]:
    state, _ = trained(**changes)
    return continue_text(state.model, state.settings, torch.tensor([3]), seed=1)


@effect
def temperature() -> None:
    cold = drawn(temperature=0.01)
    assert cold == drawn(top_k=1, temperature=1.0)  # always the most likely token
    assert drawn(temperature=5.0) != cold


@effect
def top_k() -> None:
    logits = torch.tensor([0.1, 3.0, 2.0, -1.0])
    assert keep_likeliest(logits, 2, 1.0).isfinite().tolist() == [False, True, True, False]
    assert keep_likeliest(logits, 0, 1.0).isfinite().all()


def test_a_sample_holds_no_unknown_character() -> None:
    data = Dataset("x", "text", {"text": np.full(400, ord("x"), dtype=np.uint32)}, {}, {})
    config = {v.name: v.default for v in TASK.variables} | {"n_layer": 1, "n_embd": 8, "temperature": 10.0}
    training = Training(TASK, config, prepared(TASK, config, data), epochs=1, seed=0)
    assert training.sample() == "x" * 200


@effect
def top_p() -> None:
    logits = torch.tensor([0.6, 0.1, 0.3]).log()
    kept = {p: keep_likeliest(logits, 0, p).isfinite().tolist() for p in (0.01, 0.6, 0.61, 0.95, 1.0)}
    assert kept[0.01] == [True, False, False]
    assert kept[0.61] == [True, False, True]
    assert kept[0.95] == kept[1.0] == [True, True, True]


@effect
def sample_length() -> None:
    assert len(drawn(sample_length=7)) == 7
    state, _ = trained(sample_length=30)
    assert TASK.sample(state) == TASK.sample(state)
    assert len(TASK.sample(state)) == 30


# The task as a whole


def test_catalog_is_complete() -> None:
    assert {v.group for v in TASK.variables} == set(GROUPS)
    assert set(EFFECTS) == set(VARIABLES)
    for variable in TASK.variables:
        assert variable.description.endswith(".")


def test_defaults_meet_the_constraints() -> None:
    defaults = {v.name: v.default for v in TASK.variables}
    assert all(Expression.parse(text)(defaults) for text in TASK.constraints)


def test_no_token_sees_what_follows_it() -> None:
    tokens = torch.randint(1, 10, (2, 16))
    changed = tokens.clone()
    changed[:, 10:] = 11 - changed[:, 10:]
    for way in ("learned", "rotary"):
        model = network(position=way).eval()
        torch.testing.assert_close(model(tokens)[:, :10], model(changed)[:, :10])


def test_measure_reads_every_token_once() -> None:
    state, metrics = trained()
    tokens = state.validation_tokens
    losses = []
    for start in range(0, len(tokens) - 1, 16):
        piece = tokens[start : start + 17].long()[None]
        losses.append(next_token_loss(state.model(piece[:, :-1]), piece[:, 1:], reduction="sum").item())
    assert metrics["val_loss"] == pytest.approx(sum(losses) / (len(tokens) - 1), rel=1e-5)
    assert metrics["val_bits_per_character"] == pytest.approx(metrics["val_loss"] / math.log(2), rel=1e-6)


def test_bits_per_character_count_characters_even_with_byte_tokens() -> None:
    text = "ç€𝄞a" * 100
    state, metrics = trained(data=text_of(text), tokenizer="byte", validation_fraction=0.5)
    tokens = len(text.encode()) // 2 - 1
    nats = metrics["val_loss"] * tokens
    assert metrics["val_bits_per_character"] == pytest.approx(nats / math.log(2) / 199.5, rel=0.01)
    assert isinstance(TASK.sample(state), str)


def test_any_tokenizer_validates_on_the_same_text() -> None:
    text = "to be or not to be, " * 100 + "漢字とかな" * 60
    for fraction in (0.1, 0.13):
        chars, bytes_ = (
            trained(data=text_of(text), tokenizer=t, validation_fraction=fraction, training_fraction=0.5)[0]
            for t in ("char", "byte")
        )
        written = [
            "".join(chr(chars.vocabulary[token - 1]) for token in part.tolist())
            for part in (chars.training_tokens, chars.validation_tokens)
        ]
        assert bytes(bytes_.training_tokens.tolist()).decode() == written[0]
        assert bytes(bytes_.validation_tokens.tolist()).decode() == written[1]


def test_a_character_missing_from_training_is_never_predicted_correctly() -> None:
    state, _ = trained(data=text_of("ab" * 100, test="☃☃☃☃"))
    with torch.no_grad():
        state.model.output.weight.zero_()  # every character is equally likely, so the answer is the first one
    unknown = prepared(TASK, config(), text_of("ab" * 100, test="☃☃☃☃")).test["tokens"]
    assert TASK.evaluate(state, {"tokens": unknown})["accuracy"] == 0


def test_a_text_that_is_too_short_is_rejected() -> None:
    with pytest.raises(InputError, match="at least 10 characters to train on, but has 3"):
        training(data=text_of("abc"))


def test_it_learns_a_repeating_text() -> None:
    _, metrics = trained(run=5, iterations=40, learning_rate=1e-2, warmup_epochs=0.2)
    assert metrics["val_accuracy"] > 0.85
    assert metrics["val_bits_per_character"] < 1


def test_same_seed_same_figures() -> None:
    assert trained(run=2, dropout=0.2)[1] == trained(run=2, dropout=0.2)[1]


def test_a_text_shorter_than_a_block_trains() -> None:
    state, metrics = trained(data=text_of("to be or not"), block_size=1024)
    assert math.isfinite(metrics["val_loss"])
    assert measure(state.model, state.settings, state.validation_tokens)["accuracy"] <= 1
    assert TASK.probe_loss(state).isfinite()
