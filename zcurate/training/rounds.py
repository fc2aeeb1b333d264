"""Train rounds of members, each member held out from one fold, and record what every row did.

A narrow model on few rows, or on a GPU, packs the members of a round into one batched product; elsewhere they train side by side in two
processes, on threads of their own, or one after another. All give, in one run, in-sample dynamics from the members that train on a row and
held-out predictions from the one that does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.model_config import ModelConfig, Plan
from zcurate.encoding.encoded import EncodedRows, new_zeros
from zcurate.evidence import noise_model
from zcurate.evidence.evidence import Evidence, Round
from zcurate.evidence.heldout import MAX_ROWS_PER_EPOCH, is_dense, mean_heldout
from zcurate.evidence.planted import Planted
from zcurate.runtime import device, memory, threads
from zcurate.runtime.context import RunContext
from zcurate.runtime.fork import can_fork, run_forked
from zcurate.runtime.process_group import SingleProcess
from zcurate.runtime.progress import NoProgress
from zcurate.runtime.store import SharedStore
from zcurate.training.checkpoint import Checkpoint
from zcurate.training.dynamics import N_RUN_PARTS, RecordLayout, TrainingDynamics
from zcurate.training.evaluation import RepresentationObserver, finish, predict_heldout
from zcurate.training.folds import assign, streamed
from zcurate.training.hard_examples import HARD_SEED, make_hard_examples
from zcurate.training.kept_model import CONTINUED_SHARE, KeptModel, joined
from zcurate.training.late_stopping import is_over, learned_last
from zcurate.training.members import BuildModel, MemberGroup, trains_one_by_one
from zcurate.training.new_rows import learned_space
from zcurate.training.planting import MAX_PLANTED_SINGLE_ROUND, plant_round
from zcurate.training.sampler import LEADING_ROWS, local_rows, n_segments
from zcurate.training.schedule import TimeBudget, inference_batch_rows

MIN_EPOCHS = 3
"""A later round is not cut below this."""


class Trainer:
    """What all rounds share: the data, the model's plan, the time budget, and the observer's columns."""

    def __init__(
        self, encoded: EncodedRows, plan: Plan, build: BuildModel, run: RunContext, observer: RepresentationObserver | None = None,
        checkpoint: Checkpoint | None = None, start_background: Callable[[], None] | None = None, kept: KeptModel | None = None,
    ) -> None:  # fmt: skip
        """Nothing trained yet; arguments are those of `train`."""
        processes = run.processes
        is_single = processes.size * processes.n_member_groups == 1
        self.encoded, self.spec, self.build, self.run = encoded, plan.spec, build, run
        self.n_epochs, self.start_background, self.checkpoint, self.processes = plan.n_epochs, start_background, checkpoint, processes
        self.kept, self.start = kept, 0.0
        """Model beside the report, written or gone on from; and where in the cycle of the learning rate training starts, in [0, 1)."""
        self.started: np.ndarray | None = None
        """(N, C) held-out predictions of the kept model's members, from which a round goes on."""
        self.observer = None if encoded.regression else observer
        # Where each process has rows of its own every step waits for the others: packed members wait together.
        self.packed = plan.packed and (not trains_one_by_one(plan.spec, encoded.device) and encoded.store.resident if is_single else processes.is_sharded)
        self.n_segments = max(processes.gathered(n_segments(encoded))) if processes.is_sharded else n_segments(encoded)
        self.predicts_every_epoch = encoded.n_rows < MAX_ROWS_PER_EPOCH and encoded.store.resident
        """Held-out rows are predicted after every epoch; else after the last."""
        self.inference_rows = inference_batch_rows(None if encoded.images is None else tuple(encoded.images.shape[1:]), encoded.device.type == "cuda")
        self.budget = TimeBudget(run.time_limit, plan.spec.rounds)
        self.observed: dict[str, Tensor] = {}
        """(N,) columns of the observer."""
        self.hard_examples, self.hard_row = make_hard_examples(encoded, device.generator(encoded.device, run.seed, HARD_SEED))
        self.hard_heldout = torch.zeros(len(self.hard_row), encoded.n_outputs, device=encoded.device)
        self.excluded: np.ndarray | None = None
        """(N,) bool rows that the next round must not train on."""
        self.background_begun = False
        """What runs in other threads was started."""
        self.goes_on = kept is not None and kept.goes_on
        """Members go on from a kept model."""
        self.stopped = False
        """Members must stop at their next batch."""
        self.warned = False
        """The CUDA-graph fallback was reported."""

    def train_round(self, at: int, fold: np.ndarray, training_labels: np.ndarray, planted: Planted) -> Round:
        """Train the members of a round and record them.

        Args:
            at: number of the round.
            fold: (N,) int64.
            training_labels: (N,) labels to train on, -1 or NaN for none.
            planted: which of them are wrong on purpose.
        """
        encoded, n_folds = self.encoded, self.spec.folds
        forks = self.can_fork()
        self.hard_heldout = torch.zeros_like(self.hard_heldout)
        if forks:
            self.hard_heldout = new_zeros(SharedStore(), tuple(self.hard_heldout.shape), torch.float32, encoded.device)
        dynamics = self.new_dynamics(forks, self.n_epochs)
        # Unlabelled rows occur only as padding of weight 0, but must be valid indices and not spread NaN.
        clear, dtype = (np.nan_to_num, np.float32) if encoded.regression else (partial(np.maximum, 0), np.int64)
        labels = torch.from_numpy(encoded.store.copy(training_labels, dtype, clear)).to(encoded.device)
        heldout_mask = self.heldout_masks(fold)
        members = [range(n_folds)] if self.packed else [range(k, k + 1) for k in range(n_folds)]
        masks = [(number, heldout_mask[group.start : group.stop]) for number, group in enumerate(members)]

        def work(processes: SingleProcess) -> None:
            self.processes = processes
            if processes.member_group == 0:
                self.begin_background()
            self.train_members(at, dynamics, labels, masks, fold)

        if forks:
            run_forked(work)
            self.processes = self.run.processes
        else:
            work(self.processes)
        dynamics.join(self.processes)
        self.join()
        if not self.predicts_every_epoch:
            memory.trim()
        self.budget.next_round()
        found = dataclasses.replace(dynamics.freeze(training_labels, planted), n_excluded=0 if self.excluded is None else int(self.excluded.sum()))
        if self.may_be_last(at) and self.hard_examples is not None:
            found = dataclasses.replace(found, hard_row=self.hard_row.cpu().numpy(), hard_heldout=self.hard_heldout.cpu().numpy())
        found.columns.update({name: column.cpu().numpy() for name, column in self.observed.items()})
        self.observed = {}
        return found

    def predictions_of(self, groups: list[MemberGroup]) -> np.ndarray:
        """Predict every row with the members that never trained on it, (N, C) float32.

        Args:
            groups: all members of a round.
        """
        record = self.new_dynamics(False, 1)
        for group in groups:
            predict_heldout(group, record, 0)
        return (record.heldout[0] / record.n_heldout[0].clamp_min(1)[:, None]).cpu().numpy()

    def may_be_last(self, at: int) -> bool:
        """Whether round `at` may be the last one: the one planned, or with late stopping any."""
        return at == self.spec.rounds - 1 or self.spec.late_stopping > 0

    def new_dynamics(self, forks: bool, n_epochs: int) -> TrainingDynamics:
        """An empty record of this process's rows.

        Args:
            forks: a forked copy of the process writes into it too.
            n_epochs: recorded at most.
        """
        encoded, spec = self.encoded, self.spec
        rows = local_rows(encoded.n_rows, self.processes)
        layout = RecordLayout(
            rows.stop - rows.start, n_epochs, encoded.n_outputs, encoded.regression, spec.second_split,
            "sieve" in spec.judged_by, N_RUN_PARTS if self.predicts_every_epoch else 1,
        )  # fmt: skip
        is_whole = encoded.regression or is_dense(encoded.n_rows, encoded.n_outputs)
        store = SharedStore() if forks and encoded.store.resident else encoded.store
        return TrainingDynamics(layout, encoded.device, store, None if is_whole else encoded.y[rows])

    def heldout_masks(self, fold: np.ndarray) -> Tensor:
        """(F, N) bool: the rows of each fold, which its member never trains on."""
        encoded, n_folds = self.encoded, self.spec.folds
        masks, member = encoded.zeros(n_folds, encoded.n_rows, dtype=torch.bool), torch.arange(n_folds, device=encoded.device)
        for begin, end in chunk_ranges(encoded.n_rows, encoded.store.sizes.segment_rows):
            masks[:, begin:end] = torch.from_numpy(fold[begin:end]).to(encoded.device)[None] == member[:, None]
            encoded.release()
        return masks

    def begin_background(self) -> None:
        """Start what runs in the background, once; from then on the process is not forked any more."""
        if not self.background_begun:
            self.background_begun = True
            if self.start_background is not None:
                self.start_background()

    def can_fork(self) -> bool:
        """Whether the two members of a round train in two processes: they write to disjoint rows, and nothing reads their state before the end."""
        is_single = self.processes.n_member_groups * self.processes.size == 1
        is_separable = (
            self.spec.folds == 2 and not self.packed and self.observer is None and self.checkpoint is None and self.kept is None and self.budget.limit is None
        )
        return self.run.owns_process and not self.background_begun and is_single and is_separable and torch.get_num_threads() > 1 and can_fork()

    def train_members(self, at: int, dynamics: TrainingDynamics, labels: Tensor, masks: list[tuple[int, Tensor]], fold: np.ndarray) -> None:
        """Train this process's members and record what they do.

        Args:
            at: number of the round.
            dynamics: takes the record.
            labels: (N,) training labels.
            masks: number of each member group, and the (K, N) bool rows that its members never train on.
            fold: (N,) int64.
        """
        groups = [MemberGroup(self, mask, labels, (self.run.seed, at, number)) for number, mask in masks if self.processes.trains_group(number)]
        if self.kept is not None and self.kept.goes_on:
            for group, tensors in zip(groups, self.kept.members(at)[0], strict=True):
                group.go_on_from(tensors)
            self.started = self.predictions_of(groups) if self.predicts_every_epoch else None
        begin = self.restore(at, groups, dynamics)
        try:
            with threads.thread_map(len(groups) if self.processes.size == 1 else 1, self.encoded.device, self.packed, self.processes.is_forked) as run_all:
                for epoch in range(begin, self.n_epochs):
                    self.train_epoch(at, epoch, groups, dynamics, run_all)
                    is_over = epoch == self.n_epochs - 1 or self.processes.broadcast_flag(self.budget.expired())
                    if self.predicts_every_epoch or is_over:
                        list(run_all(partial(predict_heldout, dynamics=dynamics, epoch=epoch), groups))
                    if self.checkpoint is not None:
                        self.checkpoint.enabled &= not self.budget.cut
                        self.checkpoint.save_epoch(at, epoch, self.state(groups, dynamics))
                    if is_over:
                        break
        except BaseException:
            self.stopped = True
            raise
        if self.kept is not None and not self.kept.goes_on:
            has_spaces = self.may_be_last(at) and not self.encoded.regression
            self.kept.keep_members(at, [group.learned() | (learned_space(group) if has_spaces else {}) for group in groups], fold)
        skipped = [group.mastered.skipped for group in groups if group.mastered is not None]
        if skipped:
            without, visits = torch.stack(skipped).sum(0).tolist()
            self.run.progress.note(f"skip_mastered: round {at + 1}: {without / max(1, visits):.0%} of the visits without a backward pass")
        for group in groups:
            finish(group, dynamics, self.may_be_last(at))
        failures = {group.graphed_step.failure for group in groups if group.graphed_step is not None and group.graphed_step.failure}
        if failures and not self.warned:
            self.warned = True
            self.run.progress.note(f"GPU: steps are started one by one, which is slower: {min(failures)}")

    def train_epoch(
        self, at: int, epoch: int, groups: list[MemberGroup], dynamics: TrainingDynamics,
        run_all: Callable[..., Iterator[Any]],
    ) -> None:  # fmt: skip
        """Train the member groups for one epoch, segment by segment, and record every visit.

        Args:
            at: number of the round.
            epoch: 0-based.
            groups: of this process.
            dynamics: takes the record.
            run_all: maps a function over the groups, side by side where that gains something.
        """
        progress = NoProgress() if self.processes.is_forked and self.processes.member_group else self.run.progress
        n_steps = self.spec.rounds * self.n_epochs * self.n_segments * len(groups)
        for segment in range(self.n_segments):
            for number, (visits, output) in enumerate(run_all(partial(MemberGroup.train_epoch, epoch=epoch, segment=segment), groups)):
                dynamics.record(epoch, visits.ids - groups[0].local_rows.start, output, visits.weight)
                progress.step(((at * self.n_epochs + epoch) * self.n_segments + segment) * len(groups) + number + 1, n_steps)
            self.encoded.release()

    def join(self) -> None:
        """Join what other processes' members observed with what this one did: each predicted other rows."""
        self.hard_heldout = self.processes.merge_records(self.hard_heldout, -1)
        for name, column in self.observed.items():
            known = self.processes.merge_records((~column.isnan()).float(), -1)
            self.observed[name] = self.processes.merge_records(column.nan_to_num(0.0), -1).masked_fill_(known == 0, float("nan"))

    def state(self, groups: list[MemberGroup], dynamics: TrainingDynamics) -> dict[str, Tensor]:
        """All that a running round depends on, by name."""
        tensors = {f"dynamics.{name}": one for name, one in dynamics.state().items()}
        for number, group in enumerate(groups):
            tensors |= {f"members-{number}.{name}": one for name, one in group.state().items()}
        return tensors

    def restore(self, at: int, groups: list[MemberGroup], dynamics: TrainingDynamics) -> int:
        """Restore the state of this round from the checkpoint.

        Args:
            at: number of the round.
            groups: fresh members.
            dynamics: empty.

        Returns:
            The epoch to continue with; 0 where there is no state.
        """
        found = None if self.checkpoint is None else self.checkpoint.load_epoch(at)
        if found is None:
            return 0
        tensors, epoch = found
        with torch.no_grad():
            for name, one in dynamics.state().items():
                one.copy_(tensors[f"dynamics.{name}"])
        dynamics.n_epochs = epoch + 1
        for number, group in enumerate(groups):
            prefix = f"members-{number}."
            group.restore({name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)})
        return epoch + 1


