"""Scans whose rows lie in files: the same verdicts as in memory, in the input's order, and nothing left behind."""

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
from tests.runtime.test_process_group import together_do
from zcurate.config.options import ScanOptions
from zcurate.config.verdicts import VERDICTS
from zcurate.data import discovery, images, inputs, preview, profile, table
from zcurate.encoding import encoder, shuffle
from zcurate.encoding import images as images_encoding
from zcurate.errors import InputError, UsageError
from zcurate.judge import blocks
from zcurate.pipeline import cost_model, plan, scan, storage_policy
from zcurate.report import ranks, report, storage, writer
from zcurate.runtime.progress import NoProgress
from zcurate.runtime.store import temporary_store
from zcurate.training import folds, rounds, sampler

N = 3000


def made(n_rows=N, seed=0):
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
    """Any limit will do, and pieces are small."""
    monkeypatch.setattr(cost_model, "min_bytes", lambda plan, shape: 0)
    monkeypatch.setattr(table, "BATCH_ROWS", 500)
    monkeypatch.setattr(writer, "CHUNK_ROWS", 700)
    monkeypatch.setattr(shuffle, "BUCKET_ROWS", 800)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    path = tmp_path_factory.mktemp("quick") / "quick.toml"
    path.write_text("rounds = 1\nfolds = 2\nhidden = [48]\nbatch = 128\nensemble = []\n")
    return str(path)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    table, wrong = made()
    pq.write_table(table.slice(0, 1200), folder / "part-1.parquet")
    pq.write_table(table.slice(1200), folder / "part-2.parquet")
    return folder, table, wrong


def auroc(score, wrong):
    place = np.argsort(np.argsort(score))
    n = wrong.sum()
    return (place[wrong].sum() - n * (n - 1) / 2) / (n * (len(wrong) - n))


def stored_of(path, files, **settings):
    options = ScanOptions(**settings)
    where = discovery.locate(str(path), None)
    found = profile.profile_table(where, preview.preview_input(where, options), options)
    return found, shuffle.encode_shuffled(found, plan.make_plan(options, found.data).spec, files, torch.device("cpu"))


def test_rows_in_files_are_the_rows_in_memory(parts, small_limit):
    folder, _, _ = parts
    data = inputs.read_input(str(folder), ScanOptions(id="key"))
    inside = encoder.encode(data, plan.make_plan(ScanOptions(), data).spec, torch.device("cpu"))
    with temporary_store() as files:
        found, outside = stored_of(folder, files, id="key")
        order = torch.from_numpy(outside.row.copy())
        assert sorted(outside.row.tolist()) == list(range(N))
        assert outside.row.tolist() != list(range(N))
        torch.testing.assert_close(outside.x, inside.x[order])
        assert torch.equal(outside.codes, inside.codes[order])
        assert torch.equal(outside.y, inside.y[order])
        torch.testing.assert_close(outside.bin_start, inside.bin_start)
        assert found.data.n_rows == N


def test_the_report_is_that_of_a_scan_in_memory(parts, small_limit, tmp_path):
    folder, _, wrong = parts
    (tmp_path / "two.toml").write_text("rounds = 2\nfolds = 2\nensemble = []\n")
    same = {"id": "key", "epochs": 4, "model": str(tmp_path / "two.toml")}
    inside = zcurate.scan(str(folder), **same)
    outside = zcurate.scan(str(folder), **same, memory="1MB", output=str(tmp_path / "r.zcurate.parquet"))
    assert outside.card["in_pieces"]
    for name in ("row", "id", "given"):
        assert outside.table.column(name).to_pylist() == inside.table.column(name).to_pylist()
    assert list(outside.table.schema) == list(inside.table.schema)
    flags = [np.array(one.called("incorrect")) for one in (inside, outside)]
    assert (flags[0] == flags[1]).mean() > 0.97
    ranked = [auroc(-one.table.column("rank").to_numpy(), wrong) for one in (inside, outside)]
    assert abs(ranked[0] - ranked[1]) < 0.02
    assert sorted(outside.table.column("rank").to_pylist()) == list(range(1, N + 1))
    suspicion = (outside.table.column("p_incorrect").to_numpy() + outside.table.column("p_outlier").to_numpy())[
        np.argsort(outside.table.column("rank").to_numpy())
    ]
    assert (np.diff(suspicion) <= 1e-6).all()
    assert sum(entry["rows"] for entry in outside.card["classes"]) == N
    assert sum(entry["incorrect"] for entry in outside.card["classes"]) == outside.counts()["incorrect"]
    assert storage.load(str(tmp_path / "r.zcurate.parquet")).table.equals(outside.table)


