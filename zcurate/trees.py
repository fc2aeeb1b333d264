"""Another kind of model beside the members: boosted trees and a forest, for tables, whose mistakes are others than a perceptron's.

Leaves: held-out predictions. Enters: plain arrays. No torch: the trees grow in a process of their own (`python -m zcurate.trees`), on cores that
the members of small tables leave free, and scikit-learn is imported while torch is.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from zcurate import lean
from zcurate.evidence import Held

KINDS = ("boosted", "forest")
FOLDS = 4
"""Each row is predicted by trees that saw the rows of the other folds."""
FOREST_TREES, FEWEST_TREES, LEAF_ROWS = 30, 8, 3
"""Extremely randomised trees per fold, by how large the data are, and rows that a leaf holds at least."""
BOOSTED_STAGES = (15, 30, 60)
"""Steps of boosting after which it is asked what it predicts; noisy labels want fewer."""
MOST_BOOSTED = 4
"""Classes that boosting, which grows a tree for each of them at each step, is tried with at most."""
BOOSTED_CELLS, FOREST_CELLS = 5_000_000, 250_000_000
"""Rows x columns x trees per step, and rows x columns looked at per split x trees, that either may cost: some 15 seconds of one core."""
MOST_CELLS, TREE_BYTES = 20_000_000, 128 << 20
"""Rows x classes of predictions, and memory of the trees that are held at a time; beyond there are no trees."""
MOST_CATEGORIES = 255
"""Values of a category that boosting takes as such; others as numbers, in order of their codes."""


class Table(NamedTuple):
    """What trees see of N rows."""

    x: np.ndarray
    """(N, F) float32 without NaN."""
    category: np.ndarray
    """(F,) bool: the column holds codes of a category."""
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


Grown = Callable[[np.ndarray, np.ndarray, list[np.ndarray]], list[list[np.ndarray]]]
"""(n, F) rows, (n,) classes and inputs to ask about, to a prediction of each stage for each input."""


def grown(table: Table, wanted: Sequence[str], n_threads: int = 1) -> dict[str, Held]:
    """Held-out predictions of every kind of trees that is wanted and that the table's size allows, boosting's after each of its stages.

    Args:
        table: N rows.
        wanted: of `boosted` and `forest`.
        n_threads: folds and kinds that grow side by side; what they say does not depend on it.
    """
    n, width = table.x.shape
    if n * table.n_classes > MOST_CELLS or not width:
        return {}
    kinds: dict[tuple[str, ...], Grown] = {}
    n_trees = 1 if table.n_classes == 2 else table.n_classes
    if "boosted" in wanted and table.n_classes <= MOST_BOOSTED and n * width * n_trees <= BOOSTED_CELLS:
        kinds[tuple(f"boosted {stage}" for stage in BOOSTED_STAGES)] = lambda x, y, asked: boosted(x, y, asked, table)
    tried = max(1, min((width + 1) // 2, max(8, round(2 * width**0.5))))
    size = max(FEWEST_TREES, min(FOREST_TREES, FOREST_CELLS // (n * tried * FOLDS * 4)))
    if "forest" in wanted and 2 * n // LEAF_ROWS * table.n_classes * 8 <= TREE_BYTES:
        kinds[("forest",)] = lambda x, y, asked: forest(x, y, asked, table, size, tried)

    def unsure(x: np.ndarray) -> np.ndarray:
        return np.full((len(x), table.n_classes), 1 / table.n_classes, np.float32)

    out = {name: Held(unsure(table.x), unsure(table.hard)) for names in kinds for name in names}

    def fill(job: tuple[tuple[str, ...], int]) -> None:
        names, fold = job
        taught = (table.y >= 0) & (table.fold != fold)
        own, own_hard = table.fold == fold, table.fold[table.hard_row] == fold
        present = np.unique(table.y[taught])
        if len(present) < 2:
            return
        said = kinds[names](table.x[taught], np.searchsorted(present, table.y[taught]), [table.x[own], table.hard[own_hard]])
        for name, (rows, hard) in zip(names, said, strict=True):
            for into, which, p in ((out[name].rows, own, rows), (out[name].hard, own_hard, hard)):
                spread = np.zeros((len(p), table.n_classes), np.float32)
                spread[:, present] = p
                into[which] = spread

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(fill, [(names, fold) for names in kinds for fold in range(FOLDS)]))
    return out


def boosted(x: np.ndarray, y: np.ndarray, asked: list[np.ndarray], table: Table) -> list[list[np.ndarray]]:
    """Gradient boosting on histograms, asked after each of `BOOSTED_STAGES`.

    Args:
        x: (n, F) rows.
        y: (n,) their classes, all present.
        asked: inputs.
        table: `category`, `seed`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    as_such = [bool(is_code and len(np.unique(values)) < MOST_CATEGORIES) for is_code, values in zip(table.category, table.x.T, strict=True)]
    model = HistGradientBoostingClassifier(
        max_iter=BOOSTED_STAGES[-1], early_stopping=False, random_state=table.seed, categorical_features=as_such if any(as_such) else None
    ).fit(x, y)
    said: list[list[np.ndarray]] = [[] for _ in BOOSTED_STAGES]
    for inputs in asked:
        stages = enumerate(model.staged_predict_proba(inputs), 1) if len(inputs) else iter(())
        found = {at: p for at, p in stages if at in BOOSTED_STAGES}
        for into, stage in zip(said, BOOSTED_STAGES, strict=True):
            into.append(found.get(stage, np.zeros((0, y.max() + 1))))
    return said


