"""`scan --keep-model` and `scan --continue`: a scan goes on from the model of an earlier one after corrections."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import zcurate
from zcurate.errors import UsageError
from zcurate.training import rounds
from zcurate.training.kept_model import CONTINUED_SHARE, moved

SETTINGS = {"label": "label", "id": "key", "epochs": 10}


@pytest.fixture(scope="module")
def kept(scanned, tmp_path_factory):
    """A CSV, the truth, a report with its model, and the decisions of its twelve most suspicious rows."""
    path, truth = scanned[0], scanned[2]
    folder = tmp_path_factory.mktemp("kept")
    report = zcurate.scan(str(path), output=str(folder / "r.zcurate.parquet"), keep_model=True, **SETTINGS)
    table = report.table.to_pandas().sort_values("rank").head(12)
    lines = [f"k{row},relabel,{truth[row]}" if truth[row] != given else f"k{row},keep," for row, given in zip(table["row"], table["given"], strict=True)]
    (folder / "d.csv").write_text("\n".join(["id,decision,label", *lines]) + "\n")
    return path, truth, folder, report


def continued(kept, monkeypatch=None, **settings):
    path, _, folder, _ = kept
    seen = {}
    if monkeypatch is not None:
        original = rounds.Trainer.train_epoch

        def spy(self, at, epoch, *more):
            seen[at, epoch] = self.start
            original(self, at, epoch, *more)

        monkeypatch.setattr(rounds.Trainer, "train_epoch", spy)
    return zcurate.scan(str(path), continue_from=str(folder / "r.zcurate.parquet"), **{**SETTINGS, **settings}), seen


def columns(report, *names):
    table = report.table.to_pandas().set_index("row").sort_index()
    return [table[name].to_numpy() for name in names]


def test_a_scan_without_corrections_ends_where_the_first_one_did(kept, monkeypatch):
    report, epochs = continued(kept, monkeypatch)
    before, after = (columns(one, "p_incorrect", "p_given", "z_score", "verdict") for one in (kept[3], report))
    assert np.corrcoef(before[0], after[0])[0, 1] > 0.98
    assert np.abs(before[1] - after[1]).mean() < 0.03
    assert np.array_equal(before[2], after[2])
    assert (before[3] == after[3]).mean() > 0.95
    # A fifth of the epochs, at the end of the learning rate's cycle.
    assert max(epoch for _, epoch in epochs) + 1 == round(CONTINUED_SHARE * 10)
    assert min(epochs.values()) >= 1 - 2 * CONTINUED_SHARE


def test_corrections_are_learned_and_the_rest_of_the_record_stays(kept):
    report, _ = continued(kept, decisions=str(kept[2] / "d.csv"))
    assert report.card["decided"]["rows"] == 12
    before, after = (columns(one, "margin_mean", "p_given", "predicted", "given") for one in (kept[3], report))
    decided = report.table.to_pandas().set_index("row").sort_index()["decision"]
    relabelled = np.flatnonzero(decided == "relabel")
    assert len(relabelled) > 5
    others = np.flatnonzero(decided.isna())
    assert np.array_equal(before[0][others], after[0][others])
    assert (before[0][relabelled] < 0).all()
    assert (after[0][relabelled] > before[0][relabelled]).all()
    truth = np.array(kept[1])
    wrong = truth[others] != after[3][others]
    p = columns(report, "p_incorrect")[0][others]
    assert p[wrong].mean() > p[~wrong].mean() + 0.3


def test_labels_corrected_in_the_file_itself_need_no_decisions(kept, tmp_path):
    path, truth, folder, report = kept
    row = int(report.table.to_pandas().sort_values("rank")["row"].iloc[0])
    lines = path.read_text().splitlines()
    lines[row + 1] = ",".join([*lines[row + 1].split(",")[:-1], truth[row]])
    (tmp_path / "fixed.csv").write_text("\n".join(lines) + "\n")
    found = zcurate.scan(str(tmp_path / "fixed.csv"), continue_from=str(folder / "r.zcurate.parquet"), **SETTINGS)
    assert found.table.to_pandas().set_index("row")["verdict"][row] == "clean"


def test_the_model_stays_as_it_was(kept):
    folder = kept[2] / "r.zcurate.parquet.model"
    names = sorted(one.name for one in folder.iterdir())
    n_rounds = sum(name.startswith("round-") for name in names)
    of_rounds = (f"{kind}-{at}.safetensors" for kind in ("members", "round") for at in range(n_rounds))
    assert names == sorted(["columns.json", "encoder.safetensors", "rest.safetensors", *of_rounds])
    before = {name: (folder / name).read_bytes() for name in names}
    continued(kept)
    assert before == {name: (folder / name).read_bytes() for name in names}


@pytest.mark.slow
def test_a_regression_goes_on(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=300)
    y[:12] += 6
    frame = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y}
    settings = {"label": "y", "task": "regression", "epochs": 6}
    first = zcurate.scan(frame, output=str(tmp_path / "r.zcurate.parquet"), keep_model=True, **settings)
    frame["y"] = np.where(np.arange(300) < 6, y - 6, y)
    report = zcurate.scan(frame, continue_from=str(tmp_path / "r.zcurate.parquet"), **settings)
    (before, predicted_before), (p, predicted) = (columns(one, "p_incorrect", "predicted") for one in (first, report))
    assert before[:12].min() > 0.5
    assert p[:6].max() < 0.2
    assert p[6:12].min() > 0.5
    assert np.abs(predicted - predicted_before).mean() < 0.1


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ("rows", {}, r"^--continue: .*r\.zcurate\.parquet\.model is of another scan: rows was 300 — expected 299 — "),
        ("cell", {}, r"^--continue: row 4 is not as it was — only labels may differ"),
        ("part", {}, r"^--continue: .*rest\.safetensors is not as it was written — expected"),
        ("gone", {}, r"^--continue: no folder .*r\.zcurate\.parquet\.model — expected the model of an earlier scan — .*--keep-model"),
        ("lost", {}, r"^--continue: .*rest\.safetensors is not there — expected .*--keep-model|is not as it was written"),
        (None, {"resume": True}, r"^--resume and --continue: "),
        (None, {"epochs": 4}, r"^--continue: .* is of another scan: model.n_epochs was 10 — expected 4 — repeat that scan's options"),
        (None, {"keep_model": True}, r"^--keep-model and --continue: "),
    ],
)
def test_what_does_not_fit_is_refused(kept, tmp_path, change, settings, message):
    path, _, folder, _ = kept
    shutil.copytree(folder / "r.zcurate.parquet.model", tmp_path / "r.zcurate.parquet.model")
    lines = path.read_text().splitlines()
    if change == "rows":
        del lines[7]
    if change == "cell":
        lines[5] = lines[5].replace(",", ",9", 1)
    if change == "part":
        (tmp_path / "r.zcurate.parquet.model" / "rest.safetensors").write_bytes(b"no")
    if change == "lost":
        (tmp_path / "r.zcurate.parquet.model" / "rest.safetensors").unlink()
    if change == "gone":
        shutil.rmtree(tmp_path / "r.zcurate.parquet.model")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError, match=message):
        zcurate.scan(str(tmp_path / "t.csv"), continue_from=str(tmp_path / "r.zcurate.parquet"), **{**SETTINGS, **settings})


def test_a_model_needs_a_report_to_be_beside(kept):
    with pytest.raises(UsageError, match="^--keep-model: no report on this machine to keep the model beside"):
        zcurate.scan(str(kept[0]), keep_model=True, **SETTINGS)


def test_predictions_move_by_the_ratio_of_probabilities():
    p = np.array([[0.5, 0.5], [0.9, 0.1]], np.float32)
    start, end = np.array([[0.8, 0.2], [0.8, 0.2]], np.float32), np.array([[0.8, 0.2], [0.2, 0.8]], np.float32)
    np.testing.assert_allclose(moved(p, start, end, False), [[0.5, 0.5], [0.9 / 16 / (0.9 / 16 + 0.1), 0.1 / (0.9 / 16 + 0.1)]], rtol=1e-6)
    np.testing.assert_allclose(moved(p, start, end, True), [[0.5, 0.5], [0.3, 0.7]], atol=1e-6)


@pytest.mark.slow
def test_a_model_that_cannot_be_kept_is_a_warning(kept, tmp_path):
    (tmp_path / "r.zcurate.parquet.model").write_text("in the way")
    warned = []

    class Notes:
        stage = step = note = lambda *_: None
        warn = staticmethod(warned.append)

    settings = {**SETTINGS, "epochs": 1, "output": str(tmp_path / "r.zcurate.parquet"), "keep_model": True}
    report = zcurate.scan(str(kept[0]), progress=Notes(), **settings)
    assert len(report) == 300
    assert sum("the model cannot be kept" in text for text in warned) == 1
    assert (tmp_path / "r.zcurate.parquet.model").read_text() == "in the way"


@pytest.mark.slow
def test_a_resumed_scan_keeps_a_whole_model(kept, tmp_path, monkeypatch):
    output = str(tmp_path / "r.zcurate.parquet")
    original = rounds.Trainer.train_round

    def stops(self, at, *words):
        if at == 2:
            raise KeyboardInterrupt
        return original(self, at, *words)

    monkeypatch.setattr(rounds.Trainer, "train_round", stops)
    settings = {**SETTINGS, "epochs": 4, "output": output}
    with pytest.raises(KeyboardInterrupt):
        zcurate.scan(str(kept[0]), resume=True, **settings)
    monkeypatch.undo()
    # The interrupted scan kept no model: its rounds are trained again, and the model is whole.
    zcurate.scan(str(kept[0]), resume=True, keep_model=True, **settings)
    after = zcurate.scan(str(kept[0]), continue_from=output, **{**SETTINGS, "epochs": 4})
    assert len(after) == 300


def test_unchanged_targets_are_not_relabelled():
    from zcurate.training.kept_model import KeptModel

    model = KeptModel.__new__(KeptModel)
    before = np.array([0.5, -3.0, np.nan, 2.0, np.nan], np.float32)
    object.__setattr__(model, "__dict__", {"rest": ({"y": before}, {})})
    now = np.array([0.5 + 1e-7, -3.0 * (1 + 1e-6), np.nan, 2.1, 1.0])
    assert model.relabelled(now).tolist() == [False, False, False, True, True]


def test_without_training_there_is_no_model_to_keep(kept, tmp_path):
    p = np.full((300, 3), 1 / 3)
    with pytest.raises(UsageError, match="^--keep-model: no model is trained"):
        zcurate.scan(str(kept[0]), label="label", probabilities=p, model="none", output=str(tmp_path / "r.zcurate.parquet"), keep_model=True)


@pytest.mark.slow
def test_a_finished_scan_without_a_model_is_repeated_to_keep_one(kept, tmp_path):
    settings = {**SETTINGS, "epochs": 2, "output": str(tmp_path / "r.zcurate.parquet")}
    zcurate.scan(str(kept[0]), **settings)
    zcurate.scan(str(kept[0]), resume=True, keep_model=True, **settings)
    assert (tmp_path / "r.zcurate.parquet.model" / "columns.json").exists()


def test_the_label_is_that_of_the_model(kept):
    report = zcurate.scan(str(kept[0]), id="key", epochs=10, continue_from=str(kept[2] / "r.zcurate.parquet"))
    assert report.card["columns"]["label"] == "label"
