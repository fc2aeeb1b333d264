"""Every signal: its formula on constructed rows, its range, and NaN where its input is missing."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.evidence.evidence import LabelView
from zcurate.evidence.noise_model import NoiseModel, estimate_all_noise, no_noise_model
from zcurate.plugins import SIGNALS

EPOCHS = 6


def view(margin, heldout=None, label=None, columns=None):
    """Rows with margins (E, N) between two classes, with error = -margin and loss = log(1 + e^-margin)."""
    margin = np.asarray(margin, np.float32)
    n = margin.shape[1]
    label = np.zeros(n, np.int64) if label is None else np.asarray(label)
    heldout = np.full((n, 2), 0.5, np.float32) if heldout is None else np.asarray(heldout, np.float32)
    right = margin > 0
    p = 1 / (1 + np.exp(-margin))
    known = ~np.isnan(margin).any(0)
    known_columns = {
        "n_seen": np.where(known, EPOCHS * 3.0, 0.0),
        "n_masked": np.zeros(n),
        "margin_mean": margin.mean(0),
        "confidence_mean": p.mean(0),
        "confidence_std": p.std(0),
        "learned_epoch": np.where(right.any(0), right.argmax(0), EPOCHS).astype(float),
        "n_forgotten": (right[:-1] & ~right[1:]).sum(0).astype(float),
    }
    curves = {"error": -margin, "margin": margin, "z": -margin, "sieve": -margin / 2, "second": margin[:2]}
    return LabelView(label, heldout, {**known_columns, **(columns or {})}, curves, estimate_all_noise(heldout, label))


def easy_late_never():
    """Margins of an easy row, a row learned late, one never learned, and one never trained on."""
    return np.stack([np.full(EPOCHS, 4.0), np.linspace(-3, 4, EPOCHS), np.full(EPOCHS, -4.0), np.full(EPOCHS, np.nan)], 1)


def populated(n=40, seed=0):
    """The first three of these and many easy rows, enough for class statistics."""
    rng = np.random.default_rng(seed)
    margin = np.concatenate([easy_late_never()[:, :3], rng.normal(4, 0.5, (EPOCHS, n))], 1)
    p = 1 / (1 + np.exp(-margin.mean(0)))
    return view(margin, np.stack([p, 1 - p], 1), columns={"neighbour_own": p, "neighbour_other": 1 - p, "centre_own": 2 - p, "centre_other": 1 + p})


CLASS_SIGNALS = [name for name, signal in SIGNALS.items() if signal.task == "classes"]
RISING = [name for name in CLASS_SIGNALS if name not in ("variability", "aleatoric", "curvature", "forgotten", "duplicate", "mastered_epoch", "learned_epoch", "correctness", "loss_cluster", "discrim_weight")]  # fmt: skip


@pytest.mark.parametrize("name", CLASS_SIGNALS)
def test_a_signal_is_float32_in_the_unit_interval(name):
    score = SIGNALS.load(name)(populated())
    assert score.dtype == np.float32 and score.shape == (43,)
    known = score[~np.isnan(score)]
    assert ((known >= 0) & (known <= 1)).all()
    assert len(known) == 43 or name == "duplicate"


@pytest.mark.parametrize("name", RISING)
def test_a_row_never_learned_scores_above_a_late_one_and_that_above_easy_ones(name):
    score = SIGNALS.load(name)(populated())
    assert score[2] >= score[1] >= np.median(score[3:])
    assert score[2] > np.median(score[3:])


@pytest.mark.parametrize("name", ["learned_epoch", "correctness", "loss_cluster", "mastered_epoch", "discrim_weight"])
def test_stepwise_signals_score_the_row_never_learned_highest(name):
    score = SIGNALS.load(name)(populated())
    assert score[2] == score.max() and score[2] > score[0]


FROM_TRAINING = (
    "training_margin", "training_posterior", "class_z", "class_z_robust", "confidence", "variability", "correctness", "aleatoric", "learned_epoch",
    "mastered_epoch", "curvature", "forgotten", "loss_cluster", "ema_label", "sieve", "discrim_stage", "discrim_weight", "exponentiated", "second_split",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", FROM_TRAINING)
def test_a_row_never_trained_on_is_nan(name):
    score = SIGNALS.load(name)(view(easy_late_never()))
    assert np.isnan(score[3]) and not np.isnan(score[2])


@pytest.mark.parametrize("name", ["neighbour_labels", "class_centre", "duplicate"])
def test_a_signal_without_its_detector_is_nan(name):
    assert np.isnan(SIGNALS.load(name)(view(easy_late_never()[:, :3]))).all()


def score_of(name, *args, **kwargs):
    return SIGNALS.load(name)(view(*args, **kwargs))


def test_formulas_on_constructed_rows():
    flat = np.zeros((EPOCHS, 1))
    assert score_of("aleatoric", flat)[0] == pytest.approx(1.0)
    assert score_of("confidence", flat)[0] == pytest.approx(0.5)
    assert score_of("variability", flat)[0] == 0
    assert score_of("correctness", flat)[0] == 1
    assert score_of("sieve", flat)[0] == pytest.approx(0.5)
    assert score_of("ema_label", flat)[0] == pytest.approx(0.5)
    assert score_of("exponentiated", flat)[0] == pytest.approx(1 - np.exp(-np.log(2)))
    assert score_of("curvature", flat)[0] == pytest.approx(0.0, abs=1e-6)
    assert score_of("second_split", flat - 2)[0] == pytest.approx(1 / (1 + np.exp(-2)))
    alternating = np.array([1.0, -1, 1, -1, 1, -1])[:, None]
    assert score_of("forgotten", alternating)[0] == pytest.approx(3 / 4)
    assert score_of("learned_epoch", np.array([-1.0, -1, -1, 1, 1, 1])[:, None])[0] == pytest.approx(0.5)


def test_the_moving_average_label_depends_on_most_epochs():
    early, late = np.array([-4.0] * 5 + [4.0])[:, None], np.array([-4.0] + [4.0] * 5)[:, None]
    assert score_of("ema_label", early)[0] > 0.5 > score_of("ema_label", late)[0]


def test_two_means_splits_the_losses_of_a_class():
    from zcurate.evidence.signals.loss_curves import two_means

    assert two_means(np.array([0.1, 0.2, 0.1, 3.0, 3.2])) == pytest.approx((0.4 / 3 + 3.1) / 2)
    assert two_means(np.array([1.0])) == float("inf")


def test_class_z_is_standardised_within_the_class():
    rng = np.random.default_rng(0)
    margin = np.concatenate([rng.normal(4, 1, (EPOCHS, 50)), rng.normal(-1, 1, (EPOCHS, 50))], 1)
    label = np.repeat([0, 1], 50)
    score = score_of("class_z", margin, label=label)
    assert abs(score[:50].mean() - score[50:].mean()) < 0.05


def test_random_label_ranks_the_loss_among_random_ones():
    heldout = np.tile([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]], (20, 1)).astype(np.float32)
    label = np.tile([0, 1, 0], 20)
    rows = LabelView(label, heldout, {}, {}, estimate_all_noise(heldout, label))
    score = SIGNALS.load("random_label")(rows)
    assert score[0] == 0 and score[2] == pytest.approx(1 / 3)


def test_the_training_posterior_shifts_the_margin_by_the_log_odds_of_a_mistake():
    transition = np.array([[0.7, 0.3], [0.0001, 0.9999]])
    model = NoiseModel(transition, transition, transition, 1.0, 1.0, 1.0)
    heldout = np.full((2, 2), 0.5, np.float32)
    rows = LabelView(np.array([0, 1]), heldout, {"margin_mean": np.zeros(2)}, {}, model)
    score = SIGNALS.load("training_posterior")(rows)
    # Label 1 is often a mistake for 0; label 0 never for 1.
    assert score[0] == pytest.approx(1 / (1 + 0.7 / 0.0001), rel=0.01)
    assert score[1] == pytest.approx(1 / (1 + 0.9999 / 0.3), rel=0.01)


def test_copies_with_another_label():
    rows = view(easy_late_never()[:, :3], columns={"copies_other": np.array([2 / 3, 0.0, np.nan])})
    np.testing.assert_allclose(SIGNALS.load("duplicate")(rows), [2 / 3, 0.0, np.nan], rtol=1e-6)


def targets(label, location, columns=None):
    heldout = np.stack([location, np.zeros(len(label))], 1).astype(np.float32)
    return LabelView(np.asarray(label, float), heldout, columns or {}, {}, no_noise_model())


def test_the_conformal_position_of_a_target_among_all_residuals():
    label = np.linspace(-1, 1, 101)
    score = SIGNALS.load("conformal")(targets(label, np.zeros(101)))
    assert score[50] == pytest.approx(0.0, abs=0.01)
    assert score[100] == pytest.approx(1.0, abs=0.02) and score[0] == pytest.approx(1.0, abs=0.02)
    assert np.isnan(SIGNALS.load("conformal")(targets([np.nan, 1.0], np.zeros(2)))[0])


def test_neighbours_targets_and_sparse_regions():
    rows = targets([0.0, 1.0], np.zeros(2), {"neighbour_gap": np.array([0.0, -9.0]), "isolation": np.array([0.0, np.log(9)])})
    np.testing.assert_allclose(SIGNALS.load("neighbour_targets")(rows), [0.0, 0.9], rtol=1e-6)
    np.testing.assert_allclose(SIGNALS.load("sparse_region")(rows), [0.5, 0.9], rtol=1e-6)