def test_a_regression_is_scanned_in_pieces(small_limit, tmp_path, quick):
    table, _ = made(2000)
    target = np.nan_to_num(table.column("f0").to_numpy()) * 3 + 0.01
    target[::50] += 20
    pq.write_table(table.drop_columns(["label", "key"]).append_column("target", pa.array(target)), tmp_path / "t.parquet")
    found = zcurate.scan(str(tmp_path / "t.parquet"), memory="1MB", epochs=6, model=quick)
    assert found.card["task"]["kind"] == "regression"
    np.testing.assert_allclose(found.table.column("given").to_numpy(), target)
    assert np.array(found.called("incorrect"))[::50].mean() > 0.8


def test_csv_and_blocks_of_the_judge(small_limit, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 900)
    table, wrong = made()
    pyarrow.csv.write_csv(table, tmp_path / "t.csv")
    found = zcurate.scan(str(tmp_path / "t.csv"), id="key", memory="1MB", epochs=6, model=quick)
    assert found.table.column("id").to_pylist() == table.column("key").to_pylist()
    assert auroc(-found.table.column("rank").to_numpy(), wrong) > 0.9
    few = zcurate.scan(str(tmp_path / "t.csv"), id="key", memory="1MB", epochs=6, model=quick, budget=50)
    assert 45 <= few.counts()["incorrect"] <= 50


def test_every_row_is_visited_once_whatever_the_segments(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setattr(sampler, "BLOCK_ROWS", 10)
    n_rows, parts = 1003, []
    for part in range(4):
        blocks = sampler.segment_blocks(n_rows, part, 4, torch.Generator().manual_seed(3))
        parts.append(torch.cat([sampler.rows_of_blocks(blocks, shard) for shard in (slice(0, 400), slice(400, 405), slice(405, n_rows))]))
        assert (parts[-1].diff() > 0).all()
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(n_rows))
    assert not torch.equal(parts[0], sampler.rows_of_blocks(sampler.segment_blocks(n_rows, 0, 4, generator), slice(0, n_rows)))


def test_an_array_is_filled_window_by_window(monkeypatch):
    monkeypatch.setattr(ranks, "WINDOW_ROWS", 64)
    at = np.random.default_rng(0).permutation(1003)
    with temporary_store() as files:
        out = files.zeros((1003,), np.int64)
        ranks.scatter_windows(out, at, lambda part: np.arange(part.start, part.stop) + 5, files)
        assert (out[at] == np.arange(1003) + 5).all()
        monkeypatch.setattr(blocks, "MAX_MAPPED_BYTES", 1 << 16)
        rows = np.sort(at[:300])
        big = files.copy(np.arange(40_000.0).reshape(-1, 2))
        np.testing.assert_array_equal(blocks.gather(big, rows, files), big[rows])


def test_dealt_folds_are_even_in_each_class():
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
    assert table.cast_column(pa.array(["1", "x", None, "2.5"]), pa.float64()).to_pylist() == [1.0, None, None, 2.5]
    assert table.cast_column(pa.array(["true", "no"]), pa.bool_()).to_pylist() == [True, None]
    assert table.cast_column(pa.array([1, 2]), pa.float64()).to_pylist() == [1.0, 2.0]


def test_a_sample_is_even_and_in_order(monkeypatch):
    monkeypatch.setattr(profile, "SAMPLE_ROWS", 1000)
    rng, sample = np.random.default_rng(0), profile.ReservoirSample()
    for begin in range(0, 50_000, 500):
        sample.add(pa.table({"at": np.arange(begin, begin + 500)}), rng)
    at = sample.table().column("at").to_numpy()
    assert len(at) == 1000
    assert (np.diff(at) > 0).all()
    assert abs(at.mean() - 25_000) < 1500


def test_a_limit_that_is_too_small_says_what_is_needed(parts):
    with pytest.raises(UsageError, match=r"--memory 100MB: the scan needs about .* even piece by piece — expected at least that much — try --memory \d+MB"):
        zcurate.scan(str(parts[0]), memory="100MB")


def test_what_is_read_as_a_whole_says_so(tmp_path):
    np.savez(tmp_path / "p.npz", images=np.random.default_rng(0).integers(0, 255, (50, 8, 8)).astype(np.uint8), labels=np.arange(50) % 2)
    with pytest.raises(UsageError, match=r"--memory 50MB: the scan needs about .*, as pictures in npz are read as a whole"):
        zcurate.scan(str(tmp_path / "p.npz"), memory="50MB")


