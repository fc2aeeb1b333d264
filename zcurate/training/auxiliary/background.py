"""Detectors and auxiliary models, run in the background while members train."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.plugins import DETECTORS
from zcurate.runtime import device
from zcurate.runtime.context import RunContext
from zcurate.training.auxiliary import naive_bayes, probe, ridge
from zcurate.training.auxiliary.trees import TreeTable
from zcurate.training.folds import auxiliary_folds
from zcurate.training.hard_examples import HARD_SEED, make_hard_examples

if TYPE_CHECKING:
    from zcurate.training.auxiliary.tree_worker import TreeWorker


class Background:
    """Runs detectors and auxiliary models in background threads; of memory-mapped rows detectors run when their columns are requested."""

    def __init__(self, submit: Callable[..., Future[Any]], rows: EncodedRows, spec: ModelConfig, run: RunContext, trees: TreeWorker) -> None:
        """Nothing started yet.

        Args:
            submit: starts a call on another thread.
            rows: N rows.
            spec: `witnesses`, `ensemble`.
            run: seed, time limit, timings.
            trees: worker process for tree models.
        """
        self.submit, self.rows, self.spec, self.run, self.trees = submit, rows, spec, run, trees
        self.detecting: list[Future[dict[str, np.ndarray]]] | None = None
        self.predicting: Future[dict[str, AuxiliaryPredictions]] | None = None

    def start_detectors(self) -> None:
        """Start the detectors, once."""
        if self.detecting is None and self.rows.store.resident:
            self.detecting = [self.submit(self.detect, name) for name in self.spec.witnesses]

    def start_auxiliary(self) -> None:
        """Start the auxiliary models, where any is wanted."""
        if self.spec.ensemble:
            self.predicting = self.submit(self.predict)

    def columns(self) -> dict[str, np.ndarray]:
        """(N,) columns of the detectors, once all are done."""
        self.start_detectors()
        found: dict[str, np.ndarray] = {}
        if self.detecting is not None:
            for future in self.detecting:
                found |= future.result()
            return found
        for name in self.spec.witnesses:
            found |= self.detect(name)
            self.rows.release()
        return found

    def predictions(self) -> dict[str, AuxiliaryPredictions]:
        """Held-out predictions of the auxiliary models by kind and setting, once all are done."""
        return {} if self.predicting is None else self.predicting.result()

    def detect(self, name: str) -> dict[str, np.ndarray]:
        """Run one detector, timed."""
        with self.run.timings(name):
            return dict(DETECTORS.load(name)(self.rows))

    def predict(self) -> dict[str, AuxiliaryPredictions]:
        """Predict with the auxiliary models, timed."""
        found: dict[str, AuxiliaryPredictions] = {}
        if self.trees.kinds:
            with self.run.timings("trees"):
                found |= self.trees.predict(table_for_trees(self.rows, self.run.seed), self.run.time_limit)
        if "bayes" in self.spec.ensemble:
            with self.run.timings("bayes"):
                found |= naive_bayes_predictions(self.rows, self.run.seed)
        if "ridge" in self.spec.ensemble:
            with self.run.timings("ridge"):
                found |= ridge_predictions(self.rows, self.run.seed)
        if "probe" in self.spec.ensemble:
            with self.run.timings("probe"):
                found |= probe_predictions(self.rows, self.run.seed)
        return found


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


def ridge_predictions(encoded: EncodedRows, seed: int) -> dict[str, AuxiliaryPredictions]:
    """Compute the held-out predictions of ridge regression; none unless the table has more columns than rows.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    if encoded.columns is None:
        return {}
    hard, hard_row = make_hard_examples(encoded, device.generator(encoded.device, seed, HARD_SEED))
    columns = encoded.columns.cpu().numpy()
    hard_columns = columns[:0] if hard is None or hard.columns is None else hard.columns.cpu().numpy()
    fold = auxiliary_folds(encoded, seed, ridge.n_folds(encoded.n_rows))
    return ridge.fit_ridge(columns, encoded.y.cpu().numpy(), fold, encoded.n_outputs, hard_columns, hard_row.cpu().numpy())


def probe_predictions(encoded: EncodedRows, seed: int) -> dict[str, AuxiliaryPredictions]:
    """Compute the held-out predictions of the linear probe; none without wide vectors.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    features = encoded.dense if encoded.features is None else encoded.features
    if features is None or not probe.is_fitted(features.shape[1], encoded.n_rows):
        return {}
    hard, hard_row = make_hard_examples(encoded, device.generator(encoded.device, seed, HARD_SEED))
    of_hard = None if hard is None else hard.dense if encoded.features is None else hard.features
    of_hard = features[:0] if of_hard is None else of_hard
    fold = auxiliary_folds(encoded, seed)
    return probe.fit_probe(features.cpu(), encoded.y.cpu().numpy(), fold, encoded.n_outputs, of_hard.cpu(), hard_row.cpu().numpy())
