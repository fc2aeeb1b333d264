"""Decode images into one uint8 array at training size. The only module that uses Pillow.

Handles grayscale, color, palettes, alpha (composited on white), 16 bits and EXIF rotation. Images of other sizes are scaled into a square
and padded with the median color of their border.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zcurate.arrays.chunk import chunk_ranges
from zcurate.data.dataset import SkippedRow
from zcurate.errors import InputError
from zcurate.runtime.store import MemoryMappedStore

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
"""File name extensions of images."""
MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
"""First bytes of image files (WebP is recognized by its 9th to 12th byte)."""
SIZES = (8, 32)
"""Smallest and largest training side [pixels]; by taste, affordable on a CPU."""
SAMPLE = 256
"""Images that size and number of channels are inferred from."""
DECODE_ROWS = 4096
"""Images decoded between two releases of a memory-mapped store."""


@dataclass(frozen=True)
class Images:
    """Decoded images of N rows."""

    pixels: np.ndarray
    """(N, C, H, W) uint8, C = 1 or 3; zeros for an image that could not be read."""
    skipped: tuple[SkippedRow, ...]
    """Rows that could not be read, with the reason."""


def decode(content: bytes) -> np.ndarray:
    """Decode one image to (H, W) or (H, W, 3) uint8.

    Raises:
        ValueError: not an image, or a truncated one.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
                return flatten(image)
    except Exception as error:
        # Pillow raises many types for broken files, SyntaxError and struct.error among them.
        raise ValueError(f"not a picture that can be decoded ({type(error).__name__})") from error


def flatten(image: object) -> np.ndarray:
    """Convert a Pillow image to 8-bit grayscale (H, W) or color (H, W, 3); alpha is composited on white, palettes are resolved."""
    from PIL import Image

    assert isinstance(image, Image.Image)  # crack: narrows types only
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        return to_uint8(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or (image.mode == "P" and "transparency" in image.info):
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(background, image).convert("RGB")
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    array = np.asarray(image)
    if array.ndim == 3 and (array[..., 0] == array[..., 1]).all() and (array[..., 0] == array[..., 2]).all():
        return np.ascontiguousarray(array[..., 0])
    return array


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert pixel values of any type to uint8.

    Args:
        values: any shape; floats 0 to 1 or 0 to 255, integers 0 to 255 or 0 to 65535.
    """
    if values.dtype == np.uint8:
        return values
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(finite.max()) if finite.size else 1.0
    scale = 255.0 if values.dtype.kind == "f" and top <= 1 else 1 / 257 if top > 255 else 1.0
    return np.clip(finite * scale, 0, 255).round().astype(np.uint8)


def fit_to_square(array: np.ndarray, side: int, channels: int) -> np.ndarray:
    """Scale an image into a square and pad it with the median color of its border.

    Args:
        array: (H, W) or (H, W, 3) uint8.
        side: pixels.
        channels: 1 or 3.

    Returns:
        (C, side, side) uint8.
    """
    from PIL import Image

    if array.ndim == 3 and channels == 1:
        array = np.asarray(Image.fromarray(array).convert("L"))
    if array.ndim == 2 and channels == 3:
        array = np.repeat(array[..., None], 3, 2)
    height, width = array.shape[:2]
    if (height, width) != (side, side):
        scale = side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        border = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
        scaled = np.asarray(Image.fromarray(array).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR))
        padded = np.empty((side, side, *array.shape[2:]), np.uint8)
        padded[:] = np.median(border, axis=0).astype(np.uint8)
        top, left = (side - size[1]) // 2, (side - size[0]) // 2
        padded[top : top + size[1], left : left + size[0]] = scaled
        array = padded
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def training_shape(sample: Iterable[np.ndarray]) -> tuple[int, int]:
    """Return side and channels to train at: the median longest side clipped to `SIZES`, and color if any image has it.

    Args:
        sample: images (H, W) or (H, W, 3).
    """
    shapes = [(max(array.shape[:2]), 3 if array.ndim == 3 else 1) for array in sample]
    side = int(np.clip(np.median([side for side, _ in shapes]), *SIZES))
    return side, max(channels for _, channels in shapes)


def collect(n_rows: int, load: Callable[[int], np.ndarray], location: str, store: MemoryMappedStore | None = None) -> Images:
    """Load all images at training size.

    Args:
        n_rows: N.
        load: row -> image; raises ValueError or OSError if it cannot be read.
        location: the input, for messages.
        store: memory-mapped store for the pixels; None for memory.

    Raises:
        InputError: no image can be read.
    """
    skipped: dict[int, str] = {}

    def attempt(row: int) -> np.ndarray | None:
        try:
            return load(row)
        except (ValueError, OSError) as error:
            skipped[row] = str(error)
            return None

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        rows = range(0, n_rows, max(1, n_rows // SAMPLE))
        sample = [array for array in pool.map(attempt, rows) if array is not None]
        if not sample:
            sample = [array for array in pool.map(attempt, range(n_rows)) if array is not None][:SAMPLE]
        if not sample:
            reason = next(iter(skipped.values()), "no rows")
            raise InputError(f"{location}: none of {n_rows} pictures can be read — {reason} — check the paths (--root) and the files")
        side, channels = training_shape(sample)
        shape = (n_rows, channels, side, side)
        pixels = np.zeros(shape, np.uint8) if store is None else store.zeros(shape, np.uint8)

        def fill(row: int) -> None:
            array = attempt(row)
            if array is not None:
                pixels[row] = fit_to_square(array, side, channels)

        for begin, end in chunk_ranges(n_rows, DECODE_ROWS):
            list(pool.map(fill, range(begin, end), chunksize=64))
            if store is not None:
                store.release()
    return Images(pixels, tuple(SkippedRow(row, skipped[row]) for row in sorted(skipped)))


def from_bytes(column: pa.Array, location: str, store: MemoryMappedStore | None = None) -> Images:
    """Decode a column of encoded images.

    Args:
        column: (N) binary, or Hugging Face's struct of `bytes` and `path`.
        location: the input, for messages.
        store: as for `collect`.
    """
    if pa.types.is_struct(column.type):
        column = column.field("bytes")

    def load(row: int) -> np.ndarray:
        content = column[row].as_py()
        if not content:
            raise ValueError("no picture in this row")
        return decode(content)

    return collect(len(column), load, location, store)


def from_paths(paths: list[str | None], location: str, store: MemoryMappedStore | None = None) -> Images:
    """Decode image files.

    Args:
        paths: (N) path of each file; None for a row without one.
        location: the input, for messages.
        store: as for `collect`.
    """

    def load(row: int) -> np.ndarray:
        path = paths[row]
        if path is None:
            raise ValueError("no path in this row")
        if not os.path.isfile(path):
            raise ValueError(f"no such file: {path}")
        with open(path, "rb") as file:
            return decode(file.read())

    return collect(len(paths), load, location, store)


def from_array(images: np.ndarray, location: str) -> Images:
    """Convert an array of raw images.

    Args:
        images: (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W); integers 0 to 255 or 0 to 65535, or floats 0 to 1 or 0 to 255.
        location: the input, for messages.

    Raises:
        InputError: another shape.
    """
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise InputError(f"{location}: images of shape {images.shape} — expected (N, H, W) or (N, H, W, 3) — reshape the array")
    images = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    if 0 in images.shape:
        raise InputError(f"{location}: images of shape {images.shape} — expected at least one pixel of at least one picture")
    images = to_uint8(images)
    return collect(len(images), lambda row: images[row], location)
