"""Every option once: name, default, help and check. The command line and the Python functions are both derived from these classes.

A field's metadata holds `help` (text, or a function that returns it), `panel` (section of the help) and, where they differ from the name, `flags`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from zcurate import plugins
from zcurate.config.units import check_choice, parse_duration, parse_share, parse_size
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import UsageError

TASKS = ("auto", "binary", "multiclass", "regression")
DEVICES = ("auto", "cpu", "cuda")
KINDS = ("number", "category", "text", "date", "vector", "id")
MAX_PLANTED_SHARE = 0.5
"""Above one half, most labels of a copy would be wrong."""


def option(default: Any, help: str | Callable[[], str], panel: str, *flags: str, metavar: str | None = None) -> Any:
    """Return a dataclass field that carries its own help.

    Args:
        default: value when the option is not given.
        help: text, or a function that returns it once the command is built.
        panel: section of the help.
        flags: where they differ from the field's name.
        metavar: name of the value in the help.
    """
    return field(default=default, metadata={"help": help, "panel": panel, "flags": flags, "metavar": metavar})


def model_help() -> str:
    """Return the help of `--model`, which lists the models."""
    return f"auto, {', '.join(plugins.MODELS)}, a TOML file, or file.py:function."


def input_format_help() -> str:
    """Return the help of `--input-format`, which lists the readers."""
    return f"{', '.join(plugins.READERS)} [default: by name]."


def report_formats() -> tuple[str, ...]:
    """Return the values of `--format`."""
    return ("auto", *plugins.FORMATS)


def report_format_help() -> str:
    """Return the help of `--format`, which lists the formats."""
    return f"{', '.join(report_formats())}; auto is a table on a terminal, CSV in a pipe."


def check_encoding(name: str) -> None:
    """Refuse an encoding that Python does not know.

    Raises:
        UsageError: names the encoding.
    """
    try:
        "".encode(name)
    except (LookupError, ValueError, UnicodeError) as error:
        raise UsageError(f"--encoding: no encoding '{name}' — expected one that Python knows — try --encoding utf-8, cp1252 or shift_jis") from error


@dataclass(frozen=True)
class ScanOptions:
    """Options of `zcurate scan`."""

    label: str | None = option(None, "Column with the labels.", "Input", "--label", "-l", metavar="COL")
    id: str | None = option(None, "Column with your own row key, copied into the report.", "Input", metavar="COL")
    task: str = option("auto", "auto, binary, multiclass or regression.", "Model", metavar="TASK")
    model: str = option("auto", model_help, "Model", metavar="SPEC")
    output: str | None = option(None, "Report to write [default: <stem>.zcurate.parquet here].", "Output", "--output", "-o", metavar="FILE")
    force: bool = option(False, "Overwrite FILE, whatever it is.", "Output")
    device: str = option("auto", "auto, cpu or cuda.", "Run", metavar="DEVICE")
    epochs: int | None = option(None, "Passes over the data [default: by size].", "Model", metavar="N")
    time_limit: str | None = option(None, "Stop training after this long: 90s, 10m, 2h.", "Run", metavar="TIME")
    resume: bool = option(False, "Resume an interrupted scan from its checkpoint.", "Run")
    seed: int = option(0, "Random seed.", "Run", metavar="N")
    group: str | None = option(None, "Column; rows with the same value stay in the same fold.", "Input", metavar="COL")
    exclude: tuple[str, ...] = option((), "Column (or glob) to hide from the model; repeatable.", "Input", metavar="COL")
    kind: tuple[str, ...] = option((), f"Read a column (or glob) as {', '.join(KINDS)}; repeatable.", "Input", metavar="COL=KIND")
    missing: str | None = option(None, "Words that mean a missing value, by comma [default: NA, n/a, null, NaN in text files].", "Input", metavar="W,...")
    keep_spelling: bool = option(False, "Labels that differ only in case, blanks or 1/1.0 are classes of their own.", "Input")
    encoding: str | None = option(None, "Encoding of text files [default: guessed].", "Input", metavar="NAME")
    image: str | None = option(None, "Column with images: paths or encoded bytes.", "Input", metavar="COL")
    root: str | None = option(None, "Folder that image paths are relative to.", "Input", metavar="DIR")
    input_format: str | None = option(None, input_format_help, "Input", metavar="F")
    threshold: float | None = option(None, "Flag rows with p_incorrect above P [default: 0.5].", "Decide", metavar="P")
    precision: float | None = option(None, "Flag as many rows as an expected precision of P allows.", "Decide", metavar="P")
    budget: int | None = option(None, "Flag at most the N most suspicious rows.", "Decide", metavar="N")
    memory: str | None = option(None, "Use about this much memory: 500MB, 4GB, 2GiB [default: what the machine has].", "Run", metavar="SIZE")
    estimate: bool = option(False, "Print the estimated time and memory, then exit.", "Run")
    max_bad: str = option("5%", "Exit 4 when more rows than this cannot be read.", "Run", metavar="SHARE")
    json: bool = option(False, "Print the summary as one JSON object on stdout.", "Output")
    quiet: bool = option(False, "No progress, no summary.", "Output", "--quiet", "-q")
    verbose: bool = option(False, "Print more: seconds by stage, excluded columns.", "Output", "--verbose", "-v")

    def check(self) -> None:
        """Refuse invalid values, before any data are read.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_choice(self.task, TASKS, "--task")
        check_choice(self.device, DEVICES, "--device")
        for text in self.kind:
            column, equals, kind = text.rpartition("=")
            if not (column and equals):
                raise UsageError(f"--kind: {text} names no column and kind — expected COL=KIND — try --kind {text or 'age'}=number")
            check_choice(kind, KINDS, f"--kind {column}")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.input_format is not None:
            check_choice(self.input_format, tuple(plugins.READERS), "--input-format")
        cuts = [name for name in ("threshold", "precision", "budget") if getattr(self, name) is not None]
        if len(cuts) > 1:
            raise UsageError(f"--{cuts[0]} and --{cuts[1]} both set the threshold — expected one of them — leave one out")
        for name in ("threshold", "precision"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise UsageError(f"--{name}: {value:g} is out of range — expected between 0 and 1 — try --{name} 0.9")
        for name in ("budget", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name}: {value} is out of range — expected 1 or more")
        if self.seed < 0:
            raise UsageError(f"--seed: {self.seed} is out of range — expected 0 or more")
        parse_duration(self.time_limit)
        parse_size(self.memory)
        parse_share(self.max_bad, "--max-bad")


@dataclass(frozen=True)
class TrialOptions(ScanOptions):
    """Options of `zcurate trial`: those of a scan, and which errors to plant."""

    share: str = option("10%", "Share of the labeled rows to plant an error in.", "Plant", metavar="SHARE")
    kinds: str | None = option(None, "Kinds to plant, by comma [default: all that fit the task].", "Plant", metavar="KIND,...")
    prioritise: bool = option(False, "Show how loss-based prioritization would spend a training budget.", "Output")

    def check(self) -> None:
        """Refuse invalid values, before any data are read.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        super().check()
        if not 0 < parse_share(self.share, "--share") <= MAX_PLANTED_SHARE:
            raise UsageError(f"--share: {self.share} is out of range — expected above 0 and at most {MAX_PLANTED_SHARE:.0%} — try --share 10%")


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `zcurate explain`."""

    by_row: bool = option(False, "Interpret every ROW as a row number, even if the report has ids.", "Select")
    json: bool = option(False, "Print one JSON object per row.", "Show")


@dataclass(frozen=True)
class ReportOptions:
    """Options of `zcurate report`."""

    verdict: str | None = option(None, "Verdicts to list, by comma [default: incorrect].", "Select", metavar="V,...")
    top: int | None = option(None, "The N most suspicious rows; without --verdict, of any verdict.", "Select", metavar="N")
    class_: str | None = option(None, "Only rows with given label C; same as --given.", "Select", "--class", metavar="C")
    given: str | None = option(None, "Only rows with this given label.", "Select", metavar="A")
    suggested: str | None = option(None, "Only rows with this suggested label.", "Select", metavar="B")
    min_p: float | None = option(None, "Only rows with at least this p_incorrect.", "Select", metavar="P")
    format: str = option("auto", report_format_help, "Show", metavar="F")
    columns: str | None = option(None, "Columns to show, by comma.", "Show", metavar="C,...")
    with_data: bool = option(False, "Join the input's columns and an empty `decision` column.", "Show")
    output: str | None = option(None, "Write to FILE instead of stdout; its ending selects the format.", "Show", "--output", "-o", metavar="FILE")
    null: bool = option(False, "With --format ids: end each id with NUL, for xargs -0.", "Show", "-0")

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_choice(self.format, report_formats(), "--format")
        for word in self.verdicts() or ():
            check_choice(word, VERDICTS, "--verdict")
        if self.top is not None and self.top < 1:
            raise UsageError(f"--top: {self.top} is out of range — expected 1 or more")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UsageError(f"--min-p: {self.min_p:g} is out of range — expected between 0 and 1")
        if self.null and self.format not in ("auto", "ids"):
            raise UsageError(f"-0 with --format {self.format} — expected --format ids — leave one out")

    def verdicts(self) -> tuple[str, ...] | None:
        """Return the selected verdicts; None for all of them (`--top` alone)."""
        if self.verdict is None:
            return None if self.top is not None else ("incorrect",)
        return tuple(word.strip() for word in self.verdict.split(","))
