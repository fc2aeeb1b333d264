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
"""Word pieces of a text that the embedding sees: what it was trained on."""
BATCH_TOKENS = 8192
N_HEADS = 12


@torch.no_grad()
def embed(texts: list[str], device: torch.device) -> np.ndarray:
    """(N, 384) float32 unit sentence embeddings; never uses the network.

    Args:
        texts: (N,) documents; equal ones are embedded once.
        device: where the model runs.
    """
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    folder = model_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    weights = {name: weight.to(device) for name, weight in load_file(folder / "model.safetensors").items()}
    number = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    pieces = [encoding.ids for encoding in tokenizer.encode_batch(list(number))]
    out = np.zeros((len(pieces), weights["embeddings.LayerNorm.weight"].shape[0]), np.float32)
    for rows in batches([len(ids) for ids in pieces]):
        width = max(len(pieces[row]) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.int64)
        there = torch.zeros(len(rows), width, dtype=torch.bool)
        for at, row in enumerate(rows):
            ids[at, : len(pieces[row])] = torch.tensor(pieces[row])
            there[at, : len(pieces[row])] = True
        out[rows] = forward(weights, ids.to(device), there.to(device), N_HEADS).cpu().numpy()
    return out[[number[text] for text in texts]]


def model_folder() -> Path:
    """Where the installed package keeps its weights; the package itself is not imported."""
    found = importlib.util.find_spec(TEXT_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{TEXT_PACKAGE} is not installed")  # the plan refuses this earlier
    return Path(found.submodule_search_locations[0]) / "model"


def batches(lengths: list[int]) -> list[list[int]]:
    """Rows by length, cut so that a batch holds at most `BATCH_PIECES` pieces with its padding."""
    out: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not out or (len(out[-1]) + 1) * lengths[row] > BATCH_TOKENS:
            out.append([])
        out[-1].append(row)
    return out


def forward(weights: dict[str, Tensor], ids: Tensor, there: Tensor, n_heads: int) -> Tensor:
    """BERT's layers and the mean of the pieces, as unit vectors.

    Args:
        weights: by their names in the published checkpoint.
        ids: (B, T) int64 word pieces.
        there: (B, T) bool, False = padding.
        n_heads: H.

    Returns:
        (B, E) float32.
    """

    def linear(h: Tensor, name: str) -> Tensor:
        return F.linear(h, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(h: Tensor, name: str) -> Tensor:
        return F.layer_norm(h, h.shape[-1:], weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"], 1e-12)

    def heads(h: Tensor) -> Tensor:
        return h.unflatten(2, (n_heads, -1)).transpose(1, 2)

    place = "embeddings"
    position, kind = weights[f"{place}.position_embeddings.weight"][: ids.shape[1]], weights[f"{place}.token_type_embeddings.weight"][0]
    h = norm(weights[f"{place}.word_embeddings.weight"][ids] + position + kind, place)
    n_layers = sum(name.endswith("intermediate.dense.weight") for name in weights)
    for at in (f"encoder.layer.{k}" for k in range(n_layers)):
        query, key, value = (heads(linear(h, f"{at}.attention.self.{part}")) for part in ("query", "key", "value"))
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None]).transpose(1, 2).flatten(2)
        h = norm(h + linear(seen, f"{at}.attention.output.dense"), f"{at}.attention.output")
        h = norm(h + linear(F.gelu(linear(h, f"{at}.intermediate.dense")), f"{at}.output.dense"), f"{at}.output")
    mean = (h * there[:, :, None]).sum(1) / there.sum(1, keepdim=True)
    return F.normalize(mean, dim=1)
