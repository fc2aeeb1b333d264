"""The Z-Error loss equals the plain loss without a threshold and a naive reference with one; its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from zcurate.config.model_config import ZErrorConfig
from zcurate.training.losses import statistics, terms, zerror
from zcurate.training.losses.statistics import Statistics
from zcurate.training.losses.zerror import LossOutput

BATCH = ZErrorConfig(z_stats="batch")


def batch(seed=0, n_members=2, n=64, n_classes=3):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_members, n, n_classes, generator=generator)
    y = torch.randint(0, n_classes, (n_members, n), generator=generator)
    return logits, y, torch.ones(n_members, n)


def empty_statistics(n_members=2, n_groups=1):
    return Statistics.new(n_members, n_groups, torch.device("cpu"))


def naive_z(error, group, small=statistics.SMALL_GROUP):
    """z-scores of one member in plain Python."""
    z = np.zeros(len(error))
    for label in set(group.tolist()):
        errors = [float(e) for e, g in zip(error, group, strict=True) if g == label]
        mean = sum(errors) / len(errors)
        std = math.sqrt(sum((e - mean) ** 2 for e in errors) / (len(errors) - 1)) if len(errors) > 1 else 0.0
        for at in range(len(error)):
            if group[at] == label:
                z[at] = (float(error[at]) - mean) / std if std > 0 else 0.0
    return z


def test_without_a_threshold_it_is_the_plain_loss():
    logits, y, weight = batch()
    result, _ = zerror.score(logits, y, weight, empty_statistics(), ZErrorConfig(), float("inf"))
    expected = sum(F.cross_entropy(logits[k], y[k]) for k in range(2))
    torch.testing.assert_close(result.loss, expected)
    assert bool(result.keep.all())


def test_the_error_is_the_log_odds_against_the_label():
    logits, y, _ = batch()
    loss, error, margin, _ = terms.class_losses(logits, y)
    p = logits.softmax(2).gather(2, y[..., None])[..., 0]
    torch.testing.assert_close(error, torch.log1p(-p) - torch.log(p))
    torch.testing.assert_close(loss, -torch.log(p))
    others = logits.masked_fill(F.one_hot(y, 3).bool(), -math.inf).amax(2)
    torch.testing.assert_close(margin, logits.gather(2, y[..., None])[..., 0] - others)


@pytest.mark.parametrize("per", ["global", "class"])
def test_z_equals_a_naive_reference(per):
    logits, y, weight = batch(n_members=1)
    config = ZErrorConfig(z_stats="batch", z_per=per)
    result, _ = zerror.score(logits, y, weight, empty_statistics(1, 3 if per == "class" else 1), config, 2.0)
    group = y[0] if per == "class" else torch.zeros_like(y[0])
    np.testing.assert_allclose(result.z[0].numpy(), naive_z(result.error[0], group), rtol=1e-4, atol=1e-5)
    assert (result.keep == (result.z <= 2.0)).all()


def test_masked_rows_get_no_gradient():
    logits, y, weight = batch()
    logits.requires_grad_()
    result, _ = zerror.score(logits, y, weight, empty_statistics(), BATCH, 1.0)
    result.loss.backward()
    assert (~result.keep).any()
    assert (logits.grad[~result.keep] == 0).all()
    assert (logits.grad[result.keep].abs().sum(-1) > 0).all()


def test_the_gradient_equals_autograd_over_the_rows_kept():
    logits, y, weight = batch()
    logits.requires_grad_()
    result, _ = zerror.score(logits, y, weight, empty_statistics(), BATCH, 1.0)
    share = zerror.mean_weights(result.keep, weight)
    loss = (share * F.cross_entropy(logits.flatten(0, 1), y.reshape(-1), reduction="none").view(y.shape)).sum()
    torch.testing.assert_close(result.loss, loss)
    result.loss.backward()
    torch.testing.assert_close(logits.grad, torch.autograd.grad(loss, logits)[0])


def test_padding_is_ignored():
    logits, y, weight = batch()
    weight[:, 40:] = 0
    cut, _ = zerror.score(logits[:, :40], y[:, :40], weight[:, :40], empty_statistics(), BATCH, 2.0)
    padded, _ = zerror.score(logits, y, weight, empty_statistics(), BATCH, 2.0)
    torch.testing.assert_close(cut.loss, padded.loss)
    torch.testing.assert_close(cut.z, padded.z[:, :40])


def test_equal_errors_are_all_kept_with_z_zero():
    logits = torch.zeros(1, 20, 3)
    y = torch.zeros(1, 20, dtype=torch.int64)
    result, _ = zerror.score(logits, y, torch.ones(1, 20), empty_statistics(1), BATCH, 2.0)
    assert (result.z == 0).all()
    assert bool(result.keep.all())


def test_a_batch_of_one_is_kept_and_finite():
    logits, y, weight = batch(n=1)
    for stats in ("batch", "ema", "epoch"):
        result, _ = zerror.score(logits, y, weight, empty_statistics(), ZErrorConfig(z_stats=stats), 2.0)
        assert torch.isfinite(result.loss)
        assert torch.isfinite(result.z).all()


def test_epoch_statistics_come_from_the_previous_epoch_and_accumulate():
    config = ZErrorConfig(z_stats="epoch")
    logits, y, weight = batch(n=200)
    previous = Statistics(torch.full((2, 1), 5.0), torch.full((2, 1), 2.0), torch.full((2, 1), 100.0))
    result, batch_statistics = zerror.score(logits, y, weight, previous, config, 2.0)
    torch.testing.assert_close(result.z, (result.error - 5.0) / 2.0)
    torch.testing.assert_close(batch_statistics.centre[:, 0], result.error.mean(1))
    both = statistics.accumulate(
        statistics.accumulate(empty_statistics(), batch_statistics), Statistics(batch_statistics.centre + 2, batch_statistics.scale, batch_statistics.weight)
    )
    torch.testing.assert_close(both.centre, batch_statistics.centre + 1)
    torch.testing.assert_close(both.weight, 2 * batch_statistics.weight)


def test_a_small_group_uses_the_running_statistics():
    config = ZErrorConfig(z_stats="batch", z_per="class")
    logits, y, weight = batch(n=400)
    _, running = zerror.score(logits, y, weight, empty_statistics(2, 3), config, 2.0)
    few = torch.tensor([[[0.0, 0.0, 9.0]], [[0.0, 0.0, 9.0]]])
    result, _ = zerror.score(few, torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1), running, config, 2.0)
    assert (result.z > 2).all()


def test_median_and_mad_detect_outliers_that_inflate_mean_and_deviation():
    generator = torch.Generator().manual_seed(1)
    error = torch.randn(1, 100, generator=generator)
    error[0, :25] += 40
    group, weight = torch.zeros(1, 100, dtype=torch.int64), torch.ones(1, 100)
    by_mean, _ = statistics.standardize(error, group, weight, empty_statistics(1), ZErrorConfig(z_stats="batch"))
    by_median, _ = statistics.standardize(error, group, weight, empty_statistics(1), ZErrorConfig(z_stats="batch", z_scale="mad"))
    assert (by_mean[0, :25] > 2).sum() < 5
    assert (by_median[0, :25] > 3.5).all()


def test_the_group_median_is_the_lower_median():
    value = torch.tensor([[5.0, 1.0, 3.0, 9.0, 7.0, 2.0]])
    group = torch.tensor([[0, 0, 0, 1, 1, 0]])
    weight = torch.ones(1, 6)
    n = torch.tensor([[4.0, 2.0, 0.0]])
    assert statistics.group_median(value, group, weight, n).tolist() == [[2.0, 7.0, 0.0]]


@pytest.mark.parametrize("z_on", ["error", "loss", "logit", "probability", "margin"])
def test_bad_rows_have_high_z_for_every_standardized_quantity(z_on):
    logits, y, weight = batch(n=200)
    result, _ = zerror.score(logits, y, weight, empty_statistics(), ZErrorConfig(z_stats="batch", z_on=z_on), 2.0)
    assert torch.corrcoef(torch.stack([result.z[0], result.error[0]]))[0, 1] > 0.8


def test_unmasked_rows_are_kept_whatever_their_z():
    logits, y, weight = batch()
    unmask = torch.ones(2, 64, dtype=torch.bool)
    result, _ = zerror.score(logits, y, weight, empty_statistics(), BATCH, 0.0, unmask)
    assert bool(result.keep.all())


def test_regression_masks_both_sides_and_keeps_the_sign():
    output = torch.zeros(1, 50, 2)
    y = torch.linspace(-1, 1, 50)[None].clone()
    y[0, 0], y[0, -1] = -30.0, 30.0
    result, _ = zerror.score(output, y, torch.ones(1, 50), empty_statistics(1), BATCH, 2.0)
    assert result.keep[0].tolist() == [False] + [True] * 48 + [False]
    assert result.error[0, 0] < 0 < result.error[0, -1]


def test_regression_loss_is_the_laplace_log_likelihood():
    output = torch.tensor([[[0.5, 0.3]]])
    loss, error, *_ = terms.target_losses(output, torch.tensor([[1.5]]))
    assert loss.item() == pytest.approx(1.0 * math.exp(-0.3) + 0.3)
    assert error.item() == pytest.approx(1.0)


def test_the_threshold_is_annealed_from_infinite_to_narrow():
    config = ZErrorConfig(z_threshold=2.0, z_start=4.0, warmup=0.1)
    assert config.threshold(0.05) == float("inf")
    assert config.threshold(0.1) == pytest.approx(4.0)
    assert config.threshold(0.99) == pytest.approx(2.0)
    steps = [config.threshold(0.1 + 0.01 * k) for k in range(90)]
    assert steps == sorted(steps, reverse=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.1, 50), st.floats(-50, 50))
def test_z_is_invariant_to_shift_and_scale(seed, scale, shift):
    error = torch.randn(1, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    group, weight = torch.zeros(1, 40, dtype=torch.int64), torch.ones(1, 40, dtype=torch.float64)
    state = Statistics(*(part.double() for part in empty_statistics(1)))
    for kind in ("std", "mad"):
        config = ZErrorConfig(z_stats="batch", z_scale=kind)
        z, _ = statistics.standardize(error, group, weight, state, config)
        moved, _ = statistics.standardize(scale * error + shift, group, weight, state, config)
        torch.testing.assert_close(z, moved, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_z_is_equivariant_to_row_permutations(seed):
    logits, y, weight = batch(seed, n_members=1)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
    config = ZErrorConfig(z_stats="batch", z_per="class")
    plain, _ = zerror.score(logits, y, weight, empty_statistics(1, 3), config, 2.0)
    moved, _ = zerror.score(logits[:, order], y[:, order], weight, empty_statistics(1, 3), config, 2.0)
    torch.testing.assert_close(plain.z[:, order], moved.z, rtol=1e-4, atol=1e-5)


def test_results_are_bitwise_reproducible():
    logits, y, weight = batch(n=500)
    first, _ = zerror.score(logits, y, weight, empty_statistics(), ZErrorConfig(), 2.0)
    second, _ = zerror.score(logits, y, weight, empty_statistics(), ZErrorConfig(), 2.0)
    assert torch.equal(first.z, second.z)
    assert torch.equal(first.loss, second.loss)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_the_written_out_class_gradient_equals_autograd(n_classes):
    logits, y, _ = batch(n_classes=n_classes)
    logits.requires_grad_()
    loss, error, margin, sieve = terms.class_losses(logits, y)
    (expected,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(terms.loss_gradient(logits.detach(), y, terms.row_losses(logits.detach(), y)[1]), expected)
    others = logits.masked_fill(F.one_hot(y, n_classes).bool(), -math.inf)
    own = logits.gather(2, y[..., None])[..., 0]
    assert (margin is None) == (sieve is None) == (n_classes == 2)
    _, error, margin, sieve = LossOutput(loss, logits, error, error, error > 0, margin, sieve).curves
    for found, expected in ((error, others.logsumexp(2) - own), (margin, own - others.amax(2)), (sieve, logits.mean(2) - own)):
        torch.testing.assert_close(found, expected)


def test_the_written_out_target_gradient_equals_autograd_inside_and_outside_the_scale_bounds():
    output = torch.tensor([[[0.5, 0.2], [-1.0, 5.0], [2.0, -6.0]]], requires_grad=True)
    y = torch.tensor([[1.0, -3.0, 2.5]])
    (expected,) = torch.autograd.grad(terms.target_losses(output, y)[0].sum(), output)
    torch.testing.assert_close(terms.loss_gradient(output.detach(), y, terms.row_losses(output.detach(), y)[1]), expected)
