"""Judging and reporting rows that lie in files: block by block in their random order, then chunk by chunk in the input's order.

Leaves: `Verdicts` whose arrays lie in files, a report file. Enters: the rounds' records, the survey of the input. Each block is an even sample of all rows,
judged with all planted errors as if it were the whole; what is said of the whole is the blocks' mean. No torch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from math import ceil, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.arrays.sort import ahead, rows_at_once
from zcurate.config.options import VERDICTS
from zcurate.data.dataset import Dataset
from zcurate.data.profile import OwnUnit, Survey
from zcurate.data.stream import Others
from zcurate.errors import InputError
from zcurate.evidence import heldout
from zcurate.evidence.evidence import Evidence, Round, merge
from zcurate.evidence.heldout import Heldout, TopK
from zcurate.judge import thresholds
from zcurate.judge.judge import Cut, Verdicts, cut_at, judge, trusted
from zcurate.report import build, report
from zcurate.report.attribution import CENTRE_ROWS, Backdrop
from zcurate.runtime import startup
from zcurate.runtime.process_group import can_fork, twins
from zcurate.runtime.progress import Costs
from zcurate.runtime.store import MAPPED_AT_ONCE, Cellar
from zcurate.training.dynamics import asked_once
from zcurate.training.planting import Planted

BLOCK_ROWS = 131_072
"""Rows judged at a time."""
CHUNK_ROWS = 65_536
"""Rows of the report made and written at a time."""
MOST_MAPPED = 1 << 27
"""Bytes of an array up to which all of it may be mapped while rows that lie scattered in it are looked at."""
WINDOW_ROWS, MOST_WINDOWS = 1_048_576, 16
"""Rows of an array that are filled at a time where they come in any order, and windows at most, each of which reads all places."""


def evidence_of(found: Evidence, rows: np.ndarray, extra: dict[str, np.ndarray], cellar: Cellar) -> Evidence:
    """What was seen of some rows, merged, in memory.

    Args:
        found: the rounds' records of N rows.
        rows: (n,) int64, rising.
        extra: (N,) columns of witnesses.
        cellar: where they lie; its memory is given back after each array, as rows that lie scattered touch all of it.
    """
    rounds = tuple(round_of(one, rows, cellar) for one in found.rounds)
    merged = merge(rounds, taken(found.y, rows, cellar))
    if len(rounds) == 1:
        merged = asked_once(merged, rounds[0].planted.row)
    return merged.seen_by({name: taken(column, rows, cellar) for name, column in extra.items()})


def taken(values: np.ndarray, rows: np.ndarray, cellar: Cellar) -> np.ndarray:
    """Some rows of an array in files, in memory; arguments as for `evidence_of`."""
    out = np.empty((len(rows), *values.shape[1:]), values.dtype)
    step = len(rows) if values.nbytes <= MOST_MAPPED else MOST_MAPPED // MAPPED_AT_ONCE
    for begin, end in rows_at_once(len(rows), max(1, step)):
        out[begin:end] = values[rows[begin:end]]
        cellar.release()
    return out


def predictions(held: Heldout, rows: np.ndarray, cellar: Cellar) -> Heldout:
    """`taken` of held-out predictions."""
    return TopK(taken(held.kept, rows, cellar), held.n_classes) if isinstance(held, TopK) else taken(held, rows, cellar)


def round_of(one: Round, rows: np.ndarray, cellar: Cellar) -> Round:
    """One round's record of some rows; arguments as for `evidence_of`."""
    (planted, planted_at), (hard, hard_at) = (among(rows, wanted) for wanted in (one.planted.row, one.hard_row))
    return dataclasses.replace(
        one,
        shown=taken(one.shown, rows, cellar),
        planted=Planted(planted_at, one.planted.shown[planted], one.planted.kind[planted]),
        columns={name: taken(column, rows, cellar) for name, column in one.columns.items()},
        heldout=predictions(one.heldout, rows, cellar),
        curves={
            name: np.stack([taken(epoch, rows, cellar) for epoch in curve]) if len(curve) else np.zeros((0, len(rows)), np.float32)
            for name, curve in one.curves.items()
        },
        hard_row=hard_at,
        hard_heldout=one.hard_heldout[hard],
    )


