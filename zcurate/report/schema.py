"""Columns of the report, their meanings and their Parquet encodings."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from zcurate.data.partitions import REPORT_ENDING, REPORT_KEY

SCHEMA_VERSION, READABLE_VERSIONS = 2, (1, 2)
"""Version of the reports that are written, and those that are read; version 1 has neither the verdict `suspect` nor the column `fingerprint`."""
METADATA_KEY = REPORT_KEY
ENDING = REPORT_ENDING
PICTURES_ONLY = ("duplicate_group", "brightness", "sharpness", "information", "aspect")
ANNOTATION_COLUMNS = ("n_annotations", "agreement", "p_consensus", "wants_label")
REGRESSION_ONLY = ("residual", "residual_z", "interval_low", "interval_high")
VERDICT_ORDER = ("incorrect", "suspect", "hard", "outlier", "clean", "unlabelled", "skipped", "unjudged")
"""Order in which verdicts are listed."""
SCAN_PREFIX = "scan_"
"""Prefix of the columns in which an updated report keeps the scan's own judgement."""
CURVE_COLUMNS = ("loss_curve", "margin_curve", "z_curve", "clues", "top_classes", "top_probabilities")
"""List columns that only `explain` reads; `report` shows them only if `--columns` names them."""
COLUMN_DOCS = {
    "row": "0-based position in the input",
    "id": "value of `--id`",
    "path": "path of the picture",
    "fingerprint": "hash of the row's features (a picture's bytes) and given label, by which decisions find their row again",
    "split": "the split that the row is in (train, valid, test, ...), where the input has splits",
    "given": "the label as written in the input",
    "suggested": "the label that the evidence prefers; null when unsure",
    "p_suggested": "its probability; null for regression",
    "verdict": "clean, hard, suspect, incorrect, outlier, unlabelled, skipped or unjudged",
    "p_incorrect": "calibrated probability that the given label is wrong",
    "p_hard": "probability that the label is right but the row difficult",
    "p_outlier": "probability that the input belongs to no class",
    "rank": "1 = most suspicious",
    "reasons": "codes of the clues that decided, strongest first; then what was found of a picture; of one that could not be read why not",
    "decision": "what a person decided: keep, relabel, drop or unsure; null for none",
    "decided": "the label that was decided",
    "telling": "the row's columns that speak most against its label, as column=value",
    "z_score": "mean signed z of the row's error while training on it (high = worse than its peers)",
    "z_max": "largest z of all training steps",
    "z_last": "mean z in the last epoch",
    "mask_frequency": "share of the row's training steps in which Z-Error left it out of the gradient",
    "n_seen": "training steps with the row, summed over the members that train on it",
    "n_masked": "training steps in which it was left out of the gradient",
    "loss_mean": "mean training loss",
    "confidence_mean": "mean probability of the given label while training",
    "confidence_std": "its standard deviation over the epochs",
    "margin_mean": "area under the margin: mean logit of the given class minus the best other",
    "learned_epoch": "first epoch from which the label was predicted right twice running; the number of epochs when never",
    "n_forgotten": "changes from a right to a wrong prediction",
    "forgotten_epoch": "with `second_split_epochs`: epoch of the second split at which the label was forgotten; one more than there are when never",
    "predicted": "prediction of models that never trained on the row",
    "p_given": "their probability of the given label (regression: of a target at least as far out)",
    "margin_heldout": "their margin of the given label (regression: minus the residual in predicted scales)",
    "entropy_heldout": "entropy of their prediction [nats]",
    "copies_other": "share of the row's exact or near copies that carry another label; null without copies",
    "n_annotations": "with `--annotators`: number of people that labelled the row",
    "agreement": "share of their labels that agree with the one scanned",
    "p_consensus": "probability of that label by all votes, each by its annotator's reliability, and the models",
    "wants_label": "1 where one more label that disagrees would change the most probable class",
    "duplicate_group": "pictures: number of the group of near-duplicates; null for none",
    "brightness": "pictures: mean of the 2 % and the 98 % quantile of the brightness, 0 to 255",
    "sharpness": "pictures: fine detail, as the standard deviation of the Laplacian by that of the brightness",
    "information": "pictures: entropy of the brightness [bits]",
    "aspect": "pictures: width by height",
    "residual": "given minus predicted",
    "residual_z": "the same in predicted standard deviations",
    "interval_low": "lower end of the 90 % interval of right targets",
    "interval_high": "upper end of the 90 % interval of right targets",
    "loss_curve": "loss at each epoch of training, mean of the members that train on the row (this and the next two: two to three digits beyond 200 000 rows)",
    "margin_curve": "margin at each epoch",
    "z_curve": "signed z at each epoch",
    "clues": "percentile rank of each clue among all rows, 0 to 1 = most suspicious, in the order of the run card's `clue_names`; null = cannot tell",
    "top_classes": "the three most probable classes according to models that never trained on the row",
    "top_probabilities": "their probabilities",
}
"""Every column of the schema, in order, and its meaning."""


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """Choose the Parquet encoding of each column, as arguments of `pq.ParquetWriter`."""
    floats = [field.name for field in schema if pa.types.is_floating(field.type) and field.name != "mask_frequency"]
    delta_encoded = {name: "DELTA_BINARY_PACKED" for name in ("row", "rank") if name in schema.names}
    paths = [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in schema]
    dictionary = [name for name in paths if name not in floats and name not in delta_encoded]
    return {"compression": "zstd", "use_dictionary": dictionary, "use_byte_stream_split": floats, "column_encoding": delta_encoded or None}
