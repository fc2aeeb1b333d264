"""Estimated time and memory of a scan, from the plan, the sizes of the data and the machine alone.

No torch, and nothing is measured here. The rates hold for idle cores of an AMD EPYC 9004 (Zen 4) with avx512_bf16. The estimate is wrong where the
machine is slower or busy, or where rounds after the first stop early because held-out predictions are best at once: half of the first round's passes
are assumed for each. A GPU is not modeled.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from operator import add

import numpy as np
import pyarrow.compute as pc

from zcurate import plugins
from zcurate.config.model_config import BFLOAT16_ROWS, MAX_NEIGHBOR_KEYS, MAX_NEIGHBOR_PAIRS, ModelConfig, Plan
from zcurate.data.dataset import Dataset
from zcurate.evidence.heldout import TOP_K, is_dense
from zcurate.pipeline.plan import LARGE_ROWS
from zcurate.runtime import environment
from zcurate.training.auxiliary import trees
from zcurate.training.schedule import inference_batch_rows

START_SECONDS = 2.4
"""Starting Python, loading torch and Arrow."""
PICTURE_SECONDS = 0.6e-3
"""Finding, decoding and resizing one small picture."""
PICTURE_BYTES_PER_SECOND = 100e6
"""Decoding and reducing large photographs."""
ENCODE_SECONDS = 14e-9
"""Per number or category of a row."""
TERM_SECONDS, PIECE_SECONDS = 2.2e-6, 0.4e-3
"""Per TF-IDF term of a row, and per word piece of a sentence embedding."""
FLOPS = {"bfloat16": 208e9, "float32": 80e9, "convolution": 26e9}
"""Multiplications and additions per second of one core."""
WIDTH_SECONDS, HIDDEN_SECONDS, OUTPUT_SECONDS, CATEGORY_SECONDS, ROW_SECONDS = 1.5e-9, 2.5e-9, 20e-9, 0.2e-6, 0.3e-6
"""Cost of a row's pass besides matrix products: per input, hidden unit, output and category, and per row."""
TERM_PASS_SECONDS = 20e-9
"""Per TF-IDF term and output of a row's pass."""
STEP_SECONDS = 1.2e-3
"""Cost of a step whatever its batch size."""
CORE_SHARE, PACKED_SPEEDUP, PACKED_ROWS = 0.85, 1.1, 5000
"""Share of each core used by members trained in parallel; speed-up of packed members on several cores; largest number of rows for packed members."""
TREES_START = 0.3
"""Loading scikit-learn takes this much longer than loading torch."""
PAIR_SECONDS = 8e-9
"""Comparing a row with another one in the neighbor search."""
JUDGE_SECONDS, JUDGE_CLASS_SECONDS, SAVE_SECONDS = 1.0e-6, 0.12e-6, 1.2e-6
"""Per row; per row and class; per row of the report written."""
LATER_ROUNDS = 0.5
"""Passes of a later round, as a share of the first round's."""

BASE_BYTES = 330e6
"""Python, torch, Arrow and their libraries."""
JUDGED_BYTES = 300
"""Per row: the evidence of the rounds, the judge's arrays, the report's columns."""
EPOCH_BYTES, OUTPUT_BYTES = 28, 20
"""Per row and epoch, and per row and class: training dynamics, curves, held-out sums, and their columns in the report."""
PARTS_BYTES = 250
"""Per row and class where the parts of the run are recorded separately, so that the best can be chosen."""
ROUND_BYTES = 60
"""Per row and round after the first."""
BATCH_COPIES, PICTURE_COPIES = 20, 8
"""Copies of the inputs of an inference batch in memory at once, cached free blocks included; for pictures, of twice the first layer's outputs."""
MAPPED_BYTES = 300e6
"""Memory-mapped pictures: bytes mapped at any time."""
STREAMED_BYTES, STREAMED_ROW_BYTES = 590e6, 9
"""Memory-mapped rows: bytes whatever their number, a forked copy of the process included, and bytes per row."""
TREES_BYTES, TREES_COPIES, OUTPUT_COPIES = 160e6, 6, 4
"""Worker process for tree models: its libraries, and the copies of its inputs and of its predictions that are in memory in either process."""
N_FEATURES, FEATURE_SECONDS, FLOAT32_FEATURES = 1904, 4.2e-3, 3.0
"""Features of EfficientNet-Lite0, its seconds per picture on two cores in bfloat16, and times as many in float32."""
FEATURE_BYTES = 5
"""Memory per picture and feature beside the standardized ones: in half precision, and those of one fold's fit."""
PROBE_SECONDS = 3.5e-8
"""Of the linear probe per row, feature and class."""
RIDGE_COPIES = 5
"""Copies of the columns in ridge regression, and in the encoding by rows."""
NEIGHBOR_BYTES = 90e6
"""Blocks of distances in the neighbor search."""


