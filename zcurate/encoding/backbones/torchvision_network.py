"""Networks of the package torchvision (BSD): `torchvision:resnet18`, with its default weights."""

from __future__ import annotations

import os

import torch
from torch import nn

from zcurate.encoding import backbones
from zcurate.encoding.backbones import IMAGENET_MEAN, IMAGENET_STD, SIDE, Network
from zcurate.encoding.backbones.normalized import Normalized, fingerprint

CLASSIFIERS = ("fc", "classifier", "head", "heads")
"""Names of the last layers, which are left out."""


def load(name: str, download: bool) -> Network:
    """Load a network without its classifier. The weights are read as numbers alone, which torchvision itself does not do.

    Args:
        name: as torchvision has it.
        download: fetch the weights where they are not in torch's cache.

    Raises:
        UsageError: no such network, or its weights are not here.
    """
    from torchvision import models

    shown = f"torchvision:{name}"
    try:
        network = models.get_model(name, weights=None)
        weights = models.get_model_weights(name).DEFAULT
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise backbones.unknown(shown, error) from error
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(weights.url))
    if not os.path.isfile(path):
        if not download:
            raise backbones.not_here(shown, f"no {os.path.basename(path)} in torch's cache")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            torch.hub.download_url_to_file(weights.url, path, hash_prefix=path.rpartition("-")[2].partition(".")[0], progress=False)
        except (OSError, RuntimeError) as error:
            raise backbones.not_here(shown, error) from error
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        # torch raises many types for broken files.
        raise backbones.unknown(shown, f"{path}: {error}") from error
    for part in CLASSIFIERS:
        if isinstance(getattr(network, part, None), nn.Module):
            setattr(network, part, nn.Identity())
    module = Normalized(network, IMAGENET_MEAN, IMAGENET_STD)
    return Network(module, SIDE, f"{shown} {fingerprint(module)}")
