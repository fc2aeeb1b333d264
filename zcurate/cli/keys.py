"""Read one key of the user at a time: from a terminal without Enter, from a pipe a line for each answer."""

from __future__ import annotations

import os
import sys
from typing import Any


class Keys:
    """The user's answers."""

    def __init__(self, stream: Any = None) -> None:
        """Read from a stream; None for standard input."""
        self.stream = sys.stdin if stream is None else stream
        self.is_terminal = bool(self.stream.isatty())

    def key(self) -> str:
        """Return the next key; of a pipe the next line without blanks around it; empty at the end."""
        if not self.is_terminal:
            return self.line() or ""
        try:
            import termios
            import tty
        except ImportError:
            return windows_key()
        handle = self.stream.fileno()
        before = termios.tcgetattr(handle)
        try:
            tty.setcbreak(handle)
            pressed = os.read(handle, 16).decode("utf-8", "ignore")
        finally:
            termios.tcsetattr(handle, termios.TCSADRAIN, before)
        # Ctrl-D ends, and keys such as arrows, which are several characters, mean nothing.
        return "" if pressed == "\x04" else pressed if len(pressed) == 1 else "\x1b"

    def line(self) -> str | None:
        """Return the next line without blanks around it; None at the end. Blank lines of a pipe are passed over."""
        while text := self.stream.readline():
            if text.strip() or self.is_terminal:
                return str(text.strip())
        return None


def windows_key() -> str:
    """Return the next key on Windows."""
    import msvcrt

    pressed = str(msvcrt.getwch())  # type: ignore[attr-defined]
    return "" if pressed == "\x04" else pressed
