"""The command line: complete stdout, last line of stderr, exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from tests import conftest
from zcurate.cli.exit_codes import ExitCode
from zcurate.report.storage import load


def last(err):
    return err.strip().splitlines()[-1]


def program(*words, **settings):
    return subprocess.run([sys.executable, "-m", "zcurate", *map(str, words)], capture_output=True, text=True, timeout=120, check=False, **settings)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """One scan for all tests: the data, the report's bytes and stderr."""
    folder = tmp_path_factory.mktemp("once")
    path, _ = conftest.blobs_csv.__wrapped__(folder)
    (folder / "work").mkdir()
    done = program("scan", path, "--id", "key", "--epochs", "6", cwd=folder / "work")
    assert (done.returncode, done.stdout) == (0, "")
    assert os.listdir(folder / "work") == ["blobs.zcurate.parquet"]
    return path, (folder / "work" / "blobs.zcurate.parquet").read_bytes(), done.stderr


@pytest.fixture
def scanned(once, here):
    (here / "blobs.zcurate.parquet").write_bytes(once[1])
    return "blobs.zcurate.parquet", once[2]


@pytest.fixture
def data(once, tmp_path):
    """The scanned data, restored afterwards."""
    before = once[0].read_bytes()
    yield once[0]
    once[0].write_bytes(before)


def test_a_scan_writes_its_report_here_and_prints_a_summary(scanned, here):
    path, err = scanned
    assert os.listdir(here) == [path]
    assert len(load(path)) == 240
    lines = err.splitlines()
    assert lines[0].startswith("240 rows")
    assert any(line.startswith("incorrect") and "expected precision" in line for line in lines)
    assert f"look    zcurate report {path} --top 20" in err
    assert last(err) == f"clean   zcurate apply {path} --action relabel -o OUT"
    assert "\x1b" not in err
    assert max(len(line) for line in lines) <= 80


def test_quiet_prints_nothing(run, here, blobs_csv):
    assert run("scan", blobs_csv[0], "-q", "--epochs", "2") == (0, "", "")


def test_json_is_one_object_on_stdout(run, here, blobs_csv):
    code, out, _ = run("scan", blobs_csv[0], "--json", "--epochs", "4")
    summary = json.loads(out)
    assert code == 0
    assert out.count("\n") == 1
    assert summary["rows"] == 240
    assert sum(summary["counts"].values()) == 240
    assert summary["report"] == "blobs.zcurate.parquet"


def test_standard_input_is_scanned(run, here, blobs_csv):
    code, _, _ = run("scan", "-", "--input-format", "csv", "-q", "--epochs", "2", stdin=blobs_csv[0].read_bytes())
    assert code == 0
    assert os.listdir(here) == ["stdin.zcurate.parquet"]


def test_report_in_a_pipe_is_csv(scanned, run):
    code, out, err = run("report", "--top", "5")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert err == "blobs.zcurate.parquet\n"


def test_report_prints_ids_for_scripts(scanned, run):
    flagged = load(scanned[0]).table.to_pylist()
    expected = [row["id"] for row in sorted(flagged, key=lambda row: row["rank"]) if row["verdict"] == "incorrect"]
    assert run("report", scanned[0], "--format", "ids") == (0, "".join(f"{key}\n" for key in expected), "")
    assert run("report", scanned[0], "-0") == (0, "".join(f"{key}\0" for key in expected), "")


def test_report_selects_columns_and_writes_files(scanned, run, here):
    code, out, _ = run("report", scanned[0], "--columns", "row,given,suggested", "--top", "1")
    assert code == 0
    assert out.splitlines()[0] == "row,given,suggested"
    assert run("report", scanned[0], "-o", "flagged.parquet") == (0, "", "")
    assert set(pq.read_table("flagged.parquet").column("verdict").to_pylist()) == {"incorrect"}
    assert run("report", scanned[0], "--top", "2", "--format", "jsonl", "-o", "-")[1].count("\n") == 2


