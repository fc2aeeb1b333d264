"""Take each row's index out of a network's arguments, and hold what it made of the batch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

INDEX = "index"
"""Name of the argument that carries (B,) positions in the data set; the network itself does not get it."""


class IndexHook:
    """Between a loop that hands its batches over as keyword arguments and a network that knows no index."""

    def __init__(self, module: nn.Module) -> None:
        """Attach to a network.

        Args:
            module: whose `forward` gets the batch as keyword arguments.
        """
        self.index: Tensor | None = None
        self.handles = [
            module.register_forward_pre_hook(self.before, with_kwargs=True),
            module.register_forward_hook(self.after, with_kwargs=True),
        ]

    def before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Take the index out of the arguments."""
        self.index = kwargs.get(INDEX)
        return args, {name: value for name, value in kwargs.items() if name != INDEX}

    def after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """See a batch's output; nothing to do here."""

    def remove(self) -> None:
        """Detach from the network."""
        for handle in self.handles:
            handle.remove()
