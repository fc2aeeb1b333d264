"""Limited-memory BFGS for smooth, strictly convex functions.

torch's own imports torch's compiler, which takes seconds and leaves a folder among the temporary files; SciPy's spends half of the time on its bounds. Source:
Nocedal 1980 (two-loop recursion); backtracking by the sufficient decrease of Armijo, which suffices where the function is convex.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from torch import Tensor

MEMORY = 10
"""Steps from which the curvature is known."""
DECREASE, SHRINK, MAX_HALVINGS = 1e-4, 0.5, 12
"""Share of the decrease that the gradient promises which a step must reach, the factor of a shorter step, and how often it is tried."""

ROUNDING = 1e-6
"""Relative error of a value in float32, by which it may rise."""


def minimize(function: Callable[[Tensor], tuple[float, Tensor]], start: Tensor, n_iterations: int, min_gradient: float = 1e-5) -> Tensor:
    """Minimize a function from a starting point.

    Args:
        function: maps x (D,) to the value and the gradient (D,).
        start: (D,) float32.
        n_iterations: at most.
        min_gradient: largest component of the gradient at which x is taken for the minimum.

    Returns:
        (D,) float32.
    """
    x = start
    value, gradient = function(x)
    steps: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=MEMORY)
    for _ in range(n_iterations):
        if float(gradient.abs().max()) < min_gradient:
            break
        direction = -along(gradient, steps)
        slope = float(gradient @ direction)
        size = 1.0 if steps else min(1.0, 1.0 / max(1e-12, float(gradient.norm())))
        for _ in range(MAX_HALVINGS):
            new_x = x + size * direction
            new_value, new_gradient = function(new_x)
            if new_value <= value + DECREASE * size * slope + ROUNDING * abs(value):
                break
            size *= SHRINK
        else:
            break
        step, change = new_x - x, new_gradient - gradient
        curvature = float(step @ change)
        if curvature > 1e-12:
            steps.append((step, change, curvature))
        x, value, gradient = new_x, new_value, new_gradient
    return x


def along(gradient: Tensor, steps: deque[tuple[Tensor, Tensor, float]]) -> Tensor:
    """Multiply the gradient by the inverse Hessian that the last steps show, (D,).

    Args:
        gradient: (D,).
        steps: change of x, change of the gradient, and their product, oldest first.
    """
    out, factors = gradient.clone(), []
    for step, change, curvature in reversed(steps):
        factor = float(step @ out) / curvature
        out -= factor * change
        factors.append(factor)
    if steps:
        _, change, curvature = steps[-1]
        out *= curvature / float(change @ change)
    for (step, change, curvature), factor in zip(steps, reversed(factors), strict=True):
        out += (factor - float(change @ out) / curvature) * step
    return out
