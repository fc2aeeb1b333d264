"""The public function `zcurate.scan`, and cost estimates."""

from __future__ import annotations

import os
import types
import typing
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from zcurate.config.array_source import IN_MEMORY
from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.pipeline.checks import check_first
from zcurate.pipeline.scan import run_scan
from zcurate.runtime.context import RunContext
from zcurate.runtime.progress import NoProgress, Progress
from zcurate.runtime.progress_bar import progress_for

if TYPE_CHECKING:
    from zcurate.pipeline.cost_model import Estimate
    from zcurate.report.report import Report


def scan(
    data: Any, y: Any = None, *, features: Any = None, probabilities: Any = None, progress: Progress | bool | None = None, command: str | None = None,
    **settings: Any,
) -> Report:  # fmt: skip
    """Find the wrong labels in a table or a folder of images.

        scan("train.csv", label="species")
        scan(frame, label="species", exclude=["notes"])
        scan(X, y)
        scan(X, y, probabilities=model_probabilities, model="none")

    Args:
        data: path of a file, folder or glob; an address; `-` for standard input. Or a table in memory: a pandas or polars data frame, an Arrow table,
            anything with Arrow's C stream interface, a dictionary of columns, a list of records (dictionaries), or a structured NumPy array. With `y` also
            a 2-D array or a list of rows, whose columns are named x0, x1, ... Of a pandas frame the index is not read.
        y: labels, one for each row of a table in memory: an array, a series or a list; None where they are a column of the data.
        features: as `--features`, or an (N, V) array of numbers, one row for each row of the data: an embedding, say.
        probabilities: as `--probabilities`, or (N, C) out-of-sample class probabilities: an array whose columns are the classes in sorted order, or a data
            frame whose columns are named as the classes.
        progress: True shows a bar in a notebook or on a terminal, and warnings; or an object that receives stages, steps and warnings. Silent by default.
        command: text for the run card, such as the command line.
        **settings: the options of `zcurate scan` by name: `label`, `task`, `model`, `output`, `threshold`, ... (see `ScanOptions`). Columns are named as in
            the data: `label=3` where names are numbers. With `y`, `label` only names the labels.

    Returns:
        The report: `report.table` has one row per input row in the input's order, `report.card` says how far to trust it. It is
        written to `output` where that is given.

    Raises:
        UsageError: an unknown setting, a missing column, data of another type, or labels that do not fit the rows.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    from zcurate.data.inputs import is_path
    from zcurate.data.row_arrays import RowArrays

    if not is_path(data):
        from zcurate.data.memory import prepare

        data, settings = prepare(data, y, settings)
    elif y is not None:
        hint = f" — did you mean label={y!r}?" if isinstance(y, str) else ""
        raise UsageError(f"scan: y with the path {str(data)!r} — expected the name of a column of labels — pass label='...'{hint}")
    arrays = {"features": features, "probabilities": probabilities}
    settings |= {name: str(one) if is_path(one) else IN_MEMORY for name, one in arrays.items() if one is not None}
    if settings.get("estimate"):
        raise UsageError("scan: estimate = True — expected on the command line: zcurate scan DATA --estimate — leave it out")
    options, row_arrays = options_from(settings), RowArrays(**{name: None if is_path(one) else one for name, one in arrays.items()})
    with progress_for() if progress is True else nullcontext(progress or NoProgress()) as shown:
        return run_scan(data, options, RunContext(progress=shown, command=command), arrays=row_arrays)


def options_from(settings: dict[str, Any]) -> ScanOptions:
    """Turn keyword arguments into options.

    Raises:
        UsageError: an unknown name, with the nearest known one; or a value of the wrong type.
    """
    import msgspec

    # Looser than the command line: a number of seconds, and a single column.
    hints = typing.get_type_hints(ScanOptions) | {
        "time_limit": str | float | None,
        "exclude": tuple[str, ...] | str,
        "kind": tuple[str, ...] | dict[str, str],
        "missing": str | tuple[str, ...] | None,
    }
    settings = {name: os.fspath(value) if hasattr(value, "__fspath__") else value for name, value in settings.items()}
    for name, value in settings.items():
        if name not in hints:
            raise UsageError(f"scan: no setting '{name}' — known: {listed(sorted(hints), 40)}{did_you_mean(name, hints)}")
        try:
            msgspec.convert(float(value) if isinstance(value, float) else value, hints[name])  # `float` for NumPy's float64
        except msgspec.ValidationError as error:
            raise UsageError(f"scan: {name} = {value!r} — expected {type_words(hints[name])}") from error
    if isinstance(settings.get("missing"), (list, tuple)):
        settings["missing"] = ",".join(settings["missing"])
    if isinstance(settings.get("kind"), dict):
        settings["kind"] = tuple(f"{column}={kind}" for column, kind in settings["kind"].items())
    if isinstance(settings.get("exclude"), str):
        settings["exclude"] = (settings["exclude"],)
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    return ScanOptions(**plain)


def type_words(kind: Any) -> str:
    """Name the types of a setting for an error message."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return " or ".join("None" if part is type(None) else part.__name__ for part in kinds)


def estimate_scan(data: Any, options: ScanOptions) -> Estimate:
    """Estimate the time and memory of a scan. Of a large input only the beginning is read; nothing is written, torch is not loaded.

    Args:
        data: as for `scan`.
        options: all settings.

    Raises:
        UsageError: an unusable option or column.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    check_first(options)
    for flag, value in (("--against", options.against), ("--continue", options.continue_from)):
        if value is not None:
            raise UsageError(f"--estimate and {flag}: little or nothing is trained — expected one of them — leave --estimate out")
    from zcurate.data import inputs, preview
    from zcurate.data.source import Source
    from zcurate.pipeline import cost_model
    from zcurate.pipeline.plan import make_plan

    data = inputs.locate_input(data, options)
    is_located = isinstance(data, Source)
    found = preview.preview_input(data, options) if is_located else preview.Preview(inputs.read_input(data, options), True)
    plan = make_plan(options, found.data)
    return cost_model.estimate(plan, cost_model.shape_of(found.data, plan.spec), cost_model.machine(), found.exact)
