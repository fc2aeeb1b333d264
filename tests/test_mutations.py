"""Broken and hostile inputs: 2000 of them are read or refused with one line; none ends in a bug, a signal, a hang, or over 2 GB."""

import bz2
import gzip
import io
import json
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from PIL import Image

WORKER = Path(__file__).parent / "mutation_worker.py"
PER_KIND, SEED = 90, 11
MAX_BYTES, MAX_SECONDS = 2 << 30, 60.0
RNG = np.random.default_rng(5)
N = 80
CODE = RNG.integers(0, 3, N)
TABLE = pa.table(
    {
        "a": (CODE + RNG.normal(0, 0.4, N)).round(3),
        "n": RNG.integers(0, 9, N),
        "colour": [("red", "green, pale", 'say "blue"')[k] for k in CODE],
        "day": [f"2024-0{1 + k % 9}-1{k % 10}" for k in range(N)],
        "text": [f"the {('cat', 'dog', 'cow')[k]} is {RNG.integers(900)} years old" for k in CODE],
        "vector": [[float(k), 1.0] for k in CODE],
        "label": [("x", "y", "z")[k] for k in CODE],
    }
)
FLAT = TABLE.drop_columns(["vector"])
IMAGES = RNG.integers(0, 255, (40, 8, 8)).astype(np.uint8)
IMAGE_LABELS = (np.arange(40) % 2).astype(np.uint8)


