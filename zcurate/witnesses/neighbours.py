"""What lies nearest to each row: in the space of the columns, and in the space that the members learn.

Sees numbers in robust deviations (log beyond one), categories as equal or not, vectors and coarse pictures; in the learned space what the head of a
member sees that never trained on the row. Wrong when: many columns do not matter; then the nearest rows are not alike.
Exact against up to `MOST_KEYS` rows, against a random sample of so many beyond, one chunked product after another.
Sources: SimiFeat (arXiv:2110.06283); tied covariance Mahalanobis distance (METHODS 4.8).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.encode import Encoded
from zcurate.witnesses.novelty import picture_features, softened

columns = ("isolation", "copies_other", "neighbour_gap")
NEAREST = 20
MOST_KEYS = 8192
"""Rows that each row is compared with at most in the space of the columns."""
MOST_LEARNED = 8192
"""The same in the learned space, where rows of a class lie close together."""
CHUNK = 1024
NEAR = 0.01
"""Distance [robust deviations] below which two rows count as copies."""
WIDEST = 256
"""Width of the space; more columns are drawn together by a fixed random projection."""


def observe(encoded: Encoded) -> dict[str, np.ndarray]:
    """`isolation`, `copies_other` and, for regression, `neighbour_gap`, (N,) float64 each; NaN where there is nothing to measure."""
    n = encoded.n_rows
    nothing = np.full(n, np.nan)
    space = raw_space(encoded)
    if space is None or n < 3:
        return {"isolation": nothing, "copies_other": copies(encoded, None, None), "neighbour_gap": nothing}
    keys = sample(n, space.device, MOST_KEYS)
    far, nearest = nearest_rows(space, space[keys], keys, min(NEAREST, max(1, n // 50)), torch.arange(n, device=space.device))
    mean = far.mean(1).double().clamp_min(1e-9).log()
    found = {"isolation": (mean - mean.median()).cpu().numpy(), "copies_other": copies(encoded, far, nearest), "neighbour_gap": nothing}
    if encoded.regression:
        found["neighbour_gap"] = gap(encoded.y.double(), nearest)
    return found


def gap(y: Tensor, nearest: Tensor) -> np.ndarray:
    """(N,) float64: target minus the median target of the nearest rows, over their mean absolute deviation.

    Args:
        y: (N,) targets, NaN = unlabelled.
        nearest: (N, k) int64.
    """
    targets = y[nearest]
    middle = targets.nanmedian(1, keepdim=True).values
    spread = (targets - middle).abs().nanmean(1).clamp_min(float(np.nanstd(y.cpu().numpy())) * 0.05 + 1e-12)
    return ((y - middle[:, 0]) / spread).cpu().numpy()


def raw_space(encoded: Encoded) -> Tensor | None:
    """(N, D) float32 in which alike rows lie together; None where there is only text.

    One unit of a number is one robust deviation, logarithmic beyond; two different categories are one unit apart.
    """
    parts = [softened(x) for x in (encoded.x, encoded.dense, None if encoded.images is None else picture_features(encoded.images)) if x is not None]
    if encoded.codes is not None:
        generator = torch.Generator(device="cpu").manual_seed(7)
        width = min(8, WIDEST)
        table = torch.randn(encoded.n_codes, width, generator=generator).to(encoded.codes.device)
        table = F.normalize(table, dim=1) / 2**0.5
        parts.append(table[encoded.codes].flatten(1))
    if not parts:
        return None
    space = torch.cat(parts, 1)
    if space.shape[1] > WIDEST:
        generator = torch.Generator(device="cpu").manual_seed(11)
        space = space @ (torch.randn(space.shape[1], WIDEST, generator=generator) / WIDEST**0.5).to(space.device)
    return space


def sample(n: int, device: torch.device, most: int) -> Tensor:
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
        keys: (M,) int64 numbers of the keys' rows.
        k: neighbours; fewer where there are not so many.
        itself: (Q,) int64 numbers of the rows asked about, to be left out where they are keys too; None where they are none.

    Returns:
        (Q, k) float32 and (Q, k) int64, nearest first.
    """
    k = max(1, min(k, len(keys) - (itself is not None)))
    length = key_space.square().sum(1)
    far, near = [], []
    for rows in torch.arange(len(asked), device=asked.device).split(CHUNK):
        mine = asked[rows]
        squared = torch.addmm(length[None], mine, key_space.T, alpha=-2)
        if itself is not None:
            squared.masked_fill_(itself[rows, None] == keys[None], float("inf"))
        top = squared.topk(k, 1, largest=False)
        far.append((top.values + mine.square().sum(1, keepdim=True)).clamp_min(0).sqrt())
        near.append(keys[top.indices])
    return torch.cat(far), torch.cat(near)


