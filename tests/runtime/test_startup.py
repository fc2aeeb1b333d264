"""Loading torch in half the time: what is left out is there for those who need it, and an unknown torch is loaded as it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zcurate.runtime import startup


def said(code, *more):
    out = subprocess.run([sys.executable, "-c", f"from zcurate.runtime import startup\n{code}", *more], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    return out.stdout.split()


LOOK = "import gc, sys, torch\nprint(int(startup.DEFERRED in sys.modules), int(gc.isenabled()), int(gc.get_freeze_count() > 0))"


@pytest.mark.slow
def test_our_own_process_spares_what_a_scan_does_not_need():
    wait = "import sys, time\nwhile 'torch' not in sys.modules:\n    time.sleep(0.01)"
    assert (
        said(
            f"startup.load_torch_in_background(ours=True)\n{wait}\nimport torch\nany(time.sleep(0.01) for _ in range(500) if startup.DEFERRED in sys.modules)\n{LOOK}"
        )[0]
        == "0"
    )
    assert said(f"startup.load_torch(ours=True)\n{LOOK}") == ["0", "1", "1"]


@pytest.mark.slow
def test_a_process_of_somebody_elses_has_all_of_torch():
    assert said(f"startup.load_torch(ours=False)\n{LOOK}") == ["1", "1", "0"]


@pytest.mark.slow
def test_what_was_spared_can_be_had_later():
    optimiser = "import sys, torch\ntorch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])\nfrom torch._decomp import decomposition_table as table"
    assert said(f"startup.load_torch(ours=True)\n{optimiser}\nprint(startup.DEFERRED in sys.modules, len(table) > 500)") == ["True", "True"]
    user = "import torch\nf = torch.compile(lambda x: torch.linalg.cross(x, x) + 1, backend='eager')\nprint(int(f(torch.ones(2, 3)).sum()))"
    assert said(f"startup.load_torch(ours=True)\nstartup.import_deferred()\n{user}\n{LOOK}") == ["6", "1", "1", "1"]


@pytest.mark.parametrize(("tried", "known"), [(("9.99.",), False), (startup.TESTED_VERSIONS, True)])
def test_only_versions_that_were_tried_are_cut_short(monkeypatch, tried, known):
    monkeypatch.setattr(startup, "TESTED_VERSIONS", tried)
    assert startup.is_tested_torch() is known


def test_libraries_that_are_not_there_are_no_matter(monkeypatch):
    monkeypatch.setattr(startup, "LIBRARIES", ("libnothing.so",))
    startup.load_libraries()


@pytest.mark.slow
def test_libraries_are_loaded_without_pythons_lock():
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
    assert said(code) == ["1", "2"]