def written(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def csv_bytes(delimiter=","):
    return written(lambda file: pyarrow.csv.write_csv(FLAT, file, pyarrow.csv.WriteOptions(delimiter=delimiter)))


def ipc_bytes(new, **options):
    def write(file):
        with new(file, TABLE.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(TABLE, 30)

    return written(write)


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def picture(kind):
    return written(lambda file: Image.fromarray(IMAGES[0]).save(file, kind))


JSONL = "".join(json.dumps(row) + "\n" for row in TABLE.to_pylist()).encode()
IDX = {"t-images-idx3-ubyte": idx_bytes(IMAGES), "t-labels-idx1-ubyte": idx_bytes(IMAGE_LABELS)}
BASES = {
    "t.csv": csv_bytes(),
    "t.tsv": csv_bytes("\t"),
    "t.csv.gz": gzip.compress(csv_bytes()),
    "t.csv.bz2": bz2.compress(csv_bytes()),
    "t.jsonl": JSONL,
    "t.json": json.dumps(TABLE.to_pylist()).encode(),
    "t.parquet": written(lambda file: pq.write_table(TABLE, file)),
    "plain.parquet": written(lambda file: pq.write_table(TABLE, file, compression="none", use_dictionary=False)),
    "t.feather": ipc_bytes(pa.ipc.new_file),
    "z.feather": ipc_bytes(pa.ipc.new_file, compression="zstd"),
    "t.arrows": ipc_bytes(pa.ipc.new_stream),
    "t.npz": written(lambda file: np.savez(file, images=IMAGES, labels=IMAGE_LABELS)),
    "z.npz": written(lambda file: np.savez_compressed(file, images=IMAGES, labels=IMAGE_LABELS)),
    "t-images-idx3-ubyte": IDX["t-images-idx3-ubyte"],
}
PICTURES = {kind: picture(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}


def mutated(content, rng):
    """One random change of a file's bytes."""
    content, n = bytearray(content), len(content)
    at, size = rng.randrange(n), rng.randrange(1, 200)
    change = rng.choice(["flip", "flips", "cut", "zeros", "ones", "repeat", "insert", "remove", "splice", "integer", "end"])
    if change in ("flip", "flips"):
        for _ in range(1 if change == "flip" else 24):
            content[rng.randrange(n)] ^= 1 << rng.randrange(8)
    elif change == "cut":
        del content[max(1, at) :]
    elif change in ("zeros", "ones"):
        content[at : at + size] = (b"\0" if change == "zeros" else b"\xff") * len(content[at : at + size])
    elif change == "repeat":
        content[at:at] = content[at : at + size]
    elif change == "insert":
        content[at:at] = rng.randbytes(size)
    elif change == "remove":
        del content[at : at + size]
    elif change == "splice":
        other = rng.randrange(n)
        content[at : at + size] = content[other : other + size]
    elif change == "integer":
        content[at : at + 8] = struct.pack("<q", rng.choice([-1, 2**31 - 1, 2**40, 2**62, -(2**63), 65536]))
    else:
        content[n - rng.randrange(1, min(n, 300))] ^= 1 << rng.randrange(8)
    return bytes(content) or b"x"


def mutations():
    """Yield (name, files, the one to read)."""
    for name, content in BASES.items():
        rng = random.Random(f"{SEED}-{name}")
        for k in range(PER_KIND):
            yield f"{name}-{k:03d}", (IDX if name in IDX else {}) | {name: mutated(content, rng)}, name
    rng = random.Random(f"{SEED}-labels")
    for k in range(PER_KIND):
        yield f"labels-{k:03d}", IDX | {"t-labels-idx1-ubyte": mutated(IDX["t-labels-idx1-ubyte"], rng)}, "t-images-idx3-ubyte"
    for kind, content in PICTURES.items():
        rng = random.Random(f"{SEED}-{kind}")
        for k in range(PER_KIND):
            files = {f"d/{'ab'[j % 2]}/{j}.{kind.lower()}": mutated(content, rng) if j % 3 else content for j in range(9)}
            yield f"folder-{kind}-{k:03d}", files, "d"


def hostile():
    """Yield hostile headers, bombs and odd types, as (name, files, the one to read)."""
    body = "\n".join(f"{k},{k % 3},{'ab'[k % 2]}" for k in range(50))
    texts = {
        "equal-names": ",".join(["a"] * 20_000) + "\n" + ",".join(["1"] * 20_000),
        "delimiters": "," * 3_000_000 + "\n" + "," * 100,
        "one-long-line": "a" * 5_000_000,
        "long-name": "a" * 100_000 + ",b,label\n" + body,
        "empty-names": ",,\n" + body,
        "quotes": '"' * 100_001,
        "open-quote": 'x,y,label\n"' + body,
        "nul": "x,y,label\n1,\0,a\n" + body,
        "control": "x\x1b[31m,y\x07,label\n" + body,
        "returns": "\r" * 100_000,
        "newlines": "\n" * 1_000_000 + "x,y,label\n" + body,
        "only-header": "x,y,label",
        "two-rows": "x,y,label\n1,2,a\n3,4,b",
        "huge-numbers": "x,y,label\n" + "\n".join(f"1e{k * 9},{'9' * (k + 1)},{'ab'[k % 2]}" for k in range(50)),
        "surrogates": "x,y,label\n\ud800,1,a\n" + body,
        "dates": "x,day,label\n" + "\n".join(f"{k},{k * 201:04d}-13-45,{'ab'[k % 2]}" for k in range(50)),
        "odd-numbers": "x,y,label\n" + "\n".join(f"{'((1))' if k % 2 else '--1'},1.2.3,{'ab'[k % 2]}" for k in range(50)),
        "vectors": "v,label\n" + "\n".join(f'"[{k},nan,inf]",{"ab"[k % 2]}' for k in range(50)),
        "sep-only": "sep=",
        "sep-quote": 'sep="\nx"y"label\n1"2"a',
        "mixed-ends": "x,y,label\r1,2,a\n3,4,b\r\n5,6,a\r",
    }
    for name, text in texts.items():
        yield f"csv-{name}", {"t.csv": text.encode("utf-8", "surrogatepass")}, "t.csv"
    for name, encoding in (("utf-16", "utf-16"), ("utf-32", "utf-32"), ("utf-7", "utf-7"), ("big5", "big5")):
        yield f"csv-{name}", {"t.csv": ("x,y,label\n" + body.replace("a", "北")).encode(encoding)}, "t.csv"
    yield "csv-bomb", {"t.csv.gz": gzip.compress(b"x,y,label\n" + b"1,2,a\n" * 10_000_000)}, "t.csv.gz"
    documents = {
        "deep": "[" * 200_000,
        "deep-object": '{"a":' * 100_000,
        "keys": json.dumps([{f"k{j}": 1 for j in range(3000)}] * 3),
        "numbers": '{"x": 1e999, "label": "a"}\n' * 9,
    }
    documents |= {"scalar": "3", "null": "null", "string": '"label"', "empty-rows": "{}\n" * 50, "twice": '{"x": 1, "x": 2, "label": "a"}\n' * 30}
    documents |= {"mixed": "".join(json.dumps({"x": [1, "a", None, {"b": 1}, [2]][k % 5], "label": "ab"[k % 2]}) + "\n" for k in range(40))}
    for name, text in documents.items():
        yield f"json-{name}", {"t.jsonl": text.encode()}, "t.jsonl"
        yield f"array-{name}", {"t.json": text.encode()}, "t.json"
    labels = ["a", "b"] * 20
    odd = {
        "binary": pa.array([b"\xff\xfe"] * 40),
        "struct": pa.array([{"a": 1}] * 40),
        "map": pa.array([[("a", 1)]] * 40, pa.map_(pa.string(), pa.int64())),
        "decimal": pa.array([None] * 39 + [10**30], pa.decimal256(60, 2)),
        "null": pa.nulls(40),
        "lists": pa.array([[["a"]]] * 40),
        "years": pa.array([2**62] * 40, pa.timestamp("s")),
        "zones": pa.array(range(40), pa.timestamp("ns", "Mars/Base")),
        "halves": pa.array(np.arange(40, dtype=np.float16)),
        "intervals": pa.array([(1, 2, 3)] * 40, pa.month_day_nano_interval()),
        "ends": pa.array([1] * 40, pa.int64()).run_end_encode() if hasattr(pa.Array, "run_end_encode") else pa.nulls(40),
        "views": pa.array(["a", "b"] * 20, pa.string_view()),
    }
    for name, array in odd.items():
        for role in ("x", "label"):
            columns = {"x": list(range(40)), "label": labels} | {role: array, "z": [k * 0.5 for k in range(40)]}
            buffer = io.BytesIO()
            with pa.ipc.new_file(buffer, pa.table(columns).schema) as writer:
                writer.write_table(pa.table(columns))
            yield f"type-{name}-{role}", {"t.feather": buffer.getvalue()}, "t.feather"
    bomb = written(lambda file: zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED).writestr("images.npy", b"\0" * 400_000_000))
    yield "npz-bomb", {"t.npz": bomb}, "t.npz"
    for name, shape in (("large", (2**31 - 1, 2**31 - 1, 8)), ("none", (0, 8, 8)), ("flat", (40, 64, 0))):
        yield f"idx-{name}", IDX | {"t-images-idx3-ubyte": bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape)}, "t-images-idx3-ubyte"
    large = written(lambda file: Image.new("1", (60_000, 30_000)).save(file, "PNG"))
    yield "picture-bomb", {"d/a/1.png": large} | {f"d/{c}/{k}.png": PICTURES["PNG"] for c in "ab" for k in range(2, 6)}, "d"


def outcomes(cases, folder):
    for name, files, path in cases:
        for file, content in files.items():
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_bytes(content)
        (folder / name / "input").write_text(path)
    ran = subprocess.run([sys.executable, WORKER, folder], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in ran.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("cases", [mutations, hostile])
def test_broken_and_hostile_inputs_are_read_or_refused(cases, tmp_path):
    cases = list(cases())
    found = outcomes(cases, tmp_path)
    assert len(found) == len(cases)
    assert [line for line in found if line[1] not in ("read", "refused")] == []
    assert [line for line in found if int(line[2]) > MAX_BYTES or float(line[3]) > MAX_SECONDS] == []


@pytest.mark.slow
def test_there_are_two_thousand_of_them():
    assert (len(BASES) + 1 + len(PICTURES)) * PER_KIND + len(list(hostile())) >= 2000
