"""Every variable of `text_lstm` has the effect it describes, and the task reads text exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from tune_app.datasets.dataset import Dataset
from tune_app.spaces.variable import GROUPS, Categorical, Config, Value
from tune_app.tasks.classification import macro_f1, roc_auc
from tune_app.tasks.optimization import learning_rate_factor
from tune_app.tasks.text_lstm import TextLSTM, TextLSTMTask, TextState, predict
from tune_app.tasks.tokens import PADDING, UNKNOWN, build_vocabulary, encode, words_of
from tune_app.training.trial import Training, prepared

TASK = TextLSTMTask()
VARIABLES = {v.name: v for v in TASK.variables}
WORDS = ("good", "bad", "film", "plot", "actor", "long", "short", "scene", "music", "end")


def reviews(count: int, classes: int = 2) -> Dataset:
    """Texts of random words whose first word usually reveals the class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count)
    texts = np.empty(count, dtype=object)
    for row, label in enumerate(labels):
        words = rng.choice(WORDS, rng.integers(1, 12)).tolist()
        texts[row] = " ".join([("Good", "Bad", "Film", "Plot")[label], *words])
    return Dataset(
        "reviews", "labeled_text", {"texts": texts, "labels": labels.astype(np.int64)}, {}, {"classes": classes}
    )


FEW = reviews(100)
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
    small: Config = {"embedding_size": 8, "units": 4, "batch_size": 16, "warmup_epochs": 0.0, "min_count": 1}
    return {**{name: v.default for name, v in VARIABLES.items()}, **small, **changes}


def training(data: Dataset = FEW, seed: int = 0, **changes: Value) -> Training:
    whole = config(**changes)
    return Training(TASK, whole, prepared(TASK, whole, data), epochs=int(whole["epochs"]), seed=seed)


def trained(run: int = 1, data: Dataset = FEW, **changes: Value) -> tuple[TextState, dict[str, Any]]:
    """A small network after some epochs, with the variables in `changes`."""
    begun = training(data, **changes)
    for _ in range(run):
        row = begun.run_epoch()
    assert isinstance(begun.state, TextState)
    return begun.state, row.metrics


def weights(state: TextState) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in state.model.parameters()])


def network(**changes: Value) -> TextLSTM:
    state = training(**changes).state
    assert isinstance(state, TextState)
    return state.model


def of_type(model: nn.Module, kind: type[Any] | tuple[type[Any], ...]) -> list[Any]:
    return [m for m in model.modules() if isinstance(m, kind)]


def changes_training(name: str, *values: Value, **others: Value) -> None:
    """Each of the values leads to different weights."""
    found = [weights(trained(**{**others, name: value})[0]) for value in values]
    for position, one in enumerate(found):
        assert all(one.shape != other.shape or not torch.equal(one, other) for other in found[position + 1 :])


# Architecture


@effect
def embedding_size() -> None:
    assert of_type(network(embedding_size=5), nn.Embedding)[0].embedding_dim == 5


@effect
def cell() -> None:
    assert of_type(network(cell="lstm"), nn.LSTM)
    assert of_type(network(cell="gru"), nn.GRU)
    assert not of_type(network(cell="gru"), nn.LSTM)


@effect
def units() -> None:
    assert {c.hidden_size for c in of_type(network(units=7), nn.LSTM)} == {7}


@effect
def layers() -> None:
    cells = of_type(network(layers=3, bidirectional=False), nn.LSTM)
    assert [c.input_size for c in cells] == [8, 4, 4]


@effect
def bidirectional() -> None:
    assert len(of_type(network(bidirectional=True, layers=2), nn.LSTM)) == 4
    assert of_type(network(bidirectional=True), nn.Linear)[0].in_features == 8
    assert of_type(network(bidirectional=False), nn.Linear)[0].in_features == 4


