"""`Evidence`: everything seen of every row, N rows, a column per thing. No torch.

Leaves: `Evidence`, `Round`. Enters: what `ledger.freeze` and the witnesses hand over.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from zcurate.arrays.chunk import chunk_slices
from zcurate.evidence.heldout import Heldout, mean_heldout, take_rows
from zcurate.evidence.noise_model import NoiseModel, estimate_noise, no_noise_model
from zcurate.evidence.planted import Planted


@dataclass(frozen=True)
class LabelView:
    """Rows under some labels: what a signal looks at."""

    label: np.ndarray
    """(N,) int64 classes or float targets; -1 or NaN = unlabelled."""
    heldout: Heldout
    """(N, C) float32 probabilities, or (N, 2) location and log scale, from models that never trained on the row."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), named as in `DOCS`."""
    curves: dict[str, np.ndarray]
    """Each (E, N) float32, as in `Round`."""
    noise_model: NoiseModel
    """How the labels of all rows are confused."""
    population: LabelView | None = None
    """All rows, where these are only some of them."""

    def column(self, name: str) -> np.ndarray:
        """(N,) the column; NaN where nobody looked."""
        return self.columns.get(name, np.full(len(self.label), np.nan))

    @property
    def labelled(self) -> np.ndarray:
        """(N,) bool: the row has a label."""
        return ~np.isnan(self.label) if self.label.dtype.kind == "f" else self.label >= 0

    @property
    def whole(self) -> LabelView:
        """All rows: what a class's or the data's statistics are taken over."""
        return self if self.population is None else self.population


