"""How the labels of this data are confused, read off held-out predictions: which share of the disagreement is noise, and which is not.

Leaves: `Confusion`. Enters: held-out probabilities and given classes. No torch. Where members are surest, a label that disagrees with
them is a wrong label (the anchor points of arXiv:1411.7718 and arXiv:1609.03683, counted instead of read off the outputs, which the
robust loss makes too sure). What disagreement there is beyond that may be noise that depends on the row or rows that are merely hard;
no data can tell these two apart, so `explained` says how much is known, and the judge falls back on margins for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sort import argsort, argsort_descending
from zcurate.evidence.heldout import N_KEPT, Heldout, TopKProbabilities, chunks_of, class_value, given_probability, most_probable, take_rows

CONFIDENT_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Shares of each predicted class, most confident first, in which disagreement is counted."""
POOLED_SHARES = CONFIDENT_SHARES[2:]
"""Those that a class's whole noise is read off; the two smallest are too few rows for that."""
FLAT_SHARES = (0.1, 0.5)
"""Disagreement in the first share over that in the second: near 1 where noise does not depend on the row."""
PAIRED_ROWS = 5.0
"""Rows' worth of pooled disagreement, even over the pairs, that each pair's share is drawn towards."""
MIN_CONFIDENT_ROWS = 15
"""Rows that each share holds at least."""
POOLED_ROWS = 20.0
"""Rows' worth of the other classes' disagreement that each class's own is drawn towards."""
FLOOR = 0.03
"""Noise, shaped like the counted confusion, that each class is granted when rows are ranked, so that no pair is impossible."""
UNSEEN = 0.1
"""Share of the disagreement beyond the confident rows' that is taken for noise when probabilities are made."""
EXPLAINED = 0.9
"""Share of the disagreement that confident rows must show to be the whole of it."""
TRUST_FROM, TRUST_OVER = 0.9, 0.5
"""Where trust in the posterior begins, on flatness plus share explained, and how far above it is whole."""
BLURRED = 1.0
"""Sharpness from which on held-out probabilities look blurred by wrong labels everywhere and not only near the boundaries, so that more of the noise
is known; chosen among 1 to 1.7 on the tuning half, simulated sets and half of the fresh ones (tests/bench/README.md)."""
POWER = 6.0
"""Sharpening where confident rows explain nothing; undoes the blur that wrong labels leave. Chosen among 1 to 8 on the tuning half,
simulated sets and half of the fresh ones."""
FIT_ROWS = 20_000
"""Rows that the sharpness is fitted on."""


@dataclass(frozen=True)
class NoiseModel:
    """What confuses the labels of N rows with C classes. Rows of a matrix: true class; columns: given label; each row sums to 1."""

    counted: np.ndarray
    """(C, C) float64: how often rows that look like class j are labelled k, hard rows and wrong labels together."""
    ranking: np.ndarray
    """(C, C) float64: what confident rows show of each pair, and a floor; for telling which labels are suspect."""
    noise: np.ndarray
    """(C, C) float64: what confident rows show of each class; for telling how many labels are wrong."""
    sharpness: float
    """Power that turns held-out probabilities of the given label into those of the true one, by likelihood."""
    explained: float
    """In [0, 1]: how much of the disagreement confident rows show; 1 for noise that does not depend on the row."""
    reliability: float
    """In [0, 1]: how far `ranking` is to be trusted with single rows: the disagreement is flat among the surest rows, and is explained."""


def no_noise_model() -> NoiseModel:
    """For regression, which has no classes."""
    none = np.zeros((0, 0))
    return NoiseModel(none, none, none, 1.0, 0.0, 0.0)


