"""What a scan will cost before it is run: seconds by stage and bytes of memory, from the plan and the shape of the data alone.

Leaves: `Estimate`. Enters: a `Plan`, a `Shape`, a `Machine`. No torch, nothing is measured here. The rates were measured on one kind of machine:
cores of an AMD EPYC 9004 (Zen 4) that may use avx512_bf16, nothing else running. Wrong when: the machine is slower or busy, or the rounds after the
first stop early because held-out predictions are best at once (half of the first round's passes are counted); a GPU is not counted at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from operator import add

import numpy as np
import pyarrow.compute as pc

from zcurate import plugins
from zcurate.config.model_config import ModelConfig, Plan
from zcurate.data.dataset import Dataset
from zcurate.errors import listed
from zcurate.evidence.heldout import TOP_K, is_dense
from zcurate.pipeline.plan import LARGE_ROWS
from zcurate.training.auxiliary import trees
from zcurate.training.schedule import inference_batch_rows

START_SECONDS = 2.4
"""Starting Python, loading torch and Arrow."""
"""Bytes read in a second, roles and hash included."""
PICTURE_SECONDS = 0.6e-3
"""Finding, decoding and fitting one small picture."""
ENCODE_SECONDS = 14e-9
"""Per number or category of a row."""
TERM_SECONDS, PIECE_SECONDS = 2.2e-6, 0.4e-3
"""Per TF-IDF term of a row, and per word piece of a sentence embedding."""
FLOPS = {"bfloat16": 208e9, "float32": 80e9, "convolution": 26e9}
"""Multiplications and additions in a second of one core."""
WIDTH_SECONDS, HIDDEN_SECONDS, OUTPUT_SECONDS, CATEGORY_SECONDS, ROW_SECONDS = 1.5e-9, 2.5e-9, 20e-9, 0.2e-6, 0.3e-6
"""What a row's pass costs beside products: per input, hidden unit, output and category, and whatever its size."""
TERM_PASS_SECONDS = 20e-9
"""Per TF-IDF term and output of a row's pass."""
STEP_SECONDS = 1.2e-3
"""What a step costs whatever its batch."""
TOGETHER, ALONE, PACKED_ROWS = 0.85, 1.1, 5000
"""Share of each core that members side by side make use of; how much faster packed members are on several cores; rows up to which they are packed."""
TREES_START = 0.3
"""Loading the trees' library longer than torch takes."""
PAIR_SECONDS = 8e-9
"""Comparing a row with another one, for neighbours."""
MOST_KEYS, MOST_PAIRS = 8192, 1_600_000_000
"""Rows that each row is compared with at most, and pairs in all."""
JUDGE_SECONDS, JUDGE_CLASS_SECONDS, SAVE_SECONDS = 1.0e-6, 0.12e-6, 1.2e-6
"""Per row; per row and class; per row of the report written."""
LATER_ROUNDS = 0.5
"""Share of the first round's passes that a later one makes."""

BASE_BYTES = 330e6
"""Python, torch, Arrow and their libraries' own memory."""
JUDGED_BYTES = 300
"""Per row: evidence as the rounds leave it, the judge's arrays, the report's columns."""
EPOCH_BYTES, OUTPUT_BYTES = 28, 20
"""Per row and epoch, and per row and class: ledger, curves, held-out sums, their columns in the report."""
PARTS_BYTES = 250
"""Per row and class where the parts of the run are kept apart, so that the best can be chosen."""
ROUND_BYTES = 60
"""Per row and round after the first."""
BATCH_COPIES, PICTURE_COPIES = 20, 8
"""How many times the inputs of the rows that a model is asked about at once are held in all, freed blocks that are kept among them: of a table, of
pictures twice the first layer's outputs."""
MAPPED_BYTES = 300e6
"""Of pictures in files: what is mapped at any time."""
STREAMED_BYTES, STREAMED_ROW_BYTES = 590e6, 9
"""With the rows in files: whatever their number, a copy of the process included, and per row."""
TREES_BYTES, TREES_COPIES, SAID_COPIES = 160e6, 6, 4
"""The process in which trees grow: its libraries, and how many times the inputs are held on their way there and in it, and what is said on its way back."""
NEIGHBOUR_BYTES = 90e6
"""Blocks of distances."""


@dataclass(frozen=True)
class Machine:
    """What the scan will run on."""

    n_threads: int
    """Cores that may be used."""
    has_bfloat16: bool
    """They multiply in bfloat16."""


