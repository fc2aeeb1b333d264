"""Synthetic hard examples: rows whose label is right though a model finds them difficult."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.encoding.encoded import EncodedRows
from zcurate.training.sampler import LEADING_ROWS


def blend_rows(encoded: EncodedRows, mine: Tensor, other: Tensor, share: float) -> EncodedRows | None:
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


HARD_SHARE, MAX_HARD, HARD_BLEND = 0.1, 2000, 0.6
"""Share of the rows that hard cases are made of, how many at most, and what share of such a row is its own."""
HARD_SEED = 11
"""Mixed with the user's seed where hard examples are chosen."""


def make_hard_examples(encoded: EncodedRows, generator: torch.Generator) -> tuple[EncodedRows | None, Tensor]:
    """Hard cases of `HARD_SHARE` of the labelled rows, each with a row of another class; and the (M,) rows they are made of.

    Args:
        encoded: N rows.
        generator: source of the choice, on their device.
    """
    nobody = torch.zeros(0, dtype=torch.int64, device=encoded.device)
    if encoded.regression:
        return None, nobody
    labelled = torch.nonzero(encoded.labelled(slice(None if encoded.store.resident else LEADING_ROWS)))[:, 0]
    n = min(MAX_HARD, int(HARD_SHARE * len(labelled)))
    chosen = labelled[torch.rand(len(labelled), generator=generator, device=encoded.device).topk(2 * n, largest=False).indices]
    mine, other = chosen[:n], chosen[n : 2 * n]
    differ = encoded.y[mine] != encoded.y[other]
    made = blend_rows(encoded, mine[differ], other[differ], HARD_BLEND) if differ.any() else None
    return made, nobody if made is None else mine[differ]
