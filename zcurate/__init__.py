"""zcurate finds the wrong labels in a table or picture folder and tells them apart from rows that are merely hard.

    import zcurate
    report = zcurate.scan("dataset.csv", label="species")
    report.flagged                      # the rows whose label is probably wrong, as a data frame
    report.html("report.html")
    report = zcurate.scan(X, y)

Importing the package is light: torch, pandas and pyarrow load when a function needs them.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Recorder", "Report", "__version__", "load_report", "nn", "scan"]


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that `import zcurate` stays light."""
    if name == "scan":
        from zcurate.pipeline.api import scan

        return scan
    if name == "load_report":
        from zcurate.report.storage import load

        return load
    if name == "Report":
        from zcurate.report.report import Report

        return Report
    if name == "Recorder":
        from zcurate.integrations.recorder import Recorder

        return Recorder
    if name == "nn":
        import importlib

        return importlib.import_module("zcurate.nn")
    raise AttributeError(f"module 'zcurate' has no attribute '{name}'")


def __dir__() -> list[str]:
    """List what there is to use."""
    return sorted(__all__)
