"""The fast import of torch: deferred modules can still be imported, and an untested version of torch is imported in full."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zcurate.runtime import startup


def output(code, *more):
    out = subprocess.run([sys.executable, "-c", f"from zcurate.runtime import startup\n{code}", *more], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    return out.stdout.split()


STATE = "import gc, sys, torch\nprint(int(startup.DEFERRED in sys.modules), int(gc.isenabled()), int(gc.get_freeze_count() > 0))"


@pytest.mark.slow
def test_own_process_defers_modules_that_a_scan_does_not_need():
    wait = "import sys, time\nwhile 'torch' not in sys.modules:\n    time.sleep(0.01)"
    assert (
        output(
            f"startup.load_torch_in_background(owns_process=True)\n{wait}\nimport torch\nany(time.sleep(0.01) for _ in range(500) if startup.DEFERRED in sys.modules)\n{STATE}"
        )[0]
        == "0"
    )
    assert output(f"startup.load_torch(owns_process=True)\n{STATE}") == ["0", "1", "1"]


@pytest.mark.slow
def test_foreign_process_gets_all_of_torch():
    assert output(f"startup.load_torch(owns_process=False)\n{STATE}") == ["1", "1", "0"]


@pytest.mark.slow
def test_deferred_modules_can_be_imported_later():
    optimiser = "import sys, torch\ntorch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])\nfrom torch._decomp import decomposition_table as table"
    assert output(f"startup.load_torch(owns_process=True)\n{optimiser}\nprint(startup.DEFERRED in sys.modules, len(table) > 500)") == ["True", "True"]
    user = "import torch\nf = torch.compile(lambda x: torch.linalg.cross(x, x) + 1, backend='eager')\nprint(int(f(torch.ones(2, 3)).sum()))"
    assert output(f"startup.load_torch(owns_process=True)\nstartup.import_deferred()\n{user}\n{STATE}") == ["6", "1", "1", "1"]


@pytest.mark.parametrize(("versions", "expected"), [(("9.99.",), False), (startup.TESTED_VERSIONS, True)])
def test_only_tested_versions_defer_modules(monkeypatch, versions, expected):
    monkeypatch.setattr(startup, "TESTED_VERSIONS", versions)
    assert startup.is_tested_torch() is expected


def test_missing_libraries_are_ignored(monkeypatch):
    monkeypatch.setattr(startup, "LIBRARIES", ("libnothing.so",))
    startup.load_libraries()


@pytest.mark.slow
def test_libraries_are_loaded_without_the_gil():
    code = """
import threading, time
loading = threading.Thread(target=startup.load_libraries)
begin = last = time.perf_counter()
stall = 0
loading.start()
while loading.is_alive():
    now = time.perf_counter()
    stall, last = max(stall, now - last), now
print(int(stall < (time.perf_counter() - begin) / 2))
import torch
print(int(torch.ones(2).sum()))
"""
    assert output(code) == ["1", "2"]
