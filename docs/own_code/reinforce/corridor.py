"""A corridor to walk along, a policy, and REINFORCE. Knows nothing about tuners."""

import torch
from torch import nn
from torch.distributions import Categorical

LENGTH, STEPS = 6, 30


def policy(width):
    """Scores of a step to the left and to the right, by the place in the corridor."""
    return nn.Sequential(nn.Linear(LENGTH, width), nn.Tanh(), nn.Linear(width, 2))


def episode(model):
    """Walk from the left end to the right end: the log probabilities of the actions, and the rewards."""
    place, chances, rewards = 0, [], []
    for _ in range(STEPS):
        choices = Categorical(logits=model(torch.eye(LENGTH)[place]))
        step = choices.sample()
        chances.append(choices.log_prob(step))
        place = max(0, place + (1 if step else -1))
        rewards.append(1.0 if place == LENGTH - 1 else -0.05)
        if place == LENGTH - 1:
            break
    return torch.stack(chances), rewards


def loss(model, discount):
    chances, rewards = episode(model)
    returns, later = [], 0.0
    for reward in reversed(rewards):
        later = reward + discount * later
        returns.append(later)
    return -(chances * torch.tensor(returns[::-1])).sum()


def train_epoch(model, optimizer, discount, episodes):
    for _ in range(episodes):
        optimizer.zero_grad()
        loss(model, discount).backward()
        optimizer.step()


def score(model, episodes=20):
    """Mean sum of rewards of an episode."""
    with torch.no_grad():
        return sum(sum(episode(model)[1]) for _ in range(episodes)) / episodes
