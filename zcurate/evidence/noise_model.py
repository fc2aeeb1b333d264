"""Class-conditional label noise, estimated from held-out predictions. Imports no torch.

Among the rows whose predicted class is most confident, a label that disagrees with the prediction is taken for a wrong label. These are the
anchor points of arXiv:1411.7718 and arXiv:1609.03683, except that labels are counted there instead of reading the noise off the output
probabilities, which the robust loss makes overconfident. Disagreement beyond that may be row-dependent noise or merely hard rows, and no
data can tell the two apart; `explained_share` says how much of it is known to be noise, and the judge falls back on margins for the rest.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.arrays.sort import argsort, argsort_descending
from zcurate.evidence.brent import minimize_scalar
from zcurate.evidence.heldout import Heldout, TopKProbabilities, chunks_of, class_value, given_probability, most_probable, take_rows, tempered_columns
from zcurate.evidence.noise_mixture import NoiseMixture, fit_mixture

CONFIDENT_SHARES = (0.1, 0.2, 0.3)
"""Shares of each predicted class, most confident first, within which disagreement is counted."""

FLATNESS_SHARES = (0.1, 0.5)
"""`flatness` divides the disagreement within the first share by that within the second: near 1 when noise does not depend on the row."""
MIN_CONFIDENT_ROWS = 15
"""Minimum number of rows in each share."""
CLASS_PRIOR_ROWS = 20.0
"""Weight, in rows, of the prior for each class: the disagreement pooled over all classes."""
UNEXPLAINED_WEIGHT = 0.1
"""Fraction of the disagreement beyond that of the confident rows that is counted as noise when probabilities are computed."""
FULL_EXPLAINED_SHARE = 0.9
"""Share of the disagreement from which confident rows are considered to explain all of it."""
RELIABILITY_FROM, RELIABILITY_WIDTH = 0.9, 0.5
"""Flatness plus explained share at which reliability starts to rise from 0, and the range over which it rises to 1."""
TRUSTED_RELIABILITY = 0.5
"""Reliability from which the transition matrix enters the mixture as it is; chosen on the tuning half."""
BLURRED_INVERSE_TEMPERATURE = 1.0
"""Fitted inverse temperature from which probabilities look blurred by wrong labels everywhere, not only near class boundaries, so that more
of the noise counts as known; chosen among 1 to 1.7 on the tuning half, simulated sets and half of the fresh ones (tests/bench/README.md)."""
CONFUSION_INVERSE_TEMPERATURE = 6.0
"""Inverse temperature used with the confusion matrix, where confident rows explain nothing; undoes the blur that wrong labels cause. Chosen
among 1 to 8 on the tuning half, simulated sets and half of the fresh ones."""
BACKED = (0.2, 0.42)
"""Share of the wrong labels under the transition matrix that the surroundings support, below which all of that posterior is scaled by the support, and from
which none is. Chosen on simulated sets of up to 20 overlapping classes; every set of the bench is above."""
MIN_DISAGREEING_ROWS, EM_STEPS = 8, 100
"""Confident rows with another label below which nothing is said of those labels, and steps of EM."""
OVERLAP = (0.65, 0.75)
"""`row_specific` less its standard error from which the confident rows' disagreement begins to count as overlap, and from which it all does."""
MAX_OVERLAP = 0.9
"""At most this share of the rates is left out: some noise may be anywhere."""
DETERMINED_ENTROPY = 0.45
"""Entropy of the other labels within a predicted class, as a share of the largest, below which the class nearly determines them. Chosen on simulated sets."""
MIN_INVERSE_TEMPERATURE, MAX_INVERSE_TEMPERATURE = 0.5, 8
"""Bounds of the fitted inverse temperature."""
TEMPERATURE_FIT_ROWS = 20_000
"""Approximate number of rows on which the inverse temperature is fitted."""


