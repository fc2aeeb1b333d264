"""Features of pictures by a pre-trained network, computed once and kept beside the report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from zcurate.arrays.chunk import chunk_ranges
from zcurate.data.dataset import Dataset
from zcurate.encoding import backbones
from zcurate.encoding.backbones import Network
from zcurate.encoding.kept_features import content_digest, keep, read_kept
from zcurate.errors import UsageError
from zcurate.runtime.context import RunContext
from zcurate.runtime.device import has_bfloat16
from zcurate.runtime.threads import prefetch

PICTURES, ROWS = 64, 4096
"""Pictures of one forward pass, which are also decoded ahead of it; and rows that are standardized at a time."""
MAX_FEATURE = 65_504.0
"""Largest number in float16."""


def picture_features(data: Dataset, name: str, download: bool, run: RunContext) -> np.ndarray:
    """Compute the features of every picture, or read those that an earlier scan of the same pictures kept.

    Args:
        data: N pictures; those that cannot be read get the features of a black one.
        name: of the network, as `--features` has it.
        download: fetch its weights where they are not here.
        run: device, progress, and the file in which features are kept.

    Returns:
        (N, V) float16.

    Raises:
        UsageError: the network or its weights are not here, or it makes no features.
    """
    network = backbones.load(name, download)
    identity, pictures = f"{network.identity} {network.side}", content_digest(data)
    kept = None if run.features_file is None else read_kept(run.features_file, pictures, identity)
    if kept is None:
        kept = compute(data, network, name, run)
        if run.features_file is not None:
            keep(run.features_file, pictures, identity, kept)
    return kept


def compute(data: Dataset, network: Network, name: str, run: RunContext) -> np.ndarray:
    """Compute the features of every picture, (N, V) float16; pictures are decoded ahead in other threads.

    Args:
        data: N pictures.
        network: to be applied.
        name: of the network, for messages.
        run: device, progress.

    Raises:
        UsageError: the network fails, or makes no features.
    """
    device, apply = run.torch_device, network.apply
    dtype = torch.bfloat16 if network.bfloat16 and has_bfloat16(device) else torch.float32
    if isinstance(apply, torch.nn.Module):
        apply = apply.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    features, done = np.empty((0, 0), np.float16), 0
    with torch.inference_mode():
        for pixels in prefetch(batches(data, network.side)):
            inputs = torch.from_numpy(pixels).to(device).to(dtype, memory_format=torch.channels_last)
            try:
                found = torch.as_tensor(apply(inputs)).float().cpu().numpy()
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
                reason = str(error).partition("\n")[0][:160]
                raise UsageError(f"--features {name}: fails on pictures of {network.side}x{network.side} — {reason} — expected features of each") from error
            if found.ndim != 2 or len(found) != len(pixels) or not np.isfinite(found).all():
                shape = "x".join(map(str, found.shape)) or "one number"
                raise UsageError(f"--features {name}: makes {shape} of {len(pixels)} pictures — expected finite ones, a row for each picture")
            if not done:
                features = np.empty((data.n_rows, found.shape[1]), np.float16)
            features[done : done + len(pixels)] = np.clip(found, -MAX_FEATURE, MAX_FEATURE)
            done += len(pixels)
            run.progress.step(done, data.n_rows)
    return features


def batches(data: Dataset, side: int) -> Iterator[np.ndarray]:
    """Yield pictures as (B, 3, side, side) uint8, in order."""
    originals = data.originals
    assert originals is not None  # crack: narrows types only
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for begin, end in chunk_ranges(data.n_rows, PICTURES):
            yield np.stack(list(pool.map(lambda row: originals.at(row, side), range(begin, end))))


def standardized(
    features: np.ndarray, row: np.ndarray, scale: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Standardize the features of some rows; constant ones become 0.

    Args:
        features: (N, V) float16 or float32.
        row: (M,) int64.
        scale: (V,) mean and standard deviation of other rows; None for those of these.

    Returns:
        (M, V) float32; and the mean and standard deviation, (V,) float32 each, infinite for constant ones.
    """
    out = np.empty((len(row), features.shape[1]), np.float32)
    total = np.zeros((2, features.shape[1]))
    # Some rows at a time: the float32 of all are large enough once.
    for begin, end in chunk_ranges(len(row), ROWS):
        out[begin:end] = features[row[begin:end]]
        total[0] += out[begin:end].sum(0, dtype=np.float64)
    mean = (total[0] / max(1, len(row))).astype(np.float32) if scale is None else scale[0]
    for begin, end in chunk_ranges(len(row), ROWS):
        out[begin:end] -= mean
        total[1] += np.square(out[begin:end]).sum(0, dtype=np.float64)
    deviation = np.sqrt(total[1] / max(1, len(row)))
    deviation = np.where(deviation > 1e-6, deviation, np.inf).astype(np.float32) if scale is None else scale[1]
    out /= deviation
    return out, (mean, deviation)
