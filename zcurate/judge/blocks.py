"""Judging and reporting rows that lie in files: block by block in their random order, then chunk by chunk in the input's order.

Leaves: `Verdicts` whose arrays lie in files, a report file. Enters: the rounds' records, the survey of the input. Each block is an even sample of all rows,
judged with all planted errors as if it were the whole; what is said of the whole is the blocks' mean. No torch.
"""

from __future__ import annotations

import dataclasses
from math import ceil
from typing import Any

import numpy as np

from zcurate.arrays.chunk import chunk_ranges
from zcurate.evidence.evidence import Evidence, Round, describe_by_heldout, merge
from zcurate.evidence.heldout import Heldout, TopKProbabilities
from zcurate.evidence.planted import Planted
from zcurate.judge.judge import Verdicts, judge, select_rounds
from zcurate.judge.thresholds import Cut, cut_at
from zcurate.runtime import environment
from zcurate.runtime.fork import can_fork, forked
from zcurate.runtime.process_group import ProcessGroup
from zcurate.runtime.progress import Timings
from zcurate.runtime.store import PAGE_BYTES, MemoryMappedStore

BLOCK_ROWS = 131_072
"""Rows judged at a time."""
MAX_MAPPED_BYTES = 1 << 27
"""Bytes of an array up to which all of it may be mapped while rows that lie scattered in it are looked at."""


def evidence_of_rows(found: Evidence, rows: np.ndarray, extra: dict[str, np.ndarray], store: MemoryMappedStore) -> Evidence:
    """What was seen of some rows, merged, in memory.

    Args:
        found: the rounds' records of N rows.
        rows: (n,) int64, rising.
        extra: (N,) columns of witnesses.
        store: where they lie; its memory is given back after each array, as rows that lie scattered touch all of it.
    """
    rounds = tuple(round_of_rows(one, rows, store) for one in found.rounds)
    merged = merge(rounds, gather(found.y, rows, store))
    if len(rounds) == 1:
        merged = describe_by_heldout(merged, rounds[0].planted.row)
    return merged.with_columns({name: gather(column, rows, store) for name, column in extra.items()})


def gather(values: np.ndarray, rows: np.ndarray, store: MemoryMappedStore) -> np.ndarray:
    """Some rows of an array in files, in memory; arguments as for `evidence_of`."""
    out = np.empty((len(rows), *values.shape[1:]), values.dtype)
    step = len(rows) if values.nbytes <= MAX_MAPPED_BYTES else MAX_MAPPED_BYTES // PAGE_BYTES
    for begin, end in chunk_ranges(len(rows), max(1, step)):
        out[begin:end] = values[rows[begin:end]]
        store.release()
    return out


def gather_predictions(held: Heldout, rows: np.ndarray, store: MemoryMappedStore) -> Heldout:
    """`taken` of held-out predictions."""
    return TopKProbabilities(gather(held.packed, rows, store), held.n_classes) if isinstance(held, TopKProbabilities) else gather(held, rows, store)


def round_of_rows(one: Round, rows: np.ndarray, store: MemoryMappedStore) -> Round:
    """One round's record of some rows; arguments as for `evidence_of`."""
    (planted, planted_at), (hard, hard_at) = (locate(rows, wanted) for wanted in (one.planted.row, one.hard_row))
    return dataclasses.replace(
        one,
        training_label=gather(one.training_label, rows, store),
        planted=Planted(planted_at, one.planted.label[planted], one.planted.kind[planted]),
        columns={name: gather(column, rows, store) for name, column in one.columns.items()},
        heldout=gather_predictions(one.heldout, rows, store),
        curves={
            name: np.stack([gather(epoch, rows, store) for epoch in curve]) if len(curve) else np.zeros((0, len(rows)), np.float32)
            for name, curve in one.curves.items()
        },
        hard_row=hard_at,
        hard_heldout=one.hard_heldout[hard],
    )


