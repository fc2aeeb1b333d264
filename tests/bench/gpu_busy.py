"""Scan on the GPU under torch's profiler and print the seconds in which kernels and copies ran.

    python tests/bench/gpu_busy.py DATA REPORT [LABEL]

Prints one JSON object: `busy_seconds`, `kernels` (their number), and `slowest`, the ten most expensive by name. The profiler slows down the
host, not the kernels, so measure the wall clock of the scan without it.
"""

from __future__ import annotations

import json
import sys

from torch.profiler import ProfilerActivity, profile

from zcurate.pipeline import api


def main(data: str, report: str, label: str | None = None) -> None:
    """Scan `data` under the profiler and print the totals."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        api.scan(data, label=label, output=report, force=True, device="cuda")
    events = [event for event in profiler.key_averages() if event.self_device_time_total > 0]
    events.sort(key=lambda event: -event.self_device_time_total)
    seconds = sum(event.self_device_time_total for event in events) / 1e6
    slowest = {event.key[:60]: round(event.self_device_time_total / 1e6, 4) for event in events[:10]}
    sys.stdout.write(json.dumps({"busy_seconds": seconds, "kernels": sum(event.count for event in events), "slowest": slowest}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
