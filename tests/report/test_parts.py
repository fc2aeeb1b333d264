"""Reports in parts: read as one, complete or refused, with the missing part named."""

from __future__ import annotations

import os

import pyarrow.parquet as pq
import pytest

from tests.report.parted import save_parts, write_part
from tests.report.test_report import small
from zcurate.data import partitions
from zcurate.errors import ReportError, UsageError
from zcurate.report import atomic, parts, report, storage
from zcurate.report.report import Report


def report_of(n=12, path="/data/a.csv"):
    return small(n, path)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "a.zcurate.parquet"
    save_parts(report_of(), str(path), 5)
    return path


def test_a_report_in_parts_comes_back_as_one(folder, tmp_path):
    assert sorted(os.listdir(folder)) == [partitions.part_name(k, 5) for k in range(5)]
    assert os.listdir(tmp_path) == ["a.zcurate.parquet"]
    after = storage.load(f"{folder}/")
    assert after.table.to_pydict() == report_of().table.to_pydict()
    assert after.card == report_of().card
    assert after.counts() == report_of().counts()
    assert after.top(3).to_pydict() == report_of().top(3).to_pydict()


@pytest.mark.parametrize("n_parts", [1, 12, 15])
def test_any_number_of_parts_is_read(tmp_path, n_parts):
    save_parts(report_of(), str(tmp_path / "r"), n_parts)
    assert storage.load(str(tmp_path / "r")).table.to_pydict() == report_of().table.to_pydict()


def test_processes_write_their_own_parts(tmp_path):
    whole = report_of()
    for k in (2, 0):
        write_part(Report(whole.table.slice(4 * k, 4), whole.card), str(tmp_path), k, 3)
    with pytest.raises(ReportError, match="part-00001-of-00003.parquet is missing"):
        storage.load(str(tmp_path))
    write_part(Report(whole.table.slice(4, 4), whole.card), str(tmp_path), 1, 3)
    assert storage.load(str(tmp_path)).table.to_pydict() == whole.table.to_pydict()


@pytest.mark.parametrize(("removed", "message"), [(0, "part-00000-of-00005"), (2, "part-00002-of-00005"), (4, "part-00004-of-00005")])
def test_a_missing_part_is_named(folder, removed, message):
    (folder / partitions.part_name(removed, 5)).unlink()
    with pytest.raises(ReportError, match=f"{message}.parquet is missing"):
        storage.load(str(folder))


@pytest.mark.parametrize(("removed", "message"), [("p-0", "p-1.parquet: begins with row 4 — expected row 0"), ("p-1", "p-2.parquet: begins with row 8 — expected row 4"),
                                               ("p-2", "p-1.parquet: ends after 8 of 12 rows")])  # fmt: skip
def test_a_missing_part_without_a_number_is_found_by_its_rows(tmp_path, removed, message):
    whole = report_of()
    for k in range(3):
        Report(whole.table.slice(4 * k, 4), whole.card).save(str(tmp_path / f"p-{k}.parquet"))
    (tmp_path / f"{removed}.parquet").unlink()
    with pytest.raises(ReportError, match=message):
        storage.load(str(tmp_path))


def test_a_part_of_another_scan_is_named(folder):
    other = report_of()
    other.card["seed"] = 7
    Report(other.table.slice(2, 2), other.card).save(str(folder / partitions.part_name(1, 5)))
    with pytest.raises(ReportError, match=r"part-00001-of-00005.parquet: its run card is not that of .*part-00000-of-00005.parquet"):
        storage.load(str(folder))


def test_a_folder_without_a_report_is_refused(tmp_path):
    with pytest.raises(ReportError, match="is a folder, not a report"):
        storage.load(str(tmp_path))
    pq.write_table(small().table, tmp_path / "part-0.parquet")
    with pytest.raises(ReportError, match="part-0.parquet: is a table, not a report"):
        storage.load(str(tmp_path))
    (tmp_path / "part-0.parquet").write_bytes(b"rubbish")
    with pytest.raises(ReportError, match="part-0.parquet: not a Parquet file"):
        storage.load(str(tmp_path))


def test_a_folder_of_parts_is_recognized_as_a_report(folder, tmp_path):
    other = folder.rename(tmp_path / "mine")
    assert storage.is_report(str(other))
    assert not storage.is_report(str(tmp_path))
    (tmp_path / "data").mkdir()
    pq.write_table(small().table, tmp_path / "data" / "part-0.parquet")
    assert not storage.is_report(str(tmp_path / "data"))


def test_a_report_of_the_same_input_is_replaced_and_nothing_else(folder, tmp_path):
    save_parts(report_of(8), str(folder), 2)
    assert sorted(os.listdir(folder)) == [partitions.part_name(k, 2) for k in range(2)]
    assert len(storage.load(str(folder))) == 8
    with pytest.raises(UsageError, match="is a report of /data/a.csv — nothing was written"):
        save_parts(report_of(path="/data/b.csv"), str(folder), 2)
    save_parts(report_of(path="/data/b.csv"), str(folder), 3, force=True)
    assert storage.load(str(folder)).card["input"]["path"] == "/data/b.csv"
    (tmp_path / "plain").mkdir()
    pq.write_table(small().table, tmp_path / "plain" / "part-0.parquet")
    with pytest.raises(UsageError, match="exists and is no report"):
        save_parts(report_of(), str(tmp_path / "plain"), 2)
    assert sorted(os.listdir(tmp_path)) == ["a.zcurate.parquet", "plain"]


def test_a_folder_with_anything_else_in_it_is_never_replaced(folder, tmp_path):
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds notes.txt — nothing was written"):
        save_parts(report_of(), str(folder), 2, force=True)
    data = tmp_path / "data"
    data.mkdir()
    pq.write_table(small().table, data / "part-0.parquet")
    for path in (data, data / "part-0.parquet"):
        with pytest.raises(UsageError, match="is the input itself|holds the input"):
            save_parts(report_of(path=str(path)), str(data), 2, force=True)
    with pytest.raises(UsageError, match="is a file"):
        save_parts(report_of(), str(data / "part-0.parquet"), 2)
    with pytest.raises(UsageError, match="is written on this machine"):
        save_parts(report_of(), "s3://bucket/r", 2)
    with pytest.raises(UsageError, match="cannot be written"):
        save_parts(report_of(), str(tmp_path / "gone" / "r"), 2)


@pytest.mark.parametrize("at", ["write_table", "rename"])
def test_a_failed_save_leaves_the_old_report_and_no_half(folder, tmp_path, monkeypatch, at):
    before = storage.load(str(folder)).table
    calls = []
    real = getattr(report.pq if at == "write_table" else parts.os, at)

    def fails(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(report.pq if at == "write_table" else parts.os, at, fails)
    with pytest.raises(KeyboardInterrupt):
        save_parts(report_of(8), str(folder), 3)
    assert os.listdir(tmp_path) == ["a.zcurate.parquet"]
    assert storage.load(str(folder)).table.equals(before)


def test_a_part_is_never_overwritten(folder):
    with pytest.raises(UsageError, match="is the report itself, or a part of it"):
        atomic.guard(str(folder / partitions.part_name(1, 5)), [str(folder)])
    atomic.guard(str(folder / "new.csv"), [str(folder)])


def test_the_newest_report_may_be_a_folder(folder, tmp_path):
    small().save(str(tmp_path / "b.zcurate.parquet"))
    os.utime(tmp_path / "b.zcurate.parquet", (1, 1))
    assert storage.newest(str(tmp_path)) == str(folder)
