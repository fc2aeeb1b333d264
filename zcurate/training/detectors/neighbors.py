"""Nearest neighbors of each row, in the space of the columns and in the space that the members learn.

In the space of the columns numbers are in robust standard deviations (logarithmic beyond 1), categories are equal or not, vectors and
images are coarse; the learned space is the input of the last layer of a member that did not train on the row. If many columns are
irrelevant, the nearest rows are not similar.
Distances are computed in chunks: nothing of size rows x rows is allocated, and beyond one block of rows nothing of size rows x neighbors.
Sources: SimiFeat (arXiv:2110.06283); Mahalanobis distance with tied covariance (METHODS 4.8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.config.model_config import MAX_NEIGHBOR_KEYS, MAX_NEIGHBOR_PAIRS, MIN_NEIGHBOR_KEYS
from zcurate.encoding.encoded import EncodedRows
from zcurate.training.detectors.outliers import picture_features, soften

Probe = Callable[[Tensor, Tensor, Tensor, Tensor, int], dict[str, Tensor]]
columns = ("isolation", "copies_other", "neighbour_gap")
N_NEAREST = 20
"""Neighbors of each row, at most."""
CHUNK, GROUP, BLOCK = 256, 32, 16_384
"""Query rows of one matrix product; distances of which only the minimum is ranked first; rows whose neighbors are in memory at a time."""
NEAR_COPY_SHARE = 0.01
"""Distance [robust standard deviations] below which two rows count as copies."""
MAX_WIDTH = 256
"""Dimension of the space, at most; more columns are reduced by a fixed random projection."""


def detect(encoded: EncodedRows) -> dict[str, np.ndarray]:
    """Compute isolation and copies of each row, and for regression the gap to its neighbors' targets.

    Args:
        encoded: N rows.

    Returns:
        `isolation`, `copies_other` and `neighbour_gap`, (N,) float64 each; NaN where there is nothing to measure.
    """
    n = encoded.n_rows
    space = raw_space(encoded)
    found = {name: np.full(n, np.nan) for name in columns}
    if space is None or n < 3:
        return found | {"copies_other": exact_copies(encoded, found["copies_other"])}
    keys = sample_keys(n, space.device, max_keys(n))
    key_space, k = space[keys], min(N_NEAREST, max(1, n // 50))
    mean = torch.empty(n, dtype=torch.float64, device=space.device)
    for rows in torch.arange(n, device=space.device).split(BLOCK):
        distance, nearest = nearest_rows(space[rows], key_space, keys, k, rows)
        mean[rows] = distance.mean(1).double()
        at = rows.cpu().numpy()
        if encoded.regression:
            found["neighbour_gap"][at] = target_gap(encoded.y.double(), rows, nearest)
        else:
            found["copies_other"][at] = near_copies(encoded.y, rows, distance, nearest)
    log = mean.clamp_min(1e-9).log()
    found["isolation"] = (log - log.median()).cpu().numpy()
    return found | {"copies_other": exact_copies(encoded, found["copies_other"])}


def target_gap(y: Tensor, rows: Tensor, nearest: Tensor) -> np.ndarray:
    """Compute the target minus the median target of the nearest rows, over their mean absolute deviation.

    Args:
        y: (N,) targets, NaN = unlabelled.
        rows: (Q,) int64 query rows.
        nearest: (Q, k) int64.

    Returns:
        (Q,) float64.
    """
    targets = y[nearest]
    median = targets.nanmedian(1, keepdim=True).values
    known = y[~y.isnan()]
    deviation = (targets - median).abs().nanmean(1).clamp_min(float(known.std(correction=0)) * 0.05 + 1e-12)
    return ((y[rows] - median[:, 0]) / deviation).cpu().numpy()


def near_copies(y: Tensor, rows: Tensor, distance: Tensor, nearest: Tensor) -> np.ndarray:
    """Compute the share of labelled near copies that have another label.

    Args:
        y: (N,) int64 classes, -1 = unlabelled.
        rows: (Q,) int64 query rows.
        distance: (Q, k) float32.
        nearest: (Q, k) int64.

    Returns:
        (Q,) float64; NaN for rows without near copies.
    """
    near = (distance < NEAR_COPY_SHARE) & (y[nearest] >= 0) & (y[rows] >= 0)[:, None]
    other = near & (y[nearest] != y[rows, None])
    return torch.where(near.any(1), other.sum(1).double() / near.sum(1), torch.nan).cpu().numpy()


def raw_space(encoded: EncodedRows) -> Tensor | None:
    """Embed rows in a Euclidean space.

    One unit is one robust standard deviation of a number, logarithmic beyond 1, or a different category.

    Args:
        encoded: N rows.

    Returns:
        (N, D) float32; None if there is only text.
    """
    parts = [soften(x) for x in (encoded.x, encoded.dense, None if encoded.images is None else picture_features(encoded)) if x is not None]
    if encoded.codes is not None:
        generator = torch.Generator(device="cpu").manual_seed(7)
        width = min(8, MAX_WIDTH)
        table = torch.randn(encoded.n_codes, width, generator=generator).to(encoded.codes.device)
        table = F.normalize(table, dim=1) / 2**0.5
        parts.append(table[encoded.codes].flatten(1))
    if not parts:
        return None
    space = torch.cat(parts, 1)
    if space.shape[1] > MAX_WIDTH:
        generator = torch.Generator(device="cpu").manual_seed(11)
        space = space @ (torch.randn(space.shape[1], MAX_WIDTH, generator=generator) / MAX_WIDTH**0.5).to(space.device)
    return space


def sample_keys(n: int, device: torch.device, max_rows: int) -> Tensor:
    """Choose the rows to compare with: all, or a sample with a fixed seed.

    Args:
        n: number of rows.
        device: where the result is needed.
        max_rows: size of the sample.

    Returns:
        (M,) int64, increasing.
    """
    if n <= max_rows:
        return torch.arange(n, device=device)
    chosen = torch.randperm(n, generator=torch.Generator(device="cpu").manual_seed(3))[:max_rows]
    return chosen.sort().values.to(device)


def nearest_rows(queries: Tensor, key_space: Tensor, keys: Tensor, k: int, query_rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Find the k nearest keys of each query.

    Args:
        queries: (Q, D) float32.
        key_space: (M, D) float32.
        keys: (M,) int64 rows of the keys, increasing.
        k: neighbors; reduced if there are fewer keys.
        query_rows: (Q,) int64 rows of the queries, to exclude a row as its own neighbor; None if no query is a key.

    Returns:
        Euclidean distances (Q, k) float32 and rows (Q, k) int64, nearest first.
    """
    k = max(1, min(k, len(keys) - (query_rows is not None)))
    padding = -len(keys) % GROUP
    # Keys added as padding are at an infinite distance.
    space, squared_norm = F.pad(key_space, (0, 0, 0, padding)).T, F.pad(key_space.square().sum(1), (0, padding), value=float("inf"))
    own_key = None if query_rows is None else torch.searchsorted(keys, query_rows).clamp_max(len(keys) - 1)
    distances, nearest = [], []
    for chunk in torch.arange(len(queries), device=queries.device).split(CHUNK):
        query = queries[chunk]
        # Without the query's own squared norm, which does not change the order.
        squared = torch.addmm(squared_norm, query, space, alpha=-2)
        if own_key is not None and query_rows is not None:
            own = chunk[keys[own_key[chunk]] == query_rows[chunk]]
            squared[own - chunk[0], own_key[own]] = float("inf")
        least, column = smallest(squared, k)
        distances.append((least + query.square().sum(1, keepdim=True)).clamp_min(0).sqrt())
        nearest.append(keys[column])
    return torch.cat(distances), torch.cat(nearest)


