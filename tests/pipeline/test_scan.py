"""Whole scans of small data: N rows in, N rows out, and every column of the schema."""

from __future__ import annotations

import csv
import os
import tempfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import zcurate
from zcurate.errors import InputError, UsageError
from zcurate.report import schema
from zcurate.runtime.progress import NoProgress

KINDS = {
    "row": pa.int64(), "given": pa.string(), "suggested": pa.string(), "p_suggested": pa.float32(), "verdict": pa.dictionary(pa.int32(), pa.string()),
    "p_incorrect": pa.float32(), "p_hard": pa.float32(), "p_outlier": pa.float32(), "rank": pa.int64(), "reasons": pa.list_(pa.string()),
    "z_score": pa.float32(), "z_max": pa.float32(), "z_last": pa.float32(), "mask_frequency": pa.float32(), "n_seen": pa.int32(),
    "n_masked": pa.int32(), "loss_mean": pa.float32(), "confidence_mean": pa.float32(), "confidence_std": pa.float32(),
    "margin_mean": pa.float32(), "learned_epoch": pa.int32(), "n_forgotten": pa.int32(), "predicted": pa.string(), "p_given": pa.float32(),
    "margin_heldout": pa.float32(), "entropy_heldout": pa.float32(), "copies_other": pa.float32(), "loss_curve": pa.list_(pa.float32()), "margin_curve": pa.list_(pa.float32()),
    "z_curve": pa.list_(pa.float32()), "clues": pa.list_(pa.float32()), "top_classes": pa.list_(pa.string()), "top_probabilities": pa.list_(pa.float32()),
}  # fmt: skip
REGRESSION = {name: pa.float64() for name in ("given", "suggested", "predicted", "residual", "residual_z", "interval_low", "interval_high")}


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    from tests.conftest import blobs_csv

    path, wrong = blobs_csv.__wrapped__(tmp_path_factory.mktemp("blobs"))
    return zcurate.scan(str(path), id="key"), wrong, path


class WarningRecorder(NoProgress):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def column(report, name):
    return report.table.column(name).to_numpy(zero_copy_only=False)


def test_every_column_has_its_type(scanned):
    report, _, _ = scanned
    types = {field.name: field.type for field in report.table.schema}
    for name, kind in KINDS.items():
        assert types[name] == kind, name
    assert set(types) == set(KINDS) | {"id", "telling", "fingerprint"}
    assert set(types) <= set(schema.COLUMN_DOCS)


def test_wrong_rows_are_found(scanned):
    report, wrong, _ = scanned
    flagged = set(np.flatnonzero(column(report, "verdict") == "incorrect").tolist())
    assert len(flagged & wrong) >= 20
    assert len(flagged - wrong) <= 5
    highest = set(report.top(24).column("row").to_pylist())
    assert len(highest & wrong) >= 20


