"""Seeing a picture a little differently each time: random shifts, and mirror images where they are the same thing.

Leaves: (B, C, H, W) uint8. Enters: the same and a generator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each picture moved by up to `most` pixels each way, edges repeated.

    Args:
        images: (B, C, H, W) uint8.
        most: pixels.
        generator: on the device of `images`.
    """
    n, _, height, width = images.shape
    padded = F.pad(images.float(), (most, most, most, most), mode="replicate").to(torch.uint8)
    dy = torch.randint(0, 2 * most + 1, (n, 1), generator=generator, device=images.device)
    dx = torch.randint(0, 2 * most + 1, (n, 1), generator=generator, device=images.device)
    at_y = (dy + torch.arange(height, device=images.device))[:, :, None]
    at_x = (dx + torch.arange(width, device=images.device))[:, None, :]
    which = torch.arange(n, device=images.device)[:, None, None]
    return padded[which, :, at_y, at_x].permute(0, 3, 1, 2)


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures, drawn at random, flipped left to right.

    Args:
        images: (B, C, H, W) uint8.
        generator: on the device of `images`.
    """
    flip = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)