def exact(model: TextLSTM, tokens: Tensor, lengths: Tensor) -> Tensor:
    """The states (batch, length, units) from torch's own bidirectional layer on packed texts."""
    own = model.layers[0]
    whole = nn.LSTM(8, 4, batch_first=True, bidirectional=True)
    names = [name for name, _ in own.onward.cell.named_parameters()]  # type: ignore[union-attr]
    for name in names:
        getattr(whole, name).data = getattr(own.onward.cell, name).data  # type: ignore[union-attr]
        getattr(whole, f"{name}_reverse").data = getattr(own.back.cell, name).data  # type: ignore[union-attr]
    packed = pack_padded_sequence(model.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
    states, (last, _) = whole(packed)
    return nn.utils.rnn.pad_packed_sequence(states, batch_first=True)[0], torch.cat([*last], dim=1)  # type: ignore[return-value]


@effect
def pooling() -> None:
    tokens = torch.tensor([[2, 3, 4, 5], [6, 7, 0, 0], [8, 0, 0, 0]])
    lengths = torch.tensor([4, 2, 1])
    for name in ("last", "mean", "max"):
        model = network(pooling=name).eval()
        model.dense = nn.Sequential(nn.Identity())
        states, last = exact(model, tokens, lengths)
        parts = [states[row, :count] for row, count in enumerate(lengths)]
        expected = {
            "last": last,
            "mean": torch.stack([part.mean(dim=0) for part in parts]),
            "max": torch.stack([part.amax(dim=0) for part in parts]),
        }
        torch.testing.assert_close(model(tokens, lengths), expected[name])


@effect
def dense_layers() -> None:
    for count in (0, 1, 4):
        assert len(of_type(network(dense_layers=count), nn.Linear)) == count + 1


@effect
def dense_width() -> None:
    assert [d.out_features for d in of_type(network(dense_width=9, dense_layers=2), nn.Linear)] == [9, 9, 2]


@effect
def activation() -> None:
    domain = VARIABLES["activation"].domain
    assert isinstance(domain, Categorical)
    changes_training("activation", *domain.choices, dense_layers=1)


@effect
def embedding_dropout() -> None:
    assert network(embedding_dropout=0.4).embedding_dropout.p == 0.4
    changes_training("embedding_dropout", 0.0, 0.4)


@effect
def recurrent_dropout() -> None:
    tokens, lengths = torch.tensor([[2, 3, 4, 5]]), torch.tensor([4])
    model, none = network(recurrent_dropout=0.5), network(recurrent_dropout=0.0)
    assert torch.equal(model.eval()(tokens, lengths), none.eval()(tokens, lengths))  # disabled at inference
    model.train()
    model.embedding_dropout.p = 0.0
    for drop in of_type(model.dense, nn.Dropout):
        drop.p = 0.0
    assert not torch.equal(model(tokens, lengths), model(tokens, lengths))
    # In a one-word text, no state depends on a previous one.
    assert torch.equal(model(tokens[:, :1], lengths * 0 + 1), model(tokens[:, :1], lengths * 0 + 1))
    changes_training("recurrent_dropout", 0.0, 0.5)
    model(tokens, lengths).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in model.named_parameters() if "weight_hh" in n)


@effect
def dense_dropout() -> None:
    assert [d.p for d in of_type(network(dense_dropout=0.4, dense_layers=1).dense, nn.Dropout)] == [0.4, 0.4]
    changes_training("dense_dropout", 0.0, 0.4)


# Training


@effect
def optimizer() -> None:
    changes_training("optimizer", "sgd", "adam", "adamw", "rmsprop")


@effect
def learning_rate() -> None:
    changes_training("learning_rate", 1e-4, 1e-2)


@effect
def momentum() -> None:
    changes_training("momentum", 0.0, 0.9, optimizer="sgd")
    assert torch.equal(weights(trained(momentum=0.1)[0]), weights(trained(momentum=0.9)[0]))


@effect
def weight_decay() -> None:
    changes_training("weight_decay", 0.0, 0.5)


