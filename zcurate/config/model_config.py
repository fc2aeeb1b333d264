"""Which model is trained, and how: from `--model` and the data to a `ModelSpec` and the number of epochs.

Leaves: `ModelSpec`, `ZSettings`, `Plan`. Enters: the user's word and a `Dataset`. No torch, so that a misspelt model or key is
refused before torch is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import tanh

DEFAULT_CLUES = (
    "posterior", "counted_posterior", "heldout_margin", "training_margin", "training_posterior", "neighbour_labels",
    "heldout_residual", "training_residual",
)  # fmt: skip
"""What earned its cost (tests/bench/README.md)."""
WITNESSES = ("novelty", "neighbours")
"""Every witness on the shelf; a test holds them to its list."""
SECOND_SPLIT_EPOCHS = 3
PACKED = ("linear", "mlp")
"""Models whose members run side by side."""

BFLOAT16_ROWS = 5000
"""From here on the perceptron's products are taken in bfloat16 where the hardware has it."""
MIN_NEIGHBOR_KEYS, MAX_NEIGHBOR_KEYS, MAX_NEIGHBOR_PAIRS = 1024, 8192, 1_600_000_000
"""Rows that each row is compared with in a neighbor search, at least and at most, and pairs in all: exact up to 8 192 rows, a sample beyond."""


@dataclass(frozen=True)
class ZErrorConfig:
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
class DiscrimConfig:
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
class ModelConfig:
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
    z: ZErrorConfig = field(default_factory=ZErrorConfig)
    """Settings of the Z-Error loss."""
    discrim: DiscrimConfig = field(default_factory=DiscrimConfig)
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

    spec: ModelConfig
    packed: bool
    """Members run side by side."""
    n_epochs: int
    """Of the first round; later ones stop where it was best."""
    why: str
    """How the model was chosen, in plain words."""
