"""Predictions of members on rows that they never trained on, and what follows the last epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from zcurate.training.losses.terms import row_losses
from zcurate.training.losses.zerror import mean_weights
from zcurate.training.sampler import row_order_batches, run_lengths

if TYPE_CHECKING:
    from zcurate.training.dynamics import TrainingDynamics
    from zcurate.training.members import MemberGroup

SECOND_RATE = 0.5
"""Learning rate of the second split, as a share of the peak: high, so that what is not learned firmly is forgotten."""


class RepresentationObserver(Protocol):
    """Compares held-out rows with training rows in the space that a member has learned."""

    def keys(self, n_training: int, n_rows: int, device: torch.device, /) -> Tensor:
        """Choose which of a member's training rows to compare with, (M,) int64."""

    def __call__(self, features: Tensor, own: Tensor, train_features: Tensor, labels: Tensor, n_classes: int, /) -> dict[str, Tensor]:
        """Compute columns (Q,) of held-out rows from their features (Q, D) and classes (Q,), and those (M, D), (M,) of training rows."""


def finish(members: MemberGroup, dynamics: TrainingDynamics, is_last_round: bool) -> None:
    """Do what follows a member group's last epoch; of members that go on from a kept model, what does not depend on corrections was done before.

    Args:
        members: trained.
        dynamics: takes the record.
        is_last_round: hard examples are predicted and the learned space is observed.
    """
    timings = members.trainer.run.timings
    if is_last_round:
        if not members.trainer.goes_on:
            predict_hard_examples(members)
        with timings("learned neighbours"):
            observe_representation(members)
    if members.trainer.spec.second_split and not members.trainer.goes_on:
        with timings("second split"):
            train_second_split(members, dynamics)


@torch.no_grad()
def predict_heldout(members: MemberGroup, dynamics: TrainingDynamics, epoch: int) -> None:
    """Record each member's predictions of the rows that it never trains on.

    Args:
        members: K members.
        dynamics: takes the record; several groups may predict at the same time, no two of them the same row.
        epoch: 0-based.
    """
    members.model.eval()
    for ids, weight in members.heldout_batches():
        with members.precision():
            output = members.model(members.trainer.encoded.inputs(ids)).float()
        dynamics.record_heldout(epoch, members.local(ids, weight), output, weight)


@torch.no_grad()
def predict_hard_examples(members: MemberGroup) -> None:
    """Predict the synthetic hard examples made of rows that each member never trained on."""
    trainer = members.trainer
    if trainer.hard_examples is None:
        return
    members.model.eval()
    for ids, weight in row_order_batches(members.heldout_mask[:, trainer.hard_row], trainer.inference_rows):
        with members.precision():
            p = members.model(trainer.hard_examples.inputs(ids)).float().softmax(2)
        trainer.hard_heldout.index_add_(0, ids.reshape(-1), (p * weight[..., None]).reshape(-1, p.shape[2]))


@torch.no_grad()
def observe_representation(members: MemberGroup) -> None:
    """Compare each member's held-out rows with its training rows in the space it learned; a model without `features` is skipped."""
    trainer, encoded = members.trainer, members.trainer.encoded
    observer, features = trainer.observer, getattr(members.model, "features", None)
    has_features = encoded.width or encoded.codes is not None or encoded.images is not None
    if observer is None or features is None or not has_features or not bool(members.training_mask.any(1).all()):
        return
    members.model.eval()
    chosen = observer.keys(int(members.training_mask.sum(1).min()), encoded.n_rows, encoded.device)
    keys = torch.stack([torch.nonzero(mask)[:, 0][chosen] for mask in members.training_mask])
    train_features = torch.cat([features(encoded.inputs(some)).float() for some in keys.split(trainer.inference_rows, 1)], 1)
    for ids, weight in members.all_heldout_batches():
        space = features(encoded.inputs(ids)).float()
        for member, real in enumerate(weight > 0):
            rows = ids[member, real]
            columns = observer(space[member, real], members.labels[rows], train_features[member], members.labels[keys[member]], encoded.n_outputs)
            for name, values in columns.items():
                known = trainer.observed.setdefault(name, torch.full((encoded.n_rows,), float("nan"), device=encoded.device))
                known[rows] = values


def train_second_split(members: MemberGroup, dynamics: TrainingDynamics) -> None:
    """Go on with the rows that each member never trained on, and record how fast it forgets the others (arXiv:2210.15031).

    Args:
        members: trained on the first split.
        dynamics: takes the record.
    """
    trainer, spec, model = members.trainer, members.trainer.spec, members.model
    first = list(members.local_batches(members.training_mask))
    split = members.heldout_mask & trainer.encoded.labelled()[None]
    for epoch in range(spec.second_split):
        model.train()
        visits, edges = members.sampler.epoch_order(-1 - epoch, split).batched(spec.batch)
        for ids, weight, _ in visits.split(run_lengths(edges)):
            with members.precision():
                output = model(members.training_inputs(ids)).float()
            members.optimizer.zero_grad()
            (mean_weights(weight > 0, weight, trainer.processes) * row_losses(output, members.labels[ids])[0]).sum().backward()
            trainer.processes.reduce_gradients(members.optimizer.parameters)
            members.optimizer.step(spec.learning_rate * SECOND_RATE)
        model.eval()
        for ids, weight in first:
            with torch.no_grad(), members.precision():
                output = model(trainer.encoded.inputs(ids)).float()
            _, error, margin, _ = row_losses(output, members.labels[ids])
            dynamics.record_second(epoch, members.local(ids, weight), -error if margin is None else margin, weight)
