"""A Lightning module on handwritten digits, and its loaders. Knows nothing about tuners."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split


def loaders(batch_size):
    """Training, validation and test part."""
    images, classes = load_digits(return_X_y=True)
    rows = TensorDataset(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(classes))
    training, validation, test = random_split(rows, [600, 600, 597], torch.Generator().manual_seed(0))
    return DataLoader(training, batch_size, shuffle=True), DataLoader(validation, 600), DataLoader(test, 600)


class Digits(lightning.LightningModule):
    def __init__(self, width, dropout, lr):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))
        self.lr = lr

    def forward(self, images):
        return self.layers(images)

    def training_step(self, batch, batch_idx):
        images, classes = batch
        return functional.cross_entropy(self(images), classes)

    def validation_step(self, batch, batch_idx):
        images, classes = batch
        self.log("val_accuracy", (self(images).argmax(1) == classes).float().mean())

    def test_step(self, batch, batch_idx):
        images, classes = batch
        self.log("test_accuracy", (self(images).argmax(1) == classes).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)
