"""Every option once: its name, default, help and check. The command line and the Python functions are both made from here.

A field's metadata holds `help`, `panel` (help section), and where they differ from the field's name the `flags`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zcurate.config.units import check_choice, parse_duration, parse_share, parse_size
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import UsageError

TASKS = ("auto", "binary", "multiclass", "regression")
DEVICES = ("auto", "cpu", "cuda")
INPUT_FORMATS = ("csv", "tsv", "jsonl", "parquet", "feather", "npz", "idx", "folder")
REPORT_FORMATS = ("auto", "table", "csv", "tsv", "json", "jsonl", "ids", "parquet", "markdown")
MAX_PLANTED_SHARE = 0.5
"""Above half, most labels of a copy would be wrong."""


def option(default: Any, help: str, panel: str, *flags: str, metavar: str | None = None) -> Any:
    """A dataclass field that carries its own help."""
    return field(default=default, metadata={"help": help, "panel": panel, "flags": flags, "metavar": metavar})


@dataclass(frozen=True)
class ScanOptions:
    """What `zcurate scan` can be told."""

    label: str | None = option(None, "Column with the labels.", "Input", "--label", "-l", metavar="COL")
    id: str | None = option(None, "Column with your own key, copied into the report.", "Input", metavar="COL")
    task: str = option("auto", "auto, binary, multiclass or regression.", "Model", metavar="TASK")
    model: str = option("auto", "auto, linear, mlp, resnet, a TOML file, or file.py:function.", "Model", metavar="SPEC")
    output: str | None = option(None, "Report to write [default: <stem>.zcurate.parquet in this folder].", "Output", "--output", "-o", metavar="FILE")
    force: bool = option(False, "Overwrite FILE, whatever it is.", "Output")
    device: str = option("auto", "auto, cpu or cuda.", "Run", metavar="DEVICE")
    epochs: int | None = option(None, "Passes over the data [default: by size].", "Model", metavar="N")
    time_limit: str | None = option(None, "Stop training after this long: 90s, 10m, 2h.", "Run", metavar="TIME")
    resume: bool = option(False, "Resume an interrupted scan from its checkpoint.", "Run")
    seed: int = option(0, "Random seed.", "Run", metavar="N")
    group: str | None = option(None, "Column whose equal values stay in one fold.", "Input", metavar="COL")
    exclude: tuple[str, ...] = option((), "Column (or glob) that the model must not use; repeatable.", "Input", metavar="COL")
    image: str | None = option(None, "Column with pictures: paths or encoded bytes.", "Input", metavar="COL")
    root: str | None = option(None, "Folder that picture paths are relative to.", "Input", metavar="DIR")
    input_format: str | None = option(None, f"{', '.join(INPUT_FORMATS)} [default: by file name].", "Input", metavar="F")
    threshold: float | None = option(None, "Flag rows with p_incorrect above P [default: 0.5].", "Decide", metavar="P")
    precision: float | None = option(None, "Flag as many rows as an expected precision of P allows.", "Decide", metavar="P")
    budget: int | None = option(None, "Flag at most the N most suspicious rows.", "Decide", metavar="N")
    memory: str | None = option(None, "Limit memory to about SIZE: 500MB, 4GB, 2GiB [default: the machine's memory].", "Run", metavar="SIZE")
    estimate: bool = option(False, "Print the estimated time and memory, then exit.", "Run")
    max_bad: str = option("5%", "Exit with code 4 if more rows than this cannot be read.", "Run", metavar="SHARE")
    json: bool = option(False, "Print the summary as one JSON object on stdout.", "Output")
    quiet: bool = option(False, "Print no progress and no summary.", "Output", "--quiet", "-q")
    verbose: bool = option(False, "Print more: time of each stage, columns left out.", "Output", "--verbose", "-v")

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is read.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_choice(self.task, TASKS, "--task")
        check_choice(self.device, DEVICES, "--device")
        if self.input_format is not None:
            check_choice(self.input_format, INPUT_FORMATS, "--input-format")
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
        parse_duration(self.time_limit)
        parse_size(self.memory)
        parse_share(self.max_bad, "--max-bad")


@dataclass(frozen=True)
class TrialOptions(ScanOptions):
    """What `zcurate trial` can be told: all that shapes a scan, and what to plant."""

    share: str = option("10%", "Share of the labelled rows to plant errors in.", "Plant", metavar="SHARE")
    kinds: str | None = option(None, "Kinds of errors, comma-separated [default: all that fit the task].", "Plant", metavar="KIND,...")
    prioritise: bool = option(False, "Print which rows a loss-prioritised training would spend its budget on.", "Output")

    def check(self) -> None:
        """Refuse what cannot be meant, before anything is read.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        super().check()
        if not 0 < parse_share(self.share, "--share") <= MAX_PLANTED_SHARE:
            raise UsageError(f"--share: {self.share} is out of range — expected above 0 and at most {MAX_PLANTED_SHARE:.0%} — try --share 10%")


@dataclass(frozen=True)
class ExplainOptions:
    """What `zcurate explain` can be told."""

    by_row: bool = option(False, "Every ROW is a row number, even if the report has ids.", "Select")
    json: bool = option(False, "Print one JSON object per row.", "Show")


@dataclass(frozen=True)
class ReportOptions:
    """What `zcurate report` can be told."""

    verdict: str | None = option(None, "Verdicts to list, comma-separated [default: incorrect].", "Select", metavar="V,...")
    top: int | None = option(None, "Only the N most suspicious rows; without --verdict of any verdict.", "Select", metavar="N")
    class_: str | None = option(None, "Only rows with given label C; same as --given.", "Select", "--class", metavar="C")
    given: str | None = option(None, "Only rows with given label A.", "Select", metavar="A")
    suggested: str | None = option(None, "Only rows with suggested label B.", "Select", metavar="B")
    min_p: float | None = option(None, "Only rows with p_incorrect of at least P.", "Select", metavar="P")
    format: str = option("auto", f"{', '.join(REPORT_FORMATS)}; auto is a table on a terminal, CSV in a pipe.", "Show", metavar="F")
    columns: str | None = option(None, "Columns to show, comma-separated.", "Show", metavar="C,...")
    with_data: bool = option(False, "Add the input's own columns and an empty `decision` column.", "Show")
    output: str | None = option(None, "Write to FILE instead of stdout; its ending selects the format.", "Show", "--output", "-o", metavar="FILE")
    null: bool = option(False, "With --format ids: end each id with NUL, for xargs -0.", "Show", "-0")

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_choice(self.format, REPORT_FORMATS, "--format")
        for word in self.verdicts() or ():
            check_choice(word, VERDICTS, "--verdict")
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
