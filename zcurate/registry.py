"""A plug-in registry: a dictionary from names to descriptions of code that is imported on first use."""

from __future__ import annotations

import importlib
from typing import Any, Generic, Protocol, TypeVar

from zcurate.errors import UsageError, did_you_mean, listed


class Plugin(Protocol):
    """Description of a plug-in; the tables in `zcurate.plugins` hold frozen dataclasses of this form."""

    @property
    def location(self) -> str:
        """Import string of the implementation: `package.module`, or `package.module:attribute`."""


P = TypeVar("P", bound=Plugin)


class Registry(dict[str, P], Generic[P]):
    """A dictionary of plug-ins of one kind, in the order of their registration.

    Looking up an unknown name raises a `UsageError` that lists the known ones; `in` and `get` work as usual.
    """

    def __init__(self, kind: str, **plugins: P) -> None:
        """Register the built-in plug-ins.

        Args:
            kind: noun for error messages.
            plugins: name -> description.
        """
        super().__init__(plugins)
        self.kind = kind

    def __missing__(self, name: str) -> P:
        """Refuse an unknown name.

        Raises:
            UsageError: always; the message lists the known names and the nearest match.
        """
        raise UsageError(f"no {self.kind} '{name}' — available: {listed(self)}{did_you_mean(name, self)}")

    def register(self, name: str, plugin: P) -> None:
        """Add a plug-in, or replace the one of the same name."""
        self[name] = plugin

    def load(self, name: str) -> Any:
        """Import the implementation registered under `name`.

        Raises:
            UsageError: unknown name.
        """
        return import_object(self[name].location)


def import_object(location: str) -> Any:
    """Import a module, or an attribute of one.

    Args:
        location: `package.module`, or `package.module:attribute`.
    """
    module, _, attribute = location.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found
