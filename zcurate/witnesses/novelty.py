"""How far each input lies from the bulk of the data.

Sees numbers and vectors in robust deviations, categories by their rarity, pictures by coarse brightness and roughness. Wrong when:
the data fall into far-apart groups of very different sizes; then the smallest looks novel.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zcurate.encode import Encoded

columns = ("distance",)


def observe(encoded: Encoded) -> dict[str, np.ndarray]:
    """`distance` (N,) float64: root mean square of the columns' robust deviations; NaN where there is nothing to measure."""
    parts = [softened(x) for x in (encoded.x, encoded.dense, None if encoded.images is None else picture_features(encoded.images)) if x is not None]
    if encoded.codes is not None:
        share = torch.bincount(encoded.codes.reshape(-1), minlength=encoded.n_codes).float() / encoded.n_rows
        parts.append(-share[encoded.codes].clamp_min(1e-9).log() / 3)
    if not parts:
        return {"distance": np.full(encoded.n_rows, np.nan)}
    together = torch.cat(parts, 1)
    return {"distance": together.square().mean(1).sqrt().double().cpu().numpy()}


def softened(x: Tensor) -> Tensor:
    """(N, F) float32 signed robust deviations, logarithmic beyond one, so that one wild number is not the whole row."""
    deviation = robust(x)
    far = deviation.abs()
    return deviation.sign() * torch.where(far > 1, 1 + far.clamp_min(1).log(), far)


def robust(x: Tensor) -> Tensor:
    """(N, F) float32 signed distance from the median in robust standard deviations (a 3.29th of the middle 90 %); columns that hardly vary give 0."""
    sample = x[:: max(1, len(x) // 20_000)]
    low, middle, high = torch.quantile(sample.double(), torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64, device=x.device), dim=0).float()
    scale = (high - low) / 3.29
    return torch.where(scale > 1e-12, (x - middle) / scale.clamp_min(1e-12), 0.0)


def picture_features(images: Tensor) -> Tensor:
    """(N, 19) float32: mean brightness in a 4 x 4 grid, overall contrast, roughness across and down."""
    grey = images.float().mean(1, keepdim=True)
    grid = F.adaptive_avg_pool2d(grey, 4).flatten(1)
    across, down = (grey.diff(dim=dim).abs().mean((1, 2, 3)) for dim in (3, 2))
    return torch.cat([grid, grey.std((1, 2, 3))[:, None], across[:, None], down[:, None]], 1)
