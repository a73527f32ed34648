"""A graph of three groups of nodes, made by a formula, and a network on it. Its rows refer to each other."""

import torch
from torch import nn
from torch.nn import functional

NODES, GROUPS, FEATURES = 240, 3, 8


def load():
    """Normalized adjacency (240, 240), features (240, 8), classes (240,), and the nodes of each of three parts."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(NODES) % GROUPS
    chance = torch.where(classes[:, None] == classes[None, :], 0.08, 0.02)
    edges = (torch.rand(NODES, NODES, generator=generator) < chance).float().triu(1)
    edges = edges + edges.T + torch.eye(NODES)
    scale = edges.sum(1).rsqrt()
    features = torch.randn(NODES, FEATURES, generator=generator) + 0.4 * functional.one_hot(classes, FEATURES)
    parts = torch.randperm(NODES, generator=generator).split(NODES // 3)
    return scale[:, None] * edges * scale[None, :], features, classes, parts


class GraphNet(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.hidden, self.output = nn.Linear(FEATURES, width), nn.Linear(width, GROUPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features, adjacency):
        hidden = functional.relu(adjacency @ self.hidden(features))
        return adjacency @ self.output(self.dropout(hidden))


def loss(model, graph, nodes):
    adjacency, features, classes, _ = graph
    return functional.cross_entropy(model(features, adjacency)[nodes], classes[nodes])


def train_epoch(model, optimizer, graph, nodes):
    model.train()
    for _ in range(10):
        optimizer.zero_grad()
        loss(model, graph, nodes).backward()
        optimizer.step()


def accuracy(model, graph, nodes):
    adjacency, features, classes, _ = graph
    model.eval()
    with torch.no_grad():
        return (model(features, adjacency)[nodes].argmax(1) == classes[nodes]).float().mean().item()
