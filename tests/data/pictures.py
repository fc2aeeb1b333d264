"""Folders of small pictures for tests."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image


def picture(number, side=12):
    """A gray picture with a bright bar; the place depends on its number."""
    array = np.random.default_rng(number).integers(0, 60, (side, side)).astype(np.uint8)
    width = side // 4
    array[:, number % 4 * width : (number % 4 + 1) * width] = 220
    return array


def encoded(array, kind="PNG", **settings):
    """The bytes of a picture file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **settings)
    return stream.getvalue()


def write(root, *paths):
    """Write a PNG at each path below a folder."""
    for number, path in enumerate(paths):
        place = os.path.join(os.fspath(root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(encoded(picture(number)))


def write_classes(root, *classes, n=3):
    """Write `n` pictures in the folder of each class."""
    write(root, *(f"{name}/{k}.png" for name in classes for k in range(n)))
