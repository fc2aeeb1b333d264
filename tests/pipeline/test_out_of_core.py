"""Scans of memory-mapped rows: the verdicts of a scan in memory, in the input's order, and no file left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

import zcurate
from tests.conftest import ROOT
from tests.runtime.test_process_group import run_processes
from tests.small_runs import SMALL_BLOCKS, encode, scan_memory_mapped
from zcurate.config.options import ScanOptions
from zcurate.config.verdicts import VERDICTS
from zcurate.data import conversions, discovery, features, images, inputs, preview, profile, reservoir, sizes, table
from zcurate.encoding import encoder
from zcurate.errors import InputError, UsageError
from zcurate.judge import blocks
from zcurate.pipeline import api, cost_model, plan, scan, storage_policy
from zcurate.report import ranks, report, storage
from zcurate.runtime import memory
from zcurate.runtime.context import RunContext
from zcurate.runtime.progress import NoProgress
from zcurate.runtime.store import BlockSizes, InMemoryStore, temporary_store
from zcurate.training import folds, rounds, sampler

N = 3000


def example_table(n_rows=N, seed=0):
    """Numbers with gaps, a category, a time, a key; labels of which one in ten is wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, 4))
    y = (x[:, 0] + x[:, 1] > 0).astype(int) + (x[:, 2] > 1)
    wrong = rng.random(n_rows) < 0.1
    given = np.where(wrong, (y + rng.integers(1, 3, n_rows)) % 3, y)
    days = np.datetime64("2024-01-01") + rng.integers(0, 300, n_rows)
    columns = {f"f{k}": pa.array(x[:, k], mask=rng.random(n_rows) < (0.05 if k == 3 else 0.0)) for k in range(4)}
    columns |= {"kind": pa.array(np.array(["red", "blue", "green"])[rng.integers(0, 3, n_rows)]), "day": pa.array(days)}
    return pa.table(columns | {"key": pa.array([f"k{at}" for at in range(n_rows)]), "label": pa.array(np.array(["ant", "bee", "cat"])[given])}), wrong


@pytest.fixture
def small_limit(monkeypatch):
    """Allow any memory limit, and read small batches."""
    monkeypatch.setattr(cost_model, "min_bytes", lambda plan, shape: 0)
    monkeypatch.setattr(table, "BATCH_ROWS", 500)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    path = tmp_path_factory.mktemp("quick") / "quick.toml"
    path.write_text("rounds = 1\nfolds = 2\nhidden = [48]\nbatch = 128\nensemble = []\n")
    return str(path)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    table, wrong = example_table()
    pq.write_table(table.slice(0, 1200), folder / "part-1.parquet")
    pq.write_table(table.slice(1200), folder / "part-2.parquet")
    return folder, table, wrong


def auroc(score, wrong):
    rank = np.argsort(np.argsort(score))
    n = wrong.sum()
    return (rank[wrong].sum() - n * (n - 1) / 2) / (n * (len(wrong) - n))


def encode_streamed(path, store, **settings):
    options = ScanOptions(**settings)
    source = discovery.locate(str(path), None)
    found = profile.profile_table(source, preview.preview_input(source, options), options)
    return found, encoder.encode(found, plan.make_plan(options, found.sample).spec, RunContext(store=store, device=torch.device("cpu"), seed=options.seed))


def test_memory_mapped_rows_equal_the_rows_in_memory(parts, small_limit):
    folder, _, _ = parts
    data = inputs.read_input(str(folder), ScanOptions(id="key"))
    resident = encode(data, plan.make_plan(ScanOptions(), data).spec)
    with temporary_store(sizes=SMALL_BLOCKS) as store:
        found, mapped = encode_streamed(folder, store, id="key")
        order = torch.from_numpy(mapped.row.copy())
        assert sorted(mapped.row.tolist()) == list(range(N))
        assert mapped.row.tolist() != list(range(N))
        torch.testing.assert_close(mapped.x, resident.x[order])
        assert torch.equal(mapped.codes, resident.codes[order])
        assert torch.equal(mapped.y, resident.y[order])
        torch.testing.assert_close(mapped.bin_start, resident.bin_start)
        assert found.sample.n_rows == N