@dataclass(frozen=True)
class NoiseModel:
    """Label noise of N rows with C classes. In each matrix rows are true classes and columns given labels; each row sums to 1."""

    confusion: np.ndarray
    """(C, C) float64 confusion of given labels with predicted classes over all rows, hard rows and wrong labels together: the confident joint
    without thresholds, normalized by row."""
    transition: np.ndarray
    """(C, C) float64 label-noise transition matrix, estimated per class from confident rows; gives the number of wrong labels."""
    inverse_temperature: float
    """Power that turns held-out probabilities of the given label into probabilities of the true one, by maximum likelihood."""
    explained_share: float
    """Share of the disagreement that confident rows explain, in [0, 1]; 1 for noise that does not depend on the row."""
    reliability: float
    """How far `transition` can be trusted for single rows, in [0, 1]: high when disagreement is flat among the most confident rows and explained by
    them."""
    row_specific: float = 0.0
    """Share of the confident rows' disagreement whose other label depends on the row, in [0, 1]: as where classes overlap, and not as the transition matrix
    has it; 0 for two classes, where there is one other label."""
    overlap: float = 0.0
    """How far that was taken for overlap and left out of `transition`, in [0, 1]."""
    mixture: NoiseMixture | None = None
    """Which kind of noise there is; None where only the transition matrix is needed."""


def no_noise_model() -> NoiseModel:
    """Return an empty noise model, for regression."""
    none = np.zeros((0, 0))
    return NoiseModel(none, none, 1.0, 0.0, 0.0)


def estimate_all_noise(heldout: Heldout, y: np.ndarray, as_found: np.ndarray | None = None) -> NoiseModel:
    """Estimate the noise model and the mixture of kinds of noise.

    Where the transition matrix cannot be trusted, the mixture gets one with the same rate for every pair of classes.

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
        as_found: (N,) int64 classes before people corrected them, to which the mixture is fitted: what they found shows of which kind the rest is;
            None where they are `y`.
    """
    found = estimate_noise(heldout, y)
    if as_found is not None:
        return dataclasses.replace(found, mixture=estimate_all_noise(heldout, as_found).mixture)
    n_classes, class_size = len(found.transition), np.bincount(y[y >= 0], minlength=len(found.transition))
    rate = float(class_size @ off_diagonal(found.transition).sum(1)) / max(1, class_size.sum())
    even = with_diagonal(np.full((n_classes, n_classes), rate / max(1, n_classes - 1)))
    trust = min(1.0, found.reliability / TRUSTED_RELIABILITY)
    return dataclasses.replace(found, mixture=fit_mixture(heldout, y, trust * found.transition + (1 - trust) * even))


def estimate_noise(heldout: Heldout, y: np.ndarray) -> NoiseModel:
    """Estimate the noise model from held-out predictions.

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
    """
    labelled = y >= 0
    p, y = (heldout, y) if labelled.all() else (take_rows(heldout, labelled), y[labelled])
    n_classes = p.shape[1]
    predicted = most_probable(p)
    by_confidence = argsort_descending(given_probability(p, predicted))
    by_class = np.split(by_confidence[argsort(predicted[by_confidence])], np.cumsum(np.bincount(predicted, minlength=n_classes))[:-1])
    confusion = calibrated_confusion(predicted, y, n_classes)
    confused = off_diagonal(confusion)
    disagree = [y[rows] != code for code, rows in enumerate(by_class)]
    rates = np.stack(transition_rates(by_class, disagree, y, n_classes))
    class_share = np.bincount(y, minlength=n_classes) / max(1, len(y))
    explained = float(class_share @ rates.sum(1)) / max(float((predicted != y).mean()) if len(y) else 0.0, 1e-9)
    reliability = (flatness(disagree) + explained - RELIABILITY_FROM) / RELIABILITY_WIDTH
    specific, doubt = row_specific_share(p, y, predicted, by_class)
    overlap = min(1.0, max(0.0, (specific - doubt - OVERLAP[0]) / (OVERLAP[1] - OVERLAP[0])))
    unexplained = UNEXPLAINED_WEIGHT * np.maximum(0, confused - rates) + 0.005 / max(1, n_classes - 1)
    transition = with_diagonal(rates * (1 - overlap * min(specific, MAX_OVERLAP)) + unexplained * (1 - overlap))
    power = fit_inverse_temperature(p, y, transition)
    return NoiseModel(confusion, transition, power, min(1.0, explained / FULL_EXPLAINED_SHARE), min(1.0, max(0.0, reliability)), specific, overlap)


