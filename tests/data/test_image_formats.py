"""Pictures are recognized by name and by their first bytes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.pictures import encoded
from zcurate.data import image_formats

GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize("name", ["a.jfif", "A.JPE", "x.tga", "x.jp2", "x.avif", "x.webp", "x.TIFF", "x.dds", "x.mpo", "x.ico", " x.png "])
def test_every_ending_of_pillow_is_a_picture(name):
    assert image_formats.is_image_name(name)


@pytest.mark.parametrize("name", ["a.txt", "a.mp4", "a.mpg", "a.h5", "a.pdf", "a.svg", "a.heic", "png", "a.png.txt", "", "2020.12.31"])
def test_other_names_are_none(name):
    assert not image_formats.is_image_name(name)


@pytest.mark.parametrize(("name", "ending"), [("IMG_2020.12.31", ""), ("a.JPG_large", ".jpg_large"), ("a", ""), ("a.b.7z", ".7z"), (".hidden", ""), ("a.", "")])
def test_digits_after_a_dot_are_no_ending(name, ending):
    assert image_formats.ending_of(name) == ending


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000", "DDS", "ICO", "ICNS", "SGI", "MPO"])
def test_first_bytes_tell_a_picture(kind):
    array = np.stack([GRAY] * 3, 2) if kind == "DDS" else GRAY
    assert image_formats.begins_like_image(encoded(array, kind)[: image_formats.MAGIC_BYTES])


@pytest.mark.parametrize("head", [b"", b"BMW is a car", b"P1x", b"Prose", b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0\x18ftypisom", b"%PDF-1.7", b"GIF"])
def test_other_bytes_are_none(head):
    assert not image_formats.begins_like_image(head)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://cdn.example.com/1.jpg", True),
        ("HTTP://x/1.PNG?w=100#top", True),
        ("https://x/page.html", False),
        ("images/1.jpg", False),
        ("file:///1.jpg", False),
    ],
)
def test_web_addresses_of_pictures_are_told_from_files(text, expected):
    assert image_formats.is_image_address(text) == expected
