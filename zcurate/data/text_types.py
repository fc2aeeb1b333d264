"""Types of text columns by all of their values, for tables that are read batch by batch.

A sample may hold only numbers where the whole column holds a word too. The rows found here settle that: with them in the sample, a column gets
the same type as if all rows were in memory.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sample import HEAD_ROWS
from zcurate.data.values import decode_column, without_missing_words

CONVERSIONS = (pa.float64(), pa.timestamp("us"), pa.timestamp("us", tz="UTC"), pa.time64("us"), pa.bool_())
"""Types to which `values.normalize_column` converts text."""


class TextTypes:
    """For each text column and type, the first row with a value that does not fit."""

    def __init__(self, names: list[str]) -> None:
        self.misfits: dict[str, dict[pa.DataType, pa.Table]] = {name: {} for name in names}

    def add(self, batch: pa.RecordBatch) -> None:
        """Test the values of a batch against the types that all values before it fit.

        Args:
            batch: (n) rows.
        """
        for part in (batch.slice(0, HEAD_ROWS), batch.slice(HEAD_ROWS)):
            taken: dict[int, pa.Table] = {}
            for name, misfits in self.misfits.items():
                open_types = [kind for kind in CONVERSIONS if kind not in misfits]
                if not open_types or not part.num_rows:
                    continue
                array = text_of(pa.chunked_array([part.column(name)]))
                for kind in open_types:
                    row = first_misfit(array, kind)
                    if row is not None:
                        misfits[kind] = taken[row] = taken[row] if row in taken else pa.Table.from_batches([part]).take([row])

    def merge(self, other: TextTypes) -> None:
        """Add the misfits that a later part of the table has first."""
        for name, misfits in other.misfits.items():
            self.misfits[name] = {**misfits, **self.misfits[name]}

    def with_misfits(self, sample: pa.Table) -> tuple[pa.Table, dict[str, str]]:
        """Append rows to a sample until its text columns get the types that fit all rows.

        Args:
            sample: (n) rows.

        Returns:
            The sample with at most one more row for each column and type, and the value that makes a column text.
        """
        values = {}
        for name, misfits in self.misfits.items():
            head = text_of(sample.column(name).slice(0, HEAD_ROWS))
            for kind, row in misfits.items():
                if fits(head, kind) and fits(text_of(sample.column(name)), kind):
                    sample = pa.concat_tables([sample, row])
                    values[name] = str(row.column(name)[0])
        return sample.combine_chunks() if values else sample, values


def text_of(column: pa.ChunkedArray) -> pa.Array:
    """Return a text column as one array without the spellings of missing values."""
    return without_missing_words(decode_column(column))


def first_misfit(array: pa.Array, kind: pa.DataType) -> int | None:
    """Return the first row whose value cannot be converted, or None.

    Args:
        array: (n) string, without the spellings of missing values.
        kind: one of `CONVERSIONS`.
    """
    if not fits(array[:1], kind):
        return 0
    if fits(array, kind):
        return None
    begin, end = 0, len(array)
    while end - begin > 1:
        middle = (begin + end) // 2
        begin, end = (middle, end) if fits(array[begin:middle], kind) else (begin, middle)
    return begin


def fits(array: pa.Array, kind: pa.DataType) -> bool:
    """Return whether every value can be converted; `true` and `false` in any case are booleans.

    Args:
        array: (n) string, without the spellings of missing values.
        kind: one of `CONVERSIONS`.
    """
    if pa.types.is_boolean(kind):
        return bool(pc.all(pc.is_in(pc.utf8_lower(array), value_set=pa.array(["true", "false", None]))).as_py())
    try:
        pc.cast(array, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
