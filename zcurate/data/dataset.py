"""`Dataset`: a person's labelled data as read, with what each column is for. No torch, no file formats.

Leaves: `Dataset` and the small types it is made of. Enters: nothing but Arrow and numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

ColumnKind = Literal["number", "time", "category", "text", "vector"]
TaskKind = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Column:
    """A feature column and how it is read."""

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
    """In plain words: constant, all missing, identifier, excluded, ..."""


@dataclass(frozen=True)
class Roles:
    """What each column is for."""

    label: str
    """The column with the labels."""
    features: tuple[Column, ...] = ()
    """Columns the model sees."""
    id: str | None = None
    """The user's key, copied into the report."""
    group: str | None = None
    """Rows with the same value stay in one fold."""
    left_out: tuple[ExcludedColumn, ...] = ()
    """Columns the model does not see, and why."""

    def named(self) -> tuple[str, ...]:
        """Label, id and group, those that there are: columns that are kept as written."""
        return tuple(name for name in (self.label, self.id, self.group) if name)


@dataclass(frozen=True)
class Task:
    """What is predicted."""

    kind: TaskKind
    """`binary`, `multiclass` or `regression`."""
    why: str
    """How it was decided, in plain words."""
    classes: tuple[str, ...] = ()
    """The classes as written in the input, in class order; empty for regression."""


@dataclass(frozen=True)
class InputInfo:
    """Where the data came from."""

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
    """1-based line of the file, where there is one."""


@dataclass(frozen=True)
class Dataset:
    """N rows of labelled data.

    Invariant: `table`, `given` and `pictures` have N rows in the input's order; nothing was dropped. Where `n_in_all` is set they are some
    rows that stand for all, and only `n_rows` counts all.
    """

    table: pa.Table
    """(N) every column of the input as read, but pictures' bytes."""
    roles: Roles
    task: Task
    given: pa.Array
    """(N) labels as written: string, or float64 for regression; null where there is none."""
    origin: InputInfo
    pictures: np.ndarray | None = None
    """(N, C, H, W) uint8, decoded once at training size; None for tables."""
    paths: pa.Array | None = None
    """(N) string, path of each picture; None where there is none."""
    root: str | None = None
    """Absolute folder that `paths` start from; None where they are no files."""
    skipped: tuple[SkippedRow, ...] = ()
    """Rows that are in the report as `skipped`."""
    warnings: tuple[str, ...] = field(default=())
    """One line each: likely leaks, odd columns."""
    arrays: dict[str, pa.Array] = field(default_factory=dict)
    """Feature columns as the model sees them: text that is really numbers or times turned into them."""
    n_in_all: int | None = None
    """Rows of the input where these are only some of them; None where these are all."""

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.given) if self.n_in_all is None else self.n_in_all

    @property
    def n_classes(self) -> int:
        """C; 0 for regression."""
        return len(self.task.classes)

    def readable(self) -> np.ndarray:
        """(N) bool: the row's input could be read."""
        readable = np.ones(self.n_rows, bool)
        readable[[skip.row for skip in self.skipped]] = False
        return readable
