"""Rows made foreign and pictures spoilt, for the studies. Pure functions; every draw comes from the generator passed in."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image


def numbers(frame: pd.DataFrame) -> list[str]:
    """Names of the numeric feature columns."""
    return [name for name in frame.columns if name != "label" and pd.api.types.is_numeric_dtype(frame[name])]


def foreign(host: pd.DataFrame, donor: pd.DataFrame, rows: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """`host` with the features of `rows` from another data set: its k-th number from the donor's k-th numeric column, going round.

    Each row's numbers come from one row of the donor; categories are drawn from the column's own values, so that none is new.
    """
    theirs = donor[numbers(donor)].to_numpy(float)
    theirs = np.where(np.isnan(theirs), np.nanmedian(theirs, axis=0), theirs)[rng.integers(0, len(donor), len(rows))]
    return replaced(host, rows, lambda k, _: theirs[:, k % theirs.shape[1]], rng)


def noise(host: pd.DataFrame, rows: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """`host` with the features of `rows` pure noise: numbers uniform over three times the column's range, categories at random."""

    def drawn(_: int, values: np.ndarray) -> np.ndarray:
        low, high = np.nanmin(values), np.nanmax(values)
        return rng.uniform(2 * low - high, 2 * high - low, len(rows))

    return replaced(host, rows, drawn, rng)


def replaced(host: pd.DataFrame, rows: np.ndarray, number, rng: np.random.Generator) -> pd.DataFrame:
    """`host` with new features in `rows`: numbers from `number(k, column)`, categories uniform over the column's values; label kept."""
    order = {name: k for k, name in enumerate(numbers(host))}
    columns = {}
    for name in host.columns:
        values = host[name].to_numpy(copy=True)
        if name in order:
            new = number(order[name], values.astype(float))
            values[rows] = np.round(new) if values.dtype.kind in "iu" else new
        elif name != "label":
            values[rows] = rng.choice(host[name].dropna().unique(), len(rows))
        columns[name] = pd.Series(values, dtype=host[name].dtype)
    return pd.DataFrame(columns)


def random_labels(labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`labels` with another class, drawn at random, in `rows`."""
    classes, code = np.unique(labels, return_inverse=True)
    code[rows] = (code[rows] + rng.integers(1, len(classes), len(rows))) % len(classes)
    return classes[code]


def shuffled(picture: bytes, seed: int) -> bytes:
    """The picture with its pixels in another order, the same for every picture of its size."""
    image = pixels(picture)
    flat = image.reshape(-1, *image.shape[2:])
    order = np.random.default_rng([seed, *image.shape[:2]]).permutation(len(flat))
    return png(flat[order].reshape(image.shape))


def gaussian(picture: bytes, mean: float, std: float, rng: np.random.Generator) -> bytes:
    """Gaussian pixels in a picture's size."""
    return png(np.clip(rng.normal(mean, std, pixels(picture).shape), 0, 255).astype(np.uint8))


def pixels(picture: bytes) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8."""
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def png(image: np.ndarray) -> bytes:
    """PNG bytes of (H, W) or (H, W, 3) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
