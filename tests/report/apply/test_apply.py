"""Applying: only what was decided changes, in every format, and it can be taken back."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zcurate
from zcurate.config.report_options import ApplyOptions
from zcurate.errors import ReportError, UsageError, ZcurateError
from zcurate.report.apply import apply as applying
from zcurate.report.apply import columnar, delimited, edits, json_rows
from zcurate.report.apply.change_log import undo
from zcurate.report.apply.changes import Changes

DECISIONS = [
    {"row": 3, "decision": "relabel", "label": "cat"},
    {"row": 5, "decision": "drop"},
    {"row": 7, "decision": "keep"},
    {"row": 9, "decision": "unsure"},
    {"row": 299, "decision": "relabel", "label": "ant"},
]


@pytest.fixture(scope="module")
def report(scanned):
    return zcurate.load_report(str(scanned[1]))


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def changed_lines(report, source, out, **settings):
    report.apply(str(out), DECISIONS, data=str(source), verdict="outlier", min_p=1.0, **settings)
    return lines_of(source), lines_of(out)


def test_only_decided_rows_of_a_csv_change(report, scanned, tmp_path):
    before, after = changed_lines(report, scanned[0], tmp_path / "new.csv", action="drop")
    expected = [*before]
    expected[4] = expected[4].rpartition(b",")[0] + b",cat\n"
    expected[300] = expected[300].rpartition(b",")[0] + b",ant\n"
    del expected[6]
    assert after == expected


def test_the_change_is_logged_and_taken_back(report, scanned, tmp_path):
    log = report.apply(str(tmp_path / "new.csv"), DECISIONS, data=str(scanned[0]), action="drop")
    entries = [json.loads(line) for line in open_lines(log)]
    assert entries[0]["zcurate_changes"] == 1
    changes = {entry["row"]: entry for entry in entries if "row" in entry}
    assert changes[5] == {"row": 5, "action": "drop", "old": report.table.column("given")[5].as_py(), "new": None, "why": "decision drop"}
    assert "p_incorrect" in next(entry["why"] for row, entry in changes.items() if row not in (3, 5, 299))
    for action in ("drop", "relabel", "flag", "weight"):
        out = tmp_path / f"{action}.csv"
        log = report.apply(str(out), DECISIONS, data=str(scanned[0]), action=action)
        assert out.read_bytes() != scanned[0].read_bytes()
        with pytest.raises(ZcurateError, match="is the input itself"):
            undo(log, str(scanned[0]))
        assert undo(log, None) == str(out)
        assert out.read_bytes() == scanned[0].read_bytes()
        with pytest.raises(ZcurateError, match="has changed since it was written"):
            undo(log, None)


def open_lines(path):
    with open(path, encoding="utf-8") as file:
        return file.readlines()


def test_actions_follow_the_verdicts(report, scanned, tmp_path):
    incorrect = np.flatnonzero(report.called("incorrect"))
    report.apply(str(tmp_path / "drop.csv"), data=str(scanned[0]), action="drop")
    assert len(lines_of(tmp_path / "drop.csv")) == 301 - len(incorrect)
    report.apply(str(tmp_path / "relabel.csv"), data=str(scanned[0]), action="relabel")
    after = [line.decode().strip().rpartition(",")[2] for line in lines_of(tmp_path / "relabel.csv")[1:]]
    suggested = report.table.column("suggested").to_pylist()
    assert all(after[row] == suggested[row] for row in incorrect if suggested[row] is not None)
    report.apply(str(tmp_path / "flag.csv"), data=str(scanned[0]), action="flag")
    table = pa.csv.read_csv(tmp_path / "flag.csv")
    assert table.column_names[-3:] == ["zcurate_verdict", "zcurate_p_incorrect", "zcurate_suggested"]
    assert table.column("zcurate_verdict").to_pylist() == report.table.column("verdict").to_pylist()
    report.apply(str(tmp_path / "weight.csv"), data=str(scanned[0]), action="weight")
    weights = pa.csv.read_csv(tmp_path / "weight.csv").column("zcurate_weight").to_numpy()
    np.testing.assert_allclose(weights, 1 - report.table.column("p_incorrect").to_numpy(), atol=1e-5)


@pytest.mark.slow
def test_rows_without_a_label_weigh_nothing_and_decided_ones_everything(scanned, tmp_path):
    lines = lines_of(scanned[0])
    lines[4] = lines[4].rpartition(b",")[0] + b",\n"
    (tmp_path / "a.csv").write_bytes(b"".join(lines))
    report = zcurate.scan(str(tmp_path / "a.csv"), label="label", id="key", epochs=1, output=str(tmp_path / "a.zcurate.parquet"))
    row = int(report.table.sort_by("rank").column("row")[0].as_py())
    report.apply(str(tmp_path / "w.csv"), [{"row": row, "decision": "keep"}], data=str(tmp_path / "a.csv"), action="weight")
    weights = pa.csv.read_csv(tmp_path / "w.csv").column("zcurate_weight").to_pylist()
    assert (weights[3], weights[row], len(weights)) == (0, 1, 300)


def test_a_model_on_the_applied_data_is_better(report, scanned, tmp_path):
    from sklearn.neighbors import KNeighborsClassifier

    given = [{"row": row, "decision": "relabel", "label": scanned[2][row]} for row in np.flatnonzero(report.called("incorrect")).tolist()]
    report.apply(str(tmp_path / "new.csv"), given, data=str(scanned[0]))
    truth = np.array(scanned[2])
    scores = []
    for path in (scanned[0], tmp_path / "new.csv"):
        table = pa.csv.read_csv(path)
        x, y = np.stack([table.column(name).to_numpy() for name in "ab"], 1), np.array(table.column("label").to_pylist())
        half = np.arange(300) % 2 == 0
        scores.append((KNeighborsClassifier(1).fit(x[half], y[half]).predict(x[~half]) == truth[~half]).mean())
    assert scores[1] > scores[0] + 0.03


LAYOUTS = {
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf16": lambda text: text.encode("utf-16"),
    "utf16be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "latin": lambda text: text.replace("bee", "bié").encode("cp1252"),
    "semicolon": lambda text: text.replace(",", ";").encode(),
    "quoted": lambda text: "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()).encode(),
    "no newline at the end": lambda text: text.rstrip("\n").encode(),
    "title and blank lines": lambda text: ("Table 1: blobs\n\n" + text.replace("\nk7,", "\n\nk7,")).encode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_keeps_its_bytes(name, scanned, tmp_path):
    raw = LAYOUTS[name](scanned[0].read_text())
    (tmp_path / "a.csv").write_bytes(raw)
    report = zcurate.scan(str(tmp_path / "a.csv"), label="label", id="key", epochs=1)
    log = report.apply(str(tmp_path / "b.csv"), DECISIONS[:3], data=str(tmp_path / "a.csv"), action="drop", verdict="outlier", min_p=1.0)
    assert json.loads(open_lines(log)[0])["edits"] is not None
    encoding = {"utf16": "utf-16", "utf16be": "utf-16", "latin": "cp1252"}.get(name, "utf-8")
    before, after = ((tmp_path / one).read_bytes().decode(encoding).splitlines(keepends=True) for one in ("a.csv", "b.csv"))
    kept = [line for line in before if line.strip('"')[:2] != "k5" or line.strip('"')[2].isdigit()]
    for old, new in zip(kept, after, strict=True):
        if re.match('"?k3[,;"]', old):
            assert "cat" in new
            assert re.sub("ant|bee|bié|cat", "", old) == re.sub("ant|bee|bié|cat", "", new)
        else:
            assert old == new
    undo(log, None)
    assert (tmp_path / "b.csv").read_bytes() == raw


@pytest.mark.slow
def test_compressed_text_stays_compressed(scanned, tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(scanned[0].read_bytes()))
    report = zcurate.scan(str(tmp_path / "a.csv.gz"), label="label", id="key", epochs=1)
    log = report.apply(str(tmp_path / "b.csv.gz"), DECISIONS[:2], data=str(tmp_path / "a.csv.gz"), action="drop", verdict="outlier")
    assert gzip.decompress((tmp_path / "b.csv.gz").read_bytes()).count(b"\n") == 300
    undo(log, str(tmp_path / "c.csv.gz"))
    assert gzip.decompress((tmp_path / "c.csv.gz").read_bytes()) == scanned[0].read_bytes()


def json_texts(scanned):
    rows = pa.csv.read_csv(scanned[0]).to_pylist()
    names = {"ant": 1, "bee": 2, "cat": 3}
    return {
        "lines.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "array.json": json.dumps(rows, indent=2),
        "compact.json": json.dumps(rows, separators=(",", ":")),
        "numbers.jsonl": "".join(json.dumps(row | {"label": names[row["label"]]}) + "\r\n" for row in rows),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lines.jsonl", "array.json", "compact.json", "numbers.jsonl"])
def test_json_changes_in_place(name, scanned, tmp_path):
    text = json_texts(scanned)[name]
    (tmp_path / name).write_text(text, newline="")
    report = zcurate.scan(str(tmp_path / name), label="label", id="key", task="multiclass", epochs=1)
    label = "3" if name == "numbers.jsonl" else "cat"
    decisions = [{"row": 3, "decision": "relabel", "label": label}, {"row": 5, "decision": "drop"}, {"row": 299, "decision": "drop"}]
    log = report.apply(str(tmp_path / f"new-{name}"), decisions, data=str(tmp_path / name), verdict="outlier", min_p=1.0, action="drop")
    after = (tmp_path / f"new-{name}").read_bytes().decode()
    parse = (lambda text: [json.loads(line) for line in text.splitlines()]) if name.endswith("l") else json.loads
    rows = parse(text)
    rows[3]["label"] = json.loads(label) if name == "numbers.jsonl" else label
    assert parse(after) == [row for at, row in enumerate(rows) if at not in (5, 299)]
    undo(log, None)
    assert (tmp_path / f"new-{name}").read_bytes().decode() == text


@pytest.mark.slow
def test_json_gets_new_members(scanned, tmp_path):
    text = json_texts(scanned)["array.json"]
    (tmp_path / "a.json").write_text(text)
    report = zcurate.scan(str(tmp_path / "a.json"), label="label", id="key", epochs=1)
    report.apply(str(tmp_path / "b.json"), data=str(tmp_path / "a.json"), action="weight")
    rows = json.loads((tmp_path / "b.json").read_text())
    assert [{name: value for name, value in row.items() if name != "zcurate_weight"} for row in rows] == json.loads(text)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["label", "a", 'q"', "é"]), st.one_of(st.none(), st.integers(), st.text(max_size=4)), min_size=1), min_size=1, max_size=5),
    st.data(),
    st.booleans(),
)  # fmt: skip
def test_any_json_can_be_changed(rows, data, is_array):
    rows = [{"label": "x"} | row for row in rows]
    text = json.dumps(rows, indent=1, ensure_ascii=False) if is_array else "\n".join(json.dumps(row) for row in rows)
    drop = np.array([data.draw(st.booleans()) for _ in rows])
    label = {at: "new" for at in range(len(rows)) if not drop[at] and data.draw(st.booleans())}
    changes = Changes(drop, label, [row["label"] for row in rows])
    changed = edits.edited(text.encode(), applying.bytes_of(text, json_rows.json_edits(text, "label", changes, "a")))
    expected = [row | ({"label": "new"} if at in label else {}) for at, row in enumerate(rows) if not drop[at]]
    got = json.loads(changed) if is_array else [json.loads(line) for line in changed.splitlines() if line.strip()]
    for one, other in zip(got, expected, strict=True):
        assert {name: value for name, value in one.items() if name != "label"} == {name: value for name, value in other.items() if name != "label"}


CELLS = st.text(alphabet=["a", "é", ",", '"', "\n", " ", ";", "'"], max_size=4)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=2, max_size=5), st.data(), st.sampled_from([",", ";"]), st.sampled_from(["\n", "\r\n"]))
def test_any_csv_can_be_changed_and_changed_back(rows, data, delimiter, end):
    import csv
    import io

    from zcurate.data.delimited.layout import CsvLayout

    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if data.draw(st.booleans()) else csv.QUOTE_MINIMAL).writerows(
        [("x", "label", "y"), *[(f"r{one}", two, three) for one, two, three in rows]]
    )
    content = stream.getvalue().encode()
    drop = np.array([data.draw(st.booleans()) for _ in rows])
    label = {at: data.draw(CELLS) for at in range(len(rows)) if not drop[at] and data.draw(st.booleans())}
    changes = Changes(drop, label, [row[1].strip() for row in rows], added={"new, one": pa.array([row[2] for row in rows])} if data.draw(st.booleans()) else {})
    found = delimited.text_edits(content, CsvLayout(["x", "label", "y"], delimiter), "label", changes, "a.csv")
    changed = edits.edited(content, found)
    assert edits.edited(changed, edits.inverse(content, found)) == content
    got = list(csv.reader(io.StringIO(changed.decode(), newline=""), delimiter=delimiter))
    assert got[0] == ["x", "label", "y", *changes.added]
    kept = [at for at in range(len(rows)) if not drop[at]]
    assert [row[0] for row in got[1:]] == [f"r{rows[at][0]}" for at in kept]
    assert [row[1] for row in got[1:]] == [label.get(at, rows[at][1]) for at in kept]


def typed_tables(scanned):
    table = pa.csv.read_csv(scanned[0])
    codes = pa.array([["ant", "bee", "cat"].index(name) for name in table.column("label").to_pylist()], pa.int8())
    yield "text", table, "cat"
    yield "dictionary", table.set_column(3, "label", table.column("label").dictionary_encode()), "cat"
    yield "codes", table.set_column(3, "label", codes), "2"
    yield "truth", table.set_column(3, "label", pa.array([name == "cat" for name in table.column("label").to_pylist()])), "true"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_arrow_files_keep_types_and_metadata(kind, scanned, tmp_path):
    for name, table, label in typed_tables(scanned):
        table = table.replace_schema_metadata({b"mine": b"yes"})
        path, out = str(tmp_path / f"{name}.{kind}"), str(tmp_path / f"new-{name}.{kind}")
        if kind == "parquet":
            pq.write_table(table, path, compression="zstd", row_group_size=100)
        else:
            pa.feather.write_feather(table, path)
        report = zcurate.scan(path, label="label", id="key", task="auto" if name != "codes" else "multiclass", epochs=1)
        log = report.apply(out, [{"row": 3, "decision": "relabel", "label": label}, {"row": 5, "decision": "drop"}], data=path, verdict="outlier", min_p=1.0)
        after = columnar.read_table(out, kind)
        assert after.schema.field("label").type == table.schema.field("label").type
        assert after.schema.metadata[b"mine"] == b"yes"
        assert after.num_rows == 299
        as_text = [str(value).lower() for value in after.column("label").to_pylist()]
        assert as_text[3] == label
        expected = table.column("label").to_pylist()
        assert [value for at, value in enumerate(after.column("label").to_pylist()) if at != 3] == [
            value for at, value in enumerate(expected) if at not in (3, 5)
        ]
        if kind == "parquet":
            assert pq.read_metadata(out).row_group(0).column(0).compression == "ZSTD"
            assert pq.read_metadata(out).num_row_groups == 3
        undo(log, out)
        assert Path(out).read_bytes() == Path(path).read_bytes()


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for at, name in enumerate(("ant", "bee")):
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
            for k in range(10):
                Image.fromarray((rng.integers(0, 60, (9, 9)) + 120 * at).astype(np.uint8)).save(tmp_path / "pictures" / split / name / f"{k}.png")
    return tmp_path / "pictures"


@pytest.mark.slow
def test_pictures_become_a_manifest_or_a_new_tree(pictures, tmp_path):
    report = zcurate.scan(str(pictures), epochs=1, features="none")
    paths = report.table.column("path").to_pylist()
    one, other = paths.index("train/ant/3.png"), paths.index("test/bee/4.png")
    decisions = [{"row": one, "decision": "relabel", "label": "bee"}, {"row": other, "decision": "drop"}]
    before = {path: path.read_bytes() for path in pictures.rglob("*.png")}
    for name in ("m.csv", "m.jsonl"):
        report.apply(str(tmp_path / name), decisions, data=str(pictures))
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert lines[0].startswith("file_name,label,zcurate_verdict")
    assert next(line for line in lines if line.startswith("train/ant/3.png")).split(",")[1] == "bee"
    assert len(lines) == 40
    assert len((tmp_path / "m.jsonl").read_text().splitlines()) == 39
    report.apply(str(tmp_path / "copied"), decisions, data=str(pictures), copy=True)
    report.apply(str(tmp_path / "linked"), decisions, data=str(pictures), link=True)
    for tree in ("copied", "linked"):
        moved = {(tmp_path / tree / "train" / "bee" / name).read_bytes() for name in ("3.png", "3_2.png")}
        assert moved == {before[pictures / "train" / label / "3.png"] for label in ("ant", "bee")}
        names = sorted(str(path.relative_to(tmp_path / tree)) for path in (tmp_path / tree).rglob("*.png"))
        assert len(names) == 39
        assert "train/ant/3.png" not in names
        assert "test/bee/4.png" not in names
    assert (tmp_path / "linked" / "train" / "ant" / "1.png").is_symlink()
    assert {path: path.read_bytes() for path in pictures.rglob("*.png")} == before
    with pytest.raises(UsageError, match="exists — expected a folder that does not exist yet"):
        report.apply(str(tmp_path / "copied"), decisions, data=str(pictures), copy=True)


def test_a_label_cannot_lead_out_of_the_tree(pictures, tmp_path):
    from zcurate.report.apply.pictures import write_tree

    changes = Changes(np.zeros(1, bool), {0: "../../evil"}, ["ant"])
    with pytest.raises(UsageError, match="leads out of the folder"):
        write_tree(["train/ant/1.png"], str(pictures), changes, str(tmp_path / "out"), False)
    assert sorted(os.listdir(tmp_path)) == ["pictures"]


@pytest.mark.slow
def test_a_folder_of_parts_becomes_a_new_folder(scanned, tmp_path):
    lines = lines_of(scanned[0])
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.csv").write_bytes(b"".join(lines[:101]))
    (tmp_path / "parts" / "b.csv").write_bytes(lines[0] + b"".join(lines[101:]))
    report = zcurate.scan(str(tmp_path / "parts"), label="label", id="key", epochs=1)
    report.apply(str(tmp_path / "new"), DECISIONS, data=str(tmp_path / "parts"), action="drop", verdict="outlier", min_p=1.0)
    assert sorted(os.listdir(tmp_path / "new")) == ["a.csv", "b.csv"]
    assert len(lines_of(tmp_path / "new" / "a.csv")) == 100
    assert lines_of(tmp_path / "new" / "b.csv")[-1].endswith(b",ant\n")


def test_a_changed_input_needs_match(report, scanned, tmp_path):
    lines = lines_of(scanned[0])
    (tmp_path / "sorted.csv").write_bytes(lines[0] + b"".join(sorted(lines[1:], reverse=True)) + b"new,1.5,2.5,ant\n")
    with pytest.raises(ReportError, match="has changed since the scan"):
        report.apply(str(tmp_path / "o.csv"), DECISIONS, data=str(tmp_path / "sorted.csv"))
    report.apply(str(tmp_path / "o.csv"), DECISIONS, data=str(tmp_path / "sorted.csv"), match=True, action="drop", verdict="outlier", min_p=1.0)
    after = {line.split(b",")[0]: line for line in lines_of(tmp_path / "o.csv")}
    assert after[b"k3"].endswith(b",cat\n")
    assert b"k5" not in after
    assert len(after) == 301


@pytest.mark.slow
def test_a_text_that_cannot_be_edited_is_written_anew(scanned, tmp_path):
    (tmp_path / "a.csv").write_bytes(scanned[0].read_bytes().replace(b"\n", b"\r"))
    report = zcurate.scan(str(tmp_path / "a.csv"), label="label", id="key", epochs=1)
    applied = applying.apply(
        dataclasses.replace(report, path=str(tmp_path / "r.zcurate.parquet")),
        ApplyOptions(output=str(tmp_path / "b.csv"), data=str(tmp_path / "a.csv"), action="drop", verdict="outlier", min_p=1.0),
        applying_decisions(),
    )
    assert any("written anew" in text for text in applied.warnings)
    assert len(lines_of(tmp_path / "b.csv")) == 300


def applying_decisions():
    from zcurate.report.decision_files import decisions_of

    return decisions_of(DECISIONS)


BAD = [
    ({"output": "{input}"}, "is the input itself"),
    ({"output": "{report}"}, "is the report itself"),
    ({"output": "x.jsonl"}, "expected the format of the input, csv, or .parquet"),
    ({"output": "none/x.csv"}, "no folder"),
    ({"output": "x.csv", "action": "burn"}, "--action"),
    ({"output": "x.csv", "copy": True}, "the input is no folder of pictures"),
    ({"output": "x.csv", "verdict": "wrong"}, "--verdict"),
    ({"output": "x.csv", "decisions": [{"row": 1, "decision": "relabel", "label": "dog"}]}, "label 'dog' is no class"),
]


@pytest.mark.parametrize(("settings", "message"), BAD, ids=range(len(BAD)))
def test_bad_requests_write_nothing(settings, message, scanned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in scanned[:2]:
        shutil.copy(path, tmp_path / path.name)
    report = zcurate.load_report("blobs.zcurate.parquet")
    settings = dict(settings)
    output = settings.pop("output").format(input="blobs.csv", report="blobs.zcurate.parquet")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ZcurateError) as caught:
        report.apply(output, data="blobs.csv", **settings)
    assert message in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
