"""Groups of members trained side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.model_config import PACKED, ModelConfig
from zcurate.encoding.encoded import Batch, EncodedRows
from zcurate.runtime import device
from zcurate.training import augment, cuda_graphs
from zcurate.training.cuda_graphs import GraphedStep, StaticBuffers
from zcurate.training.dynamics import TrainingDynamics
from zcurate.training.evaluation import SECOND_RATE
from zcurate.training.losses.discrim import DiscrimLoss
from zcurate.training.losses.statistics import Statistics, accumulate, copy_into
from zcurate.training.losses.terms import row_losses
from zcurate.training.losses.zerror import LossOutput, mean_weights, score
from zcurate.training.optimizer import Optimizer
from zcurate.training.sampler import (
    N_SHARDS,
    SEGMENT_ROWS,
    EpochOrder,
    Visits,
    draw_visits,
    row_order_batches,
    rows_of_blocks,
    run_lengths,
    segment_blocks,
    virtual_shards,
)
from zcurate.training.schedule import one_cycle

if TYPE_CHECKING:
    from zcurate.training.rounds import Trainer

BuildModel = Callable[[ModelConfig, EncodedRows, int, torch.Generator], nn.Module]


MAX_PACKED_BATCH = 512
"""Up to this batch the members of a narrow model run as one product on the CPU: their single steps would be too small to fill a core."""


def trains_one_by_one(spec: ModelConfig, place: torch.device) -> bool:
    """Whether members train one by one, on threads or in processes of their own; else their steps are small and one core packs them.

    Args:
        spec: `name`, `batch`.
        place: where the tensors are.
    """
    return spec.name not in PACKED or (place.type == "cpu" and spec.batch > MAX_PACKED_BATCH and spec.name != "linear")


class MemberGroup:
    """K members of one round trained side by side, and all that they remember."""

    def __init__(self, trainer: Trainer, heldout_mask: Tensor, labels: Tensor, seeds: tuple[int, ...]) -> None:
        """Fresh members.

        Args:
            trainer: what all rounds share.
            heldout_mask: (K, N) bool, rows that each member never trains on.
            labels: (N,) shown labels.
            seeds: what every random choice depends on.
        """
        encoded, spec = trainer.encoded, trainer.spec
        self.trainer, self.heldout_mask, self.labels, self.seeds = trainer, heldout_mask, labels, seeds
        self.generator = device.generator(encoded.device, *seeds)
        self.model = trainer.build(spec, encoded, len(heldout_mask), device.generator(torch.device("cpu"), *seeds, 7)).to(encoded.device)
        self.optimiser = Optimizer(spec, self.model)
        per_class = spec.z.z_per == "class" and not encoded.regression
        self.running = Statistics.new(len(heldout_mask), encoded.n_outputs if per_class else 1, encoded.device)
        self.gathering = Statistics.new(len(heldout_mask), self.running.centre.shape[1], encoded.device)
        self.tape: StaticBuffers | None = None
        self.replay: GraphedStep | None = None
        self.discrim = DiscrimLoss(len(heldout_mask), encoded.n_rows, spec.discrim, encoded.device) if spec.loss == "discrim" else None
        manual = self.discrim is None and getattr(self.model, "has_manual_backward", False)
        self.looked: Callable[[Batch], tuple[Tensor, Callable[[Tensor], None]]] | None = getattr(self.model, "forward_with_gradient") if manual else None  # noqa: B009
        """Gives a batch's output and takes its gradient, of a model that does so without autograd."""
        self.training_mask = encoded.zeros(*heldout_mask.shape, dtype=torch.bool)
        for begin, end in chunk_ranges(encoded.n_rows, SEGMENT_ROWS):
            part = slice(begin, end)
            self.training_mask[:, part] = ~heldout_mask[:, part] & encoded.labelled(part)[None]
            if trainer.leave_out is not None:
                self.training_mask[:, part] &= ~torch.from_numpy(trainer.leave_out[part]).to(encoded.device)
            encoded.release()
        self.own = trainer.own_rows()
        self.asked = list(self.own_in_order(heldout_mask)) if encoded.store is None else []

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
        copy_into(self.running, Statistics(*(tensors[f"running.{name}"] for name in Statistics._fields)))
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
        for ids, weight in row_order_batches(chosen[:, self.own], self.trainer.at_once):
            yield ids + self.own.start, weight

    def to_ask(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The rows that the members never train on, as `in_order`; those in files some at a time."""
        yield from self.asked
        store = self.trainer.encoded.store
        if store is None:
            return
        for begin, end in chunk_ranges(self.heldout_mask.shape[1], SEGMENT_ROWS):
            for ids, weight in row_order_batches(self.heldout_mask[:, begin:end], self.trainer.at_once):
                yield ids + begin, weight
            store.release()

    def order(self, epoch: int, chosen: Tensor, readmit: float = 0.0, part: int = 0) -> EpochOrder:
        """The visits of an epoch, or of one segment of it, by the seed, the epoch, the segment and the virtual shard alone.

        Args:
            epoch: 0-based.
            chosen: (K, N) bool, rows that each member visits.
            readmit: probability that a visit is let in whatever its z.
            part: which segment, where the rows lie in files.
        """
        blocks = None
        if self.trainer.n_segments > 1:
            blocks = segment_blocks(chosen.shape[1], part, self.trainer.n_segments, device.generator(chosen.device, *self.seeds, epoch, -1))
        shards, n_visits = [], 0
        every = virtual_shards(chosen.shape[1])
        mine = self.trainer.processes.mine(len(every))
        for number, shard in enumerate(every):
            rows = None if blocks is None else rows_of_blocks(blocks, shard)
            there = chosen[:, shard] if rows is None else chosen[:, rows]
            if number in mine:
                generator = device.generator(chosen.device, *self.seeds, epoch, number + N_SHARDS * part)
                drawn = draw_visits(there, generator, readmit)
                shards.append(drawn._replace(ids=drawn.ids + shard.start if rows is None else rows[drawn.ids]))
                n_visits += drawn.ids.shape[1]
            else:
                n_visits += int(there.sum(1).max())
        if self.trainer.processes.apart:
            n_visits = sum(self.trainer.processes.gathered(n_visits))
        return EpochOrder(tuple(shards), n_visits)

    def learn(self, epoch: int, part: int = 0) -> tuple[Visits, LossOutput]:
        """One pass over the members' rows, or one segment of it.

        Args:
            epoch: 0-based.
            part: which segment.

        Returns:
            The visits in their order, (K, n), and what the loss said of each; replayed steps write both anew in every epoch.
        """
        spec, n_parts = self.trainer.spec, self.trainer.n_segments
        visited, edges = self.order(epoch, self.training_mask, spec.z.readmit, part).batched(spec.batch)
        n_full, n_batches = visited.n_full(), len(edges) - 1
        progress = [(epoch + (part + number / n_batches) / n_parts) / self.trainer.n_epochs for number in range(n_batches)]
        thresholds = [spec.z.threshold(at) if spec.loss == "zerror" else float("inf") for at in progress]
        rates = [spec.learning_rate * one_cycle(at) for at in progress]
        if not part:
            copy_into(self.gathering, Statistics.new(len(self.heldout_mask), self.running.centre.shape[1], self.labels.device))
        self.model.train()
        tape = self.wound(visited, thresholds, rates)
        found: LossOutput | None = None if tape is None else tape.output
        sizes, done = run_lengths(edges), 0
        batches = [] if tape is not None else list(zip(visited.cut(sizes), self.labels[visited.ids].split(sizes, 1), strict=True))
        for number, (size, end) in enumerate(zip(sizes, edges[1:], strict=True)):
            if self.trainer.stopped:
                break
            full = end <= n_full
            if self.replay is not None:
                self.replay(size, full)
            else:
                scored = self.step(*batches[number], full, thresholds[number], rates[number], progress[number])
                found = found or scored.allocate(visited.ids.shape[1])
                found.write(done, scored)
            done = end
        if spec.z.z_stats == "epoch" and part == n_parts - 1:
            copy_into(self.running, self.gathering)
        assert found is not None  # crack: narrows types only
        return visited.first(done), found.head(done)

    def step(self, batch: Visits, y: Tensor, full: bool, threshold: float | Tensor, rate: float | Tensor, progress: float) -> LossOutput:
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
        scored, updated = score(output, y, weight, self.running, spec.z, threshold, batch.readmit, self.trainer.processes)
        if spec.z.z_stats == "epoch":
            copy_into(self.gathering, accumulate(self.gathering, updated))
        else:
            copy_into(self.running, updated)
        self.optimiser.zero_grad()
        if learn is not None:
            learn(scored.gradient)
        else:
            loss = scored.loss if self.discrim is None else self.discrim(row_losses(output, y)[0], batch.ids, batch.weight, progress)
            loss.backward()
        self.trainer.processes.reduce(self.optimiser.parameters)
        self.optimiser.step(rate)
        return scored

    def replayable(self) -> bool:
        """Whether a step is the same kernels on the same memory each time, on a device that can record them."""
        trainer, encoded = self.trainer, self.trainer.encoded
        still = encoded.term is None and encoded.mapped is None and trainer.n_segments == 1 and self.discrim is None
        alone = trainer.processes.size == 1 and ".py:" not in trainer.spec.name
        return cuda_graphs.can_capture(encoded.device) and still and alone

    def wound(self, visited: Visits, thresholds: list[float], rates: list[float]) -> StaticBuffers | None:
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
            found = LossOutput(like[0, 0], like, like.clone(), like.clone(), like > 0, *spare)
            self.tape = StaticBuffers(visited, labels, found, *told, at)
            state = [*self.model.state_dict().values(), *self.optimiser.state(), *self.running, *self.gathering, at]
            self.replay = GraphedStep(self.replayed, state, self.generators())
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
        place = tape.position[0] + torch.arange(size, device=tape.position.device)
        ids, weight, readmit = tape.visits
        batch = Visits(ids.index_select(1, place), weight.index_select(1, place), None if readmit is None else readmit.index_select(1, place))
        threshold, rate = (one.index_select(0, tape.position[1:]) for one in (tape.thresholds, tape.rates))
        scored = self.step(batch, tape.labels.index_select(1, place), full, threshold, rate[0], 0.0)
        for whole, found in zip(tape.output.per_row, scored.per_row, strict=True):
            whole.index_copy_(1, place, found)
        tape.position[0].add_(size)
        tape.position[1].add_(1)

    def finish(self, dynamics: TrainingDynamics, last: bool) -> None:
        """What is done with members that have learned all they will.

        Args:
            dynamics: takes the record.
            last: this is the last round, whose learned space is looked at.
        """
        timings = self.trainer.timings
        if last:
            self.ask_hard()
            with timings("learned neighbours"):
                self.observe()
        if self.trainer.spec.second_split:
            with timings("second split"):
                self.second_split(dynamics)

    def second_split(self, dynamics: TrainingDynamics) -> None:
        """Go on with the rows each member never saw, and watch how fast it forgets the others (arXiv:2210.15031).

        Args:
            dynamics: takes the record.
        """
        spec, model = self.trainer.spec, self.model
        first = list(self.own_in_order(self.training_mask))
        split = self.heldout_mask & self.trainer.encoded.labelled()[None]
        for epoch in range(spec.second_split):
            model.train()
            visited, edges = self.order(-1 - epoch, split).batched(spec.batch)
            for ids, weight, _ in visited.cut(run_lengths(edges)):
                with self.precision():
                    output = model(self.inputs(ids)).float()
                self.optimiser.zero_grad()
                (mean_weights(weight > 0, weight, self.trainer.processes) * row_losses(output, self.labels[ids])[0]).sum().backward()
                self.trainer.processes.reduce(self.optimiser.parameters)
                self.optimiser.step(spec.learning_rate * SECOND_RATE)
            model.eval()
            for ids, weight in first:
                with torch.no_grad(), self.precision():
                    output = model(self.trainer.encoded.inputs(ids)).float()
                _, error, margin, _ = row_losses(output, self.labels[ids])
                dynamics.record_second(epoch, self.local(ids, weight), -error if margin is None else margin, weight)

    def precision(self) -> AbstractContextManager[Any]:
        """bf16 for pictures on a GPU; on the CPU it gained at most 1.3 in this network and is left alone."""
        encoded = self.trainer.encoded
        use = encoded.device.type == "cuda" and encoded.images is not None
        return torch.autocast("cuda", torch.bfloat16) if use else nullcontext()

    def inputs(self, ids: Tensor) -> Batch:
        """A training batch, pictures seen a little differently each time."""
        inputs = self.trainer.encoded.inputs(ids)
        if inputs.images is None or not self.trainer.spec.augment:
            return inputs
        most = max(1, inputs.images.shape[-1] // 12)
        images = augment.shift(inputs.images.flatten(0, 1), most, self.generator)
        return inputs._replace(images=images.view(inputs.images.shape))

    def local(self, ids: Tensor, weight: Tensor) -> Tensor:
        """(K, B) where this process's ledger has the rows; padding, which may be anyone's row, goes to its first."""
        return torch.where(weight > 0, ids - self.own.start, 0)

    @torch.no_grad()
    def ask(self, dynamics: TrainingDynamics, epoch: int) -> None:
        """Record what each member says of the rows it never trains on.

        Args:
            dynamics: takes the record; teams may ask at the same time, no two about the same row.
            epoch: 0-based.
        """
        self.model.eval()
        for ids, weight in self.to_ask():
            with self.precision():
                output = self.model(self.trainer.encoded.inputs(ids)).float()
            dynamics.record_heldout(epoch, self.local(ids, weight), output, weight)

    @torch.no_grad()
    def ask_hard(self) -> None:
        """Ask each member about the hard cases made of rows that it never saw."""
        trainer = self.trainer
        if trainer.hard is None:
            return
        self.model.eval()
        for ids, weight in row_order_batches(self.heldout_mask[:, trainer.hard_row], trainer.at_once):
            with self.precision():
                p = self.model(trainer.hard.inputs(ids)).float().softmax(2)
            trainer.hard_heldout.index_add_(0, ids.reshape(-1), (p * weight[..., None]).reshape(-1, p.shape[2]))

    @torch.no_grad()
    def observe(self) -> None:
        """Ask what lies near the rows that each member never saw, in the space that it learned; a model without `features` is passed over."""
        encoded, observer, look = self.trainer.encoded, self.trainer.observer, getattr(self.model, "features", None)
        sees = encoded.width or encoded.codes is not None or encoded.images is not None
        if observer is None or look is None or not sees or not bool(self.training_mask.any(1).all()):
            return
        self.model.eval()
        chosen = observer.keys(int(self.training_mask.sum(1).min()), encoded.n_rows, encoded.device)
        keys = torch.stack([torch.nonzero(mine)[:, 0][chosen] for mine in self.training_mask])
        taught_space = torch.cat([look(encoded.inputs(some)).float() for some in keys.split(self.trainer.at_once, 1)], 1)
        for ids, weight in row_order_batches(self.heldout_mask, self.trainer.at_once) if encoded.store is None else self.to_ask():
            space = look(encoded.inputs(ids)).float()
            for member, real in enumerate(weight > 0):
                rows = ids[member, real]
                columns = observer(space[member, real], self.labels[rows], taught_space[member], self.labels[keys[member]], encoded.n_outputs)
                for name, values in columns.items():
                    known = self.trainer.seen.setdefault(name, torch.full((encoded.n_rows,), float("nan"), device=encoded.device))
                    known[rows] = values
