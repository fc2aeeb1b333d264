"""Evidence about each row: what training, held-out predictions and detectors recorded, one column per quantity. Imports no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.evidence.heldout import Heldout, mean_heldout, take_rows
from zcurate.evidence.noise_model import NoiseModel, estimate_all_noise, no_noise_model
from zcurate.evidence.planted import Planted


@dataclass(frozen=True)
class LabelView:
    """Rows under one set of labels: the input of a signal."""

    label: np.ndarray
    """(N,) int64 classes or float targets; -1 or NaN = unlabelled."""
    heldout: Heldout
    """(N, C) float32 probabilities, or (N, 2) location and log scale, from models that never trained on the row."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), named as in `DOCS`."""
    curves: dict[str, np.ndarray]
    """Per-epoch curves (E, N) float32, as in `Round`."""
    noise_model: NoiseModel
    """Label noise of the whole data set."""
    all_rows: LabelView | None = None
    """View of the whole data set; None when this view is that already."""
    n_earlier: int | None = None
    """Leading rows by which the others are measured, those of an earlier scan; None where all rows are of one scan."""

    def column(self, name: str) -> np.ndarray:
        """Return a column (N,), all NaN when it was not measured."""
        return self.columns.get(name, np.full(len(self.label), np.nan))

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: the row has a label."""
        return ~np.isnan(self.label) if self.label.dtype.kind == "f" else self.label >= 0

    @property
    def population(self) -> LabelView:
        """View of the whole data set, over which statistics of a class or of all rows are taken."""
        return self if self.all_rows is None else self.all_rows


@dataclass(frozen=True)
class Round:
    """Record of one training round: each row under its training label."""

    training_label: np.ndarray
    """(N,) int64 classes or float32 standardised targets that the members trained on; -1 or NaN = unlabelled."""
    planted: Planted
    """Planted label errors of the round."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), named as in `DOCS`."""
    heldout: Heldout
    """(N, C) float32 probabilities, or (N, 2) location and log scale, from members that never trained on the row."""
    curves: dict[str, np.ndarray]
    """Per-epoch means over the members that train on the row, each (E, N) float32, NaN where the row was not trained on: `error`, `margin`, `z`,
    `sieve`; and `second` (E2, N), the margin while members continue training on the rows held out before."""
    best_progress: float
    """Fraction of the run, in (0, 1], at which held-out predictions were best."""
    hard_row: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """(M,) int64 source rows of the synthetic hard examples, which keep the rows' labels."""
    hard_heldout: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """(M, C) float32 probabilities of the hard examples, from the member that never trained on the source row."""
    n_excluded: int = 0
    """Rows excluded from training because earlier rounds judged their labels wrong."""
    planted_dynamics: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None = None
    """Columns (P,) and curves (E, P) of the planted rows under their planted labels; None while `columns` and `curves` still hold them."""

    def dynamics_of_planted(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return columns (P,) and curves (E, P) of the planted rows under their planted labels."""
        if self.planted_dynamics:
            return self.planted_dynamics
        row = self.planted.row
        return {name: column[row] for name, column in self.columns.items()}, {name: curve[:, row] for name, curve in self.curves.items()}

    @property
    def error(self) -> np.ndarray:
        """(E, N) float32 mean error at each epoch."""
        return self.curves["error"]


@dataclass(frozen=True)
class Evidence:
    """All rounds, and the columns merged over them."""

    rounds: tuple[Round, ...]
    """The R rounds."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), merged over the rounds that trained on the row's given label."""
    curves: dict[str, np.ndarray]
    """Per-epoch curves (E, N) float32 as in `Round`, from the first round that trained on the row's given label."""
    heldout: Heldout
    """(N, C) float32 held-out probabilities, averaged over members or blended with other models, or (N, 2) location and log scale."""
    y: np.ndarray
    """(N,) given labels as encoded; -1 or NaN = unlabelled."""
    as_found: np.ndarray | None = None
    """(N,) labels before people corrected them, which show the kind of noise; None where they are `y`."""
    n_earlier: int | None = None
    """As in `LabelView`."""

    @property
    def is_trained(self) -> bool:
        """Whether there was a model to train: otherwise no error was planted, and the held-out predictions are the user's."""
        return len(self.rounds[0].error) > 0

    def with_columns(self, columns: dict[str, np.ndarray]) -> Evidence:
        """Return the evidence with a detector's columns, (N,) each, added."""
        return dataclasses.replace(self, columns={**self.columns, **columns})


DOCS = {
    "n_seen": ("number of times a member trained on the row", "count"),
    "n_masked": ("number of those times that Z-Error masked the row", "count"),
    "z_score": ("mean signed z-score of the row's error", "sigma"),
    "z_max": ("largest z-score", "sigma"),
    "z_last": ("mean z-score in the last epoch", "sigma"),
    "loss_mean": ("mean loss over the epochs", "nats"),
    "confidence_mean": ("mean probability of the given label over the epochs", "probability"),
    "confidence_std": ("standard deviation of that probability over the epochs", "probability"),
    "margin_mean": ("mean margin of the given label over the best other label", "logits"),
    "spread_best": ("regression: mean absolute error in predicted scales, over the epochs while held-out predictions still improved", "scales"),
    "learned_epoch": ("first epoch from which the given label was predicted in two consecutive epochs; E when never", "epoch"),
    "n_forgotten": ("number of changes from a right to a wrong prediction", "count"),
    "forgotten_epoch": ("first epoch of the second split from which the label was not predicted any more; the number of its epochs + 1 when never", "epoch"),
    "n_annotations": ("number of annotators that labelled the row", "count"),
    "agreement": ("share of their labels that agree with the one scanned", "share"),
    "p_consensus": ("probability of that label by votes and models", "probability"),
    "wants_label": ("one more label that disagrees would change the most probable class", "0 or 1"),
    "neighbour_own": ("share of the nearest rows in feature space that carry the row's label", "share"),
    "neighbour_other": ("largest share of them that carry one other label", "share"),
    "centre_own": ("Mahalanobis distance to the center of the row's class in feature space", "deviations"),
    "centre_other": ("Mahalanobis distance to the nearest center of another class", "deviations"),
    "distance": ("distance of the input from the center of the data, column by column", "robust deviations"),
    "isolation": ("distance to the nearest rows relative to that of other rows", "log ratio"),
    "copies_other": ("share of the row's exact or near copies that carry another label; NaN without copies", "share"),
    "neighbour_gap": ("regression: target minus the median target of the nearest rows", "spread of the neighbors' targets"),
}
"""Meaning and unit of each column."""

INPUT_COLUMNS = ("distance", "isolation")
"""Columns that do not depend on the label."""
COUNT_COLUMNS = ("n_seen", "n_masked", "n_forgotten")


def merge(rounds: tuple[Round, ...], y: np.ndarray) -> Evidence:
    """Merge the rounds: sum counts, average the rest over the rounds that trained on the row's given label.

    The arrays of a single round are used as they are, without a copy.

    Args:
        rounds: R rounds over the same N rows.
        y: (N,) given labels as encoded.
    """
    given = np.ones((len(rounds), len(y)), bool)
    for number, one in enumerate(rounds):
        given[number, one.planted.row] = False
    given[0, ~given.any(0)] = True
    columns = {name: merge_column(rounds, given, name) for name in rounds[-1].columns}
    return Evidence(rounds, columns, first_curves(rounds, given), mean_heldout([one.heldout for one in rounds], y), y)


def merge_column(rounds: tuple[Round, ...], given: np.ndarray, name: str) -> np.ndarray:
    """Merge one column over the rounds that trained on the row's given label.

    Args:
        rounds: R rounds over the same N rows.
        given: (R, N) bool, the round trained on the row's given label.
        name: the column; a round that lacks it is skipped.

    Returns:
        (N,) of the rounds' dtype: sum of counts, maximum of `z_max`, mean of `z_score` weighted by `n_seen`, plain mean of the rest.
    """
    if len(rounds) == 1:
        return rounds[0].columns[name]
    sources = [(one.columns[name], used, one.columns["n_seen"]) for one, used in zip(rounds, given, strict=True) if name in one.columns]
    out = np.empty(given.shape[1], np.result_type(*(values for values, _, _ in sources)))
    for part in chunk_slices(len(out)):
        total, total_weight = np.zeros(part.stop - part.start), np.zeros(part.stop - part.start)
        largest = np.full(len(total), np.nan)
        for values, used, n_seen in sources:
            value = values[part].astype(np.float64)
            counts = used[part] & ~np.isnan(value)
            if name == "z_max":
                largest = np.fmax(largest, np.where(counts, value, np.nan))
                continue
            weight = n_seen[part] * counts if name == "z_score" else counts.astype(np.float64)
            total += np.where(weight > 0, value * weight, 0.0)
            total_weight += weight
        with np.errstate(invalid="ignore", divide="ignore"):
            out[part] = largest if name == "z_max" else total if name in COUNT_COLUMNS else total / total_weight
    return out


def first_curves(rounds: tuple[Round, ...], given: np.ndarray) -> dict[str, np.ndarray]:
    """Take each row's curves from the first round that trained on its given label; shorter rounds are padded with NaN.

    Args:
        rounds: R rounds over the same N rows.
        given: (R, N) bool, the round trained on the row's given label.
    """
    if len(rounds) == 1:
        return rounds[0].curves
    out = {name: curve.copy() for name, curve in rounds[0].curves.items()}
    first = given.argmax(0)
    for number, one in enumerate(rounds[1:], 1):
        rows = np.flatnonzero(first == number)
        for name, curve in one.curves.items():
            n = min(len(curve), len(out[name]))
            out[name][:n, rows] = curve[:n, rows]
            out[name][n:, rows] = np.nan
    return out


def given_view(evidence: Evidence) -> LabelView:
    """View all rows under their given labels, without a noise model."""
    return LabelView(evidence.y, evidence.heldout, evidence.columns, evidence.curves, no_noise_model(), n_earlier=evidence.n_earlier)


def label_views(evidence: Evidence) -> tuple[LabelView, list[LabelView]]:
    """View all rows under their given labels, and each round's planted rows under their planted labels."""
    classes = evidence.y.dtype.kind == "i"
    noise_model = estimate_all_noise(evidence.heldout, evidence.y, evidence.as_found) if classes else no_noise_model()
    real = dataclasses.replace(given_view(evidence), noise_model=noise_model)
    planted = []
    for one in evidence.rounds:
        row = one.planted.row
        columns, curves = one.dynamics_of_planted()
        columns = {**columns, **{name: evidence.columns[name][row] for name in INPUT_COLUMNS if name in evidence.columns}}
        planted.append(LabelView(one.training_label[row], take_rows(evidence.heldout, row), columns, curves, noise_model, real))
    return real, planted


def hard_view(evidence: Evidence, real: LabelView) -> LabelView | None:
    """View the last round's hard examples under their right labels; what only training shows is NaN.

    Args:
        evidence: all rounds.
        real: view of the N rows.

    Returns:
        The view, or None when there are no hard examples.
    """
    last = evidence.rounds[-1]
    n = len(last.hard_row)
    if not n:
        return None
    columns = {name: np.full(n, np.nan) for name in real.columns}
    curves = {name: np.full((len(curve), n), np.nan, np.float32) for name, curve in real.curves.items()}
    return LabelView(evidence.y[last.hard_row], last.hard_heldout, columns, curves, real.noise_model, real)


def mean_over_epochs(view: LabelView, name: str) -> np.ndarray:
    """Average a curve over the epochs in which the row was trained on: (N,) float64, NaN where never."""
    return mean_of_known(view.curves[name])


def mean_of_known(curve: np.ndarray) -> np.ndarray:
    """Average over the first axis, ignoring NaN: (N,) float64, NaN where all values are NaN.

    Args:
        curve: (E, N).
    """
    n_known = (~np.isnan(curve)).sum(0)
    return np.where(n_known > 0, np.nansum(curve, 0, dtype=np.float64) / np.maximum(n_known, 1), np.nan)


def losses(view: LabelView) -> np.ndarray:
    """Compute the cross-entropy of the label at each epoch [nats]: (E, N) float64, NaN where not trained on."""
    return np.logaddexp(0, view.curves["error"].astype(np.float64))


def label_probabilities(view: LabelView) -> np.ndarray:
    """Compute the probability of the label at each epoch: (E, N) float64, NaN where not trained on."""
    return np.exp(-losses(view))


def logistic(x: np.ndarray) -> np.ndarray:
    """Map real numbers to signal strengths in [0, 1], float32."""
    return (1 / (1 + np.exp(-np.clip(x, -80, 80)))).astype(np.float32)


def describe_by_heldout(evidence: Evidence, rows: np.ndarray) -> Evidence:
    """Describe rows that never trained under their given label by their held-out prediction.

    Without this, their columns and curves would describe a wrong label.

    Args:
        evidence: N rows of one round. Its arrays are overwritten in place; the previous values move to `Round.planted_dynamics`.
        rows: (P,) int64.
    """
    if not len(rows):
        return evidence
    (before,) = evidence.rounds
    before = dataclasses.replace(before, planted_dynamics=before.dynamics_of_planted())
    label = evidence.y[rows]
    regression = label.dtype.kind == "f"
    error, margin, loss = heldout_errors(label, evidence.heldout[rows])
    last = evidence.curves["error"][-1]
    known = ~np.isnan(last)
    z = (error - last[known].mean()) / max(float(last[known].std()), 1e-9)
    right = margin > (-1.0 if regression else 0.0)
    columns = {
        "n_seen": np.ones(len(rows)), "n_masked": np.abs(z) > 2 if regression else z > 2, "z_score": z, "z_max": z, "z_last": z,
        "loss_mean": loss, "confidence_mean": np.exp(-loss), "confidence_std": np.zeros(len(rows)), "margin_mean": margin, "spread_best": -margin,
        "learned_epoch": np.where(right, 0, len(evidence.curves["error"])), "n_forgotten": np.zeros(len(rows)),
    }  # fmt: skip
    for name, values in columns.items():
        evidence.columns[name][rows] = values
    for name, values in (("error", error), ("margin", margin), ("z", z)):
        evidence.curves[name][:, rows] = values
    return dataclasses.replace(evidence, rounds=(before,))


def heldout_errors(label: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute error, margin and loss, (P,) each, of labels under held-out predictions.

    Args:
        label: (P,) int64 classes or float targets.
        prediction: (P, C) probabilities, or (P, 2) location and log scale.
    """
    if label.dtype.kind == "f":
        error = label - prediction[:, 0]
        return error, -np.abs(error) * np.exp(-np.clip(prediction[:, 1], -4.0, 3.0)), np.abs(error)
    p = np.clip(prediction, 1e-6, 1 - 1e-6)
    row = np.arange(len(label))
    own = p[row, label]
    error, others = np.log1p(-own) - np.log(own), p.copy()
    others[row, label] = 0
    return error, np.log(own) - np.log(others.max(1)), -np.log(own)
