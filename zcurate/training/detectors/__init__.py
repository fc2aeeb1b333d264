"""The shelf of witnesses: each file has `columns` and `observe(encoded) -> dict of (N,) columns`, and decides nothing."""

from __future__ import annotations

from zcurate.registry import Registry

WITNESSES = Registry(
    "witness",
    novelty="zcurate.training.detectors.outliers:detect",
    neighbours="zcurate.training.detectors.neighbors:detect",
)
