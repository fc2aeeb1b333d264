"""Dates and times as numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def all_time_parts(array: pa.Array) -> list[np.ndarray]:
    """Split a column of dates or times into numbers.

    Args:
        array: (N,) dates, timestamps or times of day.

    Returns:
        (N,) float64 each: days since the epoch, month, day of the month, weekday and hour; for times of day, hours only.
    """
    if pa.types.is_time(array.type):
        micros = array.cast(pa.time64("us"), safe=False).cast(pa.int64()).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return [micros / 3.6e9]
    stamp = array.cast(pa.timestamp("us"), safe=False)
    # Unsafe, as microseconds before 1685 and after 2255 are not exact in float64; days are exact enough.
    parts = [pc.divide(stamp.cast(pa.int64()).cast(pa.float64(), safe=False), 8.64e10)]
    parts += [extract(stamp).cast(pa.float64()) for extract in (pc.month, pc.day, pc.day_of_week, pc.hour)]
    return [part.to_numpy(zero_copy_only=False) for part in parts]
