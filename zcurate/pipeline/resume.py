"""Checkpoints and finished reports of the same scan."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from zcurate import __version__, plugins
from zcurate.config.options import ScanOptions
from zcurate.errors import ReportError, UsageError
from zcurate.runtime import environment

if TYPE_CHECKING:
    from zcurate.config.model_config import Plan
    from zcurate.data.dataset import Dataset
    from zcurate.report.report import Report
    from zcurate.runtime.context import RunContext
    from zcurate.training.checkpoint import Checkpoint
    from zcurate.training.kept_model import KeptModel

MIN_VISITS, MIN_PICTURE_VISITS = 20_000_000, 200_000
"""Visits (rows x members x epochs) from which a scan keeps checkpoints even without `--resume`: about half a minute on two cores."""
MAX_SHARED_LABELS = 100_000
"""Labels that processes of one scan compare."""
ENDING = ".checkpoint"
"""Suffix of the checkpoint's folder after the report's name."""
CUTS = ("threshold", "precision", "budget")
"""Options that change the verdicts but not the evidence: a finished report with another cut has to be judged anew."""


def finished_report(dataset: Dataset, options: ScanOptions) -> Report | None:
    """Load the finished report of this same scan; None where there is none.

    Args:
        dataset: N rows.
        options: every setting.
    """
    from zcurate.pipeline.plan import make_plan
    from zcurate.report.storage import card_of, load

    assert options.output is not None  # crack: narrows types only
    try:
        card = card_of(options.output)
    except ReportError:
        return None
    same_cut = all(card["options"].get(name) == getattr(options, name) for name in CUTS)
    is_finished = same_cut and card.get("print") == fingerprint(dataset, options, make_plan(options, dataset)) and not card["partial"]
    return load(options.output) if is_finished else None


def fingerprint(dataset: Dataset, options: ScanOptions, plan: Plan) -> dict[str, Any]:
    """Describe everything that the evidence of a scan depends on, as plain JSON values; a checkpoint with another fingerprint is refused.

    Args:
        dataset: N rows.
        options: every setting.
        plan: what will be trained.
    """
    import importlib.metadata
    import platform

    names = ("label", "id", "task", "group", "exclude", "kind", "missing", "keep_spelling", "encoding", "image", "root", "input_format", "seed", "device")
    chosen = {name: getattr(options, name) for name in names}
    model = plan.spec.as_dict() | {"n_epochs": plan.n_epochs}
    if ".py:" in plan.spec.name:
        with open(plan.spec.name.rpartition(":")[0], "rb") as file:
            model["source"] = hashlib.blake2b(file.read(), digest_size=16).hexdigest()
    data = {"rows": dataset.n_rows, "input": dataset.origin.digest, "bytes": dataset.origin.n_bytes} | dataset.row_arrays
    versions = {"zcurate": __version__, "torch": importlib.metadata.version("torch"), "python": platform.python_version(), "threads": environment.cpu_count()}
    plain: dict[str, Any] = json.loads(json.dumps({**data, **chosen, "model": model, **versions}))
    return plain


def shared_facts(dataset: Dataset, options: ScanOptions, plan: Plan | None = None) -> dict[str, Any]:
    """Describe what all processes of one scan must have in common.

    Args:
        dataset: all rows, or a preview of an input that is kept in files.
        options: every setting.
        plan: what will be trained; None before it is known.
    """
    labels = hashlib.blake2b(repr(dataset.given.slice(0, MAX_SHARED_LABELS).to_pylist()).encode(), digest_size=8)
    facts = {"rows": dataset.n_rows, "bytes": dataset.origin.n_bytes, "columns": dataset.table.num_columns, "labels (hash)": labels.hexdigest()}
    # Copies of a folder of pictures on several machines differ in the times of their files, which are in the digest.
    facts |= {} if plan is None or dataset.origin.format == "folder" else {"content (hash)": dataset.origin.digest}
    chosen = {name: str(getattr(options, name)) for name in ("label", "task", "group", "exclude", "seed", "device", "epochs", "memory")}
    model = {} if plan is None else {"model": json.dumps(plan.spec.as_dict() | {"n_epochs": plan.n_epochs}, sort_keys=True, default=str)}
    return {"rows kept": "in files" if plan is None else "in memory", **facts, **chosen, **model}


def clear_checkpoint(options: ScanOptions) -> None:
    """Delete the checkpoint next to a finished report, which a scan that was killed between the two steps has left."""
    folder = f"{options.output}{ENDING}"
    if os.path.isdir(folder):
        from zcurate.training.checkpoint import Checkpoint

        Checkpoint(folder, {}).clear()


def checkpoint_for(options: ScanOptions, plan: Plan, n_rows: int, fingerprint: dict[str, Any], run: RunContext) -> Checkpoint | None:
    """Open the checkpoint next to the report, where `--resume` is set or the training is long; None for no checkpoint.

    Args:
        options: `output`, `resume`.
        plan: what will be trained.
        n_rows: N.
        fingerprint: of the scan.
        run: store and progress; memory-mapped rows have no checkpoints.

    Raises:
        UsageError: the checkpoint on disk belongs to another scan.
    """
    visits = n_rows * plan.spec.folds * plan.spec.rounds * plan.n_epochs
    if (
        environment.world_size() > 1
        or not run.store.resident
        or options.output in (None, "-")
        or options.continue_from is not None
        or not (options.resume or visits >= (MIN_PICTURE_VISITS if plugins.model_plugin(plan.spec.name).inputs == "images" else MIN_VISITS))
    ):
        return None
    from zcurate.training import checkpoint

    found = checkpoint.Checkpoint(f"{options.output}{ENDING}", fingerprint, run.progress.warn)
    if not options.resume:
        found.clear()
    elif found.exists():
        run.progress.note(f"--resume: continuing from the checkpoint {found.folder}")
    else:
        run.progress.note(f"--resume: no checkpoint {found.folder} — starting anew")
    return found


def check_kept(options: ScanOptions) -> None:
    """Refuse, before anything is read, what cannot keep a model, or has none to go on from.

    Args:
        options: `output`, `keep_model`, `continue_from`, `against`.

    Raises:
        UsageError: several processes, no local report, or no model beside it.
    """
    from zcurate.data import remote
    from zcurate.data.earlier import MODEL_ENDING

    option = "--keep-model" if options.keep_model else "--continue" if options.continue_from is not None else "--against" if options.against is not None else ""
    if not option:
        return
    if environment.world_size() > 1:
        raise UsageError(f"{option}: {environment.world_size()} processes — expected one — start it without torchrun")
    report = options.output if options.keep_model else options.continue_from or options.against
    if report is None or remote.is_remote(report):
        raise UsageError(f"{option}: no report on this machine to keep the model beside — expected a path — add -o FILE, or output= in Python")
    if not options.keep_model and not os.path.isdir(f"{report}{MODEL_ENDING}"):
        raise UsageError(f"{option}: no folder {report}{MODEL_ENDING} — expected the model of an earlier scan — zcurate scan DATA --keep-model writes one")


def has_kept(options: ScanOptions) -> bool:
    """Whether the model that a scan is to keep is there, or none is to be kept.

    Args:
        options: `keep_model`, `output`.
    """
    from zcurate.data.earlier import MODEL_ENDING, NAME

    return not options.keep_model or os.path.isfile(os.path.join(f"{options.output}{MODEL_ENDING}", NAME))


def digest_of(fingerprint: dict[str, Any]) -> str:
    """Hash the fingerprint of a scan."""
    return hashlib.blake2b(json.dumps(fingerprint, sort_keys=True).encode(), digest_size=16).hexdigest()


def check_scan(kept: KeptModel, report: str, run: RunContext) -> None:
    """Refuse a model of another scan than the report that it is beside, and warn of one whose training was cut short.

    Args:
        kept: the model.
        report: path; it may be gone.
        run: progress.

    Raises:
        UsageError: the report was replaced by that of another scan, which kept no model.
    """
    from zcurate.report.storage import card_of

    facts, option = kept.rest[1], kept.parts.option
    try:
        card = card_of(report)
    except ReportError:
        card = {}
    if card.get("print") and not card["options"].get("continue_from") and digest_of(card["print"]) != facts.get("scan"):
        raise UsageError(f"{option}: {report} is of another scan than the model beside it — expected both of one — scan again with --keep-model")
    if facts.get("cut_short"):
        run.progress.warn(f"{option}: the training of the model was cut short by --time-limit — probabilities are less sure")


def kept_model_for(options: ScanOptions, dataset: Dataset, fingerprint: dict[str, Any], run: RunContext) -> KeptModel | None:
    """Open the model beside the report, to be written (`--keep-model`) or gone on from (`--continue`); None for neither.

    Args:
        options: `output`, `keep_model`, `continue_from`.
        dataset: N rows.
        fingerprint: of the scan.
        run: store and progress.

    Raises:
        UsageError: several processes, rows in files, no local report, or a model of another scan.
    """
    option = "--keep-model" if options.keep_model else "--continue"
    if not (options.keep_model or options.continue_from is not None):
        return None
    if not run.store.resident:
        raise UsageError(f"{option}: rows are kept in files — expected rows that fit into memory — leave {option} out, or raise --memory")
    from zcurate.data.earlier import MODEL_ENDING
    from zcurate.training import checkpoint, kept_model

    report = options.output if options.keep_model else options.continue_from
    facts = {"rows": int(dataset.readable().sum()), "label": dataset.roles.label, "classes": list(dataset.task.classes), "model": fingerprint["model"]}
    parts = checkpoint.Checkpoint(f"{report}{MODEL_ENDING}", facts, run.progress.warn if options.keep_model else lambda text: None, option=option)
    if options.keep_model:
        # Of which scan it is, for one that is resumed; a later scan that goes on does not ask.
        facts["scan"] = digest_of(fingerprint)
    if options.keep_model and not options.resume:
        parts.clear()
    return kept_model.KeptModel(parts, goes_on=not options.keep_model)
