"""Nearest rows, class centers and copies equal those of plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zcurate.encoding.copies import hash_rows, hash_terms
from zcurate.encoding.encoded import EncodedRows
from zcurate.encoding.targets import TargetScale
from zcurate.training.detectors import neighbors


def encoded(x, y, **parts):
    y = torch.as_tensor(y)
    return EncodedRows(y, np.arange(len(y)), np.arange(len(y)), 2 if y.is_floating_point() else int(y.max()) + 1, dense=torch.as_tensor(x).float(), **parts)


def clouds(n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (rng.normal(0, 0.3, (n, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32), y


def test_the_nearest_rows_equal_those_of_a_loop():
    x, _ = clouds()
    space, keys = torch.from_numpy(x), torch.arange(0, 120, 2)
    distances, nearest = neighbors.nearest_rows(space, space[keys], keys, 5, torch.arange(120))
    distance = np.linalg.norm(x[:, None] - x[None, ::2], axis=2)
    distance[np.arange(0, 120, 2), np.arange(60)] = np.inf
    np.testing.assert_array_equal(nearest.numpy(), 2 * distance.argsort(1)[:, :5])
    np.testing.assert_allclose(distances.numpy(), np.sort(distance, 1)[:, :5], rtol=1e-3, atol=1e-4)


def test_the_nearest_of_many_keys_are_found_in_groups():
    generator = torch.Generator().manual_seed(2)
    space = torch.randn(1500, 6, generator=generator)
    keys = torch.randperm(1500, generator=generator)[:1331].sort().values
    distances, nearest = neighbors.nearest_rows(space, space[keys], keys, 20, torch.arange(1500))
    all_distances = torch.cdist(space, space[keys])
    all_distances[torch.arange(1500)[:, None] == keys[None]] = float("inf")
    expected = all_distances.topk(20, 1, largest=False)
    torch.testing.assert_close(distances, expected.values, atol=1e-3, rtol=1e-3)
    assert (nearest == keys[expected.indices]).float().mean() > 0.999


def test_a_row_is_not_its_own_neighbor():
    space = torch.zeros(6, 2)
    _, nearest = neighbors.nearest_rows(space, space, torch.arange(6), 5, torch.arange(6))
    assert (nearest != torch.arange(6)[:, None]).all()


def test_a_row_between_the_clouds_is_isolated():
    x, y = clouds()
    x[7] = 1.5
    assert neighbors.detect(encoded(x, y))["isolation"].argmax() == 7


def test_many_columns_are_projected():
    x = np.random.default_rng(0).normal(size=(50, 400)).astype(np.float32)
    x[3] = 9
    rows = encoded(x, np.arange(50) % 2)
    assert neighbors.raw_space(rows).shape == (50, neighbors.MAX_WIDTH)
    assert neighbors.detect(rows)["isolation"].argmax() == 3


def test_votes_and_centers_of_the_learned_space():
    x, y = clouds()
    shown = y.copy()
    shown[0] = (y[0] + 1) % 3
    queries, train = torch.arange(0, 30), torch.arange(30, 120)
    observer = neighbors.representation_observer(("neighbour_labels", "class_centre", "posterior"))
    space, label = torch.from_numpy(x), torch.from_numpy(shown)
    columns = observer(space[queries], label[queries], space[train], label[train], 3)
    assert observer.keys(90, 120, torch.device("cpu")).tolist() == list(range(90))
    assert columns["neighbour_own"][0] == 0 and columns["neighbour_other"][0] == pytest.approx(1)
    assert (columns["neighbour_own"][1:] > 0.999).all()
    assert columns["centre_own"][0] > 3 * columns["centre_other"][0]
    assert (columns["centre_own"][1:] < columns["centre_other"][1:]).all()
    assert neighbors.representation_observer(("posterior",)) is None


def test_mahalanobis_distances_share_one_covariance():
    x, y = clouds(600)
    distances = neighbors.centre_distances(torch.from_numpy(x), torch.from_numpy(x), torch.from_numpy(y), 3)
    centre = np.stack([x[y == k].mean(0) for k in range(3)])
    residual = x - centre[y]
    covariance = residual.T @ residual / 600
    covariance += (0.01 * np.diag(covariance).mean() + 1e-6) * np.eye(4)
    difference = x[:, None] - centre[None]
    expected = np.sqrt(np.einsum("nkd,de,nke->nk", difference, np.linalg.inv(covariance), difference))
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-3)


def test_copies_are_found_with_equal_and_other_labels():
    x, y = clouds()
    x[:3] = x[0]
    y[:3] = [0, 0, 1]
    x[5] = x[4] + 1e-5
    y[4], y[5] = 2, 0
    share = neighbors.detect(encoded(x, y))["copies_other"]
    np.testing.assert_allclose(share[:6], [0.5, 0.5, 1.0, np.nan, 1.0, 1.0])
    assert np.isnan(share[6:]).all()


def test_unlabelled_rows_do_not_count_as_copies():
    x, y = clouds()
    x[:3] = x[0]
    y[:3] = [0, -1, 0]
    share = neighbors.detect(encoded(x, y))["copies_other"]
    np.testing.assert_allclose(share[:3], [0.0, np.nan, 0.0])


def test_copies_of_images_and_texts_are_found():
    images = np.random.default_rng(0).integers(0, 255, (20, 1, 12, 12)).astype(np.uint8)
    images[4] = images[9]
    y = torch.arange(20) % 2
    found = neighbors.detect(EncodedRows(y, np.arange(20), np.arange(20), 2, hash_rows([images]), images=torch.from_numpy(images)))
    assert np.flatnonzero(~np.isnan(found["copies_other"])).tolist() == [4, 9]
    term, start = np.array([0, 1, 0, 1, 2]), np.array([0, 2, 4, 5])
    text = EncodedRows(
        torch.tensor([0, 1, 1]),
        np.arange(3),
        np.arange(3),
        2,
        hash_terms(term, start),
        term=torch.from_numpy(term),
        term_start=torch.from_numpy(start),
        term_weight=torch.ones(5),
        n_terms=3,
    )
    np.testing.assert_allclose(neighbors.detect(text)["copies_other"], [1.0, 1.0, np.nan])
    assert np.isnan(neighbors.detect(text)["isolation"]).all()


def test_the_gap_to_the_neighbors_targets():
    x, _ = clouds(200)
    y = x[:, 0].astype(np.float64)
    y[11] = 50
    gap = neighbors.detect(encoded(x, torch.from_numpy(y).float(), target=TargetScale(np.array([0.0, 1]), np.array([0.0, 1]))))["neighbour_gap"]
    assert np.abs(gap).argmax() == 11 and gap[11] > 0
    assert np.median(np.abs(gap)) == pytest.approx(1.0, abs=0.8)


def test_the_block_size_does_not_change_results(monkeypatch):
    x, y = clouds()
    x[:3] = x[0]
    whole = neighbors.detect(encoded(x, y))
    monkeypatch.setattr(neighbors, "BLOCK", 7)
    monkeypatch.setattr(neighbors, "CHUNK", 5)
    parts = neighbors.detect(encoded(x, y))
    for name, column in whole.items():
        np.testing.assert_allclose(parts[name], column, rtol=1e-4, atol=1e-5)


def test_more_rows_are_compared_with_fewer_keys():
    assert neighbors.max_keys(100) == neighbors.max_keys(20_000) == 8192
    assert neighbors.max_keys(400_000) == 4000
    assert neighbors.max_keys(100_000_000) == 1024
