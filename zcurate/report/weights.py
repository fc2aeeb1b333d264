"""Sample weights: one float per row, by the judgement or by the losses alone; of decided rows 1 where the label was kept, 0 where it is wrong."""

from __future__ import annotations

import numpy as np

from zcurate.config.model_config import ExponentiatedConfig
from zcurate.errors import UsageError
from zcurate.report.recut import settled
from zcurate.report.report import Report
from zcurate.report.select import floats, is_among

SMALLEST_P = 1e-6
"""Lower limit of held-out probabilities."""


def weights_of(report: Report, scheme: str = "judged") -> np.ndarray:
    """Return the weight of each row, (N,) float32 in the input's order; 0 for rows without a label.

    Args:
        report: a scan's result.
        scheme: `judged`: 1 - p_incorrect, 1 where nothing was judged; `flow`: exp(-loss / median loss) of models that never trained on the row
            (arXiv:2502.02797); `eg`: exponentiated gradient over the losses of the epochs, 1 for the largest (arXiv:2104.01493).

    Raises:
        UsageError: the report has no losses.
    """
    table = report.table
    weight = {"judged": judged_weights, "flow": flow_weights, "eg": exponentiated_weights}[scheme](report)
    decided = settled(table)
    weight[decided] = is_among(table.column("verdict"), ("clean",))[decided]
    weight[is_among(table.column("verdict"), ("unlabelled", "skipped"))] = 0.0
    return weight.astype(np.float32)


def judged_weights(report: Report) -> np.ndarray:
    """1 - p_incorrect, (N,) float64."""
    return 1 - np.nan_to_num(floats(report.table.column("p_incorrect")), nan=0.0)


def flow_weights(report: Report) -> np.ndarray:
    """exp(-loss / median loss), (N,) float64, of held-out predictions: what a model thinks of a row before it could memorize its label."""
    names = report.table.column_names
    if "residual_z" in names:
        loss = np.abs(floats(report.table.column("residual_z")))
    elif "p_given" in names:
        loss = -np.log(np.maximum(floats(report.table.column("p_given")), SMALLEST_P))
    else:
        raise UsageError(f"{report.path or 'report'}: no held-out predictions — expected the report of a scan — leave --scheme out")
    typical = np.nanmedian(loss) if np.isfinite(loss).any() else 1.0
    return np.exp(-np.nan_to_num(loss, nan=0.0) / max(float(typical), SMALLEST_P))


def exponentiated_weights(report: Report) -> np.ndarray:
    """Weights after one mirror step per epoch on the recorded losses, (N,) float64, the largest 1."""
    if "loss_curve" not in report.table.column_names:
        raise UsageError(f"{report.path or 'report'}: no loss_curve — expected the report of a scan that trained — leave --scheme out")
    column, settings = report.table.column("loss_curve").combine_chunks(), ExponentiatedConfig()
    length = np.diff(column.offsets.to_numpy()) * ~column.is_null().to_numpy(zero_copy_only=False)
    loss = np.zeros((len(column), int(length.max(initial=0))))
    loss[np.arange(loss.shape[1])[None] < length[:, None]] = np.nan_to_num(np.asarray(column.flatten().to_numpy(zero_copy_only=False), float))
    log_weight = np.zeros(len(column))
    for epoch in loss.T:
        log_weight = settings.eg_memory * log_weight - settings.eg_rate * np.minimum(epoch, settings.eg_limit)
    return np.exp(log_weight - log_weight.max(initial=-np.inf, where=length > 0)) if length.any() else np.ones(len(column))
