"""Detectors and auxiliary models, run in the background while members train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zcurate.encoding.encoded import EncodedRows
from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.plugins import DETECTORS
from zcurate.runtime import device
from zcurate.training.auxiliary import naive_bayes
from zcurate.training.auxiliary.trees import TreeTable
from zcurate.training.folds import auxiliary_folds
from zcurate.training.hard_examples import HARD_SEED, make_hard_examples

if TYPE_CHECKING:
    from zcurate.runtime.progress import Timings
    from zcurate.training.auxiliary.tree_worker import TreeWorker


def start_detectors(looks: list[Any], start: Any, encoded: EncodedRows, names: tuple[str, ...], timings: Timings) -> None:
    """Have witnesses look at the inputs on another thread.

    Args:
        looks: takes what will be known of them.
        start: begins a call there.
        encoded: N rows.
        names: of the witnesses.
        timings: takes their seconds.
    """
    looks.extend(start(run_detector, DETECTORS.load(name), encoded, name, timings) for name in names)


def run_detector(witness: Any, encoded: EncodedRows, name: str, timings: Timings) -> dict[str, np.ndarray]:
    """What a witness sees, its seconds counted.

    Args:
        witness: from the shelf.
        encoded: N rows.
        name: of the witness.
        timings: takes the seconds.
    """
    with timings(name):
        return dict(witness(encoded))


def auxiliary_predictions(
    grove: TreeWorker, encoded: EncodedRows, wanted: tuple[str, ...], seed: int, limit: float | None, timings: Timings
) -> dict[str, AuxiliaryPredictions]:
    """What other kinds of models say of the rows, their seconds counted.

    Args:
        grove: where trees grow.
        encoded: N rows.
        wanted: `ModelSpec.ensemble`.
        seed: of the scan.
        limit: seconds to wait for trees at most.
        timings: takes the seconds.
    """

    said: dict[str, AuxiliaryPredictions] = {}
    if grove.wanted:
        with timings("trees"):
            said |= grove.ask(table_for_trees(encoded, seed), limit)
    if "bayes" in wanted:
        with timings("bayes"):
            said |= naive_bayes_predictions(encoded, seed)
    return said


def table_for_trees(encoded: EncodedRows, seed: int) -> TreeTable:
    """What trees see of the rows and of the hard cases that the members are asked about: numbers, vectors, and categories' codes.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    hard, hard_row = make_hard_examples(encoded, device.generator(encoded.device, seed, HARD_SEED))

    def columns(rows: EncodedRows) -> np.ndarray:
        own = [x.cpu().numpy() for x in (rows.x, rows.dense, rows.codes) if x is not None]
        return np.concatenate([np.zeros((len(rows.y), 0), np.float32), *own], 1, dtype=np.float32)

    x = columns(encoded)
    n_codes = 0 if encoded.codes is None else encoded.codes.shape[1]
    category = np.arange(x.shape[1]) >= x.shape[1] - n_codes
    least = np.where(category, x.min(0), 0).astype(np.float32)
    asked = x[:0] if hard is None else columns(hard)
    return TreeTable(
        x - least, category, encoded.y.cpu().numpy(), auxiliary_folds(encoded, seed), encoded.n_outputs, seed, asked - least, hard_row.cpu().numpy()
    )


def naive_bayes_predictions(encoded: EncodedRows, seed: int) -> dict[str, AuxiliaryPredictions]:
    """What naive Bayes says of the rows' texts; nothing where there are none.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    if encoded.term is None or encoded.term_start is None or encoded.term_weight is None:
        return {}
    term, start, weight = (part.cpu().numpy() for part in (encoded.term, encoded.term_start, encoded.term_weight))
    return naive_bayes.fit_naive_bayes(term, start, weight, encoded.n_terms, encoded.y.cpu().numpy(), auxiliary_folds(encoded, seed), encoded.n_outputs)
