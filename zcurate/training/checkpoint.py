"""Checkpoints of a scan: its finished rounds, and the running round after each epoch.

A checkpoint is a folder of safetensors files next to the report; each file is written atomically. Everything that a random choice depends
on is saved or follows from the seed, so that a resumed scan ends in the same report to the last bit.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from zcurate.errors import UsageError
from zcurate.evidence.evidence import Round
from zcurate.evidence.heldout import TopKProbabilities
from zcurate.evidence.planted import Planted

FORMAT = 2
"""Of the files; checkpoints of another format are refused."""
ENDING = ".checkpoint"
"""Suffix of the folder's name after that of the report."""
ARRAYS = ("training_label", "heldout", "hard_row", "hard_heldout")
"""Fields of a round that are arrays."""


@dataclass
class Checkpoint:
    """The checkpoint folder of one scan."""

    folder: str
    """Path; created by the first `save`."""
    fingerprint: dict[str, Any]
    """Everything that the scan depends on; a checkpoint with another fingerprint is refused."""
    enabled: bool = field(default=True)
    """False once the time limit has cut training short: later states differ from those of a complete run and are not saved."""

    def file(self, name: str) -> str:
        """Return the path of one part."""
        return os.path.join(self.folder, f"{name}.safetensors")

    def save(self, name: str, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Write one part to a temporary file and rename it.

        Args:
            name: of the part.
            arrays: of any shape and number type.
            metadata: plain JSON values stored with the arrays.
        """
        if not self.enabled:
            return
        os.makedirs(self.folder, exist_ok=True)
        temporary = os.path.join(self.folder, f".{name}.part")
        contiguous = {key: np.asarray(value, order="C") for key, value in arrays.items()}
        try:
            save_file(contiguous, temporary, {"metadata": json.dumps(metadata), "fingerprint": json.dumps({"format": FORMAT, **self.fingerprint})})
            os.replace(temporary, self.file(name))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def load(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Read one part.

        Args:
            name: of the part.

        Returns:
            Arrays and metadata as they were saved; None if the part does not exist.

        Raises:
            UsageError: the part belongs to other data or options, or is broken.
        """
        path = self.file(name)
        if not os.path.exists(path):
            return None
        try:
            with safe_open(path, "np") as file:
                header = file.metadata() or {}
                self.check(json.loads(header.get("fingerprint", "{}")))
                return {key: file.get_tensor(key) for key in file.keys()}, json.loads(header["metadata"])  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise UsageError(f"--resume: {path}: no checkpoint ({error}) — expected one that zcurate wrote — delete {self.folder}") from error

    def check(self, saved: dict[str, Any]) -> None:
        """Refuse a checkpoint of another version, or of other data or options.

        Args:
            saved: fingerprint stored in the checkpoint.

        Raises:
            UsageError: names the first difference.
        """
        if saved.get("format") != FORMAT:
            found = f"format {saved.get('format')}"
            raise UsageError(f"--resume: the checkpoint {self.folder} is of another version: {found} — expected {FORMAT} — leave out --resume to start anew")
        for name, value in self.fingerprint.items():
            if saved.get(name) != value:
                old, new = (shorten(value) for value in (saved.get(name), value))
                raise UsageError(
                    f"--resume: the checkpoint {self.folder} is of another scan: {name} was {old} — expected {new} — "
                    "repeat that scan's options, or leave out --resume to start anew"
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

    def exists(self) -> bool:
        """Whether any part was saved."""
        return os.path.isdir(self.folder) and any(name.endswith(".safetensors") for name in os.listdir(self.folder))

    def clear(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def shorten(value: Any) -> str:
    """Format a value for a message, at most 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
