"""Networks of the package open_clip (MIT): `open_clip:ViT-B-32/laion2b_s34b_b79k`, the name of a network and that of its weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zcurate.encoding import backbones
from zcurate.encoding.backbones import SIDE, Network
from zcurate.encoding.backbones.normalized import Normalized, fingerprint

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the channels of pixels from 0 to 1, as CLIP was trained with."""


class Pictures(nn.Module):
    """The part of a CLIP model that encodes pictures."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.visual = model.visual

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) normalized pixels to features."""
        found: Any = self.visual(pixels)
        return found[0] if isinstance(found, tuple) else found


def load(name: str, download: bool) -> Network:
    """Load the part of a CLIP model that encodes pictures.

    Args:
        name: of the network, a slash, and the name of its weights; without one those that the package names first.
        download: fetch the weights where they are not in the cache.

    Raises:
        UsageError: no such network, or its weights are not here.
    """
    shown = f"open_clip:{name}"
    network, _, tag = name.partition("/")
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(network)
    if not tags or (tag and tag not in tags):
        raise backbones.unknown(shown, f"weights: {', '.join(tags[:8])}" if tags else f"no network {network}")
    try:
        model = open_clip.create_model(network, pretrained=tag or tags[0], weights_only=True)
    except Exception as error:
        # The package raises many types where a download fails or is forbidden.
        raise backbones.not_here(shown, error) from error
    size = getattr(model.visual, "image_size", SIDE)
    mean, std = getattr(model.visual, "image_mean", None) or MEAN, getattr(model.visual, "image_std", None) or STD
    module = Normalized(Pictures(model), mean, std)
    return Network(module, int(size[0] if isinstance(size, (list, tuple)) else size), f"{shown} {fingerprint(module)}")
