"""Choose model, sizes and schedule from the options and the data."""

from __future__ import annotations

from typing import Any

from zcurate import plugins
from zcurate.config.array_source import is_array, is_backbone
from zcurate.config.model_config import NO_MODEL, ModelConfig, Plan
from zcurate.config.options import ScanOptions
from zcurate.config.toml import has_text_extra, nest_loss_settings, parse_model
from zcurate.data.dataset import Dataset
from zcurate.encoding import backbones
from zcurate.encoding.wide import MAX_WIDE_ROWS, is_wide
from zcurate.errors import UsageError
from zcurate.evidence.heldout import is_dense

MAX_EMBEDDED_ROWS = 50_000
"""Largest number of rows that `text = "auto"` embeds: some minutes on two CPU cores."""
EPOCHS_AT_20K, MIN_EPOCHS, MAX_EPOCHS = 10, 3, 40
"""Epochs of the first round at 20 000 rows, and their limits."""
MIN_TREE_ROWS = 300
"""Below this, held-out predictions cannot show whether tree models help."""
LARGE_ROWS, LARGE_EPOCHS = 50_000, 7
"""From this many rows on, one round of two members with larger batches, `LARGE_EPOCHS` epochs at 100 000 rows, and no neighbor search: a member
trained on half of so many rows is as good as one trained on three quarters of few, and a scan must stay faster than the work it replaces."""


PROBE = ("probe",)
"""Auxiliary model of pictures with features."""


def choose_text_encoding(wanted: str, data: Dataset, network: str = "") -> str:
    """Resolve `text = "auto"` for this data; unchanged where no column is text.

    Args:
        wanted: of the TOML file, or `auto`.
        data: N rows.
        network: that embeds texts, as `--features` names it.
    """
    if wanted != "auto" or not has_texts(data):
        return wanted
    return "both" if network or (data.n_rows <= MAX_EMBEDDED_ROWS and has_text_extra()) else "tfidf"


def has_texts(data: Dataset) -> bool:
    """Whether a column of the data is free text."""
    return "text" in {column.kind for column in data.roles.features}


def choose_text_network(options: ScanOptions, data: Dataset, resident: bool) -> str:
    """Return the network of `--features hf:NAME` that embeds the texts of a table; empty where none is named.

    Args:
        options: `features`.
        data: N rows.
        resident: all rows are in memory.

    Raises:
        UsageError: its package is not installed, or rows are read piece by piece.
    """
    if not options.features.startswith("hf:") or data.pictures is not None or not has_texts(data):
        return ""
    if not resident:
        raise UsageError(f"--features {options.features}: rows that do not fit into memory are kept in files — expected all in memory — raise --memory")
    backbones.check(options.features)
    return options.features


