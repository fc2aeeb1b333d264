"""What `--features` and `--probabilities` may name: a pre-trained network, a file, or columns of the input."""

from __future__ import annotations

import os

from zcurate import plugins
from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.runtime.user_code import check_function_file

FILES = (".npy", ".parquet", ".pq")
"""Endings of files of features and of probabilities."""
IN_MEMORY = "<array>"
"""Value of the option where an array was passed in Python."""


def is_file(text: str | None) -> bool:
    """Whether an option names a file rather than a column."""
    return text is not None and text.lower().endswith(FILES)


def is_backbone(text: str) -> bool:
    """Whether `--features` names a pre-trained network: `lite0`, `timm:NAME` and so on, or `file.py:function`."""
    return ".py:" in text or text.partition(":")[0] in plugins.BACKBONES


def is_array(text: str | None) -> bool:
    """Whether an option brings an array of its own, apart from the input: a file, or an array passed in Python."""
    return text == IN_MEMORY or is_file(text)


def column_named(text: str | None) -> str | None:
    """Return the column, or glob of columns, that an option names; None where it names none."""
    return None if text is None or text in ("auto", "none") or is_array(text) or is_backbone(text) else text


def check_source(text: str | None, flag: str) -> None:
    """Refuse a file that is not there, and a pre-trained network that cannot be.

    Args:
        text: value of the option.
        flag: for messages.

    Raises:
        UsageError: no such file, or an unknown kind of network.
    """
    if text is None:
        return
    if is_file(text) and not os.path.isfile(text):
        raise UsageError(f"{flag} {text}: no such file — expected a .npy or .parquet file — check the path")
    kind, colon, name = text.partition(":")
    if ".py:" in text:
        check_function_file(text, f"{flag} {text}")
    elif flag == "--features" and colon and kind in plugins.BACKBONES and not name:
        raise UsageError(f"{flag} {text}: names no network — expected {kind}:NAME — try {flag} {kind}:{plugins.BACKBONES[kind].example}")
    elif flag == "--features" and colon and kind not in plugins.BACKBONES and kind.isidentifier() and len(kind) > 1:
        known = [f"{one}:NAME" for one, backbone in plugins.BACKBONES.items() if backbone.example]
        raise UsageError(f"{flag} {text}: no kind of network '{kind}' — expected one of {listed(known)}{did_you_mean(kind, plugins.BACKBONES)}")
