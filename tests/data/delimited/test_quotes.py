import pytest

from zcurate.data.delimited.quotes import QuoteScanner, check_quotes
from zcurate.errors import InputError


def checked(text, n_columns=3, delimiter=","):
    return check_quotes(text.encode(), delimiter, n_columns, "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        'a,b,c\n1,"x, y",3\n',
        'a,b,c\n1,"he said ""hi""",3\n',
        'a,b,c\n1,"line\nbreak",3\n',
        'a,b,c\r\n1,"x\ry",3\r\n',
        '"a","b","c"\n"","",""\n',
        'a,b,c\n1,"""",3\n',
        'a,b,c\n1,"C:\\",3\n',
        "a,b,c\n1,2,3",
    ],
)
def test_well_formed_text_is_left_alone(text):
    found = checked(text)
    assert (found.content, found.escaped, found.warnings) == (text.encode(), False, ())


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ('a,b,c\n1,"knee,3\n2,x,4\n', 'a,b,c\n1,"""knee",3\n2,x,4\n'),
        ('a,b,c\n1,2,"knee\n2,x,4\n5,6,"hip\n', 'a,b,c\n1,2,"""knee"\n2,x,4\n5,6,"""hip"\n'),
        ('a,b,c\n1,"John "Jack" S",3\n', 'a,b,c\n1,"John ""Jack"" S",3\n'),
        ('a,b,c\n1,"abc"def,3\n', 'a,b,c\n1,"""abc""def",3\n'),
    ],
)
def test_a_stray_quote_is_text_and_said(text, better):
    found = checked(text)
    assert found.content.decode() == better
    assert found.warnings[0].startswith("t.csv line 2")
    assert "a quote that is not closed or not doubled: read as part of the text" in found.warnings[0]


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ('a,b,c\n1,5" pipe,3\n', 'a,b,c\n1,"5"" pipe",3\n'),
        ('a,b,c\n1, "x, y",3\n', 'a,b,c\n1,"x, y",3\n'),
        ("a,b,c\n1,first\rsecond,3\n4,5,6\n", 'a,b,c\n1,"first\rsecond",3\n4,5,6\n'),
        ("a,b,c\r1,2,3\r4,5,6\n7,8,9\n", "a,b,c\n1,2,3\n4,5,6\n7,8,9\n"),
        ("a,b,c\r1,2,3\r4,5,6\r", "a,b,c\n1,2,3\n4,5,6\n"),
        ("a,b,c\r\n1,2,3\n4,5,6\r7,8,9\r\n", "a,b,c\n1,2,3\n4,5,6\n7,8,9\n"),
    ],
)
def test_text_that_a_parser_would_misread_is_rewritten(text, better):
    found = checked(text)
    assert (found.content.decode(), found.warnings) == (better, ())


def test_backslashes_escape_quotes_where_doubling_does_not_explain_them():
    found = checked('a,b,c\n1,"say \\"hi\\", ok",3\n2,"back\\\\slash",4\n')
    assert found.escaped


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b,c\n1,"knee\n2,x,4\n', 2),
        ('a,b,c\n1,2,3\n4,"x\nis 5" long",3\n', 3),
        ('a,b,c\n1,2,3\n4,5,6\n7,"8\n', 4),
    ],
)
def test_a_quote_that_cannot_be_read_names_its_line(text, line):
    with pytest.raises(InputError, match=f"t.csv line {line}: a quote opens here and takes in"):
        checked(text)


@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ('a,b\n1,"x, ""y"""\n', True),
        ('a,b\n1,"x\ny"\n', True),
        ('a,b\n1,x"y\n', False),
        ('a,b\n1,"x\n', False),
        ("a,b\n1,x\ry\n", False),
        ("a,b\r\n1,2\r\n", True),
    ],
)
def test_a_scan_in_chunks_finds_the_same(text, fine, size):
    scanner, content = QuoteScanner(","), text.encode()
    for begin in range(0, len(content), size):
        scanner.add(content[begin : begin + size])
    assert scanner.finish() == fine
