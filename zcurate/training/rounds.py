"""The loop: rounds of members, each member blind to one fold, all of them watched.

Leaves: `Evidence`. Enters: `Encoded` and `ModelSpec`. A narrow model on few rows, or on a GPU, packs the members of a round into one
batched product; elsewhere they train side by side in two copies of the process, on threads of their own, or one after another. All give, in
one run, in-sample dynamics from the members that train on a row and held-out predictions from the one that does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.evidence import noise_model
from zcurate.evidence.evidence import Evidence, Round, describe_by_heldout, merge
from zcurate.evidence.heldout import MAX_ROWS_PER_EPOCH, is_dense, mean_heldout
from zcurate.evidence.planted import Planted
from zcurate.runtime import device, memory, threads
from zcurate.runtime.fork import ForkedMember, can_fork, forked
from zcurate.runtime.process_group import SingleProcess
from zcurate.runtime.progress import NoProgress, Progress, Timings
from zcurate.runtime.store import shared_zeros
from zcurate.training.checkpoint import Checkpoint
from zcurate.training.dynamics import N_RUN_PARTS, TrainingDynamics
from zcurate.training.evaluation import RepresentationObserver
from zcurate.training.folds import stratified, streamed
from zcurate.training.hard_examples import HARD_SEED, make_hard_examples
from zcurate.training.members import BuildModel, MemberGroup, trains_one_by_one
from zcurate.training.planting import MAX_PLANTED_SINGLE_ROUND, plant_round
from zcurate.training.sampler import LEADING_ROWS, SEGMENT_ROWS, n_segments, virtual_shards
from zcurate.training.schedule import TimeBudget, inference_batch_rows

MIN_EPOCHS = 3
"""A later round is not cut below this."""


class Trainer:
    """What all rounds share: the data, the model's recipe, the clock, and what was seen beside the ledger."""

    def __init__(
        self,
        encoded: EncodedRows,
        spec: ModelConfig,
        build: BuildModel,
        packed: bool,
        n_epochs: int,
        seed: int,
        progress: Progress,
        observer: RepresentationObserver | None = None,
        timings: Timings | None = None,
        beside: Callable[[], None] | None = None,
    ) -> None:
        self.encoded, self.spec, self.build, self.beside = encoded, spec, build, beside
        self.packed = packed and not trains_one_by_one(spec, encoded.device) and encoded.store is None
        self.n_segments = n_segments(encoded)
        self.asks_often = encoded.n_rows < MAX_ROWS_PER_EPOCH and encoded.store is None
        """Members are asked about held-out rows after every epoch; else after the last."""
        self.at_once = inference_batch_rows(None if encoded.images is None else tuple(encoded.images.shape[1:]), encoded.device.type == "cuda")
        self.n_epochs, self.seed, self.progress = n_epochs, seed, progress
        self.clock = TimeBudget(None, 1)
        self.observer = None if encoded.regression else observer
        self.timings = timings or Timings()
        self.seen: dict[str, Tensor] = {}
        self.hard, self.hard_row = make_hard_examples(encoded, device.generator(encoded.device, seed, HARD_SEED))
        self.hard_heldout = torch.zeros(len(self.hard_row), encoded.n_outputs, device=encoded.device)
        self.leave_out: np.ndarray | None = None
        """(N,) bool rows that the next round must not train on."""
        self.checkpoint: Checkpoint | None = None
        """Keeps each finished epoch and round."""
        self.processes = SingleProcess()
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
        whole = encoded.regression or is_dense(encoded.n_rows, encoded.n_outputs)
        forks = self.forks()
        if forks:
            self.hard_heldout = shared_zeros(tuple(self.hard_heldout.shape))
        own = self.own_rows()
        dynamics = TrainingDynamics(
            own.stop - own.start, self.n_epochs, encoded.n_outputs, encoded.regression, encoded.device, spec.second_split,
            sieve="sieve" in spec.judged_by, n_parts=N_RUN_PARTS if self.asks_often else 1, store=encoded.store,
            own=None if whole else encoded.y[own], shared=forks,
        )  # fmt: skip
        # Unlabelled rows only ever stand as padding of weight 0, but must not index or poison anything.
        cleared, kind = (np.nan_to_num, np.float32) if encoded.regression else (partial(np.maximum, 0), np.int64)
        known = cleared(shown).astype(kind) if encoded.store is None else encoded.store.copy(shown, kind, cleared)
        labels = torch.from_numpy(known).to(encoded.device)
        heldout_mask, member = encoded.zeros(n_folds, encoded.n_rows, dtype=torch.bool), torch.arange(n_folds, device=encoded.device)
        for begin, end in chunk_ranges(encoded.n_rows, SEGMENT_ROWS):
            heldout_mask[:, begin:end] = torch.from_numpy(fold[begin:end]).to(encoded.device)[None] == member[:, None]
            encoded.release()
        sizes = [range(n_folds)] if self.packed else [range(k, k + 1) for k in range(n_folds)]
        with forked(forks) as twin:
            self.processes = twin if forks else self.processes
            if twin.member_group == 0:
                self.go_on()
            self.watched(at, n_rounds, dynamics, labels, [(number, heldout_mask[size.start : size.stop]) for number, size in enumerate(sizes)])
        self.processes = SingleProcess() if forks else self.processes
        dynamics.join(self.processes)
        self.join()
        if not self.asks_often:
            memory.trim()
        self.clock.next_round()
        found = dataclasses.replace(dynamics.freeze(shown, planted), left_out=0 if self.leave_out is None else int(self.leave_out.sum()))
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
            self.beside is not None and self.processes.n_member_groups * self.processes.size == 1 and self.spec.folds == 2
            and not self.packed and self.observer is None
            and self.checkpoint is None and self.clock.limit is None and torch.get_num_threads() > 1 and can_fork()
        )  # fmt: skip

    def watched(self, at: int, n_rounds: int, dynamics: TrainingDynamics, labels: Tensor, groups: list[tuple[int, Tensor]]) -> None:
        """Train this process's members and record what they do.

        Args:
            at: number of the round.
            n_rounds: R, for the progress bar.
            dynamics: takes the record.
            labels: (N,) shown labels.
            groups: number of each team, and the (K, N) bool rows that its members never train on.
        """
        own, self.progress = self.own_rows(), NoProgress() if self.processes.member_group and isinstance(self.processes, ForkedMember) else self.progress
        member_groups = [MemberGroup(self, heldout_mask, labels, (self.seed, at, number)) for number, heldout_mask in groups if self.processes.trains(number)]
        begin = self.restored(at, member_groups, dynamics)
        try:
            with threads.thread_map(
                len(member_groups) if self.processes.size == 1 else 1, self.encoded.device, self.packed, isinstance(self.processes, ForkedMember)
            ) as spread:
                n_all = n_rounds * self.n_epochs * self.n_segments * len(member_groups)
                for epoch in range(begin, self.n_epochs):
                    for part in range(self.n_segments):
                        for number, (visits, scored) in enumerate(spread(lambda member_group: member_group.learn(epoch, part), member_groups)):  # noqa: B023
                            dynamics.record(epoch, visits.ids - own.start, scored, visits.weight)
                            self.progress.step(((at * self.n_epochs + epoch) * self.n_segments + part) * len(member_groups) + number + 1, n_all)
                        self.encoded.release()
                    over = epoch == self.n_epochs - 1 or self.processes.agreed(self.clock.expired())
                    if self.asks_often or over:
                        list(spread(lambda member_group: member_group.ask(dynamics, epoch), member_groups))  # noqa: B023
                    if self.checkpoint is not None:
                        self.checkpoint.enabled &= not self.clock.cut
                        self.checkpoint.save_epoch(at, epoch, self.remembered(member_groups, dynamics))
                    if over:
                        break
        except BaseException:
            self.stopped = True
            raise
        for member_group in member_groups:
            member_group.finish(dynamics, at == n_rounds - 1)
        broken = {member_group.replay.failure for member_group in member_groups if member_group.replay is not None and member_group.replay.failure}
        if broken and not self.told:
            self.told = True
            self.progress.note(f"GPU: steps are started one by one, which is slower: {min(broken)}")

    def own_rows(self) -> slice:
        """The rows of this process: all, or those of its virtual shards, which lie side by side."""
        shards = virtual_shards(self.encoded.n_rows)
        mine = self.processes.mine(len(shards))
        return slice(shards[mine.start].start, shards[mine.stop - 1].stop)

    def join(self) -> None:
        """What other processes' members saw beside the ledger, put together with what ours saw: each was asked about other rows."""
        self.hard_heldout = self.processes.joined(self.hard_heldout, -1)
        for name, column in self.seen.items():
            known = self.processes.joined((~column.isnan()).float(), -1)
            self.seen[name] = self.processes.joined(column.nan_to_num(0.0), -1).masked_fill_(known == 0, float("nan"))

    def remembered(self, member_groups: list[MemberGroup], dynamics: TrainingDynamics) -> dict[str, Tensor]:
        """All that a running round depends on, by name."""
        tensors = {f"ledger.{name}": one for name, one in dynamics.state().items()}
        for number, member_group in enumerate(member_groups):
            tensors |= {f"team-{number}.{name}": one for name, one in member_group.state().items()}
        return tensors

    def restored(self, at: int, member_groups: list[MemberGroup], dynamics: TrainingDynamics) -> int:
        """Put back what a checkpoint holds of this round.

        Args:
            at: number of the round.
            member_groups: fresh members.
            dynamics: empty.

        Returns:
            The epoch to go on with; 0 where nothing was kept.
        """
        found = None if self.checkpoint is None else self.checkpoint.load_epoch(at)
        if found is None:
            return 0
        tensors, epoch = found
        with torch.no_grad():
            for name, one in dynamics.state().items():
                one.copy_(tensors[f"ledger.{name}"])
        dynamics.n_epochs = epoch + 1
        for number, member_group in enumerate(member_groups):
            start = f"team-{number}."
            member_group.restore({name.removeprefix(start): one for name, one in tensors.items() if name.startswith(start)})
        return epoch + 1


