"""Another kind of model beside the members: boosted trees and a forest, for tables, whose mistakes are others than a perceptron's.

Leaves: held-out predictions. Enters: plain arrays. No torch: the trees grow in a process of their own, on cores that the members of small tables
leave free, and scikit-learn is imported while torch is.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import log2
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zcurate.runtime import startup

KINDS = ("boosted", "forest")
FOLDS = 4
"""Each row is predicted by trees that saw the rows of the other folds."""
FOREST_TREES, LEAF_ROWS = 30, 3
"""Extremely randomised trees per fold at most, and rows that a leaf holds at least."""
BOOSTED_STAGES = (15, 30, 60)
"""Steps of boosting after which it is asked what it predicts; noisy labels want fewer."""
TREE_SECONDS, BOOSTED_SECONDS, FOREST_SECONDS = 1.2e-3, 1.2e-8, 4.5e-9
"""What a tree costs one core of an AMD EPYC (Zen 4), about: each; per row and column of a boosted one; per row, level and column tried of a forest's."""
MOST_BOOSTED_SECONDS, MOST_FOREST_SECONDS = 8.0, 18.0
"""What either may cost: boosting, which grows a tree for each class at each step, is left out beyond, a forest has fewer trees."""
MOST_CELLS, TREE_BYTES = 20_000_000, 128 << 20
"""Rows x classes of predictions, and memory of the trees that grow at a time in all folds; beyond there are none."""
MOST_CATEGORIES = 255
"""Values of a category that boosting takes as such; others as numbers, in order of their codes."""
START = "import sys; here = sys.argv.pop(1); here in sys.path or sys.path.insert(0, here); from zcurate.training.auxiliary.trees import serve; serve()"
"""What the process runs: this very package, wherever it lies, and nothing of the user's folder."""


class Table(NamedTuple):
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


class Held(NamedTuple):
    """What another kind of model than the members says of rows that it never saw."""

    rows: np.ndarray
    """(N, C) float32 held-out probabilities."""
    hard: np.ndarray
    """(H, C) float32 probabilities of the last round's hard cases."""


class Sizes(NamedTuple):
    """How many trees a table is worth."""

    boosted: int
    """Trees per step of boosting; 0 for no boosting."""
    forest: int
    """Trees of the forest per fold; 0 for no forest."""
    tried: int
    """Columns that the forest looks at for each split."""


Grown = Callable[[np.ndarray, np.ndarray, list[np.ndarray]], list[list[np.ndarray]]]
"""(n, F) rows, (n,) classes and inputs to ask about, to a prediction of each stage for each input."""


