"""Sample weights: one float per row, 1 - p_incorrect; of decided rows 1 where the label was kept, 0 where it is wrong, 1 where nothing was judged."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import pyarrow as pa

from zcurate.report.recut import settled
from zcurate.report.report import Report
from zcurate.report.select import floats, is_among


def weights_of(report: Report) -> np.ndarray:
    """Return the weight of each row, (N,) float32 in the input's order; 0 for rows without a label.

    Args:
        report: a scan's result.
    """
    table = report.table
    weight = 1 - np.nan_to_num(floats(table.column("p_incorrect")), nan=0.0)
    decided = settled(table)
    weight[decided] = is_among(table.column("verdict"), ("clean",))[decided]
    weight[is_among(table.column("verdict"), ("unlabelled", "skipped"))] = 0.0
    return weight.astype(np.float32)


def write(report: Report, stream: BinaryIO, name: str) -> None:
    """Write the weights: as `.npy`, `.parquet`, or text with one number per line.

    Args:
        report: a scan's result.
        stream: to write to.
        name: of the file, whose ending chooses the format.
    """
    weight = weights_of(report)
    if name.lower().endswith(".npy"):
        np.save(stream, weight)
    elif name.lower().endswith((".parquet", ".pq")):
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"row": np.arange(len(weight)), "weight": weight}), stream)
    else:
        stream.write("".join(f"{value:.6g}\n" for value in weight.tolist()).encode())
