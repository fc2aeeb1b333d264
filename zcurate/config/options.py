"""Every option once: name, default, help and check. The command line and the Python functions are both derived from these classes.

A field's metadata holds `help` (text, or a function that returns it), `panel` (section of the help), where they differ from the name `flags`, and where the
value is typed in several ways `parse`; `values` are its words, for shell completion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from zcurate import plugins
from zcurate.config import array_source
from zcurate.config.units import check_choice, local_path, match_choice, meant_share, parse_count, parse_duration, parse_fraction, parse_share, parse_size
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import UsageError, did_you_mean

ACTIONS = ("drop", "relabel", "flag", "weight")
DIFF_FORMATS = ("auto", "table", "csv", "json", "jsonl")
EXPORTS = ("label-studio", "argilla", "fiftyone", "hf", "weights")
PICKS = ("teach", "top", "hard", "random")
TASKS = ("auto", "binary", "multiclass", "regression")
DEVICES = ("auto", "cpu", "cuda")
KINDS = ("number", "category", "text", "date", "vector", "id")
DEVICE_WORDS = {"gpu": "cuda", "nvidia": "cuda", "cuda:0": "cuda", "gpu:0": "cuda", "cpu:0": "cpu"}
"""Other words for a device."""
DEVICE_ADVICE = {f"{word}:{k}": f"try CUDA_VISIBLE_DEVICES={k} zcurate ... --device cuda" for k in range(1, 16) for word in ("cuda", "gpu")}
"""Device -> how to choose that GPU."""
TASK_ADVICE = dict.fromkeys(("classification", "classify", "class", "classes", "categorical", "clf"), "--task multiclass, or --task binary for two classes")
TASK_ADVICE |= dict.fromkeys(("reg", "regress", "numeric", "continuous"), "did you mean --task regression?")
"""Words for a task that is not one of `TASKS` -> what to type."""
VERDICT_ADVICE = dict.fromkeys(("wrong", "mislabeled", "mislabelled", "error", "errors", "bad", "noisy"), "did you mean --verdict incorrect?")
VERDICT_ADVICE |= dict.fromkeys(("correct", "right", "ok", "good"), "did you mean --verdict clean?")
VERDICT_ADVICE |= {"all": "leave --verdict out and try --top N, or name them by comma", "difficult": "did you mean --verdict hard?"}
"""Words for a verdict that are not one of `VERDICTS` -> what to type."""
FORMAT_WORDS = {"excel": "xlsx", "ndjson": "jsonl"}
"""Other words for an output format."""
DATA_HELP = "Where the scanned data lie, if not below the report's folder or this one; an address only so."
SAFE_CELLS_HELP = "In csv, tsv and xlsx, keep spreadsheets from taking text for formulas [default: on, but not in a pipe]."
MIN_MEMORY = 1_000_000
"""Bytes below which the unit of `--memory` was forgotten."""
MAX_EPOCHS, MAX_COUNT, MAX_SEED = 1_000_000, 2**31 - 1, 2**53
"""Largest values of options that count."""
MAX_PLANTED_SHARE = 0.5
"""Above one half, most labels of a copy would be wrong."""

Values = tuple[str, ...] | Callable[[], tuple[str, ...]]


def option(
    default: Any, help: str | Callable[[], str], panel: str, *flags: str, metavar: str | None = None, parse: Callable[[str, str], Any] | None = None,
    values: Values = (),
) -> Any:  # fmt: skip
    """Return a dataclass field that carries its own help.

    Args:
        default: value when the option is not given.
        help: text, or a function that returns it once the command is built.
        panel: section of the help.
        flags: where they differ from the field's name.
        metavar: name of the value in the help.
        parse: converts (the text that was typed, the flag) to the value; None: it is the text, or what its type makes of it.
        values: words that the option takes, or a function that returns them.
    """
    return field(default=default, metadata={"help": help, "panel": panel, "flags": flags, "metavar": metavar, "parse": parse, "values": values})


CUTS = {
    "threshold": ("Flag rows with p_incorrect above P [default: 0.5].", "P", parse_fraction),
    "precision": ("Flag as many rows as a cautious expected precision of P allows.", "P", parse_fraction),
    "budget": ("Flag at most the N most suspicious rows.", "N", parse_count),
}
"""Options that set where the verdict incorrect begins: help, name of the value, and how it is parsed."""


def cut_option(name: str) -> Any:
    """Return the field of one of `CUTS`."""
    help, metavar, parse = CUTS[name]
    return option(None, help, "Decide", metavar=metavar, parse=parse)


def check_cuts(options: Any) -> None:
    """Refuse more than one cut, and values out of range.

    Args:
        options: with the fields of `CUTS`.

    Raises:
        UsageError: naming the option, the value and what was expected.
    """
    cuts = [name for name in CUTS if getattr(options, name) is not None]
    if len(cuts) > 1:
        raise UsageError(f"--{cuts[0]} and --{cuts[1]} both set the threshold — expected one of them — leave one out")
    for name in ("threshold", "precision"):
        value = getattr(options, name)
        if value is not None and not 0 < value < 1:
            raise UsageError(f"--{name}: {value:g} is out of range — expected between 0 and 1 — try --{name} {meant_share(value, '0.9')}")
    if options.budget is not None and not 1 <= options.budget <= MAX_COUNT:
        raise UsageError(f"--budget: {str(options.budget)[:40]} is out of range — expected 1 to {MAX_COUNT}")


@dataclass(frozen=True)
class Options:
    """Options of a command."""

    def __post_init__(self) -> None:
        """Convert the values that were typed as text.

        Raises:
            UsageError: a text that is no such value.
        """
        for one in fields(self):
            value, parse = getattr(self, one.name), one.metadata["parse"]
            if parse is not None and isinstance(value, str):
                object.__setattr__(self, one.name, parse(value, flags_of(one)[0]))


def flags_of(one: Field[Any]) -> list[str]:
    """Return the flags of a field: those in its metadata, else its name with dashes; a switch has no `--no-` form."""
    return list(one.metadata["flags"]) or [f"--{one.name.rstrip('_').replace('_', '-')}"]


def parse_task(text: str, flag: str) -> str:
    """Return the task that was meant; an unknown one unchanged."""
    return match_choice(text, TASKS)


def parse_device(text: str, flag: str) -> str:
    """Return the device that was meant; an unknown one unchanged."""
    return match_choice(text, DEVICES, DEVICE_WORDS)


def parse_model_name(text: str, flag: str) -> str:
    """Return the built-in model that was meant; a file or an unknown name unchanged."""
    return match_choice(text, model_names())


def parse_input_format(text: str, flag: str) -> str:
    """Return the reader that was meant, by its name or a file name ending; an unknown one unchanged."""
    return match_choice(text, tuple(plugins.READERS), endings_of(plugins.READERS))


def parse_report_format(text: str, flag: str) -> str:
    """Return the output format that was meant, by its name or a file name ending; an unknown one unchanged."""
    return match_choice(text, report_formats(), endings_of(plugins.FORMATS) | FORMAT_WORDS)


def endings_of(table: Mapping[str, plugins.Reader] | Mapping[str, plugins.Format]) -> dict[str, str]:
    """Map the endings of readers or formats, with and without their dot, to their names."""
    return {written: name for name, plugin in table.items() for ending in plugin.endings for written in (ending, ending[1:]) if written not in table}


def model_names() -> tuple[str, ...]:
    """Return the names of the built-in models."""
    return ("auto", *plugins.MODELS, "none")


def input_formats() -> tuple[str, ...]:
    """Return the values of `--input-format`."""
    return tuple(plugins.READERS)


def model_help() -> str:
    """Return the help of `--model`, which lists the models."""
    return f"{', '.join(model_names())}, a TOML file, or file.py:function."


def features_help() -> str:
    """Return the help of `--features`, which lists the kinds of networks."""
    kinds = ", ".join(f"{kind}:NAME" for kind, backbone in plugins.BACKBONES.items() if backbone.example)
    return f"Features of each row: lite0, none, {kinds}, file.py:function, FILE.npy or a column [default: lite0 for pictures from 24 pixels on]."


def input_format_help() -> str:
    """Return the help of `--input-format`, which lists the readers."""
    return f"{', '.join(input_formats())} [default: by name]."


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
class ScanOptions(Options):
    """Options of `zcurate scan`."""

    label: str | None = option(None, "Column with the labels.", "Input", "--label", "-l", metavar="COL")
    id: str | None = option(None, "Column with your own row key, copied into the report.", "Input", metavar="COL")
    task: str = option("auto", "auto, binary, multiclass or regression.", "Model", metavar="TASK", parse=parse_task, values=TASKS)
    model: str = option("auto", model_help, "Model", metavar="SPEC", parse=parse_model_name, values=model_names)
    features: str = option("auto", features_help, "Model", metavar="F", values=("auto", "lite0", "none"))
    probabilities: str | None = option(
        None, "Out-of-sample class probabilities of your own model: FILE.npy, FILE.parquet, or a column (or glob).", "Model", metavar="P"
    )
    decisions: str | None = option(None, "Decisions of people: their labels are used and trusted.", "Input", metavar="FILE", parse=local_path)
    download: bool = option(False, "Let --features download a network's weights.", "Model")
    output: str | None = option(None, "Report to write [default: <stem>.zcurate.parquet here].", "Output", "--output", "-o", metavar="FILE", parse=local_path)
    force: bool = option(False, "Overwrite FILE, whatever it is.", "Output")
    device: str = option("auto", "auto, cpu or cuda.", "Run", metavar="DEVICE", parse=parse_device, values=DEVICES)
    epochs: int | None = option(None, "Passes over the data [default: by size].", "Model", metavar="N", parse=parse_count)
    time_limit: str | None = option(None, "Stop training after this long: 90s, 10m, 2h.", "Run", metavar="TIME")
    resume: bool = option(False, "Resume an interrupted scan from its checkpoint.", "Run")
    seed: int = option(0, "Random seed.", "Run", metavar="N", parse=parse_count)
    group: str | None = option(None, "Column; rows with the same value stay in the same fold.", "Input", metavar="COL")
    exclude: tuple[str, ...] = option((), "Column (or glob) to hide from the model; repeatable.", "Input", metavar="COL")
    kind: tuple[str, ...] = option((), f"Read a column (or glob) as {', '.join(KINDS)}; repeatable.", "Input", metavar="COL=KIND")
    missing: str | None = option(None, "Words that mean a missing value, by comma [default: NA, n/a, null, NaN in text files].", "Input", metavar="W,...")
    keep_spelling: bool = option(False, "Labels that differ only in case, blanks or 1/1.0 are classes of their own.", "Input")
    encoding: str | None = option(None, "Encoding of text files [default: guessed].", "Input", metavar="NAME")
    image: str | None = option(None, "Column with images: paths or encoded bytes.", "Input", metavar="COL")
    root: str | None = option(None, "Folder that image paths are relative to.", "Input", metavar="DIR")
    input_format: str | None = option(None, input_format_help, "Input", metavar="F", parse=parse_input_format, values=input_formats)
    threshold: float | None = cut_option("threshold")
    precision: float | None = cut_option("precision")
    budget: int | None = cut_option("budget")
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
        check_choice(self.task, TASKS, "--task", TASK_ADVICE)
        array_source.check_source(self.features, "--features")
        array_source.check_source(self.probabilities, "--probabilities")
        check_choice(self.device, DEVICES, "--device", DEVICE_ADVICE)
        for text in self.kind:
            column, equals, kind = text.rpartition("=")
            if not (column and equals):
                raise UsageError(f"--kind: {text} names no column and kind — expected COL=KIND — try --kind {text or 'age'}=number")
            if kind not in KINDS:
                hint = did_you_mean(kind, KINDS, f"--kind {column}={{}}")
                raise UsageError(f"--kind {column}: '{kind}' is not known — expected one of {', '.join(KINDS)}{hint}")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.input_format is not None:
            check_choice(self.input_format, input_formats(), "--input-format")
        check_cuts(self)
        for name, least, most in (("epochs", 1, MAX_EPOCHS), ("seed", 0, MAX_SEED)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"--{name}: {str(value)[:40]} is out of range — expected {least} to {most}")
        parse_duration(self.time_limit)
        if (size := parse_size(self.memory)) is not None and size < MIN_MEMORY:
            number = str(self.memory).strip()
            hint = f"{number}{'GB' if size <= 64 else 'MB'}" if number.isdigit() else "4GB"
            raise UsageError(f"--memory: '{self.memory}' is {size} bytes — expected a number with MB, GB or GiB — try --memory {hint}")
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
        if self.probabilities is not None:
            raise UsageError("--probabilities: they come from the labels as they are — expected a scan — errors planted in a copy cannot be in them")
        if not 0 < parse_share(self.share, "--share") <= MAX_PLANTED_SHARE:
            raise UsageError(f"--share: {self.share} is out of range — expected above 0 and at most {MAX_PLANTED_SHARE:.0%} — try --share 10%")


@dataclass(frozen=True)
class ExplainOptions(Options):
    """Options of `zcurate explain`."""

    by_row: bool = option(False, "Interpret every ROW as a row number, even if the report has ids.", "Select")
    data: str | None = option(None, DATA_HELP, "Select", metavar="PATH")
    json: bool = option(False, "Print one JSON object per row.", "Show")


@dataclass(frozen=True)
class ReviewOptions(Options):
    """Options of `zcurate review`."""

    pick: str = option("teach", "teach (rows whose answers tell most), top, hard or random.", "Select", metavar="HOW", values=PICKS)
    n: int = option(25, "Rows to ask about.", "Select", "-n", metavar="N", parse=parse_count)
    seed: int = option(0, "Seed of what is drawn.", "Select", metavar="N", parse=parse_count)
    list: bool = option(False, "Print the picked rows as CSV, a decisions file to fill in, instead of asking.", "Show")
    decisions: str | None = option(None, "Decisions file to append to [default: beside the report].", "Show", metavar="FILE", parse=local_path)
    by: str | None = option(None, "Who decides [default: your user name].", "Show", metavar="NAME")
    data: str | None = option(None, DATA_HELP, "Show", metavar="PATH")

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_choice(self.pick, PICKS, "--pick")
        for flag, value, least in (("-n", self.n, 1), ("--seed", self.seed, 0)):
            if not least <= value <= MAX_COUNT:
                raise UsageError(f"{flag}: {str(value)[:40]} is out of range — expected {least} to {MAX_COUNT}")
        if self.decisions is not None and not self.decisions.lower().endswith((".csv", ".jsonl", ".ndjson")):
            raise UsageError(f"--decisions: {self.decisions} — expected a name ending in .csv or .jsonl, to append to")


@dataclass(frozen=True)
class UpdateOptions(Options):
    """Options of `zcurate update`."""

    decisions: str | None = option(None, "Decisions: CSV, JSON Lines, a list of `report --with-data` filled in.", "Update", metavar="FILE", parse=local_path)
    output: str | None = option(None, "Report to write [default: the report itself].", "Update", "--output", "-o", metavar="FILE", parse=local_path)
    undo: bool = option(False, "Restore the scan's own judgement.", "Update")

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            UsageError: neither or both of `--decisions` and `--undo`.
        """
        if (self.decisions is None) == (not self.undo):
            raise UsageError("update: expected either --decisions FILE or --undo — decisions come from zcurate review, or from report --with-data filled in")


