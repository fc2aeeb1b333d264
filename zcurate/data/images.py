"""Decode the images of a data set into one uint8 array at training size.

All of them share one scale of brightness, and one ground behind transparent pixels, which like size and channels are inferred from a sample.
Images of other sizes are scaled into a square and padded with the median color of their border.
"""

from __future__ import annotations

import dataclasses
import io
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.digest import hash_64
from zcurate.data import image_formats, picture_findings
from zcurate.data.brightness import SAMPLE_PIXELS, PixelValues
from zcurate.data.dataset import SkippedRow
from zcurate.data.decoding import GroundFinder, Look, decode, flatten, header, load
from zcurate.data.file_names import printable
from zcurate.errors import InputError
from zcurate.runtime.store import MemoryMappedStore

SIZES = (8, 32)
"""Smallest and largest training side [pixels]; by taste, affordable on a CPU."""
SAMPLE = 256
"""Images that size, channels and brightness are inferred from."""
DECODE_ROWS = 4096
"""Images decoded between two releases of a memory-mapped store."""
MAX_SHOWN = 3
"""Unreadable images named in a warning."""

OpenImage = Callable[[int], BinaryIO]
"""Opens the file of a row; raises ValueError or OSError if there is none."""


@dataclass(frozen=True)
class Originals:
    """The pictures before they are reduced to training size, decoded again when they are needed."""

    side: int
    """Median longest side of a sample [pixels]."""
    load: Callable[[int], np.ndarray]
    """Row -> (H, W) or (H, W, 3) uint8; raises ValueError or OSError if it cannot be read."""
    appearance: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """(N, 5) float32 `picture_findings.MEASURES`; NaN where it could not be read."""
    hashes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    """(N,) uint64 hash of each picture's file, or of its pixels where there is none; 0 where it could not be opened."""

    def at(self, row: int, side: int) -> np.ndarray:
        """Decode a picture in color, scaled into a square and padded like `fit_to_square`, (3, side, side) uint8; zeros if it cannot be read."""
        try:
            return fit_to_square(self.load(row), side, 3, smooth=True)
        except (ValueError, OSError):
            return np.zeros((3, side, side), np.uint8)


@dataclass(frozen=True)
class Images:
    """Decoded images of N rows."""

    pixels: np.ndarray
    """(N, C, H, W) uint8, C = 1 or 3; zeros for an image that could not be read."""
    skipped: tuple[SkippedRow, ...]
    """Rows that could not be read, with the reason."""
    originals: Originals
    """The same before they were reduced."""
    decoding_bytes: int = 0
    """Memory that decoding the largest image takes, about."""


