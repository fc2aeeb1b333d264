"""Per-row training dynamics, accumulated on the device.

Written once per epoch and member, in row order, without synchronization. Memory per row and round: 12 bytes per epoch (16 with the clue `sieve`), 12 for
counts and the largest z, and the held-out sums: 4 per class and part of the run, or, where there are too many classes or rows for that, the top k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zcurate.arrays.chunk import chunk_ranges
from zcurate.encoding.encoded import new_zeros
from zcurate.evidence.evidence import Round
from zcurate.evidence.heldout import MAX_DENSE_CELLS, TOP_K, TopKProbabilities
from zcurate.evidence.planted import Planted
from zcurate.runtime.process_group import SingleProcess
from zcurate.runtime.store import ArrayStore, InMemoryStore
from zcurate.training.losses.zerror import LossOutput

Z, ERROR, MARGIN, SIEVE = range(4)
CURVES = {"z": Z, "error": ERROR, "margin": MARGIN, "sieve": SIEVE}
"""Position of each curve's sums."""
N_RUN_PARTS = 4
"""Parts of the run whose held-out predictions are recorded separately, so that the best can be chosen after training."""
FREEZE_ROWS = 32_768
"""Rows frozen as one chunk."""
MIN_LEARNED_RUN = 2
"""Consecutive epochs in which a label must be predicted to count as learned (first k-epoch learning, arXiv:2308.13862)."""


@dataclass(frozen=True)
class RecordLayout:
    """What is recorded of a round, and for how many rows."""

    n_rows: int
    """N, rows of this process."""
    n_epochs: int
    """E."""
    n_outputs: int
    """C classes, or 2 (location, log scale) for regression."""
    regression: bool = False
    """Outputs are location and log scale."""
    n_second: int = 0
    """Epochs of the second split."""
    sieve: bool = True
    """Whether the CORES score is recorded, for the clue `sieve`."""
    n_parts: int = N_RUN_PARTS
    """Parts of the run whose held-out predictions are recorded separately, where there is space for them."""