def make_plan(options: ScanOptions, data: Dataset, resident: bool = True) -> Plan:
    """Choose model, sizes and schedule from the options and the data.

    Args:
        options: `model`, `epochs`.
        data: N rows.
        resident: all rows are in memory, which auxiliary models need.

    Raises:
        UsageError: the model does not fit the data.
    """
    if options.slices is not None and not resident:
        raise UsageError("--slices: the rows do not fit into memory — expected fewer, or more --memory — leave it out")
    if options.annotators is not None and (not resident or data.task.kind == "regression"):
        what = "targets to predict" if resident else "rows that do not fit into memory"
        raise UsageError(f"--annotators: {what} — expected classes in memory — try {'--task multiclass' if resident else '--memory with more'}")
    settings = parse_model(options.model)
    name = settings.pop("name", "auto")
    why = "as asked for by --model"
    text_network = choose_text_network(options, data, resident)
    features = "none" if text_network else choose_features(options, data, settings.pop("features", None), resident)
    if options.probabilities is not None:
        check_probabilities(options, data, resident)
    if name == "auto":
        name, why = choose_model(data, features, options.probabilities is not None)
    if name == NO_MODEL and (options.keep_model or options.continue_from is not None):
        option = "--keep-model" if options.keep_model else "--continue"
        raise UsageError(f"{option}: no model is trained, as the probabilities are the only one — expected a model — leave {option} out")
    if name == NO_MODEL:
        return plan_without_model(why)
    pictures = data.pictures is not None
    model = plugins.model_plugin(name)
    takes_features = features != "none" and model.inputs == "table"
    if model.inputs != "any" and (model.inputs == "images") != pictures and not takes_features:
        raise UsageError(f"--model {name}: does not fit {'pictures' if pictures else 'a table'} — try --model {'resnet' if pictures else 'mlp'}")
    settings = nest_loss_settings(settings) | {"name": name, "text_network": text_network, "features": features}
    settings["text"] = choose_text_encoding(settings.get("text", "auto"), data, text_network)
    if not resident or data.task.kind == "regression" or not is_dense(data.n_rows, data.n_classes):
        settings["ensemble"] = ()
    if not resident:
        settings["principal"] = False
    spec = ModelConfig(**{**default_settings(name, data, features), **settings})
    if spec.late_stopping and (data.task.kind == "regression" or not resident):
        what = "a regression" if resident else "rows that do not fit into memory"
        raise UsageError(f"--model {name}: late_stopping for {what} — expected classes in memory — leave late_stopping out")
    if spec.skip_mastered and not resident:
        raise UsageError(f"--model {name}: skip_mastered = true — expected rows that fit into memory — raise --memory, or leave skip_mastered out")
    if plugins.LOSSES[spec.loss].classes_only and data.task.kind == "regression":
        raise UsageError(f"--model {name}: loss = '{spec.loss}' for a regression — expected another loss, as it is for classes only")
    if any(width % model.width_multiple for width in spec.hidden):
        multiples = f"multiples of {model.width_multiple}"
        raise UsageError(f"--model {name}: hidden = {list(spec.hidden)} — expected {multiples} — torch's CPU convolutions need them")
    if spec.principal and not has_more_columns(data):
        raise UsageError(
            f"--model {name}: principal = true — expected a table of more columns than rows, of at most {MAX_WIDE_ROWS} rows — leave principal out"
        )
    n_epochs = options.epochs or spec.epochs or n_epochs_for(data.n_rows, pictures and not takes_features)
    return Plan(spec, model.packed, n_epochs, why)


def plan_without_model(why: str) -> Plan:
    """Plan a scan in which the user's probabilities are the only model.

    Args:
        why: there is no model.
    """
    spec = ModelConfig(name=NO_MODEL, hidden=(), folds=0, rounds=1, ensemble=(), witnesses=(), clues=plugins.HELDOUT_SIGNALS)
    return Plan(spec, False, 0, why)


def check_probabilities(options: ScanOptions, data: Dataset, resident: bool) -> None:
    """Refuse the user's probabilities where there is no place for them.

    Args:
        options: `probabilities`, `model`.
        data: N rows.
        resident: all rows are in memory.

    Raises:
        UsageError: rows are read piece by piece, or too many classes are to be blended.
    """
    if not resident:
        raise UsageError("--probabilities: rows that do not fit into memory are kept in files — expected all of them in memory — raise --memory")
    if options.model != NO_MODEL and not is_dense(data.n_rows, data.n_classes):
        raise UsageError(f"--probabilities: {data.n_classes} classes of {data.n_rows} rows are too many to blend — try --model none")


def choose_features(options: ScanOptions, data: Dataset, in_spec: str | None, resident: bool) -> str:
    """Choose what encodes pictures: a pre-trained network, or features that the user brought; `none` for tables and small pictures.

    Args:
        options: `features`.
        data: N rows.
        in_spec: of the TOML file, or None.
        resident: all rows are in memory.

    Raises:
        UsageError: a network for a table, or features of rows that are read piece by piece.
    """
    wanted = options.features if options.features != "auto" else in_spec or "auto"
    possible = data.pictures is not None and data.originals is not None and resident and data.task.kind != "regression"
    if wanted == "auto":
        return "lite0" if possible and data.originals is not None and data.originals.side >= backbones.MIN_SIDE and backbones.is_installed("lite0") else "none"
    if wanted == "none":
        return wanted
    if is_array(wanted) and not resident:
        raise UsageError(f"--features {wanted}: rows that do not fit into memory are kept in files — expected all of them in memory — raise --memory")
    if data.pictures is None and not is_backbone(wanted):
        # One of the table's columns of vectors.
        return "none"
    if not possible:
        what = "pictures, or with hf: for texts" if data.pictures is None else "classes of pictures in memory"
        raise UsageError(f"--features {wanted}: is for {what} — expected none — leave it out")
    if wanted == in_spec and (".py:" in wanted or not is_backbone(wanted)):
        raise UsageError(f"features = '{wanted}': no network — expected one such as timm:NAME, lite0 or none — to name a file or column: --features {wanted}")
    if is_backbone(wanted):
        backbones.check(wanted)
    return wanted


