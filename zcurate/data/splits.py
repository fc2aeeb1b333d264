"""Names of splits: train, valid, test and their like."""

from __future__ import annotations

import re

SPLIT = re.compile(
    r"(train(ing)?|trainval|val(id(ation)?)?|test(ing)?|dev(el(opment)?)?|eval(uation)?|hold[-_ ]?out)([-_ ]?(set|data|split|images?|imgs?))?([-_ ]?\d+)?",
    re.IGNORECASE,
)
"""Matches the name of a split."""


def is_split(name: str) -> bool:
    """Return whether a folder's name is that of a split."""
    return SPLIT.fullmatch(name.strip()) is not None


def split_of_path(path: str) -> str | None:
    """Return the first folder in a relative path that is named like a split; None if there is none."""
    return next((name for name in path.replace("\\", "/").split("/")[:-1] if is_split(name)), None)
