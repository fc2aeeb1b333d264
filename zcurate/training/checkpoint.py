"""Checkpoints of a scan: its finished rounds, and the running round after each epoch.

A checkpoint is a folder of safetensors files next to the report; each file is written atomically and carries a checksum. Everything that a random choice
depends on is saved or follows from the seed, so that a resumed scan ends in the same report to the last bit. A part that is not as it was written is
trained again. Files are read as numbers and plain JSON, never as code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError
from torch import Tensor

from zcurate.errors import UsageError
from zcurate.evidence.evidence import Round
from zcurate.evidence.heldout import TopKProbabilities
from zcurate.evidence.planted import Planted
from zcurate.runtime.interrupts import delete, deleted_at_the_end

FORMAT = 3
"""Of the files; checkpoints of another format are refused."""
ARRAYS = ("training_label", "heldout", "hard_row", "hard_heldout")
"""Fields of a round that are arrays."""
UNFINISHED = ".part"
"""Folder in that of the checkpoint where a part is written; the library makes temporary files of its own beside a file."""
OWN_NAME = re.compile(r"(running|rest|encoder|(round|members)-\d+)\.safetensors|columns\.json(\.part)?|" + re.escape(UNFINISHED))
"""Matches the names of what a checkpoint makes in its folder."""


class BrokenPartError(Exception):
    """A part of a checkpoint is not as it was written."""


@dataclass
class Checkpoint:
    """The checkpoint folder of one scan."""

    folder: str
    """Path; created by the first `save`."""
    fingerprint: dict[str, Any]
    """Everything that the scan depends on; a checkpoint with another fingerprint is refused."""
    warn: Callable[[str], None] = field(default=lambda text: None)
    """Shows a warning: a part is broken, or cannot be written."""
    enabled: bool = field(default=True)
    """False once the time limit has cut training short: later states differ from those of a complete run and are not saved."""
    has_warned: bool = field(default=False)
    """The user knows that parts cannot be written."""
    option: str = "--resume"
    """Reads it, for messages."""

    def file(self, name: str) -> str:
        """Return the path of one part."""
        return os.path.join(self.folder, f"{name}.safetensors")

    def save(self, name: str, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Write one part to a temporary file and rename it; a part that cannot be written is a warning, as the scan can do without.

        Args:
            name: of the part.
            arrays: of any shape and number type.
            facts: plain JSON values stored with the arrays.
        """
        if not self.enabled:
            return
        unfinished = os.path.join(self.folder, UNFINISHED)
        contiguous = {key: np.asarray(value, order="C") for key, value in arrays.items()}
        texts = {"facts": json.dumps(facts), "print": json.dumps({"format": FORMAT, **self.fingerprint})}
        try:
            with deleted_at_the_end(unfinished):
                for folder in (self.folder, unfinished):
                    with suppress(FileExistsError):
                        os.mkdir(folder)
                written = os.path.join(unfinished, name)
                safetensors.numpy.save_file(contiguous, written, texts | {"checksum": checksum(contiguous, texts)})
                os.replace(written, self.file(name))
        except (OSError, SafetensorError) as error:
            if not self.has_warned:
                what = "checkpoint cannot be written" if self.option == "--resume" else "model cannot be kept"
                then = ": if the scan is interrupted, it starts anew, or from what is there" if self.option == "--resume" else ""
                self.warn(f"{self.folder}: the {what} ({error}){then}")
            self.has_warned = True

    def load(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Read one part.

        Args:
            name: of the part.

        Returns:
            Arrays and facts as they were saved; None if the part does not exist, or is broken, which is a warning.

        Raises:
            UsageError: the part belongs to other data or options, or another version.
        """
        path = self.file(name)
        if not os.path.exists(path):
            return None
        try:
            arrays, facts, saved = read_part(path)
        except BrokenPartError as error:
            self.warn(f"{self.option}: {path}: {error} — expected it as it was written — this part is trained again")
            return None
        self.check(saved)
        return arrays, facts

    def check(self, saved: dict[str, Any]) -> None:
        """Refuse a checkpoint of another version, or of other data or options.

        Args:
            saved: fingerprint stored in the checkpoint.

        Raises:
            UsageError: names the first difference.
        """
        if saved.get("format") != FORMAT:
            found = f"format {saved.get('format')}"
            raise UsageError(f"{self.option}: {self.folder} is of another version: {found} — expected {FORMAT} — leave out {self.option} to start anew")
        for name, value in self.fingerprint.items():
            if saved.get(name) != value:
                name, before, now = first_difference(name, saved.get(name), value)
                old, new = shorten(before), shorten(now)
                raise UsageError(
                    f"{self.option}: {self.folder} is of another scan: {name} was {old} — expected {new} — "
                    f"repeat that scan's options, or leave out {self.option} to start anew"
                )

    def save_epoch(self, at: int, epoch: int, tensors: dict[str, Tensor]) -> None:
        """Save the state of the running round.

        Args:
            at: number of the round.
            epoch: last finished epoch, 0-based.
            tensors: complete state of its members and of the training dynamics.
        """
        self.save("running", {name: one.detach().cpu().numpy() for name, one in tensors.items()}, {"round": at, "epoch": epoch})

    def load_epoch(self, at: int) -> tuple[dict[str, Tensor], int] | None:
        """Read the state of round `at` and its last finished epoch; None if none was saved."""
        part = self.load("running")
        if part is None or part[1]["round"] != at:
            return None
        return {name: torch.from_numpy(array) for name, array in part[0].items()}, part[1]["epoch"]

    def save_round(self, at: int, finished: Round) -> None:
        """Save a finished round.

        Args:
            at: number of the round.
            finished: the round.
        """
        heldout, planted = finished.heldout, finished.planted
        arrays = {name: getattr(finished, name) for name in ARRAYS} | {"heldout": heldout.packed if isinstance(heldout, TopKProbabilities) else heldout}
        arrays |= {f"columns.{name}": column for name, column in finished.columns.items()}
        arrays |= {f"curves.{name}": curve for name, curve in finished.curves.items()}
        kinds = sorted(set(planted.kind.tolist()))
        arrays |= {"planted.row": planted.row, "planted.label": planted.label, "planted.kind": np.searchsorted(kinds, planted.kind).astype(np.int64)}
        n_classes = heldout.n_classes if isinstance(heldout, TopKProbabilities) else 0
        self.save(f"round-{at}", arrays, {"kinds": kinds, "best_progress": finished.best_progress, "n_excluded": finished.n_excluded, "n_classes": n_classes})

    def load_round(self, at: int) -> Round | None:
        """Read the finished round `at`; None if it was not saved."""
        part = self.load(f"round-{at}")
        if part is None:
            return None
        arrays, metadata = part
        columns, curves = (
            {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)} for prefix in ("columns.", "curves.")
        )
        kind = np.array(metadata["kinds"] or [""])[arrays["planted.kind"]]
        planted = Planted(arrays["planted.row"], arrays["planted.label"], kind)
        training_label, heldout, hard_row, hard_heldout = (arrays[name] for name in ARRAYS)
        predictions = TopKProbabilities(heldout, metadata["n_classes"]) if metadata["n_classes"] else heldout
        progress, n_excluded = metadata["best_progress"], metadata["n_excluded"]
        return Round(training_label, planted, columns, predictions, curves, progress, hard_row, hard_heldout, n_excluded)

    def own_paths(self) -> list[str]:
        """Paths of what the checkpoint made in its folder; the folder may hold other things, which are nobody's business here."""
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return [os.path.join(self.folder, name) for name in names if OWN_NAME.fullmatch(name)]

    def exists(self) -> bool:
        """Whether any part was saved."""
        return any(path.endswith(".safetensors") for path in self.own_paths())

    def clear(self) -> None:
        """Delete what the checkpoint made, and the folder where nothing else is in it."""
        for path in self.own_paths():
            delete(path)
        with suppress(OSError):
            os.rmdir(self.folder)


def read_part(path: str) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """Read one part.

    Args:
        path: of the file.

    Returns:
        Its arrays, facts, and the fingerprint of its scan.

    Raises:
        BrokenPartError: it cannot be read, or is not as it was written.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
        arrays = safetensors.numpy.load(content)
        texts = dict(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {})
        if "fingerprint" in texts and "print" not in texts:
            # Written by an earlier version, without a checksum.
            return arrays, {}, dict(json.loads(texts["fingerprint"]))
        expected = texts.pop("checksum", "")
        found = checksum(arrays, texts)
        facts, saved = (dict(json.loads(texts[name])) for name in ("facts", "print"))
    except Exception as error:  # The library raises what it likes for bytes that are no checkpoint.
        raise BrokenPartError(f"cannot be read ({shorten(error)})") from error
    if found != expected:
        raise BrokenPartError("its checksum is wrong")
    return arrays, facts, saved


def checksum(arrays: dict[str, np.ndarray], texts: dict[str, str]) -> str:
    """Hash arrays with their names, types and shapes, and texts with theirs.

    Args:
        arrays: contiguous.
        texts: any.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name}\0{arrays[name].dtype.str}\0{arrays[name].shape}\0".encode())
        digest.update(arrays[name].reshape(-1).view(np.uint8).data)
    digest.update(json.dumps(texts, sort_keys=True).encode())
    return digest.hexdigest()


def first_difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """Name what differs between two values, down to one entry of a dictionary.

    Args:
        name: of both.
        before: one value.
        now: the other.

    Returns:
        Name, and both values.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            if before.get(key) != now.get(key):
                return f"{name}.{key}", before.get(key), now.get(key)
    return name, before, now


def shorten(value: Any) -> str:
    """Format a value for a message, at most 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
