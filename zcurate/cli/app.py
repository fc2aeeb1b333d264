"""The program: registers the commands, catches errors, prints them and chooses the exit code."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import traceback

import typer

from zcurate import __version__
from zcurate.cli.commands.explain import explain
from zcurate.cli.commands.info import info
from zcurate.cli.commands.report import report
from zcurate.cli.commands.scan import scan
from zcurate.cli.commands.trial import trial
from zcurate.cli.exit_codes import ExitCode
from zcurate.cli.positional import refuse_path_as_command
from zcurate.errors import ZcurateError
from zcurate.runtime.environment import rank
from zcurate.runtime.safe_text import redact, shown

INTERRUPTED = "interrupted — no report was written — if there is a checkpoint, --resume continues from it"

COMMANDS = (scan, report, explain, trial, info)
"""In the order of the help."""
EXTRA_WORDS = {"allow_extra_args": True}
"""Words that a command does not expect reach it, for a message that says what to type instead."""

app = typer.Typer(
    help="Find the wrong labels in a table or a folder of pictures, and tell them apart from rows that are merely hard.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
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
    """Run the program and exit with one of the codes of `ExitCode`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may have bytes that are no text.
        sys.stdout.reconfigure(errors="backslashreplace")
    if hasattr(signal, "SIGPIPE") and {"report", "explain", "info"} & set(sys.argv[1:2]):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        refuse_path_as_command(sys.argv[1:], {command.__name__ for command in COMMANDS})
        app(prog_name="zcurate")
    except ZcurateError as error:
        exit_with(f"error: {error}", ExitCode.USAGE)
    except KeyboardInterrupt:
        exit_with(INTERRUPTED, ExitCode.INTERRUPTED)
    except SystemExit as stop:
        # typer exits with this code on Ctrl-C and prints nothing.
        if stop.code == ExitCode.INTERRUPTED:
            exit_with(INTERRUPTED, ExitCode.INTERRUPTED)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.DONE)
    except MemoryError:
        exit_with("error: out of memory — the data did not fit — try fewer columns or a smaller sample of rows", ExitCode.BUG)
    except Exception:
        with tempfile.NamedTemporaryFile("w", prefix="zcurate-trace-", suffix=".txt", delete=False, encoding="utf-8") as file:
            file.write(redact(traceback.format_exc()))
        exit_with(f"error: a bug in zcurate, not in your data — the trace is in {file.name} — please report it", ExitCode.BUG)


def program() -> None:
    """Run `main` and exit without finalizing Python: unloading torch and Arrow would take half a second, and their threads may abort meanwhile."""
    code: object = ExitCode.DONE
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    if not {"torch", "pyarrow"} & set(sys.modules):
        sys.exit(code if isinstance(code, int) else ExitCode.DONE)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(int(code) if isinstance(code, int) else ExitCode.DONE)


def exit_with(text: str, code: ExitCode) -> None:
    """Print one line on stderr and exit."""
    if rank() == 0:
        sys.stderr.write(f"{shown(text)}\n")
    sys.exit(code)
