"""Your own task: an MLP on a table, scikit-learn's breast cancer data. docs/own_task.md explains the contract."""

import numpy as np
import torch
from torch.nn import Flatten, Linear, ReLU, Sequential
from torch.nn.functional import binary_cross_entropy_with_logits

from tune_app import Dataset, Float, Int, Variable


class MLPState:
    """What one training holds between its epochs."""

    def __init__(self, config, rows, labels, device):
        self.config, self.rows, self.labels = config, torch.tensor(rows).to(device), torch.tensor(labels).to(device)
        sizes = [rows.shape[1]] + [config["width"]] * config["layers"]
        hidden = [part for before, after in zip(sizes, sizes[1:]) for part in (Linear(before, after), ReLU())]
        self.model = Sequential(*hidden, Linear(sizes[-1], 1), Flatten(0)).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config["learning_rate"])

    def state_dict(self):
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, saved):
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])


class TabularMLP:
    data_kind = "table"
    variables = (
        Variable("width", "architecture", Int(2, 512, log=True), 32, "Units of each hidden layer."),
        Variable("layers", "architecture", Int(1, 4), 2, "Number of hidden layers."),
        Variable("learning_rate", "training", Float(1e-5, 1.0, log=True), 1e-2, "Learning rate of Adam."),
        Variable("noise", "data", Float(0.0, 1.0), 0.0, "Deviation of the noise added to rows in training."),
        Variable("threshold", "inference", Float(0.0, 1.0), 0.5, "Probability from which a row is benign."),
    )
    constraints = ("width * layers <= 1024",)
    metrics = {"val_accuracy": "maximize", "train_loss": "minimize"}

    def load_data(self, dataset):
        from sklearn.datasets import load_breast_cancer

        rows, labels = load_breast_cancer(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(rows))
        training, testing = order[:-100], order[-100:]
        rows = (rows - rows[training].mean(0)) / rows[training].std(0)  # nothing of the test part is looked at
        rows, labels = rows.astype(np.float32), labels.astype(np.float32)
        train, test = ({"rows": rows[part], "labels": labels[part]} for part in (training, testing))
        return Dataset("breast_cancer", self.data_kind, train, test)

    def start(self, config, data, *, epochs, seed, device):
        return MLPState(config, data.train["rows"], data.train["labels"], device)

    def train_epoch(self, state, epoch, progress):
        count, losses = len(state.rows) * 4 // 5, []  # the last fifth is for validation
        for chosen in torch.randperm(count).split(32):
            rows = state.rows[chosen] + state.config["noise"] * torch.randn_like(state.rows[chosen])
            losses.append(binary_cross_entropy_with_logits(state.model(rows), state.labels[chosen]))
            state.optimizer.zero_grad()
            losses[-1].backward()
            state.optimizer.step()
        validated = self.evaluate(state, {"rows": state.rows[count:], "labels": state.labels[count:]})
        return {"val_accuracy": validated["accuracy"], "train_loss": torch.stack(losses).mean().item()}

    def evaluate(self, state, arrays):
        rows, labels = (torch.as_tensor(arrays[name]).to(state.rows) for name in ("rows", "labels"))
        answers = torch.sigmoid(state.model(rows)) >= state.config["threshold"]
        return {"accuracy": (answers == labels.bool()).float().mean().item()}
