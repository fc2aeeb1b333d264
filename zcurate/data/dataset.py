"""`Dataset`: the user's labeled data as read, with the role of each column. No torch, no file formats."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from zcurate.data.conversions import Conversion

if TYPE_CHECKING:
    from zcurate.data.annotators import Annotations
    from zcurate.data.images import Originals
    from zcurate.data.picture_findings import PictureFindings
    from zcurate.data.slices import Slices

ColumnKind = Literal["number", "time", "category", "text", "vector"]
TaskKind = Literal["binary", "multiclass", "regression"]
MAX_NAMES = 5
"""Columns that a warning names."""


@dataclass(frozen=True)
class Column:
    """A feature column and its kind."""

    name: str
    """Its name in the input."""
    kind: ColumnKind
    """`number` (also booleans), `time`, `category`, `text` (free text) or `vector` (list of floats)."""


@dataclass(frozen=True)
class ExcludedColumn:
    """A column that is not used as a feature."""

    name: str
    """Its name in the input."""
    why: str
    """The reason in plain words: constant, all missing, identifier, excluded, ..."""


@dataclass(frozen=True)
class Roles:
    """The role of each column."""

    label: str
    """The label column."""
    features: tuple[Column, ...] = ()
    """Columns that the model is trained on."""
    id: str | None = None
    """The user's key, copied into the report."""
    group: str | None = None
    """Rows with the same value stay in one fold."""
    left_out: tuple[ExcludedColumn, ...] = ()
    """Columns that the model is not trained on, and why."""

    def verbatim_columns(self) -> tuple[str, ...]:
        """Return the label, id and group columns that exist; they are read as text, exactly as written."""
        return tuple(name for name in (self.label, self.id, self.group) if name)


@dataclass(frozen=True)
class DeclaredClasses:
    """Labels that are classes because the input says so, whatever they look like."""

    why: str
    """What says so, in plain words."""
    names: tuple[str, ...] = ()
    """Name of each class number; empty where the labels are the names themselves."""


@dataclass(frozen=True)
class Task:
    """The prediction task."""

    kind: TaskKind
    """`binary`, `multiclass` or `regression`."""
    why: str
    """How it was decided, in plain words."""
    classes: tuple[str, ...] = ()
    """The classes as written in the input, in class order; empty for regression."""
    declared: DeclaredClasses | None = None
    """What the input itself says of its labels; None where nothing."""
    variants: dict[str, str] = field(default_factory=dict)
    """Other spellings of a class -> its name in `classes`."""
    missing: tuple[str, ...] = ("",)
    """Words, in lower case, that mean a missing label."""
    conversion: Conversion | None = None
    """How targets with units or exceptions become numbers; None for plain numbers and classes."""


@dataclass(frozen=True)
class InputInfo:
    """Identity of an input, for the run card."""

    path: str
    """The path as given; `-` for standard input; `memory` for a table passed in Python."""
    format: str
    """Name of the reader."""
    n_bytes: int = 0
    """Size of the input [bytes]; 0 for memory."""
    digest: str = ""
    """BLAKE2b-128 of the input's bytes (of names, sizes and times for a folder)."""


@dataclass(frozen=True)
class SkippedRow:
    """A row that could not be read."""

    row: int
    """0-based row of the input."""
    reason: str
    """In plain words."""
    line: int | None = None
    """1-based line of the file; None for formats without lines."""
    path: str | None = None
    """Path of a picture as in the report; None for other rows."""


@dataclass(frozen=True)
class FileNotes:
    """What a reader found in an input besides its rows."""

    skipped: tuple[SkippedRow, ...] = ()
    """Rows that could not be read."""
    warnings: tuple[str, ...] = ()
    """What may mislead, one line each."""
    decimal_comma: bool = False
    """Decimal marks are commas."""
    is_text: bool = False
    """The input is delimited text, where words such as NA stand for missing values."""

    def after(self, n_rows: int) -> FileNotes:
        """Return the notes of a file that follows `n_rows` other rows."""
        return replace(self, skipped=tuple(replace(skip, row=skip.row + n_rows) for skip in self.skipped))

    def joined(self, other: FileNotes) -> FileNotes:
        """Return the notes of two files of one input."""
        warnings = tuple(dict.fromkeys(self.warnings + other.warnings))
        return FileNotes(self.skipped + other.skipped, warnings, self.decimal_comma or other.decimal_comma, self.is_text or other.is_text)


