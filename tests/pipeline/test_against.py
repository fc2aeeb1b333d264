"""`scan NEW --against REPORT`: new rows are judged by the model of an earlier scan, without its data, and their drift is told."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

import zcurate
from zcurate.errors import UsageError
from zcurate.pipeline.against import drift_warnings
from zcurate.report.listing import reread_input

NAMES = np.array(["ant", "bee", "cat"])
CENTERS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])


def table(n: int, seed: int, n_wrong: int, shares=(1 / 3, 1 / 3, 1 / 3), far: int = 0):
    """A table of numbers, categories, times and vectors with three classes, and which of its rows are wrong."""
    rng = np.random.default_rng(seed)
    true = rng.choice(3, n, p=shares)
    x = CENTERS[true] + rng.normal(0, 0.7, (n, 2))
    x[:far] = 60 * rng.choice([-1, 1], (far, 2))
    wrong = np.zeros(n, bool)
    wrong[rng.choice(np.arange(far, n), n_wrong, replace=False)] = True
    given = np.where(wrong, (true + rng.integers(1, 3, n)) % 3, true)
    columns = {
        "a": x[:, 0],
        "b": np.where(np.arange(n) % 17 == 5, np.nan, x[:, 1]),
        "kind": np.array(["x", "y", "z"])[np.where(rng.random(n) < 0.7, true, rng.integers(0, 3, n))],
        "when": np.datetime64("2024-01-01") + (10 * true + rng.integers(0, 30, n)).astype("timedelta64[D]"),
        "vector": list(np.stack([x[:, 0] + x[:, 1], rng.normal(size=n)], 1).astype(np.float32)),
        "label": NAMES[given],
    }
    return pa.table(columns), wrong


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The path of a report whose model was kept."""
    folder = tmp_path_factory.mktemp("earlier")
    zcurate.scan(table(400, 0, 40)[0], label="label", epochs=12, output=str(folder / "old.zcurate.parquet"), keep_model=True)
    return str(folder / "old.zcurate.parquet")


def test_wrong_labels_of_new_rows_are_found_without_the_earlier_data(earlier):
    new, wrong = table(120, 1, 12)
    report = zcurate.scan(new, against=earlier)
    p = report.table.column("p_incorrect").to_numpy()
    assert len(report) == 120
    assert (np.argsort(-p)[:12][:, None] == np.flatnonzero(wrong)).any(1).mean() > 0.9
    assert report.called("incorrect")[wrong].mean() > 0.8
    assert report.called("incorrect")[~wrong].mean() < 0.05
    assert report.card["noise_rate"]["low"] <= 0.1 <= report.card["noise_rate"]["high"]
    assert report.card["warnings"] == []
    assert report.card["drift"]["rows_before"] == 400
    assert abs(report.card["drift"]["far"] - 0.05) < 0.06


@pytest.mark.parametrize("n", [1, 7])
def test_rows_of_one_class_are_enough(earlier, n):
    new, _ = table(60, 2, 0, shares=(0, 1, 0))
    new = new.slice(0, n)
    # A column without any value is as good as missing values.
    new = new.set_column(0, "a", pa.nulls(n)) if n == 7 else new
    report = zcurate.scan(new, against=earlier)
    assert len(report) == n
    assert report.card["judged"]
    assert set(report.table.column("verdict").to_pylist()) <= {"clean", "hard", "suspect"}


def test_what_has_changed_is_told(earlier):
    new, _ = table(300, 3, 0, shares=(0.8, 0.1, 0.1), far=60)
    report = zcurate.scan(new, against=earlier)
    drift = report.card["drift"]
    assert drift["far"] > 0.2
    assert [round(one["now"], 1) for one in drift["classes"]] == [0.8, 0.1, 0.1]
    texts = " ".join(report.card["warnings"])
    assert "shares of classes have changed: ant 29% to 81%" in texts
    assert "further from every class than 95%" in texts
    assert (np.array(report.table.column("verdict").to_pylist())[:60] == "outlier").mean() > 0.9


def test_an_unknown_class_is_told_and_not_judged(earlier):
    new, _ = table(60, 4, 0)
    labels = new.column("label").to_pylist()
    labels[:5] = ["dog"] * 5
    new = new.set_column(new.schema.get_field_index("label"), "label", pa.array(labels))
    report = zcurate.scan(new, against=earlier)
    assert report.table.column("verdict").to_pylist()[:5] == ["unlabelled"] * 5
    assert any("no class of the earlier scan: 'dog' (5 rows)" in text for text in report.card["warnings"])


@pytest.mark.slow
def test_columns_are_encoded_as_before(earlier, monkeypatch):
    from zcurate.encoding import encoder, encoder_state

    old, _ = table(400, 0, 40)
    kept = {}
    original = encoder_state.from_state
    monkeypatch.setattr(encoder_state, "from_state", lambda arrays, facts: kept.setdefault("fitted", original(arrays, facts)))
    seen = []
    encode = encoder.encode_resident
    monkeypatch.setattr(encoder, "encode_resident", lambda *words: seen.append(encode(*words)) or seen[-1])
    zcurate.scan(old, label="label", epochs=1)
    zcurate.scan(old.slice(50, 100), against=earlier)
    (whole, _), (part, _) = seen
    for name in ("x", "codes", "dense"):
        assert np.array_equal(getattr(whole, name).numpy()[50:150], getattr(part, name).numpy()), name
    assert [part.width, part.n_codes, part.regular] == [whole.width, whole.n_codes, whole.regular]


