"""A scan on the GPU under torch's profiler: seconds in which kernels and copies ran there.

    python tests/bench/busy.py DATA REPORT [LABEL]

Prints one JSON object: `busy_seconds`, `kernels`, and the ten dearest by name. The profiler slows the host, not the kernels, so that
the scan's own seconds are to be measured without it.
"""

from __future__ import annotations

import json
import sys

from torch.profiler import ProfilerActivity, profile

from zcurate.pipeline import api


def main(data: str, report: str, label: str | None = None) -> None:
    """Scan and count."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        api.scan(data, label=label, output=report, force=True, device="cuda")
    kinds = [kind for kind in seen.key_averages() if kind.self_device_time_total > 0]
    kinds.sort(key=lambda kind: -kind.self_device_time_total)
    spent = sum(kind.self_device_time_total for kind in kinds) / 1e6
    dearest = {kind.key[:60]: round(kind.self_device_time_total / 1e6, 4) for kind in kinds[:10]}
    sys.stdout.write(json.dumps({"busy_seconds": spent, "kernels": sum(kind.count for kind in kinds), "dearest": dearest}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
