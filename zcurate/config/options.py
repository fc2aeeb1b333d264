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
from zcurate.errors import UsageError, did_you_mean

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
    continue_from: str | None = option(
        None, "Go on from the model of this report, after corrections (--decisions, or in DATA).", "Model", "--continue", metavar="REPORT", parse=local_path
    )
    against: str | None = option(
        None, "Judge new rows by the model of this report, without its data, and tell how they differ.", "Model", metavar="REPORT", parse=local_path
    )
    keep_model: bool = option(False, "Keep the model beside the report, for --continue and --against.", "Output")
    download: bool = option(False, "Let --features download a network's weights.", "Model")
    output: str | None = option(None, "Report to write [default: <stem>.zcurate.parquet here].", "Output", "--output", "-o", metavar="FILE", parse=local_path)
    force: bool = option(False, "Overwrite FILE, whatever it is.", "Output")
    device: str = option("auto", "auto, cpu or cuda.", "Run", metavar="DEVICE", parse=parse_device, values=DEVICES)
    epochs: int | None = option(None, "Passes over the data [default: by size].", "Model", metavar="N", parse=parse_count)
    time_limit: str | None = option(None, "Stop training after this long: 90s, 10m, 2h.", "Run", metavar="TIME")
    resume: bool = option(False, "Resume an interrupted scan from its checkpoint.", "Run")
    seed: int = option(0, "Random seed.", "Run", metavar="N", parse=parse_count)
    group: str | None = option(None, "Column; rows with the same value stay in the same fold.", "Input", metavar="COL")
    annotators: str | None = option(
        None,
        "Labels of several people: columns (or glob) by comma, or a FILE of item, annotator, label; without --label their consensus is scanned.",
        "Input",
        metavar="COL,...",
    )
    slices: str | None = option(None, "Column (labeller, site, month); noise, skill and masking are told for each value.", "Input", metavar="COL")
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
        if self.resume and self.continue_from is not None:
            raise UsageError("--resume and --continue: a scan that goes on is short and keeps no checkpoint — expected one of them — leave --resume out")
        if self.keep_model and self.continue_from is not None:
            raise UsageError("--keep-model and --continue: the model that a scan goes on from stays as it is — expected one of them — leave --keep-model out")
        if self.against is not None:
            others = (
                "decisions", "continue_from", "keep_model", "probabilities", "annotators", "slices", "resume", "epochs", "time_limit", "exclude", "kind",
                "group",
            )  # fmt: skip
            given = [flags_of(one)[0] for one in fields(self) if one.name in others and getattr(self, one.name)]
            given += [f"--{name}" for name in ("model", "features", "task") if getattr(self, name) != "auto"]
            if given:
                raise UsageError(f"--against and {given[0]}: rows are judged by the model of the earlier scan, and nothing is trained — leave {given[0]} out")
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
    prioritise: bool = option(False, "Show how loss-based prioritization spends a training budget, and train by it.", "Output")

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
