"""Table readers: the same data in every format gives the same data set."""

from __future__ import annotations

import bz2
import gzip
import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers
from zcurate.errors import InputError, UsageError

ROWS = 30
TABLE = pa.table(
    {
        "x": pa.array([None if k % 7 == 0 else k * 0.25 for k in range(ROWS)]),
        "n": pa.array([k % 4 for k in range(ROWS)]),
        "colour": pa.array([["red", "blue", None][k % 3] for k in range(ROWS)]),
        "flag": pa.array([k % 2 == 0 for k in range(ROWS)]),
        "label": pa.array([["cat", "dog", None][k % 3] for k in range(ROWS)]),
    }
)


def csv_bytes(table=TABLE, delimiter=","):
    buffer = pa.BufferOutputStream()
    pa.csv.write_csv(table, buffer, pa.csv.WriteOptions(delimiter=delimiter, quoting_style="needed"))
    return buffer.getvalue().to_pybytes()


def jsonl_bytes():
    return "".join(json.dumps(row) + "\n" for row in TABLE.to_pylist()).encode()


def read(path, **options):
    return readers.read(discovery.locate(str(path), options.get("input_format")), ScanOptions(**options))


def facts(data):
    features = {column.name: (column.kind, data.table.column(column.name).to_pylist()) for column in data.roles.features}
    return data.given.to_pylist(), data.task.kind, features


def written(folder):
    """Write every format; return their names."""
    (folder / "a.csv").write_bytes(csv_bytes())
    (folder / "a.tsv").write_bytes(csv_bytes(delimiter="\t"))
    (folder / "semi.csv").write_bytes(csv_bytes(delimiter=";"))
    (folder / "a.jsonl").write_bytes(jsonl_bytes())
    (folder / "array.json").write_text(json.dumps(TABLE.to_pylist()))
    (folder / "a.csv.gz").write_bytes(gzip.compress(csv_bytes()))
    (folder / "a.csv.bz2").write_bytes(bz2.compress(csv_bytes()))
    (folder / "a.csv.zst").write_bytes(pa.Codec("zstd").compress(csv_bytes(), asbytes=True))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(jsonl_bytes()))
    (folder / "bom.csv").write_bytes(b"\xef\xbb\xbf" + csv_bytes())
    (folder / "utf16.csv").write_bytes(csv_bytes().decode().encode("utf-16"))
    pq.write_table(TABLE, folder / "a.parquet")
    pyarrow.feather.write_feather(TABLE, folder / "a.feather")
    with pa.OSFile(str(folder / "a.arrows"), "wb") as file, pa.ipc.new_stream(file, TABLE.schema) as writer:
        writer.write_table(TABLE)
    (folder / "parts").mkdir()
    pq.write_table(TABLE.slice(0, 10), folder / "parts" / "part-0.parquet")
    pq.write_table(TABLE.slice(10), folder / "parts" / "part-1.parquet")
    return ["a.tsv", "semi.csv", "a.jsonl", "array.json", "a.csv.gz", "a.csv.bz2", "a.csv.zst", "a.jsonl.gz", "bom.csv", "utf16.csv", "a.parquet",
            "a.feather", "a.arrows", "parts", "parts/part-*.parquet"]  # fmt: skip


def test_every_format_gives_the_same_data_set(tmp_path):
    names = written(tmp_path)
    expected = facts(read(tmp_path / "a.csv"))
    assert expected[0].count(None) == 10
    assert {name: kind for name, (kind, _) in expected[2].items()} == {"x": "number", "n": "number", "colour": "category", "flag": "number"}
    for name in names:
        assert facts(read(tmp_path / name)) == expected, name


def test_rows_that_do_not_fit_the_header_are_skipped(tmp_path):
    path = tmp_path / "ragged.csv"
    path.write_text("x,label\n1.5,a\n2.5,b,c\n3.5,a\n4.5\n5.5,b\n")
    data = read(path)
    assert data.n_rows == 5
    assert [(skip.row, skip.line, skip.reason) for skip in data.skipped] == [
        (1, 3, "3 fields where the header has 2"), (3, 5, "1 fields where the header has 2"),
    ]  # fmt: skip
    assert data.given.to_pylist() == ["a", None, "a", None, "b"]


