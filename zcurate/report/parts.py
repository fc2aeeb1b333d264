"""A report as a folder of parts, `part-00003-of-00008.parquet`, for scans whose reports are written by several processes.

Leaves: a folder that `report.load` reads as one report. Enters: a `Report`, or a process's own rows of one. Every part carries the run card.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from zcurate.data import partitions, remote
from zcurate.errors import ReportError, UsageError
from zcurate.report.atomic import absolute_path, current_umask, guard, local_path
from zcurate.report.report import Report
from zcurate.report.schema import ENDING
from zcurate.report.storage import card_of, check_output
from zcurate.runtime.process_group import ProcessGroup


def save_parts(report: Report, folder: str, n_parts: int, force: bool = False) -> None:
    """Write a report in parts of nearly equal size, in the input's order: to a folder beside it, then renamed.

    Args:
        report: N rows.
        folder: to write, and to replace if it holds a report of the same input.
        n_parts: 1 or more.
        force: replace the report of another input, or other Parquet files, too.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
    """
    if n_parts < 1:
        raise UsageError(f"{folder}: {n_parts} parts — expected 1 or more")
    folder = folder.rstrip("/")
    check_folder(folder, report.card["input"]["path"], force)
    beside = os.path.dirname(os.path.abspath(folder))
    try:
        temporary = tempfile.mkdtemp(prefix=".zcurate-", suffix=".part", dir=beside)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}) — expected a folder that you may write to — name another") from error
    try:
        os.chmod(temporary, 0o777 & ~current_umask())
        for k in range(n_parts):
            begin, end = (len(report) * at // n_parts for at in (k, k + 1))
            write_part(Report(report.table.slice(begin, end - begin), report.card), temporary, k, n_parts)
        exchange(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def written_by_all(folder: str | None, others: ProcessGroup) -> Iterator[str]:
    """A temporary folder that all processes write parts into, and that becomes `folder` when the last is done.

    Args:
        folder: to write, seen by all processes at the same path, and fit for it as `check_either` says; the first's word counts.
        others: the processes.

    Raises:
        UsageError: it cannot be written.
    """
    temporary, trouble = None, None
    if others.rank == 0:
        assert folder is not None  # crack: narrows types only
        try:
            temporary = tempfile.mkdtemp(prefix=".zcurate-", suffix=".part", dir=os.path.dirname(os.path.abspath(folder)))
            os.chmod(temporary, 0o777 & ~current_umask())
        except OSError as error:
            trouble = f"{folder}: cannot be written ({error.strerror}) — expected a folder that you may write to — name another"
    place, trouble = others.gathered((temporary, trouble))[0]
    if trouble is not None:
        raise UsageError(trouble)
    try:
        yield place
        others.gathered("written")
        if temporary is not None and folder is not None:
            exchange(temporary, folder)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    others.gathered("in place")


def write_part(rows: Report, folder: str, k: int, n: int) -> None:
    """Write one part of a report, so that no half of it is ever seen; each process writes its own.

    Until all n are there, `report.load` says which is missing.

    Args:
        rows: of the part, with the run card of the whole.
        folder: that exists.
        k: 0 to n - 1; parts are in the input's order.
        n: parts in all.

    Raises:
        UsageError: the folder cannot be written to.
    """
    rows.save(os.path.join(folder, partitions.part_name(k, n)))


def exchange(fresh: str, folder: str) -> None:
    """Put a finished folder in the place of another, or of a report that is one file, which comes back if that fails."""
    if not os.path.exists(folder):
        os.rename(fresh, folder)
        return
    beside = tempfile.mkdtemp(prefix=".zcurate-", suffix=".old", dir=os.path.dirname(os.path.abspath(folder)))
    old = os.path.join(beside, "report")
    os.rename(folder, old)
    try:
        os.rename(fresh, folder)
    except BaseException:
        os.rename(old, folder)
        raise
    finally:
        shutil.rmtree(beside)


def check_parts_output(path: str, input_path: str, force: bool) -> None:
    """`check`, but the report of the same input may be one file too, which the folder will take the place of; arguments and errors as there."""
    (check_output if os.path.isfile(path) else check_folder)(path, input_path, force)


def check_folder(folder: str, input_path: str, force: bool) -> None:
    """Refuse to replace anything but a report of the same input.

    Args:
        folder: to write.
        input_path: the data's path.
        force: replace another report, or other Parquet files, too.

    Raises:
        UsageError: something else is there; a folder with other things than Parquet files is never replaced.
    """
    if remote.is_remote(folder):
        raise UsageError(f"{folder}: a report in parts is written on this machine — expected a local folder — copy it afterwards")
    guard(folder, [input_path])
    if os.path.isfile(folder):
        raise UsageError(f"{folder}: is a file — expected a folder to write — name another, or take it away")
    if not os.path.isdir(folder):
        return
    source = os.path.realpath(local_path(input_path))
    others = [name for name in os.listdir(folder) if not name.endswith((".parquet", ".part"))]
    if others or os.path.commonpath([source, os.path.realpath(folder)]) == os.path.realpath(folder):
        what = others[0] if others else "the input"
        raise UsageError(f"{folder}: holds {what} — nothing was written — expected a folder of nothing but a report, ending in {ENDING}")
    if force or not os.listdir(folder):
        return
    try:
        before = card_of(folder)["input"]["path"]
    except (ReportError, KeyError):
        raise UsageError(f"{folder}: exists and is no report — nothing was written — overwrite it with --force, or name another with -o") from None
    if before != absolute_path(input_path):
        raise UsageError(f"{folder}: is a report of {before} — nothing was written — overwrite it with --force, or name another with -o")
