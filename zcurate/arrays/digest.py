"""Hashes of arrays and of bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def array_digest(array: np.ndarray) -> str:
    """Hash the values of an array: BLAKE2b-128, hexadecimal."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()


def hash_64(content: Any) -> int:
    """Hash bytes, or a buffer, to 64 bits: BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