def test_quoted_newlines_and_delimiters_stay_in_their_cell(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text('note,x,label\n"two\nlines, and more words here",1.5,a\n"plain text of words too",2.5,b\n')
    data = read(path)
    assert data.table.column("note").to_pylist()[0] == "two\nlines, and more words here"


def test_a_decimal_comma_is_detected(tmp_path):
    path = tmp_path / "comma.csv"
    path.write_text("x;label\n1,5;a\n2,5;b\n-0,25;a\n")
    assert read(path).table.column("x").to_pylist() == [1.5, 2.5, -0.25]


def test_a_target_with_a_decimal_comma_is_a_number(tmp_path):
    path = tmp_path / "comma.csv"
    path.write_text("x;label\n" + "".join(f"{k},5;{k},25\n" for k in range(30)))
    data = read(path)
    assert data.task.kind == "regression"
    assert data.given.to_pylist()[:2] == [0.25, 1.25]


def test_a_class_called_none_is_a_class(tmp_path):
    path = tmp_path / "none.csv"
    path.write_text("x,label\n1.5,none\n2.5,mild\n3.5,None\n4.5,NA\n")
    assert read(path).given.to_pylist() == ["none", "mild", "None", None]


def test_old_line_ends_are_read(tmp_path):
    path = tmp_path / "mac.csv"
    path.write_bytes(b"x,label\r1.5,a\r2.5,b\r3.5,a\r")
    assert read(path).given.to_pylist() == ["a", "b", "a"]


def test_skipped_lines_are_counted_past_blank_lines_and_quoted_newlines(tmp_path):
    path = tmp_path / "ragged.csv"
    path.write_text('note,label\n"one\ntwo",a\n\nthree,b\nfour,a,extra\nfive,b\n')
    assert [(skip.row, skip.line) for skip in read(path).skipped] == [(2, 6)]


def test_no_row_that_fits_the_header_is_an_error(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("x,label\n" + "1,a,2,3\n" * 20)
    with pytest.raises(InputError, match="every row has 4 fields where the header has 2"):
        read(path)


def test_date_labels_in_json_lines_stay_as_written(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text("".join(f'{{"x": {k}.5, "label": "2020-01-0{1 + k % 2}"}}\n' for k in range(6)))
    assert set(read(path).given.to_pylist()) == {"2020-01-01", "2020-01-02"}


def test_parts_that_differ_in_type_are_joined_as_text(tmp_path):
    (tmp_path / "p0.csv").write_text("x,code,label\n1.5,1,a\n2.5,2,b\n")
    (tmp_path / "p1.csv").write_text("x,code,label\n3.5,one,a\n")
    assert read(f"{tmp_path}/p*.csv").table.column("code").to_pylist() == ["1", "2", "one"]


def test_bytes_and_names_that_are_not_images_are_ignored(tmp_path):
    table = pa.table({"x": [0.5 * k for k in range(30)], "uuid": [bytes([k] * 16) for k in range(30)], "label": ["a", "b"] * 15})
    pq.write_table(table, tmp_path / "t.parquet")
    data = read(tmp_path / "t.parquet")
    assert data.pictures is None
    assert [out.name for out in data.roles.left_out] == ["uuid"]
    (tmp_path / "named.csv").write_text("x,file,label\n" + "".join(f"{k}.5,x{k}.jpg,{'ab'[k % 2]}\n" for k in range(30)))
    assert read(tmp_path / "named.csv", exclude=("file",)).pictures is None


@pytest.mark.parametrize(("name", "form"), [("a.csv", "csv"), ("a.tsv", "tsv"), ("a.csv.gz", "csv"), ("a.jsonl", "jsonl"), ("a.feather", "feather")])
def test_a_folder_of_parts_of_one_format_is_read(tmp_path, name, form):
    written(tmp_path)
    folder = tmp_path / "pieces"
    folder.mkdir()
    for k in (1, 2, 10):
        (folder / f"{k}-{name}").write_bytes((tmp_path / name).read_bytes())
    expected = read(folder, input_format=form)
    (folder / "README.txt").write_text("about the parts")
    data = read(folder)
    assert (data.n_rows, data.origin.format) == (3 * ROWS, form)
    assert data.table.equals(expected.table)


def test_a_folder_of_parts_that_are_not_certain_needs_its_format(tmp_path):
    def folder(name, *files):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_bytes(csv_bytes())
        return tmp_path / name

    for path in (folder("two", "a.csv", "b.jsonl"), folder("notes", "a.txt"), folder("manifest", "a.csv", "cat.png")):
        with pytest.raises(InputError, match="--input-format csv|try the manifest, zcurate scan"):
            read(path)
        assert read(path, input_format="csv").n_rows == ROWS
    deep = folder("deep", "a.csv")
    (deep / "cat").mkdir()
    with pytest.raises(InputError, match="--input-format csv"):
        read(deep)


def test_parts_with_other_columns_are_named_without_a_format_too(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.csv").write_bytes(csv_bytes())
    (tmp_path / "parts" / "truth.csv").write_text("row,right\n1,a\n")
    with pytest.raises(InputError, match=r"truth.csv: has no column '.*' — expected the columns of .*a.csv"):
        read(tmp_path / "parts")


def test_windows_text_is_read(tmp_path):
    path = tmp_path / "old.csv"
    path.write_bytes("name,x,label\nM\xfcller,1.5,gr\xfcn\nMeier,2.5,rot\n".encode("cp1252"))
    assert read(path).given.to_pylist() == ["grün", "rot"]


def test_a_column_that_changes_its_type_far_down_is_read_as_text(tmp_path, monkeypatch):
    from zcurate.data.readers import csv

    monkeypatch.setattr(csv, "BLOCK_BYTES", 200)
    path = tmp_path / "late.csv"
    path.write_text("x,code,label\n" + "".join(f"{k}.5,{k % 5},{'ab'[k % 2]}\n" for k in range(200)) + "1.5,seven,a\n")
    data = read(path)
    assert data.table.column("code").to_pylist()[-1] == "seven"
    assert data.n_rows == 201


def test_labels_keep_their_leading_zeros(tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("x,label\n1.5,007\n2.5,010\n3.5,007\n")
    assert read(path).given.to_pylist() == ["007", "010", "007"]


def test_repeated_and_nameless_columns_get_names(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text(",x,x,label\n1.5,2.5,1,a\n2.5,3.5,2,b\n0.5,1.5,1,a\n")
    assert read(path).table.column_names == ["column_0", "x", "x.1", "label"]


def test_json_lines_that_mix_types_are_read_as_text(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"x": 1.5, "v": 1, "label": "a"}\n{"x": 2.5, "v": "two", "label": "b"}\n')
    assert read(path).table.column("v").to_pylist() == ["1", "two"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("blank.csv", b"\n\n", "the file is empty"),
        ("header.csv", b"x,label\n", "a header and no rows"),
        ("rubbish.csv", bytes(range(256)) * 40, "binary content"),
        ("broken.jsonl", b'{"x": 1, "label": "a"}\n{"x": 2, "label"\n', "line 2: broken JSON"),
        ("list.jsonl", b"[1, 2]\n[3]\n", "broken JSON"),
        ("rubbish.parquet", b"PAR1" + bytes(100), "not a whole Parquet file"),
        ("rubbish.feather", b"ARROW1" + bytes(100), "not a whole Feather"),
        ("rubbish.npz", b"PK\3\4" + bytes(100), "not a whole .npz"),
        ("odd.xyz", b"x,label\n1,a\n", "unknown format"),
    ],
)
def test_errors_of_bad_files_name_problem_and_remedy(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / name)
    assert " — " in str(caught.value)


def test_a_truncated_parquet_is_refused(tmp_path):
    pq.write_table(TABLE, tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read(tmp_path / "cut.parquet")


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "train.csv").write_bytes(csv_bytes())
    with pytest.raises(InputError, match=r"no such file — .* — did you mean train.csv\?"):
        read(tmp_path / "trian.csv")


def test_standard_input_needs_a_format():
    with pytest.raises(UsageError, match="--input-format"):
        discovery.locate("-", None)


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a.csv.gz", "a"),
        ("x/y/b.parquet", "b"),
        ("-", "stdin"),
        ("my.data.csv", "my.data"),
        ("dir/*.parquet", "dir"),
        ("train-images-idx3-ubyte", "train-images-idx3-ubyte"),
    ],
)
def test_the_report_is_named_after_the_input(path, stem):
    assert discovery.stem_of(path) == stem


def test_a_folder_gives_its_name_to_the_report(tmp_path):
    (tmp_path / "pets.v2").mkdir()
    assert discovery.stem_of(str(tmp_path / "pets.v2") + "/") == "pets.v2"


cells = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12).map(lambda text: "w" + text))
numbers = st.floats(0.125, 1e6, width=32)


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(cells, numbers), min_size=3, max_size=20, unique_by=lambda row: row[1]))
def test_csv_and_parquet_agree_on_any_text(tmp_path, rows):
    table = pa.table(
        {"text": pa.array([text for text, _ in rows], pa.string()), "x": [x + 0.0625 for _, x in rows], "label": [["a", "b"][k % 2] for k in range(len(rows))]}
    )
    (tmp_path / "t.csv").write_bytes(csv_bytes(table))
    pq.write_table(table, tmp_path / "t.parquet")
    assert facts(read(tmp_path / "t.csv")) == facts(read(tmp_path / "t.parquet"))