def locate(rows: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of some rows are among others, and where.

    Args:
        rows: (n,) int64, rising.
        wanted: (m,) int64.

    Returns:
        (m,) bool, and (k,) int64 places in `rows` of those that are there.
    """
    at = np.searchsorted(rows, wanted)
    there = at < len(rows)
    there[there] = rows[at[there]] == wanted[there]
    return there, at[there]


@dataclasses.dataclass(frozen=True)
class BlockedVerdicts:
    """The judge's word on rows in files."""

    verdicts: Verdicts
    """Of N rows; its numbers are the blocks' means."""
    evidence: Evidence
    """Of the first block, and of all planted rows."""
    of_first: Verdicts
    """The verdicts of those."""


def judge_by_blocks(
    found: Evidence, extra: dict[str, np.ndarray], store: MemoryMappedStore, cut: Cut, clues: tuple[str, ...], forbidden: str, timings: Timings,
    others: ProcessGroup,
    may_fork: bool = False,
) -> BlockedVerdicts:  # fmt: skip
    """Verdicts for N rows, block by block.

    Args:
        found: the rounds' records.
        extra: (N,) columns of witnesses.
        store: takes the verdicts.
        cut: where `incorrect` begins.
        clues: as for `judge`.
        forbidden: as for `judge`.
        timings: takes the seconds of each clue.
        others: the processes that judge rows of their own; all call at the mean of their cuts, and nothing where one of them cannot.
        may_fork: the process is the program's own, and a copy of it may judge every other block.
    """
    forks = may_fork and others.size == 1 and environment.cpu_count() > 1 and can_fork()
    if (cut.precision is not None or cut.budget is not None) and (len(found.y) > BLOCK_ROWS or others.size > 1):
        first = judge_blocks(found, extra, store, Cut(), clues, forbidden, timings, forks).verdicts
        n_rows = sum(others.gathered(len(found.y)))
        mine = dataclasses.replace(cut, budget=None if cut.budget is None else round(cut.budget * len(found.y) / n_rows))
        cut = Cut(threshold=float(np.mean(others.gathered(cut_at(mine, first.p_incorrect, first.reliability)))))
    judged = judge_blocks(found, extra, store, cut, clues, forbidden, timings, forks)
    whys = [why for why in others.gathered(judged.verdicts.why) if why]
    return judge_blocks(found, extra, store, cut, clues, whys[0], timings, forks) if whys and not judged.verdicts.why else judged


def judge_blocks(
    found: Evidence, extra: dict[str, np.ndarray], store: MemoryMappedStore, cut: Cut, clues: tuple[str, ...], forbidden: str, timings: Timings, forks: bool
) -> BlockedVerdicts:
    """`judge_all` for a cut that needs no look at all rows; the first block settles whether the others are called at all."""
    n = len(found.y)
    shared = np.unique(np.concatenate([part for one in found.rounds for part in (one.planted.row, one.hard_row)]))
    # After the first, two processes have equally many.
    n_blocks = max(1, ceil(n / BLOCK_ROWS)) | 1
    arrays: dict[str, np.ndarray] = {}

    def block(at: int, forbidden: str) -> tuple[Evidence, Verdicts]:
        begin, end = n * at // n_blocks, n * (at + 1) // n_blocks
        rows = np.concatenate([shared[shared < begin], np.arange(begin, end), shared[shared >= end]])
        evidence = evidence_of_rows(found, rows, extra, store)
        one = judge(select_rounds(evidence), cut, clues, forbidden, timings)
        mine = (rows >= begin) & (rows < end)
        for name, values in verdict_arrays(one).items():
            if name not in arrays:
                arrays[name] = store.zeros((n, *values.shape[1:]), values.dtype)
            arrays[name][begin:end] = values[mine]
        store.release()
        return evidence, one

    kept = block(0, forbidden)
    every = {0: without_arrays(kept[1])}
    with forked(forks and n_blocks > 2) as twin:
        for at in range(1, n_blocks):
            if twin.trains(at):
                every[at] = without_arrays(block(at, forbidden or kept[1].why)[1])
        twin.word = every
    every |= twin.word
    return BlockedVerdicts(merge_verdicts([every[at] for at in range(n_blocks)], arrays), *kept)


ARRAYS = ("code", "p_incorrect", "p_hard", "p_outlier", "suggested", "p_suggested", "reasons")


def verdict_arrays(one: Verdicts) -> dict[str, np.ndarray]:
    """The arrays of some rows' verdicts, places among them."""
    return {**{name: getattr(one, name) for name in ARRAYS}, **{f"place {name}": place for name, place in one.percentiles.items()}}


def without_arrays(one: Verdicts) -> Verdicts:
    """What a block's verdicts say of the whole."""
    nothing: dict[str, Any] = dict.fromkeys(ARRAYS, np.zeros(0))
    return dataclasses.replace(one, **nothing, percentiles=dict.fromkeys(one.percentiles, np.zeros(0)))


def merge_verdicts(every: list[Verdicts], arrays: dict[str, np.ndarray]) -> Verdicts:
    """The blocks' verdicts as one: their arrays, and the means of what they say of the whole.

    Args:
        every: of the blocks.
        arrays: as `arrays_of`, of all rows.
    """
    first = every[0]
    rate, low, high = (float(value) for value in np.mean([one.noise_rate for one in every], 0))
    recall_low, recall_high = (float(value) for value in np.mean([one.recall_interval for one in every], 0))
    mine: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
    table = [{name: float(np.mean([one.calibration[at][name] for one in every])) for name in entry} for at, entry in enumerate(first.calibration)]
    for at, entry in enumerate(table):
        entry |= {"planted": first.calibration[at]["planted"], "flagged": sum(one.calibration[at]["flagged"] for one in every)}
    percentiles = {name.removeprefix("place "): values for name, values in arrays.items() if name.startswith("place ")}
    return dataclasses.replace(
        first,
        **mine,
        percentiles=percentiles,
        noise_rate=(rate, low, high),
        calibration=table,
        recall=float(np.mean([one.recall for one in every])),
        recall_interval=(recall_low, recall_high),
        reliability=float(np.mean([one.reliability for one in every])),
    )