@dataclass(frozen=True)
class Round:
    """What one round of members saw: each row under the label that it was shown."""

    shown: np.ndarray
    """(N,) int64 classes or float32 standardised targets that the members were shown; -1 or NaN = unlabelled."""
    planted: Planted
    """Rows shown wrong on purpose."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), named as in `DOCS`."""
    heldout: Heldout
    """(N, C) float32 probabilities, or (N, 2) location and log scale, from members that never trained on the row."""
    curves: dict[str, np.ndarray]
    """Over the epochs, mean of the members that train on the row, each (E, N) float32, NaN where not trained on: `error`, `margin`, `z`,
    `sieve`; `second` (E2, N), the margin while members go on with the rows that they never saw."""
    best: float
    """How far into the run held-out predictions were best, in (0, 1]."""
    hard_row: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """(M,) int64 rows that hard cases were made of, whose labels they keep."""
    hard_heldout: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """(M, C) float32 probabilities of the hard cases, from the member that never trained on the row."""
    left_out: int = 0
    """Rows that no member trained on because the rounds before held them for wrong."""
    as_shown: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None = None
    """Columns (P,) and curves (E, P) of the planted rows under the labels they were shown, where the round's own arrays tell otherwise of them by now."""

    def of_planted(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Columns (P,) and curves (E, P) of the planted rows under the labels they were shown."""
        row = self.planted.row
        return self.as_shown or ({name: column[row] for name, column in self.columns.items()}, {name: curve[:, row] for name, curve in self.curves.items()})

    @property
    def error(self) -> np.ndarray:
        """(E, N) float32 mean error at each epoch."""
        return self.curves["error"]


@dataclass(frozen=True)
class Evidence:
    """All rounds, and the columns they agree on."""

    rounds: tuple[Round, ...]
    """R rounds."""
    columns: dict[str, np.ndarray]
    """Per-row columns (N,), taken over the rounds that showed the row its own label."""
    curves: dict[str, np.ndarray]
    """Each (E, N) float32 as in `Round`, of the first round that showed the row its own label."""
    heldout: Heldout
    """(N, C) float32 held-out probabilities, the members' mean or blended with other kinds of models', or (N, 2) location and log scale."""
    y: np.ndarray
    """(N,) given labels as encoded; -1 or NaN = unlabelled."""

    def with_columns(self, columns: dict[str, np.ndarray]) -> Evidence:
        """The same with a witness's columns, (N,) each."""
        return dataclasses.replace(self, columns={**self.columns, **columns})


DOCS = {
    "n_seen": ("visits of members that train on the row", "visits"),
    "n_masked": ("visits in which Z-Error left the row out", "visits"),
    "z_score": ("mean signed z of the row's error over its visits", "sigma"),
    "z_max": ("largest z of all visits", "sigma"),
    "z_last": ("mean z in the last epoch", "sigma"),
    "loss_mean": ("mean loss over the epochs", "nats"),
    "confidence_mean": ("mean probability of the given label over the epochs", "probability"),
    "confidence_std": ("its standard deviation over the epochs", "probability"),
    "margin_mean": ("mean margin of the given label over its best rival", "logits"),
    "spread_best": ("regression: mean absolute error in predicted scales, while held-out predictions were still getting better", "scales"),
    "learned_epoch": ("first epoch from which the given label was predicted twice running; E when never", "epoch"),
    "n_forgotten": ("turns from right to wrong", "count"),
    "neighbour_own": ("share of the nearest rows in the learned space that carry the row's label", "share"),
    "neighbour_other": ("largest share of them that carry one other label", "share"),
    "centre_own": ("Mahalanobis distance to the centre of the row's label in the learned space", "deviations"),
    "centre_other": ("the same to the nearest other centre", "deviations"),
    "distance": ("how far the input lies from the bulk, column by column", "robust deviations"),
    "isolation": ("how far its nearest rows are, against how far other rows' are", "log ratio"),
    "copies_other": ("share of the row's exact or near copies that carry another label; NaN without copies", "share"),
    "neighbour_gap": ("regression: target minus the median target of the nearest rows", "their spreads"),
}
"""Each column's meaning and unit."""

INPUT_COLUMNS = ("distance", "isolation")
"""Columns that do not depend on the label."""
COUNT_COLUMNS = ("n_seen", "n_masked", "n_forgotten")


def merge(rounds: tuple[Round, ...], y: np.ndarray) -> Evidence:
    """Join the rounds: counts are summed, the rest averaged over the rounds that showed the row its own label; one round's arrays are taken as they are.

    Args:
        rounds: R rounds over the same N rows.
        y: (N,) given labels as encoded.
    """
    own = np.ones((len(rounds), len(y)), bool)
    for at, one in enumerate(rounds):
        own[at, one.planted.row] = False
    own[0, ~own.any(0)] = True
    columns = {name: merge_column(rounds, own, name) for name in rounds[-1].columns}
    return Evidence(rounds, columns, first_curves(rounds, own), mean_heldout([one.heldout for one in rounds], y), y)


def merge_column(rounds: tuple[Round, ...], own: np.ndarray, name: str) -> np.ndarray:
    """(N,) one column, of the rounds' type, over the rounds that showed the row its own label.

    Args:
        rounds: R rounds over the same N rows.
        own: (R, N) bool, the round showed the row its own label.
        name: the column; a round that lacks it does not count.
    """
    if len(rounds) == 1:
        return rounds[0].columns[name]
    there = [(one.columns[name], mine, one.columns["n_seen"]) for one, mine in zip(rounds, own, strict=True) if name in one.columns]
    out = np.empty(own.shape[1], np.result_type(*(values for values, _, _ in there)))
    for part in chunk_slices(len(out)):
        total, weight = np.zeros(part.stop - part.start), np.zeros(part.stop - part.start)
        largest = np.full(len(total), np.nan)
        for values, mine, n_seen in there:
            value = values[part].astype(np.float64)
            counts = mine[part] & ~np.isnan(value)
            if name == "z_max":
                largest = np.fmax(largest, np.where(counts, value, np.nan))
                continue
            share = n_seen[part] * counts if name == "z_score" else counts.astype(np.float64)
            total += np.where(share > 0, value * share, 0.0)
            weight += share
        with np.errstate(invalid="ignore", divide="ignore"):
            out[part] = largest if name == "z_max" else total if name in COUNT_COLUMNS else total / weight
    return out


def first_curves(rounds: tuple[Round, ...], own: np.ndarray) -> dict[str, np.ndarray]:
    """Each row's curves from the first round that showed it its own label; shorter rounds end in NaN.

    Args:
        rounds: R rounds over the same N rows.
        own: (R, N) bool.
    """
    if len(rounds) == 1:
        return rounds[0].curves
    out = {name: curve.copy() for name, curve in rounds[0].curves.items()}
    first = own.argmax(0)
    for at, one in enumerate(rounds[1:], 1):
        rows = np.flatnonzero(first == at)
        for name, curve in one.curves.items():
            n = min(len(curve), len(out[name]))
            out[name][:n, rows] = curve[:n, rows]
            out[name][n:, rows] = np.nan
    return out


def given_view(evidence: Evidence) -> LabelView:
    """The rows under their given labels, without how they are confused."""
    return LabelView(evidence.y, evidence.heldout, evidence.columns, evidence.curves, no_noise_model())


def label_views(evidence: Evidence) -> tuple[LabelView, list[LabelView]]:
    """The rows under their given labels, and each round's planted rows under the labels they were shown."""
    classes = evidence.y.dtype.kind == "i"
    noise_model = estimate_noise(evidence.heldout, evidence.y) if classes else no_noise_model()
    real = dataclasses.replace(given_view(evidence), noise_model=noise_model)
    planted = []
    for one in evidence.rounds:
        at = one.planted.row
        columns, curves = one.of_planted()
        columns = {**columns, **{name: evidence.columns[name][at] for name in INPUT_COLUMNS if name in evidence.columns}}
        planted.append(LabelView(one.shown[at], take_rows(evidence.heldout, at), columns, curves, noise_model, real))
    return real, planted


def hard_view(evidence: Evidence, real: LabelView) -> LabelView | None:
    """The hard cases of the last round under their right labels, what only training shows left out; None where there are none.

    Args:
        evidence: all rounds.
        real: N rows.
    """
    last = evidence.rounds[-1]
    n = len(last.hard_row)
    if not n:
        return None
    columns = {name: np.full(n, np.nan) for name in real.columns}
    curves = {name: np.full((len(curve), n), np.nan, np.float32) for name, curve in real.curves.items()}
    return LabelView(evidence.y[last.hard_row], last.hard_heldout, columns, curves, real.noise_model, real)


def mean_over_epochs(view: LabelView, name: str) -> np.ndarray:
    """(N,) float64 mean of a curve over the epochs in which the row was trained on; NaN where never."""
    return known_mean(view.curves[name])


def known_mean(curve: np.ndarray) -> np.ndarray:
    """(N,) float64 mean over the first axis without NaN; NaN where there is nothing else.

    Args:
        curve: (E, N).
    """
    known = (~np.isnan(curve)).sum(0)
    return np.where(known > 0, np.nansum(curve, 0, dtype=np.float64) / np.maximum(known, 1), np.nan)


def losses(view: LabelView) -> np.ndarray:
    """(E, N) float64 cross-entropy of the given label at each epoch [nats]; NaN where not trained on."""
    return np.logaddexp(0, view.curves["error"].astype(np.float64))


def own_probabilities(view: LabelView) -> np.ndarray:
    """(E, N) float64 probability of the given label at each epoch; NaN where not trained on."""
    return np.exp(-losses(view))


def squash(x: np.ndarray) -> np.ndarray:
    """float32 logistic of x, so that any real number becomes a strength in [0, 1]."""
    return (1 / (1 + np.exp(-np.clip(x, -80, 80)))).astype(np.float32)


def describe_by_heldout(evidence: Evidence, rows: np.ndarray) -> Evidence:
    """Rows that no member was shown under their own label, described by their one held-out answer instead of by visits under a wrong one.

    Args:
        evidence: N rows of one round. Its arrays are filled in place; what they said of the rows before goes with the round.
        rows: (P,) int64.
    """
    (before,) = evidence.rounds
    before = dataclasses.replace(before, as_shown=before.of_planted())
    label, answer = evidence.y[rows], evidence.heldout[rows]
    every = np.arange(len(rows))
    if label.dtype.kind == "f":
        error = label - answer[:, 0]
        margin = -np.abs(error) * np.exp(-np.clip(answer[:, 1], -4.0, 3.0))
        loss = np.abs(error)
    else:
        p = np.clip(answer, 1e-6, 1 - 1e-6)
        own = p[every, label]
        error, others = np.log1p(-own) - np.log(own), p.copy()
        others[every, label] = 0
        margin, loss = np.log(own) - np.log(others.max(1)), -np.log(own)
    last = evidence.curves["error"][-1]
    known = ~np.isnan(last)
    z = (error - last[known].mean()) / max(float(last[known].std()), 1e-9)
    right = margin > (-1.0 if label.dtype.kind == "f" else 0.0)
    found = {
        "n_seen": np.ones(len(rows)), "n_masked": np.abs(z) > 2 if label.dtype.kind == "f" else z > 2, "z_score": z, "z_max": z, "z_last": z,
        "loss_mean": loss, "confidence_mean": np.exp(-loss), "confidence_std": np.zeros(len(rows)), "margin_mean": margin, "spread_best": -margin,
        "learned_epoch": np.where(right, 0, len(evidence.curves["error"])), "n_forgotten": np.zeros(len(rows)),
    }  # fmt: skip
    for name, values in found.items():
        evidence.columns[name][rows] = values
    for name, values in (("error", error), ("margin", margin), ("z", z)):
        evidence.curves[name][:, rows] = values
    return dataclasses.replace(evidence, rounds=(before,))
