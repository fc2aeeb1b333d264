"""The rule by which the verdict follows from the probabilities (DESIGN section 3). Imports no torch."""

from __future__ import annotations

import numpy as np

from zcurate.config.verdicts import VERDICTS


def decide(p_incorrect: np.ndarray, p_hard: np.ndarray, p_outlier: np.ndarray, cuts: tuple[float, float], labelled: np.ndarray) -> np.ndarray:
    """Decide the verdicts from the probabilities; a labelled row without any signal is `unjudged`.

    `suspect` begins at the lower of both cuts and needs p_incorrect to be at least p_hard, so a stricter threshold never makes a row `hard`.

    Args:
        p_incorrect: (N,), NaN where not judged.
        p_hard: (N,).
        p_outlier: (N,).
        cuts: threshold on `p_incorrect` of the verdict incorrect, and the review cut.
        labelled: (N,) bool, the row has a label.

    Returns:
        (N,) int8 positions in `VERDICTS`.
    """
    threshold, review = cuts
    with np.errstate(invalid="ignore"):
        p_clean = 1 - p_incorrect - p_hard - p_outlier
        suspect = (p_incorrect >= p_hard) & (p_incorrect > min(threshold, review))
        hard = (p_hard > p_clean) & (p_hard > p_incorrect)
        conditions = [~labelled, np.isnan(p_incorrect), p_incorrect > threshold, p_outlier > 0.5, suspect, hard]
    verdicts = ("unlabelled", "unjudged", "incorrect", "outlier", "suspect", "hard")
    return np.select(conditions, [np.int8(VERDICTS.index(verdict)) for verdict in verdicts], np.int8(VERDICTS.index("clean")))
