"""Detection of columns that leak the label.

Wrong labels hide behind a column that repeats the given label, right or wrong: the label under another spelling, its one-hot columns, a running
number or a time stamp of rows that were sorted by it, or a name whose rows all have one label. Columns that merely predict the true label well
disagree with the wrong ones, and fall below every limit here as soon as some per cent of the labels are wrong.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.arrays.sample import HEAD_ROWS, MAX_FIT_ROWS, sample
from zcurate.data.dataset import Column, Leak

LEAK_PURITY, SPELLED_PURITY = 0.985, 0.9
"""Share of rows whose label a column's value must predict for a warning; where the values are spelled like the labels, less is enough. By taste."""
HASH_MULTIPLIER = 0x9E3779B97F4A7C15
"""Multiplicative hash constant (Knuth 1973, 6.4)."""
MIN_ROWS, MIN_CLASS_ROWS, MIN_PAIRS = 20, 10, 20
"""Rows, rows of a class, and pairs of different rows with the same value, below which nothing is concluded."""
MIN_COVERED = 0.3
"""Share of the rows that must share their value with another row before a name is said to determine the label."""
MAX_CHANGES, MAX_CHANGES_OF_CHANCE = 0.015, 0.05
"""Changes of the label along a sorted column, as a share of the rows and of the changes in random order, up to which the column follows the label."""
SCREEN_ROWS, SCREEN_CHANGES = 1000, 0.5
"""Rows on which columns are sorted first, and the share of the changes in random order above which they are no further looked at."""
MAX_OTHERS = 200
"""Other columns in which rows of the same value are compared, at most."""
MAX_VALUES = 50
"""Values of a column that may be a function of the label, at most."""
MIN_RANK_CORRELATION = 0.9995
"""Regression: rank correlation with the target from which a column repeats it."""


def find_leaks(arrays: dict[str, pa.Array], columns: list[Column], label: np.ndarray, classes: tuple[str, ...] = ()) -> list[Leak]:
    """Find the columns that give the class away.

    Args:
        arrays: (N) feature columns.
        columns: their kinds.
        label: (N,) int64 given classes, -1 for missing.
        classes: as written.
    """
    labelled = label >= 0
    if labelled.sum() < MIN_ROWS:
        return []
    found = []
    for column in columns:
        array = arrays[column.name]
        if is_leak(array, column.kind, label) and differ_elsewhere(column.name, arrays, label):
            found.append(Leak((column.name,), "alone determines the label"))
        elif column.kind == "category" and spelled_like(array, classes, label):
            found.append(Leak((column.name,), "repeats most labels"))
        elif column.kind in ("number", "time") and (n_runs := label_runs(array, label)):
            found.append(Leak((column.name,), f"follows the labels: sorted by it, they fall into {n_runs} runs"))
        elif names_rows(array, column.kind, label) and differ_elsewhere(column.name, arrays, label):
            found.append(Leak((column.name,), "has one label for each of its many values", column.name))
    known = {name for leak in found for name in leak.columns}
    joint = functions_of_label({column.name: arrays[column.name] for column in columns if column.name not in known and is_short(column)}, label)
    how = "together tell the label, like its one-hot columns" if len(joint) > 1 else "tells one class from all others"
    return [*found, Leak(joint, how)] if joint else found


def is_short(column: Column) -> bool:
    """Whether a column may hold few values."""
    return column.kind in ("number", "category")


