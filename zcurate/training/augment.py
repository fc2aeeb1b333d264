"""Seeing rows a little differently: pictures shifted at random, and hard cases made of right rows.

Leaves: (B, C, H, W) uint8; an `Encoded` of hard cases. Enters: pictures and a generator; encoded rows.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.encoding.encoder import Encoded


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


def hard_cases(encoded: Encoded, mine: Tensor, other: Tensor, share: float) -> Encoded | None:
    """Rows that are hard though their label is right: numbers averaged with a row of another class, pictures blurred.

    Categories are the row's own. None where there is nothing to average or blur, as with text.

    Args:
        encoded: N rows.
        mine: (M,) int64 rows whose labels are kept.
        other: (M,) int64 rows of other classes.
        share: of the row itself in the average, above one half.
    """
    if encoded.n_terms or (encoded.x is None and encoded.dense is None and encoded.images is None):
        return None

    def averaged(x: Tensor | None) -> Tensor | None:
        return None if x is None else share * x[mine] + (1 - share) * x[other]

    images = None
    if encoded.images is not None:
        images = encoded.images[mine].float()
        for _ in range(2):
            images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
        images = images.round().to(torch.uint8)
    rows = mine.cpu().numpy()
    return dataclasses.replace(
        encoded,
        y=encoded.y[mine],
        row=encoded.row[rows],
        fold_key=encoded.fold_key[rows],
        x=averaged(encoded.x),
        dense=averaged(encoded.dense),
        codes=None if encoded.codes is None else encoded.codes[mine],
        images=images,
    )
