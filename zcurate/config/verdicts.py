"""The verdict words."""

from __future__ import annotations

VERDICTS = ("clean", "hard", "incorrect", "outlier", "unlabelled", "skipped", "unjudged", "suspect")
"""In the order of their codes."""
