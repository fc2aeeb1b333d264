"""The report: schema, selection, and atomic files."""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.config.options import ScanOptions
from zcurate.config.report_options import ReportOptions
from zcurate.config.verdicts import VERDICTS
from zcurate.errors import ReportError, UsageError
from zcurate.report import atomic, build, card_schema, ranks, report, schema, select, storage, validation, writer
from zcurate.report.report import Report


def small(n=12, path="/data/a.csv"):
    rng = np.random.default_rng(0)
    words = np.array(["incorrect", "hard", "clean", "unlabelled"])[np.arange(n) % 4]
    p = np.where(words == "unlabelled", np.nan, rng.random(n)).astype(np.float32)
    rank = np.zeros(n, np.int64)
    judged = np.flatnonzero(~np.isnan(p))
    rank[judged[np.argsort(-p[judged])]] = np.arange(1, len(judged) + 1)
    table = pa.table(
        {
            "row": np.arange(n),
            "given": pa.array([["cat", "dog"][k % 2] for k in range(n)]),
            "suggested": pa.array([["dog", "cat"][k % 2] if k % 4 == 0 else None for k in range(n)]),
            "verdict": pa.array(words).cast(pa.string()).dictionary_encode(),
            "p_incorrect": pa.array(p, mask=np.isnan(p)),
            "rank": pa.array(rank, mask=rank == 0),
            "reasons": pa.array([["other_class"] if k % 4 == 0 else [] for k in range(n)], pa.list_(pa.string())),
            "predicted": pa.array([["cat", "dog"][k % 2] for k in range(n)]),
            **dict.fromkeys(FLOAT_COLUMNS, pa.array(np.zeros(n, np.float32))),
        }
    )
    return Report(table, complete_card(n, path))


FLOAT_COLUMNS = [name for name, test in validation.REQUIRED.items() if test is validation.is_number and name != "p_incorrect"]


