"""Every option once: its name, default, help and check. The command line and the Python functions are both made from here.

A field's metadata holds `help`, `panel` (help section), and where they differ from the field's name the `flags`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from zcurate.errors import UsageError, did_you_mean, listed

TASKS = ("auto", "binary", "multiclass", "regression")
DEVICES = ("auto", "cpu", "cuda")
INPUT_FORMATS = ("csv", "tsv", "jsonl", "parquet", "feather", "npz", "idx", "folder")
VERDICTS = ("clean", "hard", "incorrect", "outlier", "unlabelled", "skipped", "unjudged")
REPORT_FORMATS = ("auto", "table", "csv", "tsv", "json", "jsonl", "ids", "parquet", "markdown")
LARGEST_PLANTED = 0.5
"""Above half, most labels of a copy would be wrong."""


def option(default: Any, help: str, panel: str, *flags: str, metavar: str | None = None) -> Any:
    """A dataclass field that carries its own help."""
    return field(default=default, metadata={"help": help, "panel": panel, "flags": flags, "metavar": metavar})


def seconds(text: str | float | None, name: str = "--time-limit") -> float | None:
    """`90`, `90s`, `10m` or `2h` as seconds.

    Raises:
        UsageError: not a duration.
    """
    if text is None:
        return None
    text = str(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) <= 0:
        raise UsageError(f"{name}: '{text}' is no duration — expected a number with s, m or h — try {name} 10m")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def n_bytes(text: str | int | None, name: str = "--memory") -> int | None:
    """`500MB`, `4GB`, `2GiB` as bytes; a bare number is bytes.

    Raises:
        UsageError: not a size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b?|b)?\s*", str(text).lower())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"{name}: '{text}' is no size — expected a number with KB, MB, GB or GiB — try {name} 4GB")
    unit = (match[2] or "b").removesuffix("b")
    base = 1024 if unit.endswith("i") else 1000
    return int(float(match[1]) * base ** " kmgt".index(unit[:1] or " "))


def share(text: str | float, name: str) -> float:
    """`5%` or `0.05` as 0.05.

    Raises:
        UsageError: not between 0 and 1.
    """
    try:
        value = float(text[:-1]) / 100 if isinstance(text, str) and text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{name}: '{text}' is no share — expected 0 to 1, or a percentage — try {name} 5%")
    return value


def one_of(value: str, known: tuple[str, ...], name: str) -> None:
    """Refuse a word that is not in `known`, naming the nearest.

    Raises:
        UsageError: not in `known`.
    """
    if value not in known:
        hint = did_you_mean(value, known, name + " {}")
        raise UsageError(f"{name}: '{value}' is not known — expected one of {listed(known)}{hint}")


@dataclass(frozen=True)
class ScanOptions:
    """What `zcurate scan` can be told."""

    label: str | None = option(None, "Column with the labels.", "Input", "--label", "-l", metavar="COL")
    id: str | None = option(None, "Column with your own key, copied into the report.", "Input", metavar="COL")
    task: str = option("auto", "auto, binary, multiclass or regression.", "Model", metavar="TASK")
    model: str = option("auto", "auto, linear, mlp, resnet, a TOML file, or file.py:function.", "Model", metavar="SPEC")
    output: str | None = option(None, "Report to write [default: <stem>.zcurate.parquet here].", "Output", "--output", "-o", metavar="FILE")
    force: bool = option(False, "Overwrite FILE even if it is no report of this input.", "Output")
    device: str = option("auto", "auto, cpu or cuda.", "Run", metavar="DEVICE")
    epochs: int | None = option(None, "Passes over the data [default: by size].", "Model", metavar="N")
    time_limit: str | None = option(None, "Stop training after this long: 90s, 10m, 2h.", "Run", metavar="TIME")
    resume: bool = option(False, "Go on from the checkpoint that an unfinished scan left beside its report.", "Run")
    seed: int = option(0, "Seed of every random choice.", "Run", metavar="N")
    group: str | None = option(None, "Column; rows with the same value stay in one fold.", "Input", metavar="COL")
    exclude: tuple[str, ...] = option((), "Column (or glob) that the model must not see; repeatable.", "Input", metavar="COL")
    image: str | None = option(None, "Column with pictures: paths or encoded bytes.", "Input", metavar="COL")
    root: str | None = option(None, "Folder that picture paths start from.", "Input", metavar="DIR")
    input_format: str | None = option(None, f"{', '.join(INPUT_FORMATS)} [default: by name].", "Input", metavar="F")
    threshold: float | None = option(None, "Call a row incorrect above this p_incorrect [default: 0.5].", "Decide", metavar="P")
    precision: float | None = option(None, "Call rows incorrect as long as P of them are expected to be.", "Decide", metavar="P")
    budget: int | None = option(None, "Call at most the N most suspicious rows incorrect.", "Decide", metavar="N")
    memory: str | None = option(None, "Keep to about this much memory: 500MB, 4GB, 2GiB [default: what the machine has].", "Run", metavar="SIZE")
    estimate: bool = option(False, "Say what the scan would cost in time and memory, and do nothing.", "Run")
    max_bad: str = option("5%", "Exit 4 when more rows than this cannot be read.", "Run", metavar="SHARE")
    json: bool = option(False, "Print the summary as one JSON object on stdout.", "Output")
    quiet: bool = option(False, "No progress, no summary.", "Output", "--quiet", "-q")
    verbose: bool = option(False, "Say more: seconds by stage, what was left out.", "Output", "--verbose", "-v")

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is read.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        one_of(self.task, TASKS, "--task")
        one_of(self.device, DEVICES, "--device")
        if self.input_format is not None:
            one_of(self.input_format, INPUT_FORMATS, "--input-format")
        cuts = [name for name in ("threshold", "precision", "budget") if getattr(self, name) is not None]
        if len(cuts) > 1:
            raise UsageError(f"--{cuts[0]} and --{cuts[1]} both set the cut — expected one of them — leave one out")
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
        seconds(self.time_limit)
        n_bytes(self.memory)
        share(self.max_bad, "--max-bad")


