"""Generate synthetic data for the speed benchmarks from a seed: tables of any length, and pictures.

`blob`: two classes; 12 informative columns, 4 Gaussian clusters per class on the corners of a cube, each with its own correlation, 2 columns
that are linear combinations of those, the rest noise; the recipe of scikit-learn's `make_classification`. `tree`: two classes, the sign of a sum of 60
random axis-aligned trees of depth 4 on 12 columns. `many`: 500 classes, one Gaussian each. The flipped rows are the ground truth: a fixed
number of every `CHUNK` rows, drawn at random. Chunk k depends only on the seed and k, so a longer table begins with the rows of a shorter one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

FAMILIES = ("blob", "tree")
"""Families with two classes, on which speed is measured."""
CHUNK = 100_000
"""Rows that are drawn, flipped and written together."""
COLUMNS, INFORMATIVE = 20, 12
FLIPPED = 0.1
NAMES = np.array(["no", "yes"])
MANY = 500
"""Classes of `many`."""


@dataclass(frozen=True)
class SyntheticData:
    """Synthetic data set on disk."""

    path: Path
    """Input of the scan: a file, or a folder of parts."""
    flipped: np.ndarray
    """(N,) bool, True for rows whose label is wrong."""


class Blob:
    """Gaussian clusters on the corners of a cube."""

    names = NAMES

    def __init__(self, columns: int, rng: np.random.Generator) -> None:
        corners = rng.choice(2**INFORMATIVE, 8, replace=False)
        self.center = 2.0 * ((corners[:, None] >> np.arange(INFORMATIVE)) & 1) - 1
        self.spread = rng.uniform(-1, 1, (8, INFORMATIVE, INFORMATIVE))
        self.combinations = rng.uniform(-1, 1, (INFORMATIVE, 2))
        self.column_order = rng.permutation(columns)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw (n, F) float64 rows and (n,) int64 classes."""
        cluster = rng.integers(0, 8, n)
        x = rng.normal(size=(n, len(self.column_order)))
        for number in range(8):
            rows = cluster == number
            x[rows, :INFORMATIVE] = x[rows, :INFORMATIVE] @ self.spread[number] + self.center[number]
        x[:, INFORMATIVE : INFORMATIVE + 2] = x[:, :INFORMATIVE] @ self.combinations
        return x[:, self.column_order], cluster % 2


class Tree:
    """Sign of a sum of random trees."""

    names = NAMES

    def __init__(self, columns: int, rng: np.random.Generator) -> None:
        self.columns = columns
        self.feature = rng.choice(columns, INFORMATIVE, replace=False)[rng.integers(0, INFORMATIVE, (60, 15))]
        self.threshold = rng.normal(size=(60, 15))
        self.leaf = rng.normal(size=(60, 16))
        self.median = float(np.median(self.total(rng.normal(size=(20_000, columns)))))

    def total(self, x: np.ndarray) -> np.ndarray:
        """Sum the leaf values of each row: (n,) float64."""
        total = np.zeros(len(x))
        rows = np.arange(len(x))
        for feature, threshold, leaf in zip(self.feature, self.threshold, self.leaf, strict=True):
            node = np.zeros(len(x), np.int64)
            for _ in range(4):
                node = 2 * node + 1 + (x[rows, feature[node]] > threshold[node])
            total += leaf[node - 15]
        return total

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw (n, F) float64 rows and (n,) int64 classes."""
        x = rng.normal(size=(n, self.columns))
        return x, (self.total(x) > self.median).astype(np.int64)


class Many:
    """One Gaussian per class."""

    names = np.array([f"c{code:03d}" for code in range(MANY)])

    def __init__(self, columns: int, rng: np.random.Generator) -> None:
        self.center = rng.normal(size=(MANY, columns))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw (n, F) float64 rows and (n,) int64 classes."""
        y = rng.integers(0, MANY, n)
        return self.center[y] + rng.normal(0, 0.7, (n, self.center.shape[1])), y


SOURCES = {"blob": Blob, "tree": Tree, "many": Many}