def complete_card(n=12, path="/data/a.csv"):
    """The smallest run card that is read, of a report of n rows."""
    unknown = {"estimate": None, "low": None, "high": None}
    return {
        "schema_version": 2,
        "zcurate": "0",
        "device": "cpu",
        "seed": 0,
        "versions": {"torch": "2"},
        "options": {"input_format": None},
        "input": {"path": path, "format": "csv", "root": None, "digest": "", "rows": n},
        "columns": {"label": "label", "id": None, "group": None, "features": [], "left_out": [], "pictures": None},
        "task": {"kind": "binary", "why": "two classes"},
        "model": {"name": "mlp", "why": "small", "n_epochs": [3], "folds": 4},
        "judged": True,
        "why_unjudged": "",
        "skill": {"measure": "accuracy", "value": 0.9, "chance": 0.5},
        "noise_rate": unknown,
        "classes": [{"name": name, "rows": n // 2, "incorrect": 0, "hard": 0, "noise_rate": None} for name in ("cat", "dog")],
        "pairs": [],
        "thresholds": {"p_incorrect": 0.5},
        "expected": {"precision": None, "recall": None},
        "calibration": [],
        "clues": {},
        "partial": False,
        "n_skipped": 0,
        "skipped": [],
        "seconds": {"total": 1.0},
        **card_schema.defaults(),
    }


def test_a_report_is_saved_in_a_folder_whose_name_is_not_utf_8(tmp_path, monkeypatch):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    monkeypatch.chdir(folder)
    small().save("a.zcurate.parquet")
    with writer.ReportWriter(os.fsdecode(folder + b"/\xff.parquet"), small().card) as chunks:
        chunks.write(small().table)
    for path in ("a.zcurate.parquet", os.fsdecode(folder + b"/\xff.parquet")):
        assert storage.load(path).table.equals(small().table)
    assert sorted(os.listdir(folder)) == [b"a.zcurate.parquet", b"\xff.parquet"]


def test_a_report_comes_back_as_it_was_saved(tmp_path):
    before = small()
    before.save(str(tmp_path / "a.zcurate.parquet"))
    after = storage.load(str(tmp_path / "a.zcurate.parquet"))
    assert after.table.equals(before.table)
    assert after.card == before.card
    assert json.loads(pq.read_metadata(tmp_path / "a.zcurate.parquet").metadata[b"zcurate"]) == before.card


def test_saving_leaves_no_other_file(tmp_path):
    small().save(str(tmp_path / "a.zcurate.parquet"))
    assert os.listdir(tmp_path) == ["a.zcurate.parquet"]


def test_a_failed_save_leaves_the_old_file_and_no_half(tmp_path, monkeypatch):
    path = tmp_path / "a.zcurate.parquet"
    small().save(str(path))
    before = path.read_bytes()

    def fails(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(report.pq, "write_table", fails)
    with pytest.raises(KeyboardInterrupt):
        small(8).save(str(path))
    assert os.listdir(tmp_path) == ["a.zcurate.parquet"]
    assert path.read_bytes() == before


def test_a_file_that_is_not_a_report_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "plain.parquet")
    (tmp_path / "rubbish.zcurate.parquet").write_bytes(b"rubbish")
    with pytest.raises(ReportError, match="is a table, not a report"):
        storage.load(str(tmp_path / "plain.parquet"))
    with pytest.raises(ReportError, match="not a Parquet file"):
        storage.load(str(tmp_path / "rubbish.zcurate.parquet"))
    with pytest.raises(ReportError, match="no such report"):
        storage.load(str(tmp_path / "gone.zcurate.parquet"))


def test_a_report_of_a_later_schema_is_refused(tmp_path):
    later = small()
    later.card["schema_version"] = 3
    later.save(str(tmp_path / "a.zcurate.parquet"))
    with pytest.raises(ReportError, match="schema version 3"):
        storage.load(str(tmp_path / "a.zcurate.parquet"))


def test_a_report_of_the_same_input_is_replaced_and_nothing_else(tmp_path):
    path = str(tmp_path / "a.zcurate.parquet")
    small(path="/data/a.csv").save(path)
    storage.check_output(path, "/data/a.csv", ScanOptions())
    with pytest.raises(UsageError, match="is a report of /data/a.csv"):
        storage.check_output(path, "/data/b.csv", ScanOptions())
    storage.check_output(path, "/data/b.csv", ScanOptions(force=True))
    other = tmp_path / "notes.parquet"
    other.write_text("mine")
    with pytest.raises(UsageError, match="exists and is no report"):
        storage.check_output(str(other), "/data/a.csv", ScanOptions())


def test_the_input_is_never_the_output(tmp_path):
    data = tmp_path / "a.csv"
    data.write_text("x,label\n")
    with pytest.raises(UsageError, match="is the input itself"):
        storage.check_output(str(data), str(data), ScanOptions(force=True))


def test_a_part_of_the_input_is_never_the_output(tmp_path):
    for folder, name in (("p", "part-0.parquet"), ("c", "part-0.csv")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("data")
        with pytest.raises(UsageError, match="is the input itself, or a part of it"):
            atomic.guard(str(tmp_path / folder / name), [str(tmp_path / folder)])
        with pytest.raises(UsageError, match="is the input itself, or a part of it"):
            atomic.guard(str(tmp_path / folder / name), [f"{tmp_path}/{folder}/part-*"])
    (tmp_path / "p" / "list.csv").write_text("a listing")
    (tmp_path / "p" / "p.zcurate.parquet").write_text("a report")
    for name in ("list.csv", "p.zcurate.parquet"):
        atomic.guard(str(tmp_path / "p" / name), [str(tmp_path / "p")])
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    (tmp_path / "pictures" / "list.csv").write_text("a listing")
    atomic.guard(str(tmp_path / "pictures" / "list.csv"), [str(tmp_path / "pictures")])


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        storage.check_output(str(tmp_path / "gone" / "a.zcurate.parquet"), "a.csv", ScanOptions())
    (tmp_path / "x.parquet").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        storage.check_output(str(tmp_path / "x.parquet"), "a.csv", ScanOptions())
    with pytest.raises(UsageError, match="a report is a Parquet file"):
        storage.check_output(str(tmp_path / "x.csv"), "a.csv", ScanOptions())


def test_the_newest_report_is_found(tmp_path):
    for at, name in enumerate(("a", "b")):
        path = tmp_path / f"{name}.zcurate.parquet"
        small().save(str(path))
        os.utime(path, (at, at))
    assert os.path.basename(storage.newest(str(tmp_path))) == "b.zcurate.parquet"
    with pytest.raises(ReportError, match="no report here"):
        storage.newest(str(tmp_path / ".."))


def rows(table):
    return table.column("row").to_pylist()


def test_incorrect_rows_come_in_the_order_of_their_rank():
    selected = select.select(small(), ReportOptions())
    assert set(selected.column("verdict").to_pylist()) == {"incorrect"}
    assert selected.column("rank").to_pylist() == sorted(selected.column("rank").to_pylist())


def test_top_alone_lists_the_lowest_ranks_whatever_their_verdict():
    assert select.select(small(), ReportOptions(top=5)).column("rank").to_pylist() == [1, 2, 3, 4, 5]
    assert small().top(3).column("rank").to_pylist() == [1, 2, 3]


def test_selections_narrow_together():
    selected = select.select(small(), ReportOptions(verdict="incorrect,hard", given="cat"))
    assert set(selected.column("given").to_pylist()) == {"cat"}
    assert set(rows(selected)) == {0, 4, 8}
    assert set(rows(select.select(small(), ReportOptions(suggested="dog")))) == {0, 4, 8}


def test_an_unknown_class_names_the_nearest():
    with pytest.raises(ReportError, match=r"no such class — classes: cat, dog — did you mean --class cat\?"):
        select.select(small(), ReportOptions(class_="cta"))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(VERDICTS), min_size=1, unique=True),
    st.one_of(st.none(), st.integers(1, 15)),
    st.one_of(st.none(), st.floats(0, 1)),
    st.one_of(st.none(), st.sampled_from(["cat", "dog"])),
)
def test_the_selection_is_the_rows_asked_for(words, top, min_p, label):
    whole = small(16).table.to_pylist()
    selected = select.select(small(16), ReportOptions(verdict=",".join(words), top=top, min_p=min_p, class_=label)).to_pylist()
    matching = [
        row for row in whole
        if row["verdict"] in words and (min_p is None or (row["p_incorrect"] or -1) >= min_p) and (label is None or row["given"] == label)
    ]  # fmt: skip
    matching.sort(key=lambda row: (row["rank"] or 10**9, row["row"]))
    assert selected == matching[:top]


def test_every_column_of_the_schema_is_explained():
    assert all(schema.COLUMN_DOCS.values())


def test_ranks_fall_by_probability_then_by_z_then_by_row():
    rng = np.random.default_rng(0)
    n = 400
    p, z, row = (rng.integers(0, 5, n) / 5).astype(np.float32), rng.integers(0, 4, n).astype(float), rng.permutation(n)
    z[::7] = np.nan
    unlabelled = rng.random(n) < 0.1
    out = build.rank_column(build.RowScatter(n, row), ranks.rank_rows(row, p, np.zeros(n, np.float32), z, unlabelled)).to_pylist()
    ranked = np.flatnonzero(~unlabelled)
    order = ranked[np.lexsort((row[ranked], -np.nan_to_num(z[ranked], nan=-np.inf), -p[ranked]))]
    assert [out[row[at]] for at in order] == list(range(1, len(order) + 1))
    assert all(out[row[at]] is None for at in np.flatnonzero(unlabelled))


def test_rows_out_of_order_get_their_own_values():
    scatter = build.RowScatter(4, np.array([3, 1]))
    assert scatter.floats(np.array([0.5, np.nan])).to_pylist() == [None, None, None, 0.5]
    assert scatter.counts(np.array([2.0, 7.0])).to_pylist() == [None, 7, None, 2]
    assert build.verdict_column(scatter, np.array([0, 2], np.int8)).to_pylist()[::2] == ["skipped", "skipped"]
    code = build.CODES.index
    reasons = np.array([[code("unsure"), -1], [code("other_class"), code("copies_disagree")]], np.int8)
    assert build.reasons_column(scatter, reasons).to_pylist() == [[], ["other_class", "copies_disagree"], [], ["unsure"]]


def test_only_the_columns_asked_for_are_read(tmp_path):
    small().save(str(tmp_path / "a.zcurate.parquet"))
    some = storage.load(str(tmp_path / "a.zcurate.parquet"), lambda name: name in ("row", "verdict"))
    assert some.table.column_names == ["row", "verdict"]
    assert some.card == small().card


def test_the_summary_of_a_long_report_samples_its_rows(tmp_path, monkeypatch):
    whole = small(203)
    z = pa.array(np.arange(203, dtype=np.float32))
    whole = Report(whole.table.drop_columns(["z_score", "mask_frequency"]).append_column("z_score", z).append_column("mask_frequency", z), whole.card)
    whole.save(str(tmp_path / "a.zcurate.parquet"))
    monkeypatch.setattr(storage, "SUMMARY_ROWS", 50)
    summary = storage.load_summary(str(tmp_path / "a.zcurate.parquet"))
    assert len(summary) == 203 and summary.counts() == whole.counts() and summary.card == whole.card
    assert summary.below_cut() == whole.below_cut() > 0
    assert summary.table.column("z_score").to_pylist() == list(range(0, 203, 5))
    p, flagged = whole.table.column("p_incorrect").to_numpy(), whole.called("incorrect")
    assert whole.below_cut() == ((p > 0.5) & ~flagged).sum()


def test_rows_and_ranks_are_stored_by_their_differences(tmp_path):
    small(4000).save(str(tmp_path / "a.zcurate.parquet"))
    group = pq.ParquetFile(tmp_path / "a.zcurate.parquet").metadata.row_group(0)
    chunks = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    assert all("DELTA_BINARY_PACKED" in chunks[name].encodings for name in ("row", "rank"))
    assert chunks["row"].total_compressed_size < 4000
    assert storage.load(str(tmp_path / "a.zcurate.parquet")).table.equals(small(4000).table)