def test_suggestions_are_right_where_rows_are_wrong(scanned):
    report, wrong, _ = scanned
    truth = ["ant", "bee", "cat"]
    rows = report.table.to_pylist()
    right = sum(rows[at]["suggested"] == truth[at // 80] for at in wrong)
    assert right >= 20


def test_rows_are_in_the_order_of_the_input_with_their_key(scanned):
    report, _, _ = scanned
    assert column(report, "row").tolist() == list(range(240))
    assert column(report, "id").tolist() == [f"k{at}" for at in range(240)]


def test_mask_frequency_is_the_share_of_masked_visits(scanned):
    report, _, _ = scanned
    np.testing.assert_allclose(column(report, "mask_frequency"), column(report, "n_masked") / column(report, "n_seen"), rtol=1e-6)


def test_ranks_follow_the_probabilities(scanned):
    report, _, _ = scanned
    rank = column(report, "rank")
    assert sorted(rank.tolist()) == list(range(1, 241))
    suspicious = (column(report, "p_incorrect") + column(report, "p_outlier"))[np.argsort(rank)]
    assert (np.diff(suspicious) <= 1e-6).all()


def test_the_run_card_describes_the_scan(scanned):
    report, _, path = scanned
    card = report.card
    assert card["input"]["path"] == str(path)
    assert card["columns"]["label"] == "label"
    assert {entry["name"] for entry in card["columns"]["features"]} == {"a", "b", "colour"}
    assert card["noise_rate"]["low"] < card["noise_rate"]["estimate"] < card["noise_rate"]["high"]
    assert len(card["calibration"]) == 10
    assert card["judged"]
    assert card["skill"]["enough"]
    assert [entry["name"] for entry in card["thresholds"]["class_cutoffs"]] == ["ant", "bee", "cat"]


def test_the_same_scan_gives_the_same_report(scanned):
    report, _, path = scanned
    again = zcurate.scan(str(path), id="key")
    assert again.table.equals(report.table)


def test_a_frame_and_an_arrow_table_give_the_report_of_the_file(scanned):
    report, _, path = scanned
    frame = pd.read_csv(path)
    expected = report.table.drop_columns(["id"])
    assert zcurate.scan(frame, id="key").table.drop_columns(["id"]).equals(expected)
    assert zcurate.scan(pa.Table.from_pandas(frame, preserve_index=False), id="key").table.drop_columns(["id"]).equals(expected)


def test_unlabelled_rows_have_a_prediction(blobs_csv):
    path, _ = blobs_csv
    frame = pd.read_csv(path, index_col="key")
    frame.loc[frame.index[:40], "label"] = None
    report = zcurate.scan(frame)
    rows = report.table.to_pylist()[:40]
    assert {row["verdict"] for row in rows} == {"unlabelled"}
    assert {row["rank"] for row in rows} == {None}
    assert {row["p_incorrect"] for row in rows} == {None}
    assert sum(row["predicted"] == "ant" for row in rows) >= 34


def test_regression_has_its_own_columns():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = 50 + 10 * x[:, 0] - 5 * x[:, 1] + rng.normal(0, 1, 400)
    wrong = rng.choice(400, 20, replace=False)
    y[wrong] *= 10
    report = zcurate.scan(pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "label": y}))
    types = {field.name: field.type for field in report.table.schema}
    only_classes = {"top_classes", "top_probabilities"}
    for name, kind in {**KINDS, **REGRESSION}.items():
        assert name in only_classes or types[name] == kind, name
    assert not only_classes & set(types)
    flagged = set(np.flatnonzero(column(report, "verdict") == "incorrect").tolist())
    assert len(flagged & set(wrong.tolist())) >= 18
    assert len(flagged - set(wrong.tolist())) <= 6
    inside = (column(report, "interval_low") <= y) & (y <= column(report, "interval_high"))
    right = np.setdiff1d(np.arange(400), wrong)
    assert 0.8 < inside[right].mean() < 0.98
    np.testing.assert_allclose(column(report, "residual"), y - column(report, "predicted"))


def test_rows_and_labels_apart_give_the_report_of_the_frame():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.normal(size=(60, 2)) + 3 * y[:, None]
    expected = zcurate.scan(pd.DataFrame(x, columns=["x0", "x1"]).assign(label=y), epochs=3).table
    for labels in (y, y.tolist(), pd.Series(y)):
        assert zcurate.scan(x, labels, epochs=3).table.equals(expected)
    named = zcurate.scan(x, y, label="species", epochs=3)
    assert (named.card["columns"]["label"], named.card["input"]["format"]) == ("species", "numpy")


@pytest.mark.parametrize(("y", "told"), [("species", "did you mean label='species'"), ([1, 2], "pass label='...'"), (pd.Series(["a"]), "pass label='...'")])
def test_labels_apart_from_a_file_are_refused(y, told):
    with pytest.raises(UsageError, match=f"scan: y with the path 'a.csv' — .*{told}"):
        zcurate.scan("a.csv", y)