def test_report_joins_the_data(scanned, run, data):
    code, out, _ = run("report", scanned[0], "--with-data", "--data", data, "--top", "3")
    rows = list(csv.DictReader(io.StringIO(out)))
    source = list(csv.DictReader(io.StringIO(data.read_text())))
    assert code == 0
    for row in rows:
        assert row["key"] == source[int(row["row"])]["key"]
        assert row["label"] == source[int(row["row"])]["label"]
        assert row["decision"] == ""


def test_report_refuses_data_that_changed(scanned, run, data):
    with data.open("a") as file:
        file.write("k240,1,1,red,ant\n")
    code, out, err = run("report", scanned[0], "--with-data", "--data", data)
    assert (code, out) == (2, "")
    assert "has changed since the scan" in last(err)


def test_info_describes_data_and_reports(scanned, run, blobs_csv):
    code, out, _ = run("info", blobs_csv[0])
    assert code == 0
    assert "multiclass: labels are text with 3 distinct values" in out
    assert "key: identifier" in out
    code, out, _ = run("info", scanned[0])
    assert code == 0
    assert "p_incorrect: float — calibrated probability" in out
    assert json.loads(run("info", scanned[0], "--json")[1])["verdicts"].startswith("incorrect")


def test_info_alone_lists_versions_and_device(run):
    code, out, _ = run("info")
    assert code == 0
    assert "torch" in out
    assert "device" in out


BAD = {
    "missing file": (["scan", "nowhere.csv"], "no such file"),
    "empty file": (["scan", "empty.csv"], "the file is empty"),
    "header only": (["scan", "header.csv"], "a header and no rows"),
    "no such column": (["scan", "good.csv", "--label", "lable"], "did you mean --label label?"),
    "one class": (["scan", "one.csv"], "has one class"),
    "no labels": (["scan", "none.csv"], "0 of 30 rows have a label"),
    "rubbish": (["scan", "rubbish.csv"], "binary content"),
    "truncated parquet": (["scan", "cut.parquet"], "not a whole Parquet file"),
    "broken json": (["scan", "broken.jsonl"], "line 2: broken JSON"),
    "no pictures": (["scan", "folder"], "no pictures"),
    "output": (["scan", "good.csv", "-o", "gone/x.parquet"], "no folder"),
    "model": (["scan", "good.csv", "--model", "mpl"], "did you mean mlp?"),
    "task": (["scan", "good.csv", "--task", "regresion"], "did you mean --task regression?"),
    "two cuts": (["scan", "good.csv", "--threshold", "0.5", "--precision", "0.9"], "both set the threshold"),
    "verdict": (["report", "x.zcurate.parquet", "--verdict", "incorect"], "did you mean --verdict incorrect?"),
    "no report": (["report", "plain.parquet"], "is a table, not a report — expected"),
    "no report here": (["report"], "no report here"),
    "format": (["report", "x", "--format", "xml"], "--format: 'xml'"),
    "trial missing file": (["trial", "nowhere.csv"], "no such file"),
    "trial one class": (["trial", "one.csv"], "has one class"),
    "trial task": (["trial", "good.csv", "--task", "regresion"], "did you mean --task regression?"),
    "trial share": (["trial", "good.csv", "--share", "much"], "'much' is not a share"),
    "trial kinds": (["trial", "good.csv", "--kinds", "uniform,shift"], "'shift' does not fit binary labels"),
}


