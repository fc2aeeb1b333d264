import pyarrow as pa
import pytest

from zcurate.data.delimited.text import TextFacts, detect_encoding, facts_of, text_from
from zcurate.errors import InputError


def rows(words):
    return "m0,species\n" + "".join(f"{k * 0.37:.2f},{words[k % len(words)]}\n" for k in range(300))


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp932", ("メール", "ロール", "ホール")),
        ("gb18030", ("北京", "上海", "广州")),
        ("big5", ("台北", "高雄", "臺中")),
        ("cp949", ("서울", "부산", "대구")),
        ("cp1251", ("береза", "дуб", "сосна")),
        ("cp1253", ("Αθήνα", "Πάτρα")),
        ("cp1250", ("žluťoučký", "kůň", "příšerně")),
        ("cp1252", ("frêne", "chêne", "bouleau")),
        ("cp1252", ("Größe – 5 °C", "naïve “x”", "São Paulo")),
    ],
)
def test_an_encoding_is_guessed_and_said(encoding, words):
    content = rows(words).encode(encoding)
    found, (warning,) = detect_encoding(content, "t.csv")
    assert content.decode(found) == rows(words)
    assert warning == f"t.csv: not UTF-8: read as {found}, which is a guess — set the encoding with --encoding"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_no_guess(encoding):
    assert text_from(rows(("frêne", "дуб")).encode(encoding), "t.csv").warnings == ()
    assert text_from(rows(("frêne", "дуб")).encode(encoding), "t.csv").head == rows(("frêne", "дуб")).encode()


def test_stray_bytes_do_not_turn_utf8_into_something_else():
    content = rows(("frêne", "chêne")).encode() + b"1.5,noir \xe9\n2.5,noir \xe8\n"
    text = text_from(content, "t.csv")
    with text.open() as stream:
        read = bytes(stream.read()).decode()
    assert read.endswith("1.5,noir \\xe9\n2.5,noir \\xe8\n")
    assert "frêne" in read
    assert text.warnings == ("t.csv line 302: the byte 0xe9 is not utf-8: such bytes are read as \\xNN — set the encoding with --encoding",)


def test_an_encoding_can_be_set():
    content = rows(("Łódź", "Kraków")).encode("iso8859_2")
    text = text_from(content, "t.csv", "iso8859_2")
    assert (text.head, text.warnings) == (rows(("Łódź", "Kraków")).encode(), ())


def test_binary_content_is_refused():
    with pytest.raises(InputError, match="binary content"):
        text_from(b"\x00\x01\x02\x03" * 100, "t.csv")


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"a,b\n1,2\n3,4\n", (False, False, 3)),
        (b"a,b\r\n1,2\r\n", (False, False, 2)),
        (b"a,b\n1,2", (False, False, 2)),
        (b"a,b\n\n1,2\n\n\n", (False, False, 3)),
        (b'a,b\n1,"x"\n', (True, False, 2)),
        (b"a,b\n1,x\ry\n", (False, True, 2)),
        (b"a,b\r1,2\r", (False, True, 1)),
    ],
)
def test_facts_do_not_depend_on_where_chunks_end(content, facts, size):
    found = TextFacts()
    for begin in range(0, len(content), size):
        found.add(content[begin : begin + size])
    found.finish()
    assert (found.has_quotes, found.has_returns, found.n_lines) == facts
    assert facts_of(lambda: pa.BufferReader(content)) == found or size < len(content)


def test_escape_sequences_of_japanese_are_no_ascii():
    text = text_from(rows(("東京", "大阪")).encode("iso2022_jp"), "t.csv")
    assert text.head.decode() == rows(("東京", "大阪"))
    assert "iso2022_jp" in text.warnings[0]


@pytest.mark.parametrize("letter", "äéñøß")
def test_a_few_bytes_are_never_taken_for_an_encoding_without_commas(letter):
    content = f"row,decision,note\n5,keep,{letter}\n".encode("latin-1")
    assert text_from(content, "t.csv").head.startswith(b"row,decision,note\n5,keep,")
