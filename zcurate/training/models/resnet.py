"""A small residual network for images, one member at a time.

Suited to drawings and simple images. It has no pre-trained weights, so it does not learn varied photographs from few examples.
Members are not packed because grouped convolutions are slower than a loop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import Batch, EncodedRows

LARGE_SIDE = 24
"""Image width [pixels] from which the first stage halves the image."""


class Block(nn.Module):
    """Residual block of two 3x3 convolutions; the first one has the given stride."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(n_out)
        self.second = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False) if stride != 1 or n_in != n_out else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, n_out, H / stride, W / stride)."""
        h = F.relu(self.first_norm(self.first(x)))
        h = self.second_norm(self.second(h))
        return F.relu(h + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """Stem, one block per width, global average pooling, linear head."""

    def __init__(self, widths: tuple[int, ...], n_channels: int, n_outputs: int, first_stride: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(n_channels, widths[0], 3, 1, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        sizes = (widths[0], *widths)
        self.blocks = nn.ModuleList(Block(a, b, first_stride if i == 0 else 2) for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)))
        self.head = nn.Linear(widths[-1], n_outputs)

    def features(self, inputs: Batch) -> Tensor:
        """Map images (1, B, C, H, W) uint8 to the input of the head, (1, B, D)."""
        assert inputs.images is not None  # crack: narrows types only
        x = inputs.images[0].float().sub_(127.5).div_(64.0).contiguous(memory_format=torch.channels_last)
        h = F.relu(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            h = block(h)
        return h.mean((2, 3))[None]

    def forward(self, inputs: Batch) -> Tensor:
        """Map images (1, B, C, H, W) uint8 to logits (1, B, n_outputs)."""
        logits: Tensor = self.head(self.features(inputs))
        return logits


def build(spec: ModelConfig, encoded: EncodedRows, n_members: int, generator: torch.Generator) -> nn.Module:
    """Build one residual network for images.

    Args:
        spec: `hidden`, the channels of each stage.
        encoded: `images` (N, C, H, W) and number of outputs.
        n_members: must be 1.
        generator: source of the initial weights (CPU).
    """
    assert encoded.images is not None and n_members == 1  # crack: narrows types only
    first_stride = 2 if encoded.images.shape[-1] >= LARGE_SIDE else 1
    net = ResNet(spec.hidden, encoded.images.shape[1], encoded.n_outputs, first_stride)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            with torch.no_grad():
                parameter.normal_(0, (2 / fan_in) ** 0.5 if parameter.ndim == 4 else fan_in**-0.5, generator=generator)
    with torch.no_grad():
        net.head.bias.zero_()
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
