"""Files are written whole or not at all, by one process at a time, over nothing that must not change."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import threading
import time

import pytest

from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError
from zcurate.report import atomic, storage
from zcurate.runtime import locks

needs_locks = pytest.mark.skipif(locks.fcntl is None, reason="needs file locks")
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


def write(path, text, claim=None):
    with atomic.whole_file(str(path), claim) as temporary, open(temporary, "w") as file:
        file.write(text)


def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "r.csv").write_text("before")
    os.symlink("there/r.csv", tmp_path / "link.csv")
    os.symlink(tmp_path / "there" / "new.csv", tmp_path / "dangling.csv")
    write(tmp_path / "link.csv", "after")
    write(tmp_path / "dangling.csv", "new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "there" / "r.csv").read_text() == "after"
    assert (tmp_path / "there" / "new.csv").read_text() == "new"
    assert sorted(os.listdir(tmp_path / "there")) == ["new.csv", "r.csv"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_the_mode_of_an_existing_file_is_kept(tmp_path, mode):
    path = tmp_path / "r.csv"
    path.write_text("before")
    path.chmod(mode)
    write(path, "after")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "after"


def test_a_new_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "r.csv", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "r.csv").stat().st_mode) == 0o640


def test_another_hard_link_keeps_its_content(tmp_path):
    (tmp_path / "r.csv").write_text("before")
    os.link(tmp_path / "r.csv", tmp_path / "copy.csv")
    write(tmp_path / "r.csv", "after")
    assert (tmp_path / "copy.csv").read_text() == "before"


@needs_locks
def test_a_second_process_is_told_and_the_first_one_finishes(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "CLAIM_SECONDS", 0.1)
    path = str(tmp_path / "r.csv")
    with atomic.claimed(path) as claim:
        with pytest.raises(UsageError, match="r.csv: another zcurate process is about to write it"), atomic.claimed(path, 0.1):
            pass
        write(path, "first", claim)
    assert os.listdir(tmp_path) == ["r.csv"]
    assert (tmp_path / "r.csv").read_text() == "first"
    with atomic.claimed(path):
        pass


@needs_locks
def test_the_links_of_one_file_are_one_output(tmp_path):
    (tmp_path / "r.csv").write_text("before")
    os.symlink(tmp_path / "r.csv", tmp_path / "link.csv")
    with atomic.claimed(str(tmp_path / "r.csv")), pytest.raises(UsageError, match="another zcurate process"), atomic.claimed(str(tmp_path / "link.csv"), 0):
        pass


@needs_locks
def test_many_writers_of_one_file_take_turns(tmp_path):
    path, texts = str(tmp_path / "r.csv"), [f"{number:04d}" * 1000 for number in range(20)]
    writers = [threading.Thread(target=write, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "r.csv").read_text() in texts
    assert os.listdir(tmp_path) == ["r.csv"]


@needs_locks
def test_what_a_killed_process_left_is_taken_over(tmp_path):
    path, ready, child = str(tmp_path / "r.csv"), os.pipe(), os.fork()
    if child == 0:
        with atomic.whole_file(path) as temporary, open(temporary, "w") as file:
            file.write("a" * 100_000)
            file.flush()
            os.write(ready[1], b"1")
            time.sleep(60)
    os.read(ready[0], 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 1 and os.listdir(tmp_path)[0].startswith(".zcurate-")
    write(path, "whole")
    assert os.listdir(tmp_path) == ["r.csv"]
    assert (tmp_path / "r.csv").read_text() == "whole"


def test_a_name_as_long_as_the_system_allows_can_be_written(tmp_path):
    write(tmp_path / ("r" * 251 + ".csv"), "long")
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "Disk quota exceeded"), (errno.EIO, "Input/output error")]
)
def test_a_full_disk_is_an_error_that_leaves_the_old_file(tmp_path, number, words):
    (tmp_path / "r.csv").write_text("before")

    def fill():
        with atomic.whole_file(str(tmp_path / "r.csv")):
            raise OSError(number, "what a library says")

    with pytest.raises(UsageError, match=rf"r.csv: cannot be written \({words}\)"):
        fill()
    assert os.listdir(tmp_path) == ["r.csv"]
    assert (tmp_path / "r.csv").read_text() == "before"


def test_a_folder_that_vanishes_and_one_that_appears_are_errors(tmp_path):
    (tmp_path / "gone").mkdir()

    def lose(path, happen):
        with atomic.whole_file(str(path)):
            happen()

    with pytest.raises(UsageError, match="No such file or directory"):
        lose(tmp_path / "gone" / "r.csv", lambda: os.rename(tmp_path / "gone", tmp_path / "moved"))
    with pytest.raises(UsageError, match="Is a directory"):
        lose(tmp_path / "r.csv", lambda: os.mkdir(tmp_path / "r.csv"))
    with pytest.raises(UsageError, match="is a folder — expected a file"), atomic.claimed(str(tmp_path / "r.csv")):
        pass


@needs_pipes
def test_a_pipe_is_written_and_not_replaced(tmp_path):
    path, found = tmp_path / "pipe.csv", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_text()))
    reader.start()
    write(path, "through a pipe")
    reader.join(10)
    assert found == ["through a pipe"]
    assert path.is_fifo()
    assert os.listdir(tmp_path) == ["pipe.csv"]


@needs_pipes
@pytest.mark.parametrize("force", [False, True])
def test_a_scan_writes_to_no_pipe(tmp_path, force):
    os.mkfifo(tmp_path / "r.parquet")
    with pytest.raises(UsageError, match="is a pipe or a device — expected a file"):
        storage.check_output(str(tmp_path / "r.parquet"), "a.csv", ScanOptions(force=force))


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A file, a folder of parts and one of pictures, with other names for them."""
    for name in ("a.parquet", "parts/part-0.parquet", "pictures/cat/1.png", "pictures/metadata.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("file_name,label\n" if name.endswith("csv") else "mine")
    os.symlink(tmp_path / "parts", tmp_path / "link")
    os.symlink(tmp_path / "a.parquet", tmp_path / "b.parquet")
    os.link(tmp_path / "a.parquet", tmp_path / "hard.parquet")
    monkeypatch.chdir(tmp_path / "parts")
    return tmp_path


SPELLINGS = [
    ("a.parquet", ["../a.parquet", "..//a.parquet", "../parts/./../a.parquet", "{}/a.parquet", "file://{}/a.parquet", "FILE://{}/a.parquet",
                   "../b.parquet", "../hard.parquet", "../link/../a.parquet"]),
    ("parts", ["part-0.parquet", "../link/part-0.parquet", "file://{}/link/part-0.parquet"]),
    ("parts/*.parquet", ["part-0.parquet", "../link/part-0.parquet"]),
    ("pictures", ["../pictures/cat/1.png", "../pictures/metadata.csv"]),
]  # fmt: skip


@pytest.mark.parametrize(("data", "output"), [(data, output) for data, outputs in SPELLINGS for output in outputs])
def test_the_input_is_the_input_however_it_is_spelled(inputs, data, output):
    with pytest.raises(UsageError, match="is the input itself, or a part of it"):
        atomic.guard(output.format(inputs), [str(inputs / data)])
    with pytest.raises(UsageError, match="is the input itself, or a part of it"):
        atomic.guard(output.format(inputs), [f"file://{inputs / data}"])


def test_what_standard_input_reads_is_the_input(tmp_path):
    path, before = tmp_path / "a.csv", os.dup(0)
    path.write_text("x,label\n")
    handle = os.open(path, os.O_RDONLY)
    try:
        os.dup2(handle, 0)
        with pytest.raises(UsageError, match="is the input itself"):
            atomic.guard(str(path), ["-"])
        atomic.guard(str(tmp_path / "b.csv"), ["-"])
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(handle)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_device_is_not_replaced():
    with pytest.raises(UsageError, match=r"/dev/full: cannot be written \(No space left on device\)"):
        write("/dev/full", "text")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