def forest(x: np.ndarray, y: np.ndarray, asked: list[np.ndarray], table: Table, n_trees: int, tried: int) -> list[list[np.ndarray]]:
    """Extremely randomised trees [Geurts et al. 2006], a few at a time, so that trees of many classes do not fill the memory.

    Args:
        x: (n, F) rows.
        y: (n,) their classes, all present.
        asked: inputs.
        table: `seed`.
        n_trees: how many.
        tried: columns looked at for each split.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    at_once = max(1, min(n_trees, TREE_BYTES // (2 * len(x) // LEAF_ROWS * int(y.max() + 1) * 8 + 1)))
    said = [np.zeros((len(inputs), int(y.max()) + 1)) for inputs in asked]
    for begin in range(0, n_trees, at_once):
        size = min(at_once, n_trees - begin)
        model = ExtraTreesClassifier(size, min_samples_leaf=LEAF_ROWS, max_features=tried, bootstrap=True, random_state=table.seed * 1000 + begin).fit(x, y)
        for total, inputs in zip(said, asked, strict=True):
            if len(inputs):
                total += model.predict_proba(inputs) * (size / n_trees)
    return [said]


class Grove:
    """The process in which trees grow; it loads its libraries from the moment that this object is made, and ends with the `with` block.

    Args:
        wanted: kinds of trees; none of them, no process.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = [kind for kind in wanted if kind in KINDS]
        self.trouble = ""
        """Why it said nothing; empty when it did, or when nobody asked."""
        self.child = self.started() if self.wanted and sys.executable else None

    def started(self) -> subprocess.Popen[bytes] | None:
        """The process; None where the system allows no other."""
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "zcurate.trees", str(spare_threads()), *self.wanted]
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        try:
            # What stops this process (Ctrl-C) stops that one by the end of its input, not by a signal of its own.
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        except OSError:
            return None

    def __enter__(self) -> Grove:
        return self

    def __exit__(self, *error: object) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            for pipe in (self.child.stdin, self.child.stdout):
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()  # type: ignore[union-attr]

    def ask(self, table: Table, seconds: float | None = None) -> dict[str, Held]:
        """`grown` of a table, there, or here where such a process cannot be started; nothing where it fails or takes too long.

        Args:
            table: N rows.
            seconds: to wait at most; None for as long as it takes.
        """
        if self.child is None:
            return grown(table, self.wanted, spare_threads())
        try:
            said, _ = self.child.communicate(packed(table._asdict()), seconds)
        except subprocess.TimeoutExpired:
            self.trouble = "they were not ready in time"
            return {}
        if self.child.returncode:
            self.trouble = f"their process ended with code {self.child.returncode}"
            return {}
        arrays = unpacked(said)
        return {name: Held(arrays[f"{name}/rows"], arrays[f"{name}/hard"]) for name in dict.fromkeys(key.split("/")[0] for key in arrays)}


def spare_threads() -> int:
    """Cores that the members of a small table leave free."""
    return max(1, lean.threads() - 1)


def packed(arrays: dict[str, Any]) -> bytes:
    """Named arrays as the bytes of an .npz file."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def unpacked(data: bytes) -> dict[str, np.ndarray]:
    """Back from `packed`."""
    with np.load(io.BytesIO(data)) as arrays:
        return dict(arrays)


def serve() -> None:
    """Read a table from standard input, write what trees say of it to standard output."""
    # scikit-learn would import pandas, for nothing here, at a quarter of its own time.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import sklearn.ensemble  # noqa: F401  loaded while the table is still being made

    del sys.modules["pandas"]

    arrays = unpacked(sys.stdin.buffer.read())
    n_classes, seed = int(arrays.pop("n_classes")), int(arrays.pop("seed"))
    table = Table(n_classes=n_classes, seed=seed, **arrays)
    said = grown(table, sys.argv[2:], int(sys.argv[1]))
    sys.stdout.buffer.write(packed({f"{name}/{part}": array for name, held in said.items() for part, array in held._asdict().items()}))


if __name__ == "__main__":
    serve()
