"""The task `small_gpt`: a small decoder-only transformer that continues a text, character by character or byte by byte.

Read it top down: the settings (all variables), the network, the state of a training, and the task.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tune_app.datasets.dataset import Arrays, Dataset
from tune_app.errors import InputError
from tune_app.spaces.variable import Categorical, Config, DatasetReference, Direction, Float, Int
from tune_app.tasks import load_dataset_of_kind, replica
from tune_app.tasks import shared_settings as shared
from tune_app.tasks.optimization import Optimization, autocast, lean
from tune_app.tasks.settings import setting, variables_of
from tune_app.tasks.step_graphs import StepGraphs
from tune_app.tasks.task import Progress
from tune_app.tasks.tensors import to_device

UNKNOWN = 0
"""Token number of a character that is not in the training part; predicting it is never right."""
FEWEST_CHARACTERS = 10
BYTES = 256
PROGRESS_EVERY = 5
"""Batches between two calls of `progress`."""
EVALUATION_TOKENS = 16384
PROBE_BLOCKS = 4
"""Number of text blocks for the health scores."""
ROTARY_BASE = 10_000.0
"""Su et al. 2021, RoFormer."""


class SquaredReLU(nn.Module):
    """So et al. 2021, Primer."""

    def forward(self, values: Tensor) -> Tensor:
        """The square of the positive part."""
        return functional.relu(values).square()


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "squared_relu": SquaredReLU,
}


@dataclass(frozen=True)
class Settings:
    """Every variable of the task. The defaults train on a CPU core in minutes."""

    n_layer: int = setting("architecture", Int(1, 24), 4, "Number of transformer blocks.")
    n_head: int = setting("architecture", Int(1, 32), 4, "Attention heads of each block.")
    n_embd: int = setting("architecture", Int(4, 2048, log=True), 128, "Numbers per token between the blocks.")
    block_size: int = setting("architecture", Int(8, 2048, log=True), 64, "How many tokens the network looks back.")
    dropout: float = setting(
        "architecture", Float(0.0, 0.9), 0.0, "Fraction dropped from embeddings, attention and each block's output."
    )
    bias: bool = setting(
        "architecture", Categorical((True, False)), False, "Whether dense layers and layer norms have biases."
    )
    tied_weights: bool = setting(
        "architecture",
        Categorical((True, False)),
        True,
        "Whether the output layer shares its weights with the token embedding.",
    )
    activation: str = setting(
        "architecture", Categorical(tuple(ACTIVATIONS)), "gelu", "Activation function in each block's dense part."
    )
    position: str = setting(
        "architecture",
        Categorical(("learned", "rotary")),
        "rotary",
        "How the network knows a token's position: an embedding per position, or rotated queries and keys.",
    )
    norm: str = setting(
        "architecture", Categorical(("layer", "rms")), "rms", "Normalization before each part of a block."
    )

    learning_rate: float = setting(
        "training", Float(1e-6, 1.0, log=True), 2e-3, "Learning rate after warmup, before the cosine lowers it."
    )
    final_learning_rate: float = setting(
        "training", Float(0.0, 1.0), 0.1, "Where the cosine ends, as a fraction of the learning rate."
    )
    warmup_epochs: float = shared.warmup_epochs(0.5)
    beta1: float = setting("training", Float(0.0, 0.999), 0.9, "AdamW's decay of the mean of the gradients.")
    beta2: float = setting("training", Float(0.0, 0.9999), 0.99, "AdamW's decay of the mean of the squared gradients.")
    weight_decay: float = setting(
        "training",
        Float(0.0, 1.0),
        0.1,
        "Decoupled weight decay for embeddings and dense layers, but not for norms and biases.",
    )
    gradient_clip: float = shared.gradient_clip(1.0)
    batch_size: int = setting("training", Int(1, 4096, log=True), 32, "Blocks of text per batch.")
    iterations: int = setting(
        "training",
        Int(1, 100_000, log=True),
        100,
        "Batches per epoch, but at most enough to read the text once.",
    )
    epochs: int = setting("training", Int(1, 10_000), 5, "Epochs of a full training run; the cosine spans all.")
    precision: str = shared.precision()

    tokenizer: str = setting(
        "data", Categorical(("char", "byte")), "char", "What a token is: a character, or a UTF-8 byte."
    )
    training_fraction: float = setting(
        "data", Float(0.01, 1.0), 1.0, "Fraction of the text before the validation part to use, from its start."
    )
    validation_fraction: float = setting(
        "data", Float(0.01, 0.9), 0.1, "Fraction at the end of the text held out for validation.", searchable=False
    )

    temperature: float = setting(
        "inference", Float(0.01, 10.0, log=True), 0.8, "Divides the logits when sampling; does not affect metrics."
    )
    top_k: int = setting(
        "inference", Int(0, 1000), 0, "A sample draws from this many of the likeliest tokens; 0: from all."
    )
    top_p: float = setting(
        "inference", Float(0.01, 1.0), 1.0, "A sample draws from the likeliest tokens with this total probability."
    )
    sample_length: int = setting(
        "inference", Int(1, 5000, log=True), 200, "Length in tokens of the sample stored with a trial."
    )


class Attention(nn.Module):
    """Causal self-attention with several heads: (batch, length, n_embd) to the same shape."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.heads, self.dropout = settings.n_head, settings.dropout
        self.rotary = settings.position == "rotary"
        self.inputs = nn.Linear(settings.n_embd, 3 * settings.n_embd, bias=settings.bias)
        self.outputs = nn.Linear(settings.n_embd, settings.n_embd, bias=settings.bias)

    def forward(self, values: Tensor, angles: Tensor) -> Tensor:
        """`angles` (length, n_embd / n_head / 2) are those of rotary positions."""
        batch, length, width = values.shape
        query, key, value = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.inputs(values).split(width, dim=2)
        )
        if self.rotary:
            query, key = rotate(query, angles), rotate(key, angles)
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
        result: Tensor = self.outputs(mixed.transpose(1, 2).reshape(batch, length, width))
        return result