def train(
    encoded: EncodedRows,
    spec: ModelConfig,
    build: BuildModel,
    packed: bool,
    n_epochs: int,
    seed: int,
    progress: Progress,
    limit_seconds: float | None = None,
    observer: RepresentationObserver | None = None,
    timings: Timings | None = None,
    checkpoint: Checkpoint | None = None,
    processes: SingleProcess | None = None,
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
        progress: told of progress.
        limit_seconds: end early after this long; each member still sees its rows once.
        observer: looks at what the members have learned; None for nobody.
        timings: takes the seconds of what is not plain training.
        checkpoint: keeps what is learned, and may hold a part of it already.
        processes: the processes that train together, each on its own shards; all return the same evidence.
        beside: begins what goes on in other threads; called when no copy of the process is to be made any more, as a thread's locks do not open
            in a copy. None where the process is not the program's own and no copy may be made at all.

    Returns:
        What was seen, of rows in files round by round, not yet merged; and whether the limit cut it short.
    """
    y, n_labelled = encoded.y.cpu().numpy(), sum(int(encoded.labelled(slice(*ends)).sum()) for ends in chunk_ranges(encoded.n_rows, SEGMENT_ROWS))
    if encoded.regression:
        y = encoded.zeros(encoded.n_rows, dtype=torch.float64).copy_(encoded.y).cpu().numpy()
    drawn = slice(None if encoded.store is None else LEADING_ROWS)
    free = encoded.labelled(drawn).cpu().numpy().copy()
    trainer = Trainer(encoded, spec, build, packed, n_epochs, seed, progress, observer, timings, beside)
    trainer.clock, trainer.checkpoint = TimeBudget(limit_seconds, spec.rounds), checkpoint
    if processes is not None and processes.size * processes.n_member_groups > 1:
        # Where rows lie apart every step waits for the others: packed members wait together.
        trainer.processes, trainer.packed = processes, packed and processes.apart
        trainer.n_segments = max(processes.gathered(trainer.n_segments)) if processes.apart else trainer.n_segments
    rounds: list[Round] = []
    for at in range(spec.rounds):
        rng = np.random.default_rng([seed, at])
        if encoded.store is None:
            fold = stratified(encoded.fold_key, np.nan_to_num(y, nan=-1e30), spec.folds, rng)
        else:
            fold = encoded.store.zeros((encoded.n_rows,), np.uint8)
            streamed(encoded.fold_key, y, spec.folds, seed + at, fold)
        planted = plant_round(encoded, y[drawn], np.flatnonzero(free), n_labelled, rounds, rng, MAX_PLANTED_SINGLE_ROUND if spec.rounds == 1 else len(y))
        free[planted.row] = False
        shown = y.copy() if encoded.store is None else encoded.store.copy(y)
        shown[planted.row] = planted.shown
        trainer.leave_out = confidently_wrong(rounds, y, spec.leave_out, planted) if rounds and not encoded.regression else None
        done = None if checkpoint is None else checkpoint.load_round(at)
        rounds.append(trainer.run(at, spec.rounds, fold, shown, planted) if done is None else done)
        if checkpoint is not None and done is None:
            checkpoint.save_round(at, rounds[-1])
        # Later rounds end their cycle where the first one predicted held-out rows best.
        trainer.n_epochs = max(MIN_EPOCHS, round(n_epochs * rounds[0].best)) if n_epochs > MIN_EPOCHS else n_epochs
    trainer.go_on()
    if encoded.store is not None:
        return Evidence(tuple(rounds), rounds[0].columns, rounds[0].curves, rounds[0].heldout, y), trainer.clock.cut
    found = merge(tuple(rounds), y)
    return (describe_by_heldout(found, rounds[0].planted.row) if spec.rounds == 1 else found), trainer.clock.cut


def confidently_wrong(rounds: list[Round], y: np.ndarray, above: float, planted: Planted) -> np.ndarray | None:
    """(N,) bool rows that the rounds so far hold for wrong, but for those to be shown wrong on purpose; None where none may be left out.

    Args:
        rounds: so far.
        y: (N,) int64 given classes.
        above: probability; 1 leaves none out.
        planted: of the coming round.
    """
    if above >= 1:
        return None
    heldout = mean_heldout([one.heldout for one in rounds], y)
    out = np.nan_to_num(noise_model.p_incorrect_under(heldout, y, noise_model.estimate_noise(heldout, y))[0]) > above
    out[planted.row] = False
    return out
