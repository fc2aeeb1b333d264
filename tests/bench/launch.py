"""Starts one command, waits for it, and writes what it used as JSON.

    python -I launch.py RESULT CORES COMMAND ...

A process of its own with nothing imported: the largest resident memory that Linux reports of a child is never less than that of the
process that started it, and pytest with pandas and torch in it is larger than some of what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def busy_seconds() -> float | None:
    """CPU seconds that the whole machine has worked since it started; None where nobody says."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except OSError:
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def main(result: str, cores: int, command: list[str]) -> None:
    """Run `command` on the first `cores` cores (0: on all of them)."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    before, begin = busy_seconds(), time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, after = time.perf_counter() - begin, busy_seconds()
    cpu = usage.ru_utime + usage.ru_stime
    others = 0.0 if before is None or after is None else max(0.0, after - before - cpu) / (seconds * (os.cpu_count() or 1))
    # Kilobytes on Linux, bytes on macOS.
    megabytes = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    used = {"seconds": seconds, "cpu_seconds": cpu, "megabytes": megabytes, "others": others, "code": os.waitstatus_to_exitcode(status)}
    with open(result, "w") as file:
        json.dump(used, file)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