@dataclass(frozen=True)
class Machine:
    """The machine that the scan runs on."""

    n_threads: int
    """Cores that may be used."""
    has_bfloat16: bool
    """The cores have instructions for matrix products in bfloat16."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a data set."""

    n_rows: int
    """N."""
    n_bytes: int
    """Of the files on disk."""
    format: str
    """Reader."""
    table_bytes: float
    """Per row, of the table in memory."""
    n_numbers: int
    """Columns of numbers as the model stores them."""
    n_bins: int
    """Inputs made of them."""
    n_categories: int
    """Columns of categories."""
    n_dense: int
    """Numbers per row in vectors and embeddings."""
    n_terms: float
    """TF-IDF terms per row."""
    n_pieces: float
    """Word pieces per row."""
    picture: tuple[int, int, int] | None
    """Channels, height, width; None for tables."""
    n_outputs: int
    """C classes, or 2 for regression."""
    regression: bool
    """Targets instead of classes."""
    decoding_bytes: int = 0
    """Memory that decoding the largest picture takes."""
    n_features: int = 0
    """Features of each picture by a pre-trained network; 0 for none."""
    learns_pixels: bool = True
    """Pictures: the members see the pixels and not the features."""

    @property
    def seen_picture(self) -> tuple[int, int, int] | None:
        """The picture that the members see; None where they see numbers."""
        return self.picture if self.learns_pixels else None

    @property
    def n_columns(self) -> int:
        """Inputs of the tree models per row."""
        return self.n_numbers + self.n_dense + self.n_categories


@dataclass(frozen=True)
class Estimate:
    """Estimated time and memory of a scan."""

    n_rows: int
    """Rows of the input."""
    is_exact: bool
    """The rows were counted, not extrapolated."""
    model: dict[str, object]
    """Model and training schedule."""
    seconds: dict[str, float]
    """By stage, and `total`."""
    peak_bytes: int
    """Peak memory."""
    machine: Machine = field(default_factory=lambda: Machine(1, False))
    """The machine that it is for."""


def machine() -> Machine:
    """This machine, described without torch; bfloat16 is detected on Linux only."""
    flags = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    return Machine(environment.cpu_count(), "avx512_bf16" in flags and environment.allows_bfloat16())


def shape_of(data: Dataset, spec: ModelConfig) -> Shape:
    """Measure a data set.

    Args:
        data: all rows, or a sample that stands for them.
        spec: `bins`, `text`.
    """
    n_numbers = n_bins = n_categories = n_dense = 0
    length = 0.0
    for column in data.roles.features:
        array = data.arrays[column.name]
        if column.kind == "number":
            n_numbers += 1 + bool(array.null_count)
            n_bins += min(spec.bins, max(1, len(pc.unique(array)) - 1)) + bool(array.null_count)
        elif column.kind == "time":
            n_numbers, n_bins = n_numbers + 4, n_bins + 3 * spec.bins + 12
        elif column.kind == "category":
            n_categories += 1
        elif column.kind == "vector":
            n_dense += int(pc.max(pc.list_value_length(array)).as_py() or 0)
        else:
            length += pc.sum(pc.utf8_length(array)).as_py() / max(1, len(array))
    embeds = spec.text in ("embedding", "both") and length > 0
    n_features, learns_pixels = 0, plugins.model_plugin(spec.name).inputs != "table"
    if data.pictures is not None and spec.features != "none":
        n_features = N_FEATURES if data.features is None else data.features.shape[1]
        n_dense += 0 if learns_pixels else n_features
    return Shape(
        data.n_rows, data.origin.n_bytes, data.origin.format, data.table.nbytes / max(1, len(data.given)),
        n_numbers, n_bins, n_categories, n_dense + 384 * embeds, 0.0 if spec.text == "embedding" else 2.2 * length, length / 5 * embeds,
        None if data.pictures is None else (int(data.pictures.shape[1]), int(data.pictures.shape[2]), int(data.pictures.shape[3])),
        data.n_classes or 2, data.task.kind == "regression", data.decoding_bytes, n_features, learns_pixels,
    )  # fmt: skip