def train(
    encoded: EncodedRows, plan: Plan, build: BuildModel, run: RunContext, observer: RepresentationObserver | None = None,
    checkpoint: Checkpoint | None = None, start_background: Callable[[], None] | None = None, kept: KeptModel | None = None,
) -> tuple[Evidence, bool]:  # fmt: skip
    """Train all rounds. The first plants errors at random, each later one also where the earlier ones see labels confused.

    Args:
        encoded: N rows.
        plan: model, `folds`, `rounds`, loss settings, epochs.
        build: makes the members.
        run: seed, progress, timings, time limit, processes; the time limit leaves each member one pass over its rows.
        observer: compares rows in the space that members learned; None for none.
        checkpoint: keeps what is trained, and may contain finished rounds already.
        start_background: starts what runs in other threads; called when the process will not be forked any more, as a thread's locks
            would never be released in a forked copy.
        kept: model beside the report, which is written, or from which training goes on; None for neither.

    Returns:
        The rounds, not yet merged, as evidence; and whether the time limit cut the training short.
    """
    store, spec = encoded.store, plan.spec
    n_labelled = sum(int(encoded.labelled(slice(*ends)).sum()) for ends in chunk_ranges(encoded.n_rows, store.sizes.segment_rows))
    y = encoded.y.cpu().numpy()
    if encoded.regression:
        y = encoded.zeros(encoded.n_rows, dtype=torch.float64).copy_(encoded.y).cpu().numpy()
    leading = slice(None if store.resident else LEADING_ROWS)
    free = encoded.labelled(leading).cpu().numpy().copy()
    trusted = np.zeros(len(y), bool) if encoded.trusted is None else encoded.trusted.cpu().numpy()
    free &= ~trusted[leading]
    trainer = Trainer(encoded, plan, build, run, observer, checkpoint, start_background, kept)
    rounds: list[Round] = []
    n_epochs = plan.n_epochs
    for at in range(spec.rounds if kept is None or not kept.goes_on else kept.n_rounds):
        if spec.late_stopping and is_over(rounds, y):
            run.progress.note(f"late_stopping: held-out predictions get no better after round {at}")
            break
        before = None if kept is None or not kept.goes_on else kept.round(at)
        if before is None:
            rng = np.random.default_rng([run.seed, at])
            fold = draw_folds(encoded, y, spec.folds, run.seed + at, rng)
            planted = plant_round(encoded, y, np.flatnonzero(free), n_labelled, rounds, rng, MAX_PLANTED_SINGLE_ROUND if spec.rounds == 1 else len(y))
            planted = planted.of(~trusted[planted.row])
            free[planted.row[planted.row < len(free)]] = False
        else:
            assert kept is not None  # crack: narrows types only
            fold, changed = kept.members(at)[1], kept.relabelled(y)
            stays = ~(trusted | changed)[before.planted.row]
            planted = before.planted.of(stays)
            changed[before.planted.row[~stays]] = True
            trainer.n_epochs = max(1, round(CONTINUED_SHARE * n_epochs))
            trainer.start = 1 - trainer.n_epochs / n_epochs
        training_labels = store.copy(y)
        training_labels[planted.row] = planted.label
        not_left_out = np.append(planted.row, np.flatnonzero(trusted))
        trainer.excluded = left_out(rounds, y, spec, trainer.excluded, not_left_out)
        done = None if checkpoint is None else checkpoint.load_round(at)
        if kept is not None and not kept.goes_on and not kept.has_members(at):
            done = None
        found = trainer.train_round(at, fold, training_labels, planted) if done is None else done
        rounds.append(found if before is None else joined(before, found, changed, trainer.started))
        if checkpoint is not None and done is None:
            checkpoint.save_round(at, found)
        if kept is not None and not kept.goes_on:
            kept.parts.save_round(at, found)
        # Later rounds end their cycle where the first one predicted held-out rows best.
        n_epochs = max(MIN_EPOCHS, round(plan.n_epochs * rounds[0].best_progress)) if plan.n_epochs > MIN_EPOCHS else plan.n_epochs
        trainer.n_epochs = n_epochs
    trainer.begin_background()
    return Evidence(tuple(rounds), rounds[0].columns, rounds[0].curves, rounds[0].heldout, y), trainer.budget.cut