@pytest.mark.slow
def test_the_report_is_read_again_by_its_own_card(earlier, tmp_path):
    import pyarrow.csv

    new = table(30, 5, 3, shares=(0, 1, 0))[0].drop_columns(["vector"])
    old = table(400, 0, 40)[0].drop_columns(["vector"])
    zcurate.scan(old, label="label", epochs=2, output=str(tmp_path / "old.zcurate.parquet"), keep_model=True)
    pyarrow.csv.write_csv(new, tmp_path / "new.csv")
    report = zcurate.scan(str(tmp_path / "new.csv"), against=str(tmp_path / "old.zcurate.parquet"), output=str(tmp_path / "new.zcurate.parquet"))
    shutil.rmtree(tmp_path / "old.zcurate.parquet.model")
    again = reread_input(zcurate.load_report(str(tmp_path / "new.zcurate.parquet")), "test")
    assert [one.name for one in again.roles.features] == ["a", "b", "kind", "when"]
    assert again.task.classes == tuple(NAMES)
    assert len(report) == 30


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"drop": "kind"}, r"no column 'kind' — expected all that the earlier scan learned from: a, b, kind"),
        ({"model": "linear"}, r"^--against and --model: "),
        ({"epochs": 3}, r"^--against and --epochs: "),
        ({"against": "nowhere"}, r"^--against: no folder nowhere\.model — expected the model of an earlier scan"),
        ({"exclude": ["a"]}, r"^--against and --exclude: "),
        ({"damage": "columns.json"}, r"columns\.json: cannot be read"),
        ({"lost": "round-0.safetensors"}, r"^--against: .*round-0\.safetensors is not there"),
        ({"damage": "encoder.safetensors"}, r"^--against: .*encoder\.safetensors is not as it was written"),
    ],
)
def test_what_does_not_fit_is_refused(earlier, tmp_path, settings, message):
    new, _ = table(30, 6, 0)
    shutil.copytree(earlier + ".model", tmp_path / "old.model")
    if "damage" in settings:
        (tmp_path / "old.model" / settings["damage"]).write_text("{}")
    if "lost" in settings:
        (tmp_path / "old.model" / settings["lost"]).unlink()
    if "drop" in settings:
        new = new.drop_columns([settings["drop"]])
    options = {"against": str(tmp_path / "old"), **{name: one for name, one in settings.items() if name not in ("damage", "drop", "lost")}}
    with pytest.raises(UsageError, match=message):
        zcurate.scan(new, **options)


def test_a_regression_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    frame = {"a": x[:, 0], "b": x[:, 1], "y": x[:, 0] + 0.5 * x[:, 1]}
    zcurate.scan(frame, label="y", epochs=2, output=str(tmp_path / "r.zcurate.parquet"), keep_model=True)
    with pytest.raises(UsageError, match="the earlier scan is of a regression — expected classes"):
        zcurate.scan(frame, label="y", against=str(tmp_path / "r.zcurate.parquet"))


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_texts_are_encoded_by_the_earlier_vocabulary(tmp_path, model):
    words = [["river", "lake", "ocean", "boat"], ["bread", "cheese", "wine", "plate"]]

    def texts(n, seed):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, n)
        return [" ".join([*rng.choice(words[k], 5), f"word{rng.integers(900)}"]) for k in y], y

    old, y = texts(200, 0)
    settings = {"label": "label", "kind": ("text=text",), "epochs": 4, "model": model, "output": str(tmp_path / "r.zcurate.parquet"), "keep_model": True}
    zcurate.scan({"text": old, "label": NAMES[y]}, **settings)
    new, true = texts(40, 1)
    given = np.where(np.arange(40) < 4, 1 - true, true)
    report = zcurate.scan({"text": new, "label": NAMES[given]}, against=str(tmp_path / "r.zcurate.parquet"))
    assert set(np.argsort(-report.table.column("p_incorrect").to_numpy())[:4]) == {0, 1, 2, 3}


def test_the_kept_columns_hold_no_data(earlier):
    with open(earlier + ".model/columns.json", encoding="utf-8") as file:
        kept = json.load(file)
    assert sorted(kept) == ["checksum", "features", "label", "pictures", "task"]
    assert kept["task"]["classes"] == NAMES.tolist()


def test_small_samples_do_not_drift():
    classes = [{"name": "a", "before": 0.5, "now": 1.0}, {"name": "b", "before": 0.5, "now": 0.0}]
    drift = {"rows_before": 1000, "rows": 3, "labelled": 3, "classes": classes, "far_before": 0.05, "far": 0.3, "agreement_before": 0.9, "agreement": 0.6}
    assert drift_warnings(drift) == []
    assert len(drift_warnings({**drift, "rows": 300, "labelled": 300})) == 3


