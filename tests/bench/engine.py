"""The training engine taken apart in one process: its arithmetic against the machine's best, and what its parts cost.

Leaves: seconds, FLOP/s. Enters: `Encoded` and `Plan`. The seams it takes hold of are `train.score`, `train.Ledger`, `train.visits` and
`train.Team`; where one is gone, `Missing` says which.
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

from tests.bench import made
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


class Missing(Exception):
    """The engine has no such seam any more."""


@dataclass(frozen=True)
class Engine:
    """What is trained, on one device."""

    encoded: EncodedRows
    plan: Plan

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the layers from input to output; tables of numbers only."""
        return (self.encoded.width, *self.plan.spec.hidden, self.encoded.n_outputs)

    @property
    def members(self) -> int:
        """K."""
        return self.plan.spec.folds


def flops_per_row(sizes: Sequence[int]) -> int:
    """Floating-point operations to train on one row: 6 sum(in * out) - 2 D h1.

    Forward, and the gradients of weights and of inputs, are 2 in out each; nobody asks for the gradient of the data.

    Args:
        sizes: widths of the layers from input (D) to output.
    """
    return 6 * products(sizes) - 2 * sizes[0] * sizes[1]


def products(sizes: Sequence[int]) -> int:
    """sum(in * out) over the layers."""
    return sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))


def epoch_flops(sizes: Sequence[int], n_rows: int, n_members: int) -> int:
    """Floating-point operations of one epoch: each member trains on all rows but its fold. Asking the fold is not counted.

    Args:
        sizes: widths of the layers.
        n_rows: N.
        n_members: K, as many as folds.
    """
    return n_rows * (n_members - 1) * flops_per_row(sizes)


def table_engine(family: str, rows: int, device: torch.device, columns: int = made.COLUMNS) -> Engine:
    """The default table model on a made table, encoded as a scan would."""
    import pyarrow as pa

    options = ScanOptions(label="label")
    data = inputs.read_input(pa.concat_tables([piece for piece, _ in made.chunks(family, rows, columns)]), options)
    plan = plan_module.make_plan(options, data)
    return Engine(encoder.encode(ResidentTable(data), plan.spec, RunContext(device=device)), plan)


def picture_engine(path: str, device: torch.device) -> Engine:
    """The default picture model on a file of pictures."""
    options = ScanOptions()
    data = inputs.read_input(path, options)
    plan = plan_module.make_plan(options, data)
    return Engine(encoder.encode(ResidentTable(data), plan.spec, RunContext(device=device)), plan)


def clock(device: torch.device) -> float:
    """CPU seconds of this process, which one thread's work is counted in under any load; the wall clock on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch, then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak(dtype: torch.dtype, device: torch.device, shape: tuple[int, int, int] = PROBE) -> float:
    """FLOP/s of a matrix product of `shape`, the best of `PROBE_ROUNDS` rounds."""
    a, b = torch.randn(shape[:2], device=device).to(dtype), torch.randn(shape[1:], device=device).to(dtype)
    out = torch.empty(shape[0], shape[2], dtype=dtype, device=device)
    best, times = 0.0, 3
    for _ in range(PROBE_ROUNDS):
        begin = clock(device)
        for _ in range(times):
            torch.mm(a, b, out=out)
        spent = max(clock(device) - begin, 1e-9)
        best = max(best, 2 * shape[0] * shape[1] * shape[2] * times / spent)
        times = max(3, round(times * PROBE_SECONDS / spent))
    return best


class Forgetful(TrainingDynamics):
    """A ledger that is told and writes nothing."""

    def record(self, *told: Any) -> None:
        """Nothing."""

    def record_heldout(self, *told: Any) -> None:
        """Nothing."""


def plain_score(output: Tensor, y: Tensor, weight: Tensor | None, running: Any, *rest: Any) -> tuple[LossOutput, Any]:
    """`zerror.score`'s place taken by the plain mean of cross-entropies and its gradient; nothing else is computed."""
    weight = torch.ones(1, 1).expand(y.shape) if weight is None else weight
    share = weight / weight.sum(1, keepdim=True)
    log_p = output.log_softmax(2)
    gradient = log_p.exp()
    gradient.scatter_add_(2, y[..., None], torch.tensor(-1.0).expand(*y.shape, 1)).mul_(share[..., None])
    seen = log_p.gather(2, y[..., None]).squeeze(2).neg_()
    return LossOutput((share * seen).sum(), gradient, seen, seen, weight > 0), running


SEAMS = ((members, "score"), (rounds, "TrainingDynamics"))
"""What is taken out, and where training finds it."""


@contextmanager
def plain() -> Iterator[None]:
    """The engine without z, mask and ledger."""
    for module, seam in SEAMS:
        if not hasattr(module, seam):
            raise Missing(f"{module.__name__} has no `{seam}` to take out")
    before = members.score, rounds.TrainingDynamics
    members.score, rounds.TrainingDynamics = plain_score, Forgetful
    try:
        yield
    finally:
        members.score, rounds.TrainingDynamics = before


def teams_of(engine: Engine, n_epochs: int, dtype: torch.dtype | None) -> list[members.MemberGroup]:
    """The members of a round as a scan would group them, their products in `dtype`; None for what the scan chooses itself."""
    encoded = engine.encoded if dtype is None else dataclasses.replace(engine.encoded, dtype=dtype)
    what = engine.plan.spec
    trainer = rounds.Trainer(encoded, Plan(what, engine.plan.packed, n_epochs, ""), builder(what.name), RunContext(device=encoded.device))
    fold = torch.arange(encoded.n_rows, device=encoded.device) % engine.members
    heldout_mask = fold[None] == torch.arange(engine.members, device=encoded.device)[:, None]
    groups = [heldout_mask] if trainer.packed else list(heldout_mask.split(1))
    return [members.MemberGroup(trainer, group, encoded.y.clamp_min(0), (0, 0, number)) for number, group in enumerate(groups)]


def training_seconds(engine: Engine, n_epochs: int, dtype: torch.dtype | None = None, asked: bool = True) -> float:
    """Seconds of `clock` in which K members train for `n_epochs` epochs, one after another, in memory kept as a scan keeps it.

    Args:
        engine: what is trained.
        n_epochs: E.
        dtype: of the products; None for what the scan chooses itself.
        asked: the members are asked about their folds too.
    """
    encoded = engine.encoded
    dynamics = rounds.TrainingDynamics(RecordLayout(encoded.n_rows, n_epochs, encoded.n_outputs, encoded.regression, n_parts=1), encoded.device)
    with memory.keep_freed_blocks():
        member_groups = teams_of(engine, n_epochs, dtype)
        begin = clock(encoded.device)
        for epoch in range(n_epochs):
            for member_group in member_groups:
                visits, scored = member_group.train_epoch(epoch)
                dynamics.record(epoch, visits.ids, scored, visits.weight)
                if asked and (epoch == n_epochs - 1 or encoded.n_rows < heldout.MAX_ROWS_PER_EPOCH):
                    evaluation.predict_heldout(member_group, dynamics, epoch)
        return clock(encoded.device) - begin


def feeding_seconds(engine: Engine, gather: Callable[[Tensor], object]) -> float:
    """Seconds of `clock` in which one epoch's visits are ordered and `gather` is given each batch."""
    member_groups = teams_of(engine, 1, None)
    begin = clock(engine.encoded.device)
    for member_group in member_groups:
        visits, edges = member_group.sampler.epoch_order(0, member_group.training_mask).batched(engine.plan.spec.batch)
        for low, high in itertools.pairwise(edges):
            gather(visits.ids[:, low:high])
    return clock(engine.encoded.device) - begin
