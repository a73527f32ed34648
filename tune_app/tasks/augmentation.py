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
"""Shifts in pixels, down and right, of the views in test-time augmentation, in order."""


def augment(
    images: Tensor,
    *,
    max_value: float,
    shift: float = 0.0,
    rotation: float = 0.0,
    crop: float = 0.0,
    horizontal_flip: bool = False,
    color_jitter: float = 0.0,
    noise: float = 0.0,
    cutout: float = 0.0,
) -> Tensor:
    """Apply the augmentations above 0, skip the rest; pixels range from 0 to `max_value`, and `noise` is a fraction of
    it."""
    if shift > 0 or rotation > 0 or crop > 0:
        images = move(images, shift, rotation, crop)
    if horizontal_flip:
        images = flip(images)
    if color_jitter > 0:
        images = jitter(images, color_jitter, max_value)
    if noise > 0:
        images = torch.add(images, torch.randn_like(images), alpha=noise * max_value)
    if cutout > 0:
        images = cut_out(images, cutout)
    return images


def move(images: Tensor, shift: float, rotation: float, crop: float = 0.0) -> Tensor:
    """Shift, rotate and crop each image in a single resampling.

    The shift is up to `shift` of each side and the rotation up to `rotation` degrees, in either direction. A crop
    removes up to `crop` of each side, anywhere, and is scaled back to full size. All are uniform; pixels are
    interpolated linearly, and pixels from outside are 0.
    """
    count, _, height, width = images.shape
    random = torch.rand(6 if crop > 0 else 3, count, device=images.device) * 2 - 1
    angle = random[0] * math.radians(rotation)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # A grid runs from -1 to 1 over each side: a shift counts twice, a rotation needs the ratio of the sides.
    across, down = random[1] * (2 * shift), random[2] * (2 * shift)
    if crop > 0:
        left_out = (random[3] + 1) * (0.5 * crop)
        across, down = across + random[4] * left_out, down + random[5] * left_out
        cos, sin = cos * (1 - left_out), sin * (1 - left_out)
    rows = [cos, -sin * (height / width), across, sin * (width / height), cos, down]
    theta = torch.stack(rows, dim=1).view(count, 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def flip(images: Tensor) -> Tensor:
    """Mirror each image horizontally with probability 1/2."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, images.flip(-1), images)


def jitter(images: Tensor, strength: float, max_value: float) -> Tensor:
    """Change brightness, contrast and saturation of each image by factors from 1 - `strength` to 1 + `strength`.

    As torchvision's ColorJitter blends: brightness with black, contrast with the image's mean gray, saturation with
    its own gray; images without three channels have no saturation.
    """
    factors = 1 + strength * (torch.rand(3, len(images), 1, 1, 1, device=images.device) * 2 - 1)
    images = (images * factors[0]).clamp(0, max_value)
    gray = images.mean(dim=1, keepdim=True)
    images = torch.lerp(gray.mean(dim=(2, 3), keepdim=True), images, factors[1]).clamp(0, max_value)
    if images.shape[1] == 3:
        images = torch.lerp(images.mean(dim=1, keepdim=True), images, factors[2]).clamp(0, max_value)
    return images


def cut_out(images: Tensor, size: float) -> Tensor:
    """Blank one rectangle per image, `size` of each side long, with its center anywhere (DeVries & Taylor 2017)."""
    count, _, height, width = images.shape
    random = torch.rand(2, count, 1, device=images.device)
    rows = (torch.arange(height, device=images.device) + 0.5 - random[0] * height).abs() < size * height / 2
    columns = (torch.arange(width, device=images.device) + 0.5 - random[1] * width).abs() < size * width / 2
    hole = rows.view(count, 1, height, 1) & columns.view(count, 1, 1, width)
    return images.masked_fill(hole, 0.0)


def views(images: Tensor, count: int) -> list[Tensor]:
    """The images themselves, then `count` - 1 copies, each shifted by one pixel; deterministic."""
    height, width = images.shape[-2:]
    padded = functional.pad(images, (1, 1, 1, 1)) if count > 1 else images
    moved = [padded[..., 1 - y : 1 - y + height, 1 - x : 1 - x + width] for y, x in VIEW_OFFSETS[1:count]]
    return [images, *moved]
