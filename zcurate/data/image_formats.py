"""Which files are pictures: by the endings that the installed Pillow reads, and by their first bytes."""

from __future__ import annotations

import functools
import os
import re

NOT_DECODED = frozenset({"BUFR", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})
"""Formats that Pillow recognizes but does not decode by itself."""
MAGIC = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"qoif", b"8BPS", b"DDS ",
    b"\0\0\1\0", b"icns", b"\x01\xda", b"\x59\xa6\x6a\x95", b"SIMPLE  =", b"BLP1", b"BLP2",
)  # fmt: skip
"""First bytes of picture files."""
NETPBM = re.compile(rb"P[1-7fF][ \t\r\n]")
"""First bytes of PPM, PGM and PBM files."""
MAGIC_BYTES = 16
"""Bytes that `begins_like_image` needs."""
WEB = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
"""Begin of an address, of the web or of a cloud's store; one letter and a colon are the drive of a Windows path."""
ENDING = re.compile(r"\.[a-z0-9_!~-]*[a-z][a-z0-9_!~-]*")
"""A file name ending; the `.31` of a date or a number is none."""


@functools.cache
def endings() -> frozenset[str]:
    """Return the lower-case file name endings of the pictures that the installed Pillow decodes."""
    from PIL import EpsImagePlugin, Image

    Image.init()
    unread = NOT_DECODED if EpsImagePlugin.has_ghostscript() else NOT_DECODED | {"EPS"}
    # The files of phones with several pictures are opened by the plug-in for JPEG.
    kinds = {*Image.OPEN, "MPO"} - unread
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in kinds)


def ending_of(name: str) -> str:
    """Return a file name's ending in lower case, with the dot; empty where it has none."""
    ending = os.path.splitext(name)[1].lower()
    return ending if ENDING.fullmatch(ending) else ""


def is_image_name(name: str) -> bool:
    """Return whether a file name ends like that of a picture."""
    ending = ending_of(name.strip())
    return bool(ending) and ending in endings()


def is_web_address(text: str) -> bool:
    """Return whether a text is a web address."""
    return WEB.match(text.strip()) is not None


def is_image_address(text: str) -> bool:
    """Return whether a text is the web address of a picture."""
    return is_web_address(text) and is_image_name(re.split(r"[?#]", text.strip())[0])


def begins_like_image(head: bytes) -> bool:
    """Return whether bytes are those that a picture begins with.

    Args:
        head: the first `MAGIC_BYTES` bytes, or more.
    """
    if head.startswith(MAGIC) or NETPBM.match(head):
        return True
    is_bitmap = head[:2] == b"BM" and head[6:10] == bytes(4) and len(head) >= 10
    return is_bitmap or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"))


def is_image_content(path: str) -> bool:
    """Return whether a regular file begins like a picture; False for one that cannot be read."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return begins_like_image(file.read(MAGIC_BYTES))
    except OSError:
        return False
