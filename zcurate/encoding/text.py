"""Texts as numbers: sparse TF-IDF rows, and sentence embeddings if the extra `text` or `languages` is installed.

TF-IDF uses words, pairs of words and character n-grams; in scripts without spaces each character counts as a word. Embeddings of English use the
first 128 word pieces; those of other languages need the extra `languages`.
Sources: all-MiniLM-L6-v2 (six post-norm BERT layers, arXiv:1810.04805; mean pooling, arXiv:1908.10084), from a package that ships its weights.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from zcurate.config.model_config import ModelConfig
from zcurate.encoding import sentence_encoders, text_network
from zcurate.encoding.vectors import unit_rows

MAX_TERMS = 60_000
"""Size limit of each vocabulary (words, character n-grams), most frequent first."""
MIN_TERMS = 2_000
"""The size limit is not reduced below this for many classes."""
MAX_WEIGHTS = 6_000_000
"""Terms times classes of each vocabulary, at most, so that a thousand classes still fit in memory; by taste."""
MAX_CHARACTERS = 40_000_000
"""Characters over all rows that are used for character n-grams, whose vocabulary is counted before it is cut; ten times as many for words."""
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, kana and Han: written without spaces."""
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Vowel signs and accents, which belong to a word but are not in `\\w`, and the Indic letters that they modify."""
WORD = f"[{UNSPACED}]|(?:[^\\W{UNSPACED}]|[{MARKS}]){{2,}}"
"""Regular expression of a word: one unspaced character, or two or more other letters."""
TERMS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2), "token_pattern": WORD},
    "characters": {"ngram_range": (3, 5), "analyzer": "char_wb"},
}
"""How texts are cut into terms: words and pairs of them, and runs of characters."""


@dataclass(frozen=True)
class Vocabulary:
    """The terms of some texts, and how rare each is."""

    kind: str
    """How texts are cut into terms: a key of `TERMS`."""
    max_length: int
    """Characters of a text that are used."""
    terms: list[str]
    """(V,) in the order of the columns."""
    idf: np.ndarray
    """(V,) inverse document frequency."""

    def weights(self, texts: list[str]) -> Any:
        """Compute TF-IDF weights of other texts, (N, V) float32 CSR."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, vocabulary=self.terms, **TERMS[self.kind])
        vectorizer.idf_ = self.idf
        return vectorizer.transform(text[: self.max_length] for text in texts)


def text_fields(
    columns: list[pa.Array], spec: ModelConfig, n_outputs: int, device: torch.device, download: bool = False, known: list[Vocabulary] | None = None
) -> tuple[dict[str, Any], list[Vocabulary]]:  # fmt: skip
    """Encode all text columns together.

    Args:
        columns: (N,) each.
        spec: `text` selects TF-IDF, sentence embeddings or both.
        n_outputs: C.
        device: where the embedding model runs.
        download: fetch the weights of `text_network` where they are not on this machine.
        known: vocabularies of other texts, by which these are encoded; None to take those of these texts.

    Returns:
        TF-IDF as CSR tensors `term`, `term_start`, `term_weight` and `n_terms`; sentence embeddings as `dense`. And the vocabularies of the first.
    """
    documents = join_columns([column.to_pylist() for column in columns])
    fields: dict[str, Any] = {}
    vocabularies = known or []
    if spec.text != "embedding":
        matrix, vocabularies = (
            tfidf(documents, n_outputs) if known is None else (joined_weights([one.weights(documents) for one in known], len(documents)), known)
        )
        fields |= {
            "term": torch.from_numpy(matrix.indices.astype(np.int64)),
            "term_start": torch.from_numpy(matrix.indptr.astype(np.int64)),
            "term_weight": torch.from_numpy(matrix.data.astype(np.float32)),
            "n_terms": matrix.shape[1],
        }
    if spec.text in ("embedding", "both"):
        named = spec.text_network
        vectors = text_network.embed(documents, named, download, device) if named else sentence_encoders.embed(documents, device)
        fields["dense"] = torch.from_numpy(unit_rows(vectors, np.array([bool(text) for text in documents])))
    return fields, vocabularies


def join_columns(columns: list[list[str | None]]) -> list[str]:
    """Join the text columns of each row, (N,), and normalize full-width letters and ligatures."""
    joined = (" ".join(part for part in parts if part) for parts in zip(*columns, strict=True))
    return [text if text.isascii() else unicodedata.normalize("NFKC", text) for text in joined]


def joined_weights(blocks: list[Any], n_rows: int) -> Any:
    """Join blocks of TF-IDF weights, each (N, V) CSR; an empty column where there is none."""
    import scipy.sparse

    return scipy.sparse.hstack(blocks, format="csr") if blocks else scipy.sparse.csr_matrix((n_rows, 1), dtype=np.float32)


def tfidf(texts: list[str], n_outputs: int) -> tuple[Any, list[Vocabulary]]:
    """Compute TF-IDF weights of words, pairs of words and character 3- to 5-grams.

    Args:
        texts: (N,) documents.
        n_outputs: C; the size limit of the vocabularies decreases with the number of classes.

    Returns:
        (N, V) float32 CSR matrix, in which the rows of words and those of character n-grams have unit length each; and the vocabulary of either.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    min_rows = 2 if len(texts) >= 100 else 1
    max_terms = max(MIN_TERMS, min(MAX_TERMS, MAX_WEIGHTS // max(1, n_outputs)))
    max_length = max(200, MAX_CHARACTERS // max(1, len(texts)))
    blocks, vocabularies = [], []
    for length, kind in ((10 * max_length, "words"), (max_length, "characters")):
        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=min_rows, max_features=max_terms, dtype=np.float32, **TERMS[kind])
        try:
            blocks.append(vectorizer.fit_transform(text[:length] for text in texts))
        except ValueError:  # no term is frequent enough
            continue
        vocabularies.append(Vocabulary(kind, length, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_))
    return joined_weights(blocks, len(texts)), vocabularies
