"""Data made for the benches of speed, from a seed: two families of tables of any length, and pictures.

`blob`: 12 informative columns, 4 Gaussian clusters per class on the corners of a cube, each with a correlation of its own, 2 columns
that are sums of those, the rest noise; the recipe of scikit-learn's `make_classification`. `tree`: the sign of a sum of 60 random
axis-aligned trees of depth 4 on 12 columns. Two classes, both. `many`: 500 classes, a Gaussian each. The flipped rows are the truth: that many of every `CHUNK` rows,
drawn at random. Chunk k depends on the seed and k alone, so a longer table begins with the rows of a shorter one.
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
"""Those of two classes, which speed is measured on."""
CHUNK = 100_000
"""Rows that are drawn, flipped and written at once."""
COLUMNS, INFORMATIVE = 20, 12
FLIPPED = 0.1
NAMES = np.array(["no", "yes"])
MANY = 500
"""Classes of `many`."""


@dataclass(frozen=True)
class Made:
    """A made data set on disk."""

    path: Path
    """What to scan: a file, or a folder of parts."""
    flipped: np.ndarray
    """(N,) bool rows whose label is wrong."""


class Blob:
    """Clusters on the corners of a cube."""

    names = NAMES

    def __init__(self, columns: int, rng: np.random.Generator) -> None:
        corners = rng.choice(2**INFORMATIVE, 8, replace=False)
        self.centre = 2.0 * ((corners[:, None] >> np.arange(INFORMATIVE)) & 1) - 1
        self.spread = rng.uniform(-1, 1, (8, INFORMATIVE, INFORMATIVE))
        self.sums = rng.uniform(-1, 1, (INFORMATIVE, 2))
        self.place = rng.permutation(columns)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(n, F) float64 rows and (n,) int64 classes."""
        cluster = rng.integers(0, 8, n)
        x = rng.normal(size=(n, len(self.place)))
        for one in range(8):
            mine = cluster == one
            x[mine, :INFORMATIVE] = x[mine, :INFORMATIVE] @ self.spread[one] + self.centre[one]
        x[:, INFORMATIVE : INFORMATIVE + 2] = x[:, :INFORMATIVE] @ self.sums
        return x[:, self.place], cluster % 2


class Tree:
    """A sum of trees."""

    names = NAMES

    def __init__(self, columns: int, rng: np.random.Generator) -> None:
        self.columns = columns
        self.feature = rng.choice(columns, INFORMATIVE, replace=False)[rng.integers(0, INFORMATIVE, (60, 15))]
        self.cut = rng.normal(size=(60, 15))
        self.leaf = rng.normal(size=(60, 16))
        self.middle = float(np.median(self.total(rng.normal(size=(20_000, columns)))))

    def total(self, x: np.ndarray) -> np.ndarray:
        """(n,) float64 sum of the leaves that each row falls into."""
        out = np.zeros(len(x))
        each = np.arange(len(x))
        for feature, cut, leaf in zip(self.feature, self.cut, self.leaf, strict=True):
            node = np.zeros(len(x), np.int64)
            for _ in range(4):
                node = 2 * node + 1 + (x[each, feature[node]] > cut[node])
            out += leaf[node - 15]
        return out

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(n, F) float64 rows and (n,) int64 classes."""
        x = rng.normal(size=(n, self.columns))
        return x, (self.total(x) > self.middle).astype(np.int64)


class Many:
    """A Gaussian per class."""

    names = np.array([f"c{code:03d}" for code in range(MANY)])

    def __init__(self, columns: int, rng: np.random.Generator) -> None:
        self.centre = rng.normal(size=(MANY, columns))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(n, F) float64 rows and (n,) int64 classes."""
        y = rng.integers(0, MANY, n)
        return self.centre[y] + rng.normal(0, 0.7, (n, self.centre.shape[1])), y


SOURCES = {"blob": Blob, "tree": Tree, "many": Many}


