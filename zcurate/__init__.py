"""zcurate finds the wrong labels in a table or picture folder and tells them apart from rows that are merely hard.

    import zcurate
    report = zcurate.scan("dataset.csv", label="species")
    report.top(100)
    report = zcurate.scan(X, y)

Importing the package is light: torch, pandas and pyarrow load when a function needs them.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_report", "scan"]


def __getattr__(name: str) -> Any:
    """Load the two public functions on first use, so that `import zcurate` stays light."""
    if name == "scan":
        from zcurate.pipeline.api import scan

        return scan
    if name == "load_report":
        from zcurate.report.storage import load

        return load
    raise AttributeError(f"module 'zcurate' has no attribute '{name}'")
