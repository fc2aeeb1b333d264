"""L-BFGS: it finds the minimum that SciPy finds, in as few steps, and imports no compiler."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as reference

from zcurate.training.auxiliary.lbfgs import minimize


def regression(n=300, width=20, n_classes=4, penalty=0.1):
    """Penalized logistic regression as a function of its flat weights: value and gradient."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, width, generator=generator), torch.randint(0, n_classes, (n,), generator=generator)

    def function(flat):
        weight = flat.detach().clone().requires_grad_(True)
        value = torch.nn.functional.cross_entropy(x @ weight.reshape(width, n_classes), y) + penalty / 2 * weight.square().sum()
        value.backward()
        return float(value.detach()), weight.grad

    return function, torch.zeros(width * n_classes)


def test_the_minimum_is_that_of_scipy():
    function, start = regression()

    def for_scipy(flat):
        value, gradient = function(torch.from_numpy(flat.astype(np.float32)))
        return value, gradient.numpy().astype(np.float64)

    calls = []
    found = minimize(lambda x: calls.append(1) or function(x), start, 60, 1e-6)
    expected = reference(for_scipy, start.numpy().astype(np.float64), jac=True, method="L-BFGS-B", options={"gtol": 1e-6})
    np.testing.assert_allclose(found.numpy(), expected.x, atol=2e-4)
    assert len(calls) <= 2 * expected.nfev


def test_a_badly_scaled_quadratic_is_minimized():
    scale = torch.logspace(-1, 1, 30)
    found = minimize(lambda x: (float((scale * (x - 1) ** 2).sum()), 2 * scale * (x - 1)), torch.zeros(30), 200, 1e-6)
    torch.testing.assert_close(found, torch.ones(30), atol=5e-3, rtol=0)


def test_at_the_minimum_it_stays():
    start = torch.ones(5)
    assert minimize(lambda x: (float(((x - 1) ** 2).sum()), 2 * (x - 1)), start, 10) is start


@pytest.mark.slow
def test_a_probe_imports_no_compiler_and_leaves_no_folder(tmp_path):
    script = (
        "import numpy as np, sys, torch\nfrom zcurate.training.auxiliary import probe\n"
        "probe.fit_probe(torch.randn(60, 8), np.arange(60) % 3, np.arange(60) % 5, 3, torch.zeros(0, 8), np.zeros(0, int))\n"
        "sys.exit(any(name.startswith(('torch._inductor', 'torch._dynamo')) for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], env={"TMPDIR": str(tmp_path), "PATH": ""}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.iterdir())