@dataclass(frozen=True)
class TrialOptions(ScanOptions):
    """What `zcurate trial` can be told: all that shapes a scan, and what to plant."""

    share: str = option("10%", "Share of the labelled rows to plant an error in.", "Plant", metavar="SHARE")
    kinds: str | None = option(None, "Kinds to plant, by comma [default: all that fit the task].", "Plant", metavar="KIND,...")
    prioritise: bool = option(False, "Show what a loss-prioritised training budget would be spent on.", "Output")

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is read.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        super().check()
        if not 0 < share(self.share, "--share") <= LARGEST_PLANTED:
            raise UsageError(f"--share: {self.share} is out of range — expected above 0 and at most {LARGEST_PLANTED:.0%} — try --share 10%")


@dataclass(frozen=True)
class ExplainOptions:
    """What `zcurate explain` can be told."""

    by_row: bool = option(False, "Take every ROW as a row number, also where the report has ids.", "Select")
    json: bool = option(False, "Print one JSON object per row.", "Show")


@dataclass(frozen=True)
class ReportOptions:
    """What `zcurate report` can be told."""

    verdict: str | None = option(None, "Verdicts to list, by comma [default: incorrect].", "Select", metavar="V,...")
    top: int | None = option(None, "The N lowest ranks; without --verdict whatever their verdict.", "Select", metavar="N")
    class_: str | None = option(None, "Only rows whose given label is C.", "Select", "--class", metavar="C")
    given: str | None = option(None, "Only rows with this given label.", "Select", metavar="A")
    suggested: str | None = option(None, "Only rows with this suggested label.", "Select", metavar="B")
    min_p: float | None = option(None, "Only rows with at least this p_incorrect.", "Select", metavar="P")
    format: str = option("auto", f"{', '.join(REPORT_FORMATS)}; auto is a table on a terminal, CSV in a pipe.", "Show", metavar="F")
    columns: str | None = option(None, "Columns to show, by comma.", "Show", metavar="C,...")
    with_data: bool = option(False, "Join the input's own columns and an empty `decision` column.", "Show")
    output: str | None = option(None, "Write to FILE instead of stdout; its ending picks the format.", "Show", "--output", "-o", metavar="FILE")
    null: bool = option(False, "With --format ids: end each id with NUL, for xargs -0.", "Show", "-0")

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        one_of(self.format, REPORT_FORMATS, "--format")
        for word in self.verdicts() or ():
            one_of(word, VERDICTS, "--verdict")
        if self.top is not None and self.top < 1:
            raise UsageError(f"--top: {self.top} is out of range — expected 1 or more")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UsageError(f"--min-p: {self.min_p:g} is out of range — expected between 0 and 1")
        if self.null and self.format not in ("auto", "ids"):
            raise UsageError(f"-0 with --format {self.format} — expected --format ids — leave one out")

    def verdicts(self) -> tuple[str, ...] | None:
        """The verdicts asked for; None for all of them (`--top` alone)."""
        if self.verdict is None:
            return None if self.top is not None else ("incorrect",)
        return tuple(word.strip() for word in self.verdict.split(","))
