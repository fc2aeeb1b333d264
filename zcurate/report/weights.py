"""Sample weights: one float per row, 1 - p_incorrect; of decided rows 1 where the label was kept, 0 where it is wrong, 1 where nothing was judged."""

from __future__ import annotations

import numpy as np

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