def estimate_noise(heldout: Heldout, y: np.ndarray) -> NoiseModel:
    """Read the confusion off held-out predictions.

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
    """
    labelled = y >= 0
    p, y = (heldout, y) if labelled.all() else (take_rows(heldout, labelled), y[labelled])
    n_classes = p.shape[1]
    predicted = most_probable(p)
    surest = argsort_descending(given_probability(p, predicted))
    by_class = np.split(surest[argsort(predicted[surest])], np.cumsum(np.bincount(predicted, minlength=n_classes))[:-1])
    counted = confident_joint(predicted, y, n_classes)
    confused = off_diagonal(counted)
    shape = FLOOR * confused / max(1e-9, float(confused.sum(1).mean()))
    disagree = [y[rows] != code for code, rows in enumerate(by_class)]
    pairs = [pooled_disagreement(disagree, share) / max(1, n_classes - 1) for share in CONFIDENT_SHARES]
    ranking = with_diagonal(np.stack([smallest_shares(y[rows], code, n_classes, pairs) for code, rows in enumerate(by_class)]) + shape)
    sure = np.stack(transition_matrix(by_class, disagree, y, n_classes))
    class_share = np.bincount(y, minlength=n_classes) / max(1, len(y))
    explained = float(class_share @ sure.sum(1)) / max(float((predicted != y).mean()) if len(y) else 0.0, 1e-9)
    reliability = (flatness(disagree) + explained - TRUST_FROM) / TRUST_OVER
    noise = with_diagonal(sure + UNSEEN * np.maximum(0, confused - sure) + 0.005 / max(1, n_classes - 1))
    return NoiseModel(counted, ranking, noise, inverse_temperature(p, y, noise), min(1.0, explained / EXPLAINED), min(1.0, max(0.0, reliability)))


