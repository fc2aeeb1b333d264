"""Run the program over tampered reports, each command in a process of its own, and print what came of it; run by `test_tampered_reports.py` as a program.

Usage: python report_worker.py FOLDER, where every entry of FOLDER is a report; `data.csv` in it is the input.
Prints a line `report<TAB>command<TAB>outcome` per run that is neither done nor refused in one line: `exit N`, `signal N`, `hang`, or lines of stderr.
"""

import os
import signal
import sys

from zcurate.cli import app
from zcurate.runtime import startup

COMMANDS = (
    ("report", "REPORT", "--top", "5", "--format", "table"),
    ("report", "REPORT", "--format", "csv", "--with-data"),
    ("report", "REPORT", "--top", "3", "--format", "jsonl"),
    ("explain", "REPORT", "0"),
    ("explain", "REPORT", "3", "--json"),
    ("info", "REPORT"),
)
MAX_SECONDS = 60


def run(words: tuple[str, ...]) -> str:
    """Run a command in a fork; return what is wrong with what came of it, empty if nothing."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(send, 2)
        signal.alarm(MAX_SECONDS)
        sys.argv = ["zcurate", *words]
        app.program()
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        told = stream.read().decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) == signal.SIGALRM else f"signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    if code not in (0, 2):
        return f"exit {code}: {told[-200:]!r}"
    if code == 2 and (told.count("\n") != 1 or not told.startswith("error: ")):
        return f"message {told[:200]!r}"
    return "a character that a terminal obeys" if any(character in told for character in "\x1b\x07\x9b") else ""


def main() -> None:
    """Run every command over every report of a folder."""
    # Loaded once, before the forks.
    startup.load_torch(owns_process=True)
    import pyarrow.parquet  # noqa: F401

    import zcurate.report.explain.explain
    import zcurate.training.detectors.neighbors  # noqa: F401

    os.chdir(sys.argv[1])
    for name in sorted(os.listdir(".")):
        if name == "data.csv":
            continue
        for words in COMMANDS:
            outcome = run(tuple(name if word == "REPORT" else word for word in words))
            if outcome:
                sys.stdout.write(f"{name}\t{' '.join(words)}\t{outcome}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
