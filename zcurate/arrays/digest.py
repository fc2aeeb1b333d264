"""Hashes of arrays."""

from __future__ import annotations

import hashlib

import numpy as np


def array_digest(array: np.ndarray) -> str:
    """Hash the values of an array: BLAKE2b-128, hexadecimal."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
