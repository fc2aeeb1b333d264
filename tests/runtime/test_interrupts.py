"""Signals end the program tidily, at once where a library's call does not return, and not at all where they are ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from zcurate.runtime import interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
START = """
import ctypes, os, signal, sys, time
from zcurate.runtime import interrupts
interrupts.GRACE_SECONDS = 0.3
interrupts.install()
def ready():
    print("ready", flush=True)
"""


def run_until_ready(code, number, ignored=()):
    """Run code in a process, send it a signal when it says that it is ready; return its exit code, the rest of stdout and stderr."""

    def ignore():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for one in ignored:
            signal.signal(one, signal.SIG_IGN)

    settings = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": ignore}
    process = subprocess.Popen([sys.executable, "-c", START + code], **settings)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_raised_and_others_are_ignored_while_it_is_tidied_up(number):
    code = """
try:
    ready()
    time.sleep(20)
except interrupts.Interrupted as stop:
    for other in interrupts.ENDING:
        os.kill(os.getpid(), other)
    print("tidied up", flush=True)
    sys.stderr.write(str(stop))
    os._exit(stop.exit_code)
"""
    returned, out, err = run_until_ready(code, number)
    assert (returned, out) == (128 + number, "tidied up\n")
    assert err.startswith("interrupted — " if number == signal.SIGINT else f"interrupted by {number.name} — ")


def test_a_signal_that_was_ignored_stays_ignored():
    returned, out, _ = run_until_ready("ready()\ntime.sleep(0.6)\nprint('went on')", signal.SIGHUP, [signal.SIGHUP])
    assert (returned, out) == (0, "went on\n")


def test_a_forked_copy_is_ended_by_a_signal_and_not_by_ctrl_c():
    code = """
def child(number):
    pid = os.fork()
    if pid == 0:
        interrupts.leave_to_parent()
        os.kill(os.getpid(), number)
        os._exit(7)
    return os.waitpid(pid, 0)[1]
found = [os.waitstatus_to_exitcode(child(number)) for number in interrupts.ENDING]
ready()
time.sleep(0.3)
print(found)
"""
    assert run_until_ready(code, 0)[:2] == (0, f"[7, {-signal.SIGTERM}, {-signal.SIGHUP}]\n")


def test_what_was_moved_away_is_not_deleted(tmp_path):
    path = tmp_path / "x"
    path.write_text("one")
    handle = os.open(path, os.O_RDONLY)
    with interrupts.deleted_at_the_end(str(path), handle):
        os.replace(path, tmp_path / "y")
        path.write_text("of another process")
    assert path.read_text() == "of another process"
    assert interrupts.leftovers == {}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)
