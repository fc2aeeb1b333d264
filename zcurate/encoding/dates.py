"""Dates and times as numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def all_time_parts(array: pa.Array) -> list[np.ndarray]:
    """A date or time as numbers: how long since the epoch, month, day of month, weekday, hour; a time of day its hours."""
    there = pa.types.is_time(array.type)
    if there:
        micros = array.cast(pa.time64("us"), safe=False).cast(pa.int64()).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return [micros / 3.6e9]
    stamp = array.cast(pa.timestamp("us"), safe=False)
    parts = [pc.divide(stamp.cast(pa.int64()).cast(pa.float64()), 8.64e10)]
    parts += [take(stamp).cast(pa.float64()) for take in (pc.month, pc.day, pc.day_of_week, pc.hour)]
    return [part.to_numpy(zero_copy_only=False) for part in parts]
