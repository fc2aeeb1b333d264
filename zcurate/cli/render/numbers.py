"""Format numbers for people; a dash where a value is unknown."""

from __future__ import annotations


def percent(share: float | None, digits: int = 0) -> str:
    """Format a share as `93 %`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def percent_range(low: float | None, high: float | None, digits: int = 0) -> str:
    """Format two shares as `76 to 100 %`."""
    return "–" if low is None or high is None else f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def decimals(value: float | None) -> str:
    """Format a number with three decimals."""
    return "–" if value is None else f"{value:.3f}"


def rate_with_interval(rate: dict[str, float]) -> str:
    """Format the run card's noise rate as `7.4 % (0.4 to 14.4 %)`.

    Args:
        rate: `estimate`, `low` and `high`.
    """
    return f"{percent(rate['estimate'], 1)} ({percent_range(rate['low'], rate['high'], 1)})"
