"""Distance from the bulk of the data."""

from __future__ import annotations

import numpy as np
import torch

from zcurate.encoding.encoded import EncodedRows
from zcurate.training.detectors import outliers


def test_an_outlier_has_the_largest_distance():
    x = np.random.default_rng(0).normal(0, 1, (200, 5)).astype(np.float32)
    x[7] = 50
    encoded = EncodedRows(torch.zeros(200, dtype=torch.int64), np.arange(200), np.arange(200), 2, dense=torch.from_numpy(x))
    distance = outliers.detect(encoded)["distance"]
    assert distance.argmax() == 7
    assert distance[7] > 5 * np.median(distance)


def test_a_blank_image_has_the_largest_distance():
    images = np.random.default_rng(0).integers(0, 255, (60, 1, 12, 12)).astype(np.uint8)
    images[3] = 255
    encoded = EncodedRows(torch.zeros(60, dtype=torch.int64), np.arange(60), np.arange(60), 2, images=torch.from_numpy(images))
    assert outliers.detect(encoded)["distance"].argmax() == 3


def test_text_alone_has_no_distance():
    start = torch.arange(4)
    encoded = EncodedRows(
        torch.zeros(3, dtype=torch.int64),
        np.arange(3),
        np.arange(3),
        2,
        term=torch.zeros(3, dtype=torch.int64),
        term_start=start,
        term_weight=torch.ones(3),
        n_terms=1,
    )
    assert np.isnan(outliers.detect(encoded)["distance"]).all()