def flips(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw (n,) bool with exactly round(share * n) True."""
    flipped = np.zeros(n, bool)
    flipped[rng.choice(n, round(share * n), replace=False)] = True
    return flipped


def chunks(family: str, rows: int, columns: int = COLUMNS, share: float = FLIPPED, seed: int = 0) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Yield a table of `rows` rows in chunks of `CHUNK`, each with (n,) bool: which labels are flipped.

    Args:
        family: key of `SOURCES`.
        rows: N.
        columns: F, 14 or more.
        share: share of the labels to flip.
        seed: random seed.
    """
    number = list(SOURCES).index(family)
    source = SOURCES[family](columns, np.random.default_rng([seed, number]))
    for at in range(0, rows, CHUNK):
        n = min(CHUNK, rows - at)
        rng = np.random.default_rng([seed, number, 1 + at // CHUNK])
        x, y = source.draw(CHUNK, rng)
        x, y = x[:n], y[:n]
        flipped = flips(n, share, rng)
        shift = rng.integers(1, len(source.names), n)
        # Four decimals, so that CSV cells have a realistic length.
        cells = {f"x{k:02d}": np.round(x[:, k], 4).astype(np.float32) for k in range(columns)}
        yield pa.table({**cells, "label": source.names[np.where(flipped, (y + shift) % len(source.names), y)]}), flipped


def write_file(path: Path, batches: Iterator[tuple[pa.Table, np.ndarray]]) -> np.ndarray:
    """Write one CSV or Parquet file, by its ending, chunk by chunk; return (N,) bool: which labels are flipped."""
    flipped, writer = [], None
    for table, wrong in batches:
        writer = writer or open_writer(path, table.schema)
        writer.write_table(table)
        flipped.append(wrong)
    if writer is not None:
        writer.close()
    return np.concatenate(flipped)


def open_writer(path: Path, schema: pa.Schema) -> pyarrow.csv.CSVWriter | pq.ParquetWriter:
    """Open a file for tables of a schema."""
    if path.suffix == ".csv":
        return pyarrow.csv.CSVWriter(path, schema, write_options=pyarrow.csv.WriteOptions(quoting_style="needed"))
    return pq.ParquetWriter(path, schema, compression="zstd")


def write_parts(folder: Path, batches: Iterator[tuple[pa.Table, np.ndarray]]) -> np.ndarray:
    """Write a folder of Parquet files, one per chunk; return (N,) bool in the order of their names: which labels are flipped."""
    folder.mkdir(parents=True)
    flipped = []
    for number, (table, wrong) in enumerate(batches):
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
        flipped.append(wrong)
    return np.concatenate(flipped)


def table(folder: Path, family: str, rows: int, form: str = "csv", columns: int = COLUMNS, seed: int = 0) -> SyntheticData:
    """Load a synthetic table from `folder`, generating it first if it is missing.

    Args:
        folder: where synthetic data are stored.
        family: key of `SOURCES`.
        rows: N.
        form: `csv` or `parquet` for one file, `parts` for a folder of Parquet files.
        columns: F.
        seed: random seed.
    """
    stem = f"{family}_{rows}x{columns}_seed{seed}"
    path = folder / (f"{stem}_parts" if form == "parts" else f"{stem}.{form}")
    # Written last, so that incomplete data of an interrupted run are generated again.
    truth = folder / f"{path.name}.flipped.npy"
    if not truth.exists():
        shutil.rmtree(path, ignore_errors=True)
        write = write_parts if form == "parts" else write_file
        np.save(truth, write(path, chunks(family, rows, columns, seed=seed)))
    return SyntheticData(path, np.load(truth))


def pictures(n: int, seed: int = 0, side: int = 32, classes: int = 10, share: float = FLIPPED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate smooth pictures of `classes` classes, with random shifts and noise.

    Args:
        n: number of pictures N.
        seed: random seed.
        side: height and width.
        classes: C.
        share: share of the labels to replace by another class.

    Returns:
        (N, side, side, 3) uint8 pictures, (N,) int64 given labels, (N,) bool, True where the label is wrong.
    """
    rng = np.random.default_rng([seed, 2])
    coarse = rng.uniform(0, 255, (classes, 4, 4, 3)).astype(np.float32)
    templates = coarse.repeat(side // 4, 1).repeat(side // 4, 2)
    y, images = rng.integers(0, classes, n), np.empty((n, side, side, 3), np.uint8)
    for at in range(0, n, 10_000):
        part = slice(at, min(at + 10_000, n))
        shifted = np.stack(
            [np.roll(templates[code], tuple(shift), (0, 1)) for code, shift in zip(y[part], rng.integers(-3, 4, (len(y[part]), 2)), strict=True)]
        )
        shifted += rng.normal(0, 60, shifted.shape).astype(np.float32)
        images[part] = np.clip(shifted, 0, 255)
    wrong = flips(n, share, rng)
    given = np.where(wrong, (y + rng.integers(1, classes, n)) % classes, y)
    return images, given, wrong


def picture_file(folder: Path, n: int, seed: int = 0) -> SyntheticData:
    """Load synthetic pictures from one .npz file in `folder`, generating it first if it is missing."""
    path = folder / f"pictures_{n}_seed{seed}.npz"
    truth = folder / f"{path.name}.flipped.npy"
    if not truth.exists():
        images, given, wrong = pictures(n, seed)
        np.savez(path, images=images, labels=given)
        np.save(truth, wrong)
    return SyntheticData(path, np.load(truth))
