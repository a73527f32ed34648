"""One of several processes that train together, started by test_replica.py: ``ranks.py ADDRESS RANK SIZE OUTPUT``."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tune_app.datasets import load_dataset
from tune_app.datasets.dataset import Dataset
from tune_app.tasks import load_task, replica
from tune_app.training.trial import Training, prepared

EPOCHS = 3
WORDS = ("good", "bad", "film", "plot")
IMAGES = {"filters": 4, "dense_width": 8, "dropout": 0.0, "batch_size": 33, "epochs": EPOCHS}
AUGMENTED = {"shift": 0.1, "rotation": 10.0, "crop": 0.1, "horizontal_flip": True, "noise": 0.05, "cutout": 0.2}
TEXTS = {"units": 8, "embedding_size": 8, "embedding_dropout": 0.0, "recurrent_dropout": 0.0, "dense_dropout": 0.0}
GPT = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16, "iterations": 6, "sample_length": 5, "dropout": 0.0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "images": ("image_cnn", {**IMAGES, **AUGMENTED, "color_jitter": 0.2, "batch_norm": True}),
    "images, strided, clipped": ("image_cnn", {**IMAGES, "pooling": "stride", "gradient_clip": 0.5, "momentum": 0.9}),
    "images, bf16": ("image_cnn", {**IMAGES, "precision": "bf16"}),
    "images, one in a batch for two": ("image_cnn", {**IMAGES, "batch_size": 1, "training_fraction": 0.1}),
    "images, dropout": ("image_cnn", {**IMAGES, "dropout": 0.5}),
    "texts": ("text_lstm", {**TEXTS, "batch_size": 7, "word_dropout": 0.1, "bidirectional": True, "epochs": EPOCHS}),
    "texts, one in a batch for two": ("text_lstm", {**TEXTS, "batch_size": 1, "training_fraction": 0.2}),
    "gpt": ("small_gpt", {**GPT, "batch_size": 5, "epochs": EPOCHS}),
}
"""The task and its changed defaults, by case name."""


def data_of(task: str) -> Dataset:
    """A few rows for `task`."""
    if task == "image_cnn":
        return load_dataset("digits").without_test().head(100)
    rng = np.random.default_rng(0)
    if task == "text_lstm":
        labels = rng.integers(0, 2, 60)
        texts = np.empty(len(labels), dtype=object)
        for row, label in enumerate(labels):
            texts[row] = " ".join(rng.choice(WORDS, 5 + 3 * label))
        return Dataset("texts", "labeled_text", {"texts": texts, "labels": labels}, {}, {"classes": 2})
    text = np.array([ord(c) for c in "the cat sat on the mat, the dog sat on the log. " * 40], dtype=np.uint32)
    return Dataset("text", "text", {"text": text}, {}, {})


def start(name: str) -> Training:
    """The training of case `name`."""
    task_name, changes = CASES[name]
    task = load_task(task_name)
    config = {v.name: v.default for v in task.variables} | changes
    data = prepared(task, config, data_of(task_name))
    return Training(task, config, data, epochs=int(config["epochs"]), seed=0, threads=1)


def run(name: str) -> dict[str, Any]:
    """The results of case `name` after `EPOCHS` epochs on the first rank, or in a single process."""
    training = start(name)
    for _ in range(EPOCHS):
        if replica.leads():
            training.run_epoch()
        else:
            training.follow_epoch()
    weights = training.state.model.state_dict()
    return {
        "metrics": [row.metrics for row in training.history],
        "keys": list(weights),
        "weights": float(sum(w.double().abs().sum() for w in weights.values())),
        "random": int(torch.randint(2**31, ())),
    }


def main(address: str, rank: int, size: int, output: Path) -> None:
    """Join the others, run all cases, and write the results."""
    warnings.simplefilter("error")
    port = Path(address)
    store: Any
    if rank == 0:
        store, number = replica.open_store("127.0.0.1")
        port.with_suffix(".new").write_text(str(number))
        port.with_suffix(".new").rename(port)
    else:
        while not port.exists():
            time.sleep(0.01)
        store = ("127.0.0.1", int(port.read_text()))
    replica.join(store, rank, size, "cpu")
    output.write_text(json.dumps({name: run(name) for name in CASES}))
    torch.distributed.destroy_process_group()
    # Skip the interpreter's shutdown, during which a thread of torch.distributed occasionally aborts the process.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
