"""The shelf of clues: each file has `needs` and `score(view) -> float32[N]`, 1.0 = suspicious, NaN = cannot tell."""

from __future__ import annotations

from zcurate.registry import Registry

CLASS_SIGNALS = Registry(
    "clue",
    posterior="zcurate.evidence.signals.posterior:score",
    counted_posterior="zcurate.evidence.signals.counted_posterior:score",
    heldout_margin="zcurate.evidence.signals.heldout_margin:score",
    training_margin="zcurate.evidence.signals.training_margin:score",
    training_posterior="zcurate.evidence.signals.training_posterior:score",
    neighbour_labels="zcurate.evidence.signals.neighbour_labels:score",
    class_centre="zcurate.evidence.signals.class_centre:score",
    duplicate="zcurate.evidence.signals.duplicate:score",
    class_z="zcurate.evidence.signals.class_z:score",
    class_z_robust="zcurate.evidence.signals.class_z_robust:score",
    confidence="zcurate.evidence.signals.confidence:score",
    variability="zcurate.evidence.signals.variability:score",
    correctness="zcurate.evidence.signals.correctness:score",
    aleatoric="zcurate.evidence.signals.aleatoric:score",
    learned_epoch="zcurate.evidence.signals.learned_epoch:score",
    mastered_epoch="zcurate.evidence.signals.mastered_epoch:score",
    curvature="zcurate.evidence.signals.curvature:score",
    forgotten="zcurate.evidence.signals.forgotten:score",
    loss_cluster="zcurate.evidence.signals.loss_cluster:score",
    ema_label="zcurate.evidence.signals.ema_label:score",
    sieve="zcurate.evidence.signals.sieve:score",
    discrim_stage="zcurate.evidence.signals.discrim_stage:score",
    discrim_weight="zcurate.evidence.signals.discrim_weight:score",
    exponentiated="zcurate.evidence.signals.exponentiated:score",
    random_label="zcurate.evidence.signals.random_label:score",
    second_split="zcurate.evidence.signals.second_split:score",
)
TARGET_SIGNALS = Registry(
    "clue",
    heldout_residual="zcurate.evidence.signals.heldout_residual:score",
    training_residual="zcurate.evidence.signals.training_residual:score",
    conformal="zcurate.evidence.signals.conformal:score",
    neighbour_targets="zcurate.evidence.signals.neighbour_targets:score",
    sparse_region="zcurate.evidence.signals.sparse_region:score",
)