def test_without_a_limit_and_below_one_nothing_changes(parts):
    data = str(parts[0])
    progress = NoProgress()
    assert storage_policy.too_large(data, ScanOptions(), progress) is None
    assert storage_policy.too_large(data, ScanOptions(memory="64GB"), progress) is None


def test_a_machine_that_is_too_small_is_told_of(parts, monkeypatch):
    monkeypatch.setattr(cost_model, "available_bytes", lambda: 1000)
    said = []
    progress = NoProgress()
    monkeypatch.setattr(progress, "note", said.append)
    assert storage_policy.too_large(str(parts[0]), ScanOptions(), progress) is not None
    assert "rows are kept in files" in said[0]


def test_the_files_are_gone_after_errors(parts, small_limit, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(blocks, "judge_by_blocks", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        zcurate.scan(str(parts[0]), memory="1MB", epochs=3, model=quick)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [-10, 10])
def test_an_input_with_other_rows_at_the_end_than_at_the_beginning_is_refused(more, parts, small_limit, tmp_path, monkeypatch, quick):
    folder, table, _ = parts
    data, judge_all = shutil.copytree(folder, tmp_path / "data"), blocks.judge_by_blocks

    def meanwhile(*given):
        pq.write_table(pa.concat_tables([table, table]).slice(1200, table.num_rows - 1200 + more), data / "part-2.parquet")
        return judge_all(*given)

    monkeypatch.setattr(blocks, "judge_by_blocks", meanwhile)
    with pytest.raises(InputError, match="data: other rows than when the scan began — expected"):
        zcurate.scan(str(data), memory="1MB", epochs=3, model=quick, output=str(tmp_path / "r.parquet"))
    assert not (tmp_path / "r.parquet").exists()


@pytest.mark.slow
def test_the_files_are_gone_after_an_interruption(tmp_path):
    table, _ = made(60_000)
    pq.write_table(table, tmp_path / "t.parquet")
    program = "from zcurate.pipeline import cost_model; from zcurate.cli import app\ncost_model.min_bytes = lambda plan, shape: 0\napp.program()"
    room = tmp_path / "room"
    room.mkdir()
    environment = {**os.environ, "TMPDIR": str(room), "PYTHONPATH": str(ROOT)}
    words = ["scan", str(tmp_path / "t.parquet"), "--memory", "1MB", "--epochs", "500"]
    with subprocess.Popen([sys.executable, "-c", program, *words], cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        for _ in range(300):
            if any(name.startswith("zcurate-rows-") for name in os.listdir(room)):
                break
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert os.listdir(room) == []


def test_sizes():
    from zcurate.config.units import parse_size

    assert [parse_size(text) for text in ("500MB", "4GB", "2GiB", "1.5 gb", "100", None)] == [500_000_000, 4_000_000_000, 2 << 30, 1_500_000_000, 100, None]
    for bad in ("much", "-3GB", "0", "4XB"):
        with pytest.raises(UsageError, match=f"--memory: '{bad}' is no size"):
            ScanOptions(memory=bad).check()


def test_text_that_only_later_rows_show_is_refused_in_pieces(tmp_path):
    words = np.random.default_rng(0)
    lines = [" ".join(words.choice(["a", "bb", "ccc", "dd", "e"], 6)) + f" {at}" for at in range(2000)]
    table = pa.table({"x": words.normal(size=2000), "t": lines, "label": ["u", "v"] * 1000})
    pq.write_table(table, tmp_path / "t.parquet")
    where, options = discovery.locate(str(tmp_path / "t.parquet"), None), ScanOptions()
    with pytest.raises(InputError, match="column 't' is text"):
        profile.profile_table(where, preview.preview_input(where, options), options)


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


def test_pictures_in_a_file_are_judged_as_in_memory(few_pictures, small_limit, monkeypatch, tmp_path):
    monkeypatch.setattr(images_encoding, "MOVE_ROWS", 70)
    monkeypatch.setattr(images, "DECODE_ROWS", 70)
    kept = []
    monkeypatch.setattr(rounds, "train", lambda encoded, *rest, real=rounds.train: (kept.append(encoded), real(encoded, *rest))[1])
    settings = {"model": str(few_pictures / "m.toml"), "epochs": 3}
    inside = zcurate.scan(str(few_pictures / "d"), **settings)
    outside = zcurate.scan(str(few_pictures / "d"), memory="1MB", **settings)
    assert inside.table.equals(outside.table)
    assert kept[0].mapped is None and sum(one.nbytes for one in kept[1].mapped.held) == 2 * 300 * 144
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in sorted((few_pictures / "d").rglob("*.png"))))
    listed = zcurate.scan(str(manifest), memory="1MB", **settings)
    assert sorted(listed.table.column("p_incorrect").to_pylist()) == sorted(inside.table.column("p_incorrect").to_pylist())


