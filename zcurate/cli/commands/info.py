"""`zcurate info [DATA|REPORT]`: versions and device; the columns and task of data; the run card and columns of a report."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from zcurate.cli.completion import complete_data_or_report
from zcurate.cli.render.numbers import rate_with_interval
from zcurate.cli.typer_options import argument, with_options
from zcurate.config.options import ScanOptions
from zcurate.runtime.safe_text import visible

PACKAGES = ("torch", "pyarrow", "pandas", "numpy", "typer", "rich", "pillow", "scikit-learn")
"""Packages whose versions are shown."""
READ_OPTIONS = (
    "label", "id", "task", "group", "exclude", "kind", "missing", "keep_spelling", "encoding", "image", "root", "input_format", "json",
)  # fmt: skip
"""Options that decide how data are read."""


@with_options(ScanOptions, argument("path", "Data set or report; nothing for versions and device.", "DATA|REPORT", complete_data_or_report), only=READ_OPTIONS)
def info(path: str | None, options: ScanOptions) -> None:
    """Show versions and device; of DATA the inferred columns and task; of a report its run card and columns."""
    facts = versions() if path is None else describe_path(path, options)
    if options.json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        for at, line in enumerate(value if isinstance(value, list) else [value]):
            sys.stdout.write(f"{name if at == 0 else '':<{width}}  {visible(str(line))}\n")


def describe_path(path: str, options: ScanOptions) -> dict[str, Any]:
    """Describe a report, or data."""
    from zcurate.runtime import startup

    startup.start()
    from zcurate.report.storage import is_report

    return describe_report(path) if is_report(path) else describe_data(path, options)


def versions() -> dict[str, Any]:
    """List the versions of the main packages, and the device that `--device auto` chooses."""
    from zcurate import __version__
    from zcurate.runtime import device

    facts: dict[str, Any] = {"zcurate": __version__, "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    chosen = device.pick("auto")
    device.use_threads()
    facts["device"] = device.describe(chosen)
    return facts


def describe_data(path: str, options: ScanOptions) -> dict[str, Any]:
    """Describe data as a scan would read them."""
    from zcurate.data.inputs import describe_input

    options.check()
    data = describe_input(path, options)
    facts: dict[str, Any] = {"rows": data.n_rows, "format": data.origin.format, "label": data.roles.label, "task": f"{data.task.kind}: {data.task.why}"}
    if data.task.classes:
        more = f" ... ({len(data.task.classes)})" if len(data.task.classes) > 10 else ""
        facts["classes"] = ", ".join(data.task.classes[:10]) + more
    facts["unlabelled"] = data.given.null_count
    if data.pictures is not None:
        channels, height, width = data.pictures.shape[1:]
        facts["pictures"] = f"{width}x{height}, {channels} channel{'s' if channels > 1 else ''}"
    facts["features"] = [f"{column.name} ({column.kind})" for column in data.roles.features] or ["the picture"]
    if data.roles.left_out:
        facts["left out"] = [f"{column.name}: {column.why}" for column in data.roles.left_out]
    if data.skipped:
        facts["unreadable"] = [f"row {skip.row}{f', {skip.path}' if skip.path else ''}: {skip.reason}" for skip in data.skipped[:10]]
    if data.passed_over:
        facts["passed over"] = ", ".join(f"{n} {ending}" for ending, n in data.passed_over.items())
    if data.warnings:
        facts["warnings"] = list(data.warnings)
    return facts


def describe_report(path: str) -> dict[str, Any]:
    """Summarize the run card, and list every column with its type and meaning."""
    from zcurate.report.schema import COLUMN_DOCS
    from zcurate.report.storage import load, schema_of

    report = load(path, lambda name: name == "verdict")
    card = report.card
    skill = card["skill"]
    facts: dict[str, Any] = {
        "input": f"{card['input']['path']} ({card['input']['rows']} rows, {card['input']['format']})",
        "command": card["command"] or "from Python",
        "written by": f"zcurate {card['zcurate']}, torch {card['versions']['torch']}, {card['device']}, seed {card['seed']}",
        "task": f"{card['task']['kind']}: {card['task']['why']}",
        "model": f"{card['model']['name']}: {card['model']['why']}",
        "skill": f"held-out {skill['measure']} {skill['value']:.3f}, chance {skill['chance']:.3f}",
        "verdicts": ", ".join(f"{word} {n}" for word, n in report.counts().items()),
    }
    if card["partial"]:
        facts["partial"] = "training was stopped by --time-limit"
    if card["judged"]:
        facts["noise rate"] = rate_with_interval(card["noise_rate"])
        facts["cut"] = f"p_incorrect > {card['thresholds']['p_incorrect']:g}"
    else:
        facts["not judged"] = card["why_unjudged"]
    if card["warnings"]:
        facts["warnings"] = card["warnings"]
    facts["columns"] = [f"{field.name}: {type_name(field.type)} — {COLUMN_DOCS.get(field.name, '')}" for field in schema_of(path)]
    return facts


def type_name(kind: Any) -> str:
    """Format an Arrow type without its inner types."""
    return str(kind).split("<", 1)[0]
