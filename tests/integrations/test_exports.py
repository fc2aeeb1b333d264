"""Exports: what other tools read, checked by their own code where it is installed, and the way back."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import zcurate
from zcurate.config.report_options import ExportOptions
from zcurate.errors import InputError, UsageError
from zcurate.integrations import argilla, fiftyone, hugging_face, label_studio, weights
from zcurate.integrations.imports import import_decisions
from zcurate.integrations.items import Items, items_of
from zcurate.report.weights import weights_of


@pytest.fixture(scope="module")
def report(scanned):
    return zcurate.load_report(str(scanned[1]))


@pytest.fixture(scope="module")
def items(report, scanned):
    return items_of(report, ExportOptions(to="hf", output="x", data=str(scanned[0])), every_row=True)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Items of a scan of 24 pictures."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("export") / "pictures"
    rng = np.random.default_rng(0)
    for at, name in enumerate(("a & b", 'c "d"')):
        (folder / name).mkdir(parents=True)
        for k in range(12):
            Image.fromarray((rng.integers(0, 60, (9, 9)) + 120 * at).astype(np.uint8)).save(folder / name / f"é {k}.png")
    report = zcurate.scan(str(folder), epochs=1, features="none")
    return items_of(report, ExportOptions(to="hf", output="x"), every_row=True)


@pytest.fixture(scope="module")
def targets():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    report = zcurate.scan(pa.table({"a": x[:, 0], "b": x[:, 1], "y": x[:, 0] * 3}), label="y", task="regression", epochs=1)
    return items_of(report, ExportOptions(to="hf", output="x"), every_row=True)


def all_items(request, names=("items", "pictures", "targets")):
    return [request.getfixturevalue(name) for name in names]


def test_items_hold_the_cells_and_keys(items, report):
    assert len(items.items) == 300
    first = items.items[0]
    assert set(first.cells) == {"key", "a", "b"}
    assert first.cells["key"] == first.key == report.table.column("id")[first.row].as_py()
    assert len(first.fingerprint) == 16
    assert [item.row for item in items.items] == report.table.sort_by("rank").column("row").to_pylist()


def test_without_every_row_only_suspicious_ones_go(report, scanned):
    some = items_of(report, ExportOptions(to="argilla", output="x", data=str(scanned[0])), every_row=False)
    assert {item.verdict for item in some.items} <= {"incorrect", "suspect"}
    assert len(items_of(report, ExportOptions(to="argilla", output="x", top=7), every_row=False).items) == 7
    with pytest.raises(UsageError, match="no row is selected"):
        items_of(report, ExportOptions(to="argilla", output="x", verdict="skipped"), every_row=False)


def test_label_studio_takes_tasks_and_configuration(request, tmp_path):
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    for at, one in enumerate(all_items(request)):
        (tmp_path / str(at)).mkdir()
        label_studio.write(one, str(tmp_path / str(at)), "out")
        checker = interface.LabelInterface((tmp_path / str(at) / "config.xml").read_text())
        checker.validate()
        for task in json.loads((tmp_path / str(at) / "tasks.json").read_text()):
            assert checker.validate_task({"data": task["data"]})
            assert checker.validate_prediction(task["predictions"][0], return_errors=True) == []


def test_label_studio_as_documented(request, tmp_path):
    for at, one in enumerate(all_items(request)):
        (tmp_path / str(at)).mkdir()
        label_studio.write(one, str(tmp_path / str(at)), "out")
        root = ET.fromstring((tmp_path / str(at) / "config.xml").read_text())
        choices = [choice.get("value") for choice in root.iter("Choice")]
        assert choices == [*one.classes, "Cannot tell"]
        shown = next(child.get("value") for child in root if child.get("name") == "item").removeprefix("$")
        tasks = json.loads((tmp_path / str(at) / "tasks.json").read_text())
        assert len(tasks) == len(one.items)
        for task, item in zip(tasks, one.items, strict=True):
            assert task["data"][shown]
            prediction = task["predictions"][0]
            assert prediction["score"] == pytest.approx(1.0 if item.p_incorrect is None else 1 - item.p_incorrect, abs=1e-5)
            value = prediction["result"][0]["value"]
            assert value == {"choices": [item.suggested or item.given]} if one.classes else "number" in value
            assert task["data"]["row"] == item.row


def test_a_class_that_xml_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="cannot be a choice in Label Studio"):
        label_studio.config(Items([], ("a\nb", "c"), "label"))
    assert Items([], ("Cannot tell",), "label").cannot_tell == "Cannot tell (zcurate)"


def annotated(one, tmp_path):
    """An export of Label Studio as it documents it: the first three rows relabeled, kept and not told, the fourth skipped."""
    (tmp_path / "t").mkdir()
    label_studio.write(one, str(tmp_path / "t"), "out")
    tasks = json.loads((tmp_path / "t" / "tasks.json").read_text())[:4]
    choices = [next(name for name in one.classes if name != tasks[0]["data"]["given_label"]), tasks[1]["data"]["given_label"], "Cannot tell", one.classes[0]]
    out = []
    for k, (task, choice) in enumerate(zip(tasks, choices, strict=True)):
        result = [{"id": "r", "from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": [choice]}}]
        facts = {
            "id": k,
            "completed_by": 1,
            "result": result,
            "was_cancelled": k == 3,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-02T00:00:00Z",
        }
        out.append({**task, "id": k, "annotations": [facts]})
    (tmp_path / "export.json").write_text(json.dumps(out))
    return tasks, choices, out


def test_label_studio_comes_back(items, tmp_path):
    tasks, choices, out = annotated(items, tmp_path)
    found, warnings = import_decisions(str(tmp_path / "export.json"))
    assert warnings == []
    assert [(one.decision, one.label) for one in found] == [("relabel", choices[0]), ("keep", None), ("unsure", None)]
    assert [one.row for one in found] == [task["data"]["row"] for task in tasks[:3]]
    assert found[0].fingerprint == tasks[0]["data"]["fingerprint"]
    assert (found[0].by, found[0].at) == ("1", "2026-01-02T00:00:00Z")
    small = [
        {**one["data"], "label": choice, "annotator": 1, "annotation_id": k, "id": k} for k, (one, choice) in enumerate(zip(out[:3], choices, strict=False))
    ]
    (tmp_path / "min.json").write_text(json.dumps(small))
    assert [(one.decision, one.label) for one in import_decisions(str(tmp_path / "min.json"))[0]] == [(one.decision, one.label) for one in found]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [name for name in small[0] if name != "cells"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(small)
    (tmp_path / "e.csv").write_text(stream.getvalue())
    assert [(one.decision, one.label) for one in import_decisions(str(tmp_path / "e.csv"))[0]] == [(one.decision, one.label) for one in found]


def test_label_studio_s_own_converter_comes_back(items, tmp_path):
    converter = pytest.importorskip("label_studio_sdk.converter", reason="label-studio-sdk is not installed")
    annotated(items, tmp_path)
    own = converter.Converter(config=(tmp_path / "t" / "config.xml").read_text(), project_dir=str(tmp_path), download_resources=False)
    own.convert(str(tmp_path / "export.json"), str(tmp_path / "min"), "JSON_MIN", is_dir=False)
    found = import_decisions(str(tmp_path / "min" / "result.json"))[0]
    assert [one.decision for one in found] == ["relabel", "keep", "unsure"]


def test_people_who_disagree_are_unsure(items, tmp_path):
    _, choices, out = annotated(items, tmp_path)
    second = json.loads(json.dumps(out[0]["annotations"][0]))
    second["result"][0]["value"]["choices"] = [next(name for name in items.classes if name != choices[0])]
    out[0]["annotations"].append(second)
    (tmp_path / "export.json").write_text(json.dumps(out))
    found, warnings = import_decisions(str(tmp_path / "export.json"))
    assert found[0].decision == "unsure"
    assert choices[0] in found[0].note
    assert "1 rows on which people disagree" in warnings[0]


def test_argilla_as_documented(request, tmp_path):
    for at, one in enumerate(all_items(request)):
        folder = tmp_path / f"a{at}"
        folder.mkdir()
        argilla.write(one, str(folder), "out")
        settings = json.loads((folder / ".argilla" / "settings.json").read_text())
        records = json.loads((folder / "records.json").read_text())
        fields = {field["name"]: field["required"] for field in settings["fields"]}
        questions = {question["name"]: question["settings"] for question in settings["questions"]}
        for record in records:
            assert set(record["fields"]) <= set(fields)
            assert all(record["fields"].get(name) for name, required in fields.items() if required)
            for name, suggestion in record["suggestions"].items():
                options = questions[name].get("options")
                assert options is None or suggestion["value"] in [option["value"] for option in options]
        assert all(len(kind["options"]) >= 2 for kind in questions.values() if "options" in kind)
    assert json.loads((tmp_path / "a1" / "records.json").read_text())[0]["fields"]["image"].startswith("data:image/jpeg;base64,")


def test_argilla_comes_back(items, tmp_path):
    (tmp_path / "a").mkdir()
    assert "from_disk('out'" in argilla.write(items, str(tmp_path / "a"), "out")[0]
    records = json.loads((tmp_path / "a" / "records.json").read_text())[:4]
    other = next(name for name in items.classes if name != records[0]["fields"]["given_label"])
    values = [(other, "submitted"), (records[1]["fields"]["given_label"], "submitted"), (argilla.UNKNOWN, "submitted"), (other, "draft")]
    flat = []
    for record, (value, status) in zip(records, values, strict=True):
        record["responses"] = {"label": [{"value": value, "user_id": "u1", "status": status}]}
        flat.append({**record["fields"], **record["metadata"], "label.responses": [value], "label.responses.users": ["u1"], "label.responses.status": [status]})
    for name, content in (("nested.json", records), ("flat.json", flat)):
        (tmp_path / name).write_text(json.dumps(content))
        found = import_decisions(str(tmp_path / name))[0]
        assert [(one.decision, one.label) for one in found] == [("relabel", other), ("keep", None), ("unsure", None)]
        assert [one.row for one in found] == [record["metadata"]["row"] for record in records[:3]]


def test_rows_that_are_alike_keep_an_answer_each(tmp_path):
    tasks = []
    for row in (0, 1):
        data = {"row": row, "fingerprint": "f" * 16, "given_label": "cat"}
        tasks.append({"data": data, "annotations": [{"result": [{"value": {"choices": [("cat", "dog")[row]]}}]}]})
    (tmp_path / "e.json").write_text(json.dumps(tasks))
    found, warnings = import_decisions(str(tmp_path / "e.json"))
    assert [(one.row, one.decision, one.label) for one in found] == [(0, "keep", None), (1, "relabel", "dog")]
    assert warnings == []


def test_fiftyone_as_documented_and_back(pictures, items, tmp_path):
    fiftyone.write(pictures, str(tmp_path), "out")
    content = json.loads((tmp_path / "samples.json").read_text())
    assert list(content) == ["samples"]
    samples = content["samples"]
    assert all((tmp_path / sample["filepath"]).is_file() for sample in samples)
    assert all(sample["given_label"]["_cls"] == "Classification" for sample in samples)
    samples[0]["tags"].append("zc:keep")
    samples[1]["decision"] = {"_cls": "Classification", "label": pictures.classes[0]}
    samples[2]["tags"].append("cannot_tell")
    (tmp_path / "samples.json").write_text(json.dumps(content))
    found = import_decisions(str(tmp_path / "samples.json"))[0]
    assert [one.decision for one in found] == ["keep", "relabel", "unsure"]
    assert found[1].label == pictures.classes[0]
    assert [one.path for one in found] == [sample["zc_path"] for sample in samples[:3]]
    with pytest.raises(UsageError, match="FiftyOne shows pictures"):
        fiftyone.write(items, str(tmp_path), "out")


def test_hugging_face_folders_are_complete(items, pictures, tmp_path):
    (tmp_path / "t").mkdir()
    hugging_face.write(items, str(tmp_path / "t"), "out")
    table = pq.read_table(next((tmp_path / "t" / "data").iterdir()))
    assert table.num_rows == 300
    assert table.schema.field("decision").type == pa.string()
    assert {"key", "a", "b", "given", "suggested", "p_incorrect"} <= set(table.column_names)
    (tmp_path / "p").mkdir()
    hugging_face.write(pictures, str(tmp_path / "p"), "out")
    rows = [json.loads(line) for line in (tmp_path / "p" / "metadata.jsonl").read_text().splitlines()]
    assert all((tmp_path / "p" / row["file_name"]).is_file() for row in rows)
    assert len({tuple(row) for row in rows}) <= 2


def test_datasets_loads_both(items, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    for name, one in (("t", items), ("p", pictures)):
        (tmp_path / name).mkdir()
        hugging_face.write(one, str(tmp_path / name), "out")
    table = datasets.load_dataset(str(tmp_path / "t"), split="train", cache_dir=str(tmp_path / "c"))
    assert len(table) == 300
    found = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "p"), split="train", cache_dir=str(tmp_path / "c"))
    assert {found[at]["image"].size for at in range(len(found))} == {(9, 9)}


def test_weights_are_one_per_row(report, tmp_path):
    expected = 1 - report.table.column("p_incorrect").to_numpy()
    for name in ("w.npy", "w.parquet", "w.txt"):
        with open(tmp_path / name, "wb") as stream:
            weights.write(report, stream, name)
    np.testing.assert_allclose(np.load(tmp_path / "w.npy"), expected, atol=1e-6)
    np.testing.assert_allclose(pq.read_table(tmp_path / "w.parquet").column("weight").to_numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "w.txt"), expected, atol=1e-4)
    decided = report.update([{"row": 3, "decision": "keep"}, {"row": 4, "decision": "drop"}])
    for scheme in ("judged", "flow", "eg"):
        assert weights_of(decided, scheme)[[3, 4]].tolist() == [1, 0]


def test_weights_by_loss(report):
    table = report.table
    loss = -np.log(np.maximum(table.column("p_given").to_numpy(), 1e-6))
    flow = weights_of(report, "flow")
    np.testing.assert_allclose(flow, np.exp(-loss / np.median(loss)), rtol=1e-4)
    expected = np.zeros(len(table))
    for epoch in np.array(table.column("loss_curve").to_pylist(), float).T:
        expected = 0.9 * expected - 0.1 * np.minimum(epoch, 5)
    np.testing.assert_allclose(weights_of(report, "eg"), np.exp(expected - expected.max()), rtol=1e-4)
    assert weights_of(report, "eg")[report.called("incorrect")].mean() < weights_of(report, "eg")[report.called("clean")].mean()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "broken JSON"),
        ("a.json", "[]", "no objects"),
        ("a.json", '[{"x": 1}]', "no annotations of a known tool"),
        ("a.csv", "x,y\n1,2\n", "no column 'decision'"),
        ("none.json", None, "cannot be read"),
    ],
)
def test_what_no_tool_wrote_is_refused(name, text, message, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        import_decisions(str(tmp_path / name))


def test_the_commands_write_whole_folders_or_nothing(scanned, run, here):
    for path in scanned[:2]:
        shutil.copy(path, here / path.name)
    code, _, err = run("export", "blobs.zcurate.parquet", "--to", "label-studio", "-o", "tasks", "--top", "5", "--data", "blobs.csv")
    assert code == 0
    assert re.search(r"written   tasks  5 rows", err)
    code, _, err = run("export", "blobs.zcurate.parquet", "--to", "label-studio", "-o", "tasks")
    assert (code, "exists" in err) == (2, True)
    for words, message in (
        (("export", "blobs.zcurate.parquet", "-o", "x"), "for which tool?"),
        (("export", "blobs.zcurate.parquet", "--to", "argila", "-o", "x"), "argilla"),
        (("export", "blobs.zcurate.parquet", "--to", "fiftyone", "-o", "x"), "FiftyOne shows pictures"),
        (("export", "blobs.zcurate.parquet", "--to", "weights", "-o", "blobs.csv", "--data", "blobs.csv"), "is the input itself"),
        (("export", "blobs.zcurate.parquet", "--to", "weights", "-o", "w.npy", "--scheme", "flo"), "did you mean --scheme flow"),
        (("export", "blobs.zcurate.parquet", "--to", "hf", "-o", "h", "--scheme", "flow"), "expected --to weights"),
        (("decisions", "export", "x"), "expected zcurate decisions import FILE"),
        (("decisions", "import", "none.json"), "cannot be read"),
    ):
        code, _, err = run(*words)
        assert code == 2
        assert message in err
    assert sorted(path.name for path in here.iterdir()) == ["blobs.csv", "blobs.zcurate.parquet", "tasks"]
    (here / "d.csv").write_text("row,decision\n1,keep\n")
    code, out, _ = run("decisions", "import", "d.csv")
    assert (code, out) == (0, "row,decision,label\n1,keep,\n")