def test_the_seed_decides_the_order_and_thus_the_leading_rows_in_which_errors_are_planted(parts, small_limit):
    def order(seed):
        with temporary_store(sizes=SMALL_BLOCKS) as store:
            return encode_streamed(parts[0], store, id="key", seed=seed)[1].row.tolist()

    first, other = order(0), order(1)
    assert order(0) == first
    assert sorted(first) == sorted(other)
    assert first != other
    assert set(first[:500]) != set(other[:500])


def test_the_report_is_that_of_a_scan_in_memory(parts, small_limit, tmp_path):
    folder, _, wrong = parts
    (tmp_path / "two.toml").write_text("rounds = 2\nfolds = 2\nensemble = []\n")
    same = {"id": "key", "epochs": 4, "model": str(tmp_path / "two.toml")}
    resident = zcurate.scan(str(folder), **same)
    mapped = scan_memory_mapped(folder, **same, output=str(tmp_path / "r.zcurate.parquet"))
    assert mapped.card["in_pieces"]
    for name in ("row", "id", "given"):
        assert mapped.table.column(name).to_pylist() == resident.table.column(name).to_pylist()
    assert list(mapped.table.schema) == list(resident.table.schema)
    flags = [np.array(one.called("incorrect")) for one in (resident, mapped)]
    assert (flags[0] == flags[1]).mean() > 0.97
    ranked = [auroc(-one.table.column("rank").to_numpy(), wrong) for one in (resident, mapped)]
    assert abs(ranked[0] - ranked[1]) < 0.02
    assert sorted(mapped.table.column("rank").to_pylist()) == list(range(1, N + 1))
    suspicion = (mapped.table.column("p_incorrect").to_numpy() + mapped.table.column("p_outlier").to_numpy())[
        np.argsort(mapped.table.column("rank").to_numpy())
    ]
    assert (np.diff(suspicion) <= 1e-6).all()
    assert sum(entry["rows"] for entry in mapped.card["classes"]) == N
    assert sum(entry["incorrect"] for entry in mapped.card["classes"]) == mapped.counts()["incorrect"]
    assert storage.load(str(tmp_path / "r.zcurate.parquet")).table.equals(mapped.table)


def test_a_regression_is_scanned_out_of_core(small_limit, tmp_path, quick):
    table, _ = example_table(2000)
    target = np.nan_to_num(table.column("f0").to_numpy()) * 3 + 0.01
    target[::50] += 20
    pq.write_table(table.drop_columns(["label", "key"]).append_column("target", pa.array(target)), tmp_path / "t.parquet")
    found = scan_memory_mapped(tmp_path / "t.parquet", epochs=6, model=quick)
    assert found.card["task"]["kind"] == "regression"
    np.testing.assert_allclose(found.table.column("given").to_numpy(), target)
    assert np.array(found.called("incorrect"))[::50].mean() > 0.8


@pytest.mark.slow
def test_csv_and_blocks_of_the_judge(small_limit, tmp_path, quick):
    sizes = BlockSizes(judge_rows=900, report_rows=700, bucket_rows=800)
    table, wrong = example_table()
    pyarrow.csv.write_csv(table, tmp_path / "t.csv")
    found = scan_memory_mapped(tmp_path / "t.csv", sizes, id="key", epochs=6, model=quick)
    assert found.table.column("id").to_pylist() == table.column("key").to_pylist()
    assert auroc(-found.table.column("rank").to_numpy(), wrong) > 0.9
    few = scan_memory_mapped(tmp_path / "t.csv", sizes, id="key", epochs=6, model=quick, budget=50)
    assert 45 <= few.counts()["incorrect"] <= 50