def confident_joint(predicted: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """(C, C) float64 shares of the labels among rows of each predicted class, each label keeping its own count (arXiv:1911.00068 section 3.1).

    Half a row is added to the diagonal so that a class that is never predicted still explains its own label.
    """
    joint = 0.5 * np.eye(n_classes) + np.bincount(predicted.astype(np.int64) * n_classes + y, minlength=n_classes**2).reshape(n_classes, n_classes)
    joint *= np.bincount(y, minlength=n_classes) / joint.sum(0)
    return joint / np.maximum(joint.sum(1, keepdims=True), 1e-12)


def pooled_disagreement(disagree: list[np.ndarray], share: float) -> float:
    """Disagreement among the surest rows of all classes together.

    Args:
        disagree: for each predicted class, most confident first, whether the label is another.
        share: of each class.
    """
    tops = [wrong[: max(1, round(share * len(wrong)))] for wrong in disagree if len(wrong)]
    return float(np.concatenate(tops).mean()) if tops else 0.0


def flatness(disagree: list[np.ndarray]) -> float:
    """Disagreement among the surest tenth over that among the surer half; both drawn together by `POOLED_ROWS` rows."""
    near, far = (pooled_disagreement(disagree, share) for share in FLAT_SHARES)
    n = FLAT_SHARES[0] * sum(map(len, disagree))
    return (near * n + far * POOLED_ROWS) / (n + POOLED_ROWS) / (far + 1e-3)


def smallest_shares(labels: np.ndarray, code: int, n_classes: int, pairs: list[float]) -> np.ndarray:
    """(C,) float64: the smallest share that each other label has among the surest rows of a predicted class.

    Args:
        labels: given labels of the class's rows, most confident first.
        code: the class.
        n_classes: C.
        pairs: for each of `SUREST`, the share that a pair has on average.
    """
    out = np.zeros(n_classes)
    if len(labels):
        sizes = [min(len(labels), max(MIN_CONFIDENT_ROWS, int(share * len(labels)))) for share in CONFIDENT_SHARES]
        counted = [(np.bincount(labels[:n], minlength=n_classes) + PAIRED_ROWS * pair) / (n + PAIRED_ROWS) for n, pair in zip(sizes, pairs, strict=True)]
        out = np.min(counted, 0)
    out[code] = 0.0
    return out


def transition_matrix(by_class: list[np.ndarray], disagree: list[np.ndarray], y: np.ndarray, n_classes: int) -> list[np.ndarray]:
    """For each class (C,) shares of the other labels among its surest rows; the smallest of the shares counted, drawn towards the pooled one.

    Args:
        by_class: rows of each predicted class, most confident first.
        disagree: whether their labels are others.
        y: given classes.
        n_classes: C.
    """
    together = [pooled_disagreement(disagree, share) for share in POOLED_SHARES]
    out = []
    for code, rows in enumerate(by_class):
        wrong = disagree[code]
        if not len(rows):
            out.append(np.zeros(n_classes))
            continue
        sizes = [max(round(share * len(rows)), min(len(rows), MIN_CONFIDENT_ROWS)) for share in POOLED_SHARES]
        total = min((wrong[:n].sum() + POOLED_ROWS * pool) / (n + POOLED_ROWS) for n, pool in zip(sizes, together, strict=True))
        near = np.bincount(y[rows[: sizes[-1]]], minlength=n_classes).astype(float)
        every = np.bincount(y[rows], minlength=n_classes).astype(float)
        near[code] = every[code] = 0
        weight = near + 0.5 * every / max(1.0, every.sum()) + 0.5 / max(1, n_classes - 1)
        weight[code] = 0
        out.append(total * weight / max(weight.sum(), 1e-12))
    return out


def p_wrong(heldout: Heldout, y: np.ndarray, noise: np.ndarray, power: float = 1.0) -> np.ndarray:
    """(N,) float64 probability that another class than the given one is true: 1 - p_y^s T[y, y] / sum_j p_j^s T[j, y]; NaN where unlabelled.

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
        noise: (C, C) T.
        power: s.
    """
    out, label = np.full(len(y), np.nan), np.maximum(y, 0)
    if isinstance(heldout, TopKProbabilities):
        for part, some in chunks_of(heldout):
            own, (p, rest), code = label[part], some.sharpened(power), some.code()
            out[part] = 1 - class_value(code, p, rest, own) * noise[own, own] / p_label(code, p, rest, own, noise)
    else:
        for part in chunk_slices(len(y), heldout.shape[1]):
            share = tempered_columns(heldout[part], power) * noise[:, label[part]]
            out[part] = 1 - share[label[part], np.arange(share.shape[1])] / share.sum(0)
    out[y < 0] = np.nan
    return out


def p_label(code: np.ndarray, p: np.ndarray, rest: np.ndarray, own: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(n,) float64 probability of each row's label: sum over the classes j of p_j T[j, label].

    Args:
        code: (n, KEPT) classes.
        p: (n, KEPT) their probabilities.
        rest: (n,) that of every other class.
        own: (n,) int64 labels.
        noise: (C, C) T.
    """
    share = noise[code, own[:, None]]
    return (p * share).sum(1) + rest * np.maximum(0.0, noise.sum(0)[own] - share.sum(1))


def margins(p: Heldout, label: np.ndarray, power: float | None = None) -> np.ndarray:
    """(N,) p(label) - max p(other), float32, or float64 where probabilities are sharpened; for unlabelled rows best minus second best.

    Args:
        p: (N, C) float32 probabilities.
        label: (N,) int64, -1 = unlabelled.
        power: to sharpen with, or None to take them as they are.
    """
    out = np.empty(len(label), p.dtype if power is None else np.float64)
    if isinstance(p, TopKProbabilities):
        for part, some in chunks_of(p):
            code = some.code()
            value, rest = (some.p(), some.rest()) if power is None else some.sharpened(power)
            at = np.where(label[part] >= 0, label[part], code[:, 0])
            out[part] = class_value(code, value, rest, at) - np.where(code == at[:, None], -1, value).max(1)
        return out
    for part in chunk_slices(len(out), p.shape[1]):
        column = p[part].T.copy() if power is None else tempered_columns(p[part], power)
        at, row = label[part], np.arange(column.shape[1])
        if (at < 0).any():
            at = np.where(at >= 0, at, column.argmax(0))
        own = column[at, row]
        column[at, row] = -1
        out[part] = own - column.max(0)
    return out


def entropies(p: Heldout) -> np.ndarray:
    """(N,) float32 entropy of each row's probabilities [nats].

    Args:
        p: (N, C).
    """
    out = np.empty(len(p), np.float32)
    if isinstance(p, TopKProbabilities):
        for part, some in chunks_of(p):
            rest = some.rest()
            out[part] = surprise(some.p().astype(np.float64)).sum(1) + surprise(rest) * (p.n_classes - N_KEPT)
        return out
    for part in chunk_slices(len(out), p.shape[1]):
        out[part] = surprise(p[part].T.astype(np.float64, order="C")).sum(0)
    return out


def surprise(p: np.ndarray) -> np.ndarray:
    """-p log p [nats]."""
    return -(p * np.log(np.maximum(p, 1e-12)))


def tempered_columns(p: np.ndarray, power: float) -> np.ndarray:
    """(C, N) float64: `sharpened`, a row of the result per class, which numpy sums fastest."""
    q = np.maximum(p.T.astype(np.float64, order="C"), 1e-9)
    if power != 1:
        q **= power
    q /= q.sum(0)
    return q


def p_incorrect_under(heldout: Heldout, y: np.ndarray, found: NoiseModel, support: np.ndarray | float = 1.0) -> tuple[np.ndarray, float, float]:
    """Probability that each given label is wrong, and the share of wrong labels if confident rows told all and if they told nothing.

    As far as confident rows tell of the disagreement, under the noise they show, held-out probabilities sharpened as the given labels'
    likelihood asks for; for the rest under the counted confusion, sharpened by a constant.

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
        found: how the labels are confused.
        support: (N,) in [0, 1], how far the rows around bear out that another class is there; counts where confident rows tell nothing.

    Returns:
        (N,) float64, NaN where unlabelled; and two shares, smaller first.
    """
    known = min(1.0, max(0.0, (found.explained + found.reliability + found.sharpness - BLURRED) / 2))
    told = p_wrong(heldout, y, found.noise, found.sharpness)
    counted = p_wrong(heldout, y, found.counted, POWER) * support
    low, high = sorted((float(np.nanmean(told)), float(np.nanmean(counted))))
    return known * told + (1 - known) * counted, low, high


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """The matrix with zeros on its diagonal."""
    out = matrix.copy()
    np.fill_diagonal(out, 0)
    return out


def with_diagonal(off: np.ndarray) -> np.ndarray:
    """Noise of at most .9 per class, the rest on the diagonal.

    Args:
        off: (C, C) float64 >= 0; its diagonal does not count.
    """
    out = off_diagonal(off)
    out *= np.minimum(1, 0.9 / np.maximum(out.sum(1, keepdims=True), 1e-12))
    np.fill_diagonal(out, 1 - out.sum(1))
    return out


def temper(p: np.ndarray, power: float) -> np.ndarray:
    """(N, C) float64: probabilities to a power, summing to 1 again."""
    return tempered_columns(p, power).T


def inverse_temperature(p: Heldout, y: np.ndarray, noise: np.ndarray) -> float:
    """The power s for which p^s, sent through the noise, predicts the given labels best; between .5 and 8.

    Args:
        p: (N, C) held-out probabilities.
        y: (N,) int64 given classes.
        noise: (C, C).
    """
    step = max(1, len(y) // FIT_ROWS)
    some, y = take_rows(p, slice(None, None, step)), y[::step]
    if not len(y):
        return 1.0
    code, share = (some.code(), np.zeros(0)) if isinstance(some, TopKProbabilities) else (None, noise[:, y])

    def loss(log_power: float) -> float:
        power = float(np.exp(log_power))
        if code is None:
            likelihood = (tempered_columns(some, power) * share).sum(0)
        else:
            kept, rest = some.sharpened(power)
            likelihood = p_label(code, kept, rest, y, noise)
        return float(-np.log(np.maximum(likelihood, 1e-3)).mean())

    return float(np.exp(minimize_scalar(loss, float(np.log(0.5)), float(np.log(8)))))


def minimize_scalar(loss: Callable[[float], float], low: float, high: float, n_steps: int = 25, close: float = 1e-5) -> float:
    """Where a function of one number is lowest between two bounds: Brent's parabolas, golden sections where they fail.

    Written out because the import of SciPy's takes longer than the judge.

    Args:
        loss: the function.
        low: where it may be lowest at least.
        high: and at most.
        n_steps: calls at most.
        close: how near to the lowest place is near enough.

    Source: Brent 1973, chapter 5.
    """
    golden = 0.5 * (3.0 - sqrt(5.0))
    best = second = third = low + golden * (high - low)
    at_best = at_second = at_third = loss(best)
    step = before = 0.0
    for _ in range(n_steps - 1):
        middle = 0.5 * (low + high)
        least = 1.4832396974191326e-08 * abs(best) + close / 3.0
        if abs(best - middle) <= 2 * least - 0.5 * (high - low):
            break
        parabola = False
        if abs(before) > least:
            r, q = (best - second) * (at_best - at_third), (best - third) * (at_best - at_second)
            p, q = (best - third) * q - (best - second) * r, 2.0 * (q - r)
            p, q = (-p if q > 0 else p), abs(q)
            last, before = before, step
            if abs(p) < abs(0.5 * q * last) and q * (low - best) < p < q * (high - best):
                parabola, step = True, p / q
                if best + step - low < 2 * least or high - best - step < 2 * least:
                    step = least if middle >= best else -least
        if not parabola:
            before = low - best if best >= middle else high - best
            step = golden * before
        asked = best + (1 if step >= 0 else -1) * max(abs(step), least)
        at_asked = loss(asked)
        if at_asked <= at_best:
            low, high = (best, high) if asked >= best else (low, best)
            third, at_third, second, at_second, best, at_best = second, at_second, best, at_best, asked, at_asked
            continue
        low, high = (asked, high) if asked < best else (low, asked)
        if at_asked <= at_second or second == best:
            third, at_third, second, at_second = second, at_second, asked, at_asked
        elif at_asked <= at_third or third in (best, second):
            third, at_third = asked, at_asked
    return best
