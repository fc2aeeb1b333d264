"""Seeing rows a little differently: pictures shifted at random, and hard cases made of right rows.

Leaves: (B, C, H, W) uint8; an `Encoded` of hard cases. Enters: pictures and a generator; encoded rows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shift(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
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
