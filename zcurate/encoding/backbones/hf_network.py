"""Networks for pictures of the package transformers (Apache-2.0): `hf:facebook/dinov2-small`, or `hf:FOLDER` with a network that was saved there."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zcurate.encoding import backbones
from zcurate.encoding.backbones import IMAGENET_MEAN, IMAGENET_STD, SIDE, Network
from zcurate.encoding.backbones.normalized import Normalized, fingerprint


class Features(nn.Module):
    """The features of a model of transformers: its picture embedding, else its pooled output, else the mean of its last hidden states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = getattr(model, "vision_model", model)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) normalized pixels to features."""
        out = self.model(pixel_values=pixels)
        pooled = getattr(out, "image_embeds", None)
        pooled = getattr(out, "pooler_output", None) if pooled is None else pooled
        found: Tensor = out.last_hidden_state if pooled is None else pooled.flatten(1)
        return found


def load(name: str, download: bool) -> Network:
    """Load a network from the cache of the Hugging Face hub, or from a folder. Only weights in safetensors are read, and none of its code is run.

    Args:
        name: on the hub, or the path of a folder.
        download: fetch the weights where they are not in the cache.

    Raises:
        UsageError: no such network, one that is not for pictures, or its weights are not here.
    """
    shown = f"hf:{name}"
    import transformers

    package: Any = transformers
    package.utils.logging.set_verbosity_error()
    package.utils.logging.disable_progress_bar()

    settings: dict[str, Any] = {"local_files_only": not download, "trust_remote_code": False}
    try:
        model = package.AutoModel.from_pretrained(name, use_safetensors=True, **settings)
    except (OSError, ImportError) as error:
        raise backbones.not_here(shown, error) from error
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise backbones.unknown(shown, error) from error
    try:
        processor: Any = package.AutoImageProcessor.from_pretrained(name, **settings)
    except (OSError, ImportError, ValueError, KeyError, TypeError):
        processor = None
    mean, std = getattr(processor, "image_mean", None) or IMAGENET_MEAN, getattr(processor, "image_std", None) or IMAGENET_STD
    module = Normalized(Features(model), mean, std)
    return Network(module, side_of(model, processor), f"{shown} {fingerprint(module)}")


def side_of(model: Any, processor: Any) -> int:
    """Return the side at which a model of transformers wants pictures [pixels]."""
    config = getattr(model.config, "vision_config", model.config)
    size = getattr(processor, "crop_size", None) or getattr(processor, "size", None) or getattr(config, "image_size", None) or SIDE
    if hasattr(size, "get"):
        size = size.get("height") or size.get("shortest_edge") or SIDE
    return int(size[0] if isinstance(size, (list, tuple)) else size)
