"""Model configuration: which model is trained, and how. No torch, so that a misspelt setting is refused before torch is imported."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from math import isfinite, tanh
from typing import TYPE_CHECKING, Any, Literal

from zcurate import plugins
from zcurate.registry import import_object

if TYPE_CHECKING:
    # `toml.setting_types` resolves these when a TOML file is read; until then msgspec is not imported.
    from zcurate.config.value_types import Count, DropShare, EpochCount, Factor, FoldCount, NonNegative, Percentage, RoundCount, Share, SmallCount, Widths

NO_MODEL = "none"
"""`--model` for the user's probabilities alone."""
SECOND_SPLIT_EPOCHS = 3
AuxiliaryModel = Literal["boosted", "forest", "bayes", "ridge", "probe"]
"""Gradient boosting on histograms, extremely randomized trees, naive Bayes on the terms of texts, ridge regression on many columns,
logistic regression on vectors."""

BFLOAT16_ROWS = 5000
"""From here on the perceptron's products are taken in bfloat16 where the hardware has it."""
MIN_NEIGHBOR_KEYS, MAX_NEIGHBOR_KEYS, MAX_NEIGHBOR_PAIRS = 1024, 8192, 1_600_000_000
"""Rows that each row is compared with in a neighbor search, at least and at most, and pairs in all: exact up to 8 192 rows, a sample beyond."""


@dataclass(frozen=True)
class ZErrorConfig:
    """Settings of the Z-Error loss."""

    z_threshold: NonNegative = 2.0
    """tau [sigma]: rows with a larger z-score are excluded from the gradient; `inf` keeps every row."""
    z_start: NonNegative = 4.0
    """tau at the end of the warm-up [sigma]; annealed linearly to `z_threshold`."""
    warmup: Share = 0.1
    """Share of the epochs in which every row is kept."""
    z_on: Literal["error", "loss", "logit", "probability", "margin"] = "error"
    """Quantity that is standardized; `error`: log-odds, for regression the signed target error."""
    z_stats: Literal["batch", "ema", "epoch"] = "ema"
    """Statistics of this batch, running mean over batches, or statistics of the previous epoch."""
    z_scale: Literal["std", "mad"] = "std"
    """`std`: mean and standard deviation; `mad`: median and 1.4826 x median absolute deviation."""
    z_per: Literal["class", "global"] = "global"
    """`global`: among all rows of the batch; `class`: among those with the same given label."""
    z_side: Literal["high", "both"] = "high"
    """`high`: only errors above the mean are excluded; `both`: |z| (always so for regression on `error`)."""
    readmit: Share = 0.02
    """Probability that a masked row is unmasked, so that an under-fitted group is not masked for ever."""

    def threshold(self, progress: float) -> float:
        """Return tau [sigma] at `progress` in [0, 1) of the run: infinite in the warm-up, then annealed linearly."""
        if progress < self.warmup:
            return float("inf")
        part = (progress - self.warmup) / max(1e-9, 1 - self.warmup)
        return self.z_start + (self.z_threshold - self.z_start) * min(1.0, 2 * part)


@dataclass(frozen=True)
class DiscrimConfig:
    """Settings of DiscrimLoss; the defaults are those released for CIFAR-10 with 20 to 60 % noise, scaled from 120 epochs to the run (METHODS 2.2)."""

    discrim_a: Factor = 0.274
    """Half of the rise of the threshold in the second stage."""
    discrim_p: Factor = 0.544
    """Steepness of the transition to the second stage [1 / epoch of 120]."""
    discrim_turn: Share = 0.5
    """Share of the run after which the second stage begins."""
    discrim_suppressed: Factor = 3.0
    """Epochs of 120 with a reduced loss at the start."""
    discrim_rate: Factor = 2.61
    """Learning rate of each row's log sigma."""
    discrim_least: Factor = 0.0786
    """Lower bound of log sigma."""

    def stage(self, progress: float) -> float:
        """Return gamma(t) = 1 + a + a tanh(p (t - q)) at `progress` in [0, 1) of the run: about 1 in the first stage, 1 + 2a in the second."""
        return 1 + self.discrim_a * (1 + tanh(self.discrim_p * 120 * (progress - self.discrim_turn)))


@dataclass(frozen=True)
class ExponentiatedConfig:
    """Settings of exponentiated-gradient reweighting."""

    eg_rate: Factor = 0.1
    """eta: step of the mirror descent [1 / nat]."""
    eg_memory: Share = 0.9
    """Exponent of a weight at each visit; 1 is the plain update, which ends on few rows."""
    eg_limit: Factor = 5.0
    """Losses count up to this [nats]."""


@dataclass(frozen=True)
class DenoisingConfig:
    """Settings of on-the-fly denoising (ODD)."""

    odd_warmup: Share = 0.4
    """Share of the run after which rows are left out."""
    odd_percentile: Percentage = 30.0
    """Rows with a loss above this percentile of the losses of random labels are left out."""


