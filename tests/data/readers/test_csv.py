"""CSV files that a parser would misread without an error, in memory and batch by batch."""

import pyarrow as pa
import pytest

from zcurate.config.options import ScanOptions
from zcurate.data import discovery, profile, readers
from zcurate.data.preview import Preview
from zcurate.errors import InputError

HEADER = "size,colour,remark,label"
ROWS = [f"{k * 0.5},{('red', 'blue', 'green')[k % 3]},fine,{('cat', 'dog')[k % 2]}" for k in range(60)]


def write(folder, lines, end="\n", name="t.csv"):
    path = folder / name
    path.write_bytes(end.join(lines).encode("utf-8", "surrogateescape") + end.encode())
    return str(path)


def source_of(path, **options):
    return discovery.source_of(path, ScanOptions(**options))


def in_memory(path, **options):
    data = readers.read(source_of(path, **options), ScanOptions(**options))
    return data.table.to_pydict(), data.skipped, data.warnings


def in_batches(path, **options):
    source = source_of(path, **options)
    data = readers.read(source, ScanOptions(**options))
    table = profile.profile_table(source, Preview(data, True), ScanOptions(**options))
    rows = pa.Table.from_batches(list(table.batches(data.table.column_names)))
    return rows.to_pydict(), table.sample.skipped, table.sample.warnings


WAYS = pytest.mark.parametrize("way", [in_memory, in_batches])


@WAYS
@pytest.mark.parametrize(
    ("rows", "remarks"),
    [
        ([3], ['"knee high']),
        ([3, 40], ['"knee high', '"hip high']),
        ([5], ['5" pipe']),
        ([5], ['"say "hi" now"']),
        ([59], ['"last row']),
    ],
)
def test_a_stray_quote_loses_no_row(tmp_path, way, rows, remarks):
    lines = list(ROWS)
    for row, remark in zip(rows, remarks, strict=True):
        lines[row] = lines[row].replace("fine", remark)
    table, skipped, warnings = way(write(tmp_path, [HEADER, *lines]))
    assert len(table["size"]) == 60
    assert table["size"] == [k * 0.5 for k in range(60)]
    assert skipped == ()
    assert (f"line {rows[0] + 2}" in "".join(warnings)) == (remarks[0] != '5" pipe')


@WAYS
def test_a_quote_that_swallows_rows_is_refused_with_its_line(tmp_path, way):
    lines = list(ROWS)
    lines[10], lines[30] = lines[10].replace("fine", '"knee'), lines[30].replace("fine", 'knee"')
    with pytest.raises(InputError, match=r"t.csv line 12: a quote opens here and takes in the .* line"):
        way(write(tmp_path, [HEADER, *lines]))


@WAYS
def test_backslashes_before_quotes(tmp_path, way):
    lines = list(ROWS)
    lines[4] = lines[4].replace("fine", '"he said \\"a, b\\" twice"')
    table, skipped, _ = way(write(tmp_path, [HEADER, *lines]))
    assert (len(table["size"]), skipped, table["remark"][4]) == (60, (), 'he said "a, b" twice')


@WAYS
@pytest.mark.parametrize("remark", ["first\rsecond", "\rfirst", "first\r"])
def test_a_carriage_return_in_a_cell_splits_no_row(tmp_path, way, remark):
    lines = list(ROWS)
    lines[4] = lines[4].replace("fine", remark)
    table, skipped, _ = way(write(tmp_path, [HEADER, *lines]))
    assert (len(table["size"]), skipped, table["remark"][4]) == (60, (), remark)


@WAYS
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path, way, end):
    assert way(write(tmp_path, [HEADER, *ROWS], end))[0]["size"] == [k * 0.5 for k in range(60)]


@WAYS
def test_old_macintosh_files_may_hold_line_feeds_in_cells(tmp_path, way):
    lines = list(ROWS)
    lines[4] = lines[4].replace("fine", '"one\ntwo"')
    table, skipped, _ = way(write(tmp_path, [HEADER, *lines], "\r"))
    assert (len(table["size"]), skipped, table["remark"][4]) == (60, (), "one\ntwo")