def rotate(values: Tensor, angles: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): each pair of numbers of (…, length, width) turned by its angle."""
    first, second = values.chunk(2, dim=-1)
    cos, sin = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Block(nn.Module):
    """Attention, then a dense part four times as wide, each on normalized values and added to its input."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width = settings.n_embd
        self.attention_norm, self.dense_norm = make_norm(settings), make_norm(settings)
        self.attention = Attention(settings)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width, bias=settings.bias),
            ACTIVATIONS[settings.activation](),
            nn.Linear(4 * width, width, bias=settings.bias),
        )
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, values: Tensor, angles: Tensor) -> Tensor:
        """(batch, length, n_embd) to the same shape."""
        values = values + self.dropout(self.attention(self.attention_norm(values), angles))
        result: Tensor = values + self.dropout(self.dense(self.dense_norm(values)))
        return result


def make_norm(settings: Settings) -> nn.Module:
    """The normalization layer that the settings ask for."""
    if settings.norm == "rms":
        return nn.RMSNorm(settings.n_embd, eps=1e-6)
    return nn.LayerNorm(settings.n_embd, bias=settings.bias)


class SmallGPT(nn.Module):
    """Tokens (batch, length) to the logits of each next token (batch, length, vocabulary)."""

    angles: Tensor

    def __init__(self, settings: Settings, vocabulary: int) -> None:
        super().__init__()
        width = settings.n_embd
        self.block_size = settings.block_size
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(settings.block_size, width) if settings.position == "learned" else None
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.n_layer))
        self.norm = make_norm(settings)
        self.output = nn.Linear(width, vocabulary, bias=False)
        if settings.tied_weights:
            self.output.weight = self.embedding.weight
        half = width // settings.n_head // 2
        frequencies = ROTARY_BASE ** (-torch.arange(half) / max(1, half))
        self.register_buffer("angles", torch.outer(torch.arange(settings.block_size), frequencies), persistent=False)
        self._initialize(settings.n_layer)

    def _initialize(self, layers: int) -> None:
        """As GPT-2 (Radford et al. 2019): standard deviation 0.02, less for layers whose outputs are summed over the
        blocks."""
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                added_up = name.endswith(("attention.outputs.weight", "dense.2.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) if added_up else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of each next token; `length` is `block_size` at most."""
        length = tokens.shape[1]
        values = self.embedding(tokens)
        if self.positions is not None:
            values = values + self.positions.weight[:length]
        values = self.dropout(values)
        for block in self.blocks:
            values = block(values, self.angles[:length])
        logits: Tensor = self.output(self.norm(values))
        return logits


@dataclass
class GPTState:
    """One training: the text stays on the device as numbers.

    `network` is the model, or its wrapper for training on several devices; `graphs` has the captured steps.
    """

    settings: Settings
    model: SmallGPT
    network: nn.Module
    optimization: Optimization
    graphs: StepGraphs
    training_tokens: Tensor
    validation_tokens: Tensor
    vocabulary: Sequence[int]
    """Code point of each token from number 1; empty for bytes."""
    seed: int

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


class SmallGPTTask:
    """Prediction of the next character or byte of a text.

    Uses data sets of kind ``text``: ``text`` (characters) of Unicode code points. Validation is the end of the
    training part, read in blocks one after another; every token of it is predicted once but the first.

    Metrics: `val_bits_per_character` is the cross-entropy of the validation text in bits over its characters, whatever
    a token is; `val_loss` the same in nats over its tokens; `val_accuracy` the share of tokens that were the likeliest:
    these two compare trials of one tokenizer only.
    `train_loss` is the mean over the epoch while the weights changed.
    """

    data_kind: ClassVar[str] = "text"
    data_parallel: ClassVar[bool] = True
    variables = variables_of(Settings)
    constraints: ClassVar[tuple[str, ...]] = (
        "n_embd % n_head == 0",
        "position == 'learned' or n_embd % (2 * n_head) == 0",
    )
    metrics: ClassVar[Mapping[str, Direction]] = {
        "val_bits_per_character": "minimize",
        "val_loss": "minimize",
        "val_accuracy": "maximize",
        "train_loss": "minimize",
    }
    prepared_by: ClassVar[tuple[str, ...]] = ("tokenizer",)

    def load_data(self, dataset: DatasetReference) -> Dataset:
        """Load `dataset`; an `InputError` says if it is unknown or not a text."""
        return load_dataset_of_kind(dataset, self.data_kind)

    def prepare(self, config: Config, data: Dataset) -> Dataset:
        """The text as ``tokens``: bytes, or numbers of characters from 1 in the order of their code points."""
        if config["tokenizer"] == "byte":
            parts = {name: _utf8(part) for name, part in (("train", data.train), ("test", data.test))}
            return Dataset(data.name, "tokens", parts["train"], parts["test"], {**data.info, "vocabulary": ()})
        characters = np.unique(data.train["text"])

        def numbers(part: Arrays) -> Arrays:
            if not part:
                return {}
            found = np.searchsorted(characters, part["text"]).clip(max=len(characters) - 1)
            tokens = np.where(characters[found] == part["text"], found + 1, UNKNOWN)
            return {"tokens": tokens.astype(np.uint8 if len(characters) < BYTES else np.int32)}

        vocabulary = tuple(characters.tolist())
        return Dataset(
            data.name, "tokens", numbers(data.train), numbers(data.test), {**data.info, "vocabulary": vocabulary}
        )

    def rows_per_epoch(self, config: Config, rows: int) -> int:
        """Tokens an epoch trains on, of a text of `rows` tokens."""
        settings = Settings(**config)  # type: ignore[arg-type]
        return batches_per_epoch(settings, rows) * settings.batch_size * settings.block_size

    def start(self, config: Config, data: Dataset, *, epochs: int, seed: int, device: torch.device) -> GPTState:
        """Build the model and put the prepared text on `device`."""
        settings = Settings(**config)  # type: ignore[arg-type]
        tokens = to_device(data.train["tokens"], device)
        vocabulary = data.info["vocabulary"]
        training, rest = split_text(tokens, settings)
        model = SmallGPT(settings, len(vocabulary) + 1 if vocabulary else BYTES).to(device)
        batches = batches_per_epoch(settings, training)
        return GPTState(
            settings=settings,
            model=model,
            network=replica.wrap(model),
            optimization=Optimization(
                make_adamw(model, settings),
                learning_rate=settings.learning_rate,
                schedule="cosine",
                total_steps=epochs * batches,
                warmup=settings.warmup_epochs * batches,
                gradient_clip=settings.gradient_clip,
                floor=settings.final_learning_rate,
            ),
            graphs=StepGraphs(device),
            training_tokens=tokens[:training],
            validation_tokens=tokens[rest:],
            vocabulary=vocabulary,
            seed=seed,
        )

    def train_epoch(self, state: GPTState, epoch: int, progress: Progress) -> Mapping[str, float]:
        """Train on blocks drawn from anywhere in the text, then validate."""
        settings, model, tokens = state.settings, state.model, state.training_tokens
        batches = batches_per_epoch(settings, len(tokens))
        total = torch.zeros((), device=tokens.device)
        model.train()
        for number in range(1, batches + 1):
            starts = draw_starts(tokens, settings)
            state.optimization.advance()
            # Keep the sum on the device: reading it would make the host wait for every batch.
            total.add_(state.graphs.run(partial(train_step, state, number), starts))
            if number % PROGRESS_EVERY == 0:
                progress(number / batches)
        total = replica.mean(total)
        if not replica.leads():
            return {}
        measured = measure(model, settings, state.validation_tokens)
        return {"train_loss": total.item() / batches, **{f"val_{name}": value for name, value in measured.items()}}

    def evaluate(self, state: GPTState, arrays: Mapping[str, Any]) -> Mapping[str, float]:
        """The metrics without ``val_`` on prepared ``tokens``."""
        tokens = to_device(arrays["tokens"], state.training_tokens.device)
        return measure(state.model, state.settings, tokens)

    def probe_loss(self, state: GPTState) -> Tensor:
        """The loss on a few blocks, evenly over the training text."""
        settings, tokens = state.settings, state.training_tokens
        size = min(settings.block_size, len(tokens) - 1)
        starts = torch.linspace(0, len(tokens) - 1 - size, PROBE_BLOCKS, device=tokens.device).long()
        inputs, targets = blocks_at(tokens, starts, size)
        with autocast(settings.precision, tokens.device):
            return next_token_loss(state.model(inputs), targets)

    def sample(self, state: GPTState) -> str:
        """A continuation of the first token of the validation text, always the same for the same model."""
        written = continue_text(state.model, state.settings, state.validation_tokens[:1].long(), state.seed)
        if not state.vocabulary:
            return bytes(written).decode(errors="replace")
        return "".join(chr(state.vocabulary[token - 1]) for token in written)


def train_step(state: GPTState, number: int, starts: Tensor) -> Tensor:
    """Train on the blocks at `starts`, batch `number` of the epoch; returns the loss. `StepGraphs` may capture it."""
    settings, tokens = state.settings, state.training_tokens
    mine = replica.part_of(starts)
    inputs, targets = blocks_at(tokens, mine, settings.block_size)
    with replica.own_randomness(tokens.device, number), autocast(settings.precision, tokens.device):
        loss = next_token_loss(state.network(inputs), targets)
    loss = replica.weigh(loss, len(mine), len(starts))
    with repeatable_attention():
        state.optimization.follow(loss)
    return loss.detach()


@contextlib.contextmanager
def repeatable_attention() -> Iterator[None]:
    """Make attention's backward pass deterministic, if torch is set to prefer that.

    On a GPU, attention has deterministic kernels, but torch uses others if it should only warn
    (``ctx.deterministicAlgorithmsWarnOnly`` in ATen's attention_backward.cu).
    """
    if not (torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()):
        yield
        return
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


def _utf8(part: Arrays) -> Arrays:
    if not part:
        return {}
    text = np.ascontiguousarray(part["text"], dtype="<u4").tobytes().decode("utf-32-le")
    return {"tokens": np.frombuffer(text.encode(), dtype=np.uint8)}


def split_text(tokens: Tensor, settings: Settings) -> tuple[int, int]:
    """The end of the training part and the start of the validation part, as positions in `tokens` (length).

    Both are counted in characters, so that the validation text does not depend on the tokenizer.

    Raises:
        InputError: the text has fewer than `FEWEST_CHARACTERS`.
    """
    starts = starts_character(tokens, settings).nonzero().flatten()
    count = len(starts)
    if count < FEWEST_CHARACTERS:
        raise InputError(f"the text must have at least {FEWEST_CHARACTERS} characters to train on, but has {count}")
    validation = min(max(2, round(count * settings.validation_fraction)), count - 2)
    training = max(2, round((count - validation) * settings.training_fraction))
    return int(starts[training]), int(starts[count - validation])


def starts_character(tokens: Tensor, settings: Settings) -> Tensor:
    """Which of `tokens` start a character: for bytes, all except those of the form 10xxxxxx (UTF-8)."""
    if settings.tokenizer == "byte":
        return (tokens & 0xC0) != 0x80
    return torch.ones_like(tokens, dtype=torch.bool)


def make_adamw(model: SmallGPT, settings: Settings) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices only."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return lean(torch.optim.AdamW)(
        [g for g in groups if g["params"]], lr=settings.learning_rate, betas=betas, fused=True
    )


def batches_per_epoch(settings: Settings, tokens: int) -> int:
    """Batches of an epoch on `tokens` tokens: `iterations`, or enough to read the text once if that is less."""
    return min(settings.iterations, max(1, tokens // (settings.batch_size * settings.block_size)))


def draw_starts(tokens: Tensor, settings: Settings) -> Tensor:
    """Random start positions of a batch's blocks."""
    last = max(1, len(tokens) - settings.block_size)
    return torch.randint(last, (settings.batch_size,), device=tokens.device)


def blocks_at(tokens: Tensor, starts: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Blocks of `size` tokens (starts, size), shorter where the text is, and the token after each."""
    size = min(size, len(tokens) - 1)
    positions = starts[:, None] + torch.arange(size + 1, device=tokens.device)
    blocks = tokens[positions].long()
    return blocks[:, :-1], blocks[:, 1:]


def next_token_loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of the next tokens in nats."""
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction=reduction)


@torch.inference_mode()
def measure(model: SmallGPT, settings: Settings, tokens: Tensor) -> dict[str, float]:
    """All metrics over a text, as the task's docstring explains them."""
    model.eval()
    size = min(settings.block_size, len(tokens) - 1)
    whole = (len(tokens) - 1) // size
    starts = torch.arange(whole, device=tokens.device) * size
    pieces = [blocks_at(tokens, part, size) for part in torch.split(starts, max(1, EVALUATION_TOKENS // size))]
    if whole * size < len(tokens) - 1:
        pieces.append(blocks_at(tokens[whole * size :], starts[:1] * 0, size))
    loss = torch.zeros((), device=tokens.device, dtype=torch.float64)
    right = torch.zeros((), device=tokens.device, dtype=torch.float64)
    for inputs, targets in pieces:
        with autocast(settings.precision, tokens.device):
            logits = model(inputs)
        loss += next_token_loss(logits, targets, reduction="sum")
        known = targets != UNKNOWN if settings.tokenizer == "char" else torch.ones_like(targets, dtype=torch.bool)
        right += ((logits.argmax(dim=-1) == targets) & known).sum()
    predicted = tokens[1:]
    characters_seen = starts_character(predicted, settings).sum().double()
    nats, correct, characters = torch.stack([loss, right, characters_seen]).tolist()
    return {
        "loss": nats / len(predicted),
        "bits_per_character": nats / math.log(2) / max(1.0, characters),
        "accuracy": correct / len(predicted),
    }


@torch.inference_mode()
def continue_text(model: SmallGPT, settings: Settings, prompt: Tensor, seed: int) -> list[int]:
    """`sample_length` tokens after `prompt` (length), drawn according to the inference variables."""
    model.eval()
    generator = torch.Generator(prompt.device).manual_seed(seed)
    tokens = prompt[None]
    for _ in range(settings.sample_length):
        logits = model(tokens[:, -settings.block_size :])[0, -1].float() / settings.temperature
        if settings.tokenizer == "char":
            logits[UNKNOWN] = -math.inf  # it does not represent a character
        probabilities = functional.softmax(keep_likeliest(logits, settings.top_k, settings.top_p), dim=-1)
        tokens = torch.cat([tokens, torch.multinomial(probabilities, 1, generator=generator)[None]], dim=1)
    return tokens[0, len(prompt) :].tolist()


def keep_likeliest(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """`logits` (vocabulary) with -inf for what a sample must not draw (top-p: Holtzman et al. 2020)."""
    ordered, order = logits.sort(descending=True)
    before = functional.softmax(ordered, dim=-1).cumsum(dim=-1) - functional.softmax(ordered, dim=-1)
    dropped = before >= top_p
    if top_k:
        dropped |= torch.arange(len(ordered), device=logits.device) >= top_k
    dropped[0] = False
    return logits.masked_fill(dropped[order.argsort()], -math.inf)
