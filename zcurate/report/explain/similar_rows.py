"""Find the rows most similar to a row, in the space of the input's own columns.

Numbers are scaled by robust deviations, two different categories have distance one, and pictures are compared by coarse brightness and
roughness. Texts are compared by the cosine of their TF-IDF vectors, but only where there are no other columns. Where many columns do not
matter, the nearest rows are not really similar. torch is imported on the first call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zcurate.config.model_config import ModelConfig
from zcurate.data.dataset import Dataset

if TYPE_CHECKING:
    from zcurate.encoding.encoded import EncodedRows


N_NEAREST = 5
"""Similar rows of a row."""
BY_FEATURES = "features of a pre-trained network"
BY_TEXT, BY_IMAGE, BY_COLUMNS = "words and letters in common (1 - cosine)", "coarse brightness and roughness of the picture", "distance over all columns"
"""Descriptions of the distances."""


@dataclass(frozen=True)
class SimilarRows:
    """The rows most similar to some rows."""

    measure: str
    """Description of the distances."""
    of: dict[int, list[tuple[int, float]]]
    """Row -> its nearest rows and their distances, nearest first; rows that could not be read are missing."""


def similar_rows(data: Dataset, rows: list[int], features: np.ndarray | None = None) -> SimilarRows:
    """Find up to `N_NEAREST` rows nearest to each of some rows, excluding itself.

    Args:
        data: N rows.
        rows: positions in the input.
        features: (N, V) float32 `unit_features` of pictures; None where there are none.
    """
    import torch

    from zcurate.data.table import ResidentTable
    from zcurate.encoding.encoder import encode
    from zcurate.runtime.context import RunContext
    from zcurate.training.detectors.neighbors import nearest_rows, raw_space

    encoded = encode(ResidentTable(data), ModelConfig(), RunContext(device=torch.device("cpu")))
    position_of = {int(row): at for at, row in enumerate(encoded.row)}
    known = [row for row in rows if row in position_of]
    space = raw_space(encoded) if features is None else torch.from_numpy(features[encoded.row])
    measure = BY_TEXT if space is None else BY_FEATURES if features is not None else BY_IMAGE if data.pictures is not None else BY_COLUMNS
    if not known or encoded.n_rows < 2:
        return SimilarRows(measure, {})
    query = torch.tensor([position_of[row] for row in known])
    if space is None:
        distance, nearest = similar_texts(encoded, query.numpy())
    else:
        distances, neighbors = nearest_rows(space[query], space, torch.arange(encoded.n_rows), N_NEAREST, query)
        distance, nearest = distances.numpy(), neighbors.numpy()
    found = {row: [(int(encoded.row[at]), float(d)) for at, d in zip(nearest[k], distance[k], strict=True)] for k, row in enumerate(known)}
    return SimilarRows(measure + texts_remark(data), found)


def unit_features(features: np.ndarray) -> np.ndarray:
    """Center features and scale each row to length one, (N, V) float32: the distance of two rows is then that of their directions.

    Args:
        features: (N, V) float.
    """
    centered = features.astype(np.float32)
    centered -= centered.mean(0)
    centered /= np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-9)
    return centered


def texts_remark(data: Dataset) -> str:
    """Note that texts do not count where there are other columns, as `raw_space` leaves them out; empty otherwise."""
    kinds = {column.kind for column in data.roles.features}
    return " but the texts" if "text" in kinds and kinds != {"text"} and data.pictures is None else ""


def similar_texts(encoded: EncodedRows, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows with the most similar TF-IDF vectors.

    Args:
        encoded: N rows with TF-IDF vectors.
        query: (Q,) int64 positions in `encoded`.

    Returns:
        (Q, k) float64 distances 1 - cosine and (Q, k) int64 positions in `encoded`, nearest first.
    """
    import scipy.sparse

    assert encoded.term is not None and encoded.term_start is not None and encoded.term_weight is not None  # crack: narrows types only
    arrays = (encoded.term_weight.numpy(), encoded.term.numpy(), encoded.term_start.numpy())
    matrix = scipy.sparse.csr_matrix(arrays, shape=(encoded.n_rows, encoded.n_terms))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1), np.float64)).reshape(-1) + 1e-12
    cosine = (matrix[query] @ matrix.T).toarray() / (length[query][:, None] * length)
    cosine[np.arange(len(query)), query] = -np.inf
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, : min(N_NEAREST, encoded.n_rows - 1)]
    return np.maximum(0.0, 1 - np.take_along_axis(cosine, nearest, 1)), nearest