def estimate(plan: Plan, shape: Shape, machine: Machine, is_exact: bool = True) -> Estimate:
    """Estimate the time and memory of a scan.

    Args:
        plan: model and training schedule.
        shape: of the data.
        machine: to run on.
        is_exact: the rows were counted, not extrapolated.
    """
    spec = plan.spec
    seconds = {name: round(value, 3) for name, value in stage_seconds(plan, shape, machine).items()}
    model = {
        "name": spec.name, "hidden": list(spec.hidden) if plugins.model_plugin(spec.name).has_hidden_layers else [],
        "inputs": width_of(shape, spec), "outputs": shape.n_outputs,
        "ensemble": list(spec.ensemble),
        "members": spec.folds, "rounds": spec.rounds, "epochs": plan.n_epochs, "batch": spec.batch, "dtype": dtype_of(plan, shape, machine),
    }  # fmt: skip
    return Estimate(shape.n_rows, is_exact, model, {**seconds, "total": round(sum(seconds.values()), 3)}, peak_bytes(plan, shape), machine)


def reading_seconds(shape: Shape) -> float:
    """Reading by the bytes of a file, or by the pictures of a folder."""
    reader = plugins.READERS.get(shape.format)
    if reader is not None and reader.bytes_per_second is not None:
        return shape.n_bytes / reader.bytes_per_second
    return (shape.n_rows * PICTURE_SECONDS + shape.n_bytes / PICTURE_BYTES_PER_SECOND) * (shape.format == "folder")


def stage_seconds(plan: Plan, shape: Shape, machine: Machine) -> dict[str, float]:
    """Seconds of each stage.

    Args:
        plan: model and training schedule.
        shape: of the data.
        machine: to run on.
    """
    spec, n = plan.spec, shape.n_rows
    judged = n * (JUDGE_SECONDS + JUDGE_CLASS_SECONDS * n_kept(shape) + ENCODE_SECONDS / 2 * shape.n_numbers)
    n_searches = ("neighbours" in spec.witnesses) + ("neighbour_labels" in spec.judged_by and not shape.regression and width_of(shape, spec) > 0)
    search_seconds = n_pairs(n) * PAIR_SECONDS / min(machine.n_threads, 2) ** 0.5
    in_parallel = max if machine.n_threads > 1 else add
    return {
        "starting": START_SECONDS,
        "reading": reading_seconds(shape),
        "encoding": n * (ENCODE_SECONDS * (shape.n_numbers + shape.n_categories) + TERM_SECONDS * shape.n_terms + PIECE_SECONDS * shape.n_pieces)
        + feature_seconds(shape, machine),
        "training": in_parallel(
            training_seconds(plan, shape, machine) + n_searches // 2 * search_seconds, trees_seconds(spec, shape) + probe_seconds(spec, shape)
        ),
        "judging": judged + min(n_searches, 1) * search_seconds,
        "saving": n * SAVE_SECONDS,
    }


def feature_seconds(shape: Shape, machine: Machine) -> float:
    """Seconds of a pre-trained network, as if it were EfficientNet-Lite0."""
    slower = 1.0 if machine.has_bfloat16 else FLOAT32_FEATURES
    return shape.n_rows * FEATURE_SECONDS * slower * (2 / max(1, machine.n_threads)) * (shape.n_features > 0)


def probe_seconds(spec: ModelConfig, shape: Shape) -> float:
    """Seconds of the linear probe."""
    return ("probe" in spec.ensemble) * PROBE_SECONDS * shape.n_rows * max(shape.n_features, shape.n_dense) * shape.n_outputs


