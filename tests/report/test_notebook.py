"""A report in Python and in notebooks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import zcurate
from zcurate.runtime import progress_bar


@pytest.fixture(scope="module")
def report(scanned):
    return zcurate.load_report(str(scanned[1]))


def test_what_there_is_can_be_listed():
    assert dir(zcurate) == ["LabelErrorDetector", "Recorder", "Report", "__version__", "load_report", "nn", "scan"]
    assert all(getattr(zcurate, name) for name in dir(zcurate))
    assert {"apply", "flagged", "html", "to_pandas", "top", "update"} <= set(dir(zcurate.Report))


def test_the_words_of_a_report_fit_five_lines(report):
    lines = repr(report).splitlines()
    assert len(lines) == 5
    assert lines[0] == "zcurate report of blobs.csv: 300 rows, label 'label' (3 classes)"
    assert "incorrect" in lines[1]
    assert "wrong labels: about" in lines[2]
    assert "blobs.zcurate.parquet" in lines[3]
    assert max(map(len, lines[:3])) <= 110


def test_a_notebook_shows_charts_and_rows(report):
    page = report._repr_html_()
    assert page.count("<svg") == 2
    assert page.count("<tr>") == 11
    table = report.table.set_column(report.table.column_names.index("given"), "given", pa.array(["<script>alert(1)</script>"] * 300))
    import dataclasses

    assert "<script>" not in dataclasses.replace(report, table=table)._repr_html_()


def test_flagged_rows_fix_the_data_in_pandas(report, scanned):
    data = pd.read_csv(scanned[0])
    assert len(report.flagged) == report.counts()["incorrect"]
    before = (data["label"] == scanned[2]).mean()
    sure = report.flagged.dropna(subset=["suggested"])
    data.loc[sure["row"], "label"] = sure["suggested"].values
    assert (data["label"] == scanned[2]).mean() > before + 0.03


@pytest.mark.parametrize(("labels", "kind"), [(np.array([3, 7]), "Int64"), (np.array([False, True]), "boolean"), (np.array(["3", "7"]), "str")])
def test_labels_have_the_type_of_the_data(labels, kind):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    x = rng.normal(0, 0.5, (120, 2)) + 3 * y[:, None]
    given = labels[np.where(rng.random(120) < 0.1, 1 - y, y)]
    report = zcurate.scan(pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": given}), label="label", task="binary", epochs=2)
    frame = report.to_pandas()
    assert str(frame["given"].dtype) in (kind, "object")
    assert frame["given"].tolist() == given.tolist()
    assert set(frame["suggested"].dropna().unique()) <= set(labels.tolist())


@pytest.mark.slow
def test_progress_is_shown_when_asked(scanned, capsys):
    zcurate.scan(str(scanned[0]), label="label", id="key", epochs=1, progress=True)
    zcurate.scan(str(scanned[0]), label="label", id="key", epochs=1)
    assert "Traceback" not in capsys.readouterr().err
    with progress_bar.progress_for(verbose=True) as shown:
        shown.stage("training")
        shown.step(1, 2)
        shown.warn("careful")
    assert capsys.readouterr().err == "training\nwarning: careful\n"
    assert not progress_bar.in_notebook()
