"""The verdict words, and what `zcurate apply` calls the columns it adds."""

from __future__ import annotations

VERDICTS = ("clean", "hard", "incorrect", "outlier", "unlabelled", "skipped", "unjudged", "suspect")
"""In the order of their codes."""
ADDED_COLUMNS = {"verdict": "zcurate_verdict", "p_incorrect": "zcurate_p_incorrect", "suggested": "zcurate_suggested", "weight": "zcurate_weight"}
"""Column of a report -> what `apply` calls it in the data; underscores are appended where the data have one already."""
