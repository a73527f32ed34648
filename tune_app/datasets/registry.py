"""Our data sets by name. Adding one means one file in this folder and one entry here."""

from __future__ import annotations

from tune_app.datasets.cifar import CIFAR10, CIFAR100
from tune_app.datasets.digits import DIGITS
from tune_app.datasets.embedded import PYTHON_REFERENCE, STDLIB_DOCS
from tune_app.datasets.entry import Entry
from tune_app.datasets.gtsrb import GTSRB
from tune_app.datasets.idx import FASHION_MNIST, MNIST
from tune_app.datasets.imdb import IMDB
from tune_app.datasets.reuters import REUTERS
from tune_app.datasets.tinyshakespeare import TINYSHAKESPEARE

DATASETS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        DIGITS,
        MNIST,
        FASHION_MNIST,
        CIFAR10,
        CIFAR100,
        GTSRB,
        IMDB,
        REUTERS,
        STDLIB_DOCS,
        TINYSHAKESPEARE,
        PYTHON_REFERENCE,
    )
}
