"""The shelf of clues: each file has `needs` and `score(view) -> float32[N]`, 1.0 = suspicious, NaN = cannot tell."""

from __future__ import annotations

from zcurate.registry import Registry

CLASS_SIGNALS = Registry(
    "clue",
    posterior="zcurate.evidence.signals.posterior:posterior",
    counted_posterior="zcurate.evidence.signals.posterior:counted_posterior",
    heldout_margin="zcurate.evidence.signals.margins:heldout_margin",
    training_margin="zcurate.evidence.signals.margins:training_margin",
    training_posterior="zcurate.evidence.signals.posterior:training_posterior",
    neighbour_labels="zcurate.evidence.signals.neighbors:neighbour_labels",
    class_centre="zcurate.evidence.signals.neighbors:class_centre",
    duplicate="zcurate.evidence.signals.neighbors:duplicate",
    class_z="zcurate.evidence.signals.zscores:class_z",
    class_z_robust="zcurate.evidence.signals.zscores:class_z_robust",
    confidence="zcurate.evidence.signals.cartography:confidence",
    variability="zcurate.evidence.signals.cartography:variability",
    correctness="zcurate.evidence.signals.cartography:correctness",
    aleatoric="zcurate.evidence.signals.cartography:aleatoric",
    learned_epoch="zcurate.evidence.signals.learning_time:learned_epoch",
    mastered_epoch="zcurate.evidence.signals.learning_time:mastered_epoch",
    curvature="zcurate.evidence.signals.loss_curves:curvature",
    forgotten="zcurate.evidence.signals.learning_time:forgotten",
    loss_cluster="zcurate.evidence.signals.loss_curves:loss_cluster",
    ema_label="zcurate.evidence.signals.loss_curves:ema_label",
    sieve="zcurate.evidence.signals.loss_curves:sieve",
    discrim_stage="zcurate.evidence.signals.discrim:discrim_stage",
    discrim_weight="zcurate.evidence.signals.discrim:discrim_weight",
    exponentiated="zcurate.evidence.signals.discrim:exponentiated",
    random_label="zcurate.evidence.signals.loss_curves:random_label",
    second_split="zcurate.evidence.signals.learning_time:second_split",
)
TARGET_SIGNALS = Registry(
    "clue",
    heldout_residual="zcurate.evidence.signals.residuals:heldout_residual",
    training_residual="zcurate.evidence.signals.residuals:training_residual",
    conformal="zcurate.evidence.signals.residuals:conformal",
    neighbour_targets="zcurate.evidence.signals.neighbors:neighbour_targets",
    sparse_region="zcurate.evidence.signals.neighbors:sparse_region",
)
