"""Slices that Z-Error masks too often, and their weights."""

from __future__ import annotations

import torch

from zcurate.runtime.process_group import SingleProcess
from zcurate.training.losses.zerror import LossOutput
from zcurate.training.sampler import Visits
from zcurate.training.slice_guard import SliceGuard


def epoch(error, keep):
    """Visits of rows 0 to n by one member, and their output."""
    n = len(error)
    error, keep = torch.tensor([error]), torch.tensor([keep])
    return Visits(torch.arange(n)[None], torch.ones(1, n), None), LossOutput(torch.zeros(()), error, error, error, keep)


def test_a_slice_that_is_masked_as_a_whole_is_kept_in_the_next_epoch():
    guard = SliceGuard(torch.tensor([0, 0, 1, 1, 1, 1, 1, 1]), 0.0, regression=False)
    guard.update(*epoch([3.0, 3.0] + [0.0] * 6, [False, False] + [True] * 6), SingleProcess())
    assert guard.guarded.tolist() == [True, False]
    assert guard.weight.tolist() == [1.0, 1.0]
    guard.update(*epoch([0.0] * 8, [True] * 8), SingleProcess())
    assert not guard.guarded.any()


def test_where_everything_is_masked_alike_nothing_is_guarded():
    guard = SliceGuard(torch.tensor([0, 0, 1, 1]), 0.0, regression=False)
    guard.update(*epoch([3.0] * 4, [False, False, False, True]), SingleProcess())
    assert not guard.guarded.any()


def test_slices_weigh_by_the_softmax_of_their_loss():
    guard = SliceGuard(torch.tensor([0, 1, 1, 1]), 2.0, regression=False)
    guard.update(*epoch([1.0, -1.0, -1.0, -1.0], [True] * 4), SingleProcess())
    losses = torch.nn.functional.softplus(torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(guard.weight[0] / guard.weight[1], (2 * (losses[0] - losses[1])).exp())
    torch.testing.assert_close(guard.weight[guard.of_row].mean(), torch.tensor(1.0))


def test_the_loss_of_targets_is_their_absolute_error_and_the_state_is_kept():
    guard = SliceGuard(torch.tensor([0, 1]), 1.0, regression=True)
    guard.update(*epoch([-3.0, 1.0], [True, True]), SingleProcess())
    torch.testing.assert_close(guard.weight[0] / guard.weight[1], torch.tensor(2.0).exp())
    assert {name: value.data_ptr() for name, value in guard.state().items()} == {"guarded": guard.guarded.data_ptr(), "weight": guard.weight.data_ptr()}
