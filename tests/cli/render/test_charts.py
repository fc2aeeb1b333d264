"""Charts: the mark at the right height, the bands in the right cells, no line wider than the limit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zcurate.cli.render import charts

FLAT = {"low": [0.0] * 4, "high": [0.9] * 4}
HIGH = {"low": [4.0] * 4, "high": [8.0] * 4}


def height_of(lines, column):
    """The line, 0 = lowest, of the mark in a column."""
    rows = [line[charts.LABEL + 1 :].ljust(column + 1)[column] for line in lines[: charts.LEVELS]]
    (at,) = (charts.LEVELS - 1 - k for k, character in enumerate(rows) if character in (charts.MARK, charts.ABOVE, charts.BELOW))
    return at


def test_a_value_falls_on_its_eighth_and_the_upper_end_on_the_highest():
    assert [charts.level(value, 0, 8) for value in (0, 0.99, 1, 3.5, 7.99, 8)] == [0, 0, 1, 3, 7, 7]
    assert (charts.level(-0.1, 0, 8), charts.level(8.1, 0, 8)) == (-1, charts.LEVELS)


def test_the_mark_is_at_the_height_of_the_value():
    lines = charts.chart([0.5, 2.5, 5.5, 7.5], FLAT, HIGH, width=4)
    assert [height_of(lines, column) for column in range(4)] == [0, 2, 5, 7]
    assert lines[0].startswith("        8 ")
    assert lines[charts.LEVELS - 1].startswith("        0 ")
    assert lines[charts.LEVELS].split() == ["epoch", "1", "4"]


def test_bands_are_shaded_and_their_overlap_differently():
    second = {"low": [0.5, 4, 4, 4], "high": [8.0] * 4}
    lines = charts.chart([7.5, 7.5, 7.5, None], FLAT, second, width=4)
    column = [line[charts.LABEL + 1 :].ljust(4) for line in lines[: charts.LEVELS]][::-1]
    assert "".join(row[0] for row in column) == "▒······●"
    assert "".join(row[3] for row in column) == "░   ····"


def test_a_distant_value_is_an_arrow_and_the_bands_keep_their_height():
    lines = charts.chart([1000.0, -1000.0, 0.5, 0.5], FLAT, HIGH, width=4)
    assert lines[0][charts.LABEL + 1] == charts.ABOVE
    assert lines[charts.LEVELS - 1][charts.LABEL + 2] == charts.BELOW
    assert sum("·" in line for line in lines) >= 2


@pytest.mark.parametrize("n", [1, 2, 7, 40, 63, 64, 65, 500])
@pytest.mark.parametrize("width", [20, 64])
def test_no_line_is_wider_than_the_limit(n, width):
    band = {"low": [0.0] * n, "high": [1.0] * n}
    lines = charts.chart([math.sin(k) for k in range(n)], band, None, width)
    assert max(len(line) for line in lines) <= charts.LABEL + 1 + max(width, 3)
    assert len(lines) == charts.LEVELS + 1
    assert lines[-1].split()[1:] == ["1", str(n)]


def test_many_epochs_are_averaged():
    assert charts.pool_epochs(charts.padded([1, 3, None, 5, None, None], 6), 3).tolist()[:2] == [2.0, 5.0]
    assert math.isnan(charts.pool_epochs(charts.padded([1, 3, None, 5, None, None], 6), 3)[2])


def test_without_bands_and_for_a_flat_curve_there_is_still_a_chart():
    assert {height_of(charts.chart([2.0, 2.0], None, None), column) for column in (0, 7)} == {0}
    shorter = charts.chart([1.0, 2.0, 3.0], {"low": [1.0], "high": [3.0]}, None, width=3)
    assert [height_of(shorter, column) for column in range(3)] == [0, 4, 7]


def test_bars_are_drawn_to_an_eighth():
    assert [charts.bar(share, 2) for share in (0, 1 / 16, 0.5, 0.75, 1, 2)] == ["", "▏", "█", "█▌", "██", "██"]


def test_histograms_are_on_a_square_root_scale_and_show_small_bins():
    assert charts.histogram(np.array([0, 1, 100, 25, 400])) == " ▁▄▂█"