def with_misfits(path, lines):
    """Insert lines with a field too many, and return their rows."""
    rows = [0, 700, 1400, len(lines) // 2 + 1]
    for row in rows:
        lines.insert(row, "1,2,3,4,5,6,7,8,9,10,11,12")
    path.write_text("\n".join(lines) + "\n")
    return sorted({at for at, line in enumerate(lines) if line.startswith("1,2,3,4,5,6")})


@pytest.mark.parametrize("n_parts", [1, 2])
def test_lines_that_do_not_fit_the_header_are_skipped_as_in_memory(small_limit, tmp_path, quick, n_parts):
    rows, wrong = example_table()
    (tmp_path / "d").mkdir()
    per_part, expected = N // n_parts, []
    for part in range(n_parts):
        pyarrow.csv.write_csv(rows.slice(part * per_part, per_part), tmp_path / "t.csv")
        header, *lines = (tmp_path / "t.csv").read_text().splitlines()
        skipped = with_misfits(tmp_path / "body.csv", lines)
        (tmp_path / "d" / f"part-{part}.csv").write_text(header + "\n" + (tmp_path / "body.csv").read_text())
        expected += [part * (per_part + len(skipped)) + row for row in skipped]
    resident = zcurate.scan(str(tmp_path / "d"), id="key", epochs=6, model=quick, input_format="csv")
    mapped = scan_memory_mapped(tmp_path / "d", id="key", epochs=6, model=quick, input_format="csv", output=str(tmp_path / "r.parquet"))
    for found in (resident, mapped, storage.load(str(tmp_path / "r.parquet"))):
        assert np.flatnonzero(np.array(found.called("skipped"))).tolist() == expected
        assert found.card["n_skipped"] == len(expected)
    assert mapped.card["skipped"] == resident.card["skipped"]
    assert mapped.table.column("id").equals(resident.table.column("id"))
    assert mapped.table.column("given").equals(resident.table.column("given"))
    ranks = [np.delete(found.table.column("rank").to_numpy(zero_copy_only=False), expected) for found in (resident, mapped)]
    assert all(sorted(rank) == list(range(1, N + 1)) for rank in ranks)
    assert auroc(-ranks[1], wrong) > 0.9


def test_every_row_is_visited_once_whatever_the_segments():
    generator = torch.Generator().manual_seed(0)
    n_rows, parts = 1003, []
    for part in range(4):
        blocks = sampler.segment_blocks(101, part, 4, torch.Generator().manual_seed(3))
        parts.append(torch.cat([sampler.rows_of_blocks(blocks, 10, shard) for shard in (slice(0, 400), slice(400, 405), slice(405, n_rows))]))
        assert (parts[-1].diff() > 0).all()
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(n_rows))
    assert not torch.equal(parts[0], sampler.rows_of_blocks(sampler.segment_blocks(101, 0, 4, generator), 10, slice(0, n_rows)))


def test_an_array_is_filled_window_by_window():
    at = np.random.default_rng(0).permutation(1003)
    with temporary_store(sizes=BlockSizes(window_rows=64, gather_bytes=1 << 16)) as store:
        out = store.zeros((1003,), np.int64)
        ranks.scatter_windows(out, at, lambda part: np.arange(part.start, part.stop) + 5, store)
        assert (out[at] == np.arange(1003) + 5).all()
        rows = np.sort(at[:300])
        big = store.copy(np.arange(40_000.0).reshape(-1, 2))
        np.testing.assert_array_equal(blocks.gather(big, rows, store), big[rows])


def test_streamed_folds_are_even_in_each_class():
    y = np.random.default_rng(0).integers(-1, 3, 1000)
    fold = np.empty(1000, np.uint8)
    folds.streamed(np.arange(1000), y, 4, 1, fold)
    counts = np.array([np.bincount(fold[y == label], minlength=4) for label in range(3)])
    assert (counts.max(1) - counts.min(1) <= 1).all()
    groups = np.random.default_rng(1).integers(0, 50, 1000)
    folds.streamed(groups * 1_000_003, y, 4, 1, fold)
    assert all(len(set(fold[groups == group])) == 1 for group in range(50))
    assert len(set(fold)) == 4


