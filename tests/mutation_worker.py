"""Read each mutated input in a process of its own and print what came of it; run by `test_mutations.py` as a program.

Usage: python mutation_worker.py FOLDER, where every entry of FOLDER is a folder with the files of one case and a text file `input` that names the one to read.
Prints a line `case<TAB>outcome<TAB>peak bytes<TAB>seconds` per case; the outcome is `read`, `refused`, `signal N`, `hang`, or the last line of a traceback.
"""

import os
import resource
import signal
import sys
import time
import traceback

from zcurate.config.options import ScanOptions
from zcurate.data import inputs
from zcurate.errors import ZcurateError

MAX_SECONDS, MAX_BYTES = 60, 6 << 30


def read(path: str) -> str:
    """Read an input; return what came of it."""
    try:
        inputs.read_input(path, ScanOptions())
        return "read"
    except ZcurateError as error:
        return "refused" if len(str(error).splitlines()) == 1 else f"message of several lines: {str(error)[:80]!r}"
    except MemoryError:
        return "out of memory"
    except BaseException:
        return "fault " + " | ".join(traceback.format_exc().splitlines()[-3:])


def in_fork(path: str) -> tuple[str, int, float]:
    """Read an input in a forked process; return the outcome, its peak memory [bytes] and its time [s]."""
    receive, send = os.pipe()
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        signal.alarm(MAX_SECONDS)
        os.write(send, read(path).encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        outcome = stream.read().decode()
    _, status, usage = os.wait4(pid, 0)
    if os.WIFSIGNALED(status):
        outcome = "hang" if os.WTERMSIG(status) == signal.SIGALRM else f"signal {os.WTERMSIG(status)}"
    return outcome, usage.ru_maxrss * 1024, time.monotonic() - begin


def main() -> None:
    """Read every case of a folder."""
    for case in sorted(os.listdir(sys.argv[1])):
        folder = os.path.join(sys.argv[1], case)
        with open(os.path.join(folder, "input"), encoding="utf-8") as file:
            outcome, peak, seconds = in_fork(os.path.join(folder, file.read()))
        sys.stdout.write(f"{case}\t{outcome}\t{peak}\t{seconds:.2f}\n")


if __name__ == "__main__":
    main()