@pytest.mark.slow
def test_the_label_column_of_a_file_is_that_of_the_earlier_scan(tmp_path):
    import pyarrow.csv

    old, new = (table(n, seed, 5)[0].drop_columns(["vector"]).rename_columns(["a", "b", "kind", "when", "species"]) for n, seed in ((300, 0), (40, 1)))
    zcurate.scan(old, label="species", epochs=2, output=str(tmp_path / "old.zcurate.parquet"), keep_model=True)
    pyarrow.csv.write_csv(new, tmp_path / "new.csv")
    report = zcurate.scan(str(tmp_path / "new.csv"), against=str(tmp_path / "old.zcurate.parquet"))
    assert report.card["columns"]["label"] == "species"
    assert not any("too few rows" in text for text in report.card["warnings"])


def test_a_budget_counts_the_new_rows_alone(earlier):
    new, _ = table(200, 1, 40)
    report = zcurate.scan(new, against=earlier, budget=5)
    assert report.called("incorrect").sum() == 5
    assert set(np.flatnonzero(report.called("incorrect"))) == set(np.argsort(-report.table.column("p_incorrect").to_numpy())[:5])


def test_code_that_a_kept_model_names_is_not_run(earlier, tmp_path):
    from safetensors.numpy import load_file

    from zcurate.training.checkpoint import Checkpoint

    shutil.copytree(earlier + ".model", tmp_path / "old.model")
    parts = Checkpoint(str(tmp_path / "old.model"), {})
    arrays, facts = parts.load("encoder")
    assert load_file(parts.file("encoder")).keys() == arrays.keys()
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    parts.save("encoder", arrays, {**facts, "spec": {**facts["spec"], "name": f"{tmp_path / 'evil.py'}:make"}})
    with pytest.raises(UsageError, match=r"^--against: the earlier scan's model is code in a file"):
        zcurate.scan(table(30, 1, 0)[0], against=str(tmp_path / "old"))
    assert not (tmp_path / "ran").exists()


def test_labels_in_another_case_are_the_same_classes(earlier):
    new, _ = table(60, 7, 6)
    upper = new.set_column(new.schema.get_field_index("label"), "label", pa.array([name.upper() for name in new.column("label").to_pylist()]))
    plain, other = (zcurate.scan(one, against=earlier) for one in (new, upper))
    assert plain.table.column("p_incorrect").equals(other.table.column("p_incorrect"))
    assert not any("no class" in text for text in other.card["warnings"])
    kept_apart = zcurate.scan(upper, against=earlier, keep_spelling=True)
    assert set(kept_apart.table.column("verdict").to_pylist()) == {"unlabelled"}


@pytest.mark.slow
def test_a_model_beside_another_scans_report_is_refused(tmp_path):
    import pyarrow.csv

    output = str(tmp_path / "r.zcurate.parquet")
    pyarrow.csv.write_csv(table(300, 0, 20)[0].drop_columns(["vector"]), tmp_path / "d.csv")
    zcurate.scan(str(tmp_path / "d.csv"), label="label", epochs=2, output=output, keep_model=True)
    new = table(30, 1, 0)[0].drop_columns(["vector"])
    assert len(zcurate.scan(new, against=output)) == 30
    zcurate.scan(str(tmp_path / "d.csv"), label="kind", epochs=2, output=output, force=True)
    with pytest.raises(UsageError, match=r"^--against: .*r\.zcurate\.parquet is of another scan than the model beside it"):
        zcurate.scan(new, against=output)


def test_reasons_tell_nothing_of_training(earlier):
    report = zcurate.scan(table(200, 8, 30)[0], against=earlier)
    given = {code for codes in report.table.column("reasons").to_pylist() for code in codes or ()}
    assert given
    assert not given & {"often_masked", "never_learned", "learned_late", "forgotten"}


def test_a_values_kind_must_be_that_of_before(earlier):
    new, _ = table(30, 9, 0)
    new = new.set_column(0, "a", pa.array(["abc"] * 30))
    with pytest.raises(UsageError, match="the earlier scan read a=number.* — expected values as in the earlier scan"):
        zcurate.scan(new, against=earlier)


def test_rows_that_the_model_knows_and_values_that_it_does_not_are_told(earlier):
    from pathlib import Path

    old, _ = table(400, 0, 40)
    report = zcurate.scan(old.slice(0, 50), against=Path(earlier))
    assert any(text.startswith("--against: 50 of 50 rows are among the earlier ones") for text in report.card["warnings"])
    new, _ = table(60, 5, 0)
    new = new.set_column(2, "kind", pa.array(["mars"] * 20 + ["x"] * 40))
    warnings = zcurate.scan(new, against=earlier).card["warnings"]
    assert any("column 'kind': values that the earlier scan hardly had: 'mars' (20 rows)" in text for text in warnings)
    assert not any("among the earlier" in text for text in warnings)
