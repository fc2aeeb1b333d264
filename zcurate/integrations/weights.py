"""Write sample weights: one float per row."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import pyarrow as pa

from zcurate.report.report import Report
from zcurate.report.weights import weights_of


def write(report: Report, stream: BinaryIO, name: str, scheme: str = "judged") -> None:
    """Write the weights: as `.npy`, `.parquet`, or text with one number per line.

    Args:
        report: a scan's result.
        stream: to write to.
        name: of the file, whose ending chooses the format.
        scheme: of `weights_of`.
    """
    weight = weights_of(report, scheme)
    if name.lower().endswith(".npy"):
        np.save(stream, weight)
    elif name.lower().endswith((".parquet", ".pq")):
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"row": np.arange(len(weight)), "weight": weight}), stream)
    else:
        stream.write("".join(f"{value:.6g}\n" for value in weight.tolist()).encode())
