"""Figures of a classifier that may abstain."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def selective_figures(log_probabilities: Tensor, labels: Tensor, confidence_threshold: float) -> dict[str, float]:
    """Loss and accuracy over all rows; coverage, and the accuracy over the rows answered.

    A row is answered where its likeliest class has at least `confidence_threshold`. Where none is, the selective
    accuracy is 0, so that a model that always abstains never wins.

    Args:
        log_probabilities: (rows, classes).
        labels: (rows), class numbers.
        confidence_threshold: 0 to 1; 0 answers every row.
    """
    log_confidence, answers = log_probabilities.max(dim=1)
    right = answers == labels
    kept = log_confidence.exp() >= confidence_threshold
    figures = (functional.nll_loss(log_probabilities, labels), right.sum(), kept.sum(), (right & kept).sum())
    # One transfer for all figures: on a GPU each would wait for the device.
    loss, correct, answered, correct_answered = torch.stack([f.float() for f in figures]).tolist()
    return {
        "loss": loss,
        "accuracy": correct / len(labels),
        "coverage": answered / len(labels),
        "selective_accuracy": correct_answered / answered if answered else 0.0,
    }
