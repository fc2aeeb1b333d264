"""Decode one picture file. With `images` and `image_formats` the only module that uses Pillow."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from zcurate.data.brightness import Brightness

if TYPE_CHECKING:
    from PIL import Image

DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Pillow's modes of grayscale with more than 8 bits."""
MIN_REDUCED = 256
"""Larger pictures are reduced while they are decoded, to no less than this longest side [pixels]: eight times the largest training side."""
LARGE_PIXELS = 4_000_000
"""Pictures that are decoded at this size or above are decoded one at a time, so that their memory does not add up."""
DECODING_BYTES = 16
"""Memory per pixel while a picture is decoded and reduced."""
OTHER_BYTE = {
    **{f"{mode};16B": f"{mode};16L" for mode in ("RGB", "RGBA")},
    **{f"{mode};16L": f"{mode};16B" for mode in ("RGB", "RGBA")},
    **{f"{mode};16N": f"{mode};16{'B' if np.little_endian else 'L'}" for mode in ("RGB", "RGBA")},
}
"""Pillow keeps the high byte of 16-bit colors; raw mode -> the one that keeps the low byte."""
ORIENTATION = 0x0112
"""EXIF tag."""
TRANSPOSED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
"""EXIF orientation -> how Pillow turns the picture upright."""
BRIGHT, DARK, FEW = 230, 25, 0.2
"""Opaque pixels from the one on vanish on white, up to the other on black; a share of them that does not matter."""
KNOWN_HEADS = {
    b"<!doctype": "an HTML page", b"<html": "an HTML page", b"<head": "an HTML page", b"<?xml": "XML", b"<svg": "SVG",
    b"version https://git-lfs": "a Git LFS pointer: run `git lfs pull`", b"/annex/objects": "a git-annex pointer: run `git annex get`",
    b"%pdf": "PDF", b"pk\3\4": "a ZIP archive", b"{": "JSON",
}  # fmt: skip
"""Lower-case beginning of a file -> what it is instead of a picture."""
large_decode = threading.Lock()
"""Held while a large picture is decoded."""


@dataclass(frozen=True)
class Look:
    """How pixels become bytes, the same for all pictures of a data set."""

    shallow: Brightness = field(default_factory=Brightness)
    """Brightness of 8-bit pictures."""
    deep: Brightness = field(default_factory=lambda: Brightness(0, 65535))
    """Brightness of pictures with more bits, and of floats."""
    ground: int = 255
    """Gray level behind transparent pixels."""

    def flat(self, loaded: Any) -> np.ndarray:
        """Turn a loaded picture into (H, W) or, if it has colors, (H, W, 3) uint8.

        Args:
            loaded: from `load`.
        """
        if isinstance(loaded, np.ndarray):
            return self.deep.to_uint8(loaded)
        return self.shallow.to_uint8(flatten(loaded, self.ground))


class GroundFinder:
    """Chooses the ground behind transparent pixels on which most opaque ones can be seen."""

    def __init__(self) -> None:
        """No pictures yet."""
        self.counts = np.zeros(3, np.int64)
        self.lock = threading.Lock()

    def add(self, image: Image.Image) -> None:
        """Count the bright, dark and other opaque pixels of a picture.

        Args:
            image: of mode RGBA.
        """
        gray, alpha = np.asarray(image.convert("RGB").convert("L")), np.asarray(image)[..., 3]
        opaque = gray[alpha > 127]
        counts = np.array([(opaque >= BRIGHT).sum(), (opaque <= DARK).sum(), opaque.size])
        with self.lock:
            self.counts += counts

    def ground(self) -> int:
        """White; black where many pixels would vanish on white; gray where as many would vanish on black."""
        bright, dark, n = self.counts
        return 255 if bright <= FEW * n else 0 if dark <= FEW * n else 128


