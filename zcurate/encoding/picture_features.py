"""Features of pictures by a pre-trained network, computed once and kept beside the report."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from zcurate.arrays.chunk import chunk_ranges
from zcurate.data.dataset import Dataset
from zcurate.encoding.backbones import efficientnet_lite
from zcurate.runtime.context import RunContext
from zcurate.runtime.device import has_bfloat16
from zcurate.runtime.threads import prefetch

SIDE = 128
"""Side at which pictures are shown to the network [pixels]."""
PICTURES = 64
"""Pictures of one forward pass; also decoded ahead of it."""


def picture_features(data: Dataset, run: RunContext) -> np.ndarray:
    """Compute the features of every picture, or read those that an earlier scan of the same pictures kept.

    Args:
        data: N pictures; those that cannot be read get the features of a black one.
        run: device, progress, and the file in which features are kept.

    Returns:
        (N, 1280) float32.

    Raises:
        UsageError: the network's weights are not installed.
    """
    key = f"lite0 {SIDE} {efficientnet_lite.SHA256[:16]} {data.n_rows} {content_digest(data)}"
    kept = None if run.features_file is None else read_kept(run.features_file, key)
    if kept is None:
        kept = compute(data, run).astype(np.float16)
        if run.features_file is not None:
            keep(run.features_file, key, kept)
    return kept.astype(np.float32)


def content_digest(data: Dataset) -> str:
    """Hash the pictures as they are at training size, with the identity of the input."""
    assert data.pictures is not None  # crack: narrows types only
    digest = hashlib.blake2b(data.origin.digest.encode(), digest_size=16)
    for begin, end in chunk_ranges(len(data.pictures), 4096):
        digest.update(np.ascontiguousarray(data.pictures[begin:end]).data)
    return digest.hexdigest()


def compute(data: Dataset, run: RunContext) -> np.ndarray:
    """Compute the features of every picture, (N, 1280) float32; pictures are decoded ahead in other threads."""
    device = run.torch_device
    dtype = torch.bfloat16 if has_bfloat16(device) else torch.float32
    network = efficientnet_lite.load(dtype).to(device)
    features, done = np.empty((data.n_rows, efficientnet_lite.N_FEATURES), np.float32), 0
    with torch.inference_mode():
        for pixels in prefetch(batches(data)):
            inputs = torch.from_numpy(pixels).to(device).to(dtype, memory_format=torch.channels_last)
            features[done : done + len(pixels)] = network(inputs).float().cpu().numpy()
            done += len(pixels)
            run.progress.step(done, data.n_rows)
    return features


def batches(data: Dataset) -> Iterator[np.ndarray]:
    """Yield pictures as (B, 3, SIDE, SIDE) uint8, in order."""
    originals = data.originals
    assert originals is not None  # crack: narrows types only
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for begin, end in chunk_ranges(data.n_rows, PICTURES):
            yield np.stack(list(pool.map(lambda row: originals.at(row, SIDE), range(begin, end))))


def read_kept(path: str, key: str) -> np.ndarray | None:
    """Read the features of an earlier scan, (N, 1280) float16; None where there are none of the same pictures.

    Args:
        path: of the file.
        key: what the features are of.
    """
    try:
        with safe_open(path, "numpy") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            features = file.get_tensor("features")
            digest = (file.metadata() or {}).get("digest")
    except (OSError, SafetensorError, ValueError):
        return None
    return features if digest == array_digest(features) else None


def keep(path: str, key: str, features: np.ndarray) -> None:
    """Keep features for later scans; a folder that cannot be written to is no fault.

    Args:
        path: of the file.
        key: what the features are of.
        features: (N, 1280) float16.
    """
    temporary = f"{path}.part"
    try:
        with open(temporary, "wb") as file:
            file.write(save({"features": features}, {"key": key, "digest": array_digest(features)}))
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)


def array_digest(array: np.ndarray) -> str:
    """Hash the values of an array."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()


def standardized(features: np.ndarray) -> np.ndarray:
    """Standardize features, (N, V) float32; constant ones become 0."""
    deviation = features.std(0)
    return np.asarray((features - features.mean(0)) / np.where(deviation > 1e-6, deviation, np.inf), np.float32)