def fingerprint(encoded: Encoded) -> Tensor:
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
    if encoded.term is not None and encoded.term_start is not None and encoded.n_terms:
        weight = torch.randint(-(2**62), 2**62, (encoded.n_terms,), generator=generator).to(total.device)
        row = torch.repeat_interleave(torch.arange(encoded.n_rows, device=total.device), encoded.term_start.diff()[: encoded.n_rows])
        total.index_add_(0, row, weight[encoded.term[: len(row)]])
    return total


def copies(encoded: Encoded, far: Tensor | None, nearest: Tensor | None) -> np.ndarray:
    """(N,) float64 share of each labelled row's copies with another label; NaN without copies and for regression.

    Copies are rows with the same inputs; for a row without any, rows nearer than `NEAR`.

    Args:
        encoded: N rows.
        far: (N, k) float32 distances of the nearest rows, or None.
        nearest: (N, k) int64 rows, or None.
    """
    out = np.full(encoded.n_rows, np.nan)
    if encoded.regression:
        return out
    y = encoded.y.cpu().numpy()
    if far is not None and nearest is not None:
        near = (far < NEAR).cpu().numpy() & (y[nearest.cpu().numpy()] >= 0)
        other = near & (y[nearest.cpu().numpy()] != y[:, None])
        some = near.any(1) & (y >= 0)
        out[some] = other.sum(1)[some] / near.sum(1)[some]
    _, group = np.unique(fingerprint(encoded).cpu().numpy(), return_inverse=True)
    size = np.bincount(group[y >= 0], minlength=group.max() + 1)
    _, same, count = np.unique(group * (y.max() + 2) + y, return_inverse=True, return_counts=True)
    several = (y >= 0) & (size[group] > 1)
    out[several] = (size[group] - count[same])[several] / (size[group] - 1)[several]
    return out


def observer(clues: tuple[str, ...]) -> Callable[[Tensor, Tensor, Tensor, Tensor, int], dict[str, Tensor]] | None:
    """What looks at a member's learned space for these clues; None where none of them asks for it."""
    looks = [LOOKS[name] for name in clues if name in LOOKS]
    if not looks:
        return None

    def look(features: Tensor, asked: Tensor, taught: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
        taught = taught[sample(len(taught), taught.device, MOST_LEARNED)]
        found: dict[str, Tensor] = {}
        for one in looks:
            found |= one(features - features[taught].mean(0), asked, taught, labels, n_classes)
        return found

    return look


def votes(features: Tensor, asked: Tensor, taught: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
    """Labels of the nearest rows, by cosine, in one member's learned space.

    Args:
        features: (N, D) float32, what the member's head sees.
        asked: (Q,) int64 rows that it never trained on.
        taught: (M,) int64 labelled rows that it trained on.
        labels: (N,) int64 shown classes.
        n_classes: C.

    Returns:
        `neighbour_own` and `neighbour_other`, each (Q,) float32.
    """
    direction = F.normalize(features, dim=1)
    _, nearest = nearest_rows(direction[asked], direction[taught], taught, NEAREST)
    share = torch.zeros(len(asked), n_classes, device=features.device)
    share.scatter_add_(1, labels[nearest], torch.full(nearest.shape, 1 / max(1, nearest.shape[1]), device=features.device))
    own = labels[asked][:, None]
    return {"neighbour_own": share.gather(1, own)[:, 0], "neighbour_other": share.scatter(1, own, -1.0).amax(1)}


def centres(features: Tensor, asked: Tensor, taught: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
    """`centre_own` and `centre_other`, each (Q,) float32, of one member's learned space; arguments as for `votes`."""
    far, own = centre_distances(features, asked, taught, labels, n_classes), labels[asked][:, None]
    return {"centre_own": far.gather(1, own)[:, 0], "centre_other": far.scatter(1, own, float("inf")).amin(1)}


def centre_distances(features: Tensor, asked: Tensor, taught: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """(Q, C) float32 Mahalanobis distances to the class centres under one shared covariance; arguments as for `votes`."""
    mine, given = features[taught], labels[taught]
    size = torch.bincount(given, minlength=n_classes).clamp_min(1).to(mine.dtype)
    centre = torch.zeros(n_classes, mine.shape[1], device=mine.device).index_add_(0, given, mine) / size[:, None]
    inside = mine - centre[given]
    shared = inside.T @ inside / len(taught)
    ridge = 0.01 * shared.diagonal().mean() + 1e-6
    root = torch.linalg.cholesky(shared + ridge * torch.eye(len(shared), device=mine.device))
    white = torch.linalg.solve_triangular(root, torch.cat([features[asked], centre]).T, upper=False).T
    return torch.cdist(white[: len(asked)], white[len(asked) :])


LOOKS = {"neighbour_labels": votes, "class_centre": centres}
"""Which look each clue asks for."""