def decode(stream: BinaryIO, look: Look | None = None) -> np.ndarray:
    """Decode one image to (H, W) or (H, W, 3) uint8.

    Args:
        stream: the file, at any position.
        look: brightness and ground.

    Raises:
        ValueError: not an image, or one that cannot be decoded, with the reason.
    """
    return (look or Look()).flat(load(stream))


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it."""

    side: int
    """The longer one [pixels]."""
    must_measure: bool
    """Brightness or transparency must be measured: more than 8 bits, or alpha."""
    decoding_bytes: int
    """Memory that decoding it takes, about."""


def header(stream: BinaryIO) -> Header:
    """Read an image's header.

    Raises:
        ValueError: not an image, with the reason.
    """
    with opened_image(stream) as image:
        factor = max(1, max(image.size) // MIN_REDUCED) if image.format in ("JPEG", "MPO") and not image.info.get("progressive") else 1
        n_pixels = image.size[0] * image.size[1] // factor**2
        return Header(max(image.size), is_deep(image) or has_alpha(image), n_pixels * DECODING_BYTES)


def load(stream: BinaryIO) -> Any:
    """Decode one image upright, a large one reduced: to an array if it has more than 8 bits, else to a Pillow image of mode L, RGB or RGBA.

    Args:
        stream: the file, at any position.

    Raises:
        ValueError: not an image, or one that cannot be decoded, with the reason.
    """
    from PIL import Image

    with opened_image(stream) as opened:
        n_pixels = opened.size[0] * opened.size[1]
        factor = max(opened.size) // MIN_REDUCED
        if factor > 1:
            opened.draft(opened.mode, (max(1, opened.size[0] // factor), max(1, opened.size[1] // factor)))
        n_decoded = n_pixels if opened.info.get("progressive") else opened.size[0] * opened.size[1]
        with large_decode if n_decoded >= LARGE_PIXELS else nullcontext():
            low_bytes = load_low_bytes(stream, opened)
            opened.load()
            # Pillow turns TIFF files upright itself.
            turn = TRANSPOSED.get(opened.getexif().get(ORIENTATION, 1))
            factor = max(1, max(opened.size) // MIN_REDUCED)
            if low_bytes is not None:
                array = np.asarray(opened).astype(np.uint16) << 8 | low_bytes
                # Where 16-bit colors are transparent, their high bytes have to do.
                if array.shape[2] == 3 or (array[..., 3] == 65535).all():
                    return upright_array(reduce_array(array[..., :3], factor), turn)
            if opened.mode in DEEP_MODES:
                return upright_array(reduce_array(np.asarray(opened), factor), turn)
            image = in_plain_mode(opened)
            image = image.reduce(factor) if factor > 1 else image
        return image if turn is None else image.transpose(Image.Transpose[turn])


@contextmanager
def opened_image(stream: BinaryIO) -> Iterator[Image.Image]:
    """Open an image without decoding it, and put the errors of Pillow into plain words.

    Raises:
        ValueError: not an image, or one that cannot be decoded, with the reason.
    """
    from PIL import Image, UnidentifiedImageError

    stream.seek(0)
    head = stream.read(256)
    if not head:
        raise ValueError("empty file")
    stream.seek(0)
    try:
        with Image.open(stream) as image:
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"not a picture{described(head)}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"too many pixels, a decompression bomb? ({str(error).partition(',')[0]})") from error
    except MemoryError as error:
        raise ValueError("too many pixels for this machine's memory") from error
    except Exception as error:
        # Pillow raises many types for broken files, SyntaxError and struct.error among them.
        raise ValueError(f"truncated or broken ({str(error).splitlines()[0][:80] if str(error) else type(error).__name__})") from error


def described(head: bytes) -> str:
    """Describe a file that is not a picture by its first bytes, as the end of a message."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kind = next((words for known, words in KNOWN_HEADS.items() if start.startswith(known)), None)
    return f" but {kind}" if kind else f" (it begins with {head[:8]!r})"


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened image has more than 8 bits."""
    return image.mode in DEEP_MODES or low_byte_tiles(image) is not None


def has_alpha(image: Image.Image) -> bool:
    """Return whether an image may have transparent pixels."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def in_plain_mode(image: Image.Image) -> Image.Image:
    """Convert an image of 8 bits or less to RGBA if it may be transparent, else to L or RGB."""
    if has_alpha(image):
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def flatten(image: Image.Image, ground: int) -> np.ndarray:
    """Convert an image of mode L, RGB or RGBA to grayscale (H, W), or (H, W, 3) if it has colors.

    Args:
        image: from `load`.
        ground: gray level behind transparent pixels.
    """
    from PIL import Image

    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (ground, ground, ground, 255)), image).convert("RGB")
    array = np.asarray(image)
    if array.ndim == 3 and (array[..., 0] == array[..., 1]).all() and (array[..., 0] == array[..., 2]).all():
        return np.ascontiguousarray(array[..., 0])
    return array


def low_byte_tiles(image: Image.Image) -> list[Any] | None:
    """Return the tiles of an opened image with 16-bit colors, changed to yield the low bytes; None for other images."""
    tiles = list(getattr(image, "tile", []))
    modes = [tile[3] if isinstance(tile[3], str) else tile[3][0] if isinstance(tile[3], tuple) and tile[3] else None for tile in tiles]
    changed = [OTHER_BYTE[mode] for mode in modes if mode in OTHER_BYTE]
    if not tiles or len(changed) < len(tiles):
        return None
    return [type(tile)(*tile[:3], mode if isinstance(tile[3], str) else (mode, *tile[3][1:])) for tile, mode in zip(tiles, changed, strict=True)]


def load_low_bytes(stream: BinaryIO, image: Image.Image) -> np.ndarray | None:
    """Decode the low bytes of an image with 16-bit colors, (H, W, 3 or 4) uint8; None for other images.

    Args:
        stream: the file.
        image: opened from it and not decoded yet.
    """
    from PIL import Image

    if low_byte_tiles(image) is None:
        return None
    stream.seek(0)
    with Image.open(io.BytesIO(stream.read())) as again:
        again.tile = low_byte_tiles(again) or []
        return np.asarray(again)


def reduce_array(array: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of pixels.

    Args:
        array: (H, W) or (H, W, 3).
        factor: side of a square [pixels].
    """
    factor = min(factor, *array.shape[:2])
    if factor == 1:
        return array
    height, width = (side // factor for side in array.shape[:2])
    squares = array[: height * factor, : width * factor].reshape(height, factor, width, factor, *array.shape[2:])
    return squares.mean((1, 3), dtype=np.float32)


def upright_array(array: np.ndarray, turn: str | None) -> np.ndarray:
    """Turn an array like Pillow turns an image.

    Args:
        array: (H, W) or (H, W, 3).
        turn: one of `TRANSPOSED`; None for no turn.
    """
    if turn is None:
        return array
    if turn.startswith("ROTATE"):
        return np.rot90(array, int(turn.removeprefix("ROTATE_")) // 90)
    if turn.startswith("FLIP"):
        return np.flip(array, 1 if turn == "FLIP_LEFT_RIGHT" else 0)
    return array.swapaxes(0, 1) if turn == "TRANSPOSE" else np.rot90(array, 2).swapaxes(0, 1)
