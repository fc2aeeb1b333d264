"""One scale of brightness for a data set, whatever numbers its pixels are."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.data import images
from zcurate.data.brightness import Brightness, PixelValues, is_measured

RNG = np.random.default_rng(1)
UNIT = RNG.random((40, 16, 16))
HOLES = RNG.random(UNIT.shape) < 0.1
ARRAYS = {
    "negative": -UNIT,
    "minus one to one": UNIT * 2 - 1,
    "standardized": (UNIT - UNIT.mean()) / UNIT.std(),
    "overshoot": (UNIT * 1.3).astype(np.float32),
    "tiny": UNIT * 1e-9,
    "huge": (UNIT - 0.5) * 1.7e308,
    "float16": (UNIT * 2000).astype(np.float16),
    "nan": np.where(HOLES, np.nan, UNIT),
    "infinite": np.where(HOLES, -np.inf, UNIT),
    "one hot pixel": np.where(np.arange(UNIT.size).reshape(UNIT.shape) == 7, 1e6, UNIT),
    "CT": (UNIT * 4095 - 1024).astype(np.int16),
    "CT in a frame": np.where(HOLES, -32768, UNIT * 4095 - 1024).astype(np.int16),
    "12 bits": (UNIT * 4095).astype(np.uint16),
    "narrow 12 bits": (UNIT * 200 + 1700).astype(np.uint16),
    "8 bits as int64": (UNIT * 255).astype(np.int64),
    "signed 8 bits": (UNIT * 200 - 100).astype(np.int8),
    "32 bits": (UNIT * 4e9).astype(np.uint32),
    "dark 8 bits": (UNIT * 31).astype(np.uint8),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_no_range_of_numbers_loses_its_levels(name):
    pixels = images.from_array(ARRAYS[name], "here").pixels
    assert int(pixels.max()) - int(pixels.min()) > 200
    assert len(np.unique(pixels)) >= (30 if name == "dark 8 bits" else 60)
    assert (pixels == 0).mean() < 0.2
    seen = np.isfinite(ARRAYS[name]) & ~HOLES
    order = np.corrcoef(pixels[:, 0][seen], UNIT[seen])[0, 1]
    assert order < -0.99 if name == "negative" else order > 0.99


@pytest.mark.parametrize("mask", [(UNIT > 0.5).astype(np.uint8), UNIT > 0.5, np.where(UNIT > 0.5, 7, 3).astype(np.uint8), (UNIT > 0.5) * 1.0])
def test_two_values_become_black_and_white(mask):
    assert np.unique(images.from_array(mask, "here").pixels).tolist() == [0, 255]


def test_plain_pictures_of_8_bits_stay_as_they_are():
    plain = (UNIT * 255).round().astype(np.uint8)
    np.testing.assert_array_equal(images.from_array(plain, "here").pixels[:, 0], plain)


def test_all_pictures_share_one_scale():
    dark_and_bright = np.stack([np.full((16, 16), 0.2), np.full((16, 16), 0.4), np.full((16, 16), 0.8)])
    pixels = images.from_array(dark_and_bright, "here").pixels
    assert pixels[:, 0, 0, 0].tolist() == [51, 102, 204]


def test_usual_ranges_keep_their_scale():
    values = PixelValues()
    values.add(np.array([100.0, 60000.0]))
    assert values.brightness() == Brightness(0, 65535)


def test_a_constant_array_and_none_at_all_have_a_scale():
    assert PixelValues().brightness().to_uint8(np.zeros(2, np.uint16)).tolist() == [0, 0]
    assert (images.from_array(np.full((3, 8, 8), 3.3), "here").pixels == 0).all()


def test_a_picture_without_a_finite_number_is_skipped():
    array = UNIT.copy()
    array[3] = np.nan
    found = images.from_array(array, "here")
    assert [(skip.row, skip.reason) for skip in found.skipped] == [(3, "no pixel is a finite number")]


@pytest.mark.parametrize(("values", "n"), [([-9999, *range(50)], 50), ([*range(50), 10**6], 50), ([0, 1], 2), ([0, *range(200, 256)], 57), ([], 0)])
def test_values_that_stand_for_none_are_told_from_measured_ones(values, n):
    assert is_measured(np.array(values, float)).sum() == n
