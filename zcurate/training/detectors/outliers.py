"""Distance of each input from the bulk of the data.

Numbers and vectors are measured in robust standard deviations, categories by their rarity, images by coarse brightness and roughness. If
the data consists of distant clusters of very different sizes, the smallest cluster looks like outliers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.arrays.chunk import chunk_ranges, chunk_slices
from zcurate.encoding.encoded import EncodedRows

columns = ("distance",)
FIRST_ROWS, RELEASED_ROWS = 100_000, 262_144
"""For memory-mapped rows: number of leading rows from which the scale is estimated, and rows after which memory is released."""
PICTURES = 512
"""Images processed at a time."""


class InputScale(NamedTuple):
    """Where the bulk of some rows is, column by column."""

    median: Tensor
    """(F,) float32 of numbers, vectors and coarse features of pictures."""
    scale: Tensor
    """(F,) float32 robust standard deviations; infinite for columns that hardly vary."""
    rarity: Tensor
    """(n_codes,) float32 squared deviation of each category."""
    low: Tensor
    """(F,) float32 smallest numbers."""
    high: Tensor
    """(F,) float32 largest numbers."""


def detect(encoded: EncodedRows) -> dict[str, np.ndarray]:
    """Compute the distance of each row from the bulk.

    Args:
        encoded: N rows.

    Returns:
        `distance` (N,) float64: root mean square of the columns' robust deviations; NaN if there is nothing to measure.
    """
    return {"distance": distance_under(encoded, fit_scale(encoded))}


def numeric_parts(encoded: EncodedRows) -> list[Tensor]:
    """Numbers, vectors and coarse features of pictures, (N, F) float32 each."""
    return [x for x in (encoded.x, encoded.dense, None if encoded.images is None else picture_features(encoded)) if x is not None]


def fit_scale(encoded: EncodedRows) -> InputScale:
    """Find out where the bulk of the rows is.

    Args:
        encoded: N rows.
    """
    n_first = None if encoded.store.resident else FIRST_ROWS
    found = [(*median_and_scale(part[:n_first]), *part[:n_first].aminmax(dim=0)) for part in numeric_parts(encoded)]
    none = torch.zeros(0, device=encoded.device)
    median, scale, low, high = (torch.cat([none, *parts]) for parts in (zip(*found, strict=True) if found else ((),) * 4))
    rarity = none
    if encoded.codes is not None:
        frequency = torch.bincount(encoded.codes.reshape(-1), minlength=encoded.n_codes).float() / encoded.n_rows
        rarity = (-frequency.clamp_min(1e-9).log() / 3).square()
    return InputScale(median, scale, rarity, low, high)


def beyond_range(encoded: EncodedRows, known: InputScale) -> np.ndarray:
    """Compute how far outside the range of other rows each row is, (N,) float32: of the columns the largest share of the range; 0 for rows inside.

    Args:
        encoded: N rows.
        known: of the other rows; columns that they do not vary in are passed over.
    """
    parts = numeric_parts(encoded)
    found, sizes = torch.zeros(encoded.n_rows, device=encoded.device), [part.shape[1] for part in parts]
    for part, low, high in zip(parts, known.low.split(sizes), known.high.split(sizes), strict=True):
        varies = high > low
        for rows in chunk_slices(encoded.n_rows, max(1, part.shape[1])) if bool(varies.any()) else ():
            outside = torch.maximum(part[rows] - high, low - part[rows])[:, varies] / (high - low)[varies]
            found[rows] = torch.maximum(found[rows], outside.amax(1))
    return found.cpu().numpy()


def distance_under(encoded: EncodedRows, known: InputScale) -> np.ndarray:
    """Compute the distance of each row from the bulk of the same or of other rows, (N,) float64; NaN if there is nothing to measure.

    Args:
        encoded: N rows.
        known: where the bulk is.
    """
    parts = numeric_parts(encoded)
    width = len(known.median) + (0 if encoded.codes is None else encoded.codes.shape[1])
    if not width:
        return np.full(encoded.n_rows, np.nan)
    total = encoded.zeros(encoded.n_rows, dtype=torch.float32)
    sizes = [part.shape[1] for part in parts]
    for part, median, scale in zip(parts, known.median.split(sizes), known.scale.split(sizes), strict=True):
        for rows, deviation in soften_chunks(part, (median, scale)):
            total[rows] += deviation.square_().sum(1)
            if rows.stop % RELEASED_ROWS < rows.stop - rows.start:
                encoded.store.release()
    if encoded.codes is not None:
        for rows in chunk_slices(encoded.n_rows, encoded.codes.shape[1]):
            total[rows] += known.rarity[encoded.codes[rows]].sum(1)
    distance = encoded.zeros(encoded.n_rows, dtype=torch.float64)
    for begin, end in chunk_ranges(encoded.n_rows, RELEASED_ROWS):
        distance[begin:end] = (total[begin:end] / width).sqrt()
        encoded.release()
    return distance.cpu().numpy()


def soften(x: Tensor) -> Tensor:
    """Compute signed robust deviations, logarithmic beyond 1.

    A single extreme number then does not dominate its row.

    Args:
        x: (N, F) float32.

    Returns:
        (N, F) float32.
    """
    out = torch.empty(x.shape, device=x.device)
    for rows, deviation in soften_chunks(x, median_and_scale(x)):
        out[rows] = deviation
    return out


def soften_chunks(x: Tensor, median_and_scale: tuple[Tensor, Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Compute `soften` in chunks of rows, so that no second array of size N x F is allocated.

    Args:
        x: (N, F) float32.
        median_and_scale: (F,) each, of the columns.

    Yields:
        The rows and their deviations.
    """
    median, scale = median_and_scale
    for rows in chunk_slices(len(x), x.shape[1]):
        deviation = (x[rows] - median).div_(scale)
        magnitude = deviation.abs()
        yield rows, torch.where(magnitude > 1, magnitude.clamp_min(1).log_().add_(1), magnitude).copysign_(deviation)


