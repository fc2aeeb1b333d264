"""`zcurate.scan` and its keyword arguments."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.pipeline.checks import check_first
from zcurate.pipeline.scan import run
from zcurate.runtime.progress import NoProgress, Progress

if TYPE_CHECKING:
    from zcurate.pipeline.cost_model import Estimate
    from zcurate.report.report import Report


def scan(data: Any, *, progress: Progress | None = None, command: str | None = None, **settings: Any) -> Report:
    """Find the wrong labels in a table or a picture folder.

    Args:
        data: path of a file, folder or glob; `-` for standard input; a pandas DataFrame; an Arrow table.
        progress: told of progress; silent by default.
        command: what the user typed, for the run card.
        **settings: as for `zcurate scan`, by their names: `label`, `task`, `model`, `output`, `threshold`, ... (see `ScanOptions`).

    Returns:
        The report: `report.table` has one row per input row in the input's order, `report.card` tells how well to trust it. It is
        written to `output` where that is given.

    Raises:
        UsageError: a setting or a column that is not there.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    return run(data, options_from(settings), progress or NoProgress(), command)


def options_from(settings: dict[str, Any]) -> ScanOptions:
    """Keyword arguments as options.

    Raises:
        UsageError: an unknown name; names the nearest.
    """
    known = {field.name for field in dataclasses.fields(ScanOptions)}
    for name in settings:
        if name not in known:
            raise UsageError(f"scan: no setting '{name}' — known: {listed(sorted(known), 40)}{did_you_mean(name, known)}")
    hints = typing.get_type_hints(ScanOptions)
    for name, value in settings.items():
        hint = hints[name]
        allowed = (tuple, list, str) if name == "exclude" else typing.get_args(hint) or (hint,)
        widened = (*allowed, int) if float in allowed else (*allowed, int, float) if name == "time_limit" else allowed
        if not isinstance(value, widened) or (isinstance(value, bool) and bool not in allowed):
            expected = " or ".join("None" if kind is type(None) else kind.__name__ for kind in allowed)
            raise UsageError(f"scan: {name} = {value!r} — expected {expected}")
    if isinstance(settings.get("exclude"), str):
        settings["exclude"] = (settings["exclude"],)
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    return ScanOptions(**plain)


def estimate_scan(data: Any, options: ScanOptions) -> Estimate:
    """What a scan would cost; of a large input only the beginning is read, nothing is written, torch is not loaded.

    Args:
        data: as for `scan`.
        options: every setting.

    Raises:
        UsageError: an option or a column cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    check_first(options)
    from zcurate.data import discovery, inputs, preview
    from zcurate.pipeline import cost_model
    from zcurate.pipeline.plan import make_plan

    if isinstance(data, str) or hasattr(data, "__fspath__"):
        seen = preview.preview_input(discovery.locate(str(data), options.input_format), options)
    else:
        whole = inputs.read_input(data, options)
        seen = preview.Preview(whole, True)
    what = make_plan(options, seen.data)
    return cost_model.estimate(what, cost_model.shape_of(seen.data, what.spec), cost_model.machine(), seen.exact)
