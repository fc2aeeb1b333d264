"""Checks of options that come before any heavy import, and warnings about the data."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

from zcurate.config.model_config import NO_MODEL
from zcurate.config.options import ScanOptions
from zcurate.errors import UsageError, listed
from zcurate.plugins import signals_for
from zcurate.runtime import environment

if TYPE_CHECKING:
    from zcurate.config.model_config import ModelConfig, Plan
    from zcurate.data.dataset import Dataset
    from zcurate.judge.judge import Verdicts
    from zcurate.runtime.progress import Progress

FEW_ROWS = 10
"""Rows of a class below which its verdicts come with a warning."""
MAX_NOISE, MAX_NOISE_WIDTH = 0.5, 0.6
"""Estimated share of wrong labels, and width of its interval, from which task and label column are in doubt."""
MIN_COPIES = 0.001
"""Share of rows that are copies of others from which a warning says so; the run card counts fewer too."""
MIN_EPOCHS = 3
"""Epochs needed to judge a training that was cut short."""
NO_MEDIANS = "torchrun: z_scale = mad — a median cannot be pooled over processes — use z_scale = std, or one process"


def check_process_group(size: int, options: ScanOptions, plan: Plan) -> None:
    """Refuse settings that several processes do not support.

    Args:
        size: number of processes.
        options: `resume`.
        plan: what will be trained.

    Raises:
        UsageError: names the setting.
    """
    from zcurate.training.sampler import N_SHARDS

    if size > N_SHARDS * plan.spec.folds:
        raise UsageError(f"torchrun: {size} processes — expected at most {N_SHARDS * plan.spec.folds}: {N_SHARDS} shards of rows per member — start fewer")
    if plan.spec.z.z_scale == "mad":
        raise UsageError(NO_MEDIANS)
    if plan.spec.skip_mastered:
        raise UsageError("torchrun: skip_mastered = true — expected a single process, as each would skip other rows — leave skip_mastered out")
    if options.resume:
        raise UsageError("torchrun: --resume — only a single process keeps checkpoints — leave out --resume")


def data_warnings(dataset: Dataset, clues: tuple[str, ...], card: dict[str, Any]) -> list[str]:
    """Warn of classes with few rows and of clues that do not apply to the task.

    Args:
        dataset: N rows.
        clues: signals to judge by.
        card: run card, with the number of rows of each class.
    """
    out = [] if signals_for(not dataset.task.classes, clues) else [f"none of the chosen clues applies to {dataset.task.kind}: the default ones are used"]
    out += doubtful_noise(card)
    rare = [entry["name"] for entry in card["classes"] if entry["rows"] < FEW_ROWS]
    if rare:
        out.append(f"too few rows to judge well (under {FEW_ROWS}): {listed(rare, 5)}")
    return out


def doubtful_noise(card: dict[str, Any]) -> list[str]:
    """Warn where so many labels seem wrong, or so little is known of how many, that task or label column are in doubt.

    Args:
        card: run card, with `noise_rate`.
    """
    rate, column = card["noise_rate"], card["columns"]["label"]
    if not card["judged"] or None in (rate["estimate"], rate["low"], rate["high"]):
        return []
    found = ""
    if rate["estimate"] > MAX_NOISE:
        found = f"{rate['estimate']:.0%} of the labels look wrong"
    elif rate["high"] - rate["low"] > MAX_NOISE_WIDTH:
        found = f"between {rate['low']:.0%} and {rate['high']:.0%} of the labels look wrong, which is hardly known at all"
    if not found:
        return []
    task = "multiclass" if card["task"]["kind"] == "regression" else "regression" if "whole numbers" in card["task"]["why"] else ""
    advice = f"try --task {task}, or name" if task else "check the task, or name"
    return [f"column '{column}': {found} — expected fewer wrong labels than right ones — {advice} another column with --label"]


def warn_in_card(card: dict[str, Any], texts: list[str], progress: Progress) -> None:
    """Show warnings, and keep them in the run card.

    Args:
        card: run card; its list `warnings` is replaced by a longer one.
        texts: one line each.
        progress: shows them.
    """
    for text in texts:
        progress.warn(text)
    card["warnings"] = [*card["warnings"], *texts]


def max_p_incorrect(verdicts: Verdicts) -> float:
    """The largest p_incorrect of any row."""
    import numpy

    return float(numpy.nanmax(verdicts.p_incorrect))


def too_short_reason(n_epochs: int, cut_short: bool) -> str:
    """Explain why training was cut too short for verdicts; empty where it was not."""
    return f"--time-limit left {n_epochs} epochs, {MIN_EPOCHS} needed" if cut_short and n_epochs < MIN_EPOCHS else ""


def check_first(options: ScanOptions) -> None:
    """Refuse bad options before anything is read or any heavy library is loaded.

    Raises:
        UsageError: an invalid option, an unknown model, an environment that cannot be, no GPU driver for `--device cuda`.
    """
    options.check()
    environment.check()
    from zcurate.config.toml import parse_model

    if parse_model(options.model)["name"] == NO_MODEL and options.probabilities is None:
        raise UsageError("--model none: nothing to judge by — expected the probabilities of another model — add --probabilities FILE")
    if options.device == "cuda" and not has_cuda_driver():
        raise UsageError("--device cuda: this machine has no NVIDIA driver — expected a GPU supported by torch — try --device cpu")


def without_effect(spec: ModelConfig, options: ScanOptions) -> list[str]:
    """Warn of settings of a model file that change nothing.

    Args:
        spec: of the model.
        options: `slices`.
    """
    out = []
    if spec.slice_weight and options.slices is None:
        out.append("slice_weight: there are no slices — it is ignored — name their column with --slices")
    if spec.late_stopping and spec.rounds < 2:
        out.append(f"late_stopping: rounds = {spec.rounds} — it is ignored — set rounds to 2 or more")
    return out


def ignored_without_model(options: ScanOptions) -> list[str]:
    """Warn of options that mean nothing where no model is trained.

    Args:
        options: every setting.
    """
    given = {"--epochs": options.epochs, "--time-limit": options.time_limit, "--resume": options.resume, "--features": options.features not in ("auto", "none")}
    return [f"{flag}: no model is trained — it is ignored" for flag, value in given.items() if value]


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded: a test that takes a millisecond, where importing torch takes seconds."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
