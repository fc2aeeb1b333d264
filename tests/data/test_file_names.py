"""File names that are not UTF-8 are written as text and found again."""

from __future__ import annotations

import os

import pytest

from zcurate.data.file_names import existing, is_printable, printable

RAW = [b"caf\xe9.png", b"\x93\xfa\x96{/1.png", b"a\\b\xff", b"k\xe4tze/\\xe9.jpg"]


@pytest.mark.parametrize("raw", RAW)
def test_any_bytes_become_text_and_lead_back_to_the_file(tmp_path, raw):
    place = os.path.join(os.fsencode(tmp_path), raw)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "wb"):
        pass
    text = printable(os.fsdecode(raw))
    text.encode()
    assert existing(text, str(tmp_path)) == os.fsdecode(place)


@pytest.mark.parametrize("name", ["cat.png", "Köln/猫.jpg", "a\\xe9.png", ""])
def test_valid_names_stay(name):
    assert is_printable(name)
    assert printable(name) == name


def test_two_names_never_become_the_same_text():
    assert printable(os.fsdecode(b"\\\xe9")) != printable(os.fsdecode(b"\\xe9\xe9"))
    assert printable(os.fsdecode(b"caf\xe9")) == "caf\\xe9"


def test_a_file_with_a_literal_escape_is_found_as_it_is(tmp_path):
    (tmp_path / "a\\xe9.png").write_bytes(b"")
    assert existing("a\\xe9.png", str(tmp_path)) == str(tmp_path / "a\\xe9.png")