def sizes(n_rows: int, width: int, n_classes: int, wanted: Sequence[str]) -> Sizes:
    """How many trees a table is worth; none of a kind that is not wanted or would cost too much.

    Args:
        n_rows: N.
        width: F.
        n_classes: C.
        wanted: of `KINDS`.
    """
    per_step = 1 if n_classes == 2 else n_classes
    boosted = boosted_seconds(n_rows, width, per_step) <= MOST_BOOSTED_SECONDS
    tried = max(1, min((width + 1) // 2, max(8, round(2 * width**0.5))))
    forest = min(FOREST_TREES, int(MOST_FOREST_SECONDS / forest_seconds(n_rows, tried, 1)))
    if "forest" not in wanted or FOLDS * tree_bytes(n_rows, n_classes) > TREE_BYTES:
        forest = 0
    return Sizes(0, 0, tried) if n_rows * n_classes > MOST_CELLS or not width else Sizes(per_step * (boosted and "boosted" in wanted), forest, tried)


def boosted_seconds(n_rows: int, width: int, per_step: int) -> float:
    """What boosting takes in all folds; arguments as in `Sizes` and for `sizes`."""
    return BOOSTED_STAGES[-1] * FOLDS * per_step * (TREE_SECONDS + BOOSTED_SECONDS * n_rows * width)


def forest_seconds(n_rows: int, tried: int, n_trees: int) -> float:
    """What a forest takes in all folds; arguments as in `Sizes` and for `sizes`."""
    return FOLDS * n_trees * (TREE_SECONDS + FOREST_SECONDS * n_rows * log2(n_rows + 2) * tried)


def tree_bytes(n_rows: int, n_classes: int) -> int:
    """Of one tree of a forest: two nodes for each leaf, a float64 per class in each."""
    return 2 * max(1, n_rows // LEAF_ROWS) * n_classes * 8


def grown(table: Table, wanted: Sequence[str], n_threads: int = 1) -> dict[str, Held]:
    """Held-out predictions of every kind of trees that is wanted and that the table's size allows, boosting's after each of its stages.

    Args:
        table: N rows.
        wanted: of `KINDS`.
        n_threads: folds and kinds that grow side by side; what they say does not depend on it.
    """
    n_rows, width = table.x.shape
    size = sizes(n_rows, width, table.n_classes, wanted)
    kinds: dict[tuple[str, ...], Grown] = {}
    if size.boosted:
        kinds[tuple(f"boosted {stage}" for stage in BOOSTED_STAGES)] = lambda x, y, asked: boosted(x, y, asked, table)
    if size.forest:
        at_once = max(1, min(size.forest, TREE_BYTES // FOLDS // tree_bytes(n_rows, table.n_classes)))
        kinds[("forest",)] = lambda x, y, asked: forest(x, y, asked, table.seed, size, at_once)

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


def drawn(*seeds: int) -> int:
    """A seed within scikit-learn's range that depends on all of `seeds`, which may be of any size."""
    return int(np.random.default_rng([abs(seed) for seed in seeds]).integers(2**32))


def boosted(x: np.ndarray, y: np.ndarray, asked: list[np.ndarray], table: Table) -> list[list[np.ndarray]]:
    """Gradient boosting on histograms, asked after each of `BOOSTED_STAGES`.

    Args:
        x: (n, F) rows.
        y: (n,) their classes, all present.
        asked: inputs.
        table: `category`, `seed`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    as_such = table.category & (table.x.max(0) < MOST_CATEGORIES)
    model = HistGradientBoostingClassifier(
        max_iter=BOOSTED_STAGES[-1], early_stopping=False, random_state=drawn(table.seed), categorical_features=as_such if as_such.any() else None
    ).fit(x, y)
    said: list[list[np.ndarray]] = [[] for _ in BOOSTED_STAGES]
    for inputs in asked:
        stages = enumerate(model.staged_predict_proba(inputs), 1) if len(inputs) else iter(())
        found = {at: p for at, p in stages if at in BOOSTED_STAGES}
        for into, stage in zip(said, BOOSTED_STAGES, strict=True):
            into.append(found.get(stage, np.zeros((0, int(y.max()) + 1))))
    return said


def forest(x: np.ndarray, y: np.ndarray, asked: list[np.ndarray], seed: int, size: Sizes, at_once: int) -> list[list[np.ndarray]]:
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
        model = ExtraTreesClassifier(n, min_samples_leaf=LEAF_ROWS, max_features=size.tried, bootstrap=True, random_state=drawn(seed, begin)).fit(x, y)
        for total, inputs in zip(said, asked, strict=True):
            if len(inputs):
                total += model.predict_proba(inputs) * (n / size.forest)
    return [said]


class Grove:
    """The process in which trees grow; it loads its libraries from the moment that this object is made, and ends with the `with` block.

    Args:
        wanted: kinds of models; no trees among them, no process.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = [kind for kind in wanted if kind in KINDS]
        self.trouble = ""
        """Why no trees said anything; empty when they did, or when nobody asked."""
        self.child = self.started() if self.wanted else None

    def started(self) -> subprocess.Popen[bytes] | None:
        """The process; None, and why, where there can be none."""
        if not sys.executable or getattr(sys, "frozen", False):
            self.trouble = "there is no Python to start a process with"
            return None
        here = str(Path(__file__).resolve().parents[3])
        command = [sys.executable, "-P", "-c", START, here, str(spare_threads()), *self.wanted]
        try:
            # What stops this process (Ctrl-C) stops that one by the end of its input, not by a signal of its own.
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as error:
            self.trouble = f"their process cannot be started ({error.strerror})"
            return None

    def __enter__(self) -> Grove:
        return self

    def __exit__(self, *error: object) -> None:
        if self.child is None:
            return
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            try:
                pipe.close()  # type: ignore[union-attr]
            except (OSError, ValueError):
                continue

    def ask(self, table: Table, seconds: float | None = None) -> dict[str, Held]:
        """`grown` of a table; nothing, and why in `trouble`, where that fails or takes too long.

        Args:
            table: N rows.
            seconds: to wait at most; None for as long as it takes.
        """
        if self.child is None:
            return {}
        try:
            said, complaint = self.child.communicate(packed(table._asdict()), seconds)
        except subprocess.TimeoutExpired:
            self.trouble = "they were not ready in time"
            return {}
        if self.child.returncode:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            self.trouble = f"their process ended with code {self.child.returncode}" + (f" ({last})" if last else "")
            return {}
        arrays = unpacked(said)
        return {name: Held(arrays[f"{name}/rows"], arrays[f"{name}/hard"]) for name in dict.fromkeys(key.split("/")[0] for key in arrays)}


def spare_threads() -> int:
    """Cores that the members of a small table leave free."""
    return max(1, startup.threads() - 1)


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
    """Read a table from standard input, write what trees say of it to standard output; how many threads, and which kinds, stand in the arguments."""
    # scikit-learn would import pandas, for nothing here, at a quarter of its own time.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import sklearn.ensemble  # noqa: F401  loaded while the table is still being made

    del sys.modules["pandas"]
    arrays = unpacked(sys.stdin.buffer.read())
    n_classes, seed = int(arrays.pop("n_classes")), int(arrays.pop("seed"))
    said = grown(Table(n_classes=n_classes, seed=seed, **arrays), sys.argv[2:], int(sys.argv[1]))
    sys.stdout.buffer.write(packed({f"{name}/{part}": array for name, held in said.items() for part, array in held._asdict().items()}))
