"""Groups of members trained side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zcurate import plugins
from zcurate.arrays.chunk import chunk_ranges
from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import Batch, EncodedRows
from zcurate.runtime import device
from zcurate.training import augment, cuda_graphs
from zcurate.training.cuda_graphs import GraphedStep, StaticBuffers
from zcurate.training.losses import ScalarLoss, TrainingLoss
from zcurate.training.losses.statistics import Statistics, accumulate, copy_into
from zcurate.training.losses.terms import row_losses
from zcurate.training.losses.zerror import LossOutput, score
from zcurate.training.mastered import MasteredRows
from zcurate.training.optimizer import Optimizer
from zcurate.training.sampler import Sampler, Visits, local_rows, row_order_batches, run_lengths
from zcurate.training.schedule import one_cycle
from zcurate.training.slice_guard import SliceGuard

if TYPE_CHECKING:
    from zcurate.training.rounds import Trainer

BuildModel = Callable[[ModelConfig, EncodedRows, int, torch.Generator], nn.Module]

MAX_PACKED_BATCH = 512
"""Up to this batch the members of a narrow model run as one product on the CPU: their single steps would be too small to fill a core."""


def trains_one_by_one(spec: ModelConfig, on: torch.device) -> bool:
    """Whether members train one by one, on threads or in processes of their own; else their steps are small and one core packs them.

    Args:
        spec: `name`, `batch`.
        on: device of the tensors.
    """
    model = plugins.model_plugin(spec.name)
    return not model.packed or (on.type == "cpu" and spec.batch > MAX_PACKED_BATCH and model.has_hidden_layers)


class MemberGroup:
    """K members of one round trained side by side, with their optimizer and statistics."""

    def __init__(self, trainer: Trainer, heldout_mask: Tensor, labels: Tensor, seeds: tuple[int, ...]) -> None:
        """Fresh members.

        Args:
            trainer: what all rounds share.
            heldout_mask: (K, N) bool, rows that each member never trains on.
            labels: (N,) training labels.
            seeds: of every random choice.
        """
        encoded, spec = trainer.encoded, trainer.spec
        self.trainer, self.heldout_mask, self.labels = trainer, heldout_mask, labels
        self.generator = device.generator(encoded.device, *seeds)
        self.model = trainer.build(spec, encoded, len(heldout_mask), device.generator(torch.device("cpu"), *seeds, 7)).to(encoded.device)
        self.optimizer = Optimizer(spec, self.model)
        self.sampler = Sampler(encoded, trainer.processes, trainer.n_segments, seeds)
        per_class = spec.z.z_per == "class" and not encoded.regression
        self.running_statistics = Statistics.new(len(heldout_mask), encoded.n_outputs if per_class else 1, encoded.device)
        self.epoch_statistics = Statistics.new(len(heldout_mask), self.running_statistics.centre.shape[1], encoded.device)
        self.buffers: StaticBuffers | None = None
        self.graphed_step: GraphedStep | None = None
        self.loss: TrainingLoss = plugins.LOSSES.load(spec.loss)(spec.loss_config, len(heldout_mask), encoded.n_rows, encoded.device)
        self.scalar_loss: ScalarLoss | None = self.loss if callable(self.loss) else None
        """Replaces the masked mean row loss and is differentiated by autograd; None for losses whose gradient is written out."""
        manual = self.scalar_loss is None and getattr(self.model, "has_manual_backward", False)
        self.forward_with_gradient: Callable[[Batch], tuple[Tensor, Callable[[Tensor], None]]] | None = (
            getattr(self.model, "forward_with_gradient") if manual else None  # noqa: B009
        )
        """Gives a batch's output and takes its gradient, of a model with a manual backward pass."""
        self.training_mask = encoded.zeros(*heldout_mask.shape, dtype=torch.bool)
        for begin, end in chunk_ranges(encoded.n_rows, encoded.store.sizes.segment_rows):
            part = slice(begin, end)
            self.training_mask[:, part] = ~heldout_mask[:, part] & encoded.labelled(part)[None]
            if trainer.excluded is not None:
                self.training_mask[:, part] &= ~torch.from_numpy(trainer.excluded[part]).to(encoded.device)
            encoded.release()
        self.mastered = MasteredRows(len(heldout_mask), encoded.n_rows, encoded.device, encoded.regression) if spec.skip_mastered else None
        self.slices = None if encoded.slices is None else SliceGuard(encoded.slices, spec.slice_weight, encoded.regression)
        self.local_rows = local_rows(encoded.n_rows, trainer.processes)
        self.resident_batches = list(self.local_batches(heldout_mask)) if encoded.store.resident else []

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint keeps of the members, by name; the generators' states are copies."""
        tensors = self.learned() | {f"optimizer.{at}": one for at, one in enumerate(self.optimizer.state())}
        tensors |= {f"loss.{name}": one for name, one in self.loss.state().items()}
        for prefix, part in (("mastered", self.mastered), ("slices", self.slices)):
            tensors |= {} if part is None else {f"{prefix}.{name}": one for name, one in part.state().items()}
        return tensors | {f"generator.{at}": one.get_state() for at, one in enumerate(self.generators())}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state` gave."""
        copy_into(self.running_statistics, Statistics(*(tensors[f"statistics.{name}"] for name in Statistics._fields)))
        for name, one in self.state().items():
            if not name.startswith(("statistics.", "generator.")):
                one.copy_(tensors[name])
        for at, generator in enumerate(self.generators()):
            generator.set_state(tensors[f"generator.{at}"])

    def learned(self) -> dict[str, Tensor]:
        """What the members have learned, by name: their parameters and buffers, and the statistics of the errors."""
        tensors = {f"model.{name}": one for name, one in self.model.state_dict().items()}
        return tensors | {f"statistics.{name}": one for name, one in self.running_statistics._asdict().items()}

    @torch.no_grad()
    def go_on_from(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `learned` gave, and stay near it from now on."""
        for name, one in self.learned().items():
            one.copy_(tensors[name])
        self.optimizer.stay_near()

    def generators(self) -> list[torch.Generator]:
        """Random generators whose state goes on from epoch to epoch: that of the pictures' shifts, and the model's own."""
        own = getattr(self.model, "generator", None)
        return [self.generator, *([own] if isinstance(own, torch.Generator) else [])]

    def local_batches(self, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of this process's rows, as `row_order_batches` gives them.

        Args:
            chosen: (K, N) bool.
        """
        for ids, weight in row_order_batches(chosen[:, self.local_rows], self.trainer.inference_rows):
            yield ids + self.local_rows.start, weight

    def heldout_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of this process's held-out rows; memory-mapped rows segment by segment."""
        if self.trainer.encoded.store.resident:
            yield from self.resident_batches
        else:
            yield from self.all_heldout_batches()

    def all_heldout_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of all processes' held-out rows; memory-mapped rows segment by segment."""
        store = self.trainer.encoded.store
        if store.resident:
            yield from row_order_batches(self.heldout_mask, self.trainer.inference_rows)
            return
        for begin, end in chunk_ranges(self.heldout_mask.shape[1], store.sizes.segment_rows):
            for ids, weight in row_order_batches(self.heldout_mask[:, begin:end], self.trainer.inference_rows):
                yield ids + begin, weight
            store.release()

    def train_epoch(self, epoch: int, segment: int = 0) -> tuple[Visits, LossOutput]:
        """Visit the members' training rows once, or those of one segment.

        Args:
            epoch: 0-based.
            segment: which one.

        Returns:
            The visits in their order, (K, n), and the loss output of each; graphed steps overwrite both in every epoch.
        """
        spec, n_segments = self.trainer.spec, self.trainer.n_segments
        chosen = self.training_mask if self.mastered is None else self.training_mask & ~self.mastered.mask
        visits, edges = self.sampler.epoch_order(epoch, chosen, spec.z.readmit, segment).batched(spec.batch)
        n_full, n_batches = visits.n_full(), len(edges) - 1
        start = self.trainer.start
        done_share = [(epoch + (segment + number / n_batches) / n_segments) / self.trainer.n_epochs for number in range(n_batches)]
        progress = [start + (1 - start) * share for share in done_share]
        thresholds = [self.loss.z_threshold(at) for at in progress]
        rates = [spec.learning_rate * one_cycle(at) for at in progress]
        if not segment:
            copy_into(self.epoch_statistics, Statistics.new(len(self.heldout_mask), self.running_statistics.centre.shape[1], self.labels.device))
        self.model.train()
        buffers = self.prepare_buffers(visits, thresholds, rates)
        output: LossOutput | None = None if buffers is None else buffers.output
        sizes, done = run_lengths(edges), 0
        batches = [] if buffers is not None else list(zip(visits.split(sizes), self.labels[visits.ids].split(sizes, 1), strict=True))
        for number, (size, end) in enumerate(zip(sizes, edges[1:], strict=True)):
            if self.trainer.stopped:
                break
            full = end <= n_full
            if self.graphed_step is not None:
                self.graphed_step(size, full)
            else:
                of_batch = self.step(*batches[number], full, thresholds[number], rates[number], progress[number])
                output = output or of_batch.allocate(visits.ids.shape[1])
                output.write(done, of_batch)
            done = end
        if spec.z.z_stats == "epoch" and segment == n_segments - 1:
            copy_into(self.running_statistics, self.epoch_statistics)
        assert output is not None  # crack: narrows types only
        found = visits.first(done), output.head(done)
        if self.mastered is not None:
            found = self.with_mastered(*found, self.mastered, thresholds[-1])
        if self.slices is not None:
            self.slices.update(*found, self.trainer.processes)
        return found

    @torch.no_grad()
    def with_mastered(self, visits: Visits, output: LossOutput, mastered: MasteredRows, threshold: float) -> tuple[Visits, LossOutput]:
        """Predict the rows that are mastered and add them to an epoch's record; then learn which ones are in the next.

        Args:
            visits: (K, n) that were trained on.
            output: of each.
            mastered: rows.
            threshold: tau [sigma].
        """
        trained = (visits.weight > 0).sum()
        chosen = self.training_mask & mastered.mask
        self.model.eval()
        for ids, weight in row_order_batches(chosen, self.trainer.inference_rows) if bool(chosen.any()) else ():
            with self.precision():
                predicted = self.model(self.trainer.encoded.inputs(ids)).float()
            scored, _ = score(predicted, self.labels[ids], weight, self.running_statistics, self.trainer.spec.z, threshold)
            unmasked = None if visits.unmasked is None else torch.cat([visits.unmasked, torch.zeros_like(ids, dtype=torch.bool)], 1)
            visits = Visits(torch.cat([visits.ids, ids], 1), torch.cat([visits.weight, weight], 1), unmasked)
            output = LossOutput(output.loss, output.gradient, *(torch.cat(parts, 1) for parts in zip(output.per_row, scored.per_row, strict=True)))
        mastered.update(visits, output, (visits.weight > 0).sum() - trained)
        return visits, output

    def step(self, batch: Visits, y: Tensor, full: bool, threshold: float | Tensor, rate: float | Tensor, progress: float) -> LossOutput:
        """Train on one batch; lasting state is changed in place.

        Args:
            batch: (K, B).
            y: (K, B) training labels.
            full: no row is padding.
            threshold: tau [sigma], or (1,).
            rate: learning rate, or ().
            progress: share of the run that is over.
        """
        spec, inputs, backward = self.trainer.spec, self.training_inputs(batch.ids), None
        if self.forward_with_gradient is not None:
            output, backward = self.forward_with_gradient(inputs)
        else:
            with self.precision():
                output = self.model(inputs).float()
        weight = None if full else batch.weight
        if self.slices is not None and spec.slice_weight:
            weight = batch.weight * self.slices.weight[self.slices.of_row[batch.ids]]
        scored, updated = score(output, y, weight, self.running_statistics, spec.z, threshold, self.unmasked(batch), self.trainer.processes)
        if spec.z.z_stats == "epoch":
            copy_into(self.epoch_statistics, accumulate(self.epoch_statistics, updated))
        else:
            copy_into(self.running_statistics, updated)
        self.optimizer.zero_grad()
        if backward is not None:
            backward(scored.gradient)
        else:
            loss = (
                scored.loss
                if self.scalar_loss is None
                else self.scalar_loss(row_losses(output, y)[0], batch.ids, batch.weight if weight is None else weight, progress, output)
            )
            loss.backward()
        self.trainer.processes.reduce_gradients(self.optimizer.parameters)
        self.optimizer.step(rate)
        return scored

    def unmasked(self, batch: Visits) -> Tensor | None:
        """(K, B) bool: visits kept whatever their z, among them rows that a person has decided on and slices that were masked too often; None for none."""
        trusted, kept = self.trainer.encoded.trusted, batch.unmasked
        more = [] if trusted is None else [trusted[batch.ids]]
        more += [] if self.slices is None else [self.slices.guarded[self.slices.of_row[batch.ids]]]
        for one in more:
            kept = one if kept is None else kept | one
        return kept

    def can_be_graphed(self) -> bool:
        """Whether a step is the same kernels on the same memory each time, on a device that can record them."""
        trainer, encoded = self.trainer, self.trainer.encoded
        is_static = encoded.term is None and encoded.image_store.resident and trainer.n_segments == 1 and self.scalar_loss is None
        is_static &= self.mastered is None and not self.optimizer.anchors
        is_alone = trainer.processes.size == 1 and trainer.spec.name in plugins.MODELS
        return cuda_graphs.can_capture(encoded.device) and is_static and is_alone

    def prepare_buffers(self, visits: Visits, thresholds: list[float], rates: list[float]) -> StaticBuffers | None:
        """Fill the static buffers with an epoch's visits; None where steps are not graphed.

        Args:
            visits: (K, n).
            thresholds: of each batch.
            rates: of each batch.
        """
        if not self.can_be_graphed():
            return None
        labels = self.labels[visits.ids]
        schedule = (torch.tensor(thresholds, device=labels.device), torch.tensor(rates, device=labels.device))
        at = torch.zeros(2, dtype=torch.int64, device=labels.device)
        if self.buffers is None:
            like = torch.zeros(visits.ids.shape, device=labels.device)
            spare = [] if self.trainer.encoded.n_outputs == 2 and not self.trainer.encoded.regression else [like.clone(), like.clone()]
            output = LossOutput(like[0, 0], like, like.clone(), like.clone(), like > 0, *spare)
            self.buffers = StaticBuffers(visits, labels, output, *schedule, at)
            state = [*self.model.state_dict().values(), *self.optimizer.state(), *self.running_statistics, *self.epoch_statistics, at]
            self.graphed_step = GraphedStep(self.step_from_buffers, state, self.generators())
        else:
            for buffer, new in zip([*self.buffers.visits, self.buffers.labels, *self.buffers[3:]], [*visits, labels, *schedule, at], strict=True):
                if buffer is not None and new is not None:
                    buffer.copy_(new)
        return self.buffers

    def step_from_buffers(self, size: int, full: bool) -> None:
        """Train on the next batch of the static buffers.

        Args:
            size: rows per member.
            full: no row is padding.
        """
        buffers = self.buffers
        assert buffers is not None  # crack: narrows types only
        position = buffers.position[0] + torch.arange(size, device=buffers.position.device)
        ids, weight, unmasked = buffers.visits
        batch = Visits(ids.index_select(1, position), weight.index_select(1, position), None if unmasked is None else unmasked.index_select(1, position))
        threshold, rate = (one.index_select(0, buffers.position[1:]) for one in (buffers.thresholds, buffers.rates))
        scored = self.step(batch, buffers.labels.index_select(1, position), full, threshold, rate[0], 0.0)
        for whole, part in zip(buffers.output.per_row, scored.per_row, strict=True):
            whole.index_copy_(1, position, part)
        buffers.position[0].add_(size)
        buffers.position[1].add_(1)

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast to bfloat16 for pictures on a GPU."""
        encoded = self.trainer.encoded
        use = encoded.device.type == "cuda" and encoded.images is not None
        return torch.autocast("cuda", torch.bfloat16) if use else nullcontext()

    def training_inputs(self, ids: Tensor) -> Batch:
        """A training batch, pictures shifted at random.

        Args:
            ids: (K, B) int64 rows.
        """
        inputs = self.trainer.encoded.inputs(ids)
        if inputs.images is None or not self.trainer.spec.augment:
            return inputs
        max_shift = max(1, inputs.images.shape[-1] // 12)
        images = augment.shift(inputs.images.flatten(0, 1), max_shift, self.generator)
        return inputs._replace(images=images.view(inputs.images.shape))

    def local(self, ids: Tensor, weight: Tensor) -> Tensor:
        """(K, B) positions of rows in this process's record; padding, which may be anyone's row, goes to its first."""
        return torch.where(weight > 0, ids - self.local_rows.start, 0)
