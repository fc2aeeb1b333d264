"""Start one command, wait for it, and write its resource usage as JSON.

    python -I launch.py RESULT CORES COMMAND ...

Runs in its own process with nothing imported: the peak resident memory that Linux reports for a child is never less than that of the
process that started it, and pytest with pandas and torch loaded is larger than some measured commands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def busy_seconds() -> float | None:
    """Return the CPU seconds that the whole machine has used since boot; None if the system does not report them."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except OSError:
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def main(result: str, cores: int, command: list[str]) -> None:
    """Run `command` on the first `cores` cores (0: all of them) and write its usage to `result`."""
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
    usage_record = {"seconds": seconds, "cpu_seconds": cpu, "megabytes": megabytes, "others": others, "code": os.waitstatus_to_exitcode(status)}
    with open(result, "w") as file:
        json.dump(usage_record, file)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
