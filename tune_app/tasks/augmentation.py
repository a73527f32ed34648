"""Augmentations of a batch of images, in plain torch on the batch's device.

Images are float tensors of shape (batch, channels, height, width), with 0 for the background, and come back in the
same shape. Random numbers come from torch's global generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

VIEW_OFFSETS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))
"""Pixels, down and right, by which the views of test-time augmentation are moved, in the order they are taken."""


def augment(images: Tensor, *, shift: float, rotation: float, noise: float, cutout: float) -> Tensor:
    """Apply what is above 0 and spend nothing on the rest; `noise` is in the units of the pixels."""
    if shift > 0 or rotation > 0:
        images = move(images, shift, rotation)
    if noise > 0:
        images = torch.add(images, torch.randn_like(images), alpha=noise)
    if cutout > 0:
        images = cut_out(images, cutout)
    return images


def move(images: Tensor, shift: float, rotation: float) -> Tensor:
    """Shift each image by up to `shift` of its sides and rotate it by up to `rotation` degrees, either way.

    Both are uniform; pixels are interpolated linearly and what comes in from outside is 0.
    """
    count, _, height, width = images.shape
    random = torch.rand(3, count, device=images.device) * 2 - 1
    angle = random[0] * math.radians(rotation)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # A grid runs from -1 to 1 over each side: a shift counts twice, a rotation needs the ratio of the sides.
    across, down = random[1] * (2 * shift), random[2] * (2 * shift)
    rows = [cos, -sin * (height / width), across, sin * (width / height), cos, down]
    theta = torch.stack(rows, dim=1).view(count, 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def cut_out(images: Tensor, size: float) -> Tensor:
    """Blank one rectangle per image, `size` of each side long, with its centre anywhere (DeVries & Taylor 2017)."""
    count, _, height, width = images.shape
    random = torch.rand(2, count, 1, device=images.device)
    rows = (torch.arange(height, device=images.device) + 0.5 - random[0] * height).abs() < size * height / 2
    columns = (torch.arange(width, device=images.device) + 0.5 - random[1] * width).abs() < size * width / 2
    hole = rows.view(count, 1, height, 1) & columns.view(count, 1, 1, width)
    return images.masked_fill(hole, 0.0)


def views(images: Tensor, count: int) -> list[Tensor]:
    """The images themselves, then `count` - 1 copies, each moved by one pixel; fixed, so nothing is drawn."""
    height, width = images.shape[-2:]
    padded = functional.pad(images, (1, 1, 1, 1)) if count > 1 else images
    moved = [padded[..., 1 - y : 1 - y + height, 1 - x : 1 - x + width] for y, x in VIEW_OFFSETS[1:count]]
    return [images, *moved]
