"""Reader of IDX, the format of MNIST: `*-images-idx3-ubyte[.gz]` with `*-labels-idx1-ubyte[.gz]` in the same folder.

Reads grayscale images and integer labels. The file of labels must have that name.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import images as images_module
from zcurate.data import schema
from zcurate.data.dataset import Dataset, FileNotes
from zcurate.data.limits import MemoryLimit
from zcurate.data.source import CHUNK_BYTES, Source
from zcurate.errors import InputError

MAX_DIMS = 4
"""Dimensions at most: rows, channels, height and width."""
COPIES = 1.5
"""Times their size that the memory for the pictures takes."""
TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""Type code of an IDX file -> NumPy dtype."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read the images and the labels in the same folder.

    Raises:
        InputError: either file is missing or broken.
    """
    images = array_of(source)
    if images.ndim == 1:
        raise InputError(f"{source.path}: a list of {len(images)} labels — expected the file of images, whose name holds 'images-idx3' — name that file")
    labels_path = find_labels(source.path)
    labels = array_of(dataclasses.replace(source, path=labels_path, files=(labels_path,)))
    if labels.ndim != 1:
        raise InputError(f"{labels_path}: labels of shape {labels.shape} — expected one label per image — check the pair")
    if len(images) != len(labels):
        raise InputError(f"{source.path}: {len(images)} images but {len(labels)} labels in {labels_path} — expected as many — check the pair")
    decoded = images_module.from_array(images, source.path)
    with_label = ScanOptions(**{**options.__dict__, "label": "label"})
    data = schema.dataset(pa.table({"label": pa.array(labels)}), source.origin(), with_label, decoded.pixels, None, FileNotes(decoded.skipped))
    return dataclasses.replace(data, originals=decoded.originals)


def array_of(source: Source) -> np.ndarray:
    """Read an IDX file into an array; nothing is allocated before the bytes are there.

    Args:
        source: of one file.

    Raises:
        InputError: the header or the size is wrong, or it takes more memory than there is.
    """
    location = source.path
    try:
        with source.open() as stream:
            kind, shape = header_of(stream, location)
            size = prod(shape) * kind.itemsize
            if stream.seekable() and stream.size() - stream.tell() < size:
                raise truncated(location, shape, size)
            MemoryLimit.of(source.memory).check(size * COPIES, location, "the pictures")
            content = bytearray()
            while len(content) < size and (chunk := stream.read(min(CHUNK_BYTES, size - len(content)))):
                content += chunk
            # A compressed file that was cut short behind them is one that was cut short all the same.
            stream.read(1)
    except (OSError, EOFError, pa.ArrowInvalid) as error:
        reason = str(error).partition("\n")[0][:80]
        raise InputError(f"{location}: cut short or broken ({reason}) — expected a whole compressed file — is the download complete?") from error
    if len(content) < size:
        raise truncated(location, shape, size)
    return np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="), copy=False)


def header_of(stream: Any, location: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read the type and the shape of an IDX file.

    Args:
        stream: of the file, at its beginning.
        location: its name, for messages.

    Raises:
        InputError: it is no IDX file, or has more than `MAX_DIMS` dimensions.
    """
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
        raise InputError(f"{location}: not an IDX file — expected two zero bytes, a type and the shape — is this the right file?")
    n_dims = start[3]
    if n_dims > MAX_DIMS:
        raise InputError(f"{location}: {n_dims} dimensions — expected rows, height and width of pictures — is the file whole?")
    sizes = stream.read(4 * n_dims)
    if not n_dims or len(sizes) < 4 * n_dims:
        raise InputError(f"{location}: truncated — its header is not whole — is the download complete?")
    return np.dtype(TYPES[start[2]]), struct.unpack(f">{n_dims}I", sizes)


def truncated(location: str, shape: tuple[int, ...], size: int) -> InputError:
    """Create the error for a file that is shorter than its header says."""
    return InputError(f"{location}: truncated — its header promises {shape}, {size} bytes — is the download complete?")


def find_labels(path: str) -> str:
    """Find the file of labels that belongs to a file of images.

    Raises:
        InputError: it does not exist.
    """
    folder, name = os.path.split(path)
    wanted = name.replace("images", "labels").replace("idx3", "idx1")
    plain = wanted.removesuffix(".gz")
    for candidate in (wanted, plain, plain + ".gz"):
        if candidate != name and os.path.isfile(os.path.join(folder, candidate)):
            return os.path.join(folder, candidate)
    raise InputError(f"{path}: no file of labels in its folder — expected {os.path.join(folder, wanted)} — put it there")
