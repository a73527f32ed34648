"""Seeds of trials."""

from __future__ import annotations

import numpy as np


def derive_seed(sweep_seed: int, trial: int) -> int:
    """The 32-bit seed of trial number `trial`: fixed by both numbers, unrelated between neighbors."""
    return int(np.random.SeedSequence([sweep_seed, trial]).generate_state(1)[0])
