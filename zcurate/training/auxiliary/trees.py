"""Auxiliary models for tables: boosted trees and a forest.

They make other mistakes than a perceptron. Plain arrays, no torch: the trees are fitted in a worker process on cores that the members of
small tables leave idle, and scikit-learn is imported there while the parent imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import log2
from typing import NamedTuple

import numpy as np

from zcurate.evidence.heldout import AuxiliaryPredictions

KINDS = ("boosted", "forest")
"""Kinds of tree models."""
N_FOLDS = 4
"""Each row is predicted by trees fitted on the rows of the other folds."""
FOREST_TREES, LEAF_ROWS = 30, 3
"""Extremely randomized trees per fold, at most, and rows per leaf, at least."""
BOOSTED_STAGES = (15, 30, 60)
"""Boosting iterations after which predictions are made; noisy labels require fewer."""
TREE_SECONDS, BOOSTED_SECONDS, FOREST_SECONDS = 1.2e-3, 1.2e-8, 4.5e-9
"""Approximate time on one core of an AMD EPYC (Zen 4): per tree; per row and column of a boosted tree; per row, level and candidate column of
a forest tree."""
MAX_BOOSTED_SECONDS, MAX_FOREST_SECONDS = 8.0, 18.0
"""Time limits: beyond, boosting, which grows a tree per class and iteration, is omitted, and a forest has fewer trees."""
MAX_CELLS, TREE_BYTES = 20_000_000, 128 << 20
"""Rows x classes of predictions, and memory of the trees that grow at a time in all folds; beyond, no trees are fitted."""
MAX_CATEGORIES = 255
"""Values of a column that boosting treats as categorical, at most; other columns are treated as numbers, in order of their codes."""


class TreeTable(NamedTuple):
    """Input of the tree models for N rows."""

    x: np.ndarray
    """(N, F) float32 without NaN."""
    category: np.ndarray
    """(F,) bool: the column contains category codes, from 0 on."""
    y: np.ndarray
    """(N,) int64 classes, -1 = unlabelled."""
    fold: np.ndarray
    """(N,) int64, 0 to `N_FOLDS` - 1."""
    n_classes: int
    """C."""
    seed: int
    """Random seed."""
    hard: np.ndarray
    """(H, F) float32 synthetic hard examples."""
    hard_row: np.ndarray
    """(H,) int64 rows that they were made from; each is predicted by the trees that were not fitted on that row."""


class TreeSizes(NamedTuple):
    """Numbers of trees for a table."""

    boosted: int
    """Trees per boosting iteration; 0 for no boosting."""
    forest: int
    """Trees of the forest per fold; 0 for no forest."""
    tried: int
    """Candidate columns of each split in the forest."""


FitTrees = Callable[[np.ndarray, np.ndarray, list[np.ndarray]], list[list[np.ndarray]]]
"""Maps (n, F) training rows, their (n,) classes and a list of inputs to the probabilities of each input at each stage."""


def tree_sizes(n_rows: int, width: int, n_classes: int, kinds: Sequence[str]) -> TreeSizes:
    """Choose the numbers of trees; 0 for a kind that is not requested or would take too long.

    Args:
        n_rows: N.
        width: F.
        n_classes: C.
        kinds: requested kinds of `KINDS`.
    """
    per_step = 1 if n_classes == 2 else n_classes
    boosted = boosted_seconds(n_rows, width, per_step) <= MAX_BOOSTED_SECONDS
    tried = max(1, min((width + 1) // 2, max(8, round(2 * width**0.5))))
    forest = min(FOREST_TREES, int(MAX_FOREST_SECONDS / forest_seconds(n_rows, tried, 1)))
    if "forest" not in kinds or N_FOLDS * tree_bytes(n_rows, n_classes) > TREE_BYTES:
        forest = 0
    return TreeSizes(0, 0, tried) if n_rows * n_classes > MAX_CELLS or not width else TreeSizes(per_step * (boosted and "boosted" in kinds), forest, tried)


def boosted_seconds(n_rows: int, width: int, per_step: int) -> float:
    """Estimate the time of boosting in all folds [s], given rows, columns and trees per iteration."""
    return BOOSTED_STAGES[-1] * N_FOLDS * per_step * (TREE_SECONDS + BOOSTED_SECONDS * n_rows * width)


def forest_seconds(n_rows: int, tried: int, n_trees: int) -> float:
    """Estimate the time of a forest in all folds [s], given rows, candidate columns and trees."""
    return N_FOLDS * n_trees * (TREE_SECONDS + FOREST_SECONDS * n_rows * log2(n_rows + 2) * tried)


def tree_bytes(n_rows: int, n_classes: int) -> int:
    """Estimate the memory of one tree of a forest [bytes]: two nodes per leaf with one float64 per class."""
    return 2 * max(1, n_rows // LEAF_ROWS) * n_classes * 8


def fit_trees(table: TreeTable, kinds: Sequence[str], n_threads: int = 1) -> dict[str, AuxiliaryPredictions]:
    """Fit all requested tree models that the table's size allows and predict the rows of each fold.

    Args:
        table: N rows.
        kinds: requested kinds of `KINDS`.
        n_threads: folds and kinds fitted in parallel; results do not depend on it.

    Returns:
        Held-out predictions by kind, those of boosting by kind and stage such as `boosted 30`.
    """
    n_rows, width = table.x.shape
    size = tree_sizes(n_rows, width, table.n_classes, kinds)
    fits: dict[tuple[str, ...], FitTrees] = {}
    if size.boosted:
        fits[tuple(f"boosted {stage}" for stage in BOOSTED_STAGES)] = lambda x, y, inputs: fit_boosted(x, y, inputs, table)
    if size.forest:
        at_once = max(1, min(size.forest, TREE_BYTES // N_FOLDS // tree_bytes(n_rows, table.n_classes)))
        fits[("forest",)] = lambda x, y, inputs: fit_forest(x, y, inputs, table.seed, size, at_once)

    def uniform(x: np.ndarray) -> np.ndarray:
        return np.full((len(x), table.n_classes), 1 / table.n_classes, np.float32)

    predictions = {name: AuxiliaryPredictions(uniform(table.x), uniform(table.hard)) for names in fits for name in names}

    def predict_fold(job: tuple[tuple[str, ...], int]) -> None:
        names, fold = job
        train = (table.y >= 0) & (table.fold != fold)
        heldout, heldout_hard = table.fold == fold, table.fold[table.hard_row] == fold
        classes = np.unique(table.y[train])
        if len(classes) < 2:
            return
        stages = fits[names](table.x[train], np.searchsorted(classes, table.y[train]), [table.x[heldout], table.hard[heldout_hard]])
        for name, (rows, hard) in zip(names, stages, strict=True):
            for destination, mask, p in ((predictions[name].rows, heldout, rows), (predictions[name].hard, heldout_hard, hard)):
                of_all_classes = np.zeros((len(p), table.n_classes), np.float32)
                of_all_classes[:, classes] = p
                destination[mask] = of_all_classes

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(predict_fold, [(names, fold) for names in fits for fold in range(N_FOLDS)]))
    return predictions


def draw_seed(*seeds: int) -> int:
    """Combine seeds of any size into one within scikit-learn's range."""
    return int(np.random.default_rng([abs(seed) for seed in seeds]).integers(2**32))


