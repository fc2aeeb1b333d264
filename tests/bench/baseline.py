"""Run the baseline: 5-fold LightGBM, then cleanlab, from a file to a Parquet file.

    python tests/bench/baseline.py DATA OUTPUT [LABEL]

DATA is CSV or Parquet. LightGBM with its defaults under `cross_val_predict`, then cleanlab's `find_label_issues` and label quality scores
with theirs; strings are categories. OUTPUT has one row per row: `is_issue`, `label_quality` (low = suspicious), `predicted`.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from lightgbm import LGBMClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict


def main(data: str, output: str, label: str = "label") -> None:
    """Read `data`, find label issues and write them to `output`."""
    frame = pd.read_parquet(data) if data.endswith((".parquet", ".pq")) else pd.read_csv(data)
    classes, y = np.unique(frame.pop(label).astype(str), return_inverse=True)
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype("category")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    p = cross_val_predict(LGBMClassifier(verbose=-1), frame, y, cv=folds, method="predict_proba")
    issues = find_label_issues(y, p)
    quality = get_label_quality_scores(y, p)
    pd.DataFrame({"is_issue": issues, "label_quality": quality.astype(np.float32), "predicted": classes[p.argmax(1)]}).to_parquet(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