def spread_rows(n: int, most: int) -> np.ndarray:
    """Rows at equal distances, (m,) int64, all n if n <= most: cheaper than a random sample."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def spelled_like(array: pa.Array, classes: tuple[str, ...], label: np.ndarray) -> bool:
    """Whether a column of categories repeats most labels under another spelling: other case, punctuation or surrounding words.

    Args:
        array: (N) string.
        classes: as written.
        label: (N,) int64 given classes, -1 for missing.
    """
    if not pa.types.is_string(array.type):
        return False
    rows = spread_rows(len(array), SCREEN_ROWS)
    words = [bare(word) for word in classes]
    n, n_same = 0, 0
    for value, code in zip(array.take(pa.array(rows)).to_pylist(), label[rows].tolist(), strict=True):
        if value is not None and code >= 0:
            text, own = bare(value), words[code]
            n, n_same = n + 1, n_same + (bool(text) and bool(own) and (text == own or (min(len(text), len(own)) >= 3 and (own in text or text in own))))
    return n >= MIN_ROWS and n_same > max(SPELLED_PURITY, 1.2 * float(np.bincount(label[label >= 0]).max()) / max(1, int((label >= 0).sum()))) * n


def bare(text: str) -> str:
    """Letters and digits of a text in lower case."""
    return re.sub(r"[\W_]+", "", text.casefold())


def find_target_leaks(arrays: dict[str, pa.Array], columns: list[Column], target: np.ndarray) -> list[Leak]:
    """Find the columns of numbers that repeat a target, in the same order or the reverse.

    Args:
        arrays: (N) feature columns.
        columns: their kinds.
        target: (N,) float64, NaN for missing.
    """
    found = []
    for column in columns:
        if column.kind not in ("number", "time"):
            continue
        for most in (SCREEN_ROWS, MAX_FIT_ROWS):
            rows = spread_rows(len(target), most)
            values = as_floats(arrays[column.name].take(pa.array(rows)))
            known = np.isfinite(values) & np.isfinite(target[rows])
            if known.sum() < MIN_ROWS or abs(rank_correlation(values[known], target[rows][known])) < MIN_RANK_CORRELATION:
                break
        else:
            found.append(Leak((column.name,), "has the order of the targets"))
    return found


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of (n,) values; 0 for a column of few values, whose ties hide its order."""
    if len(np.unique(x)) < len(x) / 5:
        return 0.0
    ranks = [np.unique(values, return_inverse=True)[1].astype(np.float64) for values in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if all(rank.std() > 0 for rank in ranks) else 0.0


def as_floats(array: pa.Array) -> np.ndarray:
    """Numbers and times as (n,) float64, NaN for missing."""
    if pa.types.is_temporal(array.type):
        array = array.cast(pa.int32() if pa.types.is_date32(array.type) or pa.types.is_time32(array.type) else pa.int64())
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def least_purity(label: np.ndarray) -> float:
    """Share of right predictions above which a column leaks the label, by how often the most common class is right.

    Args:
        label: (N,) int64 given classes, -1 for missing.
    """
    chance = np.bincount(label[label >= 0]).max(initial=0) / max(1, (label >= 0).sum())
    return float(max(LEAK_PURITY, 1 - (1 - chance) / 20))


def is_leak(array: pa.Array, kind: str, label: np.ndarray, purity: float | None = None) -> bool:
    """Return whether a column alone determines the class: few values, each with (nearly) one label.

    Args:
        array: (N) the column.
        kind: its kind; only categories and numbers are tested.
        label: (N,) int64 given classes, -1 for missing.
        purity: share of the rows that must have the most common label of their value; None for `least_purity`.
    """
    if kind not in ("category", "number"):
        return False
    if len(array) > HEAD_ROWS and len(pc.unique(array.slice(0, HEAD_ROWS))) == HEAD_ROWS:
        return False  # by the birthday bound it has far more distinct values than a leak can have
    if len(array) > MAX_FIT_ROWS:
        rows = sample(len(array))
        array, label = array.take(pa.array(rows)), label[rows]
    purity = least_purity(label) if purity is None else purity
    if kind == "number" and not array.null_count:
        # If one in sixteen values, chosen by hash, already has too many mixed labels, the others need no check.
        bits = array.to_numpy(zero_copy_only=False).astype(np.float64).view(np.uint64)
        sampled = (bits * np.uint64(HASH_MULTIPLIER) >> np.uint64(60) == 0) & (label >= 0)
        if n_mixed(np.unique(bits[sampled], return_inverse=True)[1], label[sampled]) > (1 - purity) * len(label):
            return False
    codes = value_codes(array)
    known = (codes >= 0) & (label >= 0)
    codes, label = codes[known], label[known]
    if len(codes) < MIN_ROWS or codes.max() + 1 > len(codes) / 5:
        return False
    return bool(1 - n_mixed(codes, label) / len(codes) > purity)


def value_codes(array: pa.Array) -> np.ndarray:
    """Number the values of a column, (N,) int64; -1 for missing."""
    return np.asarray(array.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64))


