"""`python -m zcurate` is the same program."""

from __future__ import annotations

from zcurate.cli.app import program

program()
