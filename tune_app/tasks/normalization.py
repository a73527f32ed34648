"""Normalization of images, as the first layer of a model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

METHODS = ("standardize", "scale", "per_image", "none")


class Normalize(nn.Module):
    """Scale raw pixels for the network; part of the model, so that the model accepts raw images."""

    scale: Tensor
    offset: Tensor

    def __init__(self, method: str, channels: int) -> None:
        super().__init__()
        self.method = method
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.register_buffer("offset", torch.zeros(channels, 1, 1))

    def fit(self, batches: Iterable[Tensor], max_value: float) -> None:
        """Collect the statistics of the training images, batch by batch, and the largest possible pixel value.

        Whole numbers are summed exactly, so that the result is the same on every device.
        """
        if self.method == "scale":
            self.scale.fill_(1.0 / max_value)
        elif self.method == "standardize":
            pixels, total, squares = 0, *torch.zeros(2, len(self.scale), device=self.scale.device, dtype=torch.float64)
            for batch in batches:
                values = batch.double()
                pixels += values[:, 0].numel()
                total += values.sum((0, 2, 3))
                squares += values.square().sum((0, 2, 3))
            mean = total / pixels
            deviation = (squares / pixels - mean.square()).clamp(min=0).sqrt().clamp(min=1e-6 * max_value)
            self.scale.copy_((1.0 / deviation).view_as(self.scale))
            self.offset.copy_(-mean.view_as(self.scale) * self.scale)

    def forward(self, images: Tensor) -> Tensor:
        """Pixels in, pixels out, in the same shape."""
        if self.method == "none":
            return images
        if self.method == "per_image":
            return functional.layer_norm(images, images.shape[1:])
        return torch.addcmul(self.offset, images, self.scale)
