"""The program `zcurate`; `python -m zcurate` is the same."""

from __future__ import annotations

import os


def start() -> None:
    """Run the program; Ctrl-C ends it without a trace even while its modules are imported."""
    try:
        from zcurate.cli.app import program
    except KeyboardInterrupt:
        os._exit(130)
    program()


if __name__ == "__main__":
    start()
