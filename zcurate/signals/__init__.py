"""The shelf of signals: each file has `needs` and `score(view) -> float32[N]`, 1.0 = suspicious, NaN = cannot tell."""

from __future__ import annotations

from zcurate.registry import Registry

CLASS_SIGNALS = Registry(
    "signal",
    posterior="zcurate.signals.posterior:score",
    heldout_margin="zcurate.signals.heldout_margin:score",
    training_margin="zcurate.signals.training_margin:score",
)
TARGET_SIGNALS = Registry(
    "signal",
    heldout_residual="zcurate.signals.heldout_residual:score",
    training_residual="zcurate.signals.training_residual:score",
)
