"""Another kind of model beside the members: boosted trees and a forest, for tables, whose mistakes are others than a perceptron's.

Leaves: held-out predictions. Enters: plain arrays. No torch: the trees grow in a process of their own, on cores that the members of small tables
leave free, and scikit-learn is imported while torch is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import log2
from typing import NamedTuple

import numpy as np

from zcurate.evidence.heldout import AuxiliaryPredictions

KINDS = ("boosted", "forest")
N_FOLDS = 4
"""Each row is predicted by trees that saw the rows of the other folds."""
FOREST_TREES, LEAF_ROWS = 30, 3
"""Extremely randomised trees per fold at most, and rows that a leaf holds at least."""
BOOSTED_STAGES = (15, 30, 60)
"""Steps of boosting after which it is asked what it predicts; noisy labels want fewer."""
TREE_SECONDS, BOOSTED_SECONDS, FOREST_SECONDS = 1.2e-3, 1.2e-8, 4.5e-9
"""What a tree costs one core of an AMD EPYC (Zen 4), about: each; per row and column of a boosted one; per row, level and column tried of a forest's."""
MAX_BOOSTED_SECONDS, MAX_FOREST_SECONDS = 8.0, 18.0
"""What either may cost: boosting, which grows a tree for each class at each step, is left out beyond, a forest has fewer trees."""
MAX_CELLS, TREE_BYTES = 20_000_000, 128 << 20
"""Rows x classes of predictions, and memory of the trees that grow at a time in all folds; beyond there are none."""
MAX_CATEGORIES = 255
"""Values of a category that boosting takes as such; others as numbers, in order of their codes."""


class TreeTable(NamedTuple):
    """What trees see of N rows."""

    x: np.ndarray
    """(N, F) float32 without NaN."""
    category: np.ndarray
    """(F,) bool: the column holds codes of a category, from 0 on."""
    y: np.ndarray
    """(N,) int64 classes, -1 = unlabelled."""
    fold: np.ndarray
    """(N,) int64, 0 to `FOLDS` - 1."""
    n_classes: int
    """C."""
    seed: int
    """What every random choice depends on."""
    hard: np.ndarray
    """(H, F) float32 hard cases."""
    hard_row: np.ndarray
    """(H,) int64 rows that they were made of; they are asked of the trees that never saw those."""


class TreeSizes(NamedTuple):
    """How many trees a table is worth."""

    boosted: int
    """Trees per step of boosting; 0 for no boosting."""
    forest: int
    """Trees of the forest per fold; 0 for no forest."""
    tried: int
    """Columns that the forest looks at for each split."""


FitTrees = Callable[[np.ndarray, np.ndarray, list[np.ndarray]], list[list[np.ndarray]]]
"""(n, F) rows, (n,) classes and inputs to ask about, to a prediction of each stage for each input."""


