"""Handwritten digits in three parts, and one pass of scikit-learn's `partial_fit`. Knows nothing about tuners."""

import numpy as np
from sklearn.datasets import load_digits


def load():
    """Training, validation and test part, each rows (n, 64) and classes (n,)."""
    rows, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(rows))
    rows, classes = rows[order] / 16, classes[order]
    return [(rows[start : start + 600], classes[start : start + 600]) for start in (0, 600, 1200)]


def train_epoch(model, rows, classes, batch_size):
    order = np.random.permutation(len(rows))
    for start in range(0, len(rows), batch_size):
        part = order[start : start + batch_size]
        model.partial_fit(rows[part], classes[part], classes=np.arange(10))
