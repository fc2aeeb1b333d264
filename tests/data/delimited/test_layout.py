import pytest

from zcurate.data.delimited.layout import detect_layout

ROWS = ["1.5,red,cat", "2.25,blue,dog", "3.0,red,cat", "4.5,green,fox", "5.5,blue,dog", "6.25,red,cat"]


def layout(lines, **settings):
    return detect_layout("\n".join(lines).encode() + b"\n", settings.pop("kind", "csv"), "t.csv", **settings)


def test_a_plain_file():
    found = layout(["size,colour,label", *ROWS])
    assert (found.names, found.delimiter, found.decimal, found.skip_lines, found.has_header, found.warnings) == (
        ["size", "colour", "label"], ",", ".", 0, True, (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("above", "n", "said"),
    [
        (["", ""], 2, ()),
        (["Survey 2020"], 1, ("t.csv: 1 line above the header passed over: Survey 2020",)),
        (["Survey 2020", "", "by us"], 3, ("t.csv: 2 lines above the header passed over: Survey 2020",)),
        (["Survey 2020,,", ",,"], 2, ("t.csv: 2 lines above the header passed over: Survey 2020",)),
        (["# made by a program"], 1, ("t.csv: 1 line above the header passed over: # made by a program",)),
    ],
)
def test_lines_above_the_header_are_passed_over(above, n, said):
    found = layout([*above, "size,colour,label", *ROWS])
    assert (found.names, found.skip_lines, found.warnings) == (["size", "colour", "label"], n, said)


def test_a_line_names_the_delimiter():
    found = layout(["sep=;", "size;colour;label", *[row.replace(",", ";") for row in ROWS]])
    assert (found.delimiter, found.names, found.skip_lines) == (";", ["size", "colour", "label"], 1)


def test_a_delimiter_at_the_end_of_rows_adds_no_column_of_data():
    assert layout(["size,colour,label", *[row + "," for row in ROWS]]).names == ["size", "colour", "label", "unnamed_trailing"]
    assert layout(["size,colour,label,", *ROWS]).names == ["size", "colour", "label"]


def test_row_names_have_no_header():
    found = layout(['"size","colour","label"', *[f'"{k}",{row}' for k, row in enumerate(ROWS)]])
    assert found.names == ["row_name", "size", "colour", "label"]
    assert "the first is taken for row names" in found.warnings[0]


@pytest.mark.parametrize(
    "lines",
    [
        ROWS,
        ["5.1,3.5,1.4,0.2,setosa", *["4.9,3.0,1.4,0.2,setosa", "6.1,2.9,4.7,1.4,versicolor"] * 4],
        ["red,small,yes", *["blue,big,no", "red,big,yes"] * 5, "blue,small,no"],
    ],
)
def test_a_file_without_a_header_loses_no_row(lines):
    found = layout(lines)
    assert not found.has_header
    assert found.names == [f"c{k + 1}" for k in range(lines[0].count(",") + 1)]
    assert "no header: columns named c1 to" in found.warnings[0]


@pytest.mark.parametrize(
    "lines",
    [
        ["0,1,2,label", *["1.5,2.5,3.5,a", "4.5,5.5,6.5,b"] * 4],
        ["2019,2020,2021,country", *["15,16,17,de", "18,19,20,fr", "11,12,13,it"] * 3],
        ["name,kind,label", *["x,red,a", "y,blue,b"] * 4],
        ["10,20,50,label", *["1.5,2.5,3.5,a", "4.5,5.5,6.5,b"] * 4],
    ],
)
def test_a_header_of_numbers_or_words_is_one(lines):
    assert layout(lines, named=("label",) if "label" in lines[0] else ()).names == lines[0].split(",")


def test_decimal_commas_and_points_between_thousands():
    assert layout(["a;b;label", *["1,5;2,5;x", "3,5;4;y"] * 4]).decimal == ","
    assert layout(["a;b;label", *["1.120;2,5;x", "908;4,5;y"] * 4]).decimal == ","
    assert layout(["a;b", *["1,5;2,5"] * 8]).delimiter == ";"
    assert layout(["a,b,label", *["1.120,2.5,x", "908,4.25,y", "12.400,1.5,x"] * 4]).as_text == ("a",)
    assert layout(["a,b,label", *["1.12,2.5,x", "9,4.25,y", "12.4,1.5,x"] * 4]).as_text == ()


def test_a_comma_in_every_row_is_no_row_name():
    found = layout(["label,city,len", *[f"{'ab'[k % 2]},{('Paris, France', 'Rome, Italy')[k % 2]},{k * 0.5}" for k in range(30)]])
    assert found.names == ["label", "city", "len"]


def test_escaped_quotes_do_not_widen_rows():
    lines = ["len,note,label", *[f'{k}.5,"he said \\"words\\", and left",a' for k in range(30)]]
    assert layout(lines, escaped=True).names == ["len", "note", "label"]
