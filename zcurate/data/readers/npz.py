"""Reader of NumPy archives with an array of images and one of labels; nothing is unpickled.

Recognizes `images`/`labels`, `x`/`y`, `X`/`y`, `data`/`target`, `x_train`/`y_train`. Not for archives with the features of a table.
"""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np
import pyarrow as pa

from zcurate.config.options import ScanOptions
from zcurate.data import images as images_module
from zcurate.data import schema
from zcurate.data.dataset import Dataset, FileNotes
from zcurate.data.source import Source
from zcurate.errors import InputError, listed

IMAGES = ("images", "x", "X", "data", "x_train", "train_images", "arr_0")
"""Usual names of the array of images."""
LABELS = ("labels", "label", "y", "target", "targets", "y_train", "train_labels", "arr_1")
"""Usual names of the array of labels."""


def read(source: Source, options: ScanOptions) -> Dataset:
    """Read one archive; `--image` and `--label` name the arrays if they have other names.

    Raises:
        InputError: not an archive, or no array of images or of labels.
    """
    try:
        archive = np.load(io.BytesIO(source.open().read()), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        images = pick(archive, options.image, IMAGES, "images", source.path)
        labels = pick(archive, options.label, LABELS, "labels", source.path)
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"{source.path}: not a whole .npz archive of plain arrays — {error} — save it with numpy.savez") from error
    if images.ndim == 0:
        raise InputError(f"{source.path}: images are a single number — expected an array of pictures — name another with --image")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != len(images):
        raise InputError(f"{source.path}: {len(images)} images and labels of shape {labels.shape} — expected one label per image")
    table = pa.table({"label": pa.array(labels.tolist() if labels.dtype.kind in "OUS" else labels)})
    decoded = images_module.from_array(images, source.path)
    with_label = ScanOptions(**{**options.__dict__, "label": "label"})
    return schema.dataset(table, source.origin(), with_label, decoded.pixels, None, FileNotes(decoded.skipped))


def pick(archive: np.lib.npyio.NpzFile, wanted: str | None, usual: tuple[str, ...], content: str, location: str) -> np.ndarray:
    """Return the named array, else the first with a usual name.

    Args:
        archive: the archive.
        wanted: name of the array, or None.
        usual: usual names, in order of preference.
        content: what the array contains, for the message.
        location: the input, for the message.

    Raises:
        InputError: no such array.
    """
    for name in ([wanted] if wanted else []) + list(usual):
        if name in archive.files:
            return np.asarray(archive[name])
    raise InputError(f"{location}: no array of {content} — arrays: {listed(archive.files)} — expected {' or '.join(usual[:3])}")
