"""Arrays of a data set as tensors on a device."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The array on `device`, with the array's own type by default.

    On a CPU the memory is shared if the type is
    unchanged: all trials on a node read the arrays in Ray's object store, and must not write to them.
    """
    with warnings.catch_warnings():
        # torch warns about read-only arrays; no task writes to its data.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.as_tensor(array)
    return tensor.to(device, dtype or tensor.dtype)
