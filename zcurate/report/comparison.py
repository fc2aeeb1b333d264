"""Compare a scan with the run card of an earlier report, to tell whether both answer the same question."""

from __future__ import annotations

import dataclasses
from typing import Any

from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Dataset

FREE = (
    "output", "force", "device", "time_limit", "resume", "threshold", "precision", "budget", "decisions", "memory", "estimate", "max_bad", "json",
    "quiet", "verbose", "continue_from", "keep_model", "against",
)  # fmt: skip
"""Options that may differ between a report and the scan that replaces it."""
INFERRED = ("label", "task", "input_format")
"""Options whose values a scan infers from the data; what was inferred is compared."""


def differences(card: dict[str, Any], options: ScanOptions, data: Dataset | None) -> tuple[str, str]:
    """Say in which options a scan differs from that of an earlier report.

    Args:
        card: run card of the earlier report.
        options: of the scan.
        data: of the scan; None before it is read, when only what the options name is compared.

    Returns:
        The options of the report and those of the scan that differ, as typed; both empty where none does.
    """
    before: list[str] = []
    now: list[str] = []
    for name, old, new in inferred_pairs(card, options, data) + plain_pairs(card, options):
        if old != new:
            before.append(as_typed(name, old))
            now.append(as_typed(name, new))
    return " ".join(before), " ".join(now)


def inferred_pairs(card: dict[str, Any], options: ScanOptions, data: Dataset | None) -> list[tuple[str, Any, Any]]:
    """List (option, value of the report, value of the scan) of label, task and format as far as both are known."""
    is_file = card["input"].get("path") != "memory"
    old = (card.get("columns", {}).get("label"), card.get("task", {}).get("kind"), card["input"].get("format") if is_file else None)
    if data is not None:
        new: tuple[str | None, str | None, str | None] = (data.roles.label, data.task.kind, data.origin.format)
    else:
        new = (options.label, None if options.task == "auto" else options.task, options.input_format)
        # Whether classes are two or more is known when the data are read.
        if "regression" not in (old[1], new[1]):
            new = (new[0], None, new[2])
    return [(name, one, other) for name, one, other in zip(INFERRED, old, new, strict=True) if None not in (one, other)]


def plain_pairs(card: dict[str, Any], options: ScanOptions) -> list[tuple[str, Any, Any]]:
    """List (option, value of the report, value of the scan) of the options that are not inferred; a report may lack newer options."""
    pairs: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(ScanOptions):
        if field.name not in (*FREE, *INFERRED):
            old, new = plain(card["options"].get(field.name, field.default)), plain(getattr(options, field.name))
            is_chosen = field.name == "model" and new == card.get("model", {}).get("name")
            pairs.append((field.name, new if is_chosen else old, new))
    return pairs


def plain(value: Any) -> Any:
    """Return an option's value in a form that can be compared with what JSON kept of it: lists without their order."""
    return tuple(sorted(value)) if isinstance(value, (list, tuple)) else value


def as_typed(name: str, value: Any) -> str:
    """Write an option as on the command line; `no --group` where it is not set."""
    flag = f"--{name.replace('_', '-')}"
    if value is None or value is False or value == ():
        return f"no {flag}"
    if value is True:
        return flag
    return " ".join(f"{flag} {part}" for part in (value if isinstance(value, tuple) else (value,)))
