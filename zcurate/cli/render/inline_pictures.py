"""Show a picture in terminals that can: by the protocols of kitty and iTerm2, else as colored half blocks where there are 16 million colors."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Mapping

SIDE, BLOCKS = 480, 48
"""Longest side of a picture that is sent [pixels], and of one made of half blocks [columns]."""
CHUNK = 4096
"""Bytes of one message of kitty's protocol."""


def protocol(environment: Mapping[str, str], is_terminal: bool) -> str | None:
    """Return how the terminal shows pictures: `kitty`, `iterm`, `blocks`, or None.

    Args:
        environment: variables of the process.
        is_terminal: the output is a terminal.
    """
    if not is_terminal or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return None
    if "kitty" in environment.get("TERM", "") or environment.get("KITTY_WINDOW_ID") or environment.get("TERM_PROGRAM") == "ghostty":
        return "kitty"
    if environment.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        return "iterm"
    return "blocks" if environment.get("COLORTERM") in ("truecolor", "24bit") else None


def picture_text(content: bytes, how: str) -> str:
    """Return what to write to a terminal to show a picture; empty where it cannot be decoded.

    Args:
        content: of its file.
        how: from `protocol`.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            side = BLOCKS if how == "blocks" else SIDE
            opened.draft("RGB", (side, side))
            image = opened.convert("RGB")
        image.thumbnail((side, side))
    except Exception:
        # Pillow raises many types for broken files; the path is shown in any case.
        return ""
    if how == "blocks":
        return half_blocks(image)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    encoded = base64.b64encode(stream.getvalue()).decode()
    if how == "iterm":
        return f"\x1b]1337;File=inline=1;preserveAspectRatio=1:{encoded}\a\n"
    parts = [encoded[at : at + CHUNK] for at in range(0, len(encoded), CHUNK)]
    heads = ["a=T,f=100," if at == 0 else "" for at in range(len(parts))]
    return "".join(f"\x1b_G{head}m={int(at < len(parts) - 1)};{part}\x1b\\" for at, (head, part) in enumerate(zip(heads, parts, strict=True))) + "\n"


def half_blocks(image: object) -> str:
    """Return a picture as lines of half blocks, two rows of pixels each.

    Args:
        image: Pillow image of mode RGB.
    """
    import numpy as np

    pixels = np.asarray(image)
    pixels = pixels if len(pixels) % 2 == 0 else np.concatenate([pixels, pixels[-1:]])
    lines = []
    for above, below in zip(pixels[0::2].tolist(), pixels[1::2].tolist(), strict=True):
        cells = [f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀" for a, b in zip(above, below, strict=True)]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines) + "\n"


def terminal_protocol() -> str | None:
    """Return `protocol` of standard output."""
    return protocol(os.environ, sys.stdout.isatty())
