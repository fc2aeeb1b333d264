"""The columns that an earlier scan learned from, by which new rows are read as that scan read its own. No torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.config.options import ScanOptions
from zcurate.data.dataset import Column, Dataset, DeclaredClasses, Task
from zcurate.data.labels import spelling_key
from zcurate.errors import UsageError, listed
from zcurate.runtime.interrupts import deleted_at_the_end

MODEL_ENDING = ".model"
"""Suffix of a kept model's folder after the report's name."""
NAME = "columns.json"
"""File in the folder of a kept model."""
KIND_WORDS = {"time": "date"}
"""Kind of a column -> its word in `--kind`, where they differ."""


@dataclass(frozen=True)
class EarlierColumns:
    """Label, task and features of an earlier scan."""

    label: str
    """The label column."""
    task: Task
    """Its classes, and how they are written."""
    features: tuple[Column, ...]
    """The columns that the model was trained on."""
    pictures: tuple[int, ...] | None
    """Channels, height and width of the pictures at training size; None for a table."""

    @staticmethod
    def of_card(card: dict[str, Any]) -> EarlierColumns:
        """Describe the rows of a report whose columns are not to be inferred again: made with `--against`, or of annotators' labels.

        Args:
            card: its run card.
        """
        columns, classes = card["columns"], tuple(entry["name"] for entry in card["classes"])
        task = Task(card["task"]["kind"], card["task"]["why"], classes, variants=dict(columns.get("spellings") or {}))
        pictures = None if columns["pictures"] is None else tuple(columns["pictures"])
        return EarlierColumns(columns["label"], task, tuple(Column(one["name"], one["kind"]) for one in columns["features"]), pictures)

    @staticmethod
    def of(data: Dataset) -> EarlierColumns:
        """Describe a data set."""
        return EarlierColumns(data.roles.label, data.task, data.roles.features, None if data.pictures is None else tuple(data.pictures.shape[1:]))

    def write(self, folder: str, warn: Callable[[str], None]) -> None:
        """Write the description into the folder of a kept model.

        Args:
            folder: of the model.
            warn: shows that it cannot be written.
        """
        content = dataclasses.asdict(dataclasses.replace(self, task=dataclasses.replace(self.task, conversion=None)))
        try:
            with deleted_at_the_end(temporary := os.path.join(folder, f"{NAME}.part")):
                with open(temporary, "w", encoding="utf-8") as file:
                    json.dump({**content, "checksum": checksum(content)}, file)
                os.replace(temporary, os.path.join(folder, NAME))
        except OSError as error:
            warn(f"{folder}: the model cannot be kept ({error.strerror})")

    @staticmethod
    def read(folder: str) -> EarlierColumns:
        """Read the description of a kept model.

        Raises:
            UsageError: there is none, or it is damaged.
        """
        path = os.path.join(folder, NAME)
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            if found.pop("checksum") != checksum(found):
                raise ValueError
            task = found["task"]
            declared = None if task["declared"] is None else DeclaredClasses(task["declared"]["why"], tuple(task["declared"]["names"]))
            task = Task(task["kind"], task["why"], tuple(task["classes"]), declared, dict(task["variants"]), tuple(task["missing"]))
            features = tuple(Column(column["name"], column["kind"]) for column in found["features"])
            return EarlierColumns(str(found["label"]), task, features, None if found["pictures"] is None else tuple(found["pictures"]))
        except FileNotFoundError as error:
            raise UsageError(f"{path}: no such file — expected the model of an earlier scan — zcurate scan DATA --keep-model writes one") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: cannot be read ({type(error).__name__}) — expected it as zcurate scan --keep-model wrote it") from error

    def kinds(self) -> tuple[str, ...]:
        """Values of `--kind` that read each column as before."""
        return tuple(f"{column.name}={KIND_WORDS.get(column.kind, column.kind)}" for column in self.features)

    def check_columns(self, names: list[str], location: str) -> None:
        """Refuse an input that lacks a column.

        Args:
            names: columns of the input.
            location: the input, for messages.

        Raises:
            UsageError: names the columns.
        """
        missing = [column.name for column in self.features if column.name not in names]
        if missing:
            found = f"{location}: no column {listed(map(repr, missing), 3)}"
            raise UsageError(f"{found} — expected all that the earlier scan learned from: {listed([one.name for one in self.features], 8)} — add it")

    def with_spellings(self, given: pa.Array) -> Task:
        """Return the task with the spellings of its classes that new labels have.

        Args:
            given: (N) labels as written.
        """
        classes = {spelling_key(name): name for name in self.task.classes}
        found = {name: classes.get(spelling_key(name)) for name in pc.unique(given.drop_null()).to_pylist() if name not in self.task.classes}
        return dataclasses.replace(self.task, variants={**self.task.variants, **{name: known for name, known in found.items() if known is not None}})

    def unknown(self, given: pa.Array, task: Task) -> dict[str, int]:
        """Count the labels that are no class of the earlier scan.

        Args:
            given: (N) labels as written.
            task: of the earlier scan, with the spellings of its classes.
        """
        known = pa.array([*task.classes, *task.variants], pa.string())
        others = pc.value_counts(given.filter(pc.invert(pc.is_in(given, value_set=known))).drop_null())
        return dict(zip(others.field("values").to_pylist(), np.asarray(others.field("counts")).tolist(), strict=True))


def checksum(content: dict[str, Any]) -> str:
    """Hash JSON values."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class ReadLikeEarlier(ScanOptions):
    """Options with which rows are read as an earlier scan read its own, whose columns are known."""

    columns: EarlierColumns | None = field(default=None, metadata={"parse": None})
    """Of the earlier scan."""


def earlier_columns(options: ScanOptions) -> EarlierColumns | None:
    """Return the columns by which rows are to be read; None where they are inferred.

    Args:
        options: `against`.

    Raises:
        UsageError: the model of the earlier scan is not there.
    """
    if isinstance(options, ReadLikeEarlier):
        return options.columns
    return None if options.against is None else EarlierColumns.read(options.against + MODEL_ENDING)
