"""Minimization of a function of one variable."""

from __future__ import annotations

import numpy as np

from zcurate.evidence import brent


def test_the_minimum_equals_that_of_scipy():
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = rng.random(3)

        def loss(x, a=a, b=b, c=c):
            return abs(x - 3 * a + 1) ** (1 + 3 * b) + 0.1 * np.sin(5 * x * c)

        expected = minimize_scalar(loss, bounds=(-1, 2), method="bounded", options={"maxiter": 25}).x
        assert brent.minimize_scalar(loss, -1, 2) == expected