@pytest.mark.slow
def test_labels_at_random_are_not_judged():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    frame["label"] = rng.choice(["x", "y"], 300)
    report = zcurate.scan(frame)
    assert set(column(report, "verdict")) == {"unjudged"}
    assert report.table.column("p_incorrect").null_count == 300
    assert report.table.column("z_score").null_count == 0
    assert not report.card["judged"]


def test_few_rows_are_trained_on_but_not_judged():
    frame = pd.DataFrame({"a": np.arange(10) + 0.5, "label": ["x", "y"] * 5})
    report = zcurate.scan(frame)
    assert report.card["why_unjudged"] == "10 labelled rows, 20 needed"
    assert len(report) == 10


def test_a_class_of_one_row_is_no_obstacle():
    frame = pd.DataFrame({"a": np.r_[np.random.default_rng(0).normal(0, 1, 60), np.random.default_rng(1).normal(6, 1, 60), 3.3]})
    frame["label"] = ["x"] * 60 + ["y"] * 60 + ["z"]
    report = zcurate.scan(frame)
    assert report.card["judged"]
    assert len(report) == 121


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_every_table_model_scans(blobs_csv, model):
    path, wrong = blobs_csv
    report = zcurate.scan(str(path), model=model, epochs=10)
    assert report.card["model"]["name"] == model
    assert len(set(report.top(24).column("row").to_pylist()) & wrong) >= 18


@pytest.mark.slow
def test_a_model_from_a_python_file_scans(blobs_csv, tmp_path):
    path, wrong = blobs_csv
    own = tmp_path / "own.py"
    own.write_text(
        "import torch\n\ndef net(shape, n_outputs):\n    return torch.nn.Sequential(torch.nn.Linear(shape[0], 16), torch.nn.ReLU(), torch.nn.Linear(16, n_outputs))\n"
    )
    first, second = (zcurate.scan(str(path), model=f"{own}:net", epochs=20) for _ in range(2))
    assert len(set(first.top(24).column("row").to_pylist()) & wrong) >= 14
    assert first.table.equals(second.table)


def test_pictures_are_scanned_whatever_their_order():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    images = np.full((80, 8, 8), 30, np.uint8)
    images[y == 0, :, :4] = 220
    images[y == 1, :, 4:] = 220
    images = np.clip(images + rng.normal(0, 20, images.shape), 0, 255).astype(np.uint8)
    given = y.copy()
    given[[3, 10, 44]] = 1 - given[[3, 10, 44]]
    order = rng.permutation(80)
    reports = []
    for take in (np.arange(80), order):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.npz")
            np.savez(path, images=images[take], labels=given[take])
            reports.append(zcurate.scan(path, epochs=8))
    forth, back = (column(report, "p_incorrect") for report in reports)
    assert reports[0].card["judged"]
    np.testing.assert_array_equal(forth[order], back)
    assert {3, 10, 44} < set(reports[0].top(8).column("row").to_pylist())


@pytest.mark.slow
def test_pictures_with_numbers_for_labels_are_a_regression(tmp_path):
    rng = np.random.default_rng(0)
    bright = rng.uniform(20, 230, 120)
    images = np.clip(bright[:, None, None] + rng.normal(0, 5, (120, 8, 8)), 0, 255).astype(np.uint8)
    path = tmp_path / "a.npz"
    np.savez(path, images=images, labels=bright / 10 + 0.001)
    report = zcurate.scan(str(path), epochs=25)
    assert report.card["task"]["kind"] == "regression"
    assert report.card["judged"]
    assert np.corrcoef(column(report, "predicted"), bright)[0, 1] > 0.8


@pytest.mark.slow
def test_texts_with_numbers_for_labels_are_a_regression():
    rng = np.random.default_rng(0)
    n_good = rng.integers(0, 6, 200)
    notes = [" ".join(["good"] * k + ["plain"] * (6 - k) + [f"row{rng.integers(50)}"]) for k in n_good]
    frame = pd.DataFrame({"note": notes, "label": n_good + rng.normal(0, 0.1, 200)})
    report = zcurate.scan(frame)
    assert report.card["task"]["kind"] == "regression"
    assert len(report) == 200