def fit_boosted(x: np.ndarray, y: np.ndarray, inputs: list[np.ndarray], table: TreeTable) -> list[list[np.ndarray]]:
    """Fit histogram gradient boosting and predict after each of `BOOSTED_STAGES`.

    Args:
        x: (n, F) training rows.
        y: (n,) their classes, all present.
        inputs: (m, F) each.
        table: `category`, `seed`.

    Returns:
        (m, C) probabilities of each input at each stage.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    categorical = table.category & (table.x.max(0) < MAX_CATEGORIES)
    model = HistGradientBoostingClassifier(
        max_iter=BOOSTED_STAGES[-1],
        early_stopping=False,
        random_state=draw_seed(table.seed),
        categorical_features=categorical if categorical.any() else None,
    ).fit(x, y)
    by_stage: list[list[np.ndarray]] = [[] for _ in BOOSTED_STAGES]
    for rows in inputs:
        iterations = enumerate(model.staged_predict_proba(rows), 1) if len(rows) else iter(())
        probabilities = {iteration: p for iteration, p in iterations if iteration in BOOSTED_STAGES}
        for results, stage in zip(by_stage, BOOSTED_STAGES, strict=True):
            results.append(probabilities.get(stage, np.zeros((0, int(y.max()) + 1))))
    return by_stage


def fit_forest(x: np.ndarray, y: np.ndarray, inputs: list[np.ndarray], seed: int, size: TreeSizes, at_once: int) -> list[list[np.ndarray]]:
    """Fit extremely randomized trees (Geurts et al. 2006) and predict.

    A few trees at a time are in memory, since trees with many classes are large.

    Args:
        x: (n, F) training rows.
        y: (n,) their classes, all present.
        inputs: (m, F) each.
        seed: random seed.
        size: number of trees and of candidate columns.
        at_once: trees in memory at a time.

    Returns:
        (m, C) probabilities of each input, at the only stage.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    totals = [np.zeros((len(rows), int(y.max()) + 1)) for rows in inputs]
    for begin in range(0, size.forest, at_once):
        n = min(at_once, size.forest - begin)
        model = ExtraTreesClassifier(n, min_samples_leaf=LEAF_ROWS, max_features=size.tried, bootstrap=True, random_state=draw_seed(seed, begin)).fit(x, y)
        for total, rows in zip(totals, inputs, strict=True):
            if len(rows):
                total += model.predict_proba(rows) * (n / size.forest)
    return [totals]
