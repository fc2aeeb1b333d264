"""The program: registers the commands, catches errors, prints them and chooses the exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import time
import traceback

import typer

from zcurate import __version__
from zcurate.cli import streams
from zcurate.cli.commands.apply import apply
from zcurate.cli.commands.check import check
from zcurate.cli.commands.decisions import decisions
from zcurate.cli.commands.diff import diff
from zcurate.cli.commands.explain import explain
from zcurate.cli.commands.export import export
from zcurate.cli.commands.html import html
from zcurate.cli.commands.info import info
from zcurate.cli.commands.report import report
from zcurate.cli.commands.review import review
from zcurate.cli.commands.scan import scan
from zcurate.cli.commands.trial import trial
from zcurate.cli.commands.update import update
from zcurate.cli.exit_codes import ExitCode
from zcurate.cli.positional import refuse_path_as_command
from zcurate.errors import ProcessError, UsageError, ZcurateError
from zcurate.runtime import environment, interrupts
from zcurate.runtime.interrupts import Interrupted
from zcurate.runtime.safe_text import redact, shown

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENFILE, errno.EMFILE)
"""Errors of the system that say nothing about the program: a full, broken or read-only disk, too many open files."""
RANK_PATIENCE = 3.0
"""Seconds that a worker rank waits before it prints its error: `torchrun` ends it earlier where another rank met the same one and said so."""
COMMANDS = (scan, report, explain, review, update, apply, html, check, diff, export, decisions, trial, info)
"""In the order of the help."""
EXTRA_WORDS = {"allow_extra_args": True}
"""Words that a command does not expect reach it, for a message that says what to type instead."""

app = typer.Typer(
    help="Find the wrong labels in a table or a folder of pictures, and tell them apart from rows that are merely hard.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout is not None and sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command(context_settings=EXTRA_WORDS)(command)


def show_version(is_wanted: bool) -> None:
    """Print the version and exit."""
    if is_wanted:
        sys.stdout.write(f"zcurate {__version__}\n")
        raise typer.Exit


@app.callback()
def options(version: bool = typer.Option(False, "--version", help="Print the version and exit.", callback=show_version, is_eager=True)) -> None:
    """Find the wrong labels in a table or a folder of pictures, and tell them apart from rows that are merely hard."""


def main() -> None:
    """Run the program and exit with one of the codes of `ExitCode`, or as a shell says of a program that a signal ended."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may have bytes that are no text.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        refuse_missing_folder()
        refuse_path_as_command(sys.argv[1:], {command.__name__ for command in COMMANDS})
        app(prog_name="zcurate")
    except ProcessError as error:
        exit_with(f"error: {error}", error.exit_code)
    except ZcurateError as error:
        exit_with(f"error: {error}", ExitCode.USAGE)
    except Interrupted as stop:
        exit_with(str(stop), stop.exit_code)
    except SystemExit as stop:
        # typer exits with 1 where the reader of the output has left.
        if isinstance(stop.__context__, BrokenPipeError):
            streams.discard(1)
            sys.exit(ExitCode.DONE)
        raise
    except MemoryError:
        exit_with("error: out of memory — the data did not fit — try fewer columns or a smaller sample of rows", ExitCode.BUG)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            exit_with_trace()
        exit_with(f"error: {unwritable(error)}", ExitCode.USAGE)
    except Exception:
        exit_with_trace()


def program() -> None:
    """Run `main` and exit without finalizing Python: unloading torch and Arrow would take half a second, and their threads may abort meanwhile."""
    code: object = ExitCode.DONE
    try:
        streams.prepare()
        interrupts.install()
        main()
    except SystemExit as stop:
        code = stop.code
    except Interrupted as stop:
        code = stop.exit_code
    interrupts.delete_leftovers()
    code = code if isinstance(code, int) else ExitCode.DONE
    if (error := streams.flush()) is not None and code == ExitCode.DONE:
        sys.stderr.write(f"error: {shown(unwritable(error))}\n")
        code = ExitCode.USAGE
    if not {"torch", "pyarrow"} & set(sys.modules):
        sys.exit(code)
    os._exit(code)


def refuse_missing_folder() -> None:
    """Refuse to run in a folder that has been deleted: relative paths mean nothing there, and torch cannot be loaded.

    Raises:
        UsageError: it is gone.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder: was deleted — expected a folder that exists — change to another") from error


def unwritable(error: OSError) -> str:
    """Write the message for a disk that is full, broken or read-only."""
    place = f"{error.filename}" if error.filename is not None else "standard output"
    return f"{place}: {os.strerror(error.errno or 0)} — expected room for what is written — free some space, or write elsewhere"


def exit_with_trace() -> None:
    """Write the trace of the current exception to a temporary file, or to stderr where that is not possible, and exit."""
    trace = redact(traceback.format_exc())
    try:
        with tempfile.NamedTemporaryFile("w", prefix="zcurate-trace-", suffix=".txt", delete=False, encoding="utf-8") as file:
            file.write(trace)
        where = f"in {file.name}"
    except OSError:
        sys.stderr.write(trace)
        where = "above"
    exit_with(f"error: a bug in zcurate, not in your data — the trace is {where} — please report it", ExitCode.BUG)


def exit_with(text: str, code: int) -> None:
    """Print one line on stderr and exit. Of several processes the first speaks; another that fails alone says so too, with its rank."""
    number = environment.claimed_rank()
    if number and isinstance(sys.exc_info()[1], Interrupted):
        sys.exit(code)
    try:
        if number:
            time.sleep(RANK_PATIENCE)
        sys.stderr.write((f"rank {number}: " if number else "") + f"{shown(text)}\n")
    except Interrupted:
        code = code or ExitCode.INTERRUPTED
    sys.exit(code)
