"""`--annotators`: a scan of the consensus of several people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import zcurate
from zcurate.errors import UsageError, ZcurateError
from zcurate.report.listing import reread_input

PEOPLE = {"ann": 0.95, "bob": 0.7, "cid": 0.5}


@pytest.fixture(scope="module")
def data():
    """900 rows of three classes, each labelled by one to three people; and the true classes."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    x = rng.normal(0, 1, (900, 3)) + 2.5 * np.eye(3)[truth]
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    for name, share in PEOPLE.items():
        said = np.where(rng.random(900) < share, truth, (truth + rng.integers(1, 3, 900)) % 3)
        frame[f"who_{name}"] = np.where(rng.random(900) < 0.6, np.array(["x", "y", "z"])[said], None)
    return frame, np.array(["x", "y", "z"])[truth]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    path.write_text("rounds = 1\nensemble = []\n")
    return str(path)


@pytest.fixture(scope="module")
def report(data, spec):
    return zcurate.scan(data[0], annotators="who_*", model=spec)


def test_the_consensus_is_scanned_and_mended(report, data):
    frame, truth = data
    given, suggested = (np.array(report.table.column(name).to_pylist(), object) for name in ("given", "suggested"))
    labelled = frame[[f"who_{name}" for name in PEOPLE]].notna().any(axis=1).to_numpy()
    assert ((given == None) == ~labelled).all()  # noqa: E711
    known = labelled & (suggested != None)  # noqa: E711
    assert (suggested[known] == truth[known]).mean() > (given[known] == truth[known]).mean() + 0.05
    assert report.card["columns"]["label"] == "consensus"
    assert not {feature["name"] for feature in report.card["columns"]["features"]} & {f"who_{name}" for name in PEOPLE}


def test_people_are_ordered_by_their_reliability(report):
    found = report.card["annotators"]
    assert [entry["name"] for entry in found["annotators"]] == ["who_cid", "who_bob", "who_ann"]
    for entry in found["annotators"]:
        assert entry["reliability"] == pytest.approx(PEOPLE[entry["name"].removeprefix("who_")], abs=0.12)
    wants = report.table.column("wants_label").to_pylist()
    assert sum(filter(None, wants)) == found["want_label"] > 0


def test_the_number_of_wrong_labels_stays_that_of_the_judge(report):
    p = report.table.column("p_incorrect").to_numpy(zero_copy_only=False)
    assert np.nanmean(p) == pytest.approx(report.card["noise_rate"]["estimate"], abs=0.01)


def test_the_report_is_whole(report, tmp_path):
    report.save(str(tmp_path / "r.zcurate.parquet"))
    again = zcurate.load_report(str(tmp_path / "r.zcurate.parquet"))
    assert again.card["annotators"] == report.card["annotators"]
    again.html(str(tmp_path / "r.html"))


def test_a_label_of_its_own_is_judged_where_there_is_one(data, spec):
    frame, truth = data
    found = zcurate.scan(frame.assign(label=truth), label="label", annotators="who_*", model=spec)
    assert found.table.column("given").to_pylist() == truth.tolist()
    assert np.nanmean(found.table.column("agreement").to_numpy(zero_copy_only=False)) > 0.6


def test_targets_have_no_annotators(data, spec):
    frame = data[0].assign(label=np.random.default_rng(0).normal(size=900))
    with pytest.raises(UsageError, match="--annotators: targets to predict"):
        zcurate.scan(frame, label="label", annotators="who_*", model=spec)


def test_long_tables_have_a_consensus_too(monkeypatch, data, spec):
    from zcurate.data import values

    monkeypatch.setattr(values, "DICTIONARY_ROWS", 10)
    assert zcurate.scan(data[0], annotators="who_*", model=spec).card["judged"]


def test_the_budget_holds_and_votes_are_a_reason(data, spec):
    found = zcurate.scan(data[0], annotators="who_*", model=spec, budget=20)
    assert found.counts()["incorrect"] <= 20
    reasons = np.array([reason[:1] for reason in found.table.column("reasons").to_pylist()], object)
    assert any(one == ["annotators_disagree"] for one in reasons[found.called("incorrect")])
    assert not any(one for one in reasons[found.called("clean")])


def long_table(frame):
    """The same answers, a row for each."""
    answers = frame[[f"who_{name}" for name in PEOPLE]].stack().rename_axis(["item", "annotator"]).rename("label").reset_index()
    return answers.sample(frac=1, random_state=0).assign(item=lambda rows: "k" + rows["item"].astype(str))


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    """A folder with the features, the features and the answers in columns, and the answers as long tables."""
    folder = tmp_path_factory.mktemp("answers")
    frame = data[0].head(300).assign(key=[f"k{row}" for row in range(300)])
    frame.to_csv(folder / "wide.csv", index=False)
    frame[["key", "a", "b", "c"]].to_csv(folder / "plain.csv", index=False)
    answers = long_table(frame)
    answers.to_csv(folder / "answers.csv", index=False)
    answers.to_parquet(folder / "answers.parquet")
    answers.to_json(folder / "answers.jsonl", orient="records", lines=True)
    answers.assign(item=answers["item"].str[1:].astype(int)).to_parquet(folder / "numbers.parquet")
    return folder