@dataclass(frozen=True)
class Leak:
    """Columns that give the label away."""

    columns: tuple[str, ...]
    """Their names."""
    how: str
    """What they do, in plain words."""
    group: str | None = None
    """The column, where its values are names whose rows should be held out together."""

    def text(self) -> str:
        """Warn of the leak."""
        shown = ", ".join(f"'{name}'" for name in self.columns[:MAX_NAMES]) + f" and {len(self.columns) - MAX_NAMES} more" * (len(self.columns) > MAX_NAMES)
        advice = f"hold its rows out together with --group {quoted(self.group)}, or " if self.group else ""
        plural = "s" if len(self.columns) > 1 else ""
        return f"column{plural} {shown} {self.how}: wrong labels may look right — {advice}leave {'them' if plural else 'it'} out with {self.option()}"

    def option(self) -> str:
        """The option that leaves the columns out."""
        return " ".join(f"--exclude {quoted(name)}" for name in self.columns)


def quoted(name: str) -> str:
    """Quote a name for the shell where it needs that."""
    return shlex.quote(name)


@dataclass(frozen=True)
class Dataset:
    """N rows of labeled data.

    Invariant: `table`, `given` and `pictures` have N rows in the input's order; no row is dropped. If `n_total_rows` is set, the rows
    are a sample of the input, and `n_rows` counts the whole input.
    """

    table: pa.Table
    """(N) every column of the input as read, except the bytes of images."""
    roles: Roles
    """The role of each column."""
    task: Task
    """The prediction task."""
    given: pa.Array
    """(N) labels as written: string, or float64 for regression; null where missing."""
    origin: InputInfo
    """Identity of the input."""
    pictures: np.ndarray | None = None
    """(N, C, H, W) uint8 images, decoded once at training size; None for tables."""
    paths: pa.Array | None = None
    """(N) string, path of each image; None if images have no paths."""
    root: str | None = None
    """Absolute folder that `paths` are relative to; None if they are not files."""
    skipped: tuple[SkippedRow, ...] = ()
    """Rows that are in the report as `skipped`."""
    warnings: tuple[str, ...] = field(default=())
    """One line each: likely leaks, odd columns."""
    leaks: tuple[Leak, ...] = ()
    """Columns that give the label away; each has its warning."""
    arrays: dict[str, pa.Array] = field(default_factory=dict)
    """Feature columns in their final types: text that holds numbers, times, booleans or vectors is converted."""
    conversions: dict[str, Conversion] = field(default_factory=dict)
    """Text column -> how it was converted."""
    missing: tuple[str, ...] = ()
    """Words, in lower case, that mean a missing value in feature columns."""
    n_total_rows: int | None = None
    """Rows of the input if this is a sample of them; None if these are all rows."""
    splits: pa.Array | None = None
    """(N) string, the split that each row is in (train, test, ...); None for an input without splits."""
    decoding_bytes: int = 0
    """Memory that decoding the largest picture took, about; 0 for tables."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """File name ending -> number of files in the input's folder that were not read."""
    features: np.ndarray | None = field(default=None, repr=False, compare=False)
    """(N, V) float32 features of pictures that the user brought; None where there are none."""
    probabilities: np.ndarray | None = field(default=None, repr=False, compare=False)
    """(N, C) float32 class probabilities of another model that the user brought; None where there are none."""
    annotations: Annotations | None = field(default=None, repr=False, compare=False)
    """The labels of several annotators; None where there are none."""
    slices: Slices | None = field(default=None, repr=False, compare=False)
    """The slices of `--slices`; None without."""
    trusted: np.ndarray | None = field(default=None, repr=False, compare=False)
    """(N,) bool, rows whose label a person has decided on; None where there are none."""
    row_arrays: dict[str, str] = field(default_factory=dict)
    """`features`, `probabilities`, `decisions` -> hash of what the user brought; `columns` -> how columns of probabilities were matched to classes."""
    findings: PictureFindings | None = field(default=None, repr=False, compare=False)
    """What was found of the pictures besides their labels; None before they are encoded, and for tables."""
    originals: Originals | None = field(default=None, repr=False, compare=False)
    """The images before they were reduced to training size; None for tables."""

    @property
    def n_rows(self) -> int:
        """N, or the rows of the whole input for a sample."""
        return len(self.given) if self.n_total_rows is None else self.n_total_rows

    @property
    def n_classes(self) -> int:
        """Number of classes C; 0 for regression."""
        return len(self.task.classes)

    def votes(self) -> np.ndarray:
        """Return the annotators' labels as classes, (N, A) int32; -1 for none, and for labels that are no class."""
        assert self.annotations is not None  # crack: narrows types only
        classes = {name: at for at, name in enumerate(self.task.classes)}
        spelled = {name.strip().casefold(): at for name, at in classes.items()}
        to_class = [classes.get(name, spelled.get(name.strip().casefold(), -1)) for name in self.annotations.names]
        found: np.ndarray = np.append(np.array(to_class, np.int32), np.int32(-1))[self.annotations.code]
        return found

    def readable(self) -> np.ndarray:
        """Return (N) bool: whether each row could be read."""
        readable = np.ones(self.n_rows, bool)
        readable[[skip.row for skip in self.skipped]] = False
        return readable
