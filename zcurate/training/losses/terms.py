"""Row losses, errors and margins, and the gradients of the losses with respect to the outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def class_losses(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Compute row losses, errors, margins and CORES scores of a classification batch.

    With two classes the margin and the CORES score follow from the error and are None, as in `LossOutput`.

    Args:
        logits: (K, B, C) float32.
        y: (K, B) int64 training labels.

    Returns:
        loss (K, B) = -log p_y; error (K, B) = log(1 - p_y) - log p_y, high = bad; margin (K, B) = f_y - max_{k != y} f_k;
        CORES score (K, B) = CE_y - mean_k CE_k (arXiv:2010.02347), high = bad.
    """
    if logits.shape[2] == 2:
        first, second = logits.unbind(2)
        error = (first - second).mul_(class_signs(y))
        return F.softplus(error), error, None, None
    own = logits.gather(2, y[..., None]).squeeze(2)
    others = logits.scatter(2, y[..., None], float("-inf"))
    error = others.logsumexp(2) - own
    return F.softplus(error), error, own - others.amax(2), logits.mean(2) - own


def loss_of_error(error: Tensor, regression: bool) -> Tensor:
    """Return the loss of rows from their errors: -log p of the label [nats]; for regression the absolute error.

    Args:
        error: of any shape, from `class_losses` or `target_losses`.
        regression: errors are signed.
    """
    return error.abs() if regression else F.softplus(error)


def class_signs(y: Tensor) -> Tensor:
    """Map the first of two classes to -1 and the second to 1, (K, B) float32.

    Args:
        y: (K, B) int64.
    """
    return (2.0 * y).sub_(1)


def class_gradient(logits: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """Compute the gradient of each row's cross-entropy with respect to the logits, p - 1[y].

    Args:
        logits: (K, B, C) float32.
        y: (K, B) int64.
        error: (K, B) float32, from `class_losses`.

    Returns:
        (K, B, C) float32.
    """
    if logits.shape[2] == 2:
        second = error.sigmoid().mul_(class_signs(y))
        return torch.stack([second, -second], 2)
    gradient = logits.softmax(2)
    return gradient.scatter_add_(2, y[..., None], torch.full_like(gradient[..., :1], -1.0))


def target_losses(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute row losses, errors and margins of a regression batch.

    The distribution is a Laplace distribution with a learned scale.

    Args:
        output: (K, B, 2) float32, location and log scale [standardized target].
        y: (K, B) float32 standardized training targets.

    Returns:
        loss (K, B) = |y - location| / scale + log scale; error (K, B) = y - location, signed; margin (K, B) = -|error| / scale;
        zeros (K, B) in place of the CORES score.
    """
    location, log_scale = output[..., 0], output[..., 1].clamp(-4.0, 3.0)
    error = y - location
    scaled = error.abs() * torch.exp(-log_scale)
    return scaled + log_scale, error, -scaled, torch.zeros_like(scaled)


def target_gradient(output: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """Compute the gradient of each row's Laplace loss with respect to location and log scale.

    The gradient of the log scale is 0 where the log scale is clamped.

    Args:
        output: (K, B, 2) float32.
        y: (K, B) float32.
        error: (K, B) float32, from `target_losses`.

    Returns:
        (K, B, 2) float32.
    """
    log_scale = output[..., 1].clamp(-4.0, 3.0)
    inverse = torch.exp(-log_scale)
    inside = output[..., 1] == log_scale
    return torch.stack([-error.sign() * inverse, inside * (1 - error.abs() * inverse)], 2)


def row_losses(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Apply `target_losses` to float targets and `class_losses` to classes."""
    return (target_losses if y.dtype.is_floating_point else class_losses)(output, y)


def loss_gradient(output: Tensor, y: Tensor, error: Tensor) -> Tensor:
    """Apply `target_gradient` to float targets and `class_gradient` to classes."""
    return (target_gradient if y.dtype.is_floating_point else class_gradient)(output, y, error)