def median_and_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate median and robust standard deviation of each column from a sample of rows.

    The standard deviation is the range of the middle 90 % over 3.29.

    Args:
        x: (N, F) float32.

    Returns:
        (F,) float32 each; the scale is infinite for columns that hardly vary.
    """
    # NumPy sorts the columns of a sample much faster than torch.
    sample = np.sort(x[:: max(1, len(x) // 20_000)].T.cpu().numpy(), 1)
    position = np.array([0.05, 0.5, 0.95]) * (sample.shape[1] - 1)
    below, above = sample[:, np.floor(position).astype(int)].astype(np.float64), sample[:, np.ceil(position).astype(int)].astype(np.float64)
    low, median, high = torch.from_numpy((below + (above - below) * (position % 1)).T).float().to(x.device)
    scale = (high - low) / 3.29
    return median, torch.where(scale > 1e-12, scale, torch.inf)


def picture_features(encoded: EncodedRows) -> Tensor:
    """Compute coarse features of images.

    They are mean brightness in a 4 x 4 grid, overall contrast, horizontal and vertical roughness.

    Args:
        encoded: N rows with `images`.

    Returns:
        (N, 19) float32.
    """
    assert encoded.images is not None  # crack: narrows types only
    features = []
    for images in encoded.images.split(PICTURES):
        grey = images.float().mean(1, keepdim=True)
        grid = F.adaptive_avg_pool2d(grey, 4).flatten(1)
        horizontal, vertical = (grey.diff(dim=dim).abs().mean((1, 2, 3)) for dim in (3, 2))
        features.append(torch.cat([grid, grey.std((1, 2, 3))[:, None], horizontal[:, None], vertical[:, None]], 1))
        encoded.release()
    return torch.cat(features)