def choose_model(data: Dataset, features: str = "none", has_probabilities: bool = False) -> tuple[str, str]:
    """Choose the model for this data, and give the reason.

    Args:
        data: N rows, or a preview of them.
        features: what encodes pictures.
        has_probabilities: the user brings those of another model.
    """
    if data.pictures is not None:
        # Of grey pictures (drawings, scans, spectrograms) networks for photographs say less than one that is trained on them.
        if features != "none" and data.pictures.shape[1] == 3:
            return "mlp", f"the data are pictures in color, with features by {features}"
        return "resnet", "the data are pictures" + (f", with features by {features} beside it" if features != "none" else "")
    kinds = {column.kind for column in data.roles.features}
    if not kinds and has_probabilities:
        return NO_MODEL, "there is no column to learn from"
    if kinds == {"text"} and data.task.kind != "regression":
        return "linear", "the data are texts"
    if has_more_columns(data):
        return "linear", "the table has more columns than rows"
    return "mlp", "the data are a table"


def has_more_columns(data: Dataset) -> bool:
    """Whether a table has more columns of numbers and categories than rows, and is encoded by its rows."""
    return data.pictures is None and is_wide(data.n_rows, sum(column.kind in ("number", "category", "time") for column in data.roles.features))


def default_settings(name: str, data: Dataset, features: str = "none") -> dict[str, Any]:
    """Default settings by model and size of the data, chosen on the tuning half of the bench (tests/bench/README.md)."""
    small = data.n_rows < 2500
    model = plugins.model_plugin(name)
    if data.pictures is not None and model.inputs != "table":
        side = data.pictures.shape[-1]
        widths = (16, 32, 64) if side < 24 else (16, 32, 64, 128)
        batch = 64 if data.n_rows < 5000 else 128
        return {"hidden": widths, "learning_rate": 0.01, "weight_decay": 0.05, "batch": batch, "rounds": 2, "ensemble": PROBE if features != "none" else ()}
    rounds = 4 if small else 3 if data.n_rows < 8000 else 2
    base: dict[str, Any] = {"rounds": rounds}
    if data.n_rows >= LARGE_ROWS:
        batch = 1024 if data.n_rows < 10 * LARGE_ROWS else 2048
        clues = tuple(name for name in plugins.default_signals() if name != "neighbour_labels")
        base = {"rounds": 1, "folds": 2, "batch": batch, "learning_rate": 0.008, "witnesses": ("novelty",), "clues": clues}
    if data.task.kind == "regression":
        base |= {"bins": 32, "batch": max(base.get("batch", 256), 512 if data.n_rows >= 8000 else 256)}
    if has_more_columns(data):
        base |= {"principal": True} | ({} if data.task.kind == "regression" else {"clues": plugins.HELDOUT_SIGNALS})
    base["ensemble"] = PROBE if features != "none" else default_ensemble(name, data)
    base |= model.defaults
    if model.max_epochs is not None:
        base["epochs"] = min(model.max_epochs, n_epochs_for(data.n_rows, False))
    return base


def default_ensemble(name: str, data: Dataset) -> tuple[str, ...]:
    """Default `ModelConfig.ensemble`, chosen on the tuning half of the bench and on simulated data."""
    model = plugins.model_plugin(name)
    if data.task.kind == "regression" or not model.packed:
        return ()
    if has_more_columns(data):
        return ("ridge",)
    probe = ("probe",) if any(column.kind == "vector" for column in data.roles.features) and data.n_rows >= MIN_TREE_ROWS else ()
    trees = ("boosted", "forest") if model.trees and MIN_TREE_ROWS <= data.n_rows < LARGE_ROWS else ()
    return (*trees, *probe, "bayes") if any(column.kind == "text" for column in data.roles.features) else (*trees, *probe)


def n_epochs_for(n_rows: int, pictures: bool) -> int:
    """Epochs of the first round; the more rows, the fewer."""
    if pictures:
        return max(4, min(10 if n_rows >= 1000 else 20, round(8 * (8000 / max(1, n_rows)) ** 0.5)))
    if n_rows >= LARGE_ROWS:
        return max(MIN_EPOCHS, round(LARGE_EPOCHS * (100_000 / n_rows) ** 0.37))
    return max(MIN_EPOCHS, min(MAX_EPOCHS, round(EPOCHS_AT_20K * (20_000 / max(1, n_rows)) ** 0.5)))
