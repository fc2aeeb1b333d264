"""Which rows are most like a row, in the space of the input's own columns.

Leaves: `Nearest`. Enters: a `Dataset` read again. torch is imported when it is asked. Numbers count in robust deviations, two different
categories as one, pictures by coarse brightness and roughness; texts by the cosine of their TF-IDF rows, and only where there is nothing else.
Wrong when: many columns do not matter; then the nearest rows are not alike.
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
BY_TEXT, BY_IMAGE, BY_COLUMNS = "words and letters in common (1 - cosine)", "coarse brightness and roughness of the picture", "distance over all columns"
"""What a distance means."""


@dataclass(frozen=True)
class SimilarRows:
    """The rows nearest to some rows."""

    measure: str
    """What the distances are, in words."""
    of: dict[int, list[tuple[int, float]]]
    """Row -> its nearest rows and their distances, nearest first; rows that could not be read are missing."""


def similar_rows(data: Dataset, rows: list[int]) -> SimilarRows:
    """Up to `N_NEAREST` rows nearest to each of `rows`, itself left out.

    Args:
        data: N rows.
        rows: positions in the input.
    """
    import torch

    from zcurate.data.table import ResidentTable
    from zcurate.encoding.encoder import encode
    from zcurate.runtime.context import RunContext
    from zcurate.training.detectors.neighbors import nearest_rows, raw_space

    encoded = encode(ResidentTable(data), ModelConfig(), RunContext(device=torch.device("cpu")))
    place_of = {int(row): at for at, row in enumerate(encoded.row)}
    known = [row for row in rows if row in place_of]
    space = raw_space(encoded)
    measure = BY_TEXT if space is None else BY_IMAGE if data.pictures is not None else BY_COLUMNS
    if not known or encoded.n_rows < 2:
        return SimilarRows(measure, {})
    asked = torch.tensor([place_of[row] for row in known])
    if space is None:
        far, near = similar_texts(encoded, asked.numpy())
    else:
        distances, percentiles = nearest_rows(space[asked], space, torch.arange(encoded.n_rows), N_NEAREST, asked)
        far, near = distances.numpy(), percentiles.numpy()
    found = {row: [(int(encoded.row[at]), float(d)) for at, d in zip(near[k], far[k], strict=True)] for k, row in enumerate(known)}
    return SimilarRows(measure + texts_missing(data), found)


def texts_missing(data: Dataset) -> str:
    """A remark where texts stand beside other columns: `raw_space` does not see them."""
    kinds = {column.kind for column in data.roles.features}
    return " but the texts" if "text" in kinds and kinds != {"text"} and data.pictures is None else ""


def similar_texts(encoded: EncodedRows, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Q, k) float64 distances 1 - cosine and (Q, k) int64 places of the nearest encoded rows.

    Args:
        encoded: N rows with TF-IDF rows.
        asked: (Q,) int64 places.
    """
    import scipy.sparse

    assert encoded.term is not None and encoded.term_start is not None and encoded.term_weight is not None  # crack: narrows types only
    arrays = (encoded.term_weight.numpy(), encoded.term.numpy(), encoded.term_start.numpy())
    matrix = scipy.sparse.csr_matrix(arrays, shape=(encoded.n_rows, encoded.n_terms))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1), np.float64)).reshape(-1) + 1e-12
    cosine = (matrix[asked] @ matrix.T).toarray() / (length[asked][:, None] * length)
    cosine[np.arange(len(asked)), asked] = -np.inf
    percentiles = np.argsort(-cosine, axis=1, kind="stable")[:, : min(N_NEAREST, encoded.n_rows - 1)]
    return np.maximum(0.0, 1 - np.take_along_axis(cosine, percentiles, 1)), percentiles
