"""What lies nearest to each row: in the space of the columns, and in the space that the members learn.

Sees numbers in robust deviations (log beyond one), categories as equal or not, vectors and coarse pictures; in the learned space what the head of a
member sees that never trained on the row. Wrong when: many columns do not matter; then the nearest rows are not alike.
One chunked product after another; nothing of size rows x rows, and beyond a block of rows nothing of size rows x neighbours.
Sources: SimiFeat (arXiv:2110.06283); tied covariance Mahalanobis distance (METHODS 4.8).
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
CHUNK, GROUP, BLOCK = 256, 32, 16_384
"""Rows of one product, distances of which only the least is looked at first, and rows whose neighbours are held at a time."""
NEAR_COPY_SHARE = 0.01
"""Distance [robust deviations] below which two rows count as copies."""
MAX_WIDTH = 256
"""Width of the space; more columns are drawn together by a fixed random projection."""


def detect(encoded: EncodedRows) -> dict[str, np.ndarray]:
    """`isolation`, `copies_other` and, for regression, `neighbour_gap`, (N,) float64 each; NaN where there is nothing to measure."""
    n = encoded.n_rows
    space = raw_space(encoded)
    found = {name: np.full(n, np.nan) for name in columns}
    if space is None or n < 3:
        return found | {"copies_other": exact_copies(encoded, found["copies_other"])}
    keys = sample_keys(n, space.device, max_keys(n))
    key_space, k = space[keys], min(N_NEAREST, max(1, n // 50))
    mean = torch.empty(n, dtype=torch.float64, device=space.device)
    for rows in torch.arange(n, device=space.device).split(BLOCK):
        far, nearest = nearest_rows(space[rows], key_space, keys, k, rows)
        mean[rows] = far.mean(1).double()
        at = rows.cpu().numpy()
        if encoded.regression:
            found["neighbour_gap"][at] = target_gap(encoded.y.double(), rows, nearest)
        else:
            found["copies_other"][at] = near_copies(encoded.y, rows, far, nearest)
    log = mean.clamp_min(1e-9).log()
    found["isolation"] = (log - log.median()).cpu().numpy()
    return found | {"copies_other": exact_copies(encoded, found["copies_other"])}


def target_gap(y: Tensor, rows: Tensor, nearest: Tensor) -> np.ndarray:
    """(Q,) float64: target minus the median target of the nearest rows, over their mean absolute deviation.

    Args:
        y: (N,) targets, NaN = unlabelled.
        rows: (Q,) int64 rows asked about.
        nearest: (Q, k) int64.
    """
    targets = y[nearest]
    middle = targets.nanmedian(1, keepdim=True).values
    known = y[~y.isnan()]
    spread = (targets - middle).abs().nanmean(1).clamp_min(float(known.std(correction=0)) * 0.05 + 1e-12)
    return ((y[rows] - middle[:, 0]) / spread).cpu().numpy()


def near_copies(y: Tensor, rows: Tensor, far: Tensor, nearest: Tensor) -> np.ndarray:
    """(Q,) float64 share of the labelled rows nearer than `NEAR` that carry another label; NaN where there are none.

    Args:
        y: (N,) int64 classes, -1 = unlabelled.
        rows: (Q,) int64 rows asked about.
        far: (Q, k) float32.
        nearest: (Q, k) int64.
    """
    near = (far < NEAR_COPY_SHARE) & (y[nearest] >= 0) & (y[rows] >= 0)[:, None]
    other = near & (y[nearest] != y[rows, None])
    return torch.where(near.any(1), other.sum(1).double() / near.sum(1), torch.nan).cpu().numpy()


def raw_space(encoded: EncodedRows) -> Tensor | None:
    """(N, D) float32 in which alike rows lie together; None where there is only text.

    One unit of a number is one robust deviation, logarithmic beyond; two different categories are one unit apart.
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


def sample_keys(n: int, device: torch.device, most: int) -> Tensor:
    """(m,) int64 rows to compare with: all, or `most` drawn with a fixed seed, in order."""
    if n <= most:
        return torch.arange(n, device=device)
    chosen = torch.randperm(n, generator=torch.Generator(device="cpu").manual_seed(3))[:most]
    return chosen.sort().values.to(device)