@dataclass(frozen=True)
class ApplyOptions(Options):
    """Options of `zcurate apply`."""

    output: str | None = option(None, "File (of pictures with --copy or --link: folder) to write.", "Output", "--output", "-o", metavar="OUT", parse=local_path)
    action: str = option("flag", "What becomes of rows without a decision: drop, relabel, flag (add columns) or weight.", "Change", metavar="A", values=ACTIONS)
    verdict: str | None = option(None, "Verdicts to act on, by comma [default: incorrect].", "Change", metavar="V,...", values=VERDICTS)
    min_p: float | None = option(None, "Act only on rows with at least this p_incorrect.", "Change", metavar="P", parse=parse_fraction)
    threshold: float | None = cut_option("threshold")
    precision: float | None = cut_option("precision")
    budget: int | None = cut_option("budget")
    decisions: str | None = option(None, "Decisions of people, which come first [default: those in the report].", "Change", metavar="FILE", parse=local_path)
    copy: bool = option(False, "Of a folder of pictures: copy them into a new folder, each below its class.", "Output")
    link: bool = option(False, "The same with symbolic links.", "Output")
    match: bool = option(False, "The input has changed since the scan: find the rows by their fingerprints.", "Change")
    data: str | None = option(None, DATA_HELP, "Change", metavar="PATH")
    dry_run: bool = option(False, "Print what would change, and write nothing.", "Output")
    undo: str | None = option(None, "Take a change back, by its log.", "Output", metavar="LOG", parse=local_path)

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_choice(self.action, ACTIONS, "--action")
        check_cuts(self)
        for word in self.verdicts():
            check_choice(word, VERDICTS, "--verdict", VERDICT_ADVICE)
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UsageError(f"--min-p: {self.min_p:g} is out of range — expected between 0 and 1 — try --min-p {meant_share(self.min_p, '0.9')}")
        if self.copy and self.link:
            raise UsageError("--copy and --link — expected one of them — leave one out")
        if self.output is None and not self.dry_run and self.undo is None:
            raise UsageError("apply: where to? — expected -o OUT, a file to write: the input itself is never changed — --dry-run shows what would be")

    def verdicts(self) -> tuple[str, ...]:
        """Return the verdicts to act on."""
        return tuple(match_choice(word, VERDICTS) for word in (self.verdict or "incorrect").split(",") if word.strip())


