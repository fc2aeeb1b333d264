"""Embed texts by a network of the package transformers (Apache-2.0): `--features hf:sentence-transformers/all-MiniLM-L6-v2`, or `hf:FOLDER`.

The mean of the last hidden states over a text's word pieces, of unit length (Reimers and Gurevych 2019, arXiv:1908.10084). Nothing is downloaded unasked;
only weights in safetensors are read, and none of the network's code is run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zcurate.arrays.chunk import chunk_ranges
from zcurate.encoding import backbones

MAX_PIECES, BATCH = 256, 32
"""Word pieces of a text that are read, and texts embedded at a time."""


def embed(texts: list[str], name: str, download: bool, device: torch.device) -> np.ndarray:
    """Embed texts; equal ones are embedded once.

    Args:
        texts: (N,) documents.
        name: as `--features` has it.
        download: fetch the weights where they are not on this machine.
        device: where the network runs.

    Returns:
        (N, E) float32 of unit length.

    Raises:
        UsageError: the package or the weights are not there, or it is no network for texts.
    """
    backbones.check(name)
    with backbones.offline(not download):
        tokenizer, network = load(name, download)
    network = network.eval().to(device)
    number = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    # Texts of one length together need little padding.
    order = sorted(number, key=len)
    found: np.ndarray | None = None
    for begin, end in chunk_ranges(len(order), BATCH):
        vectors = mean_state(tokenizer, network, order[begin:end], device)
        found = np.zeros((len(order), vectors.shape[1]), np.float32) if found is None else found
        found[[number[text] for text in order[begin:end]]] = vectors
    assert found is not None  # crack: narrows types only
    return found[[number[text] for text in texts]]


@torch.inference_mode()
def mean_state(tokenizer: Any, network: Any, texts: list[str], device: torch.device) -> np.ndarray:
    """Return the mean of the last hidden states of some texts, (B, E) float32 of unit length.

    Args:
        tokenizer: cuts texts into word pieces.
        network: on the device.
        texts: (B,) documents.
        device: of the network.
    """
    pieces = tokenizer(texts, padding=True, truncation=True, max_length=MAX_PIECES, return_tensors="pt").to(device)
    state, mask = network(**pieces).last_hidden_state.float(), pieces["attention_mask"][..., None].float()
    mean = (state * mask).sum(1) / mask.sum(1).clamp_min(1)
    return np.asarray(torch.nn.functional.normalize(mean, dim=1).cpu().numpy())


def load(name: str, download: bool) -> tuple[Any, Any]:
    """Load tokenizer and network from the cache of the Hugging Face hub, or from a folder; arguments and errors as for `embed`."""
    import transformers

    package: Any = transformers
    package.utils.logging.set_verbosity_error()
    package.utils.logging.disable_progress_bar()
    settings: dict[str, Any] = {"local_files_only": not download, "trust_remote_code": False}
    place = name.partition(":")[2]
    try:
        tokenizer = package.AutoTokenizer.from_pretrained(place, **settings)
        network = package.AutoModel.from_pretrained(place, use_safetensors=True, **settings)
    except (OSError, ImportError) as error:
        raise backbones.not_here(name, error) from error
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise backbones.unknown(name, error) from error
    if getattr(tokenizer, "pad_token", None) is None:
        tokenizer.pad_token = getattr(tokenizer, "eos_token", None)
    return tokenizer, getattr(network, "encoder", network) if getattr(network.config, "is_encoder_decoder", False) else network
