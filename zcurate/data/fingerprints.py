"""Fingerprints of rows: hashes of their content, by which decisions find their row after the file was sorted or changed. No torch.

A fingerprint is the sum modulo 2^64 of a hash of each feature's value, salted with the column's name, and of a hash of the given label. It does not depend
on the order of rows or columns, nor on how a number is written, and the part of the label can be exchanged for that of another one.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.digest import hash_64
from zcurate.data.dataset import Dataset

LABEL = "\0label"
"""Salt of the given label; no column has this name."""
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Of the finalizer of SplitMix64."""
CHUNK_ROWS = 65_536
"""Rows hashed at a time."""


def fingerprints(data: Dataset) -> pa.Array:
    """Hash each row's features and given label, (N,) string of 16 hexadecimal digits; of pictures the file's bytes take the place of the features."""
    n = len(data.given)
    total = label_hashes(data.given)
    if data.originals is not None:
        total += mix(data.originals.hashes, "\0picture")
    for name, values in data.arrays.items():
        total += column_hashes(values, name)
    digits = np.frombuffer(total.astype(">u8").tobytes().hex().encode(), "S16") if n else np.zeros(0, "S16")
    return pa.array(digits, pa.binary()).cast(pa.string()) if n else pa.array([], pa.string())


def relabeled(fingerprint: str, before: Any, after: Any) -> str:
    """Return the fingerprint of a row whose given label is replaced.

    Args:
        fingerprint: of the row as it is.
        before: its label, text or a number.
        after: the new one.
    """
    old, new = (int(label_hashes(pa.array([label]))[0]) for label in (before, after))
    return f"{(int(fingerprint, 16) - old + new) % 2**64:016x}"


def label_hashes(labels: pa.Array) -> np.ndarray:
    """Hash labels, (N,) uint64."""
    return column_hashes(labels, LABEL)


def column_hashes(values: pa.Array | pa.ChunkedArray, name: str) -> np.ndarray:
    """Hash the values of a column, (N,) uint64, salted with its name; 0 where there is none.

    Args:
        values: numbers, times, text or lists of numbers.
        name: of the column.
    """
    out = np.zeros(len(values), np.uint64)
    for begin, end in chunk_ranges(len(values), CHUNK_ROWS):
        part = values.slice(begin, end - begin)
        part = part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part
        out[begin:end] = np.where(known(part), mix(raw_hashes(part), name), np.uint64(0))
    return out


def known(values: pa.Array) -> np.ndarray:
    """Mark the values that are neither null nor NaN, (N,) bool."""
    return pc.invert(pc.is_null(values, nan_is_null=True)).to_numpy(zero_copy_only=False)


def raw_hashes(values: pa.Array) -> np.ndarray:
    """Turn values into (N,) uint64 that are equal where the values are."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return raw_hashes(values.dictionary)[values.indices.fill_null(0).to_numpy(zero_copy_only=False)] if len(values.dictionary) else zeros(values)
    if pa.types.is_temporal(kind):
        # Microseconds and nanoseconds of one time are equal.
        unit = kind if pa.types.is_time(kind) or pa.types.is_duration(kind) else pa.timestamp("us")
        return values.cast(unit, safe=False).cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return number_hashes(values.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy(zero_copy_only=False))
    if pa.types.is_null(kind):
        return zeros(values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = values.dictionary_encode()
        words = np.array([text_hash(word) for word in encoded.dictionary.to_pylist()], np.uint64)
        return words[encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)] if len(words) else zeros(values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return list_hashes(values)
    return np.array([hash_64(repr(value).encode("utf-8", "surrogateescape")) for value in values.to_pylist()], np.uint64)


def zeros(values: pa.Array) -> np.ndarray:
    """Return (N,) uint64 of zeros for values that are all null."""
    return np.zeros(len(values), np.uint64)


def number_hashes(numbers: np.ndarray) -> np.ndarray:
    """Return the bits of float64 numbers as uint64; 0 and -0 are equal."""
    return (numbers + 0.0).view(np.uint64)


def list_hashes(values: pa.Array) -> np.ndarray:
    """Hash lists of numbers, (N,) uint64: the sum of their hashes, each times an odd number for its place."""
    length = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    items = raw_hashes(values.flatten())
    ends = np.cumsum(length)
    place = np.arange(len(items)) - np.repeat(ends - length, length)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mix(items, "") * (2 * place + 1).astype(np.uint64))])
    return total[ends] - total[ends - length]


def text_hash(word: str) -> int:
    """Hash a text; one that is a plain number like the number, so that it does not matter how a reader took the column."""
    if word[:1] in "0123456789-." and len(word) <= 32:
        try:
            number = float(word)
            if math.isfinite(number):
                return int(struct.unpack("<Q", struct.pack("<d", number + 0.0))[0])
        except ValueError:
            pass
    return hash_64(word.encode("utf-8", "surrogateescape"))


def mix(hashes: np.ndarray, name: str) -> np.ndarray:
    """Salt (N,) uint64 with a name and spread them over all bits: the finalizer of SplitMix64 (Steele et al. 2014)."""
    z = hashes + np.uint64(hash_64(name.encode("utf-8", "surrogateescape")))
    z ^= z >> np.uint64(30)
    z *= np.uint64(MULTIPLIERS[0])
    z ^= z >> np.uint64(27)
    z *= np.uint64(MULTIPLIERS[1])
    z ^= z >> np.uint64(31)
    return z