@dataclass(frozen=True)
class Shape:
    """A data set's sizes."""

    n_rows: int
    """N."""
    n_bytes: int
    """Of the files, as they lie there."""
    format: str
    """Reader."""
    table_bytes: float
    """Per row, of the table as read."""
    n_numbers: int
    """Columns of numbers as the model stores them."""
    n_bins: int
    """Inputs made of them."""
    n_categories: int
    """Columns of categories."""
    n_dense: int
    """Numbers in vectors and embeddings of a row."""
    n_terms: float
    """TF-IDF terms of a row."""
    n_pieces: float
    """Word pieces of a row's texts."""
    picture: tuple[int, int, int] | None
    """Channels, height, width; None for tables."""
    n_outputs: int
    """Classes, or 2."""
    regression: bool


@dataclass(frozen=True)
class Estimate:
    """What a scan will cost."""

    n_rows: int
    """Rows of the input."""
    is_exact: bool
    """They were counted."""
    model: dict[str, object]
    """What will be trained."""
    seconds: dict[str, float]
    """By stage, and `total`."""
    peak_bytes: int
    """Memory at most."""
    machine: Machine = field(default_factory=lambda: Machine(1, False))
    """What it is for."""


def available_cores() -> int:
    """Cores that this process may use, as torch will be told."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(os.environ.get("OMP_NUM_THREADS", allowed) or allowed)))


def machine() -> Machine:
    """This one, as far as it can be told without torch; elsewhere than on Linux bfloat16 is not counted on."""
    flags = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    masked = bool(allowed) and not any(word in allowed for word in ("BF16", "AMX", "DEFAULT", "ALL", "AVX10", "FP16"))
    return Machine(available_cores(), "avx512_bf16" in flags and not masked)


def shape_of(data: Dataset, spec: ModelConfig) -> Shape:
    """The sizes of a data set, read off the rows that are there.

    Args:
        data: all rows, or some that stand for all.
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
    return Shape(
        data.n_rows, data.origin.n_bytes, data.origin.format, data.table.nbytes / max(1, len(data.given)),
        n_numbers, n_bins, n_categories, n_dense + 384 * embeds, 0.0 if spec.text == "embedding" else 2.2 * length, length / 5 * embeds,
        None if data.pictures is None else (int(data.pictures.shape[1]), int(data.pictures.shape[2]), int(data.pictures.shape[3])),
        data.n_classes or 2, data.task.kind == "regression",
    )  # fmt: skip