def test_a_value_that_does_not_fit_its_sampled_type_is_missing():
    assert features.like_sample(pa.array(["1", "x", None, "2.5"]), pa.float64(), None, ()).to_pylist() == [1.0, None, None, 2.5]
    words = features.like_sample(pa.array(["true", "no"]), pa.bool_(), conversions.Conversion("boolean", conversions.BooleanFormat()), ())
    assert words.to_pylist() == [True, None]
    assert features.like_sample(pa.array([1, 2]), pa.float64(), None, ()).to_pylist() == [1.0, 2.0]
    vectors = features.like_sample(pa.array([[1, 2], [3]]), pa.list_(pa.float64(), 2), None, ())
    assert vectors.to_pylist() == [[1.0, 2.0], None]


def test_a_sample_is_even_and_in_order():
    rng, sample = np.random.default_rng(0), reservoir.ReservoirSample(1000)
    for begin in range(0, 50_000, 500):
        sample.add(pa.table({"at": np.arange(begin, begin + 500)}), rng)
    at = sample.table().column("at").to_numpy()
    assert len(at) == 1000
    assert (np.diff(at) > 0).all()
    assert abs(at.mean() - 25_000) < 1500


def test_a_memory_limit_that_is_too_small_names_the_memory_needed(parts):
    with pytest.raises(UsageError, match=r"--memory 100MB: the scan needs about .* even with rows in files — expected at least that much — try --memory \d+MB"):
        zcurate.scan(str(parts[0]), memory="100MB")


def test_an_input_that_cannot_be_streamed_is_named_in_the_error(tmp_path):
    np.savez(tmp_path / "p.npz", images=np.random.default_rng(0).integers(0, 255, (50, 8, 8)).astype(np.uint8), labels=np.arange(50) % 2)
    with pytest.raises(UsageError, match=r"--memory 50MB: the scan needs about .*, as pictures in npz are read as a whole"):
        zcurate.scan(str(tmp_path / "p.npz"), memory="50MB")


def test_rows_stay_in_memory_without_a_limit_and_below_one(parts):
    data = discovery.locate(str(parts[0]), None)
    progress = NoProgress()
    assert storage_policy.too_large(data, ScanOptions(), progress) is None
    assert storage_policy.too_large(data, ScanOptions(memory="64GB"), progress) is None


