"""Arrays of a data set as tensors on a device."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The array on `device`, of the array's own type where none is given.

    On a CPU the memory is shared where the type stays: arrays in Ray's object store are read by all trials of a node,
    and must not be written to.
    """
    with warnings.catch_warnings():
        # torch warns of arrays that cannot be written; no task writes to its data.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.as_tensor(array)
    return tensor.to(device, dtype or tensor.dtype)
