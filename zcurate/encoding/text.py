"""Texts as numbers: sparse TF-IDF rows out of the box, sentence embeddings where the extra `text` is installed.

Leaves: CSR arrays, (N, E) embeddings. Enters: (N,) documents. TF-IDF sees words, pairs of words and character n-grams; scripts without
spaces count each character as a word. Embeddings see the first 128 word pieces of English; other languages gain little from them.
Sources: all-MiniLM-L6-v2 (six post-norm BERT layers, arXiv:1810.04805; mean pooling, arXiv:1908.10084), from a package that ships its weights.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.config.model_config import TEXT_PACKAGE

MOST_TERMS = 60_000
"""Size limit of each vocabulary (words, character n-grams), most frequent first."""
FEWEST_TERMS = 2_000
MOST_WEIGHTS = 6_000_000
"""Terms times classes of each vocabulary, so that a thousand classes still fit in memory; by taste."""
MOST_CHARACTERS = 40_000_000
"""Budget of characters over all rows for the character n-grams, whose vocabulary is counted before it is cut; words get ten times that."""
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, kana and Han: written without spaces."""
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Vowel signs and accents that belong to a word although `\\w` leaves them out, and the Indic letters they stand on."""
WORD = f"[{UNSPACED}]|(?:[^\\W{UNSPACED}]|[{MARKS}]){{2,}}"
MOST_PIECES = 128
"""Word pieces of a text that the embedding sees: what it was trained on."""
BATCH_PIECES = 8192
N_HEADS = 12


def documents(columns: list[list[str | None]]) -> list[str]:
    """(N,) one text per row: its columns one after another, compatibility forms made one (full-width, ligatures)."""
    joined = (" ".join(part for part in parts if part) for parts in zip(*columns, strict=True))
    return [text if text.isascii() else unicodedata.normalize("NFKC", text) for text in joined]


def tfidf(texts: list[str], n_outputs: int) -> Any:
    """(N, V) float32 CSR matrix of words, pairs of words and character 3- to 5-grams; each block has rows of length 1.

    Words alone reach .455 / .842 on the two tuning sets of the bench, with the character n-grams .488 / .922.

    Args:
        texts: (N,) documents.
        n_outputs: C; more classes leave room for fewer terms.
    """
    import scipy.sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    least = 2 if len(texts) >= 100 else 1
    most = max(FEWEST_TERMS, min(MOST_TERMS, MOST_WEIGHTS // max(1, n_outputs)))
    longest = max(200, MOST_CHARACTERS // max(1, len(texts)))
    blocks = []
    for length, settings in (
        (10 * longest, {"ngram_range": (1, 2), "token_pattern": WORD}),
        (longest, {"ngram_range": (3, 5), "analyzer": "char_wb"}),
    ):
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=least, max_features=most, dtype=np.float32, **settings)
        try:
            blocks.append(vectorizer.fit_transform(text[:length] for text in texts))
        except ValueError:  # no term is frequent enough
            continue
    return scipy.sparse.hstack(blocks, format="csr") if blocks else scipy.sparse.csr_matrix((len(texts), 1), dtype=np.float32)


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
    tokenizer.enable_truncation(MOST_PIECES)
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
        if not out or (len(out[-1]) + 1) * lengths[row] > BATCH_PIECES:
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
