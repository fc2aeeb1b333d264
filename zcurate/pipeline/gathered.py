"""What is known of each row before it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zcurate.data import picture_findings
from zcurate.data.dataset import Dataset
from zcurate.data.picture_findings import PictureFindings
from zcurate.encoding.encoded import EncodedRows
from zcurate.encoding.near_duplicates import near_duplicate_groups
from zcurate.encoding.targets import TargetScale, class_codes
from zcurate.evidence.evidence import Evidence
from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.evidence.untrained import untrained_round
from zcurate.training.checkpoint import Checkpoint

MIN_WIDTH, MIN_INFORMATION = 64, 0.5
"""Width of features by which near-duplicates are told, and bits of a picture that may be one."""


@dataclass(frozen=True)
class Gathered:
    """Evidence about M rows, and what the run card says of how it was gathered."""

    row: np.ndarray
    """(M,) int64, position in the input of each row; of a streamed table among the rows that this process reads."""
    evidence: Evidence
    """The rounds, not yet merged."""
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    """(M,) columns of the detectors."""
    auxiliary: dict[str, AuxiliaryPredictions] = field(default_factory=dict)
    """Held-out predictions of the auxiliary models, and the user's."""
    target: TargetScale | None = None
    """Regression's scale of targets."""
    n_copies: int = 0
    """Rows that are copies of others."""
    dtype: str = "float32"
    """Of the numbers passed to the model."""
    cut_short: bool = False
    """The time limit cut the training short."""
    checkpoint: Checkpoint | None = None
    """That the training left."""
    fingerprint: dict[str, Any] | None = None
    """Of the scan; None where nothing was trained."""
    findings: PictureFindings | None = None
    """What was found of pictures; None for tables."""
    warnings: tuple[str, ...] = ()
    """One line each."""


def find_in_pictures(data: Dataset, rows: EncodedRows) -> PictureFindings | None:
    """Find unusual pictures, and near-duplicates where there are features; None for tables, and for pictures that are kept in files.

    Args:
        data: N rows.
        rows: the readable ones, encoded.
    """
    if data.pictures is None or data.originals is None or len(data.originals.appearance) != len(data.given):
        return None
    group = np.full(len(data.given), -1)
    if rows.features is not None and rows.features.shape[1] >= MIN_WIDTH:
        # Blank pictures are alike and no copies.
        seen = np.flatnonzero(data.originals.appearance[rows.row, picture_findings.MEASURES.index("information")] >= MIN_INFORMATION)
        group[rows.row[seen]] = near_duplicate_groups(rows.features if len(seen) == len(rows.row) else rows.features[seen])
    split = None if data.splits is None else data.splits.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return picture_findings.find(data.originals.appearance, group, split)


def take_probabilities(data: Dataset) -> Gathered:
    """Take the user's probabilities as all the evidence there is.

    Args:
        data: N rows.
    """
    assert data.probabilities is not None  # crack: narrows types only
    row = np.flatnonzero(data.readable()).astype(np.int64)
    y = class_codes(data)[row]
    one = untrained_round(data.probabilities[row], y)
    return Gathered(row, Evidence((one,), one.columns, one.curves, one.heldout, y))
