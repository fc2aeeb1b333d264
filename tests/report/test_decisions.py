"""Decisions: every way to write the file, how each finds its row, and what is refused with the row named."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zcurate
from zcurate.errors import InputError, UsageError
from zcurate.report import decision_files, decisions
from zcurate.report.decision_files import parse_rows, read_decisions
from zcurate.report.decisions import Decision, Keys, find_rows


@pytest.fixture(scope="module")
def report(scanned):
    return zcurate.load_report(str(scanned[1]))


def keys_of(report, row):
    return {name: report.table.column(name)[row].as_py() for name in ("fingerprint", "id", "given")}


def found(report, *rows):
    return find_rows(parse_rows([dict(row) for row in rows], "d.csv"), Keys.of(report), "d.csv")


TEXTS = {
    "d.csv": "row,decision,label\n3,keep,\n4,relabel,bee\n5,,\n",
    "semicolons.csv": "row;decision;label\n3;keep;\n4;relabel;bee\n5;;\n",
    "d.tsv": "row\tdecision\tlabel\n3\tkeep\t\n4\trelabel\tbee\n5\t\t\n",
    "bom.csv": "\ufeffrow,decision,label\r\n3,KEEP,\r\n4,Relabel,bee\r\n5,,\r\n",
    "d.jsonl": '{"row": 3, "decision": "keep"}\n{"row": 4, "decision": "relabel", "label": "bee"}\n{"row": 5, "decision": null}\n',
    "d.json": '[{"row": 3, "decision": "keep"}, {"row": 4, "decision": "relabel", "label": "bee"}]',
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_format_is_read_alike(name, tmp_path):
    (tmp_path / name).write_text(TEXTS[name], encoding="utf-8", newline="")
    assert read_decisions(str(tmp_path / name)) == [Decision("keep", row=3), Decision("relabel", "bee", row=4)]


def test_parquet_and_workbooks_are_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    table = pa.table({"row": [3, 4], "decision": ["keep", "relabel"], "label": [None, "bee"]})
    pq.write_table(table, tmp_path / "d.parquet")
    book = openpyxl.Workbook()
    for row in (["row", "decision", "label"], [3, "keep", None], [4, "relabel", "bee"], [None, None, None]):
        book.active.append(row)
    book.save(tmp_path / "d.xlsx")
    expected = [Decision("keep", row=3), Decision("relabel", "bee", row=4)]
    assert read_decisions(str(tmp_path / "d.parquet")) == read_decisions(str(tmp_path / "d.xlsx")) == expected


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(decisions.DECISIONS), st.text("aé,\"'\n;= ", min_size=1, max_size=6).filter(lambda text: text.strip() == text)),
        min_size=1, max_size=5,
    ),
    st.sampled_from(["d.csv", "d.jsonl"]),
)  # fmt: skip
def test_what_is_written_is_read_back(tmp_path_factory, answers, name):
    path = str(tmp_path_factory.mktemp("round") / name)
    before = [
        Decision(word, label if word == "relabel" else None, row=row, id=f"k{row}", note=label, at=decision_files.now(), draw_probability=0.25)
        for row, (word, label) in enumerate(answers)
    ]
    decision_files.write_decisions(before, path)
    assert read_decisions(path) == before
    more = Decision("keep", row=99)
    decision_files.append_decision(more, path)
    assert read_decisions(path) == [*before, more]


def test_a_decision_finds_its_row_by_fingerprint_wherever_it_is(report):
    assert found(report, {**keys_of(report, 7), "id": None, "decision": "keep"}).row.tolist() == [7]
    moved = {"row": 200, "fingerprint": keys_of(report, 7)["fingerprint"], "decision": "keep"}
    assert found(report, moved).row.tolist() == [7]


def test_a_row_that_was_relabeled_as_decided_is_still_found(report):
    from zcurate.data.fingerprints import relabeled

    keys = keys_of(report, 7)
    earlier = {"fingerprint": relabeled(keys["fingerprint"], keys["given"], "was"), "given": "was", "decision": "relabel", "label": keys["given"]}
    assert found(report, earlier).row.tolist() == [7]


def test_ids_paths_and_row_numbers_find_rows(report):
    assert found(report, {"id": "k12", "decision": "drop"}, {"row": "3", "decision": "unsure"}).row.tolist() == [3, 12]


def test_a_lost_decision_is_told(report):
    some = found(report, {"id": "k12", "decision": "drop"}, {"id": "gone", "decision": "keep"})
    assert some.row.tolist() == [12]
    assert "1 of 2 decisions find no row" in some.warnings("d.csv")[0]
    assert "id gone" in some.warnings("d.csv")[0]


def test_a_list_of_report_with_data_is_a_decisions_file(report, scanned, tmp_path):
    from zcurate.config.report_options import ReportOptions
    from zcurate.report.listing import list_rows

    table = list_rows(report, ReportOptions(top=4, with_data=True, data=str(scanned[0])), ids=False)
    rows = table.to_pylist()
    rows[0]["decision"] = "keep"
    rows[1] |= {"decision": "relabel", "label": "cat" if rows[1]["given"] != "cat" else "bee"}
    rows[2] |= {"decision": "relabel", "suggested": "cat" if rows[2]["given"] != "cat" else "bee"}
    got = {one.row: one for one in parse_rows(rows, "d.csv")}
    assert got[rows[0]["row"]].decision == "keep"
    assert got[rows[1]["row"]].label == rows[1]["label"]
    assert got[rows[2]["row"]].label == rows[2]["suggested"]
    assert len(got) == 3


WRONG = [
    ({"row": 1, "decision": "kepe"}, "entry 1: decision 'kepe' is not known — expected keep, relabel, drop or unsure — did you mean keep?"),
    ({"row": 1, "decision": "correct"}, "did you mean keep?"),
    ({"row": 1, "decision": "relabel"}, "relabel without a label"),
    ({"row": 1, "decision": "relabel", "label": "bea"}, "label 'bea' is no class — classes: ant, bee, cat — did you mean bee?"),
    ({"row": 999, "decision": "keep"}, "row 999 — expected 0 to 299"),
    ({"row": -1, "decision": "keep"}, "'-1' is no row number"),
    ({"row": 1, "decision": "keep", "given": "dog"}, "row 1 was labelled 'dog'"),
    ({"decision": "keep"}, "names no row"),
    ({"row": 1, "decision": "keep", "draw_probability": "2"}, "draw_probability '2'"),
    ({"fingerprint": "0" * 16, "decision": "keep"}, "none of 1 decisions finds its row"),
]


@pytest.mark.parametrize(("row", "message"), WRONG, ids=range(len(WRONG)))
def test_bad_decisions_are_refused_with_their_row(row, message, report):
    with pytest.raises(UsageError) as caught:
        found(report, row)
    assert message in str(caught.value)


def test_two_answers_for_one_row_are_refused(report):
    with pytest.raises(UsageError, match=r"d.csv entry 2: id k3 was decided in d.csv entry 1 already"):
        found(report, {"row": 3, "decision": "keep"}, {"row": 3, "id": "k3", "decision": "drop", "path": None})


def test_a_decision_that_fits_two_rows_is_refused():
    keys = Keys(3, pa.chunked_array([["a", "a", "b"]]), pa.chunked_array([["f1", "f1", "f2"]]), classes=("a", "b"))
    with pytest.raises(UsageError, match=r"fingerprint f1 fits 2 rows \(0, 1\)"):
        find_rows([Decision("keep", fingerprint="f1", place="d row 1")], keys, "d")
    assert find_rows([Decision("keep", fingerprint="f1", row=1)], keys, "d").row.tolist() == [1]


def test_a_file_without_decisions_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match="no column 'decision'"):
        read_decisions(str(tmp_path / "a.csv"))
    (tmp_path / "empty.csv").write_text("row,decision,label\n")
    assert read_decisions(str(tmp_path / "empty.csv")) == []
    with pytest.raises(InputError, match="no such file"):
        read_decisions(str(tmp_path / "none.csv"))
    (tmp_path / "bad.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="not a workbook"):
        read_decisions(str(tmp_path / "bad.xlsx"))


def test_a_label_made_safe_for_a_spreadsheet_is_understood():
    keys = Keys(1, pa.chunked_array([["a"]]), classes=("a", "=b"))
    assert find_rows([Decision("relabel", "'=b", row=0)], keys, "d").decisions[0].label == "=b"


def test_decisions_are_plain_json(report, tmp_path):
    path = str(tmp_path / "d.jsonl")
    decision_files.append_decision(Decision("relabel", "bee", row=1, by="me"), path)
    assert json.loads(Path(path).read_text()) == {"row": 1, "decision": "relabel", "label": "bee", "by": "me"}