def tree_sizes(n_rows: int, width: int, n_classes: int, wanted: Sequence[str]) -> TreeSizes:
    """How many trees a table is worth; none of a kind that is not wanted or would cost too much.

    Args:
        n_rows: N.
        width: F.
        n_classes: C.
        wanted: of `KINDS`.
    """
    per_step = 1 if n_classes == 2 else n_classes
    boosted = boosted_seconds(n_rows, width, per_step) <= MAX_BOOSTED_SECONDS
    tried = max(1, min((width + 1) // 2, max(8, round(2 * width**0.5))))
    forest = min(FOREST_TREES, int(MAX_FOREST_SECONDS / forest_seconds(n_rows, tried, 1)))
    if "forest" not in wanted or N_FOLDS * tree_bytes(n_rows, n_classes) > TREE_BYTES:
        forest = 0
    return TreeSizes(0, 0, tried) if n_rows * n_classes > MAX_CELLS or not width else TreeSizes(per_step * (boosted and "boosted" in wanted), forest, tried)


def boosted_seconds(n_rows: int, width: int, per_step: int) -> float:
    """What boosting takes in all folds; arguments as in `Sizes` and for `sizes`."""
    return BOOSTED_STAGES[-1] * N_FOLDS * per_step * (TREE_SECONDS + BOOSTED_SECONDS * n_rows * width)


def forest_seconds(n_rows: int, tried: int, n_trees: int) -> float:
    """What a forest takes in all folds; arguments as in `Sizes` and for `sizes`."""
    return N_FOLDS * n_trees * (TREE_SECONDS + FOREST_SECONDS * n_rows * log2(n_rows + 2) * tried)


def tree_bytes(n_rows: int, n_classes: int) -> int:
    """Of one tree of a forest: two nodes for each leaf, a float64 per class in each."""
    return 2 * max(1, n_rows // LEAF_ROWS) * n_classes * 8


def fit_trees(table: TreeTable, wanted: Sequence[str], n_threads: int = 1) -> dict[str, AuxiliaryPredictions]:
    """Held-out predictions of every kind of trees that is wanted and that the table's size allows, boosting's after each of its stages.

    Args:
        table: N rows.
        wanted: of `KINDS`.
        n_threads: folds and kinds that grow side by side; what they say does not depend on it.
    """
    n_rows, width = table.x.shape
    size = tree_sizes(n_rows, width, table.n_classes, wanted)
    kinds: dict[tuple[str, ...], FitTrees] = {}
    if size.boosted:
        kinds[tuple(f"boosted {stage}" for stage in BOOSTED_STAGES)] = lambda x, y, asked: fit_boosted(x, y, asked, table)
    if size.forest:
        at_once = max(1, min(size.forest, TREE_BYTES // N_FOLDS // tree_bytes(n_rows, table.n_classes)))
        kinds[("forest",)] = lambda x, y, asked: fit_forest(x, y, asked, table.seed, size, at_once)

    def unsure(x: np.ndarray) -> np.ndarray:
        return np.full((len(x), table.n_classes), 1 / table.n_classes, np.float32)

    out = {name: AuxiliaryPredictions(unsure(table.x), unsure(table.hard)) for names in kinds for name in names}

    def fill(job: tuple[tuple[str, ...], int]) -> None:
        names, fold = job
        training_mask = (table.y >= 0) & (table.fold != fold)
        own, own_hard = table.fold == fold, table.fold[table.hard_row] == fold
        present = np.unique(table.y[training_mask])
        if len(present) < 2:
            return
        said = kinds[names](table.x[training_mask], np.searchsorted(present, table.y[training_mask]), [table.x[own], table.hard[own_hard]])
        for name, (rows, hard) in zip(names, said, strict=True):
            for into, which, p in ((out[name].rows, own, rows), (out[name].hard, own_hard, hard)):
                spread = np.zeros((len(p), table.n_classes), np.float32)
                spread[:, present] = p
                into[which] = spread

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(fill, [(names, fold) for names in kinds for fold in range(N_FOLDS)]))
    return out


def draw_seed(*seeds: int) -> int:
    """A seed within scikit-learn's range that depends on all of `seeds`, which may be of any size."""
    return int(np.random.default_rng([abs(seed) for seed in seeds]).integers(2**32))


def fit_boosted(x: np.ndarray, y: np.ndarray, asked: list[np.ndarray], table: TreeTable) -> list[list[np.ndarray]]:
    """Gradient boosting on histograms, asked after each of `BOOSTED_STAGES`.

    Args:
        x: (n, F) rows.
        y: (n,) their classes, all present.
        asked: inputs.
        table: `category`, `seed`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    as_such = table.category & (table.x.max(0) < MAX_CATEGORIES)
    model = HistGradientBoostingClassifier(
        max_iter=BOOSTED_STAGES[-1], early_stopping=False, random_state=draw_seed(table.seed), categorical_features=as_such if as_such.any() else None
    ).fit(x, y)
    said: list[list[np.ndarray]] = [[] for _ in BOOSTED_STAGES]
    for inputs in asked:
        stages = enumerate(model.staged_predict_proba(inputs), 1) if len(inputs) else iter(())
        found = {at: p for at, p in stages if at in BOOSTED_STAGES}
        for into, stage in zip(said, BOOSTED_STAGES, strict=True):
            into.append(found.get(stage, np.zeros((0, int(y.max()) + 1))))
    return said


def fit_forest(x: np.ndarray, y: np.ndarray, asked: list[np.ndarray], seed: int, size: TreeSizes, at_once: int) -> list[list[np.ndarray]]:
    """Extremely randomised trees [Geurts et al. 2006], some at a time, so that trees of many classes do not fill the memory.

    Args:
        x: (n, F) rows.
        y: (n,) their classes, all present.
        asked: inputs.
        seed: what every random choice depends on.
        size: how many trees, and of how many columns.
        at_once: trees held at a time.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    said = [np.zeros((len(inputs), int(y.max()) + 1)) for inputs in asked]
    for begin in range(0, size.forest, at_once):
        n = min(at_once, size.forest - begin)
        model = ExtraTreesClassifier(n, min_samples_leaf=LEAF_ROWS, max_features=size.tried, bootstrap=True, random_state=draw_seed(seed, begin)).fit(x, y)
        for total, inputs in zip(said, asked, strict=True):
            if len(inputs):
                total += model.predict_proba(inputs) * (n / size.forest)
    return [said]
