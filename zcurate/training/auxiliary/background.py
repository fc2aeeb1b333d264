"""Detectors and auxiliary models, run in the background while members train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.encoding.encoded import EncodedRows
from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.runtime import device
from zcurate.training.auxiliary import naive_bayes
from zcurate.training.auxiliary.trees import TreeTable
from zcurate.training.folds import auxiliary_folds
from zcurate.training.hard_examples import HARD_SEED, make_hard_examples

if TYPE_CHECKING:
    from zcurate.runtime.progress import Timings
    from zcurate.training.auxiliary.tree_worker import TreeWorker


def start_detectors(futures: list[Any], submit: Any, encoded: EncodedRows, names: tuple[str, ...], timings: Timings) -> None:
    """Run the detectors in background threads.

    Args:
        futures: the detectors' futures are appended to it.
        submit: submits a call to a background thread.
        encoded: N rows.
        names: of the detectors.
        timings: their seconds are added to it.
    """
    from zcurate.training.detectors import WITNESSES

    futures.extend(submit(run_detector, WITNESSES.load(name), encoded, name, timings) for name in names)


def run_detector(detect: Any, encoded: EncodedRows, name: str, timings: Timings) -> dict[str, np.ndarray]:
    """Run one detector and time it.

    Args:
        detect: function from the plug-in registry.
        encoded: N rows.
        name: of the detector.
        timings: the seconds are added to it.

    Returns:
        (N,) columns by name.
    """
    with timings(name):
        return dict(detect(encoded))


def auxiliary_predictions(
    worker: TreeWorker, encoded: EncodedRows, kinds: tuple[str, ...], seed: int, timeout: float | None, timings: Timings
) -> dict[str, AuxiliaryPredictions]:
    """Compute and time the held-out predictions of the auxiliary models.

    Args:
        worker: fits the tree models.
        encoded: N rows.
        kinds: `ModelConfig.ensemble`.
        seed: of the scan.
        timeout: seconds to wait for tree models at most.
        timings: the seconds are added to it.

    Returns:
        Predictions by kind and setting.
    """
    predictions: dict[str, AuxiliaryPredictions] = {}
    if worker.kinds:
        with timings("trees"):
            predictions |= worker.predict(table_for_trees(encoded, seed), timeout)
    if "bayes" in kinds:
        with timings("bayes"):
            predictions |= naive_bayes_predictions(encoded, seed)
    return predictions


def table_for_trees(encoded: EncodedRows, seed: int) -> TreeTable:
    """Collect numbers, vectors and category codes for the tree models.

    The synthetic hard examples are the same as those that the members predict.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    hard, hard_row = make_hard_examples(encoded, device.generator(encoded.device, seed, HARD_SEED))

    def columns(rows: EncodedRows) -> np.ndarray:
        parts = [x.cpu().numpy() for x in (rows.x, rows.dense, rows.codes) if x is not None]
        return np.concatenate([np.zeros((len(rows.y), 0), np.float32), *parts], 1, dtype=np.float32)

    x = columns(encoded)
    n_codes = 0 if encoded.codes is None else encoded.codes.shape[1]
    category = np.arange(x.shape[1]) >= x.shape[1] - n_codes
    # Codes have an offset per column; the tree models need them from 0 on.
    offset = np.where(category, x.min(0), 0).astype(np.float32)
    hard_x = x[:0] if hard is None else columns(hard)
    fold = auxiliary_folds(encoded, seed)
    return TreeTable(x - offset, category, encoded.y.cpu().numpy(), fold, encoded.n_outputs, seed, hard_x - offset, hard_row.cpu().numpy())


def naive_bayes_predictions(encoded: EncodedRows, seed: int) -> dict[str, AuxiliaryPredictions]:
    """Compute the held-out predictions of naive Bayes from the rows' texts; none without texts.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    if encoded.term is None or encoded.term_start is None or encoded.term_weight is None:
        return {}
    term, start, weight = (part.cpu().numpy() for part in (encoded.term, encoded.term_start, encoded.term_weight))
    return naive_bayes.fit_naive_bayes(term, start, weight, encoded.n_terms, encoded.y.cpu().numpy(), auxiliary_folds(encoded, seed), encoded.n_outputs)