def n_mixed(codes: np.ndarray, label: np.ndarray) -> int:
    """Count the rows whose label differs from the most common label of their value.

    Args:
        codes: (n,) int64 codes of the values.
        label: (n,) int64 classes.
    """
    if not len(codes):
        return 0
    pairs, n = np.unique(codes * (label.max() + 1) + label, return_counts=True)
    n_majority = np.zeros(codes.max() + 1, np.int64)
    np.maximum.at(n_majority, pairs // (label.max() + 1), n)
    return len(codes) - int(n_majority.sum())


def label_runs(array: pa.Array, label: np.ndarray) -> int:
    """Count the runs of equal labels along a sorted column; 0 unless they are so few that the column follows the labels.

    Args:
        array: (N) numbers or times.
        label: (N,) int64 given classes, -1 for missing.
    """
    for most, limit in ((SCREEN_ROWS, SCREEN_CHANGES), (MAX_FIT_ROWS, MAX_CHANGES_OF_CHANCE)):
        rows = spread_rows(len(label), most)
        values, own = as_floats(array.take(pa.array(rows)) if len(rows) < len(label) else array), label[rows]
        known = np.isfinite(values) & (own >= 0)
        values, own = values[known], own[known]
        count = np.bincount(own, minlength=1)
        n, n_present = len(own), int((count > 0).sum())
        if n - count.max() < MIN_ROWS:
            return 0
        _, codes = np.unique(values, return_inverse=True)
        pairs, size = np.unique(codes * len(count) + own, return_counts=True)
        # The most common label of each value, in the order of the values; the rows with another one count as changes.
        common = pairs[np.lexsort((-size, pairs // len(count)))]
        common = common[np.diff(common // len(count), prepend=-1) > 0] % len(count)
        changes = int((np.diff(common) != 0).sum()) + n_mixed(codes, own)
        chance = n * (1 - float(np.square(count / n).sum()))
        if changes - (n_present - 1) > limit * chance:
            return 0
    return changes + 1 if changes - (n_present - 1) <= MAX_CHANGES * n else 0


def names_rows(array: pa.Array, kind: str, label: np.ndarray) -> bool:
    """Return whether a column has many values that each stand for rows of one label, such as the names of users.

    Each row's label is compared with that of the other rows of its value.

    Args:
        array: (N) the column.
        kind: its kind; categories, short texts and whole numbers are tested.
        label: (N,) int64 given classes, -1 for missing.
    """
    if (kind == "number" and not pa.types.is_integer(array.type)) or kind not in ("category", "text", "number"):
        return False
    if len(array) > SCREEN_ROWS and len(pc.unique(array.take(pa.array(spread_rows(len(array), SCREEN_ROWS))))) <= SCREEN_ROWS / 5:
        return False  # in all rows the share of distinct values is still smaller
    codes = value_codes(array)
    known = (codes >= 0) & (label >= 0)
    if len(array) > MAX_FIT_ROWS:
        every = -(-len(array) // MAX_FIT_ROWS)
        known &= (codes.view(np.uint64) * np.uint64(HASH_MULTIPLIER) >> np.uint64(33)) % np.uint64(every) == 0
    codes, label = np.unique(codes[known], return_inverse=True)[1], label[known]
    if len(codes) < MIN_ROWS or codes.max() + 1 <= len(codes) / 5:
        return False
    size = np.bincount(codes)
    covered = size[codes] > 1
    if covered.mean() < MIN_COVERED or covered.sum() < MIN_ROWS or (size > 1).sum() < MIN_ROWS:
        return False
    return bool(1 - n_mixed_left_out(codes[covered], label[covered]) / covered.sum() > least_purity(label[covered]))


def n_mixed_left_out(codes: np.ndarray, label: np.ndarray) -> int:
    """Count the rows whose label is not the most common one among the other rows of their value.

    Args:
        codes: (n,) int64 codes of values of two rows or more.
        label: (n,) int64 classes.
    """
    n_classes = int(label.max()) + 1
    pairs, pair_of_row, n = np.unique(codes * n_classes + label, return_inverse=True, return_counts=True)
    size, largest = np.bincount(codes), np.zeros(int(codes.max()) + 1, np.int64)
    np.maximum.at(largest, pairs // n_classes, n)
    own = n[pair_of_row]
    # With one label the others have it too; else its own label must be the most common one without the row.
    return int(((own < size[codes]) & ((own < largest[codes]) | (own - 1 <= size[codes] - own))).sum())


def differ_elsewhere(name: str, arrays: dict[str, pa.Array], label: np.ndarray) -> bool:
    """Return whether enough rows of the same value differ in another column; if not they are copies, which share every value.

    Args:
        name: of the column.
        arrays: (N) feature columns.
        label: (N,) int64 given classes, -1 for missing.
    """
    others = list(itertools.islice((other for key, other in arrays.items() if key != name), MAX_OTHERS))
    if not others:
        return True
    codes = value_codes(arrays[name])
    rows = np.random.default_rng(0).permutation(np.flatnonzero((codes >= 0) & (label >= 0)))[:MAX_FIT_ROWS]
    rows = rows[np.argsort(codes[rows], kind="stable")]
    same = np.flatnonzero(codes[rows][1:] == codes[rows][:-1])[:SCREEN_ROWS]
    first, second = pa.array(rows[same]), pa.array(rows[same + 1])
    differs, enough = np.zeros(len(same), bool), min(MIN_PAIRS, len(same))
    for other in others:
        if differs.sum() >= enough:
            break
        if not pa.types.is_nested(other.type):
            pair = [pc.fill_null(other.take(part).cast(pa.string()), "") for part in (first, second)]
            differs |= pc.not_equal(*pair).to_numpy(zero_copy_only=False)
    return int(differs.sum()) >= enough


def functions_of_label(arrays: dict[str, pa.Array], label: np.ndarray) -> tuple[str, ...]:
    """Find columns that each have (nearly) one value for each class, and that together tell at least one class from all others.

    One-hot columns of the label are such columns, and the digits of its number.

    Args:
        arrays: (N) columns of numbers and categories.
        label: (N,) int64 given classes, -1 for missing.
    """
    rows = np.flatnonzero(label >= 0)
    rows = rows[sample(len(rows), MAX_FIT_ROWS)]
    few = rows[spread_rows(len(rows), SCREEN_ROWS)]
    size = np.bincount(label[rows])
    purity = least_purity(label)
    functions: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        # One label each in a few rows rules out nearly every column.
        head, own = value_codes(array.take(pa.array(few))) + 1, label[few]
        if head.max() > MAX_VALUES or len(np.unique(head)) < 2 or n_mixed(own, head) > (1 - purity) * len(own):
            continue
        codes = value_codes(array.take(pa.array(rows))) + 1
        if n_mixed(label[rows], codes) <= (1 - purity) * len(rows):
            table = np.zeros((len(size), int(codes.max()) + 1), np.int64)
            np.add.at(table, (label[rows], codes), 1)
            if (table.max(1) >= purity * size)[size >= MIN_CLASS_ROWS].all() and len(np.unique(table[size >= MIN_CLASS_ROWS].argmax(1))) > 1:
                functions[name] = table.argmax(1)
    if not functions:
        return ()
    classes = np.flatnonzero(size >= MIN_CLASS_ROWS)
    signature = np.stack(list(functions.values()), 1)[classes]
    _, of_class, n = np.unique(signature, axis=0, return_inverse=True, return_counts=True)
    return tuple(functions) if (n[of_class.ravel()] == 1).any() else ()
