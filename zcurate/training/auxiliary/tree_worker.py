"""The worker process in which tree models are fitted."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zcurate.evidence.heldout import AuxiliaryPredictions
from zcurate.runtime import environment
from zcurate.training.auxiliary.trees import KINDS, TreeTable, fit_trees

START_CODE = (
    "import sys; here = sys.argv.pop(1); here in sys.path or sys.path.insert(0, here); from zcurate.training.auxiliary.tree_worker import serve; serve()"
)
"""What the process runs: this very package, wherever it lies, and nothing of the user's folder."""


class TreeWorker:
    """The process in which trees grow; it loads its libraries from the moment that this object is made, and ends with the `with` block.

    Args:
        wanted: kinds of models; no trees among them, no process.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = [kind for kind in wanted if kind in KINDS]
        self.trouble = ""
        """Why no trees said anything; empty when they did, or when nobody asked."""
        self.child = self.started() if self.wanted else None

    def started(self) -> subprocess.Popen[bytes] | None:
        """The process; None, and why, where there can be none."""
        if not sys.executable or getattr(sys, "frozen", False):
            self.trouble = "there is no Python to start a process with"
            return None
        here = str(Path(__file__).resolve().parents[3])
        command = [sys.executable, "-P", "-c", START_CODE, here, str(spare_threads()), *self.wanted]
        try:
            # What stops this process (Ctrl-C) stops that one by the end of its input, not by a signal of its own.
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as error:
            self.trouble = f"their process cannot be started ({error.strerror})"
            return None

    def __enter__(self) -> TreeWorker:
        return self

    def __exit__(self, *error: object) -> None:
        if self.child is None:
            return
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            try:
                pipe.close()  # type: ignore[union-attr]
            except (OSError, ValueError):
                continue

    def ask(self, table: TreeTable, seconds: float | None = None) -> dict[str, AuxiliaryPredictions]:
        """`grown` of a table; nothing, and why in `trouble`, where that fails or takes too long.

        Args:
            table: N rows.
            seconds: to wait at most; None for as long as it takes.
        """
        if self.child is None:
            return {}
        try:
            said, complaint = self.child.communicate(to_npz(table._asdict()), seconds)
        except subprocess.TimeoutExpired:
            self.trouble = "they were not ready in time"
            return {}
        if self.child.returncode:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            self.trouble = f"their process ended with code {self.child.returncode}" + (f" ({last})" if last else "")
            return {}
        arrays = from_npz(said)
        return {name: AuxiliaryPredictions(arrays[f"{name}/rows"], arrays[f"{name}/hard"]) for name in dict.fromkeys(key.split("/")[0] for key in arrays)}


def spare_threads() -> int:
    """Cores that the members of a small table leave free."""
    return max(1, environment.cpu_count() - 1)


def to_npz(arrays: dict[str, Any]) -> bytes:
    """Named arrays as the bytes of an .npz file."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def from_npz(data: bytes) -> dict[str, np.ndarray]:
    """Back from `packed`."""
    with np.load(io.BytesIO(data)) as arrays:
        return dict(arrays)


def serve() -> None:
    """Read a table from standard input, write what trees say of it to standard output; how many threads, and which kinds, stand in the arguments."""
    # scikit-learn would import pandas, for nothing here, at a quarter of its own time.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import sklearn.ensemble  # noqa: F401  loaded while the table is still being made

    del sys.modules["pandas"]
    arrays = from_npz(sys.stdin.buffer.read())
    n_classes, seed = int(arrays.pop("n_classes")), int(arrays.pop("seed"))
    said = fit_trees(TreeTable(n_classes=n_classes, seed=seed, **arrays), sys.argv[2:], int(sys.argv[1]))
    sys.stdout.buffer.write(to_npz({f"{name}/{part}": array for name, held in said.items() for part, array in held._asdict().items()}))
