"""Train a network on rows that a rule chooses by their losses, to see what prioritization does to accuracy where labels are wrong (arXiv:2107.07741)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zcurate import plugins
from zcurate.config.model_config import ModelConfig
from zcurate.encoding.encoded import EncodedRows
from zcurate.runtime import device
from zcurate.training.losses.terms import row_losses
from zcurate.training.models import builder
from zcurate.training.optimizer import Optimizer
from zcurate.training.schedule import inference_batch_rows, one_cycle

Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(n,) training loss and (n,) held-out loss of another model -> (n,) weights of the rows."""
N_SEEDS = 3
"""Networks of a rule, with seeds of their own."""
TRAINED_SHARE, TEST_SHARE = 0.25, 0.25
"""Share of the rows that an epoch trains on, and of those that are kept for the test."""
MAX_ROWS = 20_000
"""Rows that networks are trained on, at most; a random sample of more."""


@dataclass(frozen=True)
class Study:
    """What the networks of every rule have in common."""

    rows: EncodedRows
    """N rows under the labels to train on, some of them wrong."""
    right: np.ndarray
    """(N,) labels without planted errors, in the form of `rows.y`; of the rows of the test."""
    planted: np.ndarray
    """(N,) bool, rows with an error that was planted."""
    heldout_loss: np.ndarray
    """(N,) losses by models that did not train on the row; rows with NaN are left out."""
    spec: ModelConfig
    """Model, batch, learning rate."""
    n_epochs: int
    """Of each network."""
    seed: int
    """Of the split and of the networks."""


def trained_by(study: Study, rule: Rule) -> tuple[list[float], float]:
    """Train networks on a quarter of the rows in each epoch, those that a rule chooses, and test them on rows with the right label.

    Args:
        study: rows, model and schedule.
        rule: weighs the rows; of positive weights rows are drawn without replacement, in proportion to them.

    Returns:
        Of each seed the accuracy, or for a regression the mean absolute error [standardized target]; and the share of the visits that went to
        planted errors.
    """
    rows, spec, loss_elsewhere = study.rows, study.spec, study.heldout_loss
    rng = np.random.default_rng([study.seed, 17])
    known = np.flatnonzero(rows.labelled().cpu().numpy() & ~np.isnan(loss_elsewhere))
    known = rng.permutation(known)[:MAX_ROWS]
    test, train = known[: round(TEST_SHARE * len(known))], known[round(TEST_SHARE * len(known)) :]
    n_members = N_SEEDS if plugins.model_plugin(spec.name).packed else 1
    found, n_wrong, n_visits = [], 0, 0
    for part in range(N_SEEDS // n_members):
        generator = device.generator(rows.device, study.seed, part)
        model = builder(spec.name)(spec, rows, n_members, device.generator(torch.device("cpu"), study.seed, part, 7)).to(rows.device)
        optimizer = Optimizer(spec, model)
        n_batches = max(1, round(TRAINED_SHARE * len(train) / spec.batch))
        for epoch in range(study.n_epochs):
            loss = losses_of(model, rows, train, n_members)
            chosen = np.stack([choose(rule(own, loss_elsewhere[train]), round(TRAINED_SHARE * len(train)), rng) for own in loss])
            n_wrong, n_visits = n_wrong + int(study.planted[train[chosen]].sum()), n_visits + chosen.size
            order = torch.stack([torch.randperm(chosen.shape[1], generator=generator, device=rows.device) for _ in range(n_members)])
            ids = torch.from_numpy(train[chosen]).to(rows.device).gather(1, order)
            model.train()
            for number, batch in enumerate(ids.tensor_split(n_batches, 1)):
                optimizer.zero_grad()
                row_losses(model(rows.inputs(batch)).float(), rows.y[batch])[0].mean(1).sum().backward()
                optimizer.step(spec.learning_rate * one_cycle((epoch + number / n_batches) / study.n_epochs))
        found += tested(model, rows, test, study.right, n_members)
    return found, n_wrong / max(1, n_visits)


def choose(weight: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows without replacement in proportion to their weights, (n,) int64; those of weight 0 come last.

    Args:
        weight: (N,) of the rows.
        n: rows to draw.
        rng: draws.

    Source: exponential keys, Efraimidis and Spirakis 2006.
    """
    keys = rng.exponential(size=len(weight)) / np.maximum(weight, 1e-12)
    return np.argpartition(keys, min(n, len(keys) - 1))[:n]


@torch.no_grad()
def losses_of(model: torch.nn.Module, rows: EncodedRows, row: np.ndarray, n_members: int) -> np.ndarray:
    """Compute the loss of rows under the labels to train on, (K, n) float64."""
    model.eval()
    return np.concatenate([row_losses(output, rows.y[ids])[0].cpu().numpy().astype(np.float64) for ids, output in outputs_of(model, rows, row, n_members)], 1)


@torch.no_grad()
def tested(model: torch.nn.Module, rows: EncodedRows, row: np.ndarray, right: np.ndarray, n_members: int) -> list[float]:
    """Compute the accuracy of each member on some rows, or of a regression the mean absolute error."""
    model.eval()
    output = torch.cat([output for _, output in outputs_of(model, rows, row, n_members)], 1)
    target = torch.from_numpy(right[row]).to(output.device)
    if rows.regression:
        return (output[..., 0] - target.float()).abs().mean(1).tolist()
    return (output.argmax(2) == target).float().mean(1).tolist()


def outputs_of(model: torch.nn.Module, rows: EncodedRows, row: np.ndarray, n_members: int) -> list[tuple[Tensor, Tensor]]:
    """Predict rows batch by batch: (K, b) rows and (K, b, C) float32 outputs."""
    size = inference_batch_rows(None if rows.images is None else tuple(rows.images.shape[1:]), rows.device.type == "cuda")
    parts = [ids.expand(n_members, -1) for ids in torch.from_numpy(row).to(rows.device).split(size)]
    return [(ids, model(rows.inputs(ids)).float()) for ids in parts]
