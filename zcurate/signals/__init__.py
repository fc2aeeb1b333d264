"""The shelf of clues: each file has `needs` and `score(view) -> float32[N]`, 1.0 = suspicious, NaN = cannot tell."""

from __future__ import annotations

from zcurate.registry import Registry

CLASS_SIGNALS = Registry(
    "clue",
    posterior="zcurate.signals.posterior:score",
    counted_posterior="zcurate.signals.counted_posterior:score",
    heldout_margin="zcurate.signals.heldout_margin:score",
    training_margin="zcurate.signals.training_margin:score",
    training_posterior="zcurate.signals.training_posterior:score",
    neighbour_labels="zcurate.signals.neighbour_labels:score",
    class_centre="zcurate.signals.class_centre:score",
    duplicate="zcurate.signals.duplicate:score",
    class_z="zcurate.signals.class_z:score",
    class_z_robust="zcurate.signals.class_z_robust:score",
    confidence="zcurate.signals.confidence:score",
    variability="zcurate.signals.variability:score",
    correctness="zcurate.signals.correctness:score",
    aleatoric="zcurate.signals.aleatoric:score",
    learned_epoch="zcurate.signals.learned_epoch:score",
    mastered_epoch="zcurate.signals.mastered_epoch:score",
    curvature="zcurate.signals.curvature:score",
    forgotten="zcurate.signals.forgotten:score",
    loss_cluster="zcurate.signals.loss_cluster:score",
    ema_label="zcurate.signals.ema_label:score",
    sieve="zcurate.signals.sieve:score",
    discrim_stage="zcurate.signals.discrim_stage:score",
    discrim_weight="zcurate.signals.discrim_weight:score",
    exponentiated="zcurate.signals.exponentiated:score",
    random_label="zcurate.signals.random_label:score",
    second_split="zcurate.signals.second_split:score",
)
TARGET_SIGNALS = Registry(
    "clue",
    heldout_residual="zcurate.signals.heldout_residual:score",
    training_residual="zcurate.signals.training_residual:score",
    conformal="zcurate.signals.conformal:score",
    neighbour_targets="zcurate.signals.neighbour_targets:score",
    sparse_region="zcurate.signals.sparse_region:score",
)