def among(rows: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
class Judged:
    """The judge's word on rows in files."""

    verdicts: Verdicts
    """Of N rows; its numbers are the blocks' means."""
    evidence: Evidence
    """Of the first block, and of all planted rows."""
    of_first: Verdicts
    """The verdicts of those."""


def judge_all(
    found: Evidence, extra: dict[str, np.ndarray], cellar: Cellar, cut: Cut, clues: tuple[str, ...], forbidden: str, costs: Costs, others: Others,
    may_fork: bool = False,
) -> Judged:  # fmt: skip
    """Verdicts for N rows, block by block.

    Args:
        found: the rounds' records.
        extra: (N,) columns of witnesses.
        cellar: takes the verdicts.
        cut: where `incorrect` begins.
        clues: as for `judge`.
        forbidden: as for `judge`.
        costs: takes the seconds of each clue.
        others: the processes that judge rows of their own; all call at the mean of their cuts, and nothing where one of them cannot.
        may_fork: the process is the program's own, and a copy of it may judge every other block.
    """
    forks = may_fork and others.size == 1 and startup.threads() > 1 and can_fork()
    if (cut.precision is not None or cut.budget is not None) and (len(found.y) > BLOCK_ROWS or others.size > 1):
        first = blocks(found, extra, cellar, Cut(), clues, forbidden, costs, forks).verdicts
        n_rows = sum(others.gathered(len(found.y)))
        mine = dataclasses.replace(cut, budget=None if cut.budget is None else round(cut.budget * len(found.y) / n_rows))
        cut = Cut(threshold=float(np.mean(others.gathered(cut_at(mine, first.p_incorrect, first.trust)))))
    judged = blocks(found, extra, cellar, cut, clues, forbidden, costs, forks)
    whys = [why for why in others.gathered(judged.verdicts.why) if why]
    return blocks(found, extra, cellar, cut, clues, whys[0], costs, forks) if whys and not judged.verdicts.why else judged


def blocks(
    found: Evidence, extra: dict[str, np.ndarray], cellar: Cellar, cut: Cut, clues: tuple[str, ...], forbidden: str, costs: Costs, forks: bool
) -> Judged:
    """`judge_all` for a cut that needs no look at all rows; the first block settles whether the others are called at all."""
    n = len(found.y)
    shared = np.unique(np.concatenate([part for one in found.rounds for part in (one.planted.row, one.hard_row)]))
    # After the first, two processes have equally many.
    n_blocks = max(1, ceil(n / BLOCK_ROWS)) | 1
    arrays: dict[str, np.ndarray] = {}

    def block(at: int, forbidden: str) -> tuple[Evidence, Verdicts]:
        begin, end = n * at // n_blocks, n * (at + 1) // n_blocks
        rows = np.concatenate([shared[shared < begin], np.arange(begin, end), shared[shared >= end]])
        evidence = evidence_of(found, rows, extra, cellar)
        one = judge(trusted(evidence), cut, clues, forbidden, costs)
        mine = (rows >= begin) & (rows < end)
        for name, values in arrays_of(one).items():
            if name not in arrays:
                arrays[name] = cellar.zeros((n, *values.shape[1:]), values.dtype)
            arrays[name][begin:end] = values[mine]
        cellar.release()
        return evidence, one

    kept = block(0, forbidden)
    every = {0: without_rows(kept[1])}
    with twins(forks and n_blocks > 2) as twin:
        for at in range(1, n_blocks):
            if twin.trains(at):
                every[at] = without_rows(block(at, forbidden or kept[1].why)[1])
        twin.word = every
    every |= twin.word
    return Judged(joined([every[at] for at in range(n_blocks)], arrays), *kept)


ARRAYS = ("code", "p_incorrect", "p_hard", "p_outlier", "suggested", "p_suggested", "reasons")


def arrays_of(one: Verdicts) -> dict[str, np.ndarray]:
    """The arrays of some rows' verdicts, places among them."""
    return {**{name: getattr(one, name) for name in ARRAYS}, **{f"place {name}": place for name, place in one.places.items()}}


def without_rows(one: Verdicts) -> Verdicts:
    """What a block's verdicts say of the whole."""
    nothing: dict[str, Any] = dict.fromkeys(ARRAYS, np.zeros(0))
    return dataclasses.replace(one, **nothing, places=dict.fromkeys(one.places, np.zeros(0)))


def joined(every: list[Verdicts], arrays: dict[str, np.ndarray]) -> Verdicts:
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
    places = {name.removeprefix("place "): values for name, values in arrays.items() if name.startswith("place ")}
    return dataclasses.replace(
        first,
        **mine,
        places=places,
        noise_rate=(rate, low, high),
        calibration=table,
        recall=float(np.mean([one.recall for one in every])),
        recall_interval=(recall_low, recall_high),
        trust=float(np.mean([one.trust for one in every])),
    )


def exact(card: dict[str, Any], judged: Judged, found: Evidence, cellar: Cellar) -> dict[str, Any]:
    """The run card with what was counted in the first block counted in all rows, or for pairs of classes scaled up to them.

    Args:
        card: made from the first block.
        judged: all rows' verdicts.
        found: all rows' labels.
        cellar: where they lie.
    """
    size, called = np.zeros(len(card["classes"]), np.int64), {word: np.zeros(len(card["classes"]), np.int64) for word in ("incorrect", "hard")}
    for begin, end in rows_at_once(len(found.y), BLOCK_ROWS):
        y, code = found.y[begin:end], judged.verdicts.code[begin:end]
        if card["classes"]:
            size += np.bincount(y[y >= 0], minlength=len(size))
            for word, n in called.items():
                n += np.bincount(y[(y >= 0) & (code == VERDICTS.index(word))], minlength=len(size))
        cellar.release()
    classes = [{**entry, "rows": int(size[at]), **{word: int(n[at]) for word, n in called.items()}} for at, entry in enumerate(card["classes"])]
    times = len(found.y) / len(judged.evidence.y)
    pairs = []
    for entry in card["pairs"]:
        expected, half = entry["expected"] * times, (entry["high"] - entry["expected"]) * sqrt(times)
        pairs.append({**entry, "rows": round(entry["rows"] * times), "expected": expected, "low": max(0.0, expected - half), "high": expected + half})
    whole = judged.verdicts
    expected = (
        {**card["expected"], "recall": whole.recall, "recall_low": whole.recall_interval[0], "recall_high": whole.recall_interval[1]} if not whole.why else {}
    )
    rate = dict(zip(("estimate", "low", "high"), whole.noise_rate, strict=True)) if not whole.why else card["noise_rate"]
    return {**card, "classes": classes, "pairs": pairs, "noise_rate": rate, "expected": {**card["expected"], **expected}, "in_pieces": True}


def write(
    path_of: Callable[[int, int], str],
    found: Survey,
    row: np.ndarray,
    seen: Evidence,
    extra: dict[str, np.ndarray],
    judged: Judged,
    card: dict[str, Any],
    decision: str,
    target: Any,
    cellar: Cellar,
    others: Others,
) -> None:
    """Write the report in row groups in the input's order; the input is read once more for ids, labels and telling columns.

    Args:
        path_of: file to fill for which unit of how many: one process asks for 0 of 1 and writes everything there, several write a file a unit.
        found: the input.
        row: (N,) position among the rows read here of each row as it lies in the files.
        seen: the rounds' records.
        extra: (N,) columns of witnesses.
        judged: the verdicts.
        card: run card.
        decision: how `predicted` is read off.
        target: regression's `TargetScale`, or None.
        cellar: where the rows lie.
        others: the processes that write rows of their own.
    """
    n, verdicts = len(row), judged.verdicts
    place, rank = cellar.zeros((n,), np.int64), cellar.zeros((n,), np.int64)
    scatter(place, row, lambda part: np.arange(part.start, part.stop), cellar)
    rank_all(rank, row, verdicts, seen.rounds[0].columns["z_score"], cellar)
    if others.size > 1:
        rank_among(rank, verdicts, others)
    backdrop, done = Backdrop.of(found.part(found.data.table.slice(0, CENTRE_ROWS).select(found.columns()))), 0

    def made(unit: OwnUnit | None) -> Iterator[pa.Table]:
        nonlocal done
        for table in chunks(found, unit):
            places = place[done : done + table.num_rows]
            check_same(len(places) == table.num_rows, found)
            order = np.argsort(places)
            rows = places[order]
            evidence = evidence_of(seen, rows, extra, cellar)
            mine = {name: taken(values, rows, cellar) for name, values in arrays_of(verdicts).items()}
            of_chunk = joined([without_rows(verdicts)], mine)
            decided = thresholds.decided(evidence, decision)
            whole = build.build(found.part(table), order, evidence, of_chunk, card, decided, target, taken(rank, rows, cellar), backdrop)
            done += table.num_rows
            yield whole.table
            cellar.release()

    for unit in [None] if others.size == 1 else found.units:
        number, of, first_row = (0, 1, 0) if unit is None else (unit.number, found.n_units, unit.begin)
        with Pen(path_of(number, of), card) as pen:
            for part in ahead(made(unit)):
                pen.write(part, first_row)
                first_row += part.num_rows
    check_same(done == n, found)


def check_same(same: bool, found: Survey) -> None:
    """Refuse an input that has changed since it was first read.

    Raises:
        InputError: it has other rows now.
    """
    if not same:
        raise InputError(f"{found.source.path}: other rows than when the scan began — expected an input that stays as it is — scan it again")


class Pen:
    """Writes a report's rows as row groups of one file."""

    def __init__(self, path: str, card: dict[str, Any]) -> None:
        self.path, self.card = path, card
        self.writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Pen:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def write(self, made: pa.Table, first_row: int) -> None:
        """Append rows.

        Args:
            made: columns of the report; `row` is put right.
            first_row: position in the input of the first of them.
        """
        made = made.set_column(0, "row", pa.array(np.arange(first_row, first_row + made.num_rows)))
        if self.writer is None:
            schema = made.schema.with_metadata({report.KEY: json.dumps(self.card, allow_nan=False).encode()})
            self.writer = pq.ParquetWriter(self.path, schema, **report.packed_as(made.schema))
        self.writer.write_table(made.cast(self.writer.schema))


def write_in_turn(where: str, data: Dataset, evidence: Evidence, verdicts: Verdicts, card: dict[str, Any], decided: np.ndarray, target: Any) -> None:
    """Write the report of rows in memory, all encoded and in the input's order: each chunk is made while the one before it is written.

    The rows are those of `compose.build`; only a chunk of the report is ever held.

    Args:
        where: file to fill.
        data: N rows.
        evidence: of the same rows.
        verdicts: of the same rows.
        card: run card.
        decided: (N,) as for `compose.build`.
        target: as for `compose.build`.
    """
    rank = build.ranked(np.arange(data.n_rows), verdicts.p_incorrect, verdicts.p_outlier, evidence.columns["z_score"], verdicts.called("unlabelled"))
    backdrop = Backdrop.of(data)

    def chunk(begin: int, end: int) -> pa.Table:
        part = slice(begin, end)
        rows = dataclasses.replace(
            data,
            table=data.table.slice(begin, end - begin),
            given=data.given.slice(begin, end - begin),
            arrays={name: array.slice(begin, end - begin) for name, array in data.arrays.items()},
        )
        seen = dataclasses.replace(
            evidence,
            columns={name: column[part] for name, column in evidence.columns.items()},
            curves={name: curve[:, part] for name, curve in evidence.curves.items()},
            heldout=heldout.taken(evidence.heldout, part),
            y=evidence.y[part],
        )
        judged = joined([without_rows(verdicts)], {name: values[part] for name, values in arrays_of(verdicts).items()})
        return build.build(rows, np.arange(end - begin), seen, judged, card, decided[part], target, rank[part], backdrop).table

    with Pen(where, card) as pen:
        for made, begin in ahead((chunk(begin, end), begin) for begin, end in rows_at_once(data.n_rows, CHUNK_ROWS)):
            pen.write(made, begin)
            del made
            pa.default_memory_pool().release_unused()


def rank_among(rank: np.ndarray, verdicts: Verdicts, others: Others) -> None:
    """From ranks among this process's rows to ranks among all: each process tells its suspicions in turn, equal ones in order of the processes.

    Args:
        rank: (N,) int64, changed in place; 0 for unlabelled rows.
        verdicts: of all rows here.
        others: the processes.
    """
    labelled = np.flatnonzero(rank)
    own = suspicion(verdicts, slice(None))[labelled]
    rising = np.sort(own)
    ahead = np.zeros(len(own), np.int64)
    for at, theirs in enumerate(others.each(rising)):
        if at != others.rank:
            ahead += len(theirs) - np.searchsorted(theirs, rising, "left" if at < others.rank else "right")
    # The row of rank r is the r-th from the end of the rising ones.
    rank[labelled] += ahead[len(own) - rank[labelled]]


def suspicion(verdicts: Verdicts, part: slice) -> np.ndarray:
    """(n,) float32 what rows are ranked by; -1 for those without a label."""
    both = np.nan_to_num(verdicts.p_incorrect[part] + verdicts.p_outlier[part])
    return np.where(verdicts.code[part] == VERDICTS.index("unlabelled"), -1.0, both).astype(np.float32)


def rank_all(rank: np.ndarray, row: np.ndarray, verdicts: Verdicts, z_score: np.ndarray, cellar: Cellar) -> None:
    """`compose.ranked` of all rows, bin by bin of falling suspicion.

    Args:
        rank: (N,) int64 to fill.
        row: (N,) position in the input.
        verdicts: of all rows.
        z_score: (N,).
        cellar: takes what is found.
    """
    n = len(row)
    parts = [slice(*ends) for ends in rows_at_once(n, BLOCK_ROWS)]
    # The first rows are an even sample; those without a label are a bin of their own, the lowest.
    n_bins = min(MOST_WINDOWS, ceil(n / WINDOW_ROWS))
    inner = np.quantile(suspicion(verdicts, slice(BLOCK_ROWS)), np.linspace(0, 1, n_bins + 1)[1:-1])
    edges = np.unique(np.concatenate([[0.0], inner])).astype(np.float32)
    told, done = (row, verdicts.p_incorrect, verdicts.p_outlier, z_score), 0
    ranked, ranks, bins = cellar.zeros((n,), np.int64), cellar.zeros((n,), np.int64), cellar.zeros((n,), np.int16)
    for part in parts:
        bins[part] = np.searchsorted(edges, suspicion(verdicts, part), "right")
        cellar.release()
    for number in range(len(edges), 0, -1):
        found: list[tuple[np.ndarray, ...]] = []
        for part in parts:
            here = np.flatnonzero(bins[part] == number)
            found.append((part.start + here, *(values[part][here] for values in told)))
            cellar.release()
        rows, place, p_incorrect, p_outlier, z = (np.concatenate(values) for values in zip(*found, strict=True))
        span = slice(done, done + len(rows))
        ranked[span], ranks[span] = rows, build.ranked(place, p_incorrect, p_outlier, z, np.zeros(len(rows), bool)) + done
        done += len(rows)
    scatter(rank, ranked[:done], lambda part: ranks[part], cellar)


def scatter(out: np.ndarray, at: np.ndarray, values: Callable[[slice], np.ndarray], cellar: Cellar) -> None:
    """`out[at] = values`, window by window of `out`, so that no more of it than a window is ever in memory.

    Args:
        out: (N,) to fill.
        at: (M,) int64 places, each once.
        values: of a run of rows.
        cellar: where both lie.
    """
    for begin, end in rows_at_once(len(out), max(WINDOW_ROWS, ceil(len(out) / MOST_WINDOWS))):
        for ends in rows_at_once(len(at), WINDOW_ROWS):
            part = slice(*ends)
            here = np.flatnonzero((at[part] >= begin) & (at[part] < end))
            out[at[part][here]] = values(part)[here]
            cellar.release()


def chunks(found: Survey, unit: OwnUnit | None) -> Iterator[pa.Table]:
    """The rows of a unit, or all that are read here, in tables of `CHUNK_ROWS`, the last with what is left."""
    held: list[pa.RecordBatch] = []
    for batch in found.pieces(found.columns(), unit):
        held.append(batch)
        while sum(one.num_rows for one in held) >= CHUNK_ROWS:
            table = pa.Table.from_batches(held)
            yield table.slice(0, CHUNK_ROWS)
            held = table.slice(CHUNK_ROWS).to_batches()
    if sum(one.num_rows for one in held):
        yield pa.Table.from_batches(held)
