"""Temporary folders: deleted at the end, by the next scan after a kill, and never while their process lives; a full disk is an error."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
import time

import numpy as np
import pytest

from zcurate.errors import UsageError
from zcurate.runtime import locks, store, temporary_folder
from zcurate.runtime.temporary_folder import PREFIX


def test_a_folder_is_deleted_at_the_end_whatever_the_end_is(tmp_path):
    class Stopped(BaseException):
        pass

    def fill_and_stop():
        with temporary_folder.temporary_folder(str(tmp_path)) as folder:
            os.makedirs(f"{folder}/a/b")
            raise Stopped

    with pytest.raises(Stopped):
        fill_and_stop()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(locks.fcntl is None, reason="needs file locks")
def test_what_a_killed_process_left_is_deleted_by_the_next_one_and_nothing_else(tmp_path):
    ready, child = os.pipe(), os.fork()
    if child == 0:
        with temporary_folder.temporary_folder(str(tmp_path)) as folder:
            open(f"{folder}/rows", "w").close()
            os.write(ready[1], b"1")
            time.sleep(60)
    os.read(ready[0], 1)
    (tmp_path / "zcurate-notes").mkdir()
    (tmp_path / f"{PREFIX}notes").write_text("a file")
    os.symlink(tmp_path / "zcurate-notes", tmp_path / f"{PREFIX}link")
    mine = {"zcurate-notes", f"{PREFIX}notes", f"{PREFIX}link"}
    with temporary_folder.temporary_folder(str(tmp_path)):
        assert len(set(os.listdir(tmp_path)) - mine) == 2
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(set(os.listdir(tmp_path)) - mine) == 1
    with temporary_folder.temporary_folder(str(tmp_path)) as folder:
        assert set(os.listdir(tmp_path)) - mine == {os.path.basename(folder)}
    assert set(os.listdir(tmp_path)) == mine


def test_a_missing_folder_is_an_error_that_names_it(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"gone: cannot be written \(No such file or directory\)"), temporary_folder.temporary_folder(str(tmp_path / "gone")):
        pass

    def none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(UsageError, match="TMPDIR: cannot be written"), temporary_folder.temporary_folder():
        pass


@pytest.mark.parametrize("system", [True, False])
def test_rows_have_their_space_before_they_are_mapped(tmp_path, monkeypatch, system):
    if not system:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with store.temporary_store(str(tmp_path)) as rows:
        array = rows.zeros((1000, 3), np.float64)
        status = os.stat(array.filename)
        assert status.st_size == 24_000
        assert status.st_blocks * 512 >= 24_000
        assert not array.any()
        array[:] = 1
        with rows.row_writer(array) as write:
            write(5, np.full((2, 3), 7.0))
        assert array.sum() == 3000 + 6 * 6


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with store.temporary_store(str(tmp_path)) as rows, pytest.raises(UsageError, match=f"{PREFIX}.*: the disk is full, .* GB are free .* TMPDIR"):
        rows.zeros((10,), np.int64)

    def write_more():
        with store.temporary_store(str(tmp_path)):
            full()

    with pytest.raises(UsageError, match="the disk is full"):
        write_more()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_vanishes_is_an_error(tmp_path):
    with store.temporary_store(str(tmp_path)) as rows:
        array = rows.zeros((10,), np.int64)
        os.rename(rows.folder, f"{rows.folder}-gone")
        with pytest.raises(UsageError, match="cannot be written"):
            rows.zeros((10,), np.int64)
        with pytest.raises(UsageError, match="cannot be written"), rows.row_writer(array):
            pass
        os.rename(f"{rows.folder}-gone", rows.folder)