def test_the_report_is_written_to_output(blobs_csv, tmp_path):
    path, _ = blobs_csv
    out = tmp_path / "out.zcurate.parquet"
    report = zcurate.scan(str(path), output=str(out), epochs=2)
    assert zcurate.load_report(str(out)).table.equals(report.table)
    assert pq.read_metadata(out).num_rows == 240


def test_extreme_numbers_are_no_obstacle():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    y = x[:, 0] + 0.1 * rng.normal(size=120)
    y[3], y[4] = 1e39, np.inf
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": y})
    frame.loc[0, "b"], frame.loc[1, "b"] = 1e300, np.inf
    frame["v"] = [[1.0, np.inf], *[[float(k), 1e38] for k in range(119)]]
    report = zcurate.scan(frame, epochs=15)
    rows = report.table.to_pylist()
    assert rows[3]["verdict"] == "incorrect"
    assert rows[4]["verdict"] == "unlabelled"
    floats = [name for name in report.table.column_names if pa.types.is_float32(report.table.schema.field(name).type)]
    assert all(np.isfinite(column(report, name)[~np.isnan(column(report, name))]).all() for name in floats)


def test_frames_with_odd_columns_are_read():
    n = 60
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=n), "label": ["a", "b"] * 30})
    frame["mixed"] = [1, "two", None] * 20
    frame["span"] = pd.to_timedelta(np.arange(n) % 7, unit="h")
    frame["bins"] = pd.cut(frame["x"], 3)
    frame["day"] = pd.date_range("2024-01-01", periods=n, freq="7h").as_unit("ns") + pd.Timedelta(1, "ns")
    report = zcurate.scan(frame, epochs=2)
    assert len(report) == n


@pytest.mark.parametrize("setting", [{"label": 3}, {"epochs": "3"}, {"threshold": "0.5"}, {"seed": None}, {"task": None}, {"epochs": True}])
def test_settings_of_the_wrong_type_are_refused(setting):
    with pytest.raises(UsageError, match="expected"):
        zcurate.scan("a.csv", **setting)


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(UsageError, match=r"no setting 'lable' .* did you mean label\?"):
        zcurate.scan("a.csv", lable="x")


def test_data_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="data of type list"):
        zcurate.scan([1, 2, 3])


def test_rows_that_cannot_be_read_are_in_the_report(tmp_path):
    path = tmp_path / "ragged.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "label"])
        for at in range(60):
            writer.writerow([rng.normal(5 * (at % 2)), "xy"[at % 2]] + (["extra"] if at == 7 else []))
    report = zcurate.scan(str(path))
    assert len(report) == 60
    row = report.table.to_pylist()[7]
    assert (row["verdict"], row["rank"], row["p_incorrect"]) == ("skipped", None, None)
    assert report.card["skipped"] == [{"row": 7, "reason": "3 fields where the header has 2", "line": 9}]


def test_a_missing_file_is_an_input_error():
    with pytest.raises(InputError, match="no such file"):
        zcurate.scan("nowhere.csv")


def test_a_precision_out_of_reach_is_a_warning_and_flags_no_row(tmp_path):
    from tests.conftest import blobs_csv

    path, _ = blobs_csv.__wrapped__(tmp_path)
    progress = WarningRecorder()
    report = zcurate.scan(str(path), id="key", epochs=4, precision=0.99999, progress=progress)
    assert report.counts().get("incorrect", 0) == 0
    assert any("out of reach" in text for text in progress.warnings)


def test_pairs_of_classes_have_an_expected_number_of_wrong_rows(scanned):
    report, _, _ = scanned
    p = report.table.column("p_incorrect").to_numpy(zero_copy_only=False)
    pairs = report.card["pairs"]
    assert pairs and all(entry["low"] <= entry["expected"] <= entry["high"] for entry in pairs)
    assert sum(entry["expected"] for entry in pairs) == pytest.approx(np.nansum(p), rel=0.1)
    assert sum(entry["rows"] for entry in pairs) <= report.counts()["incorrect"]