@pytest.fixture
def bad_files(here):
    import pyarrow as pa

    (here / "good.csv").write_text("x,label\n" + "".join(f"{k}.5,{'ab'[k % 2]}\n" for k in range(30)))
    (here / "one.csv").write_text("x,label\n" + "".join(f"{k}.5,a\n" for k in range(30)))
    (here / "none.csv").write_text("x,label\n" + "".join(f"{k}.5,NA\n" for k in range(30)))
    (here / "empty.csv").write_text("")
    (here / "header.csv").write_text("x,label\n")
    (here / "rubbish.csv").write_bytes(bytes(range(256)) * 20)
    (here / "cut.parquet").write_bytes(b"PAR1" + bytes(50))
    (here / "broken.jsonl").write_text('{"x": 1, "label": "a"}\n{"x": 2,\n')
    (here / "folder").mkdir()
    pq.write_table(pa.table({"x": [1]}), here / "plain.parquet")
    return sorted(os.listdir(here))


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line_and_nothing_is_written(name, run, here, bad_files):
    words, message = BAD[name]
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert message in last(err)
    assert last(err).startswith("error: ")
    assert "Traceback" not in err
    assert sorted(os.listdir(here)) == bad_files


@pytest.mark.skipif(__import__("torch").cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused_before_torch_is_imported(here, bad_files):
    begin = time.monotonic()
    done = program("scan", "good.csv", "--device", "cuda")
    assert done.returncode == 2
    assert "try --device cpu" in done.stderr
    assert time.monotonic() - begin < 5
    assert sorted(os.listdir(here)) == bad_files


def test_a_report_of_other_data_is_not_overwritten(scanned, run, here, tmp_path):
    (tmp_path / "blobs.tsv").write_text("x\tlabel\n" + "".join(f"{k}.5\t{'ab'[k % 2]}\n" for k in range(30)))
    before = (here / scanned[0]).read_bytes()
    code, _, err = run("scan", tmp_path / "blobs.tsv")
    assert code == 2
    assert "--force" in last(err)
    assert (here / scanned[0]).read_bytes() == before
    assert run("scan", tmp_path / "blobs.tsv", "--force", "-q", "--epochs", "2")[0] in (0, 3)


def test_no_skill_is_exit_3_with_a_report(run, here):
    import random

    draw = random.Random(1)
    (here / "random.csv").write_text("x,z,label\n" + "".join(f"{draw.random()},{draw.random()},{draw.choice('ab')}\n" for _ in range(200)))
    code, _, err = run("scan", "random.csv", "--epochs", "3")
    assert code == ExitCode.UNJUDGED
    assert "could not judge" in err
    assert set(load("random.zcurate.parquet").table.column("verdict").to_pylist()) == {"unjudged"}


def test_too_many_unreadable_rows_are_exit_4(run, here):
    lines = [f"{k % 2 * 5 + k / 100},{'ab'[k % 2]}" + (",extra" if k % 10 == 0 else "") for k in range(100)]
    (here / "ragged.csv").write_text("x,label\n" + "\n".join(lines) + "\n")
    assert run("scan", "ragged.csv", "-q", "--epochs", "4")[0] == ExitCode.PARTIAL
    assert run("scan", "ragged.csv", "-q", "--epochs", "4", "--max-bad", "20%")[0] == ExitCode.DONE


def test_a_bug_is_exit_70_and_names_the_trace(run, here, bad_files, monkeypatch):
    from zcurate.pipeline import scan

    def broken(*words, **settings):
        raise ZeroDivisionError

    monkeypatch.setattr(scan, "run_scan", broken)
    code, out, err = run("scan", "good.csv")
    assert (code, out) == (ExitCode.BUG, "")
    assert "a bug in zcurate" in last(err)
    with open(last(err).split("the trace is in ")[1].split(" ")[0]) as file:
        assert "ZeroDivisionError" in file.read()


def test_help_and_report_import_nothing_heavy(scanned):
    script = "import sys\nfrom zcurate.cli.app import main\ntry:\n    main()\nexcept SystemExit:\n    pass\nheavy = {'torch', 'sklearn', 'pandas', *(['pyarrow'] if 'report' not in sys.argv else [])} & set(sys.modules)\nsys.exit(f'imported {heavy}' if heavy else 0)"
    for words in (["--help"], ["scan", "--help"], ["trial", "--help"], ["explain", "--help"], ["--version"], ["report", scanned[0], "--top", "3"]):
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_closed_pipe_ends_silently(scanned):
    command = f"{sys.executable} -m zcurate report {scanned[0]} --top 240 --format jsonl | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_version_and_help_go_to_stdout(run):
    from zcurate import __version__

    assert run("--version") == (0, f"zcurate {__version__}\n", "")
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for command in ("scan", "report", "trial", "info"):
        assert command in out


def test_a_trial_prints_its_tables_and_writes_nothing(run, here, blobs_csv):
    before = blobs_csv[0].read_bytes()
    code, out, err = run("trial", blobs_csv[0], "--id", "key", "--epochs", "6", "--prioritise")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("240 rows, label 'label': 3 classes")
    assert [line.split()[0] for line in lines if line.startswith(("uniform", "confused", "boundary", "all"))] == ["uniform", "confused", "boundary", "all"]
    for word in ("> 0.95", "held-out loss", "chance", "top quarter by loss"):
        assert any(line.startswith(word) for line in lines), word
    notes = ["scan 1 of 2: the data as given", "scan 2 of 2: a copy with 24 planted errors"]
    assert err.splitlines() == [*notes, "--prioritise: training on a quarter of the rows, at random and by 4 rules"]
    assert os.listdir(here) == []
    assert blobs_csv[0].read_bytes() == before


def test_a_trial_as_json_is_one_object(run, here, blobs_csv):
    code, out, err = run("trial", blobs_csv[0], "--id", "key", "--epochs", "4", "--json", "-q", "--kinds", "uniform", "--share", "0.05")
    facts = json.loads(out)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert facts["judged"]
    assert facts["n_planted"] == 12
    assert facts["prioritise"] is None
    assert {row["kind"] for row in facts["rows"]} == {"uniform"}


def test_a_trial_without_skill_is_exit_3(run, here):
    import random

    draw = random.Random(1)
    (here / "random.csv").write_text("x,z,label\n" + "".join(f"{draw.random()},{draw.random()},{draw.choice('ab')}\n" for _ in range(200)))
    code, out, err = run("trial", "random.csv", "--epochs", "3")
    assert (code, out) == (ExitCode.UNJUDGED, "")
    assert "could not judge: held-out balanced accuracy" in last(err)
    code, out, _ = run("trial", "random.csv", "--epochs", "3", "--json", "-q")
    assert code == ExitCode.UNJUDGED
    assert json.loads(out)["judged"] is False
    assert os.listdir(here) == ["random.csv"]


def test_a_trial_that_a_time_limit_stops_is_exit_4(run, here, blobs_csv):
    code, out, err = run("trial", blobs_csv[0], "--time-limit", "0.01s")
    assert (code, out) == (ExitCode.PARTIAL, "")
    assert "--time-limit left" in last(err)


def test_a_share_too_small_to_plant_is_exit_3(run, here, blobs_csv):
    code, out, err = run("trial", blobs_csv[0], "--epochs", "4", "--share", "0.5%")
    assert (code, out) == (ExitCode.UNJUDGED, "")
    assert "comes to 1 planted errors, 3 needed" in last(err)


@pytest.mark.slow
def test_ctrl_c_leaves_no_half_written_file(here, blobs_csv):
    process = subprocess.Popen([sys.executable, "-m", "zcurate", "scan", str(blobs_csv[0]), "--epochs", "100000"], stderr=subprocess.PIPE, text=True)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "interrupted" in err
    folder = "blobs.zcurate.parquet.checkpoint"
    assert set(os.listdir(here)) <= {folder}
    assert set(os.listdir(here / folder)) <= {"running.safetensors", "round-0.safetensors"}


def test_report_never_writes_over_the_input_or_the_report(scanned, run, here, data):
    before = data.read_bytes(), (here / scanned[0]).read_bytes()
    for target in (data, here / scanned[0]):
        code, _, err = run("report", scanned[0], "-o", target)
        assert code == 2
        assert "itself" in last(err)
    assert (data.read_bytes(), (here / scanned[0]).read_bytes()) == before


@pytest.mark.slow
def test_a_dash_is_standard_output(here, blobs_csv):
    command = [sys.executable, "-m", "zcurate", "scan", str(blobs_csv[0]), "-q", "--epochs", "2", "-o", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 240
    assert os.listdir(here) == []


def test_a_report_must_be_named_like_a_parquet_file(run, here, blobs_csv):
    code, _, err = run("scan", blobs_csv[0], "-o", "out.csv")
    assert code == 2
    assert "a report is a Parquet file" in last(err)


def test_ids_and_columns_do_not_go_together(scanned, run):
    code, _, err = run("report", scanned[0], "--columns", "given", "--format", "ids")
    assert code == 2
    assert "leave one out" in last(err)


def test_a_report_by_another_name_is_still_a_report(scanned, run, here):
    os.rename(here / scanned[0], here / "other.parquet")
    code, out, _ = run("info", "other.parquet")
    assert code == 0
    assert "noise rate" in out


def test_joined_data_are_as_written(run, here):
    lines = [f"0{k:04d},{k % 2 * 5 + k / 100},{'ab'[k % 2]},True" for k in range(60)]
    (here / "zip.csv").write_text("zip,x,label,flag\n" + "\n".join(lines) + "\n")
    assert run("scan", "zip.csv", "-q", "--id", "zip", "--epochs", "2")[0] == 0
    code, out, _ = run("report", "--top", "60", "--with-data")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert {row["zip"] for row in rows} == {f"0{k:04d}" for k in range(60)}
    assert all(row["id"] == row["zip"] for row in rows)
    assert {row["flag"] for row in rows} == {"True"}


def test_a_time_limit_that_is_reached_is_exit_4_with_a_warning(run, here, blobs_csv):
    code, _, err = run("scan", blobs_csv[0], "--time-limit", "0.01s")
    assert code == ExitCode.PARTIAL
    assert "--time-limit" in err
    assert set(load("blobs.zcurate.parquet").table.column("verdict").to_pylist()) == {"unjudged"}


def test_report_omits_the_columns_for_explain_unless_named(scanned, run):
    for form in ("csv", "tsv", "jsonl", "markdown"):
        assert "loss_curve" not in run("report", scanned[0], "--top", "1", "--format", form)[1]
    assert not {"loss_curve", "clues", "top_classes"} & set(json.loads(run("report", scanned[0], "--top", "1", "--format", "json")[1])[0])
    code, out, _ = run("report", scanned[0], "--top", "1", "--columns", "row,loss_curve,top_classes", "--format", "json")
    (row,) = json.loads(out)
    assert code == 0
    assert len(row["loss_curve"]) == 6
    assert set(row["top_classes"]) == {"ant", "bee", "cat"}


@pytest.fixture
def remote(once, memory_protocol):
    """The scanned data in fsspec's memory, as a file and as a folder of parts."""
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/bucket/blobs.csv", once[0].read_bytes())
    lines = once[0].read_bytes().splitlines(keepends=True)
    for k in range(3):
        system.pipe(f"/bucket/parts/part-{k}.csv", b"".join([lines[0], *lines[1 + 80 * k : 81 + 80 * k]]))
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_a_remote_table_is_scanned_and_read_again(remote, run, here, once):
    address = "memory://bucket/blobs.csv"
    code, out, err = run("scan", address, "--id", "key", "--epochs", 6)
    assert (code, out) == (0, "")
    assert os.listdir(here) == ["blobs.zcurate.parquet"]
    report = load("blobs.zcurate.parquet")
    assert report.card["input"]["path"] == "memory://bucket/blobs.csv"
    (here / "local.zcurate.parquet").write_bytes(once[1])
    assert report.table.column("verdict").to_pylist() == load("local.zcurate.parquet").table.column("verdict").to_pylist()
    code, out, _ = run("report", "blobs.zcurate.parquet", "--with-data", "--data", address, "--format", "jsonl", "--top", 3)
    assert code == 0 and {"a", "colour", "decision"} <= set(json.loads(out.splitlines()[0]))
    assert json.loads(run("explain", "blobs.zcurate.parquet", "k3", "--data", address, "--json")[1])["nearest"]
    assert json.loads(run("explain", "blobs.zcurate.parquet", "k3", "--json")[1])["nearest_missing"].endswith(f"name it: --data {address}")
    remote.pipe("/bucket/blobs.csv", remote.cat("/bucket/blobs.csv").replace(b"red", b"tan"))
    code, out, err = run("report", "blobs.zcurate.parquet", "--with-data", "--data", address)
    assert (code, out) == (2, "")
    assert "memory://bucket/blobs.csv has changed since the scan" in last(err)
    remote.rm("/bucket/blobs.csv")
    code, out, err = run("report", "blobs.zcurate.parquet", "--with-data", "--data", address)
    assert (code, out) == (2, "") and "cannot be read again" in last(err)


def test_a_remote_folder_is_scanned_and_its_report_uploaded(remote, run, here):
    words = ("scan", "memory://bucket/parts/", "--input-format", "csv", "--epochs", 6, "-q", "-o", "memory://out/r.zcurate.parquet")
    assert run(*words) == (0, "", "")
    assert os.listdir(here) == []
    assert len(load("memory://out/r.zcurate.parquet")) == 240
    code, out, _ = run("report", "memory://out/r.zcurate.parquet", "--top", 5, "--format", "ids", "-o", "memory://out/ids.txt")
    assert (code, out) == (0, "")
    assert len(remote.cat("/out/ids.txt").splitlines()) == 5
    assert run("info", "memory://out/r.zcurate.parquet")[1].startswith("input")
    assert run(*words)[0] == 0
    code, _, err = run("scan", "memory://bucket/blobs.csv", "-o", "memory://out/r.zcurate.parquet")
    assert code == 2 and "is a report of memory://bucket/parts/ — nothing was written" in last(err)


def test_a_missing_remote_file_is_exit_2(remote, run, here):
    for path, message in (("memory://bucket/gone.csv", "no such file"), ("nosuch://a.csv", "protocol 'nosuch' is not read")):
        code, out, err = run("scan", path)
        assert (code, out) == (2, "") and message in last(err) and last(err).startswith(f"error: {path}: ")
    assert os.listdir(here) == []


def test_a_report_in_parts_is_read_by_every_command(scanned, run, here, data):
    from tests.report.parted import save_parts

    whole = load(scanned[0])
    save_parts(whole, "parted.zcurate.parquet", 7)
    for words in (
        ["report", "{}", "--top", "9"],
        ["info", "{}"],
        ["explain", "{}", "k3", "--json"],
        ["report", "{}", "--with-data", "--data", str(data), "--format", "csv"],
    ):
        one = run(*(word.format(scanned[0]) for word in words))
        assert one[0] == 0 and one[1]
        for name in ("parted.zcurate.parquet", "parted.zcurate.parquet/"):
            many = run(*(word.format(name) for word in words))
            assert (many[0], many[1].replace(name, scanned[0])) == one[:2], words
    os.rename("parted.zcurate.parquet", "mine")
    assert run("explain", "mine", "k3", "--json")[0] == 0
    assert run("info", "mine")[1].startswith("input")
    os.unlink("mine/part-00003-of-00007.parquet")
    for command in ("report", "info"):
        code, out, err = run(command, "mine")
        assert (code, out) == (2, "")
        assert "mine: part-00003-of-00007.parquet is missing — expected every part of one report" in last(err)


def test_a_worker_that_is_done_exits_silently(run, blobs_csv, here, monkeypatch):
    from zcurate.pipeline import scan
    from zcurate.runtime import process_group

    def done(*_, **__):
        raise process_group.WorkerDone

    monkeypatch.setattr(scan, "run_scan", done)
    assert run("scan", blobs_csv[0])[:2] == (0, "")
    assert os.listdir(here) == []
