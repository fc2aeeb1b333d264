"""Features of pictures that a scan keeps beside its report, so that they are computed once. No torch."""

from __future__ import annotations

import hashlib
import os

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.digest import array_digest
from zcurate.data.dataset import Dataset

ENDING = ".features"
"""Suffix of the file after the report's name."""


def features_beside(report: str, data: Dataset) -> np.ndarray | None:
    """Read the features that the scan of a report has kept, (N, V) float16; None where there are none, or the pictures have changed.

    Args:
        report: path of the report.
        data: N rows of its input.
    """
    if data.pictures is None or not os.path.isfile(report + ENDING):
        return None
    features = read_kept(report + ENDING, content_digest(data))
    return features if features is not None and features.ndim == 2 and len(features) == data.n_rows else None


def content_digest(data: Dataset) -> str:
    """Hash the pictures as they are at training size, with the identity of the input."""
    assert data.pictures is not None  # crack: narrows types only
    digest = hashlib.blake2b(data.origin.digest.encode(), digest_size=16)
    for begin, end in chunk_ranges(len(data.pictures), 4096):
        digest.update(np.ascontiguousarray(data.pictures[begin:end]).data)
    return digest.hexdigest()


def read_kept(path: str, pictures: str, network: str | None = None) -> np.ndarray | None:
    """Read the features of an earlier scan, (N, V) float16; None where there are none of the same pictures.

    Args:
        path: of the file.
        pictures: `content_digest` of the pictures.
        network: identity of the network; None for that of any.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("pictures") != pictures or (network is not None and metadata.get("network") != network):
                return None
            features = file.get_tensor("features")
            digest = metadata.get("digest")
    except (OSError, SafetensorError, ValueError):
        return None
    return features if digest == array_digest(features) else None


def keep(path: str, pictures: str, network: str, features: np.ndarray) -> None:
    """Keep features for later scans; a folder that cannot be written to is no fault.

    Args:
        path: of the file.
        pictures: `content_digest` of the pictures.
        network: identity of the network.
        features: (N, V) float16.
    """
    temporary = f"{path}.part"
    try:
        with open(temporary, "wb") as file:
            file.write(save({"features": features}, {"pictures": pictures, "network": network, "digest": array_digest(features)}))
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