@pytest.fixture(scope="module")
def rules():
    """500 rows whose class depends on two thresholds, which trees learn from fewer rows than a perceptron; 10 % of labels wrong."""
    rng = np.random.default_rng(2)
    x = rng.random((500, 6))
    truth = ((x[:, 0] > 0.4) ^ (x[:, 1] > 0.6)).astype(int)
    wrong = rng.permutation(500) < 50
    return pd.DataFrame(x, columns=list("abcdef")).assign(label=np.array(["no", "yes"])[np.where(wrong, 1 - truth, truth)]), wrong


@pytest.mark.slow
def test_auxiliary_models_join_the_held_out_predictions_and_find_more(rules, tmp_path):
    frame, wrong = rules
    (tmp_path / "members.toml").write_text("ensemble = []")
    both, members = (zcurate.scan(frame, epochs=8, model=model) for model in ("auto", str(tmp_path / "members.toml")))
    assert members.card["heldout"] == {"members": 1.0}
    assert set(both.card["heldout"]) > {"members"}
    assert sum(both.card["heldout"].values()) == pytest.approx(1, abs=0.01)
    assert both.card["model"]["ensemble"] == ("boosted", "forest") and "trees" in both.card["costs"]
    found = [wrong[np.argsort(column(one, "rank"))[:50]].mean() for one in (both, members)]
    assert found[0] >= found[1]
    assert (both.table.column("predicted").to_numpy() == frame["label"]).mean() > 0.8


def test_a_scan_continues_without_tree_models_and_warns(rules, monkeypatch):
    from zcurate.training.auxiliary import tree_worker

    def fails(*args, **settings):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(tree_worker.subprocess, "Popen", fails)
    progress = WarningRecorder()
    report = zcurate.scan(rules[0], epochs=4, progress=progress)
    assert report.card["heldout"] == {"members": 1.0}
    assert [text for text in progress.warnings if "Resource temporarily unavailable" in text]


def test_an_error_before_training_leaves_no_process_behind(rules, monkeypatch):
    from zcurate.encoding import encoder
    from zcurate.training.auxiliary import tree_worker

    children = []
    start = tree_worker.TreeWorker.start
    monkeypatch.setattr(tree_worker.TreeWorker, "start", lambda self: children.append(start(self)) or children[-1])

    def fails(*args):
        raise UsageError("no")

    monkeypatch.setattr(encoder, "encode_resident", fails)
    with pytest.raises(UsageError):
        zcurate.scan(rules[0])
    assert [child.returncode is not None for child in children] == [True]


def test_unknown_auxiliary_models_are_refused(blobs_csv, tmp_path):
    (tmp_path / "m.toml").write_text('ensemble = ["forrest"]')
    with pytest.raises(UsageError, match="forrest"):
        zcurate.scan(str(blobs_csv[0]), model=str(tmp_path / "m.toml"))
    (tmp_path / "m.toml").write_text('ensemble = "forest"')
    with pytest.raises(UsageError, match="a list of kinds of models"):
        zcurate.scan(str(blobs_csv[0]), model=str(tmp_path / "m.toml"))


def test_an_infinite_setting_is_written_as_toml_spells_it(blobs_csv, tmp_path):
    (tmp_path / "m.toml").write_text("z_threshold = inf\nz_start = inf\nepochs = 2\n")
    report = zcurate.scan(str(blobs_csv[0]), id="key", model=str(tmp_path / "m.toml"), output=str(tmp_path / "r.zcurate.parquet"))
    assert report.card["model"]["z"]["z_threshold"] == "inf"
    assert zcurate.load_report(str(tmp_path / "r.zcurate.parquet")).card["model"]["z"]["z_start"] == "inf"
