"""What networks of other packages have in common: the normalization of pixels, and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalized(nn.Module):
    """A network with the normalization of pixels that it was trained with."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        """Wrap a network.

        Args:
            network: maps (B, 3, H, W) normalized pixels to features: (B, V), (B, T, V) tokens, or (B, V, H, W) maps.
            mean: of each channel, of pixels from 0 to 1.
            std: of each channel.
        """
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.network = network.eval().requires_grad_(False)
        self.register_buffer("mean", 255 * torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).reshape(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) pixels, 0 to 255, to (B, V) features; tokens and maps are averaged."""
        out: Tensor = self.network((pixels - self.mean) / self.std)
        return out.mean(1) if out.ndim == 3 else out.mean((2, 3)) if out.ndim == 4 else out


def fingerprint(network: nn.Module) -> str:
    """Hash a network's weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