def test_pictures_in_a_file_are_learned_segment_by_segment(few_pictures, small_limit, monkeypatch):
    monkeypatch.setattr(sampler, "BLOCK_ROWS", 16)
    monkeypatch.setattr(sampler, "SEGMENT_ROWS", 64)
    monkeypatch.setattr(sampler, "SEGMENT_BYTES", 1)
    found = zcurate.scan(str(few_pictures / "d"), memory="1MB", model=str(few_pictures / "m.toml"), epochs=6)
    # All but the rows that were shown a planted label, which are described by one held-out answer.
    assert np.bincount(found.table.column("n_seen").to_numpy()).tolist() == [0, 12, 0, 0, 0, 0, 288]
    assert found.counts()["incorrect"] > 5


def test_parquet_at_an_address_is_read_in_pieces(parts, small_limit, quick, monkeypatch):
    folder, table, wrong = parts
    far = fsspec.filesystem("memory")
    far.put(str(folder), "/pieces", recursive=True)
    monkeypatch.setattr(preview, "SMALL_BYTES", 1000)
    found = zcurate.scan("memory://pieces/", memory="1MB", epochs=10, model=quick, label="label", id="key")
    far.rm("/pieces", recursive=True)
    assert found.card["in_pieces"] and found.table.column("id").to_pylist() == table.column("key").to_pylist()
    assert auroc(-found.table.column("rank").to_numpy(), wrong) > 0.8


def test_a_large_report_is_written_as_it_is_made(parts, quick, tmp_path, monkeypatch):
    _, table, _ = parts
    whole = tmp_path / "t.parquet"
    pq.write_table(table, whole)
    settings = {"epochs": 3, "model": quick, "label": "label", "id": "key"}
    at_once = zcurate.scan(str(whole), output=str(tmp_path / "a.zcurate.parquet"), **settings)
    monkeypatch.setattr(scan, "LARGE_REPORT", 0)
    monkeypatch.setattr(writer, "CHUNK_ROWS", 700)
    in_turn = zcurate.scan(str(whole), output=str(tmp_path / "b.zcurate.parquet"), **settings)
    assert pq.ParquetFile(tmp_path / "b.zcurate.parquet").metadata.num_row_groups == 5
    for name in at_once.table.column_names:
        assert at_once.table.column(name).to_pylist() == in_turn.table.column(name).to_pylist(), name
    # Rows that could not be read have no place in the evidence: such a report is made as a whole.
    (tmp_path / "t.csv").write_text("x,label\n" + "".join(f"{at % 7}{',b,c' if at == 5 else ',' + 'ab'[at % 2]}\n" for at in range(400)))
    found = zcurate.scan(str(tmp_path / "t.csv"), output=str(tmp_path / "c.zcurate.parquet"), epochs=3, model=quick)
    assert found.counts()["skipped"] == 1 and len(found) == 400


class Two:
    """Two processes played by two threads."""

    def __init__(self, rank, board, barrier):
        self.rank, self.size, self.board, self.barrier = rank, 2, board, barrier

    def gathered(self, thing):
        self.board[self.rank] = thing
        self.barrier.wait(20)
        found = list(self.board)
        self.barrier.wait(20)
        return found

    def each(self, x):
        yield from self.gathered(x)


def by_two(work):
    """What `work(others)` returns, or raises, in each of two processes."""
    board, barrier = [None, None], threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, Two(rank, board, barrier)) for rank in (0, 1)]
        return [future.exception() or future.result() for future in futures]


def test_two_readers_take_the_units_in_turn_and_know_the_same(parts, tmp_path):
    _, table, _ = parts
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=400)
    where, options = discovery.locate(str(tmp_path / "t.parquet"), None), ScanOptions(id="key", label="label")
    alone = profile.profile_table(where, preview.preview_input(where, options), options)
    both = by_two(lambda others: profile.profile_table(where, preview.preview_input(where, options), options, others))
    assert [[unit.begin for unit in one.splits] for one in both] == [[0, 800, 1600, 2400], [400, 1200, 2000, 2800]]
    assert [one.n_local_rows for one in both] == [1600, 1400] and {one.data.n_rows for one in both} == {N}
    for one in both:
        assert one.counts == alone.counts and one.data.task == alone.data.task and one.data.roles == alone.data.roles
        assert one.data.table.equals(both[0].data.table)
        mine = pa.Table.from_batches(list(one.batches(["key"]))).column("key").to_pylist()
        assert mine == [key for unit in one.splits for key in table.column("key").to_pylist()[unit.begin : unit.begin + unit.n_rows]]


