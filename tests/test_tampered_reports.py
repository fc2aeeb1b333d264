"""Reports with a changed run card, changed columns or flipped bits: every command lists them or refuses them in one line."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import zcurate
from tests.conftest import blobs_csv
from tests.test_mutations import mutated

WORKER = Path(__file__).parent / "report_worker.py"
SEED, N_MUTATIONS, N_CARDS, N_COLUMNS = 7, 40, 90, 50
VALUES = (None, 5, -1, "x", "\x1b[31m", [], {}, [None], True, 2**53, 0.5)


def places(node, path=()):
    """Every place in nested dictionaries and lists."""
    children = node.items() if isinstance(node, dict) else enumerate(node[:3]) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def changed(card, path, value):
    card = json.loads(json.dumps(card))
    node = card
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return card


def arrays(n):
    """Columns of other types and values."""
    return [
        pa.nulls(n), pa.array(range(n)), pa.array([-1] * n), pa.array([2**62] * n), pa.array(["x"] * n), pa.array(["\x1b[31m"] * n), pa.array([0.5] * n),
        pa.array([float("nan")] * n), pa.array([[1.0]] * n), pa.array([b"\xff"] * n), pa.array([{"a": 1}] * n), pa.array([None] * n, pa.float32()),
        pa.array([float("inf")] * n, pa.float32()), pa.array([["a", "b"]] * n), pa.array([[0.5, None]] * n, pa.list_(pa.float32())), pa.array([[]] * n, pa.list_(pa.string())),
    ]  # fmt: skip


def encoded(table, card):
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"zcurate": json.dumps(card).encode()}), buffer)
    return buffer.getvalue()


def tampered(table, card):
    """Yield (name, bytes of a report)."""
    rng = random.Random(SEED)
    whole = encoded(table, card)
    for k in range(N_MUTATIONS):
        yield f"bytes-{k:03d}", mutated(whole, rng)
    everywhere = list(places(card))
    for k in range(N_CARDS):
        path, value = rng.choice(everywhere), rng.choice([..., *VALUES])
        yield f"card-{k:03d}-{'.'.join(map(str, path))[:40]}", encoded(table, changed(card, path, value))
    columns = arrays(len(table))
    for k in range(N_COLUMNS):
        name = rng.choice(table.column_names)
        yield f"column-{k:03d}-{name}", encoded(table.set_column(table.column_names.index(name), name, rng.choice(columns)), card)
    order = pa.array(rng.sample(range(len(table)), len(table)))
    for name, other in {
        "shuffled": table.take(order),
        "empty": table.slice(0, 0),
        "half": table.slice(0, len(table) // 2),
        "twice": pa.concat_tables([table, table]),
    }.items():
        yield f"rows-{name}", encoded(other, card)


@pytest.mark.slow
def test_tampered_reports_are_listed_or_refused_in_one_line(tmp_path):
    data, _ = blobs_csv.__wrapped__(tmp_path)
    folder = tmp_path / "reports"
    folder.mkdir()
    data = data.rename(folder / "data.csv")
    report = zcurate.scan(str(data), id="key", epochs=3)
    card = json.loads(json.dumps(report.card))
    for name, content in tampered(report.table, card):
        (folder / f"{name}.zcurate.parquet").write_bytes(content)
    assert len(list(folder.iterdir())) > 180
    ran = subprocess.run([sys.executable, WORKER, folder], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")