class TrainingDynamics:
    """One round's record of N rows over E epochs."""

    def __init__(self, layout: RecordLayout, device: torch.device, store: ArrayStore | None = None, own_class: Tensor | None = None) -> None:
        """Allocate an empty record.

        Args:
            layout: what is recorded.
            device: of the record.
            store: makes its arrays; None for memory.
            own_class: (N,) int64 given classes, -1 for none: of each row's held-out probabilities only the top k and that of its own class are
                stored, and it is predicted once; None where they are dense.
        """
        self.regression, self.store, self.own_class, self.n_outputs = layout.regression, store or InMemoryStore(), own_class, layout.n_outputs
        n_rows = layout.n_rows

        def zeros(*shape: int) -> Tensor:
            return new_zeros(self.store, shape, torch.float32, device)

        self.epoch = zeros(layout.n_epochs, 4 if layout.sieve else 3, n_rows)
        self.n_epochs = 0
        """Epochs recorded so far."""
        self.seen, self.masked = (zeros(n_rows) for _ in range(2))
        """Visits in one epoch; masked visits in all epochs."""
        self.second = zeros(layout.n_second, 2, n_rows)
        self.z_max = zeros(n_rows)
        for begin, end in chunk_ranges(n_rows, FREEZE_ROWS):
            self.z_max[begin:end] = float("-inf")
            self.store.release()
        n_parts = layout.n_parts if n_rows * layout.n_outputs <= MAX_DENSE_CELLS else 1
        self.heldout = zeros(n_parts, n_rows, layout.n_outputs if own_class is None else 2 * TOP_K)
        self.n_heldout = zeros(n_parts, n_rows)

    def state(self) -> dict[str, Tensor]:
        """All recorded tensors, to be written into in place; `n_epochs` is not among them."""
        return {name: getattr(self, name) for name in ("epoch", "seen", "masked", "second", "z_max", "heldout", "n_heldout")}

    def join(self, processes: SingleProcess) -> None:
        """Merge in the records of the other processes, in the input's order.

        Args:
            processes: that share the rows or the members.
        """
        for name, one in self.state().items():
            setattr(self, name, processes.merge_records(one, 1 if name in ("heldout", "n_heldout") else one.dim() - 1, take_max=name == "z_max"))

    def record(self, epoch: int, ids: Tensor, scored: LossOutput, weight: Tensor) -> None:
        """Add visits: a batch, or better a member's whole epoch at once.

        Args:
            epoch: 0-based; every epoch visits the same rows.
            ids: (K, B) int64 rows.
            scored: their loss output.
            weight: (K, B) float32, 0 for padding.
        """
        flat, counts = ids.reshape(-1), weight.reshape(-1)
        self.n_epochs = max(self.n_epochs, epoch + 1)
        if epoch == 0:
            self.seen.index_add_(0, flat, counts)
        self.masked.index_add_(0, flat, (~scored.keep).reshape(-1) * counts)
        for field, value in zip(self.epoch[epoch], scored.curves, strict=False):
            field.index_add_(0, flat, value.reshape(-1) * counts)
        visible = torch.where(counts > 0, scored.z.reshape(-1), float("-inf"))
        self.z_max.scatter_reduce_(0, flat, visible, "amax")

    def record_heldout(self, epoch: int, ids: Tensor, output: Tensor, weight: Tensor) -> None:
        """Add predictions of members that never trained on the rows.

        Args:
            epoch: 0-based; each part of the run has sums of its own.
            ids: (K, B) int64 rows.
            output: (K, B, C) logits, or (K, B, 2) location and log scale.
            weight: (K, B) float32, 0 for padding.
        """
        part = epoch * len(self.heldout) // len(self.epoch)
        flat = ids.reshape(-1)
        value = output if self.regression else output.softmax(2)
        if self.own_class is not None:
            value = top_k_of_batch(value, self.own_class[ids])
        self.heldout[part].index_add_(0, flat, (value * weight[..., None]).flatten(0, 1))
        self.n_heldout[part].index_add_(0, flat, weight.reshape(-1))

    def record_second(self, epoch: int, ids: Tensor, margin: Tensor, weight: Tensor) -> None:
        """Add margins of rows of the first split, recorded while the member trains on the second.

        Args:
            epoch: of the second split, 0-based.
            ids: (K, B) int64 rows.
            margin: (K, B) float32.
            weight: (K, B) float32, 0 for padding.
        """
        rows = torch.stack([weight, margin * weight])
        self.second[epoch].index_add_(1, ids.reshape(-1), rows.reshape(2, -1))

    def freeze(self, training_labels: np.ndarray, planted: Planted) -> Round:
        """Turn the sums into columns and curves on the CPU.

        Args:
            training_labels: (N,) labels that the members were trained on.
            planted: which of them are wrong on purpose.
        """
        if self.own_class is not None:
            heldout, best = self.heldout.cpu().numpy()[0], 1.0
        elif self.store.resident:
            unplanted = np.ones(len(training_labels), bool)
            unplanted[planted.row] = False
            heldout, best = best_heldout(self.heldout.cpu().numpy(), self.n_heldout.cpu().numpy(), training_labels, unplanted)
        else:
            heldout, best = self.heldout.numpy()[0], 1.0
            for begin, end in chunk_ranges(len(training_labels), FREEZE_ROWS):
                heldout[begin:end] /= np.maximum(self.n_heldout[0, begin:end].numpy(), 1)[:, None]
                self.store.release()
        columns, curves = self.means(best)
        predictions = heldout if self.own_class is None else TopKProbabilities(heldout, self.n_outputs)
        return Round(training_labels, planted, columns, predictions, curves, best)

    def means(self, best: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Compute columns (N,) and curves (E, N) of a `Round`, chunk by chunk; on the CPU the curves overwrite the sums they are made from.

        Args:
            best: how far into the run held-out predictions were best, in (0, 1].
        """
        epoch, second = self.epoch.cpu().numpy()[: max(1, self.n_epochs)], self.second.cpu().numpy()
        numbers = {name: getattr(self, name).cpu().numpy() for name in ("seen", "masked", "z_max")}
        n, columns = epoch.shape[2], dict[str, np.ndarray]()
        for begin, end in chunk_ranges(n, FREEZE_ROWS):
            part = slice(begin, end)
            found, curves = row_columns(epoch[:, :, part], **{name: one[part] for name, one in numbers.items()}, regression=self.regression, best=best)
            for name, values in found.items():
                if name not in columns:
                    columns[name] = self.store.zeros((n,), np.float32)
                columns[name][part] = values
            for name, values in curves.items():
                epoch[:, CURVES[name], part] = values
            with np.errstate(invalid="ignore", divide="ignore"):
                second[:, 1, part] /= second[:, 0, part]
            self.store.release()
        if len(second):
            columns["forgotten_epoch"] = forgotten_epoch(second[:, 1])
        return columns, {**{name: epoch[:, at] for name, at in CURVES.items() if at < epoch.shape[1]}, "second": second[:, 1]}


def top_k_of_batch(p: Tensor, own: Tensor) -> Tensor:
    """Keep the largest probabilities of a batch, (K, B, 2 x TOP_K) float32 as in `heldout.TopKProbabilities`.

    Args:
        p: (K, B, C) probabilities.
        own: (K, B) int64 class that replaces the last of the top k where it is not among them; -1 for none.
    """
    code = p.topk(TOP_K, 2).indices
    is_missing = (own >= 0) & (code != own[..., None]).all(2)
    code[..., -1] = torch.where(is_missing, own, code[..., -1])
    return torch.cat([p.gather(2, code), code.to(p.dtype)], 2)


def best_heldout(total: np.ndarray, n: np.ndarray, labels: np.ndarray, unplanted: np.ndarray) -> tuple[np.ndarray, float]:
    """Average held-out predictions over the parts of the run that predict the given labels best (smallest log loss).

    Args:
        total: (P, N, C) float32 sums per part.
        n: (P, N) float32 number of predictions in each sum.
        labels: (N,) training labels; -1 or NaN = unlabelled.
        unplanted: (N,) bool, rows trained on their given label.

    Returns:
        (N, C) float32; and how far into the run the best part ends, in (0, 1].
    """
    spans = [(a, b) for a in range(len(total)) for b in range(a + 1, len(total) + 1) if n[a:b].sum() > 0]
    if not spans:
        return np.full(total.shape[1:], np.nan, np.float32), 1.0
    means = {(a, b): total[a:b].sum(0) / np.maximum(n[a:b].sum(0), 1)[:, None] for a, b in spans}
    loss = {span: heldout_loss(mean, labels, unplanted) for span, mean in means.items()}
    best = min(spans, key=lambda span: loss[span])
    single = min((span for span in spans if span[1] - span[0] == 1), key=lambda span: loss[span])
    return means[best].astype(np.float32), single[1] / len(total)


def heldout_loss(heldout: np.ndarray, labels: np.ndarray, unplanted: np.ndarray) -> float:
    """Mean log loss of the rows trained on their given label; residuals are clipped at 4 scales.

    Args:
        heldout: (N, C) probabilities or (N, 2) location and log scale.
        labels: (N,) int64 classes or float targets.
        unplanted: (N,) bool, rows trained on their given label.
    """
    if labels.dtype.kind == "f":
        counted = unplanted & ~np.isnan(labels)
        location, log_scale = heldout[counted].T
        spread = np.minimum(np.abs(labels[counted] - location) * np.exp(-log_scale), 4.0)
        return float(np.mean(spread + log_scale))
    counted = unplanted & (labels >= 0)
    p = heldout[counted, labels[counted]]
    return float(-np.mean(np.log(np.maximum(p, 1e-3))))


def row_columns(
    epoch: np.ndarray, seen: np.ndarray, masked: np.ndarray, z_max: np.ndarray, regression: bool, best: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Compute the columns of `evidence.DOCS` from sums per epoch.

    Args:
        epoch: (E, 3 or 4, N) float32 sums of z, error, margin and, where recorded, sieve.
        seen: (N,) float32 visits in each epoch.
        masked: (N,) float32 masked visits.
        z_max: (N,) float32.
        regression: errors are signed.
        best: how far into the run held-out predictions were best, in (0, 1].

    Returns:
        Columns (N,), NaN where a row was never trained on; and the means over the epochs, (E, N) each.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        curves = {name: epoch[:, part] / seen for name, part in CURVES.items() if part < epoch.shape[1]}
        z, error, margin = (curves[name] for name in ("z", "error", "margin"))
        loss = np.abs(error) if regression else np.logaddexp(0, error)
        confidence = np.exp(-loss)
        correct = margin > (-1.0 if regression else 0.0)
        until = max(1, int(np.ceil(best * len(epoch))))
        columns = {
            "n_seen": seen * len(epoch),
            "n_masked": masked,
            "z_score": z.mean(0),
            "z_max": np.where(seen > 0, z_max, np.nan),
            "z_last": z[-1],
            "loss_mean": loss.mean(0),
            "confidence_mean": confidence.mean(0),
            "confidence_std": confidence.std(0),
            "margin_mean": margin.mean(0),
            "spread_best": -margin[:until].mean(0),
            "learned_epoch": learned_epoch(correct),
            "n_forgotten": (correct[:-1] & ~correct[1:]).sum(0).astype(np.float32),
        }
    return columns, curves


def forgotten_epoch(margin: np.ndarray) -> np.ndarray:
    """First epoch of the second split, counted from 1, from which the label is not predicted any more; E + 1 where it still is at the end.

    Args:
        margin: (E, N) float32 of the training label while members train on the other rows; NaN = not trained on in the first split.

    Returns:
        (N,) float32, NaN where unknown.

    Source: second-split forgetting time, arXiv:2210.15031.
    """
    right = margin > 0
    last = np.where(right.any(0), len(right) - right[::-1].argmax(0), 0)
    return np.where(np.isnan(margin).any(0), np.nan, last + 1).astype(np.float32)


def learned_epoch(correct: np.ndarray) -> np.ndarray:
    """First epoch from which each row was predicted correctly in `MIN_LEARNED_RUN` consecutive epochs; E where there is none.

    Args:
        correct: (E, N) bool.
    """
    run = correct.copy()
    for step in range(1, min(MIN_LEARNED_RUN, len(correct))):
        run[:-step] &= correct[step:]
        run[-step:] = False
    return np.where(run.any(0), run.argmax(0), len(correct)).astype(np.float32)
