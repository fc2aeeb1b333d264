"""Reading batch by batch gives the same rows and values as reading at once, in bounded memory."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.data.readers.test_tables import TABLE, csv_bytes, read, written
from zcurate.config.options import ScanOptions
from zcurate.data import discovery, preview, profile, stream
from zcurate.data.readers import csv, csv_stream
from zcurate.errors import InputError, UsageError


def located(path, kind=None):
    return discovery.locate(str(path), kind)


def whole(path, kind=None, **more):
    return pa.Table.from_batches(list(stream.batches(located(path, kind), **more)))


def test_every_format_gives_the_same_batches(tmp_path):
    for name in written(tmp_path):
        if ".json" in name:
            continue
        found = whole(tmp_path / name, rows_per_batch=7)
        assert found.to_pydict() == TABLE.to_pydict(), name
        assert all(batch.num_rows <= 7 for batch in found.to_batches())


def test_selected_columns_are_read_as_text_where_wanted(tmp_path):
    written(tmp_path)
    for name in ("a.csv", "a.parquet", "a.feather", "parts"):
        found = whole(tmp_path / name, wanted=["label", "n"], as_text=("n",))
        assert found.column_names == ["label", "n"]
        assert found.column("n").to_pylist() == [str(n) for n in TABLE.column("n").to_pylist()], name
    with pytest.raises(UsageError, match="no column 'lable'"):
        stream.batches(located(tmp_path / "a.parquet"), ["lable"])


def test_verbatim_text_keeps_leading_zeros(tmp_path):
    (tmp_path / "codes.csv").write_text("x,label\n1.5,007\n2.5,010\n")
    assert whole(tmp_path / "codes.csv", as_text=("label",)).column("label").to_pylist() == ["007", "010"]


def test_json_lines_name_the_formats_that_can_be_streamed(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1, "label": "a"}\n')
    with pytest.raises(InputError, match="jsonl cannot be read in batches — expected csv, tsv, parquet, feather"):
        stream.batches(located(tmp_path / "a.jsonl"))


def test_rows_that_do_not_fit_the_header_are_rows_of_nulls(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
    lines = ["x,label", "9,a,b"] + [f"{k}.5,a,b,c" if k % 5 in (2, 3) else f"{k}.5,{'ab'[k % 2]}" for k in range(60)] + ["7", "8"]
    (tmp_path / "ragged.csv").write_text("\n".join(lines) + "\n")
    expected = [None] + [None if k % 5 in (2, 3) else k + 0.5 for k in range(60)] + [None, None]
    assert read(tmp_path / "ragged.csv").table.column("x").to_pylist() == expected
    assert whole(tmp_path / "ragged.csv").column("x").to_pylist() == expected
    assert whole(tmp_path / "ragged.csv", rows_per_batch=3, wanted=["x"]).column("x").to_pylist() == expected


def test_types_fit_the_last_row_of_the_last_part(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 200)
    rows = "".join(f"{k},{k % 5},,a\n" for k in range(200))
    (tmp_path / "p0.csv").write_text("x,code,late,label\n" + rows + "0.5,seven,3,b\n")
    (tmp_path / "p1.csv").write_text("x,code,late,label\n7,7,7,b\n")
    found = whole(f"{tmp_path}/p*.csv", rows_per_batch=50)
    assert [str(field.type) for field in found.schema] == ["double", "string", "int64", "string"]
    assert found.column("x").to_pylist()[-2:] == [0.5, 7.0]
    assert found.column("code").to_pylist()[-2:] == ["seven", "7"]
    assert found.column("late").to_pylist()[-2:] == [3, 7]


@pytest.mark.parametrize("encode", [lambda text: text.encode("cp1252"), lambda text: text.encode("utf-16"), lambda text: b"\xef\xbb\xbf" + text.encode(),
                                    lambda text: text.replace("\n", "\r").encode(), lambda text: gzip.compress(text.encode("cp1252"))])  # fmt: skip
def test_encodings_agree_with_the_in_memory_reader(tmp_path, encode):
    path = tmp_path / "old.csv"
    path.write_bytes(encode("größe;label\n1,5;grün\n2,5;rot\n"))
    if path.read_bytes()[:2] == b"\x1f\x8b":
        path = path.rename(tmp_path / "old.csv.gz")
    found = whole(path)
    assert found.to_pydict() == {"größe": [1.5, 2.5], "label": ["grün", "rot"]}
    assert found.to_pydict() == read(path).table.to_pydict()


def test_invalid_windows_text_is_read(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_bytes(b"x,label\n1.5,gr\xfcn\x81\n2.5,rot\n")
    assert whole(path).to_pydict() == read(path).table.to_pydict()


@pytest.mark.parametrize("content", [b"", b"\n\n", bytes(range(256)) * 40])
def test_content_that_is_not_text_is_refused(tmp_path, content):
    (tmp_path / "p0.csv").write_bytes(b"x,label\n1,a\n")
    (tmp_path / "p1.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"p1.csv( line 1)?: (the file is empty|binary content)"):
        stream.batches(located(f"{tmp_path}/p*.csv"))


def test_partition_columns_are_added(tmp_path):
    for year in (9, 10):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(pa.table({"x": [0.5, 1.5]}), tmp_path / f"year={year}" / "p.parquet")
    assert whole(tmp_path).to_pydict() == {"x": [0.5, 1.5] * 2, "year": ["9", "9", "10", "10"]}
    assert whole(tmp_path, wanted=["year"]).to_pydict() == {"year": ["9", "9", "10", "10"]}
    assert whole(tmp_path, wanted=["year", "x"]).column_names == ["year", "x"]


def test_types_are_unified_over_all_parts(tmp_path):
    pq.write_table(pa.table({"x": [1, 2], "c": [1, 2]}), tmp_path / "p0.parquet")
    pq.write_table(pa.table({"x": [0.5], "c": pa.array(["b"]).dictionary_encode()}), tmp_path / "p1.parquet")
    schemas = {batch.schema for batch in stream.batches(located(tmp_path))}
    assert schemas == {pa.schema({"x": pa.float64(), "c": pa.string()})}
    assert whole(tmp_path).to_pydict() == {"x": [1.0, 2.0, 0.5], "c": ["1", "2", "b"]}


def test_parts_that_disagree_are_refused_before_the_first_batch(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "p0.parquet")
    pq.write_table(pa.table({"y": [1]}), tmp_path / "p1.parquet")
    with pytest.raises(InputError, match="p1.parquet: has no column 'x'"):
        stream.batches(located(tmp_path))


def test_a_duplicate_column_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1], "y": [2]}).rename_columns(["x", "x"]), tmp_path / "p0.parquet")
    with pytest.raises(InputError, match="p0.parquet: column 'x' exists twice"):
        stream.batches(located(tmp_path / "p0.parquet"))


def test_a_part_that_disappears_between_batches_is_named(tmp_path):
    for k in range(3):
        pq.write_table(pa.table({"x": [k]}), tmp_path / f"p{k}.parquet")
    batches = stream.batches(located(tmp_path))
    assert next(batches).to_pydict() == {"x": [0]}
    (tmp_path / "p1.parquet").unlink()
    with pytest.raises(InputError, match="p1.parquet: was listed and is gone"):
        next(batches)


def test_rows_are_counted_without_the_data(tmp_path):
    written(tmp_path)
    assert stream.row_counts(located(tmp_path / "parts")) == [10, 20]
    assert stream.row_counts(located(tmp_path / "a.feather")) == [30]
    assert stream.row_counts(located(tmp_path / "a.arrows")) == [30]
    assert stream.row_counts(located(tmp_path / "a.csv")) == [None]
    assert stream.row_counts(located(tmp_path / "a.jsonl")) == [None]


@pytest.mark.parametrize("kind", ["parquet", "feather", "csv"])
def test_memory_holds_a_batch_and_not_the_file(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 1 << 16)
    n, path = 400_000, tmp_path / f"big.{kind}"
    table = pa.table({"x": pa.array(range(n), pa.float64()), "y": pa.array(range(n), pa.float64()), "label": ["ab"] * n})
    if kind == "csv":
        path.write_bytes(csv_bytes(table))
    elif kind == "parquet":
        pq.write_table(table, path, row_group_size=20_000)
    else:
        pa.feather.write_feather(table, path, chunksize=20_000)
    del table
    batches = stream.batches(located(path), rows_per_batch=10_000)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in batches:
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == n
    assert most < 4e6, most


def profiled(path, folder=None, **options):
    source, options = located(path, "csv"), ScanOptions(**options)
    seen = preview.preview_input(source, options)
    if folder is not None:
        source = csv_stream.cache_as_arrow(source, seen.data.roles.verbatim_columns(), str(folder))
    return profile.profile_table(source, seen, options)


@pytest.mark.parametrize("cached", [False, True])
def test_skipped_rows_are_those_of_the_in_memory_reader(tmp_path, monkeypatch, cached):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
    (tmp_path / "parts").mkdir()
    rows = [f"{k}.5,{'ab'[k % 2]}" for k in range(40)]
    (tmp_path / "parts" / "p0.csv").write_text("x,label\n" + "\n".join([*rows, "1,a,b", '"7\n', '",a', "", "8"]) + "\n")
    (tmp_path / "parts" / "p1.csv").write_text("x,label\n9\n\n" + "\n".join(rows) + "\n1,2,3\n")
    table = profiled(f"{tmp_path}/parts/*.csv", tmp_path if cached else None)
    expected = read(f"{tmp_path}/parts/*.csv").skipped
    assert table.sample.skipped == expected and len(expected) == 4
    assert table.local_skipped().tolist() == [skip.row for skip in expected]
    batch = pa.Table.from_batches(list(table.batches(["label"])))
    assert not any(batch.column("label")[row].is_valid for row in table.local_skipped())


ALTERNATIVES = {
    "float": ["0.5", "1e3"], "bool": ["true", "false"], "date": ["2020-01-01"], "time": ["10:11:12"], "stamp": ["2020-01-01 10:00:00"],
    "fine": ["2020-01-01T10:00:00.123456"], "zone": ["2020-01-01T10:00:00Z"], "fine zone": ["2020-01-01T10:00:00.5+02:00"], "word": ["seven"], "null": ["", "NA"], "int": ["0", "1"], "other": ["7", " 8", "True"],
}  # fmt: skip


@pytest.mark.parametrize("first", list(ALTERNATIVES))
@pytest.mark.parametrize("late", list(ALTERNATIVES))
def test_types_are_those_of_the_in_memory_reader(tmp_path, monkeypatch, first, late):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 256)
    values = [ALTERNATIVES[first][k % len(ALTERNATIVES[first])] for k in range(100)] + ALTERNATIVES[late]
    (tmp_path / "a.csv").write_text("x,c,label\n" + "".join(f"{k}.5,{value},{'ab'[k % 2]}\n" for k, value in enumerate(values)))
    assert whole(tmp_path / "a.csv", as_text=("label",)).equals(read(tmp_path / "a.csv").table)


def test_a_late_decimal_comma_makes_floats(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 256)
    (tmp_path / "a.csv").write_text("x;c;label\n" + "".join(f"{k},5;{k if k < 100 else f'{k},25'};{'ab'[k % 2]}\n" for k in range(120)))
    found = whole(tmp_path / "a.csv", as_text=("label",))
    assert found.schema.field("c").type == pa.float64()
    assert found.equals(read(tmp_path / "a.csv").table)


def test_a_part_keeps_its_own_types_until_parts_are_joined(tmp_path):
    (tmp_path / "p0.csv").write_text("x,code,label\n1.5,007,a\n2.5,2.50,b\n")
    (tmp_path / "p1.csv").write_text("x,code,label\n3.5,one,a\n")
    assert whole(f"{tmp_path}/p*.csv", as_text=("label",)).equals(read(f"{tmp_path}/p*.csv").table)


@pytest.mark.parametrize("late", ["seven", "2020-01-01", "true"])
def test_a_late_value_decides_the_kind_even_if_it_is_not_sampled(tmp_path, monkeypatch, late):
    monkeypatch.setattr(profile, "SAMPLE_ROWS", 50)
    codes = [str(k % 4) for k in range(2000)] + [late]
    (tmp_path / "a.csv").write_text("x,code,label\n" + "".join(f"{k}.5,{code},{'ab'[k % 2]}\n" for k, code in enumerate(codes)))
    in_memory, table = read(tmp_path / "a.csv"), profiled(tmp_path / "a.csv")
    assert {column.name: column.kind for column in table.sample.roles.features} == {column.name: column.kind for column in in_memory.roles.features}
    assert table.sample.arrays["code"].type == in_memory.arrays["code"].type
    part = table.dataset_of(pa.Table.from_batches(list(table.batches(table.columns()))))
    assert part.arrays["code"].equals(in_memory.arrays["code"])


def test_columns_that_are_left_out_are_those_of_the_in_memory_reader(tmp_path):
    (tmp_path / "a.csv").write_text("x,v,label\n" + "".join(f"{k}.5,{k}.25,{'ab'[k % 2]}\n" for k in range(2000)) + "1.5,seven of nine,a\n")
    source, options = located(tmp_path / "a.csv"), ScanOptions()
    seen = preview.Preview(read(tmp_path / "a.csv"), True)
    table = profile.profile_table(source, seen, options)
    assert [(out.name, out.why) for out in table.sample.roles.left_out] == [(out.name, out.why) for out in read(tmp_path / "a.csv").roles.left_out]


def test_one_stray_word_does_not_change_a_column_that_is_read_batch_by_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "SAMPLE_ROWS", 200)
    (tmp_path / "a.csv").write_text("x,v,label\n" + "".join(f"{k}.5,{k % 1500}.25,{'ab'[k % 2]}\n" for k in range(2000)) + "1.5,seven,a\n")
    assert {column.name: column.kind for column in read(tmp_path / "a.csv").roles.features}["v"] == "number"
    table = profiled(tmp_path / "a.csv")
    assert {column.name: column.kind for column in table.sample.roles.features}["v"] == "number"
    last = [table.dataset_of(pa.Table.from_batches([batch])).arrays["v"] for batch in table.batches(table.columns())][-1]
    assert last[-2:].to_pylist() == [499.25, None]
