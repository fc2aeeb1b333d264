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
__all__ = ["LabelErrorDetector", "Recorder", "Report", "__version__", "load_report", "nn", "scan"]


WHERE = {
    "LabelErrorDetector": "zcurate.integrations.sklearn:LabelErrorDetector",
    "Recorder": "zcurate.integrations.recorder:Recorder",
    "Report": "zcurate.report.report:Report",
    "load_report": "zcurate.report.storage:load",
    "nn": "zcurate.nn",
    "scan": "zcurate.pipeline.api:scan",
}
"""Public name -> module, and the name in it."""


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that `import zcurate` stays light."""
    if name not in WHERE:
        raise AttributeError(f"module 'zcurate' has no attribute '{name}'")
    import importlib

    module, _, inside = WHERE[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, inside) if inside else found


def __dir__() -> list[str]:
    """List what there is to use."""
    return sorted(__all__)
