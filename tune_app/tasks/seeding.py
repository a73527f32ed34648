"""The global generators of torch, numpy and random, seeded for an epoch."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int, epoch: int) -> None:
    """Seed them from a trial's seed and the number of an epoch; 0 is for what comes before the first one."""
    torch_seed, numpy_seed, python_seed = np.random.SeedSequence([seed, epoch]).generate_state(3).tolist()
    torch.manual_seed(torch_seed)
    np.random.seed(numpy_seed)
    random.seed(python_seed)
