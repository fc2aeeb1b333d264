"""Ranks by suspicion, in memory or in windows of memory-mapped rows."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.sort import argsort_descending
from zcurate.config.verdicts import VERDICTS
from zcurate.judge.judge import Verdicts
from zcurate.runtime.process_group import ProcessGroup
from zcurate.runtime.store import ArrayStore


def rank_rows(row: np.ndarray, p_incorrect: np.ndarray, p_outlier: np.ndarray, z_score: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    """Rank rows by p_incorrect + p_outlier, then by z_score, then by the input's order.

    Args:
        row: (M,) position in the input.
        p_incorrect: (M,).
        p_outlier: (M,).
        z_score: (M,).
        unlabelled: (M,) bool.

    Returns:
        (M,) int64, 1 = most suspicious; 0 for unlabelled rows.
    """
    rows = np.flatnonzero(~unlabelled)
    p = np.nan_to_num(p_incorrect[rows] + p_outlier[rows]).astype(np.float32)
    z = np.nan_to_num(z_score[rows], nan=-np.inf)
    order = argsort_descending(p)
    # Most p are distinct: only the rows that share one need the other two keys.
    same = np.zeros(len(order), bool)
    equal = p[order[1:]] == p[order[:-1]]
    same[1:] |= equal
    same[:-1] |= equal
    tied = order[same]
    order[same] = tied[np.lexsort((row[rows[tied]], -z[tied], -p[tied]))]
    out = np.zeros(len(row), np.int64)
    out[rows[order]] = np.arange(1, len(order) + 1)
    return out


def rank_across(rank: np.ndarray, verdicts: Verdicts, processes: ProcessGroup) -> None:
    """Turn ranks among this process's rows into ranks among all; equal rows go in the order of the processes.

    Args:
        rank: (N,) int64, changed in place; 0 for unlabelled rows.
        verdicts: of this process's rows.
        processes: each sends its ranking scores in turn.
    """
    labelled = np.flatnonzero(rank)
    own = ranking_score(verdicts, slice(None))[labelled]
    ascending = np.sort(own)
    ahead = np.zeros(len(own), np.int64)
    for at, other in enumerate(processes.gather_arrays(ascending)):
        if at != processes.rank:
            ahead += len(other) - np.searchsorted(other, ascending, "left" if at < processes.rank else "right")
    # The row of rank r is the r-th from the end of the ascending ones.
    rank[labelled] += ahead[len(own) - rank[labelled]]


def ranking_score(verdicts: Verdicts, part: slice) -> np.ndarray:
    """(n,) float32 score that rows are ranked by; -1 for those without a label."""
    both = np.nan_to_num(verdicts.p_incorrect[part] + verdicts.p_outlier[part])
    return np.where(verdicts.code[part] == VERDICTS.index("unlabelled"), -1.0, both).astype(np.float32)


def rank_by_bins(rank: np.ndarray, row: np.ndarray, verdicts: Verdicts, z_score: np.ndarray, store: ArrayStore) -> None:
    """Do what `rank_rows` does for memory-mapped rows, bin by bin of descending score.

    Args:
        rank: (N,) int64 to fill.
        row: (N,) position in the input.
        verdicts: of all rows.
        z_score: (N,).
        store: of the rows; takes intermediate arrays.
    """
    n, sizes = len(row), store.sizes
    parts = [slice(*ends) for ends in chunk_ranges(n, sizes.judge_rows)]
    # The first rows are an even sample; those without a label are a bin of their own, the lowest.
    n_bins = min(sizes.max_windows, ceil(n / sizes.window_rows))
    inner = np.quantile(ranking_score(verdicts, slice(sizes.judge_rows)), np.linspace(0, 1, n_bins + 1)[1:-1])
    edges = np.unique(np.concatenate([[0.0], inner])).astype(np.float32)
    keys, done = (row, verdicts.p_incorrect, verdicts.p_outlier, z_score), 0
    ranked, ranks, bins = store.zeros((n,), np.int64), store.zeros((n,), np.int64), store.zeros((n,), np.int16)
    for part in parts:
        bins[part] = np.searchsorted(edges, ranking_score(verdicts, part), "right")
        store.release()
    for number in range(len(edges), 0, -1):
        in_bin: list[tuple[np.ndarray, ...]] = []
        for part in parts:
            selected = np.flatnonzero(bins[part] == number)
            in_bin.append((part.start + selected, *(values[part][selected] for values in keys)))
            store.release()
        rows, position, p_incorrect, p_outlier, z = (np.concatenate(values) for values in zip(*in_bin, strict=True))
        span = slice(done, done + len(rows))
        ranked[span], ranks[span] = rows, rank_rows(position, p_incorrect, p_outlier, z, np.zeros(len(rows), bool)) + done
        done += len(rows)
    scatter_windows(rank, ranked[:done], lambda part: ranks[part], store)


def scatter_windows(out: np.ndarray, at: np.ndarray, values: Callable[[slice], np.ndarray], store: ArrayStore) -> None:
    """Assign `out[at] = values`, window by window of `out`, so that no more of it than a window is ever in memory.

    Args:
        out: (N,) to fill.
        at: (M,) int64 positions, each once.
        values: gives those of a run of rows.
        store: of both.
    """
    window_rows = store.sizes.window_rows
    for begin, end in chunk_ranges(len(out), max(window_rows, ceil(len(out) / store.sizes.max_windows))):
        for ends in chunk_ranges(len(at), window_rows):
            part = slice(*ends)
            selected = np.flatnonzero((at[part] >= begin) & (at[part] < end))
            out[at[part][selected]] = values(part)[selected]
            store.release()
