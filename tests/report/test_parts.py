"""Reports in parts: read as one, whole or not at all, and what is missing is named."""

from __future__ import annotations

import os

import pyarrow.parquet as pq
import pytest

from tests.report.test_report import small
from zcurate.data import partitions
from zcurate.errors import ReportError, UsageError
from zcurate.report import atomic, parts, report, storage
from zcurate.report.report import Report


def counted(n=12, path="/data/a.csv"):
    whole = small(n, path)
    whole.card["input"]["rows"] = n
    return whole


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "a.zcurate.parquet"
    parts.save_parts(counted(), str(where), 5)
    return where


def test_a_report_in_parts_comes_back_as_one(folder, tmp_path):
    assert sorted(os.listdir(folder)) == [partitions.part_name(k, 5) for k in range(5)]
    assert os.listdir(tmp_path) == ["a.zcurate.parquet"]
    after = storage.load(f"{folder}/")
    assert after.table.to_pydict() == counted().table.to_pydict()
    assert after.card == counted().card
    assert after.counts() == counted().counts()
    assert after.top(3).to_pydict() == counted().top(3).to_pydict()


@pytest.mark.parametrize("n_parts", [1, 12, 15])
def test_any_number_of_parts_will_do(tmp_path, n_parts):
    parts.save_parts(counted(), str(tmp_path / "r"), n_parts)
    assert storage.load(str(tmp_path / "r")).table.to_pydict() == counted().table.to_pydict()


def test_processes_write_their_own_parts(tmp_path):
    whole = counted()
    for k in (2, 0):
        parts.write_part(Report(whole.table.slice(4 * k, 4), whole.card), str(tmp_path), k, 3)
    with pytest.raises(ReportError, match="part-00001-of-00003.parquet is missing"):
        storage.load(str(tmp_path))
    parts.write_part(Report(whole.table.slice(4, 4), whole.card), str(tmp_path), 1, 3)
    assert storage.load(str(tmp_path)).table.to_pydict() == whole.table.to_pydict()


@pytest.mark.parametrize(("gone", "message"), [(0, "part-00000-of-00005"), (2, "part-00002-of-00005"), (4, "part-00004-of-00005")])
def test_a_missing_part_is_named(folder, gone, message):
    (folder / partitions.part_name(gone, 5)).unlink()
    with pytest.raises(ReportError, match=f"{message}.parquet is missing"):
        storage.load(str(folder))


@pytest.mark.parametrize(("gone", "message"), [("p-0", "p-1.parquet: begins with row 4 — expected row 0"), ("p-1", "p-2.parquet: begins with row 8 — expected row 4"),
                                               ("p-2", "p-1.parquet: ends after 8 of 12 rows")])  # fmt: skip
def test_a_missing_part_without_number_is_told_by_its_rows(tmp_path, gone, message):
    whole = counted()
    for k in range(3):
        Report(whole.table.slice(4 * k, 4), whole.card).save(str(tmp_path / f"p-{k}.parquet"))
    (tmp_path / f"{gone}.parquet").unlink()
    with pytest.raises(ReportError, match=message):
        storage.load(str(tmp_path))


def test_a_part_of_another_scan_is_named(folder):
    other = counted()
    other.card["seed"] = 7
    Report(other.table.slice(2, 2), other.card).save(str(folder / partitions.part_name(1, 5)))
    with pytest.raises(ReportError, match=r"part-00001-of-00005.parquet: its run card is not that of .*part-00000-of-00005.parquet"):
        storage.load(str(folder))


def test_a_folder_that_is_no_report_says_so(tmp_path):
    with pytest.raises(ReportError, match="no parquet files in this folder"):
        storage.load(str(tmp_path))
    pq.write_table(small().table, tmp_path / "part-0.parquet")
    with pytest.raises(ReportError, match="part-0.parquet: a Parquet file but no report"):
        storage.load(str(tmp_path))
    (tmp_path / "part-0.parquet").write_bytes(b"rubbish")
    with pytest.raises(ReportError, match="part-0.parquet: not a Parquet file"):
        storage.load(str(tmp_path))


def test_what_a_folder_is_can_be_told(folder, tmp_path):
    other = folder.rename(tmp_path / "mine")
    assert storage.is_report(str(other))
    assert not storage.is_report(str(tmp_path))
    (tmp_path / "data").mkdir()
    pq.write_table(small().table, tmp_path / "data" / "part-0.parquet")
    assert not storage.is_report(str(tmp_path / "data"))


def test_a_report_of_the_same_input_is_replaced_and_nothing_else(folder, tmp_path):
    parts.save_parts(counted(8), str(folder), 2)
    assert sorted(os.listdir(folder)) == [partitions.part_name(k, 2) for k in range(2)]
    assert len(storage.load(str(folder))) == 8
    with pytest.raises(UsageError, match="is a report of /data/a.csv — nothing was written"):
        parts.save_parts(counted(path="/data/b.csv"), str(folder), 2)
    parts.save_parts(counted(path="/data/b.csv"), str(folder), 3, force=True)
    assert storage.load(str(folder)).card["input"]["path"] == "/data/b.csv"
    (tmp_path / "plain").mkdir()
    pq.write_table(small().table, tmp_path / "plain" / "part-0.parquet")
    with pytest.raises(UsageError, match="exists and is no report"):
        parts.save_parts(counted(), str(tmp_path / "plain"), 2)
    assert sorted(os.listdir(tmp_path)) == ["a.zcurate.parquet", "plain"]


def test_a_folder_with_anything_else_in_it_is_never_replaced(folder, tmp_path):
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds notes.txt — nothing was written"):
        parts.save_parts(counted(), str(folder), 2, force=True)
    data = tmp_path / "data"
    data.mkdir()
    pq.write_table(small().table, data / "part-0.parquet")
    for path in (data, data / "part-0.parquet"):
        with pytest.raises(UsageError, match="is the input itself|holds the input"):
            parts.save_parts(counted(path=str(path)), str(data), 2, force=True)
    with pytest.raises(UsageError, match="is a file"):
        parts.save_parts(counted(), str(data / "part-0.parquet"), 2)
    with pytest.raises(UsageError, match="is written on this machine"):
        parts.save_parts(counted(), "s3://bucket/r", 2)
    with pytest.raises(UsageError, match="cannot be written"):
        parts.save_parts(counted(), str(tmp_path / "gone" / "r"), 2)


@pytest.mark.parametrize("at", ["write_table", "rename"])
def test_a_failed_save_leaves_the_old_report_and_no_half(folder, tmp_path, monkeypatch, at):
    before = storage.load(str(folder)).table
    calls = []
    real = getattr(report.pq if at == "write_table" else parts.os, at)

    def fails(*args, **more):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(report.pq if at == "write_table" else parts.os, at, fails)
    with pytest.raises(KeyboardInterrupt):
        parts.save_parts(counted(8), str(folder), 3)
    assert os.listdir(tmp_path) == ["a.zcurate.parquet"]
    assert storage.load(str(folder)).table.equals(before)


def test_nothing_is_written_over_a_part(folder):
    with pytest.raises(UsageError, match="is the report itself, or a part of it"):
        atomic.guard(str(folder / partitions.part_name(1, 5)), [str(folder)])
    atomic.guard(str(folder / "new.csv"), [str(folder)])


def test_the_newest_report_may_be_a_folder(folder, tmp_path):
    small().save(str(tmp_path / "b.zcurate.parquet"))
    os.utime(tmp_path / "b.zcurate.parquet", (1, 1))
    assert storage.newest(str(tmp_path)) == str(folder)
