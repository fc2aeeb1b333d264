"""Minimization of a function of one variable. Written out because importing `scipy.optimize` takes longer than the whole judge."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

GOLDEN = 0.5 * (3.0 - sqrt(5.0))
"""Golden section."""
SQRT_EPSILON = 1.4832396974191326e-08
"""Square root of the rounding error of a double, as SciPy has it."""


def minimize_scalar(loss: Callable[[float], float], low: float, high: float, max_calls: int = 25, tolerance: float = 1e-5) -> float:
    """Minimize a function between two bounds by Brent's method: parabolic interpolation, golden sections where that fails.

    Takes the same steps, to the last bit, as `scipy.optimize.minimize_scalar(method="bounded")`.

    Args:
        loss: function to minimize.
        low: lower bound.
        high: upper bound.
        max_calls: maximum number of function evaluations.
        tolerance: absolute tolerance of the result.

    Returns:
        The point with the smallest value found.

    Source: Brent 1973, chapter 5.
    """
    best = second = third = low + GOLDEN * (high - low)
    f_best = f_second = f_third = loss(best)
    step = previous_step = 0.0
    for _ in range(max_calls - 1):
        middle = 0.5 * (low + high)
        min_step = SQRT_EPSILON * abs(best) + tolerance / 3.0
        if abs(best - middle) <= 2 * min_step - 0.5 * (high - low):
            break
        parabolic = False
        if abs(previous_step) > min_step:
            r, q = (best - second) * (f_best - f_third), (best - third) * (f_best - f_second)
            p, q = (best - third) * q - (best - second) * r, 2.0 * (q - r)
            p, q = (-p if q > 0 else p), abs(q)
            last, previous_step = previous_step, step
            if abs(p) < abs(0.5 * q * last) and q * (low - best) < p < q * (high - best):
                parabolic, step = True, p / q
                if best + step - low < 2 * min_step or high - best - step < 2 * min_step:
                    step = min_step if middle >= best else -min_step
        if not parabolic:
            previous_step = low - best if best >= middle else high - best
            step = GOLDEN * previous_step
        x = best + (1 if step >= 0 else -1) * max(abs(step), min_step)
        f_x = loss(x)
        if f_x <= f_best:
            low, high = (best, high) if x >= best else (low, best)
            third, f_third, second, f_second, best, f_best = second, f_second, best, f_best, x, f_x
            continue
        low, high = (x, high) if x < best else (low, x)
        if f_x <= f_second or second == best:
            third, f_third, second, f_second = second, f_second, x, f_x
        elif f_x <= f_third or third in (best, second):
            third, f_third = x, f_x
    return best