def test_what_one_reader_meets_all_hear_of(parts, tmp_path):
    folder, *_ = parts
    shutil.copytree(folder, tmp_path / "d")
    where, options = discovery.locate(str(tmp_path / "d"), None), ScanOptions(label="label")
    seen = preview.preview_input(where, options)
    whole = (tmp_path / "d" / "part-2.parquet").read_bytes()
    (tmp_path / "d" / "part-2.parquet").write_bytes(whole[: len(whole) // 2])
    for error in by_two(lambda others: profile.profile_table(where, seen, options, others)):
        assert isinstance(error, InputError) and "part-2.parquet: not a whole Parquet file" in str(error)


def test_fewer_units_than_processes_are_refused(parts, tmp_path):
    pq.write_table(parts[1], tmp_path / "t.parquet")
    where, options = discovery.locate(str(tmp_path / "t.parquet"), None), ScanOptions(label="label")
    for error in by_two(lambda others: profile.profile_table(where, preview.preview_input(where, options), options, others)):
        assert isinstance(error, UsageError) and "1 row groups or files for 2 processes" in str(error)


def test_ranks_of_two_processes_are_ranks_among_all():
    rng = np.random.default_rng(0)
    p = np.round(rng.random(200), 2).astype(np.float32)
    code = np.where(rng.random(200) < 0.1, VERDICTS.index("unlabelled"), 0)
    halves = [slice(0, 80), slice(80, 200)]

    def ranked(others):
        mine = halves[others.rank]
        one = SimpleNamespace(p_incorrect=p[mine], p_outlier=np.zeros(mine.stop - mine.start, np.float32), code=code[mine])
        rank = ranks.rank_rows(np.arange(len(one.code)), one.p_incorrect, one.p_outlier, one.p_outlier, one.code > 0)
        ranks.rank_across(rank, one, others)
        return rank

    found = np.concatenate(by_two(ranked))
    labelled = code == 0
    assert (found[~labelled] == 0).all()
    assert sorted(found[labelled]) == list(range(1, labelled.sum() + 1))
    assert (np.diff(p[np.argsort(np.where(labelled, found, 999), kind="stable")][: labelled.sum()]) <= 0).all()


@pytest.mark.slow
def test_two_processes_with_rows_of_their_own_write_one_report(tmp_path, quick):
    table, wrong = made(6000)
    order = np.argsort(table.column("label").to_pylist(), kind="stable")
    table, wrong = table.take(pa.array(order)), wrong[order]
    (tmp_path / "d").mkdir()
    for at in range(3):
        pq.write_table(table.slice(2000 * at, 2000), tmp_path / "d" / f"part-{at}.parquet", row_group_size=500)
    out = tmp_path / "r.zcurate.parquet"
    program = "from zcurate.pipeline import cost_model; from zcurate.cli import app; cost_model.min_bytes = lambda plan, shape: 0; app.program()"
    words = ["scan", str(tmp_path / "d"), "--label", "label", "--id", "key", "--memory", "1MB", "--epochs", "12", "--model", quick, "-o", str(out)]
    done = together_do(2, "-c", program, *words)
    assert [bool(err) for _, err, _ in done] == [True, False]
    assert sorted(os.listdir(out))[0] == "part-00000-of-00012.parquet" and len(os.listdir(out)) == 12
    found = storage.load(str(out))
    for name, column in (("row", list(range(6000))), ("id", table.column("key").to_pylist()), ("given", table.column("label").to_pylist())):
        assert found.table.column(name).to_pylist() == column
    rank = found.table.column("rank").to_numpy()
    assert sorted(rank) == list(range(1, 6001))
    assert auroc(-rank, wrong) > 0.9
    calls = found.counts()["incorrect"]
    assert sum(one["rows"] for one in found.card["classes"]) == 6000 and sum(one["incorrect"] for one in found.card["classes"]) == calls
    assert found.card["processes"] == 2 and 300 < calls < 1200
    # Once more, over the report that is there; a file in its place is one too.
    together_do(2, "-c", program, *words)
    shutil.rmtree(out)
    report.Report(found.table, found.card).save(str(out))
    together_do(2, "-c", program, *words)
    assert out.is_dir() and not [name for name in os.listdir(tmp_path) if name.startswith(".zcurate")]
