"""Networks of the package timm (Apache-2.0): `timm:resnet18.a1_in1k`, `timm:hf-hub:OWNER/NAME`, `timm:local-dir:FOLDER`."""

from __future__ import annotations

from zcurate.encoding import backbones
from zcurate.encoding.backbones import Network
from zcurate.encoding.backbones.normalized import Normalized, fingerprint


def load(name: str, download: bool) -> Network:
    """Load a network without its classifier.

    Args:
        name: as timm has it; without a tag the default weights.
        download: fetch the weights from the Hugging Face hub where they are not in its cache.

    Raises:
        UsageError: no such network, or its weights are not here.
    """
    import timm

    shown = f"timm:{name}"
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        # timm raises these for names that it does not know, and for networks without weights.
        raise backbones.unknown(shown, error) from error
    except Exception as error:
        raise backbones.not_here(shown, error) from error
    settings = timm.data.resolve_model_data_config(network)
    module = Normalized(network, settings["mean"], settings["std"])
    return Network(module, int(settings["input_size"][-1]), f"{shown} {fingerprint(module)}")
