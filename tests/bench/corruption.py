"""Corrupt rows and pictures for the studies. Pure functions; all randomness comes from the generator passed in."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image


def numeric_columns(frame: pd.DataFrame) -> list[str]:
    """List the numeric feature columns."""
    return [name for name in frame.columns if name != "label" and pd.api.types.is_numeric_dtype(frame[name])]


def with_foreign_rows(host: pd.DataFrame, donor: pd.DataFrame, rows: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Replace the features of `rows` by those of another data set.

    The k-th numeric column takes its values from the donor's k-th numeric column, cyclically; all numbers of a row come from one row of the
    donor. Categories are drawn from the column's own values, so that none is new.
    """
    donated = donor[numeric_columns(donor)].to_numpy(float)
    donated = np.where(np.isnan(donated), np.nanmedian(donated, axis=0), donated)[rng.integers(0, len(donor), len(rows))]
    return with_new_features(host, rows, lambda k, _: donated[:, k % donated.shape[1]], rng)


def with_noise_rows(host: pd.DataFrame, rows: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Replace the features of `rows` by noise: numbers uniform over three times the column's range, categories at random."""

    def uniform(_: int, values: np.ndarray) -> np.ndarray:
        low, high = np.nanmin(values), np.nanmax(values)
        return rng.uniform(2 * low - high, 2 * high - low, len(rows))

    return with_new_features(host, rows, uniform, rng)


def with_new_features(host: pd.DataFrame, rows: np.ndarray, new_numbers, rng: np.random.Generator) -> pd.DataFrame:
    """Replace the features of `rows`: numbers by `new_numbers(k, column)`, categories by random values of the column; the label stays."""
    position = {name: k for k, name in enumerate(numeric_columns(host))}
    columns = {}
    for name in host.columns:
        values = host[name].to_numpy(copy=True)
        if name in position:
            new = new_numbers(position[name], values.astype(float))
            values[rows] = np.round(new) if values.dtype.kind in "iu" else new
        elif name != "label":
            values[rows] = rng.choice(host[name].dropna().unique(), len(rows))
        columns[name] = pd.Series(values, dtype=host[name].dtype)
    return pd.DataFrame(columns)


def random_labels(labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace the labels of `rows` by another class, drawn at random."""
    classes, code = np.unique(labels, return_inverse=True)
    code[rows] = (code[rows] + rng.integers(1, len(classes), len(rows))) % len(classes)
    return classes[code]


def shuffle_pixels(picture: bytes, seed: int) -> bytes:
    """Permute the pixels; the permutation is the same for all pictures of one size."""
    image = pixels(picture)
    flat = image.reshape(-1, *image.shape[2:])
    order = np.random.default_rng([seed, *image.shape[:2]]).permutation(len(flat))
    return png(flat[order].reshape(image.shape))


def gaussian_pixels(picture: bytes, mean: float, std: float, rng: np.random.Generator) -> bytes:
    """Replace all pixels by Gaussian noise."""
    return png(np.clip(rng.normal(mean, std, pixels(picture).shape), 0, 255).astype(np.uint8))


def pixels(picture: bytes) -> np.ndarray:
    """Decode a picture to (H, W) or (H, W, 3) uint8."""
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def png(image: np.ndarray) -> bytes:
    """Encode (H, W) or (H, W, 3) uint8 as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
