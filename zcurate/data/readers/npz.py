"""Reader of NumPy archives with an array of images and one of labels; nothing is unpickled.

Recognizes `images`/`labels`, `x`/`y`, `X`/`y`, `data`/`target`, `x_train`/`y_train`. Not for archives with the features of a table.
"""

from __future__ import annotations

import dataclasses
import zipfile
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import images as images_module
from zcurate.data import schema
from zcurate.data.columns import numpy_array
from zcurate.data.dataset import Dataset, FileNotes
from zcurate.data.limits import MemoryLimit, check_expansion
from zcurate.data.source import Source
from zcurate.errors import InputError, ZcurateError, listed

IMAGES = ("images", "x", "X", "data", "x_train", "train_images", "arr_0")
"""Usual names of the array of images."""
LABELS = ("labels", "label", "y", "target", "targets", "y_train", "train_labels", "arr_1")
"""Usual names of the array of labels."""
COPIES = 1.5
"""Times their size that the memory for arrays of numbers takes, with the pictures made of them."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read one archive; `--image` and `--label` name the arrays if they have other names.

    Raises:
        InputError: not an archive, no array of images or of labels, or arrays larger than what is there.
    """
    try:
        with source.open_seekable() as raw:
            if raw.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise ValueError("a single array")
            archive = zipfile.ZipFile(raw)
            images = pick(archive, options.image, IMAGES, "images", source)
            labels = pick(archive, options.label, LABELS, "labels", source)
    except ZcurateError:
        raise
    except Exception as error:
        # zipfile and NumPy raise many types for broken archives: RuntimeError, TokenError and struct.error among them.
        reason = str(error).partition("\n")[0][:100] or type(error).__name__
        raise InputError(f"{source.path}: not a whole .npz archive of plain arrays — {reason} — save it with numpy.savez") from error
    if images.ndim == 0:
        raise InputError(f"{source.path}: images are a single number — expected an array of pictures — name another with --image")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != len(images):
        raise InputError(f"{source.path}: {len(images)} images and labels of shape {labels.shape} — expected one label per image")
    if labels.dtype.names:
        raise InputError(f"{source.path}: labels of type {labels.dtype} — expected one number or word per image — save one field of them")
    decoded = images_module.from_array(images, source.path)
    with_label = ScanOptions(**{**options.__dict__, "label": "label"})
    table = pa.table({"label": numpy_array(labels, "labels")})
    data = schema.dataset(table, source.origin(), with_label, decoded.pixels, None, FileNotes(decoded.skipped))
    return dataclasses.replace(data, originals=decoded.originals)


def pick(archive: zipfile.ZipFile, wanted: str | None, usual: tuple[str, ...], content: str, source: Source) -> np.ndarray:
    """Read the named array, else the first with a usual name.

    Args:
        archive: the archive.
        wanted: name of the array, or None.
        usual: usual names, in order of preference.
        content: what the array contains, for the message.
        source: the input.

    Raises:
        InputError: no such array, or one that is larger than the bytes that are there or than the memory.
    """
    members = {name.removesuffix(".npy"): name for name in archive.namelist()}
    name = next((name for name in ([wanted] if wanted else []) + list(usual) if name in members), None)
    if name is None:
        raise InputError(f"{source.path}: no array of {content} — arrays: {listed(members)} — expected {' or '.join(usual[:3])}")
    member = archive.getinfo(members[name])
    check_expansion(member.file_size, member.compress_size, source.path)
    with archive.open(member) as stream:
        declared = declared_bytes(stream)
        if declared > member.file_size:
            raise InputError(f"{source.path}: '{name}' declares {declared} bytes and holds {member.file_size} — expected all of them — is the file complete?")
        MemoryLimit.of(source.memory).check(declared * COPIES, source.path, content)
    with archive.open(member) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def declared_bytes(stream: Any) -> int:
    """Return the size of an array, from its header.

    Args:
        stream: of a .npy file, at its beginning.

    Raises:
        ValueError: it is no .npy file.
    """
    read_header = np.lib.format.read_array_header_1_0 if np.lib.format.read_magic(stream) == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    return prod(shape) * int(dtype.itemsize)
