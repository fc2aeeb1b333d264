"""The loop: rounds of members, each member blind to one fold, all of them watched.

Leaves: `Evidence`. Enters: `Encoded` and `ModelSpec`. A narrow model on few rows, or on a GPU, packs the members of a round into one
batched product; elsewhere they train side by side in two copies of the process, on threads of their own, or one after another. All give, in
one run, in-sample dynamics from the members that train on a row and held-out predictions from the one that does not.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import ceil, cos, pi
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zcurate.arrays.sort import rows_at_once
from zcurate.config.model_config import PACKED, ModelSpec, asked_at_once
from zcurate.encoding.encoder import Encoded, Inputs
from zcurate.evidence import noise_model
from zcurate.evidence.evidence import Evidence, Round, merge
from zcurate.evidence.heldout import ASKED_OFTEN, kept_whole, mean, taken
from zcurate.runtime import device, startup
from zcurate.runtime.process_group import Alone, Twin, can_fork, shared_zeros, twins
from zcurate.runtime.progress import Costs, Silent, Watch
from zcurate.training import augment, cuda_graphs, planting
from zcurate.training.auxiliary import naive_bayes, trees
from zcurate.training.auxiliary.trees import Held, Table
from zcurate.training.checkpoint import Checkpoint
from zcurate.training.cuda_graphs import Replay
from zcurate.training.dynamics import PARTS, Ledger, asked_once
from zcurate.training.losses.discrim import DiscrimLoss
from zcurate.training.losses.zerror import Scored, Statistics, gathered, score, shares, terms
from zcurate.training.optimizer import Optimiser
from zcurate.training.planting import Planted


class Observer(Protocol):
    """Looks at what a member has learned."""

    def keys(self, n_taught: int, n_rows: int, device: torch.device) -> Tensor:
        """(M,) int64 which of a member's own rows to compare with."""

    def __call__(self, asked: Tensor, own: Tensor, taught: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
        """Columns (Q,) of rows that the member never saw: their features (Q, D) and classes, and those (M, D) of its own."""


Build = Callable[[ModelSpec, Encoded, int, torch.Generator], nn.Module]

PLANT_SHARE, MOST_PLANTED_ALONE = 0.04, 2000
"""Share of the rows that each round is shown wrong; and how many at most where no other round shows them right."""
HARD_SHARE, MOST_HARD, HARD_BLEND = 0.1, 2000, 0.6
"""Share of the rows that hard cases are made of, how many at most, and what share of such a row is its own."""
HARD_SEED = 11
"""Mixed with the user's seed where hard examples are chosen."""
BESIDE_SEED = 13
"""Mixed with the user's seed for the folds of the auxiliary models."""
SECOND_RATE = 0.5
"""Learning rate of the second split, as a share of the peak: high, so that what is not held fast is forgotten."""
FEWEST_EPOCHS = 3
"""A later round is not cut below this."""


PACKED_BATCH = 512
"""Up to this batch the members of a narrow model run as one product on the CPU: their single steps would be too small to fill a core."""
SHARDS, SHARD_ROWS = 8, 4096
"""Virtual shards, equal runs of rows, that every batch is drawn from evenly; one where there are fewer rows. How many processes hold them
does not change what a batch is made of."""
SEGMENT_ROWS, SEGMENT_BYTES, BLOCK_ROWS = 524_288, 64_000_000, 16_384
"""Rows in files are visited segment by segment: how many rows and bytes of inputs at most, in blocks of neighbouring rows drawn at random."""
DRAWN_ROWS = 200_000
"""Rows in files, which lie in a random order, that errors are planted in and hard cases made of: the first ones."""


@dataclass(frozen=True)
class Order:
    """One epoch's visits, shard by shard; each batch takes its part of every shard."""

    shards: tuple[Visits, ...]
    """Those of this process, in row order."""
    n_visits: int
    """Per member, in the shards of all processes."""

    def batched(self, size: int) -> tuple[Visits, list[int]]:
        """The visits batch after batch, and where each batch begins and the last one ends.

        Args:
            size: of a batch, per member and in all processes, at most; all are as large, but for one row per shard.
        """
        n_batches = max(1, ceil(self.n_visits / size))
        sizes = np.array([[n // n_batches + (at < n % n_batches) for at in range(n_batches)] for n in (one.ids.shape[1] for one in self.shards)])
        edges = np.concatenate([[0], np.cumsum(sizes.sum(0))])
        # Where the visits of a shard in a batch go, less where they come from.
        shift = edges[:-1] + np.cumsum(sizes, 0) - np.cumsum(sizes, 1)
        parts: list[list[Tensor]] = [[] for _ in range(3)]
        places = []
        for one, moved, n in zip(self.shards, shift, sizes, strict=True):
            here = one.ids.device
            ways = torch.from_numpy(moved).to(here).repeat_interleave(torch.from_numpy(n).to(here), output_size=one.ids.shape[1])
            places.append(ways + torch.arange(one.ids.shape[1], device=here))
            for held, part in zip(parts, one, strict=True):
                held += [] if part is None else [part]
        place = torch.cat(places)
        ids, weight, readmit = (torch.empty_like(whole := torch.cat(held, 1)).index_copy_(1, place, whole) if held else None for held in parts)
        assert ids is not None and weight is not None  # crack: narrows types only
        return Visits(ids, weight, readmit), edges.tolist()


class Visits(NamedTuple):
    """Rows in the order in which the members visit them."""

    ids: Tensor
    """(K, n) int64 rows."""
    weight: Tensor
    """(K, n) float32, 0 for padding."""
    readmit: Tensor | None
    """(K, n) bool, visits that are not masked whatever their z; None for none."""

    def first(self, n: int) -> Visits:
        """The first n visits."""
        return Visits(self.ids[:, :n], self.weight[:, :n], None if self.readmit is None else self.readmit[:, :n])

    def cut(self, sizes: list[int]) -> Iterator[Visits]:
        """Batch after batch.

        Args:
            sizes: of each.
        """
        ids, weight = (part.split(sizes, 1) for part in self[:2])
        return map(Visits, ids, weight, itertools.repeat(None) if self.readmit is None else self.readmit.split(sizes, 1))

    def n_full(self) -> int:
        """How many of the first visits are no padding for any member."""
        padded = torch.nonzero((self.weight == 0).any(0))
        return int(padded[0]) if len(padded) else self.weight.shape[1]


def sizes_of(edges: list[int]) -> list[int]:
    """How long the runs are between neighbouring edges."""
    return [end - begin for begin, end in itertools.pairwise(edges)]


class Tape(NamedTuple):
    """An epoch's visits where replayed steps find them, and what they are told and say: the same memory in every epoch."""

    visits: Visits
    """(K, n)."""
    labels: Tensor
    """(K, n) shown labels."""
    found: Scored
    """(K, n)."""
    thresholds: Tensor
    """(n_batches,) float32, tau of each batch [sigma]."""
    rates: Tensor
    """(n_batches,) float32, learning rate of each batch."""
    at: Tensor
    """(2,) int64: place of the next batch's first row, and the batch's number."""


def put(kept: Statistics, new: Statistics) -> None:
    """Write statistics where the old ones are.

    Args:
        kept: (K, G), written to.
        new: (K, G).
    """
    for one, value in zip(kept, new, strict=True):
        one.copy_(value)


def folds(fold_key: np.ndarray, y: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) int64 fold of each row: rows of one key together, each class spread evenly where keys are single rows.

    Args:
        fold_key: (N,) int64.
        y: (N,) labels; ties in the spread are broken by them.
        n_folds: F.
        rng: source of the order.
    """
    keys, inverse = np.unique(fold_key, return_inverse=True)
    if len(keys) < len(fold_key):
        return rng.permutation(len(keys))[inverse] % n_folds
    shuffled = rng.permutation(len(y))
    by_label = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[by_label] = np.arange(len(y)) % n_folds
    return fold


def visits(chosen: Tensor, generator: torch.Generator, readmit: float = 0.0) -> Visits:
    """Shuffle each member's rows; members with fewer rows are padded with rows of weight 0.

    Args:
        chosen: (K, N) bool, rows that each member visits.
        generator: on the device of `chosen`.
        readmit: probability that a visit is let in whatever its z.
    """
    if len(chosen) == 1:
        rows = torch.nonzero(chosen[0])[:, 0]
        ids = rows[torch.randperm(len(rows), generator=generator, device=chosen.device)][None]
        weight = torch.ones(ids.shape, device=chosen.device)
    else:
        n = int(chosen.sum(1).max())
        draw = torch.rand(chosen.shape, generator=generator, device=chosen.device)
        ids = torch.where(chosen, draw, 2.0).argsort(1)[:, :n]
        weight = chosen.gather(1, ids).float()
    return Visits(ids, weight, torch.rand(ids.shape, generator=generator, device=ids.device) < readmit if readmit else None)


def shards_of(n_rows: int) -> list[slice]:
    """The virtual shards: equal runs of rows.

    Args:
        n_rows: N.
    """
    n = SHARDS if n_rows >= SHARD_ROWS else 1
    return [slice(n_rows * at // n, n_rows * (at + 1) // n) for at in range(n)]


def n_segments(encoded: Encoded) -> int:
    """How many segments an epoch's visits come in: one where the rows are in memory."""
    if encoded.cellar is None and encoded.mapped is None:
        return 1
    a_row = sum(part[:1].nbytes for part in (encoded.x, encoded.dense, encoded.codes, encoded.images) if part is not None)
    return max(1, ceil(encoded.n_rows / max(4 * BLOCK_ROWS, min(SEGMENT_ROWS, SEGMENT_BYTES // max(1, a_row)))))


def segment(n_rows: int, part: int, n_parts: int, generator: torch.Generator) -> Tensor:
    """(B,) int64, rising: the blocks of neighbouring rows of one segment of an epoch, drawn at random, as many in each.

    Args:
        n_rows: N.
        part: which one, 0-based.
        n_parts: segments.
        generator: the same for all segments of an epoch.
    """
    return torch.randperm(ceil(n_rows / BLOCK_ROWS), generator=generator, device=generator.device).tensor_split(n_parts)[part].sort().values


def rows_of(blocks: Tensor, shard: slice) -> Tensor:
    """(n,) int64, rising: the rows of some blocks that lie in a shard.

    Args:
        blocks: (B,) int64, rising.
        shard: a run of rows.
    """
    runs = [range(max(at * BLOCK_ROWS, shard.start), min((at + 1) * BLOCK_ROWS, shard.stop)) for at in blocks.tolist()]
    return torch.cat([torch.arange(run.start, max(run.start, run.stop), device=blocks.device) for run in runs])


def dealt_folds(fold_key: np.ndarray, y: np.ndarray, n_folds: int, seed: int, fold: np.ndarray) -> None:
    """`folds` of rows that lie in a random order already, without sorting them: each class's rows are dealt out in turn.

    Args:
        fold_key: (N,) int64 hashes of groups, or distinct numbers.
        y: (N,) labels.
        n_folds: F.
        seed: changes which fold a group falls into.
        fold: (N,) uint8, filled.
    """
    some = fold_key[:DRAWN_ROWS]
    grouped, had = len(np.unique(some)) < len(some), np.full(2 if y.dtype.kind == "f" else int(y.max()) + 2, seed)
    for begin, end in rows_at_once(len(y), DRAWN_ROWS):
        if grouped:
            fold[begin:end] = ((fold_key[begin:end] // 7 + seed * 31) * 2_654_435_761 >> 12) % n_folds
            continue
        own = np.zeros(end - begin, np.int64) if y.dtype.kind == "f" else y[begin:end] + 1
        order, size = np.argsort(own, kind="stable"), np.bincount(own, minlength=len(had))
        start = np.cumsum(size) - size
        fold[begin:end][order] = (np.arange(end - begin) - start[own[order]] + had[own[order]]) % n_folds
        had += size


def in_order(chosen: Tensor, at_once: int) -> list[tuple[Tensor, Tensor]]:
    """Each member's rows in row order, (K, b) with their weights, padded as in `visits`.

    Args:
        chosen: (K, N) bool.
        at_once: rows of a batch at most.
    """
    if len(chosen) == 1:
        ids = torch.nonzero(chosen[0])[:, 0][None]
        weight = torch.ones(ids.shape, device=ids.device)
    else:
        ids = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(chosen.sum(1).max())]
        weight = chosen.gather(1, ids).float()
    n_batches = max(1, ceil(ids.shape[1] / at_once))
    return list(zip(ids.tensor_split(n_batches, 1), weight.tensor_split(n_batches, 1), strict=True))


def learning_rate(progress: float) -> float:
    """One cycle: up in the first tenth, then down along a cosine to a hundredth; as a share of the peak."""
    if progress < 0.1:
        return 0.1 + 9 * progress
    return 0.01 + 0.99 * 0.5 * (1 + cos(pi * (progress - 0.1) / 0.9))


class Clock:
    """The user's time limit, shared out evenly among the rounds. Without a limit it never looks."""

    def __init__(self, limit_seconds: float | None, n_parts: int) -> None:
        self.start, self.limit, self.n_parts, self.part, self.cut = time.monotonic(), limit_seconds, n_parts, 0, False

    def up(self) -> bool:
        """Whether this part's time is over; remembers that something was cut."""
        if self.limit is None or time.monotonic() - self.start < self.limit * (self.part + 1) / self.n_parts:
            return False
        self.cut = True
        return True

    def next(self) -> None:
        """The next part begins."""
        self.part += 1


def shared_out(spec: ModelSpec, place: torch.device) -> bool:
    """Whether members train one by one, on threads or in processes of their own; else their steps are small and one core packs them.

    Args:
        spec: `name`, `batch`.
        place: where the tensors are.
    """
    return spec.name not in PACKED or (place.type == "cpu" and spec.batch > PACKED_BATCH and spec.name != "linear")


class Trainer:
    """What all rounds share: the data, the model's recipe, the clock, and what was seen beside the ledger."""

    def __init__(
        self,
        encoded: Encoded,
        spec: ModelSpec,
        build: Build,
        packed: bool,
        n_epochs: int,
        seed: int,
        watch: Watch,
        observer: Observer | None = None,
        costs: Costs | None = None,
        beside: Callable[[], None] | None = None,
    ) -> None:
        self.encoded, self.spec, self.build, self.beside = encoded, spec, build, beside
        self.packed = packed and not shared_out(spec, encoded.device) and encoded.cellar is None
        self.n_segments = n_segments(encoded)
        self.asks_often = encoded.n_rows < ASKED_OFTEN and encoded.cellar is None
        """Members are asked about held-out rows after every epoch; else after the last."""
        self.at_once = asked_at_once(None if encoded.images is None else tuple(encoded.images.shape[1:]), encoded.device.type == "cuda")
        self.n_epochs, self.seed, self.watch = n_epochs, seed, watch
        self.clock = Clock(None, 1)
        self.observer = None if encoded.regression else observer
        self.costs = costs or Costs()
        self.seen: dict[str, Tensor] = {}
        self.hard, self.hard_row = make_hard(encoded, device.generator(encoded.device, seed, HARD_SEED))
        self.hard_heldout = torch.zeros(len(self.hard_row), encoded.n_outputs, device=encoded.device)
        self.leave_out: np.ndarray | None = None
        """(N,) bool rows that the next round must not train on."""
        self.checkpoint: Checkpoint | None = None
        """Keeps each finished epoch and round."""
        self.crowd = Alone()
        """The processes that the rows are shared among."""
        self.stopped = False
        """Members should stop at their next batch."""
        self.told = False
        """The user knows that steps could not be recorded."""

    def run(self, at: int, n_rounds: int, fold: np.ndarray, shown: np.ndarray, planted: Planted) -> Round:
        """Train the round's members and record them.

        Args:
            at: number of the round.
            n_rounds: R, for the progress bar.
            fold: (N,) int64.
            shown: (N,) labels to show, -1 or NaN for none.
            planted: which of them are wrong on purpose.
        """
        encoded, spec, n_folds = self.encoded, self.spec, self.spec.folds
        whole = encoded.regression or kept_whole(encoded.n_rows, encoded.n_outputs)
        forks = self.forks()
        if forks:
            self.hard_heldout = shared_zeros(tuple(self.hard_heldout.shape))
        own = self.own_rows()
        ledger = Ledger(
            own.stop - own.start, self.n_epochs, encoded.n_outputs, encoded.regression, encoded.device, spec.second_split,
            sieve="sieve" in spec.judged_by, n_parts=PARTS if self.asks_often else 1, cellar=encoded.cellar,
            own=None if whole else encoded.y[own], shared=forks,
        )  # fmt: skip
        # Unlabelled rows only ever stand as padding of weight 0, but must not index or poison anything.
        cleared, kind = (np.nan_to_num, np.float32) if encoded.regression else (partial(np.maximum, 0), np.int64)
        known = cleared(shown).astype(kind) if encoded.cellar is None else encoded.cellar.copy(shown, kind, cleared)
        labels = torch.from_numpy(known).to(encoded.device)
        blind, member = encoded.zeros(n_folds, encoded.n_rows, dtype=torch.bool), torch.arange(n_folds, device=encoded.device)
        for begin, end in rows_at_once(encoded.n_rows, SEGMENT_ROWS):
            blind[:, begin:end] = torch.from_numpy(fold[begin:end]).to(encoded.device)[None] == member[:, None]
            encoded.release()
        sizes = [range(n_folds)] if self.packed else [range(k, k + 1) for k in range(n_folds)]
        with twins(forks) as twin:
            self.crowd = twin if forks else self.crowd
            if twin.team == 0:
                self.go_on()
            self.watched(at, n_rounds, ledger, labels, [(number, blind[size.start : size.stop]) for number, size in enumerate(sizes)])
        self.crowd = Alone() if forks else self.crowd
        ledger.join(self.crowd)
        self.join()
        if not self.asks_often:
            startup.spare_memory()
        self.clock.next()
        found = dataclasses.replace(ledger.freeze(shown, planted), left_out=0 if self.leave_out is None else int(self.leave_out.sum()))
        if at == n_rounds - 1 and self.hard is not None:
            found = dataclasses.replace(found, hard_row=self.hard_row.cpu().numpy(), hard_heldout=self.hard_heldout.cpu().numpy())
        found.columns.update({name: column.cpu().numpy() for name, column in self.seen.items()})
        self.seen = {}
        return found

    def go_on(self) -> None:
        """Begin what goes on beside, once."""
        begin, self.beside = self.beside, None
        if begin is not None:
            begin()

    def forks(self) -> bool:
        """Whether the two members of a round train in two processes: their rows must lie apart, and nothing be asked of either meanwhile."""
        return (
            self.beside is not None and self.crowd.n_teams * self.crowd.size == 1 and self.spec.folds == 2 and not self.packed and self.observer is None
            and self.checkpoint is None and self.clock.limit is None and torch.get_num_threads() > 1 and can_fork()
        )  # fmt: skip

    def watched(self, at: int, n_rounds: int, ledger: Ledger, labels: Tensor, groups: list[tuple[int, Tensor]]) -> None:
        """Train this process's members and record what they do.

        Args:
            at: number of the round.
            n_rounds: R, for the progress bar.
            ledger: takes the record.
            labels: (N,) shown labels.
            groups: number of each team, and the (K, N) bool rows that its members never train on.
        """
        own, self.watch = self.own_rows(), Silent() if self.crowd.team and isinstance(self.crowd, Twin) else self.watch
        teams = [Team(self, blind, labels, (self.seed, at, number)) for number, blind in groups if self.crowd.trains(number)]
        begin = self.restored(at, teams, ledger)
        try:
            with device.crew(len(teams) if self.crowd.size == 1 else 1, self.encoded.device, self.packed, isinstance(self.crowd, Twin)) as spread:
                n_all = n_rounds * self.n_epochs * self.n_segments * len(teams)
                for epoch in range(begin, self.n_epochs):
                    for part in range(self.n_segments):
                        for number, (visits, scored) in enumerate(spread(lambda team: team.learn(epoch, part), teams)):  # noqa: B023
                            ledger.record(epoch, visits.ids - own.start, scored, visits.weight)
                            self.watch.step(((at * self.n_epochs + epoch) * self.n_segments + part) * len(teams) + number + 1, n_all)
                        self.encoded.release()
                    over = epoch == self.n_epochs - 1 or self.crowd.agreed(self.clock.up())
                    if self.asks_often or over:
                        list(spread(lambda team: team.ask(ledger, epoch), teams))  # noqa: B023
                    if self.checkpoint is not None:
                        self.checkpoint.kept &= not self.clock.cut
                        self.checkpoint.state(at, epoch, self.remembered(teams, ledger))
                    if over:
                        break
        except BaseException:
            self.stopped = True
            raise
        for team in teams:
            team.finish(ledger, at == n_rounds - 1)
        broken = {team.replay.why_not for team in teams if team.replay is not None and team.replay.why_not}
        if broken and not self.told:
            self.told = True
            self.watch.note(f"GPU: steps are started one by one, which is slower: {min(broken)}")

    def own_rows(self) -> slice:
        """The rows of this process: all, or those of its virtual shards, which lie side by side."""
        shards = shards_of(self.encoded.n_rows)
        mine = self.crowd.mine(len(shards))
        return slice(shards[mine.start].start, shards[mine.stop - 1].stop)

    def join(self) -> None:
        """What other processes' members saw beside the ledger, put together with what ours saw: each was asked about other rows."""
        self.hard_heldout = self.crowd.joined(self.hard_heldout, -1)
        for name, column in self.seen.items():
            known = self.crowd.joined((~column.isnan()).float(), -1)
            self.seen[name] = self.crowd.joined(column.nan_to_num(0.0), -1).masked_fill_(known == 0, float("nan"))

    def remembered(self, teams: list[Team], ledger: Ledger) -> dict[str, Tensor]:
        """All that a running round depends on, by name."""
        tensors = {f"ledger.{name}": one for name, one in ledger.state().items()}
        for number, team in enumerate(teams):
            tensors |= {f"team-{number}.{name}": one for name, one in team.state().items()}
        return tensors

    def restored(self, at: int, teams: list[Team], ledger: Ledger) -> int:
        """Put back what a checkpoint holds of this round.

        Args:
            at: number of the round.
            teams: fresh members.
            ledger: empty.

        Returns:
            The epoch to go on with; 0 where nothing was kept.
        """
        found = None if self.checkpoint is None else self.checkpoint.running(at)
        if found is None:
            return 0
        tensors, epoch = found
        with torch.no_grad():
            for name, one in ledger.state().items():
                one.copy_(tensors[f"ledger.{name}"])
        ledger.n_epochs = epoch + 1
        for number, team in enumerate(teams):
            start = f"team-{number}."
            team.restore({name.removeprefix(start): one for name, one in tensors.items() if name.startswith(start)})
        return epoch + 1


class Team:
    """K members of one round trained side by side, and all that they remember."""

    def __init__(self, trainer: Trainer, blind: Tensor, labels: Tensor, seeds: tuple[int, ...]) -> None:
        """Fresh members.

        Args:
            trainer: what all rounds share.
            blind: (K, N) bool, rows that each member never trains on.
            labels: (N,) shown labels.
            seeds: what every random choice depends on.
        """
        encoded, spec = trainer.encoded, trainer.spec
        self.trainer, self.blind, self.labels, self.seeds = trainer, blind, labels, seeds
        self.generator = device.generator(encoded.device, *seeds)
        self.model = trainer.build(spec, encoded, len(blind), device.generator(torch.device("cpu"), *seeds, 7)).to(encoded.device)
        self.optimiser = Optimiser(spec, self.model)
        per_class = spec.z.z_per == "class" and not encoded.regression
        self.running = Statistics.new(len(blind), encoded.n_outputs if per_class else 1, encoded.device)
        self.gathering = Statistics.new(len(blind), self.running.centre.shape[1], encoded.device)
        self.tape: Tape | None = None
        self.replay: Replay | None = None
        self.discrim = DiscrimLoss(len(blind), encoded.n_rows, spec.discrim, encoded.device) if spec.loss == "discrim" else None
        by_hand = self.discrim is None and getattr(self.model, "by_hand", False)
        self.looked: Callable[[Inputs], tuple[Tensor, Callable[[Tensor], None]]] | None = getattr(self.model, "taught") if by_hand else None  # noqa: B009
        """Gives a batch's output and takes its gradient, of a model that does so without autograd."""
        self.taught = encoded.zeros(*blind.shape, dtype=torch.bool)
        for begin, end in rows_at_once(encoded.n_rows, SEGMENT_ROWS):
            part = slice(begin, end)
            self.taught[:, part] = ~blind[:, part] & encoded.labelled(part)[None]
            if trainer.leave_out is not None:
                self.taught[:, part] &= ~torch.from_numpy(trainer.leave_out[part]).to(encoded.device)
            encoded.release()
        self.own = trainer.own_rows()
        self.asked = list(self.own_in_order(blind)) if encoded.cellar is None else []

    def state(self) -> dict[str, Tensor]:
        """All that the members remember, by name; the generators' states are copies."""
        tensors = {f"model.{name}": one for name, one in self.model.state_dict().items()}
        tensors |= {f"optimiser.{at}": one for at, one in enumerate(self.optimiser.state())}
        tensors |= {f"running.{name}": one for name, one in self.running._asdict().items()}
        if self.discrim is not None:
            tensors |= {f"discrim.{name}": one for name, one in self.discrim.state().items()}
        return tensors | {f"generator.{at}": one.get_state() for at, one in enumerate(self.generators())}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        put(self.running, Statistics(*(tensors[f"running.{name}"] for name in Statistics._fields)))
        for name, one in self.state().items():
            if not name.startswith(("running.", "generator.")):
                one.copy_(tensors[name])
        for at, generator in enumerate(self.generators()):
            generator.set_state(tensors[f"generator.{at}"])

    def generators(self) -> list[torch.Generator]:
        """Sources of randomness that go on from epoch to epoch: the pictures' shifts, and the model's own."""
        own = getattr(self.model, "generator", None)
        return [self.generator, *([own] if isinstance(own, torch.Generator) else [])]

    def own_in_order(self, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """`in_order` of this process's rows.

        Args:
            chosen: (K, N) bool.
        """
        for ids, weight in in_order(chosen[:, self.own], self.trainer.at_once):
            yield ids + self.own.start, weight

    def to_ask(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The rows that the members never train on, as `in_order`; those in files some at a time."""
        yield from self.asked
        cellar = self.trainer.encoded.cellar
        if cellar is None:
            return
        for begin, end in rows_at_once(self.blind.shape[1], SEGMENT_ROWS):
            for ids, weight in in_order(self.blind[:, begin:end], self.trainer.at_once):
                yield ids + begin, weight
            cellar.release()

    def order(self, epoch: int, chosen: Tensor, readmit: float = 0.0, part: int = 0) -> Order:
        """The visits of an epoch, or of one segment of it, by the seed, the epoch, the segment and the virtual shard alone.

        Args:
            epoch: 0-based.
            chosen: (K, N) bool, rows that each member visits.
            readmit: probability that a visit is let in whatever its z.
            part: which segment, where the rows lie in files.
        """
        blocks = None
        if self.trainer.n_segments > 1:
            blocks = segment(chosen.shape[1], part, self.trainer.n_segments, device.generator(chosen.device, *self.seeds, epoch, -1))
        shards, n_visits = [], 0
        every = shards_of(chosen.shape[1])
        mine = self.trainer.crowd.mine(len(every))
        for number, shard in enumerate(every):
            rows = None if blocks is None else rows_of(blocks, shard)
            there = chosen[:, shard] if rows is None else chosen[:, rows]
            if number in mine:
                generator = device.generator(chosen.device, *self.seeds, epoch, number + SHARDS * part)
                drawn = visits(there, generator, readmit)
                shards.append(drawn._replace(ids=drawn.ids + shard.start if rows is None else rows[drawn.ids]))
                n_visits += drawn.ids.shape[1]
            else:
                n_visits += int(there.sum(1).max())
        if self.trainer.crowd.apart:
            n_visits = sum(self.trainer.crowd.gathered(n_visits))
        return Order(tuple(shards), n_visits)

    def learn(self, epoch: int, part: int = 0) -> tuple[Visits, Scored]:
        """One pass over the members' rows, or one segment of it.

        Args:
            epoch: 0-based.
            part: which segment.

        Returns:
            The visits in their order, (K, n), and what the loss said of each; replayed steps write both anew in every epoch.
        """
        spec, n_parts = self.trainer.spec, self.trainer.n_segments
        visited, edges = self.order(epoch, self.taught, spec.z.readmit, part).batched(spec.batch)
        n_full, n_batches = visited.n_full(), len(edges) - 1
        progress = [(epoch + (part + number / n_batches) / n_parts) / self.trainer.n_epochs for number in range(n_batches)]
        thresholds = [spec.z.threshold(at) if spec.loss == "zerror" else float("inf") for at in progress]
        rates = [spec.learning_rate * learning_rate(at) for at in progress]
        if not part:
            put(self.gathering, Statistics.new(len(self.blind), self.running.centre.shape[1], self.labels.device))
        self.model.train()
        tape = self.wound(visited, thresholds, rates)
        found: Scored | None = None if tape is None else tape.found
        sizes, done = sizes_of(edges), 0
        batches = [] if tape is not None else list(zip(visited.cut(sizes), self.labels[visited.ids].split(sizes, 1), strict=True))
        for number, (size, end) in enumerate(zip(sizes, edges[1:], strict=True)):
            if self.trainer.stopped:
                break
            full = end <= n_full
            if self.replay is not None:
                self.replay(size, full)
            else:
                scored = self.step(*batches[number], full, thresholds[number], rates[number], progress[number])
                found = found or scored.room(visited.ids.shape[1])
                found.put(done, scored)
            done = end
        if spec.z.z_stats == "epoch" and part == n_parts - 1:
            put(self.running, self.gathering)
        assert found is not None  # crack: narrows types only
        return visited.first(done), found.first(done)

    def step(self, batch: Visits, y: Tensor, full: bool, threshold: float | Tensor, rate: float | Tensor, progress: float) -> Scored:
        """One batch: look, score, and move the parameters; all that lasts is changed in place.

        Args:
            batch: (K, B).
            y: (K, B) shown labels.
            full: no row is padding.
            threshold: tau [sigma], or (1,).
            rate: learning rate, or ().
            progress: share of the run that is over.
        """
        spec, inputs, learn = self.trainer.spec, self.inputs(batch.ids), None
        if self.looked is not None:
            output, learn = self.looked(inputs)
        else:
            with self.precision():
                output = self.model(inputs).float()
        weight = None if full else batch.weight
        scored, updated = score(output, y, weight, self.running, spec.z, threshold, batch.readmit, self.trainer.crowd)
        if spec.z.z_stats == "epoch":
            put(self.gathering, gathered(self.gathering, updated))
        else:
            put(self.running, updated)
        self.optimiser.forget()
        if learn is not None:
            learn(scored.gradient)
        else:
            loss = scored.loss if self.discrim is None else self.discrim(terms(output, y)[0], batch.ids, batch.weight, progress)
            loss.backward()
        self.trainer.crowd.reduce(self.optimiser.parameters)
        self.optimiser.step(rate)
        return scored

    def replayable(self) -> bool:
        """Whether a step is the same kernels on the same memory each time, on a device that can record them."""
        trainer, encoded = self.trainer, self.trainer.encoded
        still = encoded.term is None and encoded.mapped is None and trainer.n_segments == 1 and self.discrim is None
        alone = trainer.crowd.size == 1 and ".py:" not in trainer.spec.name
        return cuda_graphs.possible(encoded.device) and still and alone

    def wound(self, visited: Visits, thresholds: list[float], rates: list[float]) -> Tape | None:
        """The tape at its beginning, with an epoch's visits on it; None where steps are not replayed.

        Args:
            visited: (K, n).
            thresholds: of each batch.
            rates: of each batch.
        """
        if not self.replayable():
            return None
        labels = self.labels[visited.ids]
        told = (torch.tensor(thresholds, device=labels.device), torch.tensor(rates, device=labels.device))
        at = torch.zeros(2, dtype=torch.int64, device=labels.device)
        if self.tape is None:
            like = torch.zeros(visited.ids.shape, device=labels.device)
            spare = [] if self.trainer.encoded.n_outputs == 2 and not self.trainer.encoded.regression else [like.clone(), like.clone()]
            found = Scored(like[0, 0], like, like.clone(), like.clone(), like > 0, *spare)
            self.tape = Tape(visited, labels, found, *told, at)
            state = [*self.model.state_dict().values(), *self.optimiser.state(), *self.running, *self.gathering, at]
            self.replay = Replay(self.replayed, state, self.generators())
        else:
            for kept, new in zip([*self.tape.visits, self.tape.labels, *self.tape[3:]], [*visited, labels, *told, at], strict=True):
                if kept is not None and new is not None:
                    kept.copy_(new)
        return self.tape

    def replayed(self, size: int, full: bool) -> None:
        """The next batch of the tape.

        Args:
            size: rows per member.
            full: no row is padding.
        """
        tape = self.tape
        assert tape is not None  # crack: narrows types only
        place = tape.at[0] + torch.arange(size, device=tape.at.device)
        ids, weight, readmit = tape.visits
        batch = Visits(ids.index_select(1, place), weight.index_select(1, place), None if readmit is None else readmit.index_select(1, place))
        threshold, rate = (one.index_select(0, tape.at[1:]) for one in (tape.thresholds, tape.rates))
        scored = self.step(batch, tape.labels.index_select(1, place), full, threshold, rate[0], 0.0)
        for whole, found in zip(tape.found.rows, scored.rows, strict=True):
            whole.index_copy_(1, place, found)
        tape.at[0].add_(size)
        tape.at[1].add_(1)

    def finish(self, ledger: Ledger, last: bool) -> None:
        """What is done with members that have learned all they will.

        Args:
            ledger: takes the record.
            last: this is the last round, whose learned space is looked at.
        """
        costs = self.trainer.costs
        if last:
            self.ask_hard()
            with costs("learned neighbours"):
                self.observe()
        if self.trainer.spec.second_split:
            with costs("second split"):
                self.second_split(ledger)

    def second_split(self, ledger: Ledger) -> None:
        """Go on with the rows each member never saw, and watch how fast it forgets the others (arXiv:2210.15031).

        Args:
            ledger: takes the record.
        """
        spec, model = self.trainer.spec, self.model
        first = list(self.own_in_order(self.taught))
        split = self.blind & self.trainer.encoded.labelled()[None]
        for epoch in range(spec.second_split):
            model.train()
            visited, edges = self.order(-1 - epoch, split).batched(spec.batch)
            for ids, weight, _ in visited.cut(sizes_of(edges)):
                with self.precision():
                    output = model(self.inputs(ids)).float()
                self.optimiser.forget()
                (shares(weight > 0, weight, self.trainer.crowd) * terms(output, self.labels[ids])[0]).sum().backward()
                self.trainer.crowd.reduce(self.optimiser.parameters)
                self.optimiser.step(spec.learning_rate * SECOND_RATE)
            model.eval()
            for ids, weight in first:
                with torch.no_grad(), self.precision():
                    output = model(self.trainer.encoded.inputs(ids)).float()
                _, error, margin, _ = terms(output, self.labels[ids])
                ledger.record_second(epoch, self.local(ids, weight), -error if margin is None else margin, weight)

    def precision(self) -> AbstractContextManager[Any]:
        """bf16 for pictures on a GPU; on the CPU it gained at most 1.3 in this network and is left alone."""
        encoded = self.trainer.encoded
        use = encoded.device.type == "cuda" and encoded.images is not None
        return torch.autocast("cuda", torch.bfloat16) if use else nullcontext()

    def inputs(self, ids: Tensor) -> Inputs:
        """A training batch, pictures seen a little differently each time."""
        inputs = self.trainer.encoded.inputs(ids)
        if inputs.images is None or not self.trainer.spec.augment:
            return inputs
        most = max(1, inputs.images.shape[-1] // 12)
        images = augment.shifted(inputs.images.flatten(0, 1), most, self.generator)
        return inputs._replace(images=images.view(inputs.images.shape))

    def local(self, ids: Tensor, weight: Tensor) -> Tensor:
        """(K, B) where this process's ledger has the rows; padding, which may be anyone's row, goes to its first."""
        return torch.where(weight > 0, ids - self.own.start, 0)

    @torch.no_grad()
    def ask(self, ledger: Ledger, epoch: int) -> None:
        """Record what each member says of the rows it never trains on.

        Args:
            ledger: takes the record; teams may ask at the same time, no two about the same row.
            epoch: 0-based.
        """
        self.model.eval()
        for ids, weight in self.to_ask():
            with self.precision():
                output = self.model(self.trainer.encoded.inputs(ids)).float()
            ledger.record_heldout(epoch, self.local(ids, weight), output, weight)

    @torch.no_grad()
    def ask_hard(self) -> None:
        """Ask each member about the hard cases made of rows that it never saw."""
        trainer = self.trainer
        if trainer.hard is None:
            return
        self.model.eval()
        for ids, weight in in_order(self.blind[:, trainer.hard_row], trainer.at_once):
            with self.precision():
                p = self.model(trainer.hard.inputs(ids)).float().softmax(2)
            trainer.hard_heldout.index_add_(0, ids.reshape(-1), (p * weight[..., None]).reshape(-1, p.shape[2]))

    @torch.no_grad()
    def observe(self) -> None:
        """Ask what lies near the rows that each member never saw, in the space that it learned; a model without `features` is passed over."""
        encoded, observer, look = self.trainer.encoded, self.trainer.observer, getattr(self.model, "features", None)
        sees = encoded.width or encoded.codes is not None or encoded.images is not None
        if observer is None or look is None or not sees or not bool(self.taught.any(1).all()):
            return
        self.model.eval()
        chosen = observer.keys(int(self.taught.sum(1).min()), encoded.n_rows, encoded.device)
        keys = torch.stack([torch.nonzero(mine)[:, 0][chosen] for mine in self.taught])
        taught_space = torch.cat([look(encoded.inputs(some)).float() for some in keys.split(self.trainer.at_once, 1)], 1)
        for ids, weight in in_order(self.blind, self.trainer.at_once) if encoded.cellar is None else self.to_ask():
            space = look(encoded.inputs(ids)).float()
            for member, real in enumerate(weight > 0):
                rows = ids[member, real]
                columns = observer(space[member, real], self.labels[rows], taught_space[member], self.labels[keys[member]], encoded.n_outputs)
                for name, values in columns.items():
                    known = self.trainer.seen.setdefault(name, torch.full((encoded.n_rows,), float("nan"), device=encoded.device))
                    known[rows] = values


def make_hard(encoded: Encoded, generator: torch.Generator) -> tuple[Encoded | None, Tensor]:
    """Hard cases of `HARD_SHARE` of the labelled rows, each with a row of another class; and the (M,) rows they are made of.

    Args:
        encoded: N rows.
        generator: source of the choice, on their device.
    """
    nobody = torch.zeros(0, dtype=torch.int64, device=encoded.device)
    if encoded.regression:
        return None, nobody
    labelled = torch.nonzero(encoded.labelled(slice(None if encoded.cellar is None else DRAWN_ROWS)))[:, 0]
    n = min(MOST_HARD, int(HARD_SHARE * len(labelled)))
    chosen = labelled[torch.rand(len(labelled), generator=generator, device=encoded.device).topk(2 * n, largest=False).indices]
    mine, other = chosen[:n], chosen[n : 2 * n]
    differ = encoded.y[mine] != encoded.y[other]
    made = augment.hard_cases(encoded, mine[differ], other[differ], HARD_BLEND) if differ.any() else None
    return made, nobody if made is None else mine[differ]


def for_trees(encoded: Encoded, seed: int) -> Table:
    """What trees see of the rows and of the hard cases that the members are asked about: numbers, vectors, and categories' codes.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    hard, hard_row = make_hard(encoded, device.generator(encoded.device, seed, HARD_SEED))

    def columns(rows: Encoded) -> np.ndarray:
        own = [x.cpu().numpy() for x in (rows.x, rows.dense, rows.codes) if x is not None]
        return np.concatenate([np.zeros((len(rows.y), 0), np.float32), *own], 1, dtype=np.float32)

    x = columns(encoded)
    n_codes = 0 if encoded.codes is None else encoded.codes.shape[1]
    category = np.arange(x.shape[1]) >= x.shape[1] - n_codes
    least = np.where(category, x.min(0), 0).astype(np.float32)
    asked = x[:0] if hard is None else columns(hard)
    return Table(x - least, category, encoded.y.cpu().numpy(), beside_folds(encoded, seed), encoded.n_outputs, seed, asked - least, hard_row.cpu().numpy())


def of_bayes(encoded: Encoded, seed: int) -> dict[str, Held]:
    """What naive Bayes says of the rows' texts; nothing where there are none.

    Args:
        encoded: N rows of classes.
        seed: of the scan.
    """
    if encoded.term is None or encoded.term_start is None or encoded.term_weight is None:
        return {}
    term, start, weight = (part.cpu().numpy() for part in (encoded.term, encoded.term_start, encoded.term_weight))
    return naive_bayes.naive(term, start, weight, encoded.n_terms, encoded.y.cpu().numpy(), beside_folds(encoded, seed), encoded.n_outputs)


def beside_folds(encoded: Encoded, seed: int) -> np.ndarray:
    """(N,) int64 folds of the models beside the members."""
    return folds(encoded.fold_key, encoded.y.cpu().numpy(), trees.FOLDS, np.random.default_rng([seed, BESIDE_SEED]))


def train(
    encoded: Encoded,
    spec: ModelSpec,
    build: Build,
    packed: bool,
    n_epochs: int,
    seed: int,
    watch: Watch,
    limit_seconds: float | None = None,
    observer: Observer | None = None,
    costs: Costs | None = None,
    checkpoint: Checkpoint | None = None,
    crowd: Alone | None = None,
    beside: Callable[[], None] | None = None,
) -> tuple[Evidence, bool]:
    """All rounds. The first plants errors at random, each later one also where the earlier ones say that labels are confused.

    Args:
        encoded: N rows.
        spec: model, `folds`, `rounds` and loss settings.
        build: makes the members.
        packed: whether a round's members run as one.
        n_epochs: E.
        seed: what every random choice depends on.
        watch: told of progress.
        limit_seconds: end early after this long; each member still sees its rows once.
        observer: looks at what the members have learned; None for nobody.
        costs: takes the seconds of what is not plain training.
        checkpoint: keeps what is learned, and may hold a part of it already.
        crowd: the processes that train together, each on its own shards; all return the same evidence.
        beside: begins what goes on in other threads; called when no copy of the process is to be made any more, as a thread's locks do not open
            in a copy. None where the process is not the program's own and no copy may be made at all.

    Returns:
        What was seen, of rows in files round by round, not yet merged; and whether the limit cut it short.
    """
    y, n_labelled = encoded.y.cpu().numpy(), sum(int(encoded.labelled(slice(*ends)).sum()) for ends in rows_at_once(encoded.n_rows, SEGMENT_ROWS))
    if encoded.regression:
        y = encoded.zeros(encoded.n_rows, dtype=torch.float64).copy_(encoded.y).cpu().numpy()
    drawn = slice(None if encoded.cellar is None else DRAWN_ROWS)
    free = encoded.labelled(drawn).cpu().numpy().copy()
    trainer = Trainer(encoded, spec, build, packed, n_epochs, seed, watch, observer, costs, beside)
    trainer.clock, trainer.checkpoint = Clock(limit_seconds, spec.rounds), checkpoint
    if crowd is not None and crowd.size * crowd.n_teams > 1:
        # Where rows lie apart every step waits for the others: packed members wait together.
        trainer.crowd, trainer.packed = crowd, packed and crowd.apart
        trainer.n_segments = max(crowd.gathered(trainer.n_segments)) if crowd.apart else trainer.n_segments
    rounds: list[Round] = []
    for at in range(spec.rounds):
        rng = np.random.default_rng([seed, at])
        if encoded.cellar is None:
            fold = folds(encoded.fold_key, np.nan_to_num(y, nan=-1e30), spec.folds, rng)
        else:
            fold = encoded.cellar.zeros((encoded.n_rows,), np.uint8)
            dealt_folds(encoded.fold_key, y, spec.folds, seed + at, fold)
        planted = plant(encoded, y[drawn], np.flatnonzero(free), n_labelled, rounds, rng, MOST_PLANTED_ALONE if spec.rounds == 1 else len(y))
        free[planted.row] = False
        shown = y.copy() if encoded.cellar is None else encoded.cellar.copy(y)
        shown[planted.row] = planted.shown
        trainer.leave_out = surely_wrong(rounds, y, spec.leave_out, planted) if rounds and not encoded.regression else None
        done = None if checkpoint is None else checkpoint.round(at)
        rounds.append(trainer.run(at, spec.rounds, fold, shown, planted) if done is None else done)
        if checkpoint is not None and done is None:
            checkpoint.keep_round(at, rounds[-1])
        # Later rounds end their cycle where the first one predicted held-out rows best.
        trainer.n_epochs = max(FEWEST_EPOCHS, round(n_epochs * rounds[0].best)) if n_epochs > FEWEST_EPOCHS else n_epochs
    trainer.go_on()
    if encoded.cellar is not None:
        return Evidence(tuple(rounds), rounds[0].columns, rounds[0].curves, rounds[0].heldout, y), trainer.clock.cut
    found = merge(tuple(rounds), y)
    return (asked_once(found, rounds[0].planted.row) if spec.rounds == 1 else found), trainer.clock.cut


def surely_wrong(rounds: list[Round], y: np.ndarray, above: float, planted: Planted) -> np.ndarray | None:
    """(N,) bool rows that the rounds so far hold for wrong, but for those to be shown wrong on purpose; None where none may be left out.

    Args:
        rounds: so far.
        y: (N,) int64 given classes.
        above: probability; 1 leaves none out.
        planted: of the coming round.
    """
    if above >= 1:
        return None
    heldout = mean([one.heldout for one in rounds], y)
    out = np.nan_to_num(noise_model.probability(heldout, y, noise_model.estimate(heldout, y))[0]) > above
    out[planted.row] = False
    return out


def plant(encoded: Encoded, y: np.ndarray, candidates: np.ndarray, n_labelled: int, rounds: list[Round], rng: np.random.Generator, most: int) -> Planted:
    """The errors that the next round is shown, in the encoded labels' unit, `most` at most."""
    n = min(max(round(PLANT_SHARE * n_labelled), 12), n_labelled // 8, len(candidates) // 2, most)
    if encoded.target is not None:
        targets = encoded.target.back(y)
        planted = planting.plant_targets(targets, candidates, n, rng)
        return Planted(planted.row, encoded.target.forward(planted.shown), planted.kind)
    p = mean([taken(one.heldout, slice(len(y))) for one in rounds], y) if rounds else None
    kinds = planting.CLASS_KINDS if rounds else ("uniform",)
    return planting.plant_classes(y, candidates, encoded.n_outputs, n, kinds, p, rng)