class Survey:
    """Sizes and pixel values of a sample of images."""

    def __init__(self) -> None:
        """No images yet."""
        self.sides: list[int] = []
        self.has_color = False
        self.decoding_bytes = 0
        self.shallow, self.deep, self.ground = PixelValues(), PixelValues(), GroundFinder()

    def add(self, stream: BinaryIO) -> None:
        """Measure an image; its pixels are decoded only if they may tell more than those before.

        Args:
            stream: its file.

        Raises:
            ValueError: it cannot be decoded.
        """
        found = header(stream)
        if found.must_measure or not self.has_color or not self.shallow.is_wide:
            self.add_pixels(load(stream))
        self.sides.append(found.side)
        self.decoding_bytes = max(self.decoding_bytes, found.decoding_bytes)

    def add_pixels(self, loaded: object) -> None:
        """Add the pixel values of an image.

        Args:
            loaded: array or Pillow image from `decoding.load`.
        """
        if isinstance(loaded, np.ndarray):
            self.deep.add(loaded, SAMPLE_PIXELS // SAMPLE)
            self.has_color |= loaded.ndim == 3
            return
        array = flatten(loaded, 255)  # type: ignore[arg-type]
        self.shallow.add(array, 1)
        self.has_color |= array.ndim == 3
        if loaded.mode == "RGBA":  # type: ignore[attr-defined]
            self.ground.add(loaded)  # type: ignore[arg-type]

    def look(self) -> Look:
        """Choose brightness and ground for all images."""
        return Look(self.shallow.brightness_8_bit(), self.deep.brightness(), self.ground.ground())

    def training_shape(self) -> tuple[int, int]:
        """Return side and channels to train at: the median longest side clipped to `SIZES`, and color if any image has it."""
        return int(np.clip(np.median(self.sides), *SIZES)), 3 if self.has_color else 1


def fit_to_square(array: np.ndarray, side: int, channels: int, smooth: bool = False) -> np.ndarray:
    """Scale an image into a square and pad it with the median color of its border.

    Args:
        array: (H, W) or (H, W, 3) uint8.
        side: pixels.
        channels: 1 or 3.
        smooth: scale by cubic interpolation, which a pre-trained network expects.

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
        method = Image.Resampling.BICUBIC if smooth else Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
        scaled = np.asarray(Image.fromarray(array).resize(size, method))
        padded = np.empty((side, side, *array.shape[2:]), np.uint8)
        padded[:] = np.median(border, axis=0).astype(np.uint8)
        top, left = (side - size[1]) // 2, (side - size[0]) // 2
        padded[top : top + size[1], left : left + size[0]] = scaled
        array = padded
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


@contextmanager
def decoding_threads() -> Iterator[Executor]:
    """Yield the threads that images are decoded in; no warning of Pillow or NumPy about a single image reaches the user."""
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        # Once for all threads, as the filters belong to the process.
        warnings.simplefilter("ignore")
        yield pool


def from_files(n_rows: int, open_image: OpenImage, location: str, store: MemoryMappedStore | None = None) -> Images:
    """Decode encoded images to training size.

    Args:
        n_rows: N.
        open_image: opens the file of a row.
        location: the input, for messages.
        store: memory-mapped store for the pixels; None for memory.

    Raises:
        InputError: no image can be read.
    """
    skipped: dict[int, str] = {}
    survey = Survey()

    def measure(row: int) -> None:
        try:
            with open_image(row) as stream:
                survey.add(stream)
        except (ValueError, OSError) as error:
            skipped[row] = reason_of(error)

    with decoding_threads() as pool:
        list(pool.map(measure, range(0, n_rows, max(1, n_rows // SAMPLE))))
        if not survey.sides:
            list(pool.map(measure, range(n_rows)))
        if not survey.sides:
            reason = next(iter(skipped.values()), "no rows")
            raise InputError(f"{location}: none of {n_rows} pictures can be read — {reason} — check the paths (--root) and the files")
        look, shape = survey.look(), survey.training_shape()
        hashes = np.zeros(n_rows, np.uint64)

        def load_row(row: int) -> np.ndarray:
            with open_image(row) as stream:
                hashes[row] = hashes[row] or stream_hash(stream)
                return decode(stream, look)

        found = collect(n_rows, load_row, shape, pool, store, int(np.median(survey.sides)))
        return with_hashes(found, hashes, survey.decoding_bytes)


def with_hashes(found: Images, hashes: np.ndarray, decoding_bytes: int = 0) -> Images:
    """Add the hashes of the files, (N,) uint64, which are known once all have been read, and the memory that decoding takes."""
    return dataclasses.replace(found, originals=dataclasses.replace(found.originals, hashes=hashes), decoding_bytes=decoding_bytes)


def stream_hash(stream: BinaryIO) -> int:
    """Hash a file to 64 bits, from its beginning."""
    stream.seek(0)
    return hash_64(stream.read())


def collect(
    n_rows: int, load_row: Callable[[int], np.ndarray], shape: tuple[int, int], pool: Executor, store: MemoryMappedStore | None, original_side: int
) -> Images:
    """Load all images at training size.

    Args:
        n_rows: N.
        load_row: row -> (H, W) or (H, W, 3) uint8; raises ValueError or OSError if it cannot be read.
        shape: training side and channels.
        pool: threads to load them in.
        store: memory-mapped store for the pixels; None for memory.
        original_side: median longest side [pixels].
    """
    side, channels = shape
    skipped: dict[int, str] = {}
    sizes = (n_rows, channels, side, side)
    pixels = np.zeros(sizes, np.uint8) if store is None else store.zeros(sizes, np.uint8)
    measures = np.full((n_rows, len(picture_findings.MEASURES)), np.nan, np.float32)

    def fill(row: int) -> None:
        try:
            loaded = load_row(row)
            pixels[row] = fit_to_square(loaded, side, channels)
            measures[row] = picture_findings.appearance(loaded)
        except (ValueError, OSError) as error:
            skipped[row] = reason_of(error)

    for begin, end in chunk_ranges(n_rows, DECODE_ROWS):
        # Few rows at a time for each thread, so that all of them have some of a small folder of photographs.
        list(pool.map(fill, range(begin, end), chunksize=min(64, max(1, n_rows // 16))))
        if store is not None:
            store.release()
    return Images(pixels, tuple(SkippedRow(row, skipped[row]) for row in sorted(skipped)), Originals(original_side, load_row, measures))


def reason_of(error: ValueError | OSError) -> str:
    """Put the reason why an image cannot be read into plain words."""
    return f"cannot be opened ({error.strerror})" if isinstance(error, OSError) and error.strerror else str(error)


def from_column(column: pa.Array, paths: list[str | None] | None, location: str, store: MemoryMappedStore | None = None) -> Images:
    """Decode a column of encoded images.

    Args:
        column: (N) binary.
        paths: (N) files of rows without bytes; None if there are none.
        location: the input, for messages.
        store: as for `from_files`.
    """

    def open_image(row: int) -> BinaryIO:
        content = column[row].as_py()
        if content:
            return io.BytesIO(content)
        if paths is None or paths[row] is None:
            raise ValueError("no picture in this row")
        return open_file(paths[row])

    return from_files(len(column), open_image, location, store)


def from_paths(paths: list[str | None], location: str, store: MemoryMappedStore | None = None) -> Images:
    """Decode image files.

    Args:
        paths: (N) path of each file; None for a row without one.
        location: the input, for messages.
        store: as for `from_files`.
    """
    return from_files(len(paths), lambda row: open_file(paths[row]), location, store)


def open_file(path: str | None) -> BinaryIO:
    """Open an image file.

    Raises:
        ValueError: there is none, or it is no regular file.
        OSError: it cannot be opened.
    """
    if path is None:
        raise ValueError("no path in this row")
    if not os.path.isfile(path):
        if image_formats.is_web_address(path):
            raise ValueError(f"a web address, which is not read: {path}")
        if os.path.islink(path):
            raise ValueError(f"no such file: a link to {printable(os.readlink(path))}")
        raise ValueError(f"{'not a file' if os.path.exists(path) else 'no such file'}: {printable(path)}")
    return open(path, "rb")


def from_array(images: np.ndarray, location: str) -> Images:
    """Convert an array of raw images; one scale of brightness for all of them.

    Args:
        images: (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W); numbers in any range, or booleans.
        location: the input, for messages.

    Raises:
        InputError: another shape or type.
    """
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise InputError(f"{location}: images of shape {images.shape} — expected (N, H, W) or (N, H, W, 3) — reshape the array")
    images = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    if 0 in images.shape:
        raise InputError(f"{location}: images of shape {images.shape} — expected at least one pixel of at least one picture")
    if images.dtype.kind not in "buif":
        raise InputError(f"{location}: images of type {images.dtype} — expected numbers or booleans — convert the array")
    values = PixelValues()
    for begin, end in chunk_ranges(len(images), DECODE_ROWS):
        values.add(images[begin:end], max(1, SAMPLE_PIXELS * (end - begin) // len(images)))
    scale = values.brightness_8_bit() if images.dtype == np.uint8 else values.brightness()

    hashes = np.zeros(len(images), np.uint64)

    def load_row(row: int) -> np.ndarray:
        if images.dtype.kind == "f" and not np.isfinite(images[row]).any():
            raise ValueError("no pixel is a finite number")
        hashes[row] = hash_64(np.ascontiguousarray(images[row]).data)
        return scale.to_uint8(images[row])

    side = int(np.clip(max(images.shape[1:3]), *SIZES))
    with decoding_threads() as pool:
        found = collect(len(images), load_row, (side, 3 if images.ndim == 4 else 1), pool, None, max(images.shape[1:3]))
    if len(found.skipped) == len(images):
        raise InputError(f"{location}: no pixel of {len(images)} pictures is a finite number — expected numbers — check how the array was made")
    return with_hashes(found, hashes)


def with_paths(skipped: tuple[SkippedRow, ...], paths: pa.Array | None) -> tuple[SkippedRow, ...]:
    """Add their paths to the rows that could not be read.

    Args:
        skipped: rows.
        paths: (N) string; None if images have no paths.
    """
    return skipped if paths is None else tuple(dataclasses.replace(skip, path=paths[skip.row].as_py()) for skip in skipped)


def skipped_warning(skipped: tuple[SkippedRow, ...], n_rows: int) -> list[str]:
    """Warn of images that cannot be read and name some of them; no warning where there are none.

    Args:
        skipped: rows that cannot be read, with paths.
        n_rows: of the input.
    """
    if not skipped:
        return []
    shown = "; ".join(f"{skip.path or f'row {skip.row}'}: {skip.reason}" for skip in skipped[:MAX_SHOWN])
    more = "; ..." if len(skipped) > MAX_SHOWN else ""
    return [f"{len(skipped)} of {n_rows} pictures cannot be read — {shown}{more} — they are in the report as skipped"]
