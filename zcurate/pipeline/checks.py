"""Checks before anything heavy is loaded, and warnings about the data."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError, listed
from zcurate.plugins import signals_for

if TYPE_CHECKING:
    from zcurate.config.model_config import Plan
    from zcurate.data.dataset import Dataset
    from zcurate.judge.judge import Verdicts

FEW_ROWS = 10
"""Rows of a class below which its verdicts come with a warning."""
NO_MEDIANS = "torchrun: z_scale = mad — medians of several processes' rows cannot be joined — use z_scale = std, or one process"


def check_process_group(size: int, options: ScanOptions, what: Plan) -> None:
    """Refuse what several processes cannot do together.

    Args:
        size: processes.
        options: `resume`.
        what: will be trained.

    Raises:
        UsageError: naming it.
    """
    from zcurate.training.sampler import N_SHARDS

    if size > N_SHARDS * what.spec.folds:
        raise UsageError(
            f"torchrun: {size} processes — expected at most {N_SHARDS * what.spec.folds}: {N_SHARDS} shards of the rows for each member — start fewer"
        )
    if what.spec.z.z_scale == "mad":
        raise UsageError(NO_MEDIANS)
    if options.resume:
        raise UsageError("torchrun: --resume — checkpoints are kept by one process only — leave out --resume")


def data_warnings(dataset: Dataset, clues: tuple[str, ...], card: dict[str, Any]) -> list[str]:
    """What the user should know before trusting the verdicts: classes of few rows, clues that do not apply."""
    out = [] if signals_for(not dataset.task.classes, clues) else [f"none of the clues asked for is for {dataset.task.kind}: the default ones are used"]
    rare = [entry["name"] for entry in card["classes"] if entry["rows"] < FEW_ROWS]
    if rare:
        out.append(f"too few rows to judge well (under {FEW_ROWS}): {listed(rare, 5)}")
    return out


def max_p_incorrect(verdicts: Verdicts) -> float:
    """The largest p_incorrect."""
    import numpy

    return float(numpy.nanmax(verdicts.p_incorrect))


def too_short_reason(n_epochs: int, cut_short: bool) -> str:
    """Why a training that the time limit cut can carry no verdicts; empty when it can."""
    least = 3
    return f"--time-limit left {n_epochs} epochs, {least} needed" if cut_short and n_epochs < least else ""


def check_first(options: ScanOptions) -> None:
    """Refuse what can be refused before anything is read or any heavy library is loaded.

    Raises:
        UsageError: an option that cannot be meant, an unknown model, no GPU driver for `--device cuda`.
    """
    options.check()
    from zcurate.config.toml import parse_model

    parse_model(options.model)
    if options.device == "cuda" and not has_cuda_driver():
        raise UsageError("--device cuda: this machine has no NVIDIA driver — expected a GPU that torch can use — try --device cpu")


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded; takes a millisecond where torch takes two seconds."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
