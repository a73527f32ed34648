"""Metrics of a classifier that may abstain."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def answers_of(log_probabilities: Tensor, decision_threshold: float | None = None) -> Tensor:
    """The predicted class for each row of `log_probabilities` (rows, classes).

    It is the likeliest one; with two classes and a `decision_threshold`, the second one if its probability is at least
    that.
    """
    if decision_threshold is None or log_probabilities.shape[1] != 2:
        return log_probabilities.argmax(dim=1)
    return (log_probabilities[:, 1].exp() >= decision_threshold).long()


def selective_figures(
    log_probabilities: Tensor, labels: Tensor, confidence_threshold: float, decision_threshold: float | None = None
) -> dict[str, float]:
    """Loss and accuracy over all rows; coverage, and the accuracy over the rows answered.

    A row is answered if the class from `answers_of` has a probability of at least `confidence_threshold`. If none is,
    the selective accuracy is 0, so that a model that always abstains never wins.

    Args:
        log_probabilities: (rows, classes).
        labels: (rows), class numbers.
        confidence_threshold: 0 to 1; 0 answers every row.
        decision_threshold: see `answers_of`.
    """
    answers = answers_of(log_probabilities, decision_threshold)
    confidence = log_probabilities.gather(1, answers[:, None])[:, 0].exp()
    right = answers == labels
    kept = confidence >= confidence_threshold
    figures = (functional.nll_loss(log_probabilities, labels), right.sum(), kept.sum(), (right & kept).sum())
    # One transfer for all figures: on a GPU, each one would wait for the device.
    loss, correct, answered, correct_answered = torch.stack([f.float() for f in figures]).tolist()
    return {
        "loss": loss,
        "accuracy": correct / len(labels),
        "coverage": answered / len(labels),
        "selective_accuracy": correct_answered / answered if answered else 0.0,
    }


def macro_f1(answers: Tensor, labels: Tensor, classes: int) -> float:
    """Mean of the F1 scores of the classes that occur among `answers` or `labels` (rows), as scikit-learn has it."""
    right = torch.bincount(labels[answers == labels], minlength=classes).double()
    counted = torch.bincount(labels, minlength=classes) + torch.bincount(answers, minlength=classes)
    occurs = counted > 0
    return float((2 * right[occurs] / counted[occurs]).mean())


def roc_auc(log_probabilities: Tensor, labels: Tensor) -> float | None:
    """Area under the ROC curve of two classes: the probability that a row of the second class has the higher score,
    ties count half.

    None if there are not exactly two classes, or rows of only one class.

    Source: the Mann-Whitney form, Fawcett (2006), An introduction to ROC analysis.
    """
    if log_probabilities.shape[1] != 2:
        return None
    score = (log_probabilities[:, 1] - log_probabilities[:, 0]).double()
    positive, negative = score[labels == 1], score[labels == 0].sort().values
    if not len(positive) or not len(negative):
        return None
    below = torch.searchsorted(negative, positive, right=False) + torch.searchsorted(negative, positive, right=True)
    area = float(below.double().sum()) / (2.0 * len(positive) * len(negative))
    return area if math.isfinite(area) else None
