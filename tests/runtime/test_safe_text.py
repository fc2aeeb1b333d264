"""Text made safe to show and to keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.runtime import safe_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"), ("\x1b]0;title\x07", r"\x1b]0;title\x07"), ("a\nerror: b", r"a\nerror: b"), ("a\rb\tc\x08", r"a\rb\tc\x08"),
        ("\x9b31m", r"\x9b31m"), ("abc\u202etxt.exe", r"abc\u202etxt.exe"), ("\u2066x\u2069", r"\u2066x\u2069"), ("\u2028", r"\u2028"), ("\x7f", r"\x7f"),
        ("caf\udce9", r"caf\xe9"), ("\ud800", r"\ud800"), ("naïve 日本 👩‍🚀 C:\\x", "naïve 日本 👩‍🚀 C:\\x"), ("\u00a0", "\u00a0"), ("", ""),
    ],
)  # fmt: skip
def test_what_a_terminal_would_obey_is_shown_escaped(text, shown):
    assert safe_text.visible(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_no_control_character_is_left_and_other_text_stays(text):
    shown = safe_text.visible(text)
    assert isinstance(shown.encode(), bytes)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    assert safe_text.visible(shown) == shown


def test_values_inside_are_shown_escaped():
    assert safe_text.visible_values({"a\x1b": ["\x1b", {"b": ("\n", 1, None, 1.5)}]}) == {r"a\x1b": [r"\x1b", {"b": [r"\n", 1, None, 1.5]}]}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://me:pw@host:80/a.csv?X-Amz-Signature=abc#frag", "https://host:80/a.csv"), ("s3://KEY:SECRET@bucket/a.csv", "s3://bucket/a.csv"),
        ("scan --label=x 'https://h/a?t=1' -o r", "scan --label=x 'https://h/a' -o r"), ("hf://datasets/user/set@main/a.csv", "hf://datasets/user/set@main/a.csv"),
        ("s3://bucket/part-?.csv", "s3://bucket/part-?.csv"), ("a@b.c: what?", "a@b.c: what?"), ("(http://u@h/x?y)", "(http://h/x"), ("https://token@h", "https://h"),
    ],
)  # fmt: skip
def test_addresses_lose_their_secrets(text, kept):
    assert safe_text.without_secrets(text) == kept


def test_the_home_folder_is_not_kept(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    redact = safe_text.redact
    assert redact("/home/ann/a.csv: broken") == "~/a.csv: broken"
    assert redact("/home/ann: a folder") == "~: a folder"
    assert redact("/home/anna/a.csv") == "/home/anna/a.csv"
    assert redact("cd '/home/ann/x y' caf\udce9") == "cd '~/x y' caf\\xe9"
    assert safe_text.redact_values({"/home/ann": ["/home/ann/b", 3]}) == {"/home/ann": ["~/b", 3]}
    for home in ("/", ""):
        monkeypatch.setenv("HOME", home)
        assert redact("/home/ann/a.csv") == "/home/ann/a.csv"