def smallest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k smallest values of each row and their columns.

    They are contained in the k groups of adjacent values with the smallest minima, so only those groups are sorted.

    Args:
        x: (Q, M), M a multiple of `GROUP`.
        k: at most M.

    Returns:
        Values (Q, k) and columns (Q, k) int64, smallest first.
    """
    groups = x.unflatten(1, (x.shape[1] // GROUP, GROUP))
    if k >= groups.shape[1]:
        least = x.topk(k, 1, largest=False)
        return least.values, least.indices
    best = groups.amin(2).topk(k, 1, largest=False, sorted=False).indices
    least = groups.gather(1, best[:, :, None].expand(-1, -1, GROUP)).flatten(1).topk(k, 1, largest=False)
    return least.values, best.gather(1, least.indices // GROUP) * GROUP + least.indices % GROUP


def exact_copies(encoded: EncodedRows, near: np.ndarray) -> np.ndarray:
    """Compute the share of each labelled row's copies that have another label.

    Exact copies are used if there are any, else near copies.

    Args:
        encoded: N rows.
        near: (N,) float64 share of near copies with another label.

    Returns:
        (N,) float64; NaN for rows without copies and for regression.
    """
    share = near.copy()
    if encoded.regression or encoded.row_hash is None:
        return share
    y = encoded.y.cpu().numpy()
    _, group = np.unique(encoded.row_hash, return_inverse=True)
    size = np.bincount(group[y >= 0], minlength=group.max() + 1)
    _, same, count = np.unique(group * (y.max() + 2) + y, return_inverse=True, return_counts=True)
    has_copies = (y >= 0) & (size[group] > 1)
    share[has_copies] = (size[group] - count[same])[has_copies] / (size[group] - 1)[has_copies]
    return share


def max_keys(n_rows: int) -> int:
    """Limit the rows that each row is compared with, so that there are at most `MAX_NEIGHBOR_PAIRS` pairs."""
    return max(MIN_NEIGHBOR_KEYS, min(MAX_NEIGHBOR_KEYS, MAX_NEIGHBOR_PAIRS // max(1, n_rows)))


@dataclass(frozen=True)
class LearnedSpace:
    """Runs probes in a member's learned space."""

    probes: tuple[Probe, ...]
    """Functions of `PROBES`."""

    def keys(self, n_train: int, n_rows: int, device: torch.device) -> Tensor:
        """Choose which of a member's training rows to compare with.

        Args:
            n_train: rows that the member trained on.
            n_rows: N, queries of all members.
            device: where the result is needed.

        Returns:
            (M,) int64 positions among the training rows.
        """
        return sample_keys(n_train, device, max_keys(n_rows))

    def __call__(self, queries: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
        """Compute the columns of all probes; arguments as for `neighbor_votes`."""
        mean = train_features.mean(0)
        found: dict[str, Tensor] = {}
        for probe in self.probes:
            found |= probe(queries - mean, own, train_features - mean, labels, n_classes)
        return found


def representation_observer(clues: tuple[str, ...]) -> LearnedSpace | None:
    """Create the probes of the learned space that these clues need; None if they need none."""
    probes = tuple(PROBES[name] for name in clues if name in PROBES)
    return LearnedSpace(probes) if probes else None


def neighbor_votes(queries: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
    """Compute label shares among the nearest training rows in a member's learned space.

    Similarity is measured by the cosine.

    Args:
        queries: (Q, D) float32, input of the member's last layer for rows that it did not train on.
        own: (Q,) int64 their training labels.
        train_features: (M, D) float32, the same for rows that it trained on.
        labels: (M,) int64 their training labels.
        n_classes: C.

    Returns:
        `neighbour_own`, the share of the row's own label, and `neighbour_other`, the largest share of another label, each (Q,) float32.
    """
    _, nearest = nearest_rows(
        F.normalize(queries, dim=1), F.normalize(train_features, dim=1), torch.arange(len(train_features), device=train_features.device), N_NEAREST
    )
    share = torch.zeros(len(queries), n_classes, device=queries.device)
    share.scatter_add_(1, labels[nearest], torch.full(nearest.shape, 1 / max(1, nearest.shape[1]), device=queries.device))
    own_class = own[:, None]
    return {"neighbour_own": share.gather(1, own_class)[:, 0], "neighbour_other": share.scatter(1, own_class, -1.0).amax(1)}


def center_probe(queries: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
    """Compute the distances to the center of the row's own class and to the nearest other one.

    Arguments as for `neighbor_votes`.

    Returns:
        `centre_own` and `centre_other`, each (Q,) float32.
    """
    distance, own_class = centre_distances(queries, train_features, labels, n_classes), own[:, None]
    return {"centre_own": distance.gather(1, own_class)[:, 0], "centre_other": distance.scatter(1, own_class, float("inf")).amin(1)}


def centre_distances(queries: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Compute Mahalanobis distances to the class centers under one shared covariance.

    Arguments as for `neighbor_votes`.

    Returns:
        (Q, C) float32.
    """
    return distances_to(queries, *class_statistics(train_features, labels, n_classes))


def class_statistics(features: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Compute the center of each class, and the Cholesky factor of the covariance that they share.

    Args:
        features: (M, D) float32.
        labels: (M,) int64.
        n_classes: C.

    Returns:
        (C, D) and (D, D) float32.
    """
    size = torch.bincount(labels, minlength=n_classes).clamp_min(1).to(features.dtype)
    centre = torch.zeros(n_classes, features.shape[1], device=features.device).index_add_(0, labels, features) / size[:, None]
    residual = features - centre[labels]
    covariance = residual.T @ residual / len(features)
    ridge = 0.01 * covariance.diagonal().mean() + 1e-6
    return centre, torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance), device=features.device))


def distances_to(queries: Tensor, centre: Tensor, root: Tensor) -> Tensor:
    """Compute Mahalanobis distances, (Q, C) float32.

    Args:
        queries: (Q, D) float32.
        centre: (C, D), from `class_statistics`.
        root: (D, D), from `class_statistics`.
    """
    white = torch.linalg.solve_triangular(root, torch.cat([queries, centre]).T, upper=False).T
    return torch.cdist(white[: len(queries)], white[len(queries) :])


PROBES: dict[str, Probe] = {"neighbour_labels": neighbor_votes, "class_centre": center_probe}
"""The probe that each clue needs."""
