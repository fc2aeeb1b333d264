"""Images of every kind are decoded into one uint8 array."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from zcurate.data import decoding, images
from zcurate.errors import InputError


def decode(content):
    return decoding.decode(io.BytesIO(content))


def encoded(image, form="PNG", **settings):
    stream = io.BytesIO()
    image.save(stream, form, **settings)
    return stream.getvalue()


GRAY = Image.fromarray((np.arange(16 * 16).reshape(16, 16)).astype(np.uint8))
COLOR = Image.fromarray(np.stack([np.full((16, 16), v, np.uint8) for v in (200, 100, 50)], 2))


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (GRAY, (16, 16)),
        (COLOR, (16, 16, 3)),
        (COLOR.convert("P"), (16, 16, 3)),
        (GRAY.convert("1"), (16, 16)),
        (GRAY.convert("RGB"), (16, 16)),
        (COLOR.convert("RGBA"), (16, 16, 3)),
        (GRAY.convert("LA"), (16, 16)),
    ],
)
def test_every_mode_is_decoded(image, shape):
    array = decode(encoded(image))
    assert array.shape == shape
    assert array.dtype == np.uint8


def test_alpha_is_composited_on_white():
    transparent = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert (decode(encoded(transparent)) == 255).all()


def test_sixteen_bits_become_eight():
    deep = Image.fromarray((np.arange(256, dtype=np.uint32).reshape(16, 16) * 257).astype(np.uint16))
    np.testing.assert_array_equal(decode(encoded(deep)), np.arange(256).reshape(16, 16))


def test_exif_rotation_is_applied():
    image = Image.fromarray(np.concatenate([np.zeros((4, 8), np.uint8), np.full((4, 8), 255, np.uint8)]))
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = decode(encoded(image, "TIFF", exif=exif))
    np.testing.assert_array_equal(rotated, np.asarray(image.rotate(-90, expand=True)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"no picture", "not a picture"),
        (encoded(COLOR)[:60], "truncated or broken"),
        (b"<!DOCTYPE html><html>404</html>", "not a picture but an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (encoded(GRAY, "JPEG")[:200], "truncated or broken"),
    ],
)
def test_invalid_images_are_refused_with_the_reason(content, reason):
    with pytest.raises(ValueError, match=reason):
        decode(content)


def test_images_of_other_shapes_are_scaled_without_distortion():
    tall = np.zeros((32, 8), np.uint8)
    tall[:, 2:6] = 200
    fitted = images.fit_to_square(tall, 16, 1)
    assert fitted.shape == (1, 16, 16)
    assert (fitted[0, :, :6] == 0).all()
    assert (fitted[0, :, 7:9] == 200).all()


def test_unreadable_images_are_skipped(tmp_path):
    (tmp_path / "good.png").write_bytes(encoded(GRAY))
    (tmp_path / "bad.png").write_bytes(b"rubbish")
    found = images.from_paths([str(tmp_path / "good.png"), str(tmp_path / "bad.png"), str(tmp_path / "gone.png"), None], "here")
    assert found.pixels.shape == (4, 1, 16, 16)
    np.testing.assert_array_equal(found.pixels[0, 0], np.asarray(GRAY))
    assert [skip.row for skip in found.skipped] == [1, 2, 3]
    assert "no such file" in found.skipped[1].reason
    assert found.skipped[2].reason == "no path in this row"


def test_no_readable_image_is_an_error():
    with pytest.raises(InputError, match="none of 2 pictures can be read"):
        images.from_paths(["nowhere/a.png", "nowhere/b.png"], "here")


@pytest.mark.parametrize("shape", [(5, 12, 12), (5, 12, 12, 1), (5, 1, 12, 12), (5, 12, 12, 3), (5, 3, 12, 12)])
def test_arrays_of_every_layout_are_read(shape):
    rng = np.random.default_rng(0)
    found = images.from_array(rng.integers(0, 255, shape).astype(np.uint8), "here")
    assert found.pixels.shape == (5, 3 if 3 in shape else 1, 12, 12)


def test_floats_between_zero_and_one_are_scaled():
    found = images.from_array(np.linspace(0, 1, 256).reshape(1, 16, 16), "here")
    assert found.pixels.min() == 0
    assert found.pixels.max() == 255


def test_features_of_a_table_are_refused():
    with pytest.raises(InputError, match=r"images of shape \(5, 7\)"):
        images.from_array(np.zeros((5, 7)), "here")
