"""What a killed scan leaves behind, and how the next one goes on from there: finished rounds, and the running one after each epoch.

Leaves: a folder of safetensors files beside the report, each written whole or not at all. Enters: `Round`s and named tensors.
Whatever a random choice depends on is in there or follows from the seed, so that a resumed scan ends in the same report to the last bit.
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

ENDING = ".checkpoint"
ARRAYS = ("training_label", "heldout", "hard_row", "hard_heldout")
"""Fields of a round that are arrays."""


@dataclass
class Checkpoint:
    """One scan's folder."""

    folder: str
    print: dict[str, Any]
    """What the scan depends on: a checkpoint with another is refused."""
    kept: bool = field(default=True)
    """False once the time limit cut the training short: what is learned after that is not what a whole run would have learned."""

    def file(self, name: str) -> str:
        """Where one part is."""
        return os.path.join(self.folder, f"{name}.safetensors")

    def save(self, name: str, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Write one part beside its place, then rename it.

        Args:
            name: of the part.
            arrays: of any shape and number type.
            facts: plain JSON values that go with them.
        """
        if not self.kept:
            return
        os.makedirs(self.folder, exist_ok=True)
        temporary = os.path.join(self.folder, f".{name}.part")
        whole = {key: np.asarray(value, order="C") for key, value in arrays.items()}
        try:
            save_file(whole, temporary, {"facts": json.dumps(facts), "print": json.dumps(self.print)})
            os.replace(temporary, self.file(name))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def load(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """A part as it was saved; None where there is none.

        Raises:
            UsageError: it belongs to other data or options, or is broken.
        """
        path = self.file(name)
        if not os.path.exists(path):
            return None
        try:
            with safe_open(path, "np") as file:
                known = file.metadata() or {}
                self.check(json.loads(known.get("print", "{}")))
                return {key: file.get_tensor(key) for key in file.keys()}, json.loads(known["facts"])  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise UsageError(f"--resume: {path}: no checkpoint ({error}) — expected one that zcurate wrote — delete {self.folder}") from error

    def check(self, found: dict[str, Any]) -> None:
        """Refuse a checkpoint of other data or options.

        Raises:
            UsageError: names the first thing that differs.
        """
        for name in self.print:
            if found.get(name) != self.print[name]:
                was, now = (short(value) for value in (found.get(name), self.print[name]))
                raise UsageError(
                    f"--resume: the checkpoint {self.folder} is of another scan: {name} was {was} — expected {now} — "
                    "repeat that scan's options, or leave out --resume to start anew"
                )

    def state(self, at: int, epoch: int, tensors: dict[str, Tensor]) -> None:
        """Keep a running round.

        Args:
            at: number of the round.
            epoch: the last one finished, 0-based.
            tensors: all that its members and its ledger remember.
        """
        self.save("running", {name: one.detach().cpu().numpy() for name, one in tensors.items()}, {"round": at, "epoch": epoch})

    def running(self, at: int) -> tuple[dict[str, Tensor], int] | None:
        """What was kept of round `at`, and its last epoch; None where nothing was."""
        found = self.load("running")
        if found is None or found[1]["round"] != at:
            return None
        return {name: torch.from_numpy(array) for name, array in found[0].items()}, found[1]["epoch"]

    def keep_round(self, at: int, one: Round) -> None:
        """Keep a finished round."""
        held = one.heldout
        arrays = {name: getattr(one, name) for name in ARRAYS} | {"heldout": held.packed if isinstance(held, TopKProbabilities) else held}
        arrays |= {f"columns.{name}": column for name, column in one.columns.items()} | {f"curves.{name}": curve for name, curve in one.curves.items()}
        kinds = sorted(set(one.planted.kind.tolist()))
        arrays |= {
            "planted.row": one.planted.row,
            "planted.label": one.planted.label,
            "planted.kind": np.searchsorted(kinds, one.planted.kind).astype(np.int64),
        }
        n_classes = held.n_classes if isinstance(held, TopKProbabilities) else 0
        self.save(f"round-{at}", arrays, {"kinds": kinds, "best_progress": one.best_progress, "n_excluded": one.n_excluded, "best_of": n_classes})

    def round(self, at: int) -> Round | None:
        """A finished round; None where there is none."""
        found = self.load(f"round-{at}")
        if found is None:
            return None
        arrays, facts = found
        parts = {
            part: {name.removeprefix(part + "."): array for name, array in arrays.items() if name.startswith(part + ".")} for part in ("columns", "curves")
        }
        kind = np.array(facts["kinds"] or [""])[arrays["planted.kind"]]
        planted = Planted(arrays["planted.row"], arrays["planted.label"], kind)
        training_label, heldout, hard_row, hard_heldout = (arrays[name] for name in ARRAYS)
        predictions = TopKProbabilities(heldout, facts["best_of"]) if facts.get("best_of") else heldout
        return Round(
            training_label, planted, parts["columns"], predictions, parts["curves"], facts["best_progress"], hard_row, hard_heldout, facts["n_excluded"]
        )

    def there(self) -> bool:
        """Whether anything was kept."""
        return os.path.isdir(self.folder) and any(name.endswith(".safetensors") for name in os.listdir(self.folder))

    def clear(self) -> None:
        """Nothing is kept any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def short(value: Any) -> str:
    """A value in a message."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