def test_a_machine_with_too_little_memory_is_a_note(parts, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    found = storage_policy.too_large(discovery.locate(str(parts[0]), None), ScanOptions(), NoProgress())
    assert found is not None and "rows are kept in files" in found.note


def test_the_files_are_gone_after_errors(parts, small_limit, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(blocks, "judge_by_blocks", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scan_memory_mapped(parts[0], epochs=3, model=quick)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [-10, 10])
def test_an_input_that_changes_during_the_scan_is_refused(more, parts, small_limit, tmp_path, monkeypatch, quick):
    folder, table, _ = parts
    data, judge_all = shutil.copytree(folder, tmp_path / "data"), blocks.judge_by_blocks

    def change_input(*arguments):
        pq.write_table(pa.concat_tables([table, table]).slice(1200, table.num_rows - 1200 + more), data / "part-2.parquet")
        return judge_all(*arguments)

    monkeypatch.setattr(blocks, "judge_by_blocks", change_input)
    with pytest.raises(InputError, match="changed while it was read — expected an input that stays"):
        scan_memory_mapped(data, epochs=3, model=quick, output=str(tmp_path / "r.parquet"))
    assert not (tmp_path / "r.parquet").exists()


@pytest.mark.slow
def test_the_files_are_gone_after_an_interruption(tmp_path):
    table, _ = example_table(60_000)
    pq.write_table(table, tmp_path / "t.parquet")
    program = "from zcurate.pipeline import cost_model; from zcurate.cli import app\ncost_model.min_bytes = lambda plan, shape: 0\napp.program()"
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    arguments = ["scan", str(tmp_path / "t.parquet"), "--memory", "1MB", "--epochs", "500"]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        for _ in range(300):
            if any(name.startswith("zcurate-rows-") for name in os.listdir(folder)):
                break
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert os.listdir(folder) == []


def test_sizes():
    from zcurate.config.units import parse_size

    assert [parse_size(text) for text in ("500MB", "4GB", "2GiB", "1.5 gb", "100", None)] == [500_000_000, 4_000_000_000, 2 << 30, 1_500_000_000, 100, None]
    for bad in ("much", "-3GB", "0", "4XB"):
        with pytest.raises(UsageError, match=f"--memory: '{bad}' is not a size"):
            ScanOptions(memory=bad).check()


def test_text_found_after_the_preview_is_refused_out_of_core(tmp_path):
    words = np.random.default_rng(0)
    lines = [" ".join(words.choice(["a", "bb", "ccc", "dd", "e"], 6)) + f" {at}" for at in range(2000)]
    table = pa.table({"x": words.normal(size=2000), "t": lines, "label": ["u", "v"] * 1000})
    pq.write_table(table, tmp_path / "t.parquet")
    source, options = discovery.locate(str(tmp_path / "t.parquet"), None), ScanOptions()
    with pytest.raises(InputError, match="column 't' is text"):
        profile.refuse_text(profile.profile_table(source, preview.preview_input(source, options), options).sample)


@pytest.fixture(scope="module")
def few_pictures(tmp_path_factory):
    """300 pictures of two kinds in a folder, one in ten in the wrong one; and a model for them."""
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for kind in ("dark", "light"):
        (folder / "d" / kind).mkdir(parents=True)
    for at in range(300):
        pixels = rng.integers(0, 90, (12, 12), dtype=np.uint8)
        light = rng.random() < 0.5
        pixels[3:9, 3:9] += np.uint8(100 * light)
        Image.fromarray(pixels).save(folder / "d" / ("light" if light != (rng.random() < 0.1) else "dark") / f"{at}.png")
    (folder / "m.toml").write_text('name = "resnet"\nhidden = [16, 16, 16]\nrounds = 1\nfolds = 2\n')
    return folder


@pytest.mark.slow
def test_memory_mapped_pictures_are_judged_as_in_memory(few_pictures, small_limit, monkeypatch, tmp_path):
    monkeypatch.setattr(images, "DECODE_ROWS", 70)
    trained = []
    monkeypatch.setattr(rounds, "train", lambda encoded, *rest, real=rounds.train: (trained.append(encoded), real(encoded, *rest))[1])
    settings = {"model": str(few_pictures / "m.toml"), "epochs": 3}
    resident = zcurate.scan(str(few_pictures / "d"), **settings)
    mapped = scan_memory_mapped(few_pictures / "d", BlockSizes(move_rows=70), **settings)
    assert resident.table.equals(mapped.table)
    assert trained[0].image_store.resident and sum(one.nbytes for one in trained[1].image_store.arrays) == 2 * 300 * 144
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in sorted((few_pictures / "d").rglob("*.png"))))
    listed = zcurate.scan(str(manifest), memory="1MB", **settings)
    assert sorted(listed.table.column("p_incorrect").to_pylist()) == sorted(resident.table.column("p_incorrect").to_pylist())


def test_memory_mapped_pictures_are_trained_on_segment_by_segment(few_pictures, small_limit):
    sizes = BlockSizes(segment_block_rows=16, segment_rows=64, segment_bytes=1)
    found = scan_memory_mapped(few_pictures / "d", sizes, model=str(few_pictures / "m.toml"), epochs=6)
    # All but the planted rows, which are described by one held-out prediction.
    assert np.bincount(found.table.column("n_seen").to_numpy()).tolist() == [0, 12, 0, 0, 0, 0, 288]
    assert found.counts()["incorrect"] > 5


