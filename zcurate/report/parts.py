"""Write a report as a folder of parts, `part-00003-of-00008.parquet`, when several processes write one report.

`storage.load` reads such a folder as one report. Every part carries the run card.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from zcurate.config.options import ScanOptions
from zcurate.data import remote
from zcurate.data.dataset import Dataset
from zcurate.errors import UsageError
from zcurate.report.atomic import current_umask, guard
from zcurate.report.schema import ENDING
from zcurate.report.storage import check_output, check_same_scan
from zcurate.runtime.process_group import ProcessGroup


@contextmanager
def written_by_all(folder: str | None, processes: ProcessGroup) -> Iterator[str]:
    """Yield a temporary folder for the parts of all processes, and rename it to `folder` when all have written theirs.

    Args:
        folder: to write, at the same path for all processes and checked by `check_parts_output`; only rank 0's value is used.
        processes: that write the report.

    Raises:
        UsageError: the folder cannot be written.
    """
    temporary, problem = None, None
    if processes.rank == 0:
        assert folder is not None  # crack: narrows types only
        try:
            temporary = tempfile.mkdtemp(prefix=".zcurate-", suffix=".part", dir=os.path.dirname(os.path.abspath(folder)))
            os.chmod(temporary, 0o777 & ~current_umask())
        except OSError as error:
            problem = f"{folder}: cannot be written ({error.strerror}) — expected a folder that you may write to — name another"
    shared, problem = processes.gathered((temporary, problem))[0]
    if problem is not None:
        raise UsageError(problem)
    try:
        yield shared
        processes.gathered("written")
        if temporary is not None and folder is not None:
            exchange(temporary, folder)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    processes.gathered("in place")


def exchange(new: str, folder: str) -> None:
    """Replace a folder, or a report in one file, by a finished folder; restore the old one if that fails."""
    if not os.path.exists(folder):
        os.rename(new, folder)
        return
    backup = tempfile.mkdtemp(prefix=".zcurate-", suffix=".old", dir=os.path.dirname(os.path.abspath(folder)))
    old = os.path.join(backup, "report")
    os.rename(folder, old)
    try:
        os.rename(new, folder)
    except BaseException:
        os.rename(old, folder)
        raise
    finally:
        shutil.rmtree(backup)


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