@pytest.mark.parametrize(("name", "settings"), [("answers.csv", {"id": "key"}), ("answers.jsonl", {"id": "key"}), ("numbers.parquet", {"exclude": ["key"]})])
def test_a_long_table_is_as_good_as_columns(files, spec, name, settings):
    settings |= {"model": spec, "epochs": 3}
    columns = zcurate.scan(str(files / "wide.csv"), annotators="who_*", **settings)
    long = zcurate.scan(str(files / "plain.csv"), annotators=str(files / name), **settings)
    assert long.card["row_arrays"] == columns.card["row_arrays"]
    for column in ("given", "p_incorrect", "wants_label", "p_consensus"):
        assert long.table.column(column).equals(columns.table.column(column)), column
    assert [entry["name"] for entry in long.card["annotators"]["annotators"]] == [entry["name"] for entry in columns.card["annotators"]["annotators"]]


def test_answers_without_a_row_and_second_answers_are_told(files, spec, tmp_path):
    answers = pd.read_csv(files / "answers.csv").dropna()
    first = answers.iloc[0]
    other = next(label for label in "xyz" if label != first["label"])
    more = pd.DataFrame({"item": [first["item"], "gone", "k1"], "annotator": [first["annotator"], "who_ann", None], "label": [other, "x", "y"]})
    pd.concat([answers, more]).to_csv(tmp_path / "more.csv", index=False)
    from zcurate.config.options import ScanOptions
    from zcurate.data.inputs import read_input

    data = read_input(str(files / "plain.csv"), ScanOptions(annotators=str(tmp_path / "more.csv"), id="key"))
    assert [text.split(": ", 1)[1][:9] for text in data.warnings if "--annotators" in text] == ["2 answers", "1 answers"]
    people, names = data.annotations.annotators, data.annotations.names
    row = int(first["item"][1:])
    assert names[data.annotations.code[row, people.index(first["annotator"])]] == other


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (None, {}, "no such file — expected a table with columns item, annotator and label"),
        ("item,annotator,answer\nk1,a,x\n", {"id": "key"}, "no column 'label' — expected item, annotator and label"),
        ("item,who,label\nk1,a,x\nk2,a,y\n", {"id": "key"}, "no column 'annotator' — columns: item, who, label"),
        (
            "item,annotator,label\nk1,a,x\nk2,a,y\n",
            {},
            r"no item is in .*plain\.csv, such as 'k1' — expected the row number \(from 0 on\) — or name it with --id",
        ),
        ("item,annotator,label\nk1,a,x\nk2,a,x\n", {"id": "key"}, "one label, x — expected two or more"),
    ],
)
def test_answers_that_do_not_fit_are_refused(files, tmp_path, content, settings, message):
    if content is not None:
        (tmp_path / "answers.csv").write_text(content)
    with pytest.raises(ZcurateError, match=message):
        zcurate.scan(str(files / "plain.csv"), annotators=str(tmp_path / "answers.csv"), **settings)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_input_is_read_again_and_applied_with_a_column_of_the_consensus(files, spec, tmp_path, ending):
    frame = pd.read_csv(files / "wide.csv")
    path = tmp_path / f"wide.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    report = zcurate.scan(str(path), annotators="who_*", id="key", model=spec, epochs=10, output=str(tmp_path / "r.zcurate.parquet"))
    report.apply(str(tmp_path / f"new.{ending}"), action="relabel")
    suggested = np.array(report.table.column("suggested").to_pylist(), object)[report.called("incorrect")]
    n_new = sum(label is not None for label in suggested)
    new = pd.read_csv(tmp_path / "new.csv") if ending == "csv" else pd.read_parquet(tmp_path / "new.parquet")
    assert list(new.columns) == [*frame.columns, "consensus"]
    given = pd.Series(report.table.column("given").to_pylist())
    assert n_new > 0
    assert (new["consensus"].fillna("") != given.fillna("")).sum() == n_new
    if ending == "csv":
        assert [line.rpartition(",")[0] for line in (tmp_path / "new.csv").read_text().splitlines()] == path.read_text().splitlines()
    assert len(reread_input(report, "test").table) == 300


