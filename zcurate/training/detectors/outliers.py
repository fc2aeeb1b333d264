"""How far each input lies from the bulk of the data.

Sees numbers and vectors in robust deviations, categories by their rarity, pictures by coarse brightness and roughness. Wrong when:
the data fall into far-apart groups of very different sizes; then the smallest looks novel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.arrays.chunk import chunk_ranges, chunk_slices
from zcurate.encoding.encoded import EncodedRows

columns = ("distance",)
FIRST_ROWS, RELEASED_ROWS = 100_000, 262_144
"""Rows in files: how many of the first tell the spread, and after how many their memory is given back."""
PICTURES = 512
"""Pictures looked at at a time."""


def detect(encoded: EncodedRows) -> dict[str, np.ndarray]:
    """`distance` (N,) float64: root mean square of the columns' robust deviations; NaN where there is nothing to measure."""
    parts = [x for x in (encoded.x, encoded.dense, None if encoded.images is None else picture_features(encoded)) if x is not None]
    width = sum(part.shape[1] for part in parts) + (0 if encoded.codes is None else encoded.codes.shape[1])
    if not width:
        return {"distance": np.full(encoded.n_rows, np.nan)}
    total = encoded.zeros(encoded.n_rows, dtype=torch.float32)
    for part in parts:
        for rows, deviation in soften_chunks(part, None if encoded.store.resident else FIRST_ROWS):
            total[rows] += deviation.square_().sum(1)
            if rows.stop % RELEASED_ROWS < rows.stop - rows.start:
                encoded.store.release()
    if encoded.codes is not None:
        share = torch.bincount(encoded.codes.reshape(-1), minlength=encoded.n_codes).float() / encoded.n_rows
        rarity = (-share.clamp_min(1e-9).log() / 3).square()
        for rows in chunk_slices(encoded.n_rows, encoded.codes.shape[1]):
            total[rows] += rarity[encoded.codes[rows]].sum(1)
    out = encoded.zeros(encoded.n_rows, dtype=torch.float64)
    for begin, end in chunk_ranges(encoded.n_rows, RELEASED_ROWS):
        out[begin:end] = (total[begin:end] / width).sqrt()
        encoded.release()
    return {"distance": out.cpu().numpy()}


def soften(x: Tensor) -> Tensor:
    """(N, F) float32 signed robust deviations, logarithmic beyond one, so that one wild number is not the whole row."""
    out = torch.empty(x.shape, device=x.device)
    for rows, deviation in soften_chunks(x):
        out[rows] = deviation
    return out


def soften_chunks(x: Tensor, n_first: int | None = None) -> Iterator[tuple[slice, Tensor]]:
    """`softened`, some rows at a time, so that nothing of size N x F is held.

    Args:
        x: (N, F) float32.
        n_first: how many of the first rows tell the spread, where rows lie in a random order; None for all.
    """
    middle, scale = median_and_scale(x[:n_first])
    for rows in chunk_slices(len(x), x.shape[1]):
        deviation = (x[rows] - middle).div_(scale)
        far = deviation.abs()
        yield rows, torch.where(far > 1, far.clamp_min(1).log_().add_(1), far).copysign_(deviation)


def median_and_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """(F,) float32 median, and (F,) float32 robust standard deviation (a 3.29th of the middle 90 %), infinite for columns that hardly vary."""
    # numpy sorts the columns of a sample fifteen times as fast as torch.
    sample = np.sort(x[:: max(1, len(x) // 20_000)].T.cpu().numpy(), 1)
    at = np.array([0.05, 0.5, 0.95]) * (sample.shape[1] - 1)
    below, above = sample[:, np.floor(at).astype(int)].astype(np.float64), sample[:, np.ceil(at).astype(int)].astype(np.float64)
    low, middle, high = torch.from_numpy((below + (above - below) * (at % 1)).T).float().to(x.device)
    scale = (high - low) / 3.29
    return middle, torch.where(scale > 1e-12, scale, torch.inf)


def picture_features(encoded: EncodedRows) -> Tensor:
    """(N, 19) float32: mean brightness in a 4 x 4 grid, overall contrast, roughness across and down."""
    assert encoded.images is not None  # crack: narrows types only
    found = []
    for images in encoded.images.split(PICTURES):
        grey = images.float().mean(1, keepdim=True)
        grid = F.adaptive_avg_pool2d(grey, 4).flatten(1)
        across, down = (grey.diff(dim=dim).abs().mean((1, 2, 3)) for dim in (3, 2))
        found.append(torch.cat([grid, grey.std((1, 2, 3))[:, None], across[:, None], down[:, None]], 1))
        encoded.release()
    return torch.cat(found)