@dataclass(frozen=True)
class ModelConfig:
    """Model, training and judging settings. A TOML file sets the same names."""

    name: str = "auto"
    """Built-in model, `file.py:function`, or `none` where the user's probabilities are the only model."""
    hidden: Widths = (128, 128)
    """Widths of the hidden layers (`mlp`) or channels of the stages (`resnet`)."""
    bins: SmallCount = 16
    """Quantile bins per numeric column; 1 = plain standardized numbers."""
    principal: bool = False
    """Numbers and categories enter as the principal coordinates of the rows; the default for tables with more columns than rows."""
    embedding: SmallCount = 8
    """Width of a category's embedding."""
    features: str = "none"
    """Features of pictures: `none`, a pre-trained network as `--features` names it, or the file or column that the user brought; the default is chosen
    by `pipeline.plan.choose_features`."""
    text: Literal["auto", "tfidf", "embedding", "both"] = "auto"
    """Encoding of text columns: TF-IDF, sentence embedding or both; `auto`: both where the extra `text` is installed and rows are not too many."""
    text_network: str = ""
    """Network that embeds texts, as `--features` names it; empty for those of the extras `text` and `languages`."""
    dropout: DropShare = 0.0
    """Share of hidden units dropped in training."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """`adamw`, or `sgd` with Nesterov momentum 0.9."""
    learning_rate: Factor = 0.006
    """Peak of the one-cycle schedule."""
    weight_decay: Factor = 0.02
    """Decoupled weight decay."""
    batch: Count = 256
    """Rows per member and step, at most."""
    epochs: Count | None = None
    """Passes over the data; None: by the number of rows."""
    folds: FoldCount = 4
    """Members per round; member k never trains on fold k."""
    rounds: RoundCount = 2
    """Rounds of members, each with its own planted errors."""
    leave_out: Share = 1.0
    """Later rounds exclude rows whose first-round probability of an error exceeds this; 1 excludes none."""
    late_stopping: DropShare = 0.0
    """Share of its rows that each later round leaves out, those learned last (arXiv:2308.13862), until held-out predictions get no better; 0: none."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the perceptron's matrix products; `auto`: by the hardware and the number of rows."""
    augment: bool = True
    """Shift images at random."""
    decision: Literal["argmax", "crossing"] = "argmax"
    """How `predicted` is derived from the outputs: `argmax`, or `crossing` of each class's two output distributions."""
    loss: str = "zerror"
    """Training loss, a key of `plugins.LOSSES`."""
    ensemble: tuple[AuxiliaryModel, ...] = ()
    """Auxiliary models for classes; their held-out predictions are weighted by how much likelier they make the given labels. The default is chosen
    by `pipeline.plan.default_ensemble`."""
    witnesses: tuple[str, ...] = field(default_factory=plugins.default_detectors)
    """Detectors that run on the inputs, keys of `plugins.DETECTORS`."""
    clues: tuple[str, ...] = field(default_factory=plugins.default_signals)
    """Signals that the judge combines, keys of `plugins.SIGNALS`."""
    without: tuple[str, ...] = ()
    """Signals to remove from `clues`."""
    skip_mastered: bool = False
    """Rows whose loss has settled at a low value get no backward pass (arXiv:2502.07547)."""
    slice_weight: Factor = 0.0
    """mu: with `--slices` the rows of a slice count exp(mu x its mean loss [nats]) times, normalized, so that the worst slice is learned; 0: all alike."""
    second_split_epochs: EpochCount = 0
    """Epochs in which each member goes on with its held-out rows, for the column `forgotten_epoch`; 0 for none, but 3 with the clue `second_split`."""
    z: ZErrorConfig = field(default_factory=ZErrorConfig)
    """Settings of the Z-Error loss."""
    discrim: DiscrimConfig = field(default_factory=DiscrimConfig)
    """Settings of DiscrimLoss."""
    loss_settings: Any = None
    """Settings of any other loss: an instance of the dataclass that its plug-in names."""

    @property
    def loss_config(self) -> Any:
        """Settings of the loss in use, its defaults where none are given; None where it has none."""
        loss = plugins.LOSSES[self.loss]
        found = getattr(self, loss.config_field)
        return import_object(loss.settings)() if found is None and loss.settings else found

    @property
    def judged_by(self) -> tuple[str, ...]:
        """`clues` less `without`."""
        return tuple(name for name in self.clues if name not in self.without)

    @property
    def is_trained(self) -> bool:
        """Whether there is a model to train: not where the user's probabilities are the only one."""
        return self.name != NO_MODEL

    @property
    def second_split(self) -> int:
        """Epochs in which each member continues on its held-out rows."""
        return self.second_split_epochs or (SECOND_SPLIT_EPOCHS if "second_split" in self.judged_by else 0)

    @staticmethod
    def without_losses(settings: dict[str, Any]) -> ModelConfig:
        """Return what `as_dict` described, but for the settings of the losses, which only training needs.

        Args:
            settings: JSON values.
        """
        nested = ("z", "discrim", "loss_settings")
        known: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in settings.items() if name not in nested}
        return ModelConfig(**known)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as nested dictionaries of JSON values, for the run card and the fingerprint."""
        settings = spelled(dataclasses.asdict(self))
        return settings if self.loss_settings is not None else {name: value for name, value in settings.items() if name != "loss_settings"}


def spelled(settings: Any) -> Any:
    """Write infinite settings as a TOML file does, `inf`, as JSON has no number for them."""
    if isinstance(settings, dict):
        return {name: spelled(value) for name, value in settings.items()}
    return str(settings) if isinstance(settings, float) and not isfinite(settings) else settings


@dataclass(frozen=True)
class Plan:
    """What will be trained."""

    spec: ModelConfig
    """All settings."""
    packed: bool
    """The members are trained as one batched network."""
    n_epochs: int
    """Epochs of the first round; later rounds stop at its best epoch."""
    why: str
    """Why this model was chosen, in words."""