@effect
def batch_size() -> None:
    assert [trained(batch_size=size)[0].optimization.steps for size in (4096, 40, 39, 8)] == [1, 2, 3, 10]  # of 80


@effect
def schedule() -> None:
    found = [weights(trained(run=4, epochs=4, schedule=s)[0]) for s in ("constant", "cosine", "step", "linear")]
    assert len({float(w.sum()) for w in found}) == 4


@effect
def warmup_epochs() -> None:
    state, _ = trained(warmup_epochs=2.0)
    expected = learning_rate_factor("cosine", 4, 30, 10) * state.settings.learning_rate
    assert state.optimization.optimizer.param_groups[0]["lr"] == pytest.approx(expected)


@effect
def label_smoothing() -> None:
    changes_training("label_smoothing", 0.0, 0.3)


@effect
def gradient_clip() -> None:
    plain: dict[str, Value] = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "batch_size": 4096}
    before = weights(training(**plain).state)  # type: ignore[arg-type]
    moved = weights(trained(**plain, learning_rate=1.0, gradient_clip=0.01, schedule="constant")[0]) - before
    assert moved.norm() == pytest.approx(0.01, rel=1e-2)


@effect
def epochs() -> None:
    assert [training(epochs=count).state.optimization.total_steps for count in (2, 20)] == [10, 100]  # type: ignore[attr-defined]


@effect
def precision() -> None:
    full, half = trained(precision="fp32"), trained(precision="bf16")
    assert full[1]["val_loss"] != half[1]["val_loss"]
    assert half[1]["val_loss"] == pytest.approx(full[1]["val_loss"], rel=0.05)
    assert all(p.dtype == torch.float32 for p in half[0].model.parameters())


# Data


def vocabulary(**changes: Value) -> tuple[str, ...]:
    found: tuple[str, ...] = prepared(TASK, config(**changes), FEW).info["vocabulary"]
    return found


@effect
def vocabulary_size() -> None:
    assert len(vocabulary(vocabulary_size=10)) == 10
    assert vocabulary(vocabulary_size=10) == vocabulary()[:10]
    assert network(vocabulary_size=10).embedding.num_embeddings == 12


@effect
def min_count() -> None:
    texts = [["a", "b", "a"], ["b", "c"]]
    assert [build_vocabulary(texts, 9, count) for count in (1, 2, 3)] == [("a", "b", "c"), ("a", "b"), ()]
    assert len(vocabulary(min_count=1000)) == 0


@effect
def lowercase() -> None:
    assert "Good" in vocabulary(lowercase=False)
    assert "Good" not in vocabulary(lowercase=True)


@effect
def max_length() -> None:
    data = prepared(TASK, config(max_length=3), FEW)
    assert data.train["tokens"].shape == (100, 3)
    assert data.train["lengths"].max() == 3


@effect
def truncation() -> None:
    texts = [["a", "b", "c"], []]
    for side, expected in (("end", [[2, 3], [UNKNOWN, PADDING]]), ("start", [[3, 4], [UNKNOWN, PADDING]])):
        assert encode(texts, ("a", "b", "c"), 2, side)["tokens"].tolist() == expected


@effect
def word_dropout() -> None:
    changes_training("word_dropout", 0.0, 0.5)
    assert trained(word_dropout=0.9)[1]["val_coverage"] == 1


@effect
def training_fraction() -> None:
    full, part = trained()[0], trained(training_fraction=0.25)[0]
    assert torch.equal(part.training_rows, full.training_rows[:20])
    assert torch.equal(part.validation_rows, full.validation_rows)


@effect
def validation_fraction() -> None:
    small, large = trained(validation_fraction=0.1)[0], trained(validation_fraction=0.5)[0]
    assert torch.equal(small.validation_rows, large.validation_rows[:10])
    assert not set(large.training_rows.tolist()) & set(large.validation_rows.tolist())


# Inference


