"""Ranks by suspicion, in memory or in windows of memory-mapped rows."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.arrays.sort import argsort_descending
from zcurate.config.verdicts import VERDICTS
from zcurate.judge.blocks import BLOCK_ROWS
from zcurate.judge.judge import Verdicts
from zcurate.runtime.process_group import ProcessGroup
from zcurate.runtime.store import MemoryMappedStore

WINDOW_ROWS, MAX_WINDOWS = 1_048_576, 16
"""Rows of an array that are filled at a time where they come in any order, and windows at most, each of which reads all places."""


def rank_across(rank: np.ndarray, verdicts: Verdicts, others: ProcessGroup) -> None:
    """From ranks among this process's rows to ranks among all: each process tells its suspicions in turn, equal ones in order of the processes.

    Args:
        rank: (N,) int64, changed in place; 0 for unlabelled rows.
        verdicts: of all rows here.
        others: the processes.
    """
    labelled = np.flatnonzero(rank)
    own = ranking_score(verdicts, slice(None))[labelled]
    rising = np.sort(own)
    ahead = np.zeros(len(own), np.int64)
    for at, theirs in enumerate(others.each(rising)):
        if at != others.rank:
            ahead += len(theirs) - np.searchsorted(theirs, rising, "left" if at < others.rank else "right")
    # The row of rank r is the r-th from the end of the rising ones.
    rank[labelled] += ahead[len(own) - rank[labelled]]


def ranking_score(verdicts: Verdicts, part: slice) -> np.ndarray:
    """(n,) float32 what rows are ranked by; -1 for those without a label."""
    both = np.nan_to_num(verdicts.p_incorrect[part] + verdicts.p_outlier[part])
    return np.where(verdicts.code[part] == VERDICTS.index("unlabelled"), -1.0, both).astype(np.float32)


def rank_by_bins(rank: np.ndarray, row: np.ndarray, verdicts: Verdicts, z_score: np.ndarray, store: MemoryMappedStore) -> None:
    """`compose.ranked` of all rows, bin by bin of falling suspicion.

    Args:
        rank: (N,) int64 to fill.
        row: (N,) position in the input.
        verdicts: of all rows.
        z_score: (N,).
        store: takes what is found.
    """
    n = len(row)
    parts = [slice(*ends) for ends in chunk_ranges(n, BLOCK_ROWS)]
    # The first rows are an even sample; those without a label are a bin of their own, the lowest.
    n_bins = min(MAX_WINDOWS, ceil(n / WINDOW_ROWS))
    inner = np.quantile(ranking_score(verdicts, slice(BLOCK_ROWS)), np.linspace(0, 1, n_bins + 1)[1:-1])
    edges = np.unique(np.concatenate([[0.0], inner])).astype(np.float32)
    told, done = (row, verdicts.p_incorrect, verdicts.p_outlier, z_score), 0
    ranked, ranks, bins = store.zeros((n,), np.int64), store.zeros((n,), np.int64), store.zeros((n,), np.int16)
    for part in parts:
        bins[part] = np.searchsorted(edges, ranking_score(verdicts, part), "right")
        store.release()
    for number in range(len(edges), 0, -1):
        found: list[tuple[np.ndarray, ...]] = []
        for part in parts:
            here = np.flatnonzero(bins[part] == number)
            found.append((part.start + here, *(values[part][here] for values in told)))
            store.release()
        rows, place, p_incorrect, p_outlier, z = (np.concatenate(values) for values in zip(*found, strict=True))
        span = slice(done, done + len(rows))
        ranked[span], ranks[span] = rows, rank_rows(place, p_incorrect, p_outlier, z, np.zeros(len(rows), bool)) + done
        done += len(rows)
    scatter_windows(rank, ranked[:done], lambda part: ranks[part], store)


def scatter_windows(out: np.ndarray, at: np.ndarray, values: Callable[[slice], np.ndarray], store: MemoryMappedStore) -> None:
    """`out[at] = values`, window by window of `out`, so that no more of it than a window is ever in memory.

    Args:
        out: (N,) to fill.
        at: (M,) int64 places, each once.
        values: of a run of rows.
        store: where both lie.
    """
    for begin, end in chunk_ranges(len(out), max(WINDOW_ROWS, ceil(len(out) / MAX_WINDOWS))):
        for ends in chunk_ranges(len(at), WINDOW_ROWS):
            part = slice(*ends)
            here = np.flatnonzero((at[part] >= begin) & (at[part] < end))
            out[at[part][here]] = values(part)[here]
            store.release()


def rank_rows(row: np.ndarray, p_incorrect: np.ndarray, p_outlier: np.ndarray, z_score: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    """(M,) int64, 1 = most suspicious: by p_incorrect + p_outlier, then by z_score, then by the input's order; 0 for unlabelled rows.

    Args:
        row: (M,) position in the input.
        p_incorrect: (M,).
        p_outlier: (M,).
        z_score: (M,).
        unlabelled: (M,) bool.
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
