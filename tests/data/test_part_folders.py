"""Folders and globs of parts: order, partition columns, and parts that do not fit or have disappeared."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.data.readers.test_tables import read
from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers
from zcurate.data.readers import parquet
from zcurate.errors import InputError


def part(begin, n=4, **more):
    return pa.table({"x": [begin + k + 0.5 for k in range(n)], "label": [["a", "b"][k % 2] for k in range(n)], **more})


def xs(data):
    return data.table.column("x").to_pylist()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d").mkdir()
    for k in (10, 2, 1):
        pq.write_table(part(k * 100), tmp_path / "d" / f"part-{k}.parquet")
    return tmp_path / "d"


def test_parts_are_read_in_natural_order_from_a_folder_and_a_glob(folder):
    expected = [begin + k + 0.5 for begin in (100, 200, 1000) for k in range(4)]
    assert xs(read(folder)) == expected
    assert xs(read(folder / "*.parquet")) == expected


def test_files_of_other_programs_are_not_parts(folder):
    before = xs(read(folder))
    for name in ("_SUCCESS", "_metadata", ".part-1.parquet.crc", "_delta.parquet", ".tmp.parquet", "d.zcurate.parquet"):
        (folder / name).write_bytes(b"no parquet")
    assert xs(read(folder)) == before
    assert xs(read(folder / "*")) == before


def test_a_report_in_the_folder_does_not_change_its_hash(folder):
    before = discovery.locate(str(folder), None).origin().digest
    (folder / "d.zcurate.parquet").write_bytes(b"a report")
    assert discovery.locate(str(folder), None).origin().digest == before


@pytest.mark.parametrize("ending", ["parquet", "feather", "csv"])
def test_partition_folders_become_columns(tmp_path, ending):
    for year, town in (("2019", "K%C3%B6ln"), ("2020", "__HIVE_DEFAULT_PARTITION__")):
        part_folder = tmp_path / "d" / f"year={year}" / f"town={town}"
        part_folder.mkdir(parents=True)
        table = part(int(year))
        if ending == "csv":
            (part_folder / "p.csv").write_text("x,label\n" + "".join(f"{row['x']},{row['label']}\n" for row in table.to_pylist()))
        else:
            (pq.write_table if ending == "parquet" else pa.feather.write_feather)(table, part_folder / f"p.{ending}")
    data = read(tmp_path / "d", input_format=ending)
    assert data.table.column("year").to_pylist() == ["2019"] * 4 + ["2020"] * 4
    assert data.table.column("town").to_pylist() == ["Köln"] * 4 + [None] * 4
    assert {column.name for column in data.roles.features} >= {"x", "year"}
    assert xs(read(f"{tmp_path}/d/year=*/*/p.{ending}")) == xs(data)
    assert xs(read(f"{tmp_path}/d/year=2020", input_format=ending)) == xs(data)[4:]


def test_a_partition_folder_can_be_the_label(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / f"label={name}").mkdir()
        pq.write_table(part(0).drop_columns(["label"]), tmp_path / f"label={name}" / "p.parquet")
    assert read(tmp_path).given.to_pylist() == ["cat"] * 4 + ["dog"] * 4


def test_a_column_of_the_part_is_not_replaced_by_its_folder(tmp_path):
    (tmp_path / "year=2020").mkdir()
    pq.write_table(part(0, year=[1, 2, 3, 4]), tmp_path / "year=2020" / "p.parquet")
    assert read(tmp_path).table.column("year").to_pylist() == [1, 2, 3, 4]


def test_a_renamed_partition_changes_the_hash(tmp_path):
    (tmp_path / "year=2020").mkdir()
    pq.write_table(part(0), tmp_path / "year=2020" / "p.parquet")
    before = discovery.locate(str(tmp_path), None).origin().digest
    (tmp_path / "year=2020").rename(tmp_path / "year=2021")
    assert discovery.locate(str(tmp_path), None).origin().digest != before


def test_parts_in_plain_sub_folders_need_a_pattern(tmp_path):
    (tmp_path / "train").mkdir()
    pq.write_table(part(0), tmp_path / "train" / "p.parquet")
    with pytest.raises(InputError, match=r"1 Parquet parts in plain sub-folders .* \*\*/\*.parquet'".replace(r"\*\*", r".*\*\*")):
        read(tmp_path)
    assert xs(read(f"{tmp_path}/**/*.parquet")) == [0.5, 1.5, 2.5, 3.5]


def test_a_part_without_a_column_is_named(folder):
    pq.write_table(part(0, y=[1] * 4), folder / "part-1.parquet")
    with pytest.raises(InputError, match=r"part-2.parquet: has no column 'y' — expected the columns of .*part-1.parquet: x, label, y"):
        read(folder)


def test_a_part_with_an_extra_column_is_named(folder):
    pq.write_table(part(0, y=[1] * 4), folder / "part-10.parquet")
    with pytest.raises(InputError, match=r"part-10.parquet: has a column that others have not, 'y'"):
        read(folder)


def test_a_part_with_another_type_is_named(folder):
    pq.write_table(part(0).set_column(0, "x", pa.array([[1.0]] * 4)), folder / "part-2.parquet")
    with pytest.raises(InputError, match=r"part-2.parquet: column 'x' is list<.*double> — expected double as in .*part-1.parquet"):
        read(folder)


def test_integers_and_dictionaries_are_widened(folder):
    pq.write_table(part(0).set_column(0, "x", pa.array([1, 2, 3, 4])), folder / "part-2.parquet")
    coded = part(0)
    pq.write_table(coded.set_column(1, "label", coded.column("label").dictionary_encode()), folder / "part-10.parquet")
    data = read(folder)
    assert xs(data)[4:8] == [1.0, 2.0, 3.0, 4.0]
    assert data.given.to_pylist() == ["a", "b"] * 6


@pytest.mark.parametrize("kind", ["parquet", "feather", "csv", "jsonl"])
def test_a_part_that_disappears_is_named(tmp_path, kind):
    for k in range(3):
        (tmp_path / f"part-{k}.{kind}").write_text('{"x": 1, "label": "a"}\n')
    if kind != "jsonl":
        for k in range(3):
            {"parquet": pq.write_table, "feather": pa.feather.write_feather, "csv": pa.csv.write_csv}[kind](part(k), tmp_path / f"part-{k}.{kind}")
    where = discovery.locate(str(tmp_path), kind)
    os.unlink(tmp_path / f"part-1.{kind}")
    with pytest.raises(InputError, match=rf"part-1.{kind}: was listed and is gone"):
        readers.read(where, ScanOptions())
    with pytest.raises(InputError, match=rf"part-1.{kind}: was listed and is gone"):
        where.origin()


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_named(folder):
    folder.chmod(0)
    with pytest.raises(InputError, match=f"{folder}: cannot be opened"):
        read(folder)
    folder.chmod(0o755)


def test_repeated_columns_of_parts_get_names(tmp_path):
    for k in range(2):
        pq.write_table(part(k, y=[1, 2, 3, 4]).rename_columns(["x", "label", "x"]), tmp_path / f"p{k}.parquet")
    assert read(tmp_path).table.column_names == ["x", "label", "x.1"]


def test_a_broken_part_is_named(folder):
    (folder / "part-2.parquet").write_bytes((folder / "part-2.parquet").read_bytes()[:-40])
    with pytest.raises(InputError, match="part-2.parquet: not a whole Parquet file"):
        read(folder)
    (folder / "part-2.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="part-2.parquet: not a whole Parquet file"):
        read(folder)


def test_local_parquet_is_read_without_a_copy_and_not_mapped(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(500_000)}), path)
    where = discovery.locate(str(path), None)
    with where.open_seekable() as raw:
        assert isinstance(raw, pa.OSFile) and raw.seekable()
    tracemalloc.start()
    with parquet.open_reader(where, None, whole=True) as (file, _):
        assert file.read().num_rows == 500_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < os.path.getsize(path) / 4


def test_a_file_that_is_truncated_while_it_is_read_is_an_error_and_not_the_end_of_the_process(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(500_000)}), path)
    where = discovery.locate(str(path), None)

    def read_while_it_is_truncated():
        with parquet.open_reader(where, None, whole=True) as (file, _):
            os.truncate(path, 1000)
            file.read()

    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_while_it_is_truncated()
