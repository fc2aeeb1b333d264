import pyarrow as pa
import pytest

from zcurate.data.dataset import SkippedRow
from zcurate.data.delimited.furniture import check_swallowed, find_furniture, skipped_warnings, without_trailing

ROWS = [["1.5", "2", "cat"], ["2.5", "3", "dog"], ["3.5", "4", "cat"], ["4.5", "5", "dog"], ["5.5", "6", "cat"], ["6.5", "7", "dog"]]


def table(rows, names=("size", "n", "label")):
    return pa.table({name: pa.array([row[k] or None for row in rows], pa.string()) for k, name in enumerate(names)})


def test_a_repeated_header_is_no_row():
    rows = [*ROWS[:3], ["size", "n", "label"], *ROWS[3:]]
    assert find_furniture(table(rows), "label", set()) == {3: "the header again"}


@pytest.mark.parametrize("units", [["cm", "pcs", ""], ["[kg]", "-", "unit"], ["float", "int", "str"]])
def test_a_line_of_units_is_no_row(units):
    assert find_furniture(table([units, *ROWS]), "label", set()) == {0: "a second header line, such as units"}


def test_two_lines_below_the_header_may_be_no_rows():
    lines = [["How wide?", "How many?", "What?"], ['{"ImportId":"Q0"}', '{"ImportId":"Q1"}', '{"ImportId":"Q2"}']]
    assert set(find_furniture(table([*lines, *ROWS]), "label", set())) == {0, 1}


@pytest.mark.parametrize("first", [["?", "2", "cat"], ["1.5", "two", "cat"], ["", "", "cat"]])
def test_a_first_row_with_a_stray_word_is_a_row(first):
    assert find_furniture(table([first, *ROWS]), "label", set()) == {}


@pytest.mark.parametrize("total", [["Total", "27", ""], ["Grand total:", "", ""], ["Mean", "4.5", ""], ["Source: us", "", ""]])
def test_a_line_of_totals_is_no_row(total):
    assert find_furniture(table([*ROWS, total]), "label", set()) == {6: f"a footer: {total[0]}"}


def test_a_last_row_with_a_label_is_a_row():
    assert find_furniture(table([*ROWS, ["Total", "27", "cat"]]), "label", set()) == {}
    assert find_furniture(table([*ROWS, ["7.5", "27", ""]]), "label", set()) == {}


def test_an_empty_column_behind_the_last_delimiter_is_dropped():
    plain = table(ROWS)
    assert without_trailing(plain.append_column("unnamed_trailing", pa.nulls(6))) == plain
    assert without_trailing(plain.append_column("unnamed_trailing", pa.array(["x"] * 6))).num_columns == 4


def test_a_cell_that_holds_rows_is_found():
    swallowed = table([*ROWS[:2], ["1.5", 'knee,cat\n2.5,3,dog\n3.5,4,dog\n4.5,"', "cat"]])
    assert check_swallowed(swallowed, ",") == 2
    assert check_swallowed(table([["1.5", "a, b, c\nd, e, f and g, h", "cat"]]), ",") is None
    assert check_swallowed(table([["1.5", "first line\nsecond", "cat"]]), ",") is None


def test_skipped_rows_are_said_in_one_line():
    skipped = [SkippedRow(k, "2 fields where the header has 3", k + 2) for k in range(5)]
    (line,) = skipped_warnings(skipped, "t.csv")
    assert line.startswith("t.csv: 5 rows skipped: line 2 (2 fields where the header has 3), line 3")
    assert line.endswith("and 2 more")