@effect
def temperature() -> None:
    (cold, one), (hot, other) = trained(temperature=1.0), trained(temperature=5.0)
    assert torch.equal(weights(cold), weights(hot))
    assert one["val_roc_auc"] == pytest.approx(other["val_roc_auc"])
    assert one["val_loss"] != other["val_loss"]


@effect
def decision_threshold() -> None:
    never, always = (trained(decision_threshold=t)[1] for t in (1.0, 0.0))
    assert never["val_accuracy"] + always["val_accuracy"] == pytest.approx(1)
    assert never["val_roc_auc"] == always["val_roc_auc"]
    three = reviews(60, classes=3)
    assert trained(data=three, decision_threshold=1.0)[1] == trained(data=three, decision_threshold=0.0)[1]


@effect
def confidence_threshold() -> None:
    sure, never = (trained(run=3, confidence_threshold=t)[1] for t in (0.0, 1.0))
    assert sure["val_coverage"] == 1
    assert sure["val_selective_accuracy"] == sure["val_accuracy"]
    assert (never["val_coverage"], never["val_selective_accuracy"]) == (0, 0)


# The task as a whole


def test_catalog_is_complete() -> None:
    assert {v.group for v in TASK.variables} == set(GROUPS)
    assert set(EFFECTS) == set(VARIABLES)
    for variable in TASK.variables:
        assert variable.description.endswith(".")
    assert set(TASK.prepared_by) <= set(VARIABLES)


def test_it_learns() -> None:
    first_words = training(reviews(400), epochs=6, learning_rate=0.03)
    while not first_words.finished:
        row = first_words.run_epoch()
    assert row.metrics["val_accuracy"] is not None
    assert row.metrics["val_accuracy"] > 0.9
    assert row.metrics["val_roc_auc"] is not None
    assert row.metrics["val_roc_auc"] > 0.95


def test_same_seed_same_figures_and_padding_changes_nothing() -> None:
    assert trained(word_dropout=0.2)[1] == trained(word_dropout=0.2)[1]
    state, _ = trained()
    rows = torch.arange(30)
    alone = torch.cat([predict(state.model, state.settings, state.texts, rows[row : row + 1]) for row in range(30)])
    torch.testing.assert_close(predict(state.model, state.settings, state.texts, rows), alone)


def test_roc_auc_is_null_for_more_than_two_classes() -> None:
    figures = trained(data=reviews(60, classes=3))[1]
    assert figures["val_roc_auc"] is None
    assert 0 <= figures["val_macro_f1"] <= 1


def test_words() -> None:
    assert words_of("Don't stop -- ÉTÉ 3.5!", lowercase=True) == ["don't", "stop", "-", "-", "été", "3", ".", "5", "!"]


def test_metrics_match_scikit_learn() -> None:
    from sklearn.metrics import f1_score, roc_auc_score

    rng = torch.Generator().manual_seed(0)
    for classes in (2, 5):
        labels = torch.randint(classes, (200,), generator=rng)
        logits = (torch.randn(200, classes, generator=rng) * 2).round()  # with ties
        log_probabilities = functional.log_softmax(logits, dim=1)
        answers = logits.argmax(dim=1)
        assert macro_f1(answers, labels, classes) == pytest.approx(f1_score(labels, answers, average="macro"))
        area = roc_auc(log_probabilities, labels)
        if classes == 2:
            assert area == pytest.approx(roc_auc_score(labels, logits[:, 1] - logits[:, 0]), abs=1e-6)
        else:
            assert area is None
    assert roc_auc(log_probabilities[:, :2], torch.zeros(200, dtype=torch.int64)) is None


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_the_predicted_classes_are_the_ones_it_is_measured_by(threshold: float) -> None:
    state, metrics = trained(decision_threshold=threshold)
    labels, answers = TASK.classify(state)
    right = sum(label == answer for label, answer in zip(labels, answers, strict=True))
    assert right / len(labels) == pytest.approx(metrics["val_accuracy"])
