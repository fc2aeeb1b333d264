"""One picture file is decoded: many bits, transparency, orientation, size."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import encoded, picture
from zcurate.data import decoding, images
from zcurate.data.brightness import Brightness
from zcurate.data.decoding import GroundFinder, Look


def stream_of(image, kind="PNG", **settings):
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream


def png_of_16_bit_colors(array):
    """A file that Pillow cannot write; (H, W, 3 or 4) uint16."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, 2 if array.shape[2] == 3 else 6, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in array)
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def write_all(folder, streams):
    for number, stream in enumerate(streams):
        (folder / f"{number}.png").write_bytes(stream.getvalue() if hasattr(stream, "getvalue") else stream)
    return [str(folder / f"{number}.png") for number in range(len(streams))]


def test_both_bytes_of_16_bit_colors_count():
    array = (np.arange(8 * 8 * 3).reshape(8, 8, 3) + 1700).astype(np.uint16)
    np.testing.assert_array_equal(decoding.load(png_of_16_bit_colors(array)), array)
    assert len(np.unique(decoding.decode(png_of_16_bit_colors(array), Look(deep=Brightness(1700, 1891))))) > 180
    opaque = np.concatenate([array, np.full((8, 8, 1), 65535, np.uint16)], 2)
    np.testing.assert_array_equal(decoding.load(png_of_16_bit_colors(opaque)), array)
    opaque[0, 0, 3] = 0
    assert decoding.load(png_of_16_bit_colors(opaque)).mode == "RGBA"


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_bytes_of_16_bit_colors_in_a_tiff_count(order):
    array = (np.arange(8 * 8 * 3).reshape(8, 8, 3) * 300).astype(np.uint16)
    fields = [
        (256, 3, 1, 8),
        (257, 3, 1, 8),
        (258, 3, 3, 122),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 128),
        (277, 3, 1, 3),
        (278, 3, 1, 8),
        (279, 4, 1, 384),
    ]
    tags = b"".join(
        struct.pack(f"{order}HHI{'I' if kind == 4 or n > 1 else 'HH'}", tag, kind, n, *([value] if kind == 4 or n > 1 else [value, 0]))
        for tag, kind, n, value in fields
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(fields))
    content = head + tags + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + array.astype(f"{order}u2").tobytes()
    np.testing.assert_array_equal(decoding.load(io.BytesIO(content)), array)


@pytest.mark.parametrize(
    "scale", [lambda a: (a * 2.0 + 1700).astype(np.uint16), lambda a: (a / 1e3 - 5).astype(np.float32), lambda a: a.astype(np.int32) * 1000]
)
def test_files_of_more_than_8_bits_are_stretched_together(tmp_path, scale):
    kind = "TIFF" if scale(np.ones(1)).dtype != np.uint16 else "PNG"
    found = images.from_paths(write_all(tmp_path, [encoded(scale(picture(k, 16)), kind) for k in range(12)]), "here")
    assert found.pixels.min() == 0
    assert found.pixels.max() == 255
    assert len(np.unique(found.pixels)) > 55


def test_files_of_masks_are_stretched_and_plain_ones_are_not(tmp_path):
    masks = [encoded((picture(k) > 100).astype(np.uint8)) for k in range(8)]
    assert np.unique(images.from_paths(write_all(tmp_path, masks), "here").pixels).tolist() == [0, 255]
    plain = [encoded(picture(k)) for k in range(8)]
    np.testing.assert_array_equal(images.from_paths(write_all(tmp_path, plain), "here").pixels[3, 0], picture(3))


@pytest.mark.parametrize(("levels", "ground"), [((20, 20), 255), ((255, 240), 0), ((255, 0), 128), ((130, 90), 255)])
def test_the_ground_behind_transparent_pixels_shows_what_is_drawn(levels, ground):
    finder = GroundFinder()
    for level in levels:
        drawn = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
        drawn.paste((level, level, level, 255), (2, 2, 6, 6))
        finder.add(drawn)
    assert finder.ground() == ground


def test_white_drawings_on_a_transparent_ground_are_seen(tmp_path):
    drawings = []
    for k in range(6):
        array = np.zeros((12, 12, 4), np.uint8)
        array[..., :3], array[:, k : k + 3, 3] = 255, 255
        drawings.append(encoded(array))
    assert np.unique(images.from_paths(write_all(tmp_path, drawings), "here").pixels).tolist() == [0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_every_orientation_is_turned_upright(orientation, deep):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    array = np.arange(8 * 12).reshape(8, 12)
    image = Image.fromarray((array * 600).astype(np.uint16) if deep else array.astype(np.uint8))
    stream = stream_of(image, exif=exif)
    with Image.open(stream) as opened:
        opened.load()
        expected = np.asarray(ImageOps.exif_transpose(opened))
    found = decoding.load(stream)
    np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("TIFF", "I"),
        ("TIFF", "F"),
        ("PNG", "I;16"),
        ("PNG", "1"),
    ],
)
def test_large_pictures_are_reduced(kind, mode):
    image = Image.fromarray(picture(1, 64)).resize((1600, 1200))
    image = Image.fromarray(np.asarray(image).astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    small = decoding.load(stream_of(image, kind))
    size = small.shape[1::-1] if isinstance(small, np.ndarray) else small.size
    assert decoding.MIN_REDUCED <= max(size) < 2 * decoding.MIN_REDUCED
    assert decoding.header(stream_of(image, kind)).side == 1600


def test_reading_a_header_decodes_nothing():
    content = encoded(picture(0, 300), "JPEG")
    assert decoding.header(io.BytesIO(content[: len(content) // 2])).side == 300


def test_memory_of_decoding_counts_what_is_decoded():
    photograph = Image.new("RGB", (2048, 2048))
    baseline, progressive = (decoding.header(stream_of(photograph, "JPEG", progressive=progressive)).decoding_bytes for progressive in (False, True))
    assert progressive == 64 * baseline == decoding.header(stream_of(photograph)).decoding_bytes


def test_too_many_pixels_are_a_reason(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="too many pixels"):
        decoding.decode(io.BytesIO(encoded(picture(0))))


def test_unreadable_files_are_named_in_a_warning(tmp_path):
    paths = [*write_all(tmp_path, [encoded(picture(0)), b"", encoded(picture(1))[:60]]), str(tmp_path), str(tmp_path / "gone.png")]
    found = images.from_paths(paths, "here")
    reasons = [skip.reason for skip in found.skipped]
    assert reasons[0] == "empty file"
    assert reasons[1].startswith("truncated or broken")
    assert reasons[2:] == [f"not a file: {tmp_path}", f"no such file: {tmp_path / 'gone.png'}"]
    assert images.skipped_warning(found.skipped, 5)[0].startswith("4 of 5 pictures cannot be read — row 1: empty file; ")
    assert images.skipped_warning((), 5) == []