def n_pairs(n_rows: int) -> int:
    """Number of pairs of rows compared in a neighbor search."""
    return min(n_rows * min(n_rows, MAX_NEIGHBOR_KEYS), MAX_NEIGHBOR_PAIRS)


def width_of(shape: Shape, spec: ModelConfig) -> int:
    """Inputs of the first layer per row."""
    if spec.principal:
        return shape.n_rows + shape.n_dense
    return shape.n_bins + shape.n_dense + spec.embedding * shape.n_categories


def dtype_of(plan: Plan, shape: Shape, machine: Machine) -> str:
    """The dtype of the model's products, as `encoding.encoded.dtype_for` chooses it."""
    large = plugins.model_plugin(plan.spec.name).bfloat16 and shape.n_rows >= BFLOAT16_ROWS and machine.has_bfloat16
    return plan.spec.dtype if plan.spec.dtype != "auto" else "bfloat16" if large else "float32"


def row_flops(plan: Plan, shape: Shape) -> tuple[float, float]:
    """Multiplications and additions per row of a forward pass, and of a training pass."""
    if shape.seen_picture is not None:
        forward = resnet_flops(plan.spec.hidden, shape.seen_picture, shape.n_outputs)
        return forward, 3 * forward
    sizes = (width_of(shape, plan.spec), *(plan.spec.hidden if plugins.model_plugin(plan.spec.name).has_hidden_layers else ()), shape.n_outputs)
    layers = [2.0 * a * b for a, b in zip(sizes, sizes[1:], strict=False)]
    return sum(layers), 3 * sum(layers) - (0 if shape.n_categories else layers[0])


