"""Reader of IDX, the format of MNIST: `*-images-idx3-ubyte[.gz]` with `*-labels-idx1-ubyte[.gz]` in the same folder.

Reads grayscale images and integer labels. The file of labels must have that name.
"""

from __future__ import annotations

import os
import struct
from math import prod

import numpy as np
import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import images as images_module
from zcurate.data import schema
from zcurate.data.dataset import Dataset, FileNotes
from zcurate.data.source import Source
from zcurate.errors import InputError

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""Type code of an IDX file -> NumPy dtype."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read the images and the labels in the same folder.

    Raises:
        InputError: either file is missing or broken.
    """
    images = array_of(content_of(source), source.path)
    if images.ndim == 1:
        raise InputError(f"{source.path}: a list of {len(images)} labels — expected the file of images, whose name holds 'images-idx3' — name that file")
    labels_path = find_labels(source.path)
    labels = array_of(content_of(Source(labels_path, (labels_path,), "idx")), labels_path)
    if labels.ndim != 1:
        raise InputError(f"{labels_path}: labels of shape {labels.shape} — expected one label per image — check the pair")
    if len(images) != len(labels):
        raise InputError(f"{source.path}: {len(images)} images but {len(labels)} labels in {labels_path} — expected as many — check the pair")
    decoded = images_module.from_array(images, source.path)
    with_label = ScanOptions(**{**options.__dict__, "label": "label"})
    return schema.dataset(pa.table({"label": pa.array(labels)}), source.origin(), with_label, decoded.pixels, None, FileNotes(decoded.skipped))


def content_of(source: Source) -> bytes:
    """Read a file, decompressed.

    Raises:
        InputError: it cannot be opened, or its compressed content ends too early.
    """
    try:
        return bytes(source.open().read())
    except (OSError, EOFError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0][:80]
        raise InputError(f"{source.path}: cut short or broken ({reason}) — expected a whole compressed file — is the download complete?") from error


def find_labels(path: str) -> str:
    """Find the file of labels that belongs to a file of images.

    Raises:
        InputError: it does not exist.
    """
    folder, name = os.path.split(path)
    wanted = name.replace("images", "labels").replace("idx3", "idx1")
    plain = wanted.removesuffix(".gz")
    for candidate in (wanted, plain, plain + ".gz"):
        if candidate != name and os.path.exists(os.path.join(folder, candidate)):
            return os.path.join(folder, candidate)
    raise InputError(f"{path}: no file of labels in its folder — expected {os.path.join(folder, wanted)} — put it there")


def array_of(content: bytes, location: str) -> np.ndarray:
    """Parse an IDX file into an array.

    Raises:
        InputError: the header or the size is wrong.
    """
    if len(content) < 8 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise InputError(f"{location}: not an IDX file — expected two zero bytes, a type and the shape — is this the right file?")
    n_dims = content[3]
    if not n_dims or len(content) < 4 + 4 * n_dims:
        raise InputError(f"{location}: truncated — its header is not whole — is the download complete?")
    shape = struct.unpack(f">{n_dims}I", content[4 : 4 + 4 * n_dims])
    kind = np.dtype(TYPES[content[2]])
    size = prod(shape) * kind.itemsize
    if len(content) < 4 + 4 * n_dims + size:
        raise InputError(f"{location}: truncated — its header promises {shape}, {size} bytes — is the download complete?")
    array = np.frombuffer(content, kind, count=prod(shape), offset=4 + 4 * n_dims).reshape(shape)
    return array.astype(kind.newbyteorder("="))