def test_remote_parquet_is_streamed(parts, small_limit, quick, monkeypatch, memory_protocol):
    folder, table, wrong = parts
    remote = fsspec.filesystem("memory")
    remote.put(str(folder), "/parts", recursive=True)
    monkeypatch.setattr(sizes, "SMALL_BYTES", 1000)
    found = scan_memory_mapped("memory://parts/", epochs=10, model=quick, label="label", id="key")
    remote.rm("/parts", recursive=True)
    assert found.card["in_pieces"] and found.table.column("id").to_pylist() == table.column("key").to_pylist()
    assert auroc(-found.table.column("rank").to_numpy(), wrong) > 0.8


def test_a_large_report_is_written_chunk_by_chunk(parts, quick, tmp_path):
    _, table, _ = parts
    whole = tmp_path / "t.parquet"
    pq.write_table(table, whole)
    settings = {"epochs": 3, "model": quick, "label": "label", "id": "key"}
    at_once = zcurate.scan(str(whole), output=str(tmp_path / "a.zcurate.parquet"), **settings)
    options = api.options_from({"output": str(tmp_path / "b.zcurate.parquet"), **settings})
    in_turn = scan.run_scan(str(whole), options, RunContext(store=InMemoryStore(BlockSizes(report_rows=700, min_chunked_rows=0))))
    assert pq.ParquetFile(tmp_path / "b.zcurate.parquet").metadata.num_row_groups == 5
    for name in at_once.table.column_names:
        assert at_once.table.column(name).to_pylist() == in_turn.table.column(name).to_pylist(), name
    # Rows that could not be read have no evidence: such a report is built as a whole.
    (tmp_path / "t.csv").write_text("x,label\n" + "".join(f"{at % 7}{',b,c' if at == 5 else ',' + 'ab'[at % 2]}\n" for at in range(400)))
    found = zcurate.scan(str(tmp_path / "t.csv"), output=str(tmp_path / "c.zcurate.parquet"), epochs=3, model=quick)
    assert found.counts()["skipped"] == 1 and len(found) == 400


class ThreadGroup:
    """Two processes simulated by two threads."""

    def __init__(self, rank, slots, barrier):
        self.rank, self.size, self.slots, self.barrier = rank, 2, slots, barrier

    def gathered(self, thing):
        self.slots[self.rank] = thing
        self.barrier.wait(20)
        found = list(self.slots)
        self.barrier.wait(20)
        return found

    def gather_arrays(self, x):
        yield from self.gathered(x)


def run_in_two(work):
    """Collect what `work(processes)` returns, or raises, in each of two processes."""
    slots, barrier = [None, None], threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, ThreadGroup(rank, slots, barrier)) for rank in (0, 1)]
        return [future.exception() or future.result() for future in futures]


def test_two_processes_read_alternate_splits_and_agree_on_the_profile(parts, tmp_path):
    _, table, _ = parts
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=400)
    source, options = discovery.locate(str(tmp_path / "t.parquet"), None), ScanOptions(id="key", label="label")
    single = profile.profile_table(source, preview.preview_input(source, options), options)
    both = run_in_two(lambda processes: profile.profile_table(source, preview.preview_input(source, options), options, processes))
    assert [[split.begin for split in one.splits] for one in both] == [[0, 800, 1600, 2400], [400, 1200, 2000, 2800]]
    assert [one.n_local_rows for one in both] == [1600, 1400] and {one.sample.n_rows for one in both} == {N}
    for one in both:
        assert one.counts == single.counts and one.sample.task == single.sample.task and one.sample.roles == single.sample.roles
        assert one.sample.table.equals(both[0].sample.table)
        keys = pa.Table.from_batches(list(one.batches(["key"]))).column("key").to_pylist()
        assert keys == [key for split in one.splits for key in table.column("key").to_pylist()[split.begin : split.begin + split.n_rows]]


