"""Options of the commands that take a report; see `config.options`."""

from __future__ import annotations

from dataclasses import dataclass

from zcurate import plugins
from zcurate.config.options import MAX_COUNT, Options, check_cuts, cut_option, endings_of, option
from zcurate.config.units import check_choice, local_path, match_choice, meant_share, parse_count, parse_fraction, parse_share
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import UsageError

ACTIONS = ("drop", "relabel", "flag", "weight")
DIFF_FORMATS = ("auto", "table", "csv", "json", "jsonl")
SCHEMES = ("judged", "flow", "eg")
"""Sample weights: by the verdicts' probabilities, by the held-out loss, by the losses while training."""
EXPORTS = ("label-studio", "argilla", "fiftyone", "hf", "weights")
PICKS = ("teach", "top", "hard", "random")
VERDICT_ADVICE = dict.fromkeys(("wrong", "mislabeled", "mislabelled", "error", "errors", "bad", "noisy"), "did you mean --verdict incorrect?")
VERDICT_ADVICE |= dict.fromkeys(("correct", "right", "ok", "good"), "did you mean --verdict clean?")
VERDICT_ADVICE |= {"all": "leave --verdict out and try --top N, or name them by comma", "difficult": "did you mean --verdict hard?"}
"""Words for a verdict that are not one of `VERDICTS` -> what to type."""
FORMAT_WORDS = {"excel": "xlsx", "ndjson": "jsonl"}
"""Other words for an output format."""
DATA_HELP = "Where the scanned data lie, if not below the report's folder or this one; an address only so."
SAFE_CELLS_HELP = "In csv, tsv and xlsx, keep spreadsheets from taking text for formulas [default: on, but not in a pipe]."


def parse_report_format(text: str, flag: str) -> str:
    """Return the output format that was meant, by its name or a file name ending; an unknown one unchanged."""
    return match_choice(text, report_formats(), endings_of(plugins.FORMATS) | FORMAT_WORDS)


def report_formats() -> tuple[str, ...]:
    """Return the values of `--format`."""
    return ("auto", *plugins.FORMATS)


def report_format_help() -> str:
    """Return the help of `--format`, which lists the formats."""
    return f"{', '.join(report_formats())}; auto is a table on a terminal, CSV in a pipe."


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
    force: bool = option(False, "Replace a file that is there, whatever it is, but never the input.", "Output")
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
    scheme: str | None = option(None, "Of weights: judged (1 - p_incorrect), flow or eg (by loss) [default: judged].", "Output", metavar="S", values=SCHEMES)
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
        if self.scheme is not None:
            check_choice(self.scheme, SCHEMES, "--scheme")
            if self.to != "weights":
                raise UsageError(f"--scheme {self.scheme} --to {self.to} — expected --to weights, which alone has schemes — leave --scheme out")
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
                try:
                    parse_share(limit, flag)
                except UsageError as error:
                    raise UsageError(f"{flag}: '{limit[:40]}' — expected a share such as 2% or a number of rows such as 10 — try {flag} 2%") from error
        if self.max_noise is not None:
            parse_share(self.max_noise, "--max-noise")


@dataclass(frozen=True)
class HtmlOptions(Options):
    """Options of `zcurate html`."""

    output: str | None = option(None, "Page to write [default: beside the report].", "Output", "--output", "-o", metavar="FILE", parse=local_path)
    threshold: float | None = cut_option("threshold")
    precision: float | None = cut_option("precision")
    budget: int | None = cut_option("budget")
    data: str | None = option(None, DATA_HELP, "Output", metavar="PATH")

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            UsageError: naming the option, the value and what was expected.
        """
        check_cuts(self)
        if self.output is not None and not self.output.lower().endswith((".html", ".htm")):
            raise UsageError(f"{self.output}: expected a name ending in .html")


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