def draw_folds(encoded: EncodedRows, y: np.ndarray, n_folds: int, seed: int, rng: np.random.Generator) -> np.ndarray:
    """Assign rows to folds, (N,) integer; rows that are memory-mapped by a hash, which needs no sorting.

    Args:
        encoded: N rows.
        y: (N,) given labels.
        n_folds: of the round.
        seed: of the hash.
        rng: of rows in memory.
    """
    store = encoded.store
    if store.resident:
        return assign(encoded, np.nan_to_num(y, nan=-1e30), n_folds, rng)
    fold = store.zeros((encoded.n_rows,), np.uint8)
    streamed(encoded.fold_key, y, n_folds, seed, fold, encoded.copies is not None)
    return fold


def left_out(rounds: list[Round], y: np.ndarray, spec: ModelConfig, excluded: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    """Select the rows that the next round does not train on.

    Args:
        rounds: so far.
        y: (N,) given labels.
        spec: `leave_out`, `late_stopping`.
        excluded: (N,) bool, rows that the last round left out; None for none.
        kept: (M,) int64 rows that must stay: planted in the coming round, or decided on by a person.

    Returns:
        (N,) bool; None where none may be selected.
    """
    if not rounds or y.dtype.kind == "f":
        return None
    if spec.late_stopping:
        return learned_last(rounds[-1], np.zeros(len(y), bool) if excluded is None else excluded, spec.late_stopping, kept)
    return confidently_wrong(rounds, y, spec.leave_out, kept)


def confidently_wrong(rounds: list[Round], y: np.ndarray, threshold: float, kept: np.ndarray) -> np.ndarray | None:
    """Select the rows that the rounds so far hold for wrong, except those that must stay.

    Args:
        rounds: so far.
        y: (N,) int64 given classes.
        threshold: on the probability of being wrong; 1 selects none.
        kept: (M,) int64 rows that must stay: planted in the coming round, or decided on by a person.

    Returns:
        (N,) bool; None where none may be selected.
    """
    if threshold >= 1:
        return None
    heldout = mean_heldout([one.heldout for one in rounds], y)
    out = np.nan_to_num(noise_model.p_incorrect_under(heldout, y, noise_model.estimate_noise(heldout, y))[0]) > threshold
    out[kept] = False
    return out
