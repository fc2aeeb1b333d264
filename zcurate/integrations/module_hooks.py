"""Take each row's index out of a network's arguments, and show what the network made of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

INDEX = "index"
"""Name of the argument that carries (B,) positions in the data set; the network itself does not get it."""


class IndexHook:
    """Between a loop that hands its batches over as keyword arguments and a network that knows no index."""

    def __init__(self, module: nn.Module, record: Callable[[nn.Module, Tensor | None, dict[str, Any], Any], None]) -> None:
        """Attach to a network.

        Args:
            module: whose `forward` gets the batch as keyword arguments.
            record: gets the module, the batch's index or None, the module's own arguments, and its output.
        """
        self.index: Tensor | None = None
        self.record = record
        self.handles = [
            module.register_forward_pre_hook(self.before, with_kwargs=True),
            module.register_forward_hook(self.after, with_kwargs=True),
        ]

    def before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Take the index out of the arguments."""
        self.index = kwargs.get(INDEX)
        return args, {name: value for name, value in kwargs.items() if name != INDEX}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def after(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """Show a batch's output."""
        self.record(module, self.index, kwargs, output)

    def remove(self) -> None:
        """Detach from the network."""
        for handle in self.handles:
            handle.remove()
