"""Locks end with their process, and are on the file that is at the path."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from zcurate.runtime import locks

pytestmark = pytest.mark.skipif(locks.fcntl is None, reason="needs file locks")


def test_only_one_holds_a_file_until_it_is_closed(tmp_path):
    path = str(tmp_path / "x.part")
    first = locks.lock_file(path)
    assert first is not None
    assert locks.lock_file(path) is None
    os.close(first)
    second = locks.lock_file(path)
    assert second is not None
    os.close(second)


def test_a_file_that_was_moved_away_is_not_the_one_that_is_locked(tmp_path):
    path = str(tmp_path / "x.part")
    first = locks.lock_file(path)
    assert locks.is_at(first, path)
    os.replace(path, tmp_path / "x")
    assert not locks.is_at(first, path)
    second = locks.lock_file(path)
    assert second is not None
    assert locks.is_at(second, path)
    os.close(first)
    os.close(second)


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    path, ready = str(tmp_path / "x.part"), os.pipe()
    child = os.fork()
    if child == 0:
        locks.lock_file(path)
        os.write(ready[1], b"1")
        time.sleep(60)
    os.read(ready[0], 1)
    assert locks.lock_file(path) is None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    handle = locks.lock_file(path)
    assert handle is not None
    for number in (handle, *ready):
        os.close(number)


def test_a_patient_process_waits_for_the_lock(tmp_path):
    path = str(tmp_path / "x.part")
    first = locks.lock_file(path)
    threading.Timer(0.1, os.close, [first]).start()
    second = locks.lock_file(path, patience=10)
    assert second is not None
    os.close(second)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    os.symlink(tmp_path / "mine", tmp_path / "x.part")
    with pytest.raises(OSError, match="symbolic links"):
        locks.lock_file(str(tmp_path / "x.part"))
