"""Near-duplicates: groups by chains of close pairs, at a distance that the data set."""

from __future__ import annotations

import numpy as np
import torch

from zcurate.encoding import near_duplicates
from zcurate.encoding.near_duplicates import near_duplicate_groups


def features(n=600, width=300, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_planted_copies_are_grouped_and_nothing_else():
    x, noise = features(), features(seed=1)
    x[10] = x[3] + 0.1 * noise[10]
    x[500] = 2 * x[3]
    x[77] = x[78] + 0.2 * noise[77]
    group = near_duplicate_groups(x)
    assert group[3] == group[10] == group[500] == 0 and group[77] == group[78] == 1
    assert (group >= 0).sum() == 5


def test_chains_are_one_group():
    x, step = features(), features(seed=2)
    for at in range(1, 5):
        x[at] = x[at - 1] + 0.45 * step[at]
    assert set(near_duplicate_groups(x)[:5]) == {0}


def test_blocks_give_the_same_groups(monkeypatch):
    x = features(400)
    x[300:310] = x[100:110]
    whole = near_duplicate_groups(x)
    monkeypatch.setattr(near_duplicates, "BLOCK", 37)
    assert np.array_equal(near_duplicate_groups(x), whole) and (whole >= 0).sum() == 20


def test_a_data_set_of_copies_and_tiny_ones():
    assert near_duplicate_groups(torch.ones(1, 5)).tolist() == [-1]
    assert near_duplicate_groups(torch.zeros(0, 5)).tolist() == []
    assert near_duplicate_groups(features(2, 70)).tolist() == [-1, -1]
