"""Measure the training engine in one process: its arithmetic against the machine's peak, and the cost of its parts.

`plain` replaces `zcurate.training.members.score` and `zcurate.training.rounds.TrainingDynamics`; if one does not exist, `MissingHook` names it.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.bench import synthetic
from zcurate.config.model_config import Plan
from zcurate.config.options import ScanOptions
from zcurate.data import inputs
from zcurate.data.table import ResidentTable
from zcurate.encoding import encoder
from zcurate.encoding.encoded import EncodedRows
from zcurate.evidence import heldout
from zcurate.pipeline import plan as plan_module
from zcurate.runtime import memory
from zcurate.runtime.context import RunContext
from zcurate.training import evaluation, members, rounds
from zcurate.training.dynamics import RecordLayout, TrainingDynamics
from zcurate.training.losses.zerror import LossOutput
from zcurate.training.models import builder

PROBE = (1024, 256, 256)
PROBE_SECONDS, PROBE_ROUNDS = 0.05, 7


class MissingHook(Exception):
    """A function or class that the benchmark replaces does not exist."""


@dataclass(frozen=True)
class Engine:
    """Encoded rows and training plan on one device."""

    encoded: EncodedRows
    plan: Plan

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer widths from input to output; tables of numbers only."""
        return (self.encoded.width, *self.plan.spec.hidden, self.encoded.n_outputs)

    @property
    def members(self) -> int:
        """Number of members K."""
        return self.plan.spec.folds


def flops_per_row(sizes: Sequence[int]) -> int:
    """Count the FLOPs to train on one row: 6 sum(in * out) - 2 D h1.

    The forward pass and the gradients of weights and of inputs take 2 in out each; the gradient of the data is not computed.

    Args:
        sizes: layer widths from input (D) to output.
    """
    return 6 * products(sizes) - 2 * sizes[0] * sizes[1]


def products(sizes: Sequence[int]) -> int:
    """Sum in * out over the layers."""
    return sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))


def epoch_flops(sizes: Sequence[int], n_rows: int, n_members: int) -> int:
    """Count the FLOPs of one epoch: each member trains on all rows but its fold. Predicting the fold is not counted.

    Args:
        sizes: layer widths.
        n_rows: number of rows N.
        n_members: number of members K, equal to the number of folds.
    """
    return n_rows * (n_members - 1) * flops_per_row(sizes)


def table_engine(family: str, rows: int, device: torch.device, columns: int = synthetic.COLUMNS) -> Engine:
    """Build the default table model on a synthetic table, encoded as in a scan."""
    import pyarrow as pa

    options = ScanOptions(label="label")
    data = inputs.read_input(pa.concat_tables([chunk for chunk, _ in synthetic.chunks(family, rows, columns)]), options)
    plan = plan_module.make_plan(options, data)
    return Engine(encoder.encode(ResidentTable(data), plan.spec, RunContext(device=device)), plan)


def picture_engine(path: str, device: torch.device) -> Engine:
    """Build the default picture model on a file of pictures."""
    options = ScanOptions()
    data = inputs.read_input(path, options)
    plan = plan_module.make_plan(options, data)
    return Engine(encoder.encode(ResidentTable(data), plan.spec, RunContext(device=device)), plan)


