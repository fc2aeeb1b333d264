"""A shelf: names and where their code lives, loaded when first used.

A shelf's `__init__.py` holds one `Registry`; a new reader, model, witness, signal or sink is one file and one line in it.
"""

from __future__ import annotations

import importlib
from typing import Any

from zcurate.errors import UsageError, did_you_mean, listed


class Registry:
    """Name -> `"module:attribute"`, imported on use."""

    def __init__(self, kind: str, **where: str) -> None:
        self.kind = kind
        self.where = where

    def names(self) -> list[str]:
        """The registered names, in the order of the shelf's list."""
        return list(self.where)

    def load(self, name: str) -> Any:
        """The attribute registered under `name`.

        Raises:
            UsageError: no such name; the message lists the known ones and the nearest match.
        """
        if name not in self.where:
            hint = did_you_mean(name, self.where)
            raise UsageError(f"no {self.kind} '{name}' — available: {listed(self.where)}{hint}")
        module, attribute = self.where[name].split(":")
        return getattr(importlib.import_module(module), attribute)