def estimate(plan: Plan, shape: Shape, machine: Machine, is_exact: bool = True) -> Estimate:
    """What a scan will cost.

    Args:
        plan: what would be trained.
        shape: of the data.
        machine: to run on.
        is_exact: the rows were counted.
    """
    spec = plan.spec
    judged = shape.n_rows * (JUDGE_SECONDS + JUDGE_CLASS_SECONDS * n_kept(shape) + ENCODE_SECONDS / 2 * shape.n_numbers)
    looks = ("neighbours" in spec.witnesses) + ("neighbour_labels" in spec.judged_by and not shape.regression and width_of(shape, spec) > 0)
    compared = n_pairs(shape.n_rows) * PAIR_SECONDS / min(machine.n_threads, 2) ** 0.5
    seconds = {
        "starting": START_SECONDS,
        "reading": reading_seconds(shape),
        "encoding": shape.n_rows * (ENCODE_SECONDS * (shape.n_numbers + shape.n_categories) + TERM_SECONDS * shape.n_terms + PIECE_SECONDS * shape.n_pieces),
        "training": (max if machine.n_threads > 1 else add)(training_seconds(plan, shape, machine) + looks // 2 * compared, trees_seconds(spec, shape)),
        "judging": judged + min(looks, 1) * compared,
        "saving": shape.n_rows * SAVE_SECONDS,
    }
    seconds = {name: round(value, 3) for name, value in seconds.items()}
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
    return shape.n_rows * PICTURE_SECONDS * (shape.format == "folder")


def n_pairs(n_rows: int) -> int:
    """Rows compared with rows, where neighbours are looked for."""
    return min(n_rows * min(n_rows, MOST_KEYS), MOST_PAIRS)


def width_of(shape: Shape, spec: ModelConfig) -> int:
    """What the first layer sees of a row."""
    return shape.n_bins + shape.n_dense + spec.embedding * shape.n_categories


def dtype_of(plan: Plan, shape: Shape, machine: Machine) -> str:
    """What products will be taken in, as `encode` decides it."""
    large = plugins.model_plugin(plan.spec.name).bfloat16 and shape.n_rows >= 5000 and machine.has_bfloat16
    return plan.spec.dtype if plan.spec.dtype != "auto" else "bfloat16" if large else "float32"


def row_flops(plan: Plan, shape: Shape) -> tuple[float, float]:
    """Multiplications and additions of one row, forward; and of a training pass."""
    if shape.picture is not None:
        forward = resnet_flops(plan.spec.hidden, shape.picture, shape.n_outputs)
        return forward, 3 * forward
    sizes = (width_of(shape, plan.spec), *(plan.spec.hidden if plugins.model_plugin(plan.spec.name).has_hidden_layers else ()), shape.n_outputs)
    layers = [2.0 * a * b for a, b in zip(sizes, sizes[1:], strict=False)]
    return sum(layers), 3 * sum(layers) - (0 if shape.n_categories else layers[0])


def resnet_flops(widths: tuple[int, ...], picture: tuple[int, int, int], n_outputs: int) -> float:
    """Multiplications and additions of one picture, forward; see `models/resnet.py`."""
    channels, side, _ = picture
    total, before, stride = 18.0 * channels * widths[0] * side**2, widths[0], 2 if side >= 24 else 1
    for width in widths:
        side = -(-side // stride)
        total += side**2 * (18.0 * before * width + 18.0 * width**2 + (2.0 * before * width if stride > 1 or before != width else 0))
        before, stride = width, 2
    return total + 2 * before * n_outputs


def training_seconds(plan: Plan, shape: Shape, machine: Machine) -> float:
    """All rounds: each member's passes over what it trains on, and what it is asked."""
    spec, n = plan.spec, shape.n_rows
    passes = sum(plan.n_epochs if at == 0 else max(3.0, plan.n_epochs * LATER_ROUNDS) for at in range(spec.rounds))
    asked = spec.rounds if n >= LARGE_ROWS else passes
    forward, whole = row_flops(plan, shape)
    rate = FLOPS["convolution" if shape.picture is not None else dtype_of(plan, shape, machine)]
    hidden = sum(spec.hidden) if plugins.model_plugin(spec.name).has_hidden_layers and shape.picture is None else 0
    beside = WIDTH_SECONDS * width_of(shape, spec) + HIDDEN_SECONDS * hidden + OUTPUT_SECONDS * shape.n_outputs + ROW_SECONDS
    beside += CATEGORY_SECONDS * shape.n_categories + TERM_PASS_SECONDS * shape.n_terms * min(shape.n_outputs, 8)
    trained = n * (spec.folds - 1) * (whole / rate + beside)
    packed = plan.packed and (n <= PACKED_ROWS or not plugins.model_plugin(spec.name).has_hidden_layers)
    steps = STEP_SECONDS * (spec.folds - 1) / (spec.folds if packed else 1) * max(1.0, n / spec.batch)
    together = ALONE if packed else TOGETHER * min(machine.n_threads, spec.folds) if machine.n_threads > 1 else 1.0
    return (passes * (trained + steps) + asked * n * (forward / rate + beside / 2)) / together


def trees_of(spec: ModelConfig, shape: Shape) -> trees.TreeSizes:
    """How many trees grow beside the members."""
    return trees.tree_sizes(shape.n_rows, shape.n_numbers + shape.n_dense + shape.n_categories, shape.n_outputs, spec.ensemble)


def trees_seconds(spec: ModelConfig, shape: Shape) -> float:
    """Trees beside the members, on one core."""
    size, width = trees_of(spec, shape), shape.n_numbers + shape.n_dense + shape.n_categories
    grown = trees.boosted_seconds(shape.n_rows, width, size.boosted) + trees.forest_seconds(shape.n_rows, size.tried, size.forest)
    return grown + TREES_START * bool(set(trees.KINDS) & set(spec.ensemble))


def ensemble_bytes(spec: ModelConfig, shape: Shape) -> float:
    """Memory of the models beside the members, that of their own process among it."""
    size, n = trees_of(spec, shape), shape.n_rows
    out = 0.0
    if set(trees.KINDS) & set(spec.ensemble):
        n_said = len(trees.BOOSTED_STAGES) * (size.boosted > 0) + (size.forest > 0)
        held = min(trees.TREE_BYTES, trees.N_FOLDS * size.forest * trees.tree_bytes(n, shape.n_outputs))
        out = TREES_BYTES + held + n * 4 * (TREES_COPIES * (shape.n_numbers + shape.n_dense + shape.n_categories) + SAID_COPIES * n_said * shape.n_outputs)
    return out + ("bayes" in spec.ensemble) * n * 4 * SAID_COPIES * shape.n_outputs


def n_kept(shape: Shape) -> int:
    """Held-out numbers that are kept of a row."""
    return shape.n_outputs if shape.regression or is_dense(shape.n_rows, shape.n_outputs) else 2 * TOP_K


def peak_bytes(plan: Plan, shape: Shape) -> int:
    """Memory at most, from the largest to the smallest of what is held at the end of the judging."""
    spec, n = plan.spec, shape.n_rows
    pixels = 0 if shape.picture is None else int(np.prod(shape.picture))
    encoded = 4 * (shape.n_numbers + shape.n_dense) + 8 * shape.n_categories + 16 * shape.n_terms + 2 * pixels
    outputs = (OUTPUT_BYTES if n >= LARGE_ROWS else PARTS_BYTES) * n_kept(shape)
    a_row = shape.table_bytes + encoded + JUDGED_BYTES + EPOCH_BYTES * plan.n_epochs + outputs + ROUND_BYTES * (spec.rounds - 1)
    inputs = width_of(shape, spec) + sum(spec.hidden) if shape.picture is None else 2 * spec.hidden[0] * shape.picture[1] * shape.picture[2]
    looks = NEIGHBOUR_BYTES * min(1.0, n / MOST_KEYS) if "neighbours" in spec.witnesses else 0
    at_once, copies = max(spec.batch, inference_batch_rows(shape.picture)), BATCH_COPIES if shape.picture is None else PICTURE_COPIES
    return int(BASE_BYTES + ensemble_bytes(spec, shape) + n * a_row + min(at_once, n / spec.folds) * copies * 4 * inputs + looks)


def min_bytes(plan: Plan, shape: Shape) -> int:
    """Memory at most where the rows lie in files; of pictures only the pixels do, their encoded bytes in a table do not."""
    if shape.picture is not None:
        held = shape.n_bytes if shape.format not in ("folder", "csv", "tsv") else 0
        return int(peak_bytes(plan, shape) - 2 * shape.n_rows * int(np.prod(shape.picture)) + MAPPED_BYTES + held)
    width = width_of(shape, plan.spec) + sum(plan.spec.hidden)
    return int(STREAMED_BYTES + STREAMED_ROW_BYTES * shape.n_rows + min(inference_batch_rows(None), shape.n_rows / plan.spec.folds) * BATCH_COPIES * 4 * width)


def available_bytes() -> int:
    """Memory of this machine; where it cannot be told, more than any scan needs."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 1 << 60


def estimate_lines(found: Estimate) -> list[str]:
    """What to tell a person."""
    model, seconds = found.model, found.seconds
    hidden = "x".join(str(width) for width in model["hidden"]) if isinstance(model["hidden"], list) and model["hidden"] else "no hidden layer"
    beside = f"; beside them {listed(list(model['ensemble']))}" if isinstance(model["ensemble"], list) and model["ensemble"] else ""
    stages = ", ".join(f"{name} {format_duration(value)}" for name, value in seconds.items() if name != "total")
    return [
        f"rows      {found.n_rows if found.is_exact else f'about {found.n_rows}, by the bytes of the first ones'}",
        f"model     {model['name']} {hidden}, {model['inputs']} inputs, {model['outputs']} outputs, {model['dtype']}",
        f"training  {model['rounds']} rounds of {model['members']} members, {model['epochs']} epochs, {model['batch']} rows a step{beside}",
        f"time      about {format_duration(seconds['total'])} on {found.machine.n_threads} free CPU cores: {stages}",
        f"memory    about {format_size(found.peak_bytes)}",
    ]


def format_duration(seconds: float) -> str:
    """`4.2 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_size(n_bytes: float) -> str:
    """`640 MB`, `3.2 GB`."""
    return f"{n_bytes / 1e6:.0f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.1f} GB"


def as_json(found: Estimate) -> dict[str, object]:
    """The same as plain values."""
    threads = {"threads": found.machine.n_threads}
    return {"rows": found.n_rows, "rows_exact": found.is_exact, "model": found.model, **threads, "seconds": found.seconds, "peak_bytes": found.peak_bytes}
