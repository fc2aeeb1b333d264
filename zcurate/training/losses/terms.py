"""Row losses, errors, margins, and their gradients by the outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def class_losses(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Row losses, errors, margins and CORES scores of a classification batch; of two classes the last two are None, as `Scored` has them.

    Args:
        logits: (K, B, C) float32.
        y: (K, B) int64 shown classes.

    Returns:
        loss (K, B) = -log p_y; error (K, B) = log(1 - p_y) - log p_y, high = bad; margin (K, B) = f_y - max_{k != y} f_k;
        sieve (K, B) = CE_y - mean_k CE_k (arXiv:2010.02347), high = bad.
    """
    if logits.shape[2] == 2:
        first, second = logits.unbind(2)
        error = (first - second).mul_(signs(y))
        return F.softplus(error), error, None, None
    own = logits.gather(2, y[..., None]).squeeze(2)
    others = logits.scatter(2, y[..., None], float("-inf"))
    error = others.logsumexp(2) - own
    return F.softplus(error), error, own - others.amax(2), logits.mean(2) - own


def signs(y: Tensor) -> Tensor:
    """(K, B) float32: -1 for the first of two classes, 1 for the second.

    Args:
        y: (K, B) int64.
    """
    return (2.0 * y).sub_(1)


def class_gradient(logits: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """(K, B, C) derivative of each row's cross-entropy by its logits: p - 1[y].

    Args:
        logits: (K, B, C) float32.
        y: (K, B) int64.
        error: (K, B) float32, as `class_terms` has it.
    """
    if logits.shape[2] == 2:
        other = error.sigmoid().mul_(signs(y))
        return torch.stack([other, -other], 2)
    slope = logits.softmax(2)
    return slope.scatter_add_(2, y[..., None], torch.full_like(slope[..., :1], -1.0))


def target_losses(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Row losses, errors, margins and zeros of a regression batch: a Laplace distribution with a learned scale.

    Args:
        output: (K, B, 2) float32, location and log scale [standardised target].
        y: (K, B) float32 shown targets, standardised.

    Returns:
        loss (K, B) = |y - location| / scale + log scale; error (K, B) = y - location, signed; margin (K, B) = -|error| / scale.
    """
    location, log_scale = output[..., 0], output[..., 1].clamp(-4.0, 3.0)
    error = y - location
    spread = error.abs() * torch.exp(-log_scale)
    return spread + log_scale, error, -spread, torch.zeros_like(spread)


def target_gradient(output: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """(K, B, 2) derivative of each row's Laplace loss by location and log scale; beyond the scale's bounds it does not move.

    Args:
        output: (K, B, 2) float32.
        y: (K, B) float32.
        error: (K, B) float32, as `target_terms` has it.
    """
    log_scale = output[..., 1].clamp(-4.0, 3.0)
    inverse = torch.exp(-log_scale)
    inside = output[..., 1] == log_scale
    return torch.stack([-error.sign() * inverse, inside * (1 - error.abs() * inverse)], 2)


def row_losses(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """`target_terms` of float targets, `class_terms` of classes."""
    return (target_losses if y.dtype.is_floating_point else class_losses)(output, y)


def loss_gradient(output: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """`target_slope` of float targets, `class_slope` of classes."""
    return (target_gradient if y.dtype.is_floating_point else class_gradient)(output, y, error)
