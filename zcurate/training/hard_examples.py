"""Synthetic hard examples: rows whose label is right although a model finds them difficult."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.encoding.encoded import EncodedRows
from zcurate.training.sampler import LEADING_ROWS

HARD_SHARE, MAX_HARD, HARD_BLEND = 0.1, 2000, 0.6
"""Hard examples as a share of the labelled rows, their largest number, and the weight of the row itself in the average."""
HARD_SEED = 11
"""Mixed with the user's seed for the choice of hard examples."""


def make_hard_examples(encoded: EncodedRows, generator: torch.Generator) -> tuple[EncodedRows | None, Tensor]:
    """Create hard examples from a share of the labelled rows, each blended with a row of another class.

    Args:
        encoded: N rows.
        generator: source of the choice, on the device of the rows.

    Returns:
        The M hard examples, None for regression or if there is nothing to blend; and the (M,) int64 rows they are made from.
    """
    no_rows = torch.zeros(0, dtype=torch.int64, device=encoded.device)
    if encoded.regression:
        return None, no_rows
    labelled = torch.nonzero(encoded.labelled(slice(None if encoded.store.resident else LEADING_ROWS)))[:, 0]
    n = min(MAX_HARD, int(HARD_SHARE * len(labelled)))
    chosen = labelled[torch.rand(len(labelled), generator=generator, device=encoded.device).topk(2 * n, largest=False).indices]
    row, other = chosen[:n], chosen[n : 2 * n]
    differ = encoded.y[row] != encoded.y[other]
    hard = blend_rows(encoded, row[differ], other[differ], HARD_BLEND) if differ.any() else None
    return hard, no_rows if hard is None else row[differ]


def blend_rows(encoded: EncodedRows, row: Tensor, other: Tensor, share: float) -> EncodedRows | None:
    """Make rows harder to classify without changing their label.

    Numbers are averaged with a row of another class, images are blurred, categories are unchanged.

    Args:
        encoded: N rows.
        row: (M,) int64 rows whose labels are retained.
        other: (M,) int64 rows of other classes.
        share: weight of `row` in the average, above one half.

    Returns:
        M rows; None if there is text, or nothing to average or blur.
    """
    if encoded.n_terms or (encoded.x is None and encoded.dense is None and encoded.images is None):
        return None

    def average(x: Tensor | None) -> Tensor | None:
        return None if x is None else share * x[row] + (1 - share) * x[other]

    images = None
    if encoded.images is not None:
        images = encoded.images[row].float()
        for _ in range(2):
            images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
        images = images.round().to(torch.uint8)
    rows = row.cpu().numpy()
    return dataclasses.replace(
        encoded,
        y=encoded.y[row],
        row=encoded.row[rows],
        row_hash=None,
        copies=None,
        fold_key=encoded.fold_key[rows],
        x=average(encoded.x),
        dense=average(encoded.dense),
        features=average(encoded.features),
        columns=average(encoded.columns),
        codes=None if encoded.codes is None else encoded.codes[row],
        images=images,
    )
