"""Handwritten digits, as in a script for MNIST: rows, network, epoch, accuracy. Knows nothing about tuners."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional


def load():
    """Training, validation and test part, each images (rows, 1, 8, 8) and classes (rows,)."""
    images, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
    classes = torch.tensor(classes)[order]
    return [tuple(part) for part in zip(images.split(600), classes.split(600), strict=True)]


class Net(nn.Module):
    def __init__(self, filters, dropout):
        super().__init__()
        self.conv1 = nn.Conv2d(1, filters, 3, padding=1)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(filters * 4, 10)

    def forward(self, images):
        hidden = functional.max_pool2d(functional.relu(self.conv1(images)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        return self.output(self.dropout(hidden.flatten(1)))


def loss(model, images, classes):
    return functional.cross_entropy(model(images), classes)


def train_epoch(model, optimizer, images, classes, batch_size):
    model.train()
    for rows in torch.randperm(len(images)).split(batch_size):
        optimizer.zero_grad()
        loss(model, images[rows], classes[rows]).backward()
        optimizer.step()


def accuracy(model, images, classes):
    model.eval()
    with torch.no_grad():
        return (model(images).argmax(1) == classes).float().mean().item()