def clock(device: torch.device) -> float:
    """Return the CPU seconds of this process, which do not depend on other load; on a GPU the wall clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak(dtype: torch.dtype, device: torch.device, shape: tuple[int, int, int] = PROBE) -> float:
    """Measure the FLOP/s of a matrix product of `shape`; the best of `PROBE_ROUNDS` rounds."""
    a, b = torch.randn(shape[:2], device=device).to(dtype), torch.randn(shape[1:], device=device).to(dtype)
    out = torch.empty(shape[0], shape[2], dtype=dtype, device=device)
    best, repeats = 0.0, 3
    for _ in range(PROBE_ROUNDS):
        begin = clock(device)
        for _ in range(repeats):
            torch.mm(a, b, out=out)
        seconds = max(clock(device) - begin, 1e-9)
        best = max(best, 2 * shape[0] * shape[1] * shape[2] * repeats / seconds)
        repeats = max(3, round(repeats * PROBE_SECONDS / seconds))
    return best


class NoDynamics(TrainingDynamics):
    """Training dynamics that record nothing."""

    def record(self, *arguments: Any) -> None:
        """Do nothing."""

    def record_heldout(self, *arguments: Any) -> None:
        """Do nothing."""


def plain_score(output: Tensor, y: Tensor, weight: Tensor | None, running: Any, *rest: Any) -> tuple[LossOutput, Any]:
    """Compute the plain mean cross-entropy and its gradient, and nothing else; a replacement for `zerror.score`."""
    weight = torch.ones(1, 1).expand(y.shape) if weight is None else weight
    share = weight / weight.sum(1, keepdim=True)
    log_p = output.log_softmax(2)
    gradient = log_p.exp()
    gradient.scatter_add_(2, y[..., None], torch.tensor(-1.0).expand(*y.shape, 1)).mul_(share[..., None])
    error = log_p.gather(2, y[..., None]).squeeze(2).neg_()
    return LossOutput((share * error).sum(), gradient, error, error, weight > 0), running


HOOKS = ((members, "score"), (rounds, "TrainingDynamics"))
"""Modules and the names in them that `plain` replaces."""


@contextmanager
def plain() -> Iterator[None]:
    """Train without z-scores, masks and training dynamics inside the block."""
    for module, name in HOOKS:
        if not hasattr(module, name):
            raise MissingHook(f"{module.__name__} has no `{name}` to replace")
    before = members.score, rounds.TrainingDynamics
    members.score, rounds.TrainingDynamics = plain_score, NoDynamics
    try:
        yield
    finally:
        members.score, rounds.TrainingDynamics = before


def member_groups_of(engine: Engine, n_epochs: int, dtype: torch.dtype | None) -> list[members.MemberGroup]:
    """Create the members of a round, grouped as in a scan, with matrix products in `dtype`; None for the scan's own choice."""
    encoded = engine.encoded if dtype is None else dataclasses.replace(engine.encoded, dtype=dtype)
    spec = engine.plan.spec
    plan = Plan(spec, engine.plan.packed, n_epochs, "")
    trainer = rounds.Trainer(encoded, plan, builder(spec.name), RunContext(device=encoded.device))
    fold = torch.arange(encoded.n_rows, device=encoded.device) % engine.members
    heldout_mask = fold[None] == torch.arange(engine.members, device=encoded.device)[:, None]
    groups = [heldout_mask] if trainer.packed else list(heldout_mask.split(1))
    return [members.MemberGroup(trainer, group, encoded.y.clamp_min(0), (0, 0, number)) for number, group in enumerate(groups)]


def training_seconds(engine: Engine, n_epochs: int, dtype: torch.dtype | None = None, predict: bool = True) -> float:
    """Measure the seconds of `clock` to train K members for `n_epochs` epochs, one after another, with freed memory reused as in a scan.

    Args:
        engine: model and rows.
        n_epochs: number of epochs E.
        dtype: type of the matrix products; None for the scan's own choice.
        predict: also predict the held-out rows.
    """
    encoded = engine.encoded
    dynamics = rounds.TrainingDynamics(RecordLayout(encoded.n_rows, n_epochs, encoded.n_outputs, encoded.regression, n_parts=1), encoded.device)
    with memory.keep_freed_blocks():
        member_groups = member_groups_of(engine, n_epochs, dtype)
        begin = clock(encoded.device)
        for epoch in range(n_epochs):
            for member_group in member_groups:
                visits, scored = member_group.train_epoch(epoch)
                dynamics.record(epoch, visits.ids, scored, visits.weight)
                if predict and (epoch == n_epochs - 1 or encoded.n_rows < heldout.MAX_ROWS_PER_EPOCH):
                    evaluation.predict_heldout(member_group, dynamics, epoch)
        return clock(encoded.device) - begin


def feeding_seconds(engine: Engine, gather: Callable[[Tensor], object]) -> float:
    """Measure the seconds of `clock` to draw the sample order of one epoch and to call `gather` on each batch."""
    member_groups = member_groups_of(engine, 1, None)
    begin = clock(engine.encoded.device)
    for member_group in member_groups:
        visits, edges = member_group.sampler.epoch_order(0, member_group.training_mask).batched(engine.plan.spec.batch)
        for low, high in itertools.pairwise(edges):
            gather(visits.ids[:, low:high])
    return clock(engine.encoded.device) - begin