def flips(n: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool, exactly round(share * n) of them True."""
    out = np.zeros(n, bool)
    out[rng.choice(n, round(share * n), replace=False)] = True
    return out


def chunks(family: str, rows: int, columns: int = COLUMNS, share: float = FLIPPED, seed: int = 0) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """A table of `rows` rows, `CHUNK` at a time, each with (n,) bool which labels are flipped.

    Args:
        family: of `SOURCES`.
        rows: N.
        columns: F, 14 or more.
        share: of the labels to flip.
        seed: what every draw depends on.
    """
    number = list(SOURCES).index(family)
    source = SOURCES[family](columns, np.random.default_rng([seed, number]))
    for at in range(0, rows, CHUNK):
        n = min(CHUNK, rows - at)
        rng = np.random.default_rng([seed, number, 1 + at // CHUNK])
        x, y = source.draw(CHUNK, rng)
        x, y = x[:n], y[:n]
        flipped = flips(n, share, rng)
        away = rng.integers(1, len(source.names), n)
        # Four decimals, so that a CSV cell is as long as people's are.
        cells = {f"x{k:02d}": np.round(x[:, k], 4).astype(np.float32) for k in range(columns)}
        yield pa.table({**cells, "label": source.names[np.where(flipped, (y + away) % len(source.names), y)]}), flipped


def write_csv(path: Path, pieces: Iterator[tuple[pa.Table, np.ndarray]]) -> np.ndarray:
    """One CSV file, written piece by piece; returns (N,) bool which labels are flipped."""
    flipped, writer = [], None
    for table, wrong in pieces:
        writer = writer or pyarrow.csv.CSVWriter(path, table.schema, write_options=pyarrow.csv.WriteOptions(quoting_style="needed"))
        writer.write_table(table)
        flipped.append(wrong)
    if writer is not None:
        writer.close()
    return np.concatenate(flipped)


def write_parquet(path: Path, pieces: Iterator[tuple[pa.Table, np.ndarray]]) -> np.ndarray:
    """One Parquet file, written piece by piece; returns (N,) bool which labels are flipped."""
    flipped, writer = [], None
    for table, wrong in pieces:
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        flipped.append(wrong)
    if writer is not None:
        writer.close()
    return np.concatenate(flipped)


def write_parts(folder: Path, pieces: Iterator[tuple[pa.Table, np.ndarray]]) -> np.ndarray:
    """A folder of Parquet files, one per piece; returns (N,) bool which labels are flipped, in the order of the names."""
    folder.mkdir(parents=True)
    flipped = []
    for number, (table, wrong) in enumerate(pieces):
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
        flipped.append(wrong)
    return np.concatenate(flipped)


def table(folder: Path, family: str, rows: int, form: str = "csv", columns: int = COLUMNS, seed: int = 0) -> Made:
    """A made table in `folder`, as it lies there or made now.

    Args:
        folder: keeps made data.
        family: of `SOURCES`.
        rows: N.
        form: `csv` or `parquet` for one file, `parts` for a folder of Parquet files.
        columns: F.
        seed: what every draw depends on.
    """
    stem = f"{family}_{rows}x{columns}_seed{seed}"
    path = folder / (f"{stem}_parts" if form == "parts" else f"{stem}.{form}")
    # Written last, so that what an interrupted run left is made again.
    truth = folder / f"{path.name}.flipped.npy"
    if not truth.exists():
        shutil.rmtree(path, ignore_errors=True)
        write = {"csv": write_csv, "parquet": write_parquet, "parts": write_parts}[form]
        np.save(truth, write(path, chunks(family, rows, columns, seed=seed)))
    return Made(path, np.load(truth))


def pictures(n: int, seed: int = 0, side: int = 32, classes: int = 10, share: float = FLIPPED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth pictures of `classes` kinds, moved about and noisy.

    Args:
        n: N.
        seed: what every draw depends on.
        side: height and width.
        classes: C.
        share: of the labels to give another class.

    Returns:
        (N, side, side, 3) uint8 pictures, (N,) int64 given labels, (N,) bool which of them are wrong.
    """
    rng = np.random.default_rng([seed, 2])
    coarse = rng.uniform(0, 255, (classes, 4, 4, 3)).astype(np.float32)
    kinds = coarse.repeat(side // 4, 1).repeat(side // 4, 2)
    y, images = rng.integers(0, classes, n), np.empty((n, side, side, 3), np.uint8)
    for at in range(0, n, 10_000):
        mine = slice(at, min(at + 10_000, n))
        moved = np.stack([np.roll(kinds[kind], tuple(by), (0, 1)) for kind, by in zip(y[mine], rng.integers(-3, 4, (len(y[mine]), 2)), strict=True)])
        moved += rng.normal(0, 60, moved.shape).astype(np.float32)
        images[mine] = np.clip(moved, 0, 255)
    wrong = flips(n, share, rng)
    given = np.where(wrong, (y + rng.integers(1, classes, n)) % classes, y)
    return images, given, wrong


def picture_file(folder: Path, n: int, seed: int = 0) -> Made:
    """Made pictures as one .npz file in `folder`, as it lies there or made now."""
    path = folder / f"pictures_{n}_seed{seed}.npz"
    truth = folder / f"{path.name}.flipped.npy"
    if not truth.exists():
        images, given, wrong = pictures(n, seed)
        np.savez(path, images=images, labels=given)
        np.save(truth, wrong)
    return Made(path, np.load(truth))
