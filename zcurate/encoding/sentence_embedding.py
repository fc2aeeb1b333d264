"""Sentence embeddings by MiniLM (BERT layers, mean pooling), from weights that a package ships."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.config.toml import TEXT_PACKAGE

MAX_TOKENS = 128
"""Tokens of a text that are embedded, at most: the limit used in the model's training."""
BATCH_TOKENS = 8192
"""Tokens of a batch including padding, at most."""
N_HEADS = 12
"""Attention heads of the model."""


@torch.no_grad()
def embed(texts: list[str], device: torch.device) -> np.ndarray:
    """Compute sentence embeddings without network access.

    Args:
        texts: (N,) documents; equal ones are embedded once.
        device: where the model runs.

    Returns:
        (N, 384) float32 of unit length.
    """
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    folder = model_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    weights = {name: weight.to(device) for name, weight in load_file(folder / "model.safetensors").items()}
    number = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(list(number))]
    out = np.zeros((len(tokens), weights["embeddings.LayerNorm.weight"].shape[0]), np.float32)
    for rows in batches([len(ids) for ids in tokens]):
        length = max(len(tokens[row]) for row in rows)
        ids = torch.zeros(len(rows), length, dtype=torch.int64)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for at, row in enumerate(rows):
            ids[at, : len(tokens[row])] = torch.tensor(tokens[row])
            mask[at, : len(tokens[row])] = True
        out[rows] = forward(weights, ids.to(device), mask.to(device), N_HEADS).cpu().numpy()
    return out[[number[text] for text in texts]]


def model_folder() -> Path:
    """Find the folder of the model's weights without importing the package that ships them.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec(TEXT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{TEXT_PACKAGE} is not installed")  # the plan refuses this earlier
    return Path(spec.submodule_search_locations[0]) / "model"


def batches(lengths: list[int]) -> list[list[int]]:
    """Group rows by length into batches of at most `BATCH_TOKENS` tokens including padding.

    Args:
        lengths: (N,) tokens of each row.

    Returns:
        The rows of each batch.
    """
    out: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not out or (len(out[-1]) + 1) * lengths[row] > BATCH_TOKENS:
            out.append([])
        out[-1].append(row)
    return out


def forward(weights: dict[str, Tensor], ids: Tensor, mask: Tensor, n_heads: int) -> Tensor:
    """Run BERT's layers and average over the tokens.

    Args:
        weights: by their names in the published checkpoint.
        ids: (B, T) int64 tokens.
        mask: (B, T) bool, False = padding.
        n_heads: H.

    Returns:
        (B, E) float32 of unit length.
    """

    def linear(h: Tensor, name: str) -> Tensor:
        return F.linear(h, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(h: Tensor, name: str) -> Tensor:
        return F.layer_norm(h, h.shape[-1:], weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"], 1e-12)

    def heads(h: Tensor) -> Tensor:
        return h.unflatten(2, (n_heads, -1)).transpose(1, 2)

    word = weights["embeddings.word_embeddings.weight"][ids]
    position, token_type = weights["embeddings.position_embeddings.weight"][: ids.shape[1]], weights["embeddings.token_type_embeddings.weight"][0]
    h = norm(word + position + token_type, "embeddings")
    n_layers = sum(name.endswith("intermediate.dense.weight") for name in weights)
    for layer in (f"encoder.layer.{number}" for number in range(n_layers)):
        query, key, value = (heads(linear(h, f"{layer}.attention.self.{part}")) for part in ("query", "key", "value"))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None]).transpose(1, 2).flatten(2)
        h = norm(h + linear(attended, f"{layer}.attention.output.dense"), f"{layer}.attention.output")
        h = norm(h + linear(F.gelu(linear(h, f"{layer}.intermediate.dense")), f"{layer}.output.dense"), f"{layer}.output")
    mean = (h * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return F.normalize(mean, dim=1)