def resnet_flops(widths: tuple[int, ...], picture: tuple[int, int, int], n_outputs: int) -> float:
    """Multiplications and additions per picture of a forward pass through `training/models/resnet.py`."""
    channels, side, _ = picture
    total, width_in, stride = 18.0 * channels * widths[0] * side**2, widths[0], 2 if side >= 24 else 1
    for width in widths:
        side = -(-side // stride)
        total += side**2 * (18.0 * width_in * width + 18.0 * width**2 + (2.0 * width_in * width if stride > 1 or width_in != width else 0))
        width_in, stride = width, 2
    return total + 2 * width_in * n_outputs


def training_seconds(plan: Plan, shape: Shape, machine: Machine) -> float:
    """Seconds of all rounds: each member's passes over its training rows, and its held-out predictions."""
    spec, n = plan.spec, shape.n_rows
    if not spec.is_trained:
        return 0.0
    passes = sum(plan.n_epochs if at == 0 else max(3.0, plan.n_epochs * LATER_ROUNDS) for at in range(spec.rounds))
    heldout_passes = spec.rounds if n >= LARGE_ROWS else passes
    forward_flops, training_flops = row_flops(plan, shape)
    rate = FLOPS["convolution" if shape.seen_picture is not None else dtype_of(plan, shape, machine)]
    hidden = sum(spec.hidden) if plugins.model_plugin(spec.name).has_hidden_layers and shape.seen_picture is None else 0
    overhead = WIDTH_SECONDS * width_of(shape, spec) + HIDDEN_SECONDS * hidden + OUTPUT_SECONDS * shape.n_outputs + ROW_SECONDS
    overhead += CATEGORY_SECONDS * shape.n_categories + TERM_PASS_SECONDS * shape.n_terms * min(shape.n_outputs, 8)
    training_pass = n * (spec.folds - 1) * (training_flops / rate + overhead)
    packed = plan.packed and (n <= PACKED_ROWS or not plugins.model_plugin(spec.name).has_hidden_layers)
    steps = STEP_SECONDS * (spec.folds - 1) / (spec.folds if packed else 1) * max(1.0, n / spec.batch)
    speedup = PACKED_SPEEDUP if packed else CORE_SHARE * min(machine.n_threads, spec.folds) if machine.n_threads > 1 else 1.0
    return (passes * (training_pass + steps) + heldout_passes * n * (forward_flops / rate + overhead / 2)) / speedup


def trees_of(spec: ModelConfig, shape: Shape) -> trees.TreeSizes:
    """The number of trees that the auxiliary models grow."""
    return trees.tree_sizes(shape.n_rows, shape.n_columns, shape.n_outputs, spec.ensemble)


def trees_seconds(spec: ModelConfig, shape: Shape) -> float:
    """Seconds of the tree models on one core."""
    sizes = trees_of(spec, shape)
    fitting = trees.boosted_seconds(shape.n_rows, shape.n_columns, sizes.boosted) + trees.forest_seconds(shape.n_rows, sizes.tried, sizes.forest)
    return fitting + TREES_START * bool(set(trees.KINDS) & set(spec.ensemble))


def ensemble_bytes(spec: ModelConfig, shape: Shape) -> float:
    """Memory of the auxiliary models, that of their worker process included."""
    sizes, n = trees_of(spec, shape), shape.n_rows
    total = 0.0
    if set(trees.KINDS) & set(spec.ensemble):
        n_predictions = len(trees.BOOSTED_STAGES) * (sizes.boosted > 0) + (sizes.forest > 0)
        forest = min(trees.TREE_BYTES, trees.N_FOLDS * sizes.forest * trees.tree_bytes(n, shape.n_outputs))
        total = TREES_BYTES + forest + n * 4 * (TREES_COPIES * shape.n_columns + OUTPUT_COPIES * n_predictions * shape.n_outputs)
    total += ("ridge" in spec.ensemble) * n * 4 * RIDGE_COPIES * shape.n_columns
    return total + ("bayes" in spec.ensemble) * n * 4 * OUTPUT_COPIES * shape.n_outputs


def n_kept(shape: Shape) -> int:
    """Held-out numbers stored per row."""
    return shape.n_outputs if shape.regression or is_dense(shape.n_rows, shape.n_outputs) else 2 * TOP_K


def peak_bytes(plan: Plan, shape: Shape) -> int:
    """Peak memory with all rows in memory, reached at the end of judging."""
    spec, n = plan.spec, shape.n_rows
    pixels = 0 if shape.picture is None else int(np.prod(shape.picture))
    encoded = 4 * (shape.n_numbers + shape.n_dense) + 8 * shape.n_categories + 16 * shape.n_terms + 2 * pixels
    outputs = (OUTPUT_BYTES if n >= LARGE_ROWS else PARTS_BYTES) * n_kept(shape)
    row_bytes = shape.table_bytes + encoded + JUDGED_BYTES + EPOCH_BYTES * plan.n_epochs + outputs + ROUND_BYTES * (spec.rounds - 1)
    picture = shape.seen_picture
    inputs = width_of(shape, spec) + sum(spec.hidden) if picture is None else 2 * spec.hidden[0] * picture[1] * picture[2]
    neighbors = NEIGHBOR_BYTES * min(1.0, n / MAX_NEIGHBOR_KEYS) if "neighbours" in spec.witnesses else 0
    batch_rows, copies = max(spec.batch, inference_batch_rows(picture)), BATCH_COPIES if picture is None else PICTURE_COPIES
    base = BASE_BYTES + shape.decoding_bytes + FEATURE_BYTES * n * shape.n_features
    return int(base + ensemble_bytes(spec, shape) + n * row_bytes + min(batch_rows, n / max(1, spec.folds)) * copies * 4 * inputs + neighbors)


def min_bytes(plan: Plan, shape: Shape) -> int:
    """Peak memory with memory-mapped rows; of pictures only the pixels are mapped, not the encoded files in a table."""
    if shape.picture is not None:
        file_bytes = shape.n_bytes if shape.format not in ("folder", "csv", "tsv") else 0
        return int(peak_bytes(plan, shape) - 2 * shape.n_rows * int(np.prod(shape.picture)) + MAPPED_BYTES + file_bytes)
    width = width_of(shape, plan.spec) + sum(plan.spec.hidden)
    return int(
        STREAMED_BYTES + STREAMED_ROW_BYTES * shape.n_rows + min(inference_batch_rows(None), shape.n_rows / max(1, plan.spec.folds)) * BATCH_COPIES * 4 * width
    )
