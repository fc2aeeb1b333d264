"""Numbers for people."""

from __future__ import annotations

from zcurate.cli.render import numbers


def test_unknown_values_are_a_dash():
    assert [numbers.percent(None), numbers.percent_range(0.1, None), numbers.percent_range(None, 0.1), numbers.decimals(None)] == ["–"] * 4


def test_shares_are_percentages():
    assert numbers.percent(0.934) == "93 %"
    assert numbers.percent_range(0.755, 1.0) == "76 to 100 %"
    assert numbers.rate_with_interval({"estimate": 0.0741, "low": 0.004, "high": 0.1441}) == "7.4 % (0.4 to 14.4 %)"