@WAYS
def test_line_ends_may_be_mixed(tmp_path, way):
    path = tmp_path / "t.csv"
    path.write_bytes("\r".join([HEADER, *ROWS[:30]]).encode() + b"\n" + "\r\n".join(ROWS[30:]).encode())
    assert way(str(path))[0]["size"] == [k * 0.5 for k in range(60)]


@WAYS
def test_long_cells_beside_ragged_rows(tmp_path, way):
    lines = list(ROWS)
    lines[4], lines[9] = lines[4].replace("fine", "word " * 50_000), "1,2"
    table, skipped, warnings = way(write(tmp_path, [HEADER, *lines]))
    assert len(table["size"]) == 60
    assert [(skip.row, skip.line) for skip in skipped] == [(9, 11)]
    assert any("1 row skipped: line 11 (2 fields where the header has 4)" in text for text in warnings)


@WAYS
def test_a_header_in_the_middle_is_skipped(tmp_path, way):
    table, skipped, warnings = way(write(tmp_path, [HEADER, *ROWS[:20], HEADER, *ROWS[20:]]))
    assert (len(table["size"]), table["label"][20]) == (61, None)
    assert [(skip.row, skip.reason, skip.line) for skip in skipped] == [(20, "the header again", 22)]
    assert any("line 22 (the header again)" in text for text in warnings)


@WAYS
def test_what_stands_above_and_around_the_data(tmp_path, way):
    lines = ["Survey of 2020", "", HEADER, *[f"{row}," for row in ROWS]]
    table, skipped, warnings = way(write(tmp_path, lines))
    assert (list(table), len(table["size"]), skipped) == (["size", "colour", "remark", "label"], 60, ())
    assert any("1 line above the header passed over: Survey of 2020" in text for text in warnings)


def test_blank_lines_are_counted(tmp_path):
    assert any("2 blank lines passed over" in text for text in in_memory(write(tmp_path, [HEADER, *ROWS[:20], "", *ROWS[20:40], "", *ROWS[40:]]))[2])
    assert not any("blank" in text for text in in_memory(write(tmp_path, [HEADER, *ROWS, "", ""]))[2])


def test_multiline_cells_are_no_blank_lines(tmp_path):
    lines = list(ROWS)
    lines[4] = lines[4].replace("fine", '"one\n\ntwo"')
    table, _, warnings = in_memory(write(tmp_path, [HEADER, *lines]))
    assert (table["remark"][4], warnings) == ("one\n\ntwo", ())


@WAYS
def test_a_file_without_a_header_keeps_its_first_row(tmp_path, way):
    table, _, warnings = way(write(tmp_path, ROWS), label="c4")
    assert table["c1"] == [k * 0.5 for k in range(60)]
    assert any("no header: columns named c1 to c4" in text for text in warnings)


def test_a_label_that_is_a_value_of_the_first_row_is_explained(tmp_path):
    with pytest.raises(Exception, match=r"no column 'cat' — columns: c1, c2, c3, c4 .*no header"):
        in_memory(write(tmp_path, ROWS), label="cat")


@WAYS
def test_an_encoding_that_is_set(tmp_path, way):
    path = tmp_path / "t.csv"
    lines = [line.replace("red", "rouge foncé") for line in ROWS]
    path.write_bytes("\n".join([HEADER, *lines]).encode("mac_roman"))
    assert way(str(path), encoding="mac_roman")[0]["colour"][0] == "rouge foncé"


@WAYS
def test_japanese_in_escape_sequences(tmp_path, way):
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join([HEADER, *(line.replace("red", "赤") for line in ROWS)]).encode("iso2022_jp"))
    table, _, warnings = way(str(path))
    assert table["colour"][0] == "赤"
    assert any("iso2022_jp" in text for text in warnings)


@WAYS
def test_a_byte_order_mark_before_quotes(tmp_path, way):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join([",".join(f'"{name}"' for name in HEADER.split(",")), *ROWS]).encode())
    assert list(way(str(path))[0]) == HEADER.split(",")