def nearest_rows(asked: Tensor, key_space: Tensor, keys: Tensor, k: int, itself: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Euclidean distances and numbers of the k nearest keys of each row asked about.

    Args:
        asked: (Q, D) float32.
        key_space: (M, D) float32.
        keys: (M,) int64 numbers of the keys' rows, rising.
        k: neighbours; fewer where there are not so many.
        itself: (Q,) int64 numbers of the rows asked about, to be left out where they are keys too; None where they are none.

    Returns:
        (Q, k) float32 and (Q, k) int64, nearest first.
    """
    k = max(1, min(k, len(keys) - (itself is not None)))
    spare = -len(keys) % GROUP
    # Rows that stand in for keys at the end are infinitely far.
    space, length = F.pad(key_space, (0, 0, 0, spare)).T, F.pad(key_space.square().sum(1), (0, spare), value=float("inf"))
    at = None if itself is None else torch.searchsorted(keys, itself).clamp_max(len(keys) - 1)
    far, near = [], []
    for rows in torch.arange(len(asked), device=asked.device).split(CHUNK):
        mine = asked[rows]
        squared = torch.addmm(length, mine, space, alpha=-2)
        if at is not None and itself is not None:
            own = rows[keys[at[rows]] == itself[rows]]
            squared[own - rows[0], at[own]] = float("inf")
        least, place = smallest(squared, k)
        far.append((least + mine.square().sum(1, keepdim=True)).clamp_min(0).sqrt())
        near.append(keys[place])
    return torch.cat(far), torch.cat(near)


def smallest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(Q, k) the k smallest values of each row, smallest first, and (Q, k) int64 their places.

    They lie in the k groups of neighbouring values whose least are smallest, so only those are sorted.

    Args:
        x: (Q, M), M a multiple of `GROUP`.
        k: at most M.
    """
    groups = x.view(len(x), -1, GROUP)
    if k >= groups.shape[1]:
        least = x.topk(k, 1, largest=False)
        return least.values, least.indices
    best = groups.amin(2).topk(k, 1, largest=False, sorted=False).indices
    least = groups.gather(1, best[:, :, None].expand(-1, -1, GROUP)).flatten(1).topk(k, 1, largest=False)
    return least.values, best.gather(1, least.indices // GROUP) * GROUP + least.indices % GROUP


def hash_inputs(encoded: EncodedRows) -> Tensor:
    """(N,) int64 hash of each row's inputs; equal inputs give equal hashes."""
    total = torch.zeros(encoded.n_rows, dtype=torch.int64, device=encoded.device)
    generator = torch.Generator(device="cpu").manual_seed(5)
    for part in (encoded.x, encoded.dense, encoded.codes, encoded.images):
        if part is None:
            continue
        width = part[0].numel()
        weight = torch.randint(-(2**62), 2**62, (width,), generator=generator).to(total.device)
        for rows in torch.arange(len(part), device=total.device).split(CHUNK):
            values = part[rows].reshape(len(rows), width)
            whole = values.view(torch.int32) if values.dtype == torch.float32 else values
            total[rows] += ((whole.long() + 1) * weight).sum(1)
            encoded.release()
    if encoded.term is not None and encoded.term_start is not None and encoded.n_terms:
        weight = torch.randint(-(2**62), 2**62, (encoded.n_terms,), generator=generator).to(total.device)
        row = torch.repeat_interleave(torch.arange(encoded.n_rows, device=total.device), encoded.term_start.diff()[: encoded.n_rows])
        total.index_add_(0, row, weight[encoded.term[: len(row)]])
    return total


def exact_copies(encoded: EncodedRows, near: np.ndarray) -> np.ndarray:
    """(N,) float64 share of each labelled row's copies with another label: rows with the same inputs, else `near`; NaN for regression.

    Args:
        encoded: N rows.
        near: (N,) float64 the same of near copies.
    """
    out = near.copy()
    if encoded.regression:
        return out
    y = encoded.y.cpu().numpy()
    _, group = np.unique(hash_inputs(encoded).cpu().numpy(), return_inverse=True)
    size = np.bincount(group[y >= 0], minlength=group.max() + 1)
    _, same, count = np.unique(group * (y.max() + 2) + y, return_inverse=True, return_counts=True)
    several = (y >= 0) & (size[group] > 1)
    out[several] = (size[group] - count[same])[several] / (size[group] - 1)[several]
    return out


def max_keys(n_rows: int) -> int:
    """Rows that each of `n_rows` is compared with at most: fewer the more there are, so that the product stays within `MAX_NEIGHBOR_PAIRS`."""
    return max(MIN_NEIGHBOR_KEYS, min(MAX_NEIGHBOR_KEYS, MAX_NEIGHBOR_PAIRS // max(1, n_rows)))


@dataclass(frozen=True)
class LearnedSpace:
    """Looks at a member's learned space for some clues."""

    looks: tuple[Probe, ...]

    def keys(self, n_taught: int, n_rows: int, device: torch.device) -> Tensor:
        """(M,) int64 which of a member's own rows to compare with.

        Args:
            n_taught: rows that it trained on.
            n_rows: N, that will be asked about by all members together.
            device: where they are.
        """
        return sample_keys(n_taught, device, max_keys(n_rows))

    def __call__(self, asked: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
        """The columns of all looks; arguments as for `votes`."""
        middle = train_features.mean(0)
        found: dict[str, Tensor] = {}
        for look in self.looks:
            found |= look(asked - middle, own, train_features - middle, labels, n_classes)
        return found


def representation_observer(clues: tuple[str, ...]) -> LearnedSpace | None:
    """What looks at the learned space for these clues; None where none of them asks for it."""
    looks = tuple(PROBES[name] for name in clues if name in PROBES)
    return LearnedSpace(looks) if looks else None


def neighbor_votes(asked: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
    """Labels of the nearest rows, by cosine, in one member's learned space.

    Args:
        asked: (Q, D) float32, what the member's head sees of rows that it never trained on.
        own: (Q,) int64 their shown classes.
        train_features: (M, D) float32, the same of rows that it trained on.
        labels: (M,) int64 their shown classes.
        n_classes: C.

    Returns:
        `neighbour_own` and `neighbour_other`, each (Q,) float32.
    """
    _, nearest = nearest_rows(
        F.normalize(asked, dim=1), F.normalize(train_features, dim=1), torch.arange(len(train_features), device=train_features.device), N_NEAREST
    )
    share = torch.zeros(len(asked), n_classes, device=asked.device)
    share.scatter_add_(1, labels[nearest], torch.full(nearest.shape, 1 / max(1, nearest.shape[1]), device=asked.device))
    mine = own[:, None]
    return {"neighbour_own": share.gather(1, mine)[:, 0], "neighbour_other": share.scatter(1, mine, -1.0).amax(1)}


def centres(asked: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
    """`centre_own` and `centre_other`, each (Q,) float32, of one member's learned space; arguments as for `votes`."""
    far, mine = centre_distances(asked, train_features, labels, n_classes), own[:, None]
    return {"centre_own": far.gather(1, mine)[:, 0], "centre_other": far.scatter(1, mine, float("inf")).amin(1)}


def centre_distances(asked: Tensor, train_features: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """(Q, C) float32 Mahalanobis distances to the class centres under one shared covariance; arguments as for `votes`."""
    size = torch.bincount(labels, minlength=n_classes).clamp_min(1).to(train_features.dtype)
    centre = torch.zeros(n_classes, train_features.shape[1], device=train_features.device).index_add_(0, labels, train_features) / size[:, None]
    inside = train_features - centre[labels]
    shared = inside.T @ inside / len(train_features)
    ridge = 0.01 * shared.diagonal().mean() + 1e-6
    root = torch.linalg.cholesky(shared + ridge * torch.eye(len(shared), device=train_features.device))
    white = torch.linalg.solve_triangular(root, torch.cat([asked, centre]).T, upper=False).T
    return torch.cdist(white[: len(asked)], white[len(asked) :])


PROBES: dict[str, Probe] = {"neighbour_labels": neighbor_votes, "class_centre": centres}
"""Which look each clue asks for."""