@dataclass(frozen=True)
class ExportOptions(Options):
    """Options of `zcurate export`."""

    to: str | None = option(None, "label-studio, argilla, fiftyone, hf or weights.", "Output", metavar="TOOL", values=EXPORTS)
    output: str | None = option(None, "Folder to make; for weights a file (.npy, .parquet, .txt).", "Output", "--output", "-o", metavar="OUT", parse=local_path)
    verdict: str | None = option(None, "Verdicts to export, by comma [default: incorrect,suspect; hf: all].", "Select", metavar="V,...", values=VERDICTS)
    top: int | None = option(None, "The N most suspicious rows.", "Select", metavar="N", parse=parse_count)
    threshold: float | None = cut_option("threshold")
    precision: float | None = cut_option("precision")
    budget: int | None = cut_option("budget")
    data: str | None = option(None, DATA_HELP, "Select", metavar="PATH")

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        if self.to is None:
            raise UsageError(f"export: for which tool? — expected --to {', '.join(EXPORTS)}")
        check_choice(self.to, EXPORTS, "--to")
        if self.output is None:
            raise UsageError(f"export: where to? — expected -o OUT, a {'file' if self.to == 'weights' else 'folder that does not exist yet'}")
        check_cuts(self)
        for word in (self.verdict or "").split(","):
            if word.strip():
                check_choice(match_choice(word, VERDICTS), VERDICTS, "--verdict", VERDICT_ADVICE)
        if self.top is not None and self.top < 1:
            raise UsageError(f"--top: {self.top} is out of range — expected 1 or more")


