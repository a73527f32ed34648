"""The task `text_lstm`: classify texts with a recurrent network, LSTM or GRU.

Read it top down: the settings (all variables), the network, the state of a training, and the task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.spaces.variable import Categorical, Config, DatasetReference, Direction, Float, Int
from tune_app.tasks import load_dataset_of_kind, replica
from tune_app.tasks import shared_settings as shared
from tune_app.tasks.activations import ACTIVATIONS
from tune_app.tasks.classification import answers_of, macro_f1, roc_auc, selective_figures
from tune_app.tasks.optimization import (
    Optimization,
    autocast,
    count_batches,
)
from tune_app.tasks.settings import setting, variables_of
from tune_app.tasks.split import probe_rows, split_rows
from tune_app.tasks.step_graphs import StepGraphs
from tune_app.tasks.task import Progress
from tune_app.tasks.tensors import to_device
from tune_app.tasks.tokens import PADDING, SIDES, UNKNOWN, build_vocabulary, encode, words_of

PROGRESS_EVERY = 10
"""Batches between two calls of `progress`."""
EVALUATION_BATCH = 256
GPU_WIDTHS = 32
"""On a GPU, the width of a training batch is a multiple of this many words, or that of the longest text, because each
width needs a CUDA graph. The padding is never read."""


@dataclass(frozen=True)
class Settings:
    """Every variable of the task. The defaults reach 0.8 on 2,000 film reviews in a few epochs."""

    embedding_size: int = setting("architecture", Int(2, 1024, log=True), 64, "Numbers per word vector.")
    cell: str = setting("architecture", Categorical(("lstm", "gru")), "lstm", "The recurrent cell.")
    units: int = setting("architecture", Int(2, 2048, log=True), 64, "Units per layer and direction.")
    layers: int = setting("architecture", Int(1, 4), 1, "Number of recurrent layers.")
    bidirectional: bool = setting(
        "architecture", Categorical((True, False)), True, "Whether to also read the text backwards."
    )
    pooling: str = setting(
        "architecture",
        Categorical(("last", "mean", "max")),
        "mean",
        "How the states become features: the last one of each direction, or their mean or maximum over the text.",
    )
    dense_layers: int = setting("architecture", Int(0, 4), 0, "Number of hidden dense layers before the output.")
    dense_width: int = setting(
        "architecture", Int(2, 2048, log=True), 64, "Width of each hidden dense layer.", when="dense_layers > 0"
    )
    activation: str = setting(
        "architecture",
        Categorical(tuple(ACTIVATIONS)),
        "relu",
        "Activation function after each hidden dense layer.",
        when="dense_layers > 0",
    )
    embedding_dropout: float = setting(
        "architecture", Float(0.0, 0.9), 0.2, "Fraction of each word's numbers dropped in training."
    )
    recurrent_dropout: float = setting(
        "architecture",
        Float(0.0, 0.9),
        0.0,
        "Fraction of the weights between states dropped in training, the same ones for a whole batch of texts.",
    )
    dense_dropout: float = setting(
        "architecture", Float(0.0, 0.9), 0.3, "Fraction of the features dropped before each dense layer and the output."
    )

    optimizer: str = shared.optimizer()
    learning_rate: float = shared.learning_rate(1e-2)
    momentum: float = shared.momentum()
    weight_decay: float = shared.weight_decay()
    batch_size: int = setting(
        "training",
        Int(1, 4096, log=True),
        32,
        "Maximum texts per batch; batches of an epoch differ by at most one text.",
    )
    schedule: str = shared.schedule()
    warmup_epochs: float = shared.warmup_epochs(0.5)
    label_smoothing: float = shared.label_smoothing()
    gradient_clip: float = shared.gradient_clip(1.0)
    epochs: int = shared.epochs(6)
    precision: str = shared.precision()

    vocabulary_size: int = setting(
        "data",
        Int(10, 1_000_000, log=True),
        10_000,
        "Maximum number of known words: the most frequent ones in the training texts.",
    )
    min_count: int = setting("data", Int(1, 1000), 2, "How often a word must occur to be known.")
    lowercase: bool = setting("data", Categorical((True, False)), True, "Whether to convert the texts to lowercase.")
    max_length: int = setting("data", Int(1, 10_000, log=True), 200, "Maximum number of words read per text.")
    truncation: str = setting(
        "data", Categorical(SIDES), "end", "Which part of a longer text to cut: its end or its start."
    )
    word_dropout: float = setting(
        "data", Float(0.0, 0.9), 0.0, "Fraction of a text's words hidden from the network in training."
    )
    training_fraction: float = shared.training_fraction("texts")
    validation_fraction: float = shared.validation_fraction("texts")

    temperature: float = shared.temperature()
    decision_threshold: float = setting(
        "inference", Float(0.0, 1.0), 0.5, "With two classes, the probability from which the answer is the second one."
    )
    confidence_threshold: float = setting(
        "inference",
        Float(0.0, 1.0),
        0.0,
        "The model abstains if its answer is less probable than this; 0: it always answers.",
    )


class TextLSTM(nn.Module):
    """Embedding, recurrent layers, pooling, dense layers: tokens (batch, length) to logits (batch, classes).

    Padding after a text is never read. The backward direction is a separate cell that reads each text reversed, which
    is exact without packing: packed sequences take up to seven times as long on a CPU.
    """

    def __init__(self, settings: Settings, *, words: int, classes: int) -> None:
        super().__init__()
        self.pooling = settings.pooling
        self.embedding = nn.Embedding(words, settings.embedding_size, padding_idx=PADDING)
        self.embedding_dropout = nn.Dropout(settings.embedding_dropout)
        directions = 2 if settings.bidirectional else 1
        sizes = [settings.embedding_size, *[settings.units * directions] * (settings.layers - 1)]
        self.layers = nn.ModuleList(Layer(settings, size) for size in sizes)
        features = settings.units * directions
        dense: list[nn.Module] = []
        for before, after in pairwise([features, *[settings.dense_width] * settings.dense_layers, classes]):
            dense += [nn.Dropout(settings.dense_dropout), nn.Linear(before, after), ACTIVATIONS[settings.activation]()]
        self.dense = nn.Sequential(*dense[:-1])

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (batch, length) and the lengths (batch) of the texts to logits."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        inside = positions < lengths[:, None]
        backwards = torch.where(inside, lengths[:, None] - 1 - positions, positions)[:, :, None]
        values = self.embedding_dropout(self.embedding(tokens))
        for layer in self.layers:
            outputs = layer(values, backwards)
            values = torch.cat(outputs, dim=2)
        logits: Tensor = self.dense(self._pool(outputs, values, inside, lengths))
        return logits

    def _pool(self, outputs: list[Tensor], values: Tensor, inside: Tensor, lengths: Tensor) -> Tensor:
        if self.pooling == "last":
            last = reorder(outputs[0], (lengths - 1)[:, None, None])[:, 0]
            return torch.cat([last, *(output[:, 0] for output in outputs[1:])], dim=1)
        if self.pooling == "mean":
            return values.masked_fill(~inside[:, :, None], 0.0).sum(dim=1) / lengths[:, None]
        return values.masked_fill(~inside[:, :, None], -torch.inf).amax(dim=1)


def reorder(values: Tensor, positions: Tensor) -> Tensor:
    """`values` (batch, length, width) at `positions` (batch, new length, 1)."""
    return values.gather(1, positions.expand(-1, -1, values.shape[2]))


class Layer(nn.Module):
    """One recurrent layer in one or both directions."""

    def __init__(self, settings: Settings, inputs: int) -> None:
        super().__init__()
        self.onward = Recurrent(settings, inputs)
        self.back = Recurrent(settings, inputs) if settings.bidirectional else None

    def forward(self, values: Tensor, backwards: Tensor) -> list[Tensor]:
        """Values (batch, length, width) to the states (batch, length, units) of each direction, in the text's order.

        `backwards` (batch, length, 1) are the positions that reverse each text.
        """
        if self.back is None:
            return [self.onward(values)]
        return [self.onward(values), reorder(self.back(reorder(values, backwards)), backwards)]


class Recurrent(nn.Module):
    """One layer in one direction: values (batch, length, width) to states (batch, length, units)."""

    def __init__(self, settings: Settings, inputs: int) -> None:
        super().__init__()
        self.dropout = settings.recurrent_dropout
        kind = nn.LSTM if settings.cell == "lstm" else nn.GRU
        self.cell = kind(inputs, settings.units, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        """States of every step, from the first to the last."""
        whole = self.cell._flat_weights
        if self.training and self.dropout > 0:
            # DropConnect on the weights from state to state (Merity et al. 2018, AWD-LSTM); torch has no option for it.
            self.cell._flat_weights = [
                functional.dropout(weight, self.dropout) if name.startswith("weight_hh") else weight
                for name, weight in self.cell.named_parameters()
            ]
        try:
            states: Tensor = self.cell(values)[0]
        finally:
            self.cell._flat_weights = whole
        return states


@dataclass
class Texts:
    """Texts as numbers, with their lengths and labels, on the device.

    The lengths are also on the host: they determine the width of a batch without waiting for the device.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor
    host_lengths: Tensor

    @classmethod
    def of(cls, arrays: Mapping[str, Any], device: torch.device) -> Texts:
        """From the arrays of `TextLSTMTask.prepare`."""
        return cls(
            to_device(arrays["tokens"], device),
            to_device(arrays["lengths"], device, torch.int64),
            to_device(arrays["labels"], device, torch.int64),
            to_device(arrays["lengths"], torch.device("cpu"), torch.int64),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def parts(self, rows: Tensor, count: int, multiple: int = 1) -> Iterator[tuple[Tensor, int]]:
        """The `rows`, numbers on the host, in `count` parts as even as can be: each on the device, with its width.

        The width is the length of its longest text, rounded up to a `multiple` but not beyond the longest text of all.
        """
        for on_host, there in zip(
            rows.tensor_split(count), rows.to(self.labels.device).tensor_split(count), strict=True
        ):
            longest = int(self.host_lengths[on_host].max())
            yield there, min(-(-longest // multiple) * multiple, self.tokens.shape[1])

    def batch(self, rows: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (batch, width), lengths and labels of the `rows`, all on the device."""
        tokens = self.tokens[:, :width].index_select(0, rows).long()
        return tokens, self.lengths.index_select(0, rows), self.labels.index_select(0, rows)

    def batches(self, rows: Tensor, count: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The `rows`, numbers on the host, in `count` batches as even as can be."""
        return (self.batch(there, width) for there, width in self.parts(rows, count))


@dataclass
class TextState:
    """One training: the texts stay on the device as numbers.

    `network` is the model, or its wrapper for training on several devices; `graphs` has the captured steps.
    """

    settings: Settings
    model: TextLSTM
    network: nn.Module
    optimization: Optimization
    graphs: StepGraphs
    texts: Texts
    training_rows: Tensor
    validation_rows: Tensor
    vocabulary: Sequence[str]

    def state_dict(self) -> dict[str, Any]:
        """Model, optimizer and vocabulary, without which the model is of no use."""
        return {
            "model": self.model.state_dict(),
            "optimization": self.optimization.state_dict(),
            "vocabulary": list(self.vocabulary),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put back what `state_dict` gave; the vocabulary is that of the data."""
        self.model.load_state_dict(saved["model"])
        self.optimization.load_state_dict(saved["optimization"])
        self.graphs.forget()


class TextLSTMTask:
    """Classification of texts.

    Uses data sets of kind ``labeled_text``: ``texts`` (count) of str, and ``labels`` (count) from 0 to
    ``info["classes"]`` - 1. The vocabulary comes from the training texts without validation.

    Metrics: `train_loss` is the mean over the epoch, with label smoothing, while the weights changed. `val_loss` is
    the cross-entropy of the probabilities after temperature. `val_accuracy` counts every text; `val_macro_f1` is the
    mean F1 score of the classes; `val_roc_auc` is null unless there are two classes. `val_coverage` and
    `val_selective_accuracy` are as in `image_cnn`.
    """

    data_kind: ClassVar[str] = "labeled_text"
    data_parallel: ClassVar[bool] = True
    variables = variables_of(Settings)
    constraints: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[Mapping[str, Direction]] = {
        "val_accuracy": "maximize",
        "val_macro_f1": "maximize",
        "val_roc_auc": "maximize",
        "val_loss": "minimize",
        "train_loss": "minimize",
        "val_coverage": "maximize",
        "val_selective_accuracy": "maximize",
    }
    prepared_by: ClassVar[tuple[str, ...]] = (
        "vocabulary_size",
        "min_count",
        "lowercase",
        "max_length",
        "truncation",
        "validation_fraction",
    )

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Load `dataset`; an `InputError` says if it is unknown or not of labeled texts."""
        return load_dataset_of_kind(dataset, self.data_kind)

    def prepare(self, config: Config, data: Dataset) -> Dataset:
        """The texts as ``tokens`` and ``lengths``, see `tune_app.tasks.tokens.encode`; the vocabulary is in `info`."""
        settings = Settings(**config)  # type: ignore[arg-type]
        parts = {
            name: [words_of(text, settings.lowercase) for text in part["texts"]]
            for name, part in (("train", data.train), ("test", data.test))
            if part
        }
        training, _ = split_rows(
            len(parts["train"]),
            validation_fraction=settings.validation_fraction,
            training_fraction=1.0,
            groups=data.train.get("groups"),
            labels=data.train["labels"],
        )
        vocabulary = build_vocabulary(
            (parts["train"][row] for row in training.tolist()), settings.vocabulary_size, settings.min_count
        )

        def numbers(name: str, part: Arrays) -> Arrays:
            if name not in parts:
                return {}
            encoded = encode(parts[name], vocabulary, settings.max_length, settings.truncation)
            kept = {key: np.asarray(part[key], dtype=np.int64) for key in ("labels", "groups") if key in part}
            return {**encoded, **kept}

        return Dataset(
            name=data.name,
            kind="tokens",
            train=numbers("train", data.train),
            test=numbers("test", data.test),
            info={**data.info, "vocabulary": vocabulary},
        )

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> TextState:
        """Build the model and put the prepared texts on `device`.

        The validation part does not depend on `seed`: all trials of a sweep are compared on the same texts.
        """
        settings = Settings(**config)  # type: ignore[arg-type]
        texts = Texts.of(data.train, device)
        training, validation = split_rows(
            len(texts),
            validation_fraction=settings.validation_fraction,
            training_fraction=settings.training_fraction,
            groups=data.train.get("groups"),
            labels=data.train["labels"],
        )
        vocabulary = data.info["vocabulary"]
        words = len(vocabulary) + UNKNOWN + 1
        model = TextLSTM(settings, words=words, classes=int(data.info["classes"])).to(device)
        batches = count_batches(len(training), settings.batch_size)
        return TextState(
            settings=settings,
            model=model,
            network=replica.wrap(model),
            optimization=shared.optimization_of(settings, model.parameters(), epochs=epochs, batches=batches),
            graphs=StepGraphs(device),
            texts=texts,
            training_rows=training,
            validation_rows=validation,
            vocabulary=vocabulary,
        )

    def train_epoch(self, state: TextState, epoch: int, progress: Progress) -> Mapping[str, float | None]:
        """Train on every text once, in random order, then validate."""
        settings, model, device = state.settings, state.model, state.texts.labels.device
        batches = count_batches(len(state.training_rows), settings.batch_size)
        order = state.training_rows[torch.randperm(len(state.training_rows))]
        total = torch.zeros((), device=device)
        model.train()
        parts = state.texts.parts(order, batches, GPU_WIDTHS if device.type == "cuda" else 1)
        for number, (rows, width) in enumerate(parts, start=1):
            state.optimization.advance()
            loss = state.graphs.run(partial(train_step, state, number), rows, width)
            # Keep the sum on the device: reading it would make the host wait for every batch.
            total.add_(loss, alpha=len(rows))
            if number % PROGRESS_EVERY == 0:
                progress(number / batches)
        total = replica.mean(total)
        if not replica.leads():
            return {}
        measured = measure(model, settings, state.texts, state.validation_rows)
        return {"train_loss": total.item() / len(order), **{f"val_{name}": value for name, value in measured.items()}}

    def evaluate(self, state: TextState, arrays: Mapping[str, Any]) -> Mapping[str, float | None]:
        """The metrics without ``val_`` on prepared ``tokens``, ``lengths`` and ``labels``."""
        texts = Texts.of(arrays, state.texts.labels.device)
        return measure(state.model, state.settings, texts, torch.arange(len(texts)))

    def classify(self, state: TextState) -> tuple[list[int], list[int]]:
        """Labels and predictions of the validation texts."""
        rows = state.validation_rows
        answers = answers_of(predict(state.model, state.settings, state.texts, rows), state.settings.decision_threshold)
        return state.texts.labels.index_select(0, rows.to(state.texts.labels.device)).tolist(), answers.tolist()

    def probe_loss(self, state: TextState) -> Tensor:
        """The loss on the first training texts."""
        probe = state.training_rows[: probe_rows(len(state.training_rows))]
        ((tokens, lengths, labels),) = state.texts.batches(probe, 1)
        with autocast(state.settings.precision, labels.device):
            return functional.cross_entropy(
                state.model(tokens, lengths), labels, label_smoothing=state.settings.label_smoothing
            )


def train_step(state: TextState, number: int, rows: Tensor, width: int) -> Tensor:
    """Train on the texts `rows` (batch), batch `number` of the epoch; returns the loss. `StepGraphs` may capture it."""
    settings, device = state.settings, rows.device
    tokens, lengths, labels = state.texts.batch(rows, width)
    if settings.word_dropout > 0:
        hidden = (torch.rand(tokens.shape, device=device) < settings.word_dropout) & (tokens != PADDING)
        tokens = tokens.masked_fill(hidden, UNKNOWN)
    tokens, lengths, labels = map(replica.part_of, (tokens, lengths, labels))
    with replica.own_randomness(device, number), autocast(settings.precision, device):
        logits = state.network(tokens, lengths)
        loss = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    loss = replica.weigh(loss, len(labels), len(rows))
    state.optimization.follow(loss)
    return loss.detach()


@torch.inference_mode()
def predict(model: TextLSTM, settings: Settings, texts: Texts, rows: Tensor) -> Tensor:
    """Log-probabilities (rows, classes) after temperature."""
    model.eval()
    # Group texts of similar length, so that few steps are spent on the ends of the longest.
    order = texts.host_lengths[rows].argsort(stable=True)
    parts = []
    for tokens, lengths, _ in texts.batches(rows[order], count_batches(len(rows), EVALUATION_BATCH)):
        with autocast(settings.precision, tokens.device):
            logits = model(tokens, lengths)
        parts.append(functional.log_softmax(logits.float() / settings.temperature, dim=-1))
    return torch.cat(parts)[order.argsort().to(parts[0].device)]


def measure(model: TextLSTM, settings: Settings, texts: Texts, rows: Tensor) -> dict[str, float | None]:
    """All metrics over `rows`, as the task's docstring explains them."""
    log_probabilities = predict(model, settings, texts, rows)
    labels = texts.labels.index_select(0, rows.to(texts.labels.device))
    answers = answers_of(log_probabilities, settings.decision_threshold)
    figures = selective_figures(log_probabilities, labels, settings.confidence_threshold, settings.decision_threshold)
    return {
        **figures,
        "macro_f1": macro_f1(answers, labels, log_probabilities.shape[1]),
        "roc_auc": roc_auc(log_probabilities, labels),
    }
