"""Training rounds: held-out folds, planted label errors, and the same result for the same seed."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from tests.small_runs import train
from zcurate.config.model_config import ModelConfig, Plan, ZErrorConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.encoding.targets import TargetScale
from zcurate.evidence.planted import Planted
from zcurate.runtime.context import RunContext
from zcurate.training import folds, hard_examples, rounds, sampler
from zcurate.training.models import builder

CPU = torch.device("cpu")


def toy(n=200, regression=False, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    target = None
    if regression:
        y = (x[:, 0] - x[:, 1]).astype(np.float32)
        target = TargetScale(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    return EncodedRows(torch.from_numpy(y), np.arange(n), np.arange(n), 2, dense=torch.from_numpy(x), target=target)


def run(encoded, spec=None, packed=True, n_epochs=8, seed=0, limit=None):
    spec = spec or ModelConfig(name="mlp", hidden=(16,), batch=32)
    return train(encoded, spec, n_epochs, packed, seed=seed, time_limit=limit)


def test_every_row_is_trained_on_by_all_members_but_one():
    evidence, cut = run(toy())
    for one in evidence.rounds:
        assert set((one.columns["n_seen"] / len(one.error)).tolist()) == {3.0}
    assert not cut


def test_heldout_predictions_are_good_and_sum_to_one():
    evidence, _ = run(toy())
    np.testing.assert_allclose(evidence.heldout.sum(1), 1, atol=1e-5)
    assert (evidence.heldout.argmax(1) == evidence.y).mean() > 0.9


def test_the_label_of_a_held_out_row_does_not_change_its_prediction():
    """The member that never trains on the row gives the same prediction after its label is flipped."""
    encoded = toy()
    fold = np.arange(200) % 4
    spec = ModelConfig(name="mlp", hidden=(16,), batch=32)
    found = []
    for flip in (False, True):
        labels = encoded.y.numpy().copy()
        if flip:
            labels[0] = 1 - labels[0]
        trainer = rounds.Trainer(encoded, Plan(spec, True, 6, ""), builder("mlp"), RunContext())
        found.append(trainer.train_round(0, fold, labels, Planted(np.array([0]), np.array([0]), np.array(["uniform"]))))
    np.testing.assert_array_equal(found[0].heldout[0], found[1].heldout[0])
    assert found[0].columns["loss_mean"][0] != found[1].columns["loss_mean"][0]


def test_the_same_seed_gives_the_same_evidence_and_another_seed_another():
    first, second, other = (run(toy(), seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.heldout, second.heldout)
    for name in first.columns:
        np.testing.assert_array_equal(first.columns[name], second.columns[name])
    assert not np.array_equal(first.heldout, other.heldout)


def test_planted_rows_have_a_wrong_label_in_their_round_only():
    evidence, _ = run(toy())
    first, second = (one.planted for one in evidence.rounds)
    assert len(first.row) >= 8
    assert not set(first.row) & set(second.row)
    assert (evidence.rounds[0].training_label[first.row] != evidence.y[first.row]).all()
    assert (evidence.rounds[1].training_label[first.row] == evidence.y[first.row]).all()
    assert set(second.kind.tolist()) == {"uniform", "confused", "boundary"}


def test_planted_errors_have_a_high_z():
    evidence, _ = run(toy(400))
    clean = np.ones(400, bool)
    planted = np.concatenate([one.columns["z_score"][one.planted.row] for one in evidence.rounds])
    clean[np.concatenate([one.planted.row for one in evidence.rounds])] = False
    assert np.median(planted) > np.quantile(evidence.columns["z_score"][clean], 0.9)


def test_unlabelled_rows_are_predicted_and_never_trained_on():
    encoded = toy()
    y = encoded.y.clone()
    y[:20] = -1
    evidence, _ = run(EncodedRows(y, encoded.row, encoded.fold_key, 2, dense=encoded.dense))
    assert (evidence.columns["n_seen"][:20] == 0).all()
    assert (evidence.heldout[:20].argmax(1) == encoded.y[:20].numpy()).mean() > 0.8


def test_members_trained_in_turn_predict_as_packed_members_do():
    packed, _ = run(toy(400))
    in_turn, _ = run(toy(400), packed=False)
    assert (packed.heldout.argmax(1) == in_turn.heldout.argmax(1)).mean() > 0.93
    assert set((in_turn.rounds[0].columns["n_seen"] / len(in_turn.rounds[0].error)).tolist()) == {3.0}


def test_regression_predicts_location_and_scale():
    evidence, _ = run(toy(400, regression=True), n_epochs=15)
    assert np.corrcoef(evidence.heldout[:, 0], evidence.y)[0, 1] > 0.9


@pytest.mark.parametrize(("n", "n_folds", "shares"), [(240, 4, (0.5, 0.3, 0.2)), (600, 3, (0.9, 0.1, 0.0)), (96, 8, (0.34, 0.33, 0.33))])
def test_every_fold_gets_its_share_of_each_split_of_each_class(n, n_folds, shares):
    rng = np.random.default_rng(0)
    y, split = rng.integers(0, 3, n), rng.choice(3, n, p=shares)
    fold = folds.stratified(np.arange(n), y, n_folds, np.random.default_rng(0), split)
    for label in range(3):
        for name in np.unique(split):
            counts = np.bincount(fold[(y == label) & (split == name)], minlength=n_folds)
            assert counts.max() - counts.min() <= 1


def test_groups_stay_in_one_fold():
    rng = np.random.default_rng(0)
    keys = np.repeat(np.arange(30), 4)
    fold = folds.stratified(keys, np.zeros(120), 4, rng)
    assert all(len(set(fold[keys == key])) == 1 for key in range(30))
    assert np.bincount(fold).min() > 20


def test_single_rows_are_spread_evenly_by_class():
    y = np.array([0] * 40 + [1] * 8)
    fold = folds.stratified(np.arange(48), y, 4, np.random.default_rng(0))
    assert np.bincount(fold[y == 1]).tolist() == [2, 2, 2, 2]


@pytest.mark.slow
def test_a_time_limit_cuts_training_short():
    begin = time.monotonic()
    evidence, cut = run(toy(), n_epochs=100_000, limit=1.0)
    assert cut
    assert time.monotonic() - begin < 20
    assert np.isfinite(evidence.columns["z_score"]).all()
    assert np.isfinite(evidence.heldout).all()


@pytest.mark.parametrize("n", [1, 2, 5, 33, 100])
def test_batches_are_split_evenly(n):
    visits = sampler.Visits(torch.arange(n)[None], torch.ones(1, n), None)
    visited, edges = sampler.EpochOrder((visits,), n).batched(32)
    sizes = np.diff(edges)
    assert sum(sizes) == n == visited.n_full()
    assert visited.ids[0].tolist() == list(range(n))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 32


@pytest.mark.parametrize(
    "settings",
    [{"optimiser": "sgd", "learning_rate": 0.05}, {"loss": "plain"}, {"dropout": 0.2}, {"z": ZErrorConfig(z_stats="epoch", z_scale="mad", z_per="class")}],
)
def test_every_setting_trains(settings):
    evidence, _ = run(toy(), ModelConfig(name="mlp", hidden=(16,), batch=32, **settings))
    assert (evidence.heldout.argmax(1) == evidence.y).mean() > 0.85


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_gives_as_good_evidence():
    encoded = toy(400)
    moved = EncodedRows(encoded.y.cuda(), encoded.row, encoded.fold_key, 2, dense=encoded.dense.cuda())
    evidence, _ = run(moved)
    assert (evidence.heldout.argmax(1) == evidence.y).mean() > 0.9


def test_hard_examples_keep_the_label_and_lie_between_two_rows():
    encoded = toy()
    examples, row = hard_examples.make_hard_examples(encoded, torch.Generator().manual_seed(0))
    assert examples is not None and len(row) == examples.n_rows > 5
    torch.testing.assert_close(examples.y, encoded.y[row])
    assert examples.dense is not None and encoded.dense is not None
    first, second = torch.tensor([0, 1]), torch.tensor([5, 6])
    blended = hard_examples.blend_rows(encoded, first, second, 0.6)
    torch.testing.assert_close(blended.dense, 0.6 * encoded.dense[first] + 0.4 * encoded.dense[second])
    evidence, _ = run(encoded)
    last = evidence.rounds[-1]
    np.testing.assert_allclose(last.hard_heldout.sum(1), 1, atol=1e-4)
    own = last.hard_heldout[np.arange(len(last.hard_row)), evidence.y[last.hard_row]]
    plain = evidence.heldout[last.hard_row, evidence.y[last.hard_row]]
    assert own.mean() < plain.mean()


def test_blended_pictures_are_hard_examples():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (4, 1, 12, 12)).astype(np.uint8))
    y = torch.tensor([0, 1, 0, 1])
    blended = hard_examples.blend_rows(EncodedRows(y, np.arange(4), np.arange(4), 2, images=images), y[:2], torch.tensor([1, 0]), 0.6)
    assert blended.images.shape == (2, 1, 12, 12) and blended.images.float().std() < 0.6 * images.float().std()


def test_second_split_margins_are_recorded_only_for_their_clue():
    spec = ModelConfig(name="mlp", hidden=(16,), batch=32, rounds=2, clues=("heldout_margin", "second_split"))
    evidence, _ = train(toy(), spec, 4, True)
    assert evidence.curves["second"].shape == (3, 200) and np.isfinite(evidence.curves["second"]).all()
    plain, _ = run(toy())
    assert plain.curves["second"].shape == (0, 200)


def test_rows_that_seem_wrong_are_left_out_of_later_rounds():
    encoded = toy(400)
    y = encoded.y.clone()
    y[:20] = 1 - y[:20]
    spec = ModelConfig(name="mlp", hidden=(16,), batch=32, rounds=2, leave_out=0.6)
    evidence, _ = train(EncodedRows(y, encoded.row, encoded.fold_key, 2, dense=encoded.dense), spec, 12, True)
    second = evidence.rounds[1]
    assert evidence.rounds[0].n_excluded == 0 and second.n_excluded > 5
    assert (second.columns["n_seen"][:20] == 0).mean() > 0.4
    assert (second.columns["n_seen"] == 0).sum() == second.n_excluded


def test_discrim_loss_trains_a_model_that_predicts():
    spec = ModelConfig(name="mlp", hidden=(16,), batch=32, rounds=1, loss="discrim")
    evidence, _ = train(toy(), spec, 12, True)
    assert (evidence.heldout.argmax(1) == evidence.y).mean() > 0.85
