"""The worker process in which tree models are fitted.

Own process and protocol, so that nothing of the user's folder can be imported and scikit-learn is imported from the first moment on.
"""

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
from zcurate.runtime.fork import die_with_parent
from zcurate.training.auxiliary.trees import KINDS, TreeTable, fit_trees

START_CODE = (
    "import sys; here = sys.argv.pop(1); here in sys.path or sys.path.insert(0, here); from zcurate.training.auxiliary.tree_worker import serve; serve()"
)
"""Code of the process: imports this very package from the folder in its first argument, and nothing from the user's folder."""


class TreeWorker:
    """Worker process for tree models.

    It imports its libraries while the parent continues, and ends with the `with` block.

    Args:
        kinds: requested kinds of models; without tree models among them no process is started.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = [kind for kind in kinds if kind in KINDS]
        self.failure = ""
        """Why there are no predictions of tree models; empty if there are, or if none were requested."""
        self.process = self.start() if self.kinds else None

    def start(self) -> subprocess.Popen[bytes] | None:
        """Start the process; on failure set `failure` and return None."""
        if not sys.executable or getattr(sys, "frozen", False):
            self.failure = "no Python interpreter to start a process with"
            return None
        package_folder = str(Path(__file__).resolve().parents[3])
        command = [sys.executable, "-P", "-c", START_CODE, package_folder, str(os.getpid()), str(spare_threads()), *self.kinds]
        try:
            # In its own session Ctrl-C does not interrupt the process; it ends when its standard input is closed.
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as error:
            self.failure = f"the process cannot be started: {error.strerror}"
            return None

    def __enter__(self) -> TreeWorker:
        return self

    def stop(self) -> None:
        """End the process; a thread that waits for its predictions gets none."""
        if self.process is not None:
            self.process.kill()

    def __exit__(self, *error: object) -> None:
        if self.process is None:
            return
        self.stop()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()  # type: ignore[union-attr]
            except (OSError, ValueError):
                continue

    def predict(self, table: TreeTable, timeout: float | None = None) -> dict[str, AuxiliaryPredictions]:
        """Fit the models in the process and return their held-out predictions.

        On failure `failure` is set and the result is empty.

        Args:
            table: N rows.
            timeout: seconds to wait at most; None for no limit.
        """
        if self.process is None:
            return {}
        try:
            output, errors = self.process.communicate(to_npz(table._asdict()), timeout)
        except subprocess.TimeoutExpired:
            self.failure = "not finished in time"
            return {}
        if self.process.returncode:
            last_line = errors.decode(errors="replace").strip().rpartition("\n")[2]
            code = self.process.returncode
            how = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
            self.failure = f"the process {how}" + (f" ({last_line})" if last_line else "")
            return {}
        arrays = from_npz(output)
        names = dict.fromkeys(key.split("/")[0] for key in arrays)
        return {name: AuxiliaryPredictions(arrays[f"{name}/rows"], arrays[f"{name}/hard"]) for name in names}


def spare_threads() -> int:
    """Count the cores that the members of a small table leave idle; at least 1."""
    return max(1, environment.cpu_count() - 1)


def to_npz(arrays: dict[str, Any]) -> bytes:
    """Serialize named arrays as an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def from_npz(data: bytes) -> dict[str, np.ndarray]:
    """Deserialize the output of `to_npz`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def serve() -> None:
    """Run the worker: read a table from standard input, write predictions to standard output.

    The command-line arguments are the number of the parent process, with which this one ends, the number of threads and the kinds of models.
    """
    die_with_parent(int(sys.argv[1]))
    # scikit-learn would import pandas, which is not needed and takes a quarter of its import time.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import sklearn.ensemble  # noqa: F401  imported while the parent still prepares the table

    del sys.modules["pandas"]
    arrays = from_npz(sys.stdin.buffer.read())
    n_classes, seed = int(arrays.pop("n_classes")), int(arrays.pop("seed"))
    predictions = fit_trees(TreeTable(n_classes=n_classes, seed=seed, **arrays), sys.argv[3:], int(sys.argv[2]))
    sys.stdout.buffer.write(to_npz({f"{name}/{part}": array for name, of_model in predictions.items() for part, array in of_model._asdict().items()}))