def row_specific_share(p: Heldout, y: np.ndarray, predicted: np.ndarray, by_class: list[np.ndarray]) -> tuple[float, float]:
    """Estimate in how much of the disagreement among the most confident rows the other label depends on the row.

    Noise that does not depend on the row gives all rows of a predicted class the same other labels. A mixture of the other labels' probabilities by the model,
    their shares within the predicted class, and even shares is fitted to the other labels by EM.

    Args:
        p: (N, C) probabilities.
        y: (N,) int64 given classes.
        predicted: (N,) predicted classes.
        by_class: rows of each predicted class, most confident first.

    Returns:
        In [0, 1], and its standard error; 0 for two classes, for few rows, and where the predicted class nearly determines the other label, so that both say
        the same.
    """
    n_classes = p.shape[1]
    tops = [rows[: max(round(CONFIDENT_SHARES[-1] * len(rows)), min(len(rows), MIN_CONFIDENT_ROWS))] for rows in by_class]
    rows = np.concatenate([np.zeros(0, np.int64), *(top[y[top] != code] for code, top in enumerate(tops))])
    if n_classes < 3 or len(rows) < MIN_DISAGREEING_ROWS:
        return 0.0, 0.0
    rows = rows[:: max(1, len(rows) // TEMPERATURE_FIT_ROWS)]
    given, own = y[rows], predicted[rows].astype(np.int64)
    pair = own * n_classes + given
    count, total = np.bincount(pair, minlength=n_classes**2), np.bincount(own, minlength=n_classes)
    some = take_rows(p, rows)
    by_model = given_probability(some, given) / np.maximum(1 - given_probability(some, own), 1e-6)
    # Without the row itself, and with one row spread over the other labels.
    by_predicted = (count[pair] - 1 + 1 / (n_classes - 1)) / total[own]
    likelihood = np.stack([by_model, by_predicted, np.full(len(rows), 1 / (n_classes - 1))]).astype(np.float64)
    if mixture_entropy(likelihood[1:])[0] < DETERMINED_ENTROPY * np.log(n_classes - 1):
        return 0.0, 0.0
    _, weight = mixture_entropy(likelihood)
    others = weight[1:] @ likelihood[1:] / max(weight[1:].sum(), 1e-6)
    score = (likelihood[0] - others) / np.maximum(weight @ likelihood, 1e-12)
    return float(weight[0]), float(1 / np.sqrt(np.square(score).sum() + 1e-12))


def mixture_entropy(likelihood: np.ndarray) -> tuple[float, np.ndarray]:
    """Fit the weights of a mixture of known likelihoods by EM.

    Args:
        likelihood: (K, n) > 0.

    Returns:
        Mean negative log-likelihood [nats], and the (K,) weights.
    """
    weight = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(EM_STEPS):
        share = weight[:, None] * likelihood
        weight = (share / np.maximum(share.sum(0), 1e-12)).mean(1)
    return float(-np.log(np.maximum(weight @ likelihood, 1e-12)).mean()), weight


def calibrated_confusion(predicted: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Compute the shares of the given labels within each predicted class, calibrated so that each label keeps its total count.

    Half a row is added to the diagonal so that a class that is never predicted still explains its own label.

    Args:
        predicted: (N,) predicted classes.
        y: (N,) given classes.
        n_classes: C.

    Returns:
        (C, C) float64, each row summing to 1.

    Source: the calibrated joint of arXiv:1911.00068 section 3.1, without confidence thresholds.
    """
    joint = 0.5 * np.eye(n_classes) + np.bincount(predicted.astype(np.int64) * n_classes + y, minlength=n_classes**2).reshape(n_classes, n_classes)
    joint *= np.bincount(y, minlength=n_classes) / joint.sum(0)
    return joint / np.maximum(joint.sum(1, keepdims=True), 1e-12)


def pooled_disagreement(disagree: list[np.ndarray], share: float) -> float:
    """Compute the disagreement rate among the most confident rows of all classes together.

    Args:
        disagree: for each predicted class, most confident row first: whether the given label differs.
        share: of each class.
    """
    tops = [wrong[: max(1, round(share * len(wrong)))] for wrong in disagree if len(wrong)]
    return float(np.concatenate(tops).mean()) if tops else 0.0


def flatness(disagree: list[np.ndarray]) -> float:
    """Compute the disagreement among the most confident tenth relative to the more confident half.

    The first is shrunk towards the second with the weight of `CLASS_PRIOR_ROWS` rows.

    Args:
        disagree: as for `pooled_disagreement`.
    """
    near, far = (pooled_disagreement(disagree, share) for share in FLATNESS_SHARES)
    n = FLATNESS_SHARES[0] * sum(map(len, disagree))
    return (near * n + far * CLASS_PRIOR_ROWS) / (n + CLASS_PRIOR_ROWS) / (far + 1e-3)


def transition_rates(by_class: list[np.ndarray], disagree: list[np.ndarray], y: np.ndarray, n_classes: int) -> list[np.ndarray]:
    """Estimate the rates of the other labels in each class from its most confident rows.

    The total rate of a class is the smallest over `CONFIDENT_SHARES`, each shrunk towards the rate pooled over all classes. It is distributed
    over the other labels as they occur among the confident rows, with a prior from all rows of the class and a flat one.

    Args:
        by_class: rows of each predicted class, most confident first.
        disagree: for each of them, whether the given label differs.
        y: (N,) given classes.
        n_classes: C.

    Returns:
        For each class (C,) float64, 0 for the class itself.
    """
    pooled = [pooled_disagreement(disagree, share) for share in CONFIDENT_SHARES]
    out = []
    for code, rows in enumerate(by_class):
        wrong = disagree[code]
        if not len(rows):
            out.append(np.zeros(n_classes))
            continue
        sizes = [max(round(share * len(rows)), min(len(rows), MIN_CONFIDENT_ROWS)) for share in CONFIDENT_SHARES]
        rate = min((wrong[:n].sum() + CLASS_PRIOR_ROWS * prior) / (n + CLASS_PRIOR_ROWS) for n, prior in zip(sizes, pooled, strict=True))
        near = np.bincount(y[rows[: sizes[-1]]], minlength=n_classes).astype(float)
        every = np.bincount(y[rows], minlength=n_classes).astype(float)
        near[code] = every[code] = 0
        weight = near + 0.5 * every / max(1.0, every.sum()) + 0.5 / max(1, n_classes - 1)
        weight[code] = 0
        out.append(rate * weight / max(weight.sum(), 1e-12))
    return out


def p_wrong(heldout: Heldout, y: np.ndarray, transition: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Compute the posterior probability that the true class is not the given one: 1 - p_y^s T[y, y] / sum_j p_j^s T[j, y].

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
        transition: (C, C) T.
        power: inverse temperature s.

    Returns:
        (N,) float64, NaN where unlabelled.
    """
    out, label = np.full(len(y), np.nan), np.maximum(y, 0)
    if isinstance(heldout, TopKProbabilities):
        for part, some in chunks_of(heldout):
            own, (p, p_other), code = label[part], some.tempered(power), some.code()
            out[part] = 1 - class_value(code, p, p_other, own) * transition[own, own] / p_label(code, p, p_other, own, transition)
    else:
        for part in chunk_slices(len(y), heldout.shape[1]):
            share = tempered_columns(heldout[part], power) * transition[:, label[part]]
            out[part] = 1 - share[label[part], np.arange(share.shape[1])] / share.sum(0)
    out[y < 0] = np.nan
    return out


def p_label(code: np.ndarray, p: np.ndarray, p_other: np.ndarray, own: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Compute the marginal probability of each row's label under top-k probabilities: sum over the classes j of p_j T[j, label].

    Args:
        code: (n, TOP_K) stored classes.
        p: (n, TOP_K) their probabilities.
        p_other: (n,) probability of every other class.
        own: (n,) int64 labels.
        transition: (C, C) T.

    Returns:
        (n,) float64.
    """
    share = transition[code, own[:, None]]
    return (p * share).sum(1) + p_other * np.maximum(0.0, transition.sum(0)[own] - share.sum(1))


def p_incorrect_under(heldout: Heldout, y: np.ndarray, model: NoiseModel, support: np.ndarray | float = 1.0) -> tuple[np.ndarray, float, float]:
    """Compute the probability that each given label is wrong, and bounds on the share of wrong labels.

    Mixes two posteriors. One uses the transition matrix and the fitted inverse temperature; it counts as far as confident rows explain the
    disagreement. The other uses the confusion matrix and a constant inverse temperature, and counts for the rest. Where the surroundings back hardly any
    of what the first says, as where many classes overlap (grades, ages) and even the most confident rows are ambiguous, it is scaled by them too.

    Args:
        heldout: (N, C) probabilities.
        y: (N,) int64 given classes, -1 = unlabelled.
        model: the noise model.
        support: (N,) in [0, 1], how far the rows around support another class; scales the posterior under the confusion matrix, and see `BACKED`.

    Returns:
        (N,) float64, NaN where unlabelled; and bounds of the share of wrong labels. The lower one is the smaller mean of either posterior, less the part of
        the disagreement that overlapping classes may explain as well; the upper one the larger mean, or all of the disagreement, as far as it is not known.
    """
    known = known_share(model)
    from_transition = p_wrong(heldout, y, model.transition, model.inverse_temperature)
    from_confusion = p_wrong(heldout, y, model.confusion, CONFUSION_INVERSE_TEMPERATURE) * support
    if not (y >= 0).any():
        return from_transition, 0.0, 0.0
    backed = float(np.nanmean(from_transition * support)) / max(float(np.nanmean(from_transition)), 1e-12)
    trust = max(model.overlap, min(1.0, max(0.0, (backed - BACKED[0]) / (BACKED[1] - BACKED[0]))))
    from_transition *= trust + (1 - trust) * support
    low, high = sorted((float(np.nanmean(from_transition)), float(np.nanmean(from_confusion))))
    low *= known * (1 - model.row_specific)
    disagreement = float((most_probable(heldout)[y >= 0] != y[y >= 0]).mean())
    return known * from_transition + (1 - known) * from_confusion, low, max(high, known * high + (1 - known) * disagreement)


def known_share(model: NoiseModel) -> float:
    """How much of the noise counts as known: as far as confident rows explain the disagreement, or probabilities look blurred by wrong labels everywhere."""
    return min(1.0, max(0.0, (model.explained_share + model.reliability + model.inverse_temperature - BLURRED_INVERSE_TEMPERATURE) / 2))


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """Return a copy of the matrix with a zero diagonal."""
    out = matrix.copy()
    np.fill_diagonal(out, 0)
    return out


def with_diagonal(rates: np.ndarray) -> np.ndarray:
    """Complete noise rates to a transition matrix: at most .9 noise per class, the rest on the diagonal.

    Args:
        rates: (C, C) float64 >= 0; the diagonal is ignored.
    """
    out = off_diagonal(rates)
    out *= np.minimum(1, 0.9 / np.maximum(out.sum(1, keepdims=True), 1e-12))
    np.fill_diagonal(out, 1 - out.sum(1))
    return out


def fit_inverse_temperature(p: Heldout, y: np.ndarray, transition: np.ndarray) -> float:
    """Find the power s for which p^s, passed through the label noise, predicts the given labels best.

    Args:
        p: (N, C) held-out probabilities.
        y: (N,) int64 given classes.
        transition: (C, C) label noise.

    Returns:
        The power, between `MIN_INVERSE_TEMPERATURE` and `MAX_INVERSE_TEMPERATURE`.
    """
    step = max(1, len(y) // TEMPERATURE_FIT_ROWS)
    some, y = take_rows(p, slice(None, None, step)), y[::step]
    if not len(y):
        return 1.0
    code, share = (some.code(), np.zeros(0)) if isinstance(some, TopKProbabilities) else (None, transition[:, y])

    def loss(log_power: float) -> float:
        power = float(np.exp(log_power))
        if code is None:
            likelihood = (tempered_columns(some, power) * share).sum(0)
        else:
            p_stored, p_other = some.tempered(power)
            likelihood = p_label(code, p_stored, p_other, y, transition)
        return float(-np.log(np.maximum(likelihood, 1e-3)).mean())

    return float(np.exp(minimize_scalar(loss, float(np.log(MIN_INVERSE_TEMPERATURE)), float(np.log(MAX_INVERSE_TEMPERATURE)))))