def test_a_column_named_consensus_stays_the_users(files, spec, tmp_path):
    frame = pd.read_csv(files / "wide.csv").assign(consensus=np.arange(300) % 7)
    frame.to_csv(tmp_path / "wide.csv", index=False)
    report = zcurate.scan(str(tmp_path / "wide.csv"), annotators="who_*", id="key", model=spec, epochs=2, output=str(tmp_path / "r.zcurate.parquet"))
    assert report.card["columns"]["label"] == "consensus_"
    report.apply(str(tmp_path / "new.csv"), action="relabel")
    new = pd.read_csv(tmp_path / "new.csv")
    assert (new["consensus"] == frame["consensus"]).all()
    assert set(new["consensus_"].dropna()) == set("xyz")


def test_rows_without_an_id_get_no_answers(files, tmp_path):
    frame = pd.read_csv(files / "plain.csv")
    frame.loc[7, "key"] = None
    frame.to_csv(tmp_path / "plain.csv", index=False)
    with pytest.raises(UsageError, match="--id key is there twice or missing in some rows"):
        zcurate.scan(str(tmp_path / "plain.csv"), annotators=str(files / "answers.csv"), id="key")


def test_labels_that_are_no_class_are_told(files, spec, tmp_path):
    frame = pd.read_csv(files / "plain.csv").assign(label=np.array(["x", "y", "z"])[np.arange(300) % 3])
    frame.to_csv(tmp_path / "labelled.csv", index=False)
    answers = pd.read_csv(files / "answers.csv").dropna()
    answers.assign(label=answers["label"].replace({"z": "zed"})).to_csv(tmp_path / "some.csv", index=False)
    answers.assign(label=answers["label"].map({"x": 0, "y": 1, "z": 2})).to_csv(tmp_path / "none.csv", index=False)
    from zcurate.config.options import ScanOptions
    from zcurate.data.inputs import read_input

    def read(name):
        return read_input(str(tmp_path / "labelled.csv"), ScanOptions(label="label", id="key", annotators=str(tmp_path / name)))

    assert any(f"labels that are no class of 'label' do not count: 'zed' ({(answers['label'] == 'z').sum()})" in text for text in read("some.csv").warnings)
    with pytest.raises(ZcurateError, match="--annotators: no label is a class of 'label': '0'"):
        read("none.csv")


def test_spellings_are_one_label_before_they_are_counted(files, tmp_path):
    from zcurate.config.options import ScanOptions
    from zcurate.data.inputs import read_input

    answers = pd.read_csv(files / "answers.csv").dropna().reset_index(drop=True)
    answers["label"] = [label.upper() if row % 3 == 0 else label for row, label in enumerate(answers["label"])]
    answers.to_csv(tmp_path / "mixed.csv", index=False)
    mixed, plain = (
        read_input(str(files / "plain.csv"), ScanOptions(id="key", annotators=str(path))) for path in (tmp_path / "mixed.csv", files / "answers.csv")
    )
    assert mixed.annotations.names == plain.annotations.names == ("x", "y", "z")
    assert mixed.given.equals(plain.given)


def test_a_manifest_of_pictures_gets_a_column_of_the_consensus(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 60)
    lines = ["file,source"]
    for row in range(60):
        Image.fromarray((40 + 150 * truth[row] + rng.integers(0, 40, (8, 8))).astype(np.uint8)).save(tmp_path / f"{row:02}.png")
        lines.append(f"{row:02}.png,a")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    answers = [f"{row:02}.png,{who},{'no' if truth[row] ^ (rng.random() < 0.2) else 'yes'}" for row in range(60) for who in "abc"]
    (tmp_path / "answers.csv").write_text("\n".join(["item,annotator,label", *answers]) + "\n")
    report = zcurate.scan(str(tmp_path / "m.csv"), annotators=str(tmp_path / "answers.csv"), epochs=1, output=str(tmp_path / "r.zcurate.parquet"))
    report.apply(str(tmp_path / "new.csv"), action="relabel")
    new = pd.read_csv(tmp_path / "new.csv")
    assert list(new.columns) == ["file", "source", "consensus"]
    assert set(new["consensus"].dropna()) == {"yes", "no"}


def test_whole_numbers_stay_numbers(files, spec, tmp_path):
    answers = pd.read_csv(files / "answers.csv").dropna()
    answers.assign(label=answers["label"].map({"x": 0, "y": 1, "z": 2})).to_csv(tmp_path / "numbers.csv", index=False)
    pd.read_csv(files / "plain.csv").to_parquet(tmp_path / "plain.parquet")
    report = zcurate.scan(
        str(tmp_path / "plain.parquet"), annotators=str(tmp_path / "numbers.csv"), id="key", model=spec, epochs=2, output=str(tmp_path / "r.zcurate.parquet")
    )
    report.apply(str(tmp_path / "new.parquet"), action="flag")
    new = pd.read_parquet(tmp_path / "new.parquet")
    assert new["consensus"].dtype.kind in "if"
