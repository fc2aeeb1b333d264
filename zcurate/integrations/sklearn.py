"""A scikit-learn estimator that finds wrong labels: `zcurate.LabelErrorDetector`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data


class LabelErrorDetector(BaseEstimator):  # type: ignore[misc]
    """Finds the wrong labels of a training set.

        detector = LabelErrorDetector().fit(X, y)
        X[detector.verdict_ != "incorrect"]

    Args:
        task: `auto`, `binary`, `multiclass` or `regression`; with `auto`, whole numbers and text are classes, other numbers targets.
        threshold: p_incorrect above which a row is called incorrect.
        random_state: seed of the scan.
        epochs: passes over the data; None: by size.

    Attributes:
        label_quality_: (N,) float64, probability that the given label is right; 0.5 where nothing could be judged.
        verdict_: (N,) str: clean, hard, suspect, incorrect, outlier, unlabelled or unjudged.
        suggested_labels_: (N,) the label that the evidence prefers, the given one where it is unsure.
        report_: `zcurate.Report`.
        n_features_in_: columns of X.
    """

    def __init__(self, task: str = "auto", threshold: float = 0.5, random_state: int = 0, epochs: int | None = None) -> None:
        self.task, self.threshold, self.random_state, self.epochs = task, threshold, random_state, epochs

    def fit(self, X: Any, y: Any) -> LabelErrorDetector:
        """Scan the rows.

        Args:
            X: (N, F) numbers; NaN is a missing value.
            y: (N,) labels.

        Returns:
            The detector itself.

        Raises:
            ValueError: shapes or types that do not fit, or fewer than two classes.
        """
        import pandas as pd

        from zcurate.errors import ZcurateError
        from zcurate.pipeline.api import scan

        if y is None:
            raise ValueError("This LabelErrorDetector estimator requires y to be passed, but the target y is None: expected the labels to judge")
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", dtype="numeric", y_numeric=False)
        task = self.task if self.task != "auto" else "regression" if type_of_target(y).startswith("continuous") else "multiclass"
        if task != "regression":
            check_classification_targets(y)
        names, codes = (None, y) if task == "regression" else np.unique(y, return_inverse=True)
        self.classes_: Any = names
        if self.classes_ is not None and len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present: expected two classes or more")
        frame = pd.DataFrame({f"x{at}": np.asarray(X[:, at], np.float64) for at in range(X.shape[1])})
        labels = y.astype(np.float64) if task == "regression" else np.array([f"c{code}" for code in codes])
        settings: dict[str, Any] = {
            "threshold": self.threshold,
            "seed": int(self.random_state or 0),
            "epochs": self.epochs,
            "task": task if task == "regression" else "auto",
        }
        kinds = dict.fromkeys(frame.columns, "number")
        try:
            self.report_ = scan(frame, labels, kind=kinds, **settings)
        except ZcurateError as error:
            raise ValueError(str(error)) from error
        frame = self.report_.table.select(["p_incorrect", "verdict", "suggested"]).to_pandas()
        self.label_quality_ = (1 - frame["p_incorrect"]).fillna(0.5).to_numpy(np.float64)
        self.verdict_ = frame["verdict"].astype(str).to_numpy()
        self.suggested_labels_ = self.suggestions(frame["suggested"], y)
        return self

    def suggestions(self, suggested: Any, y: np.ndarray) -> np.ndarray:
        """Return the suggested labels in the type of y, the given one where there is none."""
        out = y.copy()
        known = suggested.notna().to_numpy()
        if self.classes_ is None:
            out = out.astype(np.float64)
            out[known] = suggested[known].to_numpy(np.float64)
        elif known.any():
            out[known] = self.classes_[[int(name[1:]) for name in suggested[known]]]
        return out

    def fit_predict(self, X: Any, y: Any) -> np.ndarray:
        """Scan the rows and mark the wrong labels.

        Returns:
            (N,) int64, -1 where the label is called incorrect, else 1, as outlier detectors mark rows.
        """
        self.fit(X, y)
        check_is_fitted(self)
        return np.where(self.verdict_ == "incorrect", -1, 1)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that y is required and NaN is allowed."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        return tags