@dataclass(frozen=True)
class CheckOptions(Options):
    """Options of `zcurate check`."""

    max_incorrect: str | None = option(None, "At most this share (2%) or number of rows may be incorrect.", "Rules", metavar="LIMIT")
    max_new: int | None = option(None, "At most N rows may be flagged that --against did not flag.", "Rules", metavar="N", parse=parse_count)
    against: str | None = option(None, "The earlier report of --max-new.", "Rules", metavar="OLD", parse=local_path)
    max_noise: str | None = option(None, "At most this share of the labels may be wrong, by the estimate.", "Rules", metavar="SHARE")
    class_: tuple[str, ...] = option((), "At most this share or number of rows of class C may be incorrect; repeatable.", "Rules", "--class", metavar="C=LIMIT")
    threshold: float | None = cut_option("threshold")
    precision: float | None = cut_option("precision")
    budget: int | None = cut_option("budget")
    junit: str | None = option(None, "Write the rules as JUnit XML.", "Output", metavar="FILE", parse=local_path)
    github: bool = option(False, "Write the rules as Markdown to the step's summary ($GITHUB_STEP_SUMMARY), or to stdout.", "Output")

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_cuts(self)
        if (self.max_incorrect, self.max_new, self.max_noise) == (None, None, None) and not self.class_:
            raise UsageError("check: no rule — expected --max-incorrect, --max-new with --against, --max-noise or --class C=LIMIT — try --max-incorrect 2%")
        if (self.max_new is None) != (self.against is None):
            raise UsageError("check: --max-new and --against go together — expected --max-new N --against OLD")
        if self.max_new is not None and self.max_new < 0:
            raise UsageError(f"--max-new: {self.max_new} is out of range — expected 0 or more")
        for text in self.class_:
            if not text.rpartition("=")[0]:
                raise UsageError(f"--class: '{text}' — expected a class and its limit — try --class {text or 'cat'}=1%")
        for flag, limit in (("--max-incorrect", self.max_incorrect), *(("--class", text.rpartition("=")[2]) for text in self.class_)):
            if limit is not None and not (limit.strip().isdigit() and int(limit) >= 1):
                parse_share(limit, flag)
        if self.max_noise is not None:
            parse_share(self.max_noise, "--max-noise")


