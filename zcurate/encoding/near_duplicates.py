"""Near-duplicates among pictures, by the features of a pre-trained network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.sample import sample

NEAR = 0.25
"""Distance of near-duplicates, as a share of the median distance to the nearest picture. The same picture in another size, cropped by a pixel, mirrored or 15 %
brighter lies mostly below it, different pictures hardly ever (tests/bench/README.md)."""
WIDTH, SLACK = 192, 2.5
"""Width of the random projection by which pairs are looked for, and times the distance up to which they are then compared exactly."""
BLOCK, QUERIES = 512, 512
"""Pictures that are compared with all others at a time, and pictures whose nearest one is looked for to know what is usual."""


def near_duplicate_groups(features: Tensor) -> np.ndarray:
    """Group pictures that are nearly the same, directly or by a chain of others.

    Args:
        features: (N, V) float32, standardized.

    Returns:
        (N,) int64 number of the group, from 0 in the order of the rows; -1 for a picture without near-duplicates.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(features)
    if n < 2:
        return np.full(n, -1)
    length = features.norm(dim=1).clamp_min(1e-6)
    limit = NEAR * usual_distance(features, length)
    pairs = close_pairs(features, length, limit)
    _, label = connected_components(coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n)), directed=False)
    size = np.bincount(label)
    grouped = size[label] > 1
    out = np.full(n, -1)
    _, first = np.unique(label[grouped], return_index=True)
    order = {int(label[grouped][at]): number for number, at in enumerate(np.sort(first))}
    out[grouped] = [order[int(one)] for one in label[grouped]]
    return out


def usual_distance(features: Tensor, length: Tensor) -> float:
    """Compute the median distance of a sample of pictures to their nearest ones: 1 - cosine.

    Args:
        features: (N, V).
        length: (N,) of the rows.
    """
    rows = torch.from_numpy(sample(len(features), QUERIES))
    cosine = (features[rows] / length[rows, None]) @ features.T / length
    cosine[torch.arange(len(rows)), rows] = -1
    return max(0.0, float(1 - cosine.amax(1).median()))


def close_pairs(features: Tensor, length: Tensor, limit: float) -> np.ndarray:
    """Find the pairs of pictures whose distance is below a limit, (P, 2) int64 with the smaller row first.

    Args:
        features: (N, V).
        length: (N,) of the rows.
        limit: on 1 - cosine.
    """
    generator = torch.Generator().manual_seed(13)
    projection = torch.randn(features.shape[1], min(WIDTH, features.shape[1]), generator=generator).to(features.device)
    rough = torch.nn.functional.normalize(features @ projection)
    found = []
    for begin, end in chunk_ranges(len(features), BLOCK):
        near = (rough[begin:end] @ rough[begin:].T > 1 - SLACK * limit).nonzero()
        first, second = near[:, 0] + begin, near[:, 1] + begin
        first, second = first[second > first], second[second > first]
        for at, to in chunk_ranges(len(first), BLOCK):
            a, b = first[at:to], second[at:to]
            exact = (features[a] * features[b]).sum(1) / (length[a] * length[b])
            found.append(torch.stack([a, b], 1)[exact > 1 - limit].cpu().numpy())
    return np.concatenate([np.zeros((0, 2), np.int64), *found])