def test_an_error_of_one_process_is_raised_in_all(parts, tmp_path):
    folder, *_ = parts
    shutil.copytree(folder, tmp_path / "d")
    source, options = discovery.locate(str(tmp_path / "d"), None), ScanOptions(label="label")
    seen = preview.preview_input(source, options)
    whole = (tmp_path / "d" / "part-2.parquet").read_bytes()
    (tmp_path / "d" / "part-2.parquet").write_bytes(whole[: len(whole) // 2])
    for error in run_in_two(lambda processes: profile.profile_table(source, seen, options, processes)):
        assert isinstance(error, InputError) and "part-2.parquet: not a whole Parquet file" in str(error)


def test_fewer_splits_than_processes_are_refused(parts, tmp_path):
    pq.write_table(parts[1], tmp_path / "t.parquet")
    source, options = discovery.locate(str(tmp_path / "t.parquet"), None), ScanOptions(label="label")
    for error in run_in_two(lambda processes: profile.profile_table(source, preview.preview_input(source, options), options, processes)):
        assert isinstance(error, UsageError) and "1 row groups or files for 2 processes" in str(error)


def test_ranks_of_two_processes_are_ranks_among_all():
    rng = np.random.default_rng(0)
    p = np.round(rng.random(200), 2).astype(np.float32)
    code = np.where(rng.random(200) < 0.1, VERDICTS.index("unlabelled"), 0)
    halves = [slice(0, 80), slice(80, 200)]

    def ranked(processes):
        part = halves[processes.rank]
        one = SimpleNamespace(p_incorrect=p[part], p_outlier=np.zeros(part.stop - part.start, np.float32), code=code[part])
        rank = ranks.rank_rows(np.arange(len(one.code)), one.p_incorrect, one.p_outlier, one.p_outlier, one.code > 0)
        ranks.rank_across(rank, one, processes)
        return rank

    found = np.concatenate(run_in_two(ranked))
    labelled = code == 0
    assert (found[~labelled] == 0).all()
    assert sorted(found[labelled]) == list(range(1, labelled.sum() + 1))
    assert (np.diff(p[np.argsort(np.where(labelled, found, 999), kind="stable")][: labelled.sum()]) <= 0).all()


@pytest.mark.slow
def test_two_processes_that_read_different_rows_write_one_report(tmp_path, quick):
    table, wrong = example_table(6000)
    order = np.argsort(table.column("label").to_pylist(), kind="stable")
    table, wrong = table.take(pa.array(order)), wrong[order]
    (tmp_path / "d").mkdir()
    for at in range(3):
        pq.write_table(table.slice(2000 * at, 2000), tmp_path / "d" / f"part-{at}.parquet", row_group_size=500)
    out = tmp_path / "r.zcurate.parquet"
    program = "from zcurate.pipeline import cost_model; from zcurate.cli import app; cost_model.min_bytes = lambda plan, shape: 0; app.program()"
    arguments = ["scan", str(tmp_path / "d"), "--label", "label", "--id", "key", "--memory", "1MB", "--epochs", "12", "--model", quick, "-o", str(out)]
    done = run_processes(2, "-c", program, *arguments)
    assert [bool(err) for _, err, _ in done] == [True, False]
    assert sorted(os.listdir(out))[0] == "part-00000-of-00012.parquet" and len(os.listdir(out)) == 12
    found = storage.load(str(out))
    for name, column in (("row", list(range(6000))), ("id", table.column("key").to_pylist()), ("given", table.column("label").to_pylist())):
        assert found.table.column(name).to_pylist() == column
    rank = found.table.column("rank").to_numpy()
    assert sorted(rank) == list(range(1, 6001))
    assert auroc(-rank, wrong) > 0.9
    n_flagged = found.counts()["incorrect"]
    assert sum(one["rows"] for one in found.card["classes"]) == 6000 and sum(one["incorrect"] for one in found.card["classes"]) == n_flagged
    assert found.card["processes"] == 2 and 300 < n_flagged < 1200
    # Once more, over the existing report, and over a report in one file.
    run_processes(2, "-c", program, *arguments)
    shutil.rmtree(out)
    report.Report(found.table, found.card).save(str(out))
    run_processes(2, "-c", program, *arguments)
    assert out.is_dir() and not [name for name in os.listdir(tmp_path) if name.startswith(".zcurate")]
