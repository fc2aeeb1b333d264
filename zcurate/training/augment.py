"""Data augmentation of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shift(images: Tensor, max_shift: int, generator: torch.Generator) -> Tensor:
    """Shift each image at random by up to `max_shift` pixels in both directions, repeating the edges.

    Args:
        images: (B, C, H, W) uint8.
        max_shift: pixels.
        generator: on the device of `images`.

    Returns:
        (B, C, H, W) uint8.
    """
    n, _, height, width = images.shape
    padded = F.pad(images.float(), (max_shift, max_shift, max_shift, max_shift), mode="replicate").to(torch.uint8)
    dy = torch.randint(0, 2 * max_shift + 1, (n, 1), generator=generator, device=images.device)
    dx = torch.randint(0, 2 * max_shift + 1, (n, 1), generator=generator, device=images.device)
    y = (dy + torch.arange(height, device=images.device))[:, :, None]
    x = (dx + torch.arange(width, device=images.device))[:, None, :]
    image = torch.arange(n, device=images.device)[:, None, None]
    return padded[image, :, y, x].permute(0, 3, 1, 2)