@dataclass(frozen=True)
class DiffOptions(Options):
    """Options of `zcurate diff`."""

    format: str = option("auto", "auto, table, csv, json or jsonl; auto is a table on a terminal, CSV in a pipe.", "Show", metavar="F", values=DIFF_FORMATS)
    output: str | None = option(None, "Write to FILE instead of stdout.", "Show", "--output", "-o", metavar="FILE", parse=local_path)

    def check(self) -> None:
        """Refuse an unknown format.

        Raises:
            UsageError: names it.
        """
        check_choice(self.format, DIFF_FORMATS, "--format")


@dataclass(frozen=True)
class DecisionsOptions(Options):
    """Options of `zcurate decisions`."""

    output: str | None = option(None, "Decisions file to write [default: stdout, as CSV].", "Output", "--output", "-o", metavar="FILE", parse=local_path)

    def check(self) -> None:
        """Refuse an output whose name does not tell its format.

        Raises:
            UsageError: it is neither CSV nor JSON Lines.
        """
        if self.output is not None and not self.output.lower().endswith((".csv", ".jsonl", ".ndjson")):
            raise UsageError(f"{self.output}: expected a name ending in .csv or .jsonl")


@dataclass(frozen=True)
class ReportOptions(Options):
    """Options of `zcurate report`."""

    verdict: str | None = option(None, "Verdicts to list, by comma [default: incorrect].", "Select", metavar="V,...", values=VERDICTS)
    top: int | None = option(None, "The N most suspicious rows; without --verdict, of any verdict.", "Select", metavar="N", parse=parse_count)
    class_: str | None = option(None, "Only rows with given label C; same as --given.", "Select", "--class", metavar="C")
    given: str | None = option(None, "Only rows with this given label.", "Select", metavar="A")
    suggested: str | None = option(None, "Only rows with this suggested label.", "Select", metavar="B")
    min_p: float | None = option(None, "Only rows with at least this p_incorrect.", "Select", metavar="P", parse=parse_fraction)
    threshold: float | None = cut_option("threshold")
    precision: float | None = cut_option("precision")
    budget: int | None = cut_option("budget")
    format: str = option("auto", report_format_help, "Show", metavar="F", parse=parse_report_format, values=report_formats)
    columns: str | None = option(None, "Columns to show, by comma.", "Show", metavar="C,...")
    with_data: bool = option(False, "Join the input's columns and an empty `decision` column.", "Show")
    data: str | None = option(None, DATA_HELP, "Show", metavar="PATH")
    output: str | None = option(
        None, "Write to FILE instead of stdout; its ending selects the format.", "Show", "--output", "-o", metavar="FILE", parse=local_path
    )
    safe_cells: bool | None = option(None, SAFE_CELLS_HELP, "Show", "--safe-cells/--no-safe-cells")
    null: bool = option(False, "With --format ids: end each id with NUL, for xargs -0.", "Show", "-0")

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_choice(self.format, report_formats(), "--format")
        check_cuts(self)
        for word in self.verdicts() or ():
            check_choice(word, VERDICTS, "--verdict", VERDICT_ADVICE)
        if self.top is not None and self.top < 1:
            raise UsageError(f"--top: {self.top} is out of range — expected 1 or more")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise UsageError(f"--min-p: {self.min_p:g} is out of range — expected between 0 and 1 — try --min-p {meant_share(self.min_p, '0.9')}")
        if self.null and self.format not in ("auto", "ids"):
            raise UsageError(f"-0 with --format {self.format} — expected --format ids — leave one out")

    def verdicts(self) -> tuple[str, ...] | None:
        """Return the selected verdicts; None for all of them (`--top` alone)."""
        if self.verdict is None:
            return None if self.top is not None else ("incorrect",)
        return tuple(match_choice(word, VERDICTS) for word in self.verdict.split(",") if word.strip())
