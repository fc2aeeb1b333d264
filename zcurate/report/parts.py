"""Write a report as a folder of parts, `part-00003-of-00008.parquet`, when several processes write one report.

`storage.load` reads such a folder as one report. Every part carries the run card.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from zcurate.config.options import ScanOptions
from zcurate.data import remote
from zcurate.data.dataset import Dataset
from zcurate.errors import UsageError
from zcurate.report.atomic import current_umask, guard, temporary_name
from zcurate.report.schema import ENDING
from zcurate.report.storage import check_output, check_same_scan
from zcurate.runtime import locks
from zcurate.runtime.interrupts import delete, deleted_at_the_end
from zcurate.runtime.process_group import ProcessGroup
from zcurate.runtime.temporary_folder import reason


@contextmanager
def written_by_all(folder: str | None, processes: ProcessGroup) -> Iterator[str]:
    """Yield a temporary folder for the parts of all processes, and rename it to `folder` when all have written theirs.

    Args:
        folder: to write, at the same path for all processes and checked by `check_parts_output`; only rank 0's value is used.
        processes: that write the report.

    Raises:
        UsageError: the folder cannot be written.
    """
    temporary, handle, problem = None, None, None
    if processes.rank == 0:
        assert folder is not None  # crack: narrows types only
        temporary = temporary_name(os.path.abspath(folder), ".parts")
        try:
            handle = empty_folder(temporary)
            problem = None if handle is not None else f"{folder}: another zcurate process writes it — expected one at a time — wait for it, or name another"
        except OSError as error:
            problem = f"{folder}: cannot be written ({reason(error)}) — expected a folder that you may write to — name another"
    shared, problem = processes.gathered((temporary, problem))[0]
    if problem is not None:
        raise UsageError(problem)
    try:
        with nullcontext() if handle is None else deleted_at_the_end(shared, handle):
            yield shared
            processes.gathered("written")
            if handle is not None and folder is not None:
                exchange(shared, os.path.abspath(folder))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({reason(error)}) — expected room in a folder that exists — name another") from error
    processes.gathered("in place")


def empty_folder(path: str) -> int | None:
    """Make and lock an empty folder; what a killed process left there is deleted.

    Args:
        path: of the folder.

    Returns:
        The file descriptor, which holds the lock; None where another process holds it.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        os.mkdir(path)
    handle = locks.lock_folder(path)
    if handle is not None:
        for entry in os.scandir(path):
            delete(entry.path)
        os.chmod(path, 0o777 & ~current_umask())
    return handle


def exchange(new: str, folder: str) -> None:
    """Replace a folder, or a report in one file, by a finished folder; restore the old one if that fails."""
    old = temporary_name(folder, ".old")
    if os.path.exists(folder):
        delete(old)
        os.rename(folder, old)
    try:
        os.rename(new, folder)
    except BaseException:
        if os.path.exists(old):
            os.rename(old, folder)
        raise
    delete(old)


def check_parts_output(path: str, input_path: str, options: ScanOptions, data: Dataset | None = None) -> None:
    """Refuse to replace anything but a report of the same scan, whether one file or a folder of parts.

    Args:
        path: folder to write, or a report in one file that the folder will replace.
        input_path: the data's path.
        options: of the scan; with `force` another report, or other Parquet files, may be replaced too.
        data: of the scan; None before it is read.

    Raises:
        UsageError: something else is there, or the folder cannot be written.
    """
    (check_output if os.path.isfile(path) else check_folder)(path, input_path, options, data)


def check_folder(folder: str, input_path: str, options: ScanOptions, data: Dataset | None) -> None:
    """Refuse to replace a folder that is not a report of the same scan; arguments as for `check_parts_output`.

    Raises:
        UsageError: something else is there; a folder with other things than Parquet files is never replaced.
    """
    if remote.is_remote(folder):
        raise UsageError(f"{folder}: a report in parts is written on this machine — expected a local folder — copy it afterwards")
    guard(folder, [input_path])
    if os.path.isfile(folder):
        raise UsageError(f"{folder}: is a file — expected a folder to write — name another, or delete it")
    if not os.path.isdir(folder):
        return
    source = os.path.realpath(input_path)
    foreign = [name for name in os.listdir(folder) if not name.endswith((".parquet", ".part"))]
    if foreign or os.path.commonpath([source, os.path.realpath(folder)]) == os.path.realpath(folder):
        content = foreign[0] if foreign else "the input"
        raise UsageError(f"{folder}: holds {content} — nothing was written — expected a folder of nothing but a report, ending in {ENDING}")
    if options.force or not os.listdir(folder):
        return
    check_same_scan(folder, input_path, options, data)
