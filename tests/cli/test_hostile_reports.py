"""Reports that somebody else wrote: data and never instructions."""

from __future__ import annotations

import json
import os
import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.report.test_report import complete_card, small
from zcurate.config.options import ScanOptions
from zcurate.config.report_options import ReportOptions
from zcurate.data import limits
from zcurate.errors import ReportError, UsageError
from zcurate.report import card_schema, listing, locations, storage, validation
from zcurate.report.report import Report


def put(card, path, value):
    """Set a value deep in a card; `...` deletes it."""
    card = json.loads(json.dumps(card))
    node = card
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return card


def write(path, table, raw):
    pq.write_table(table.replace_schema_metadata({b"zcurate": raw}), path)


GOOD = json.dumps(complete_card()).encode()
RAW = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "cut off": GOOD[:-1],
    "trailing": GOOD + b"\0",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"schema_version":1,"input":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "no UTF-8": GOOD.replace(b"two classes", b"\xff\xfe"),
    "surrogate": GOOD.replace(b"two classes", rb"\ud800"),
    "NaN": GOOD.replace(b"0.9", b"NaN"),
    "infinity": GOOD.replace(b"0.9", b"1e999"),
    "long integer": GOOD.replace(b"0.9", b"9" * 5000),
    "too long": json.dumps({**complete_card(), "more": "x" * card_schema.MAX_BYTES}).encode(),
    "version 3": GOOD.replace(b'"schema_version": 2', b'"schema_version": 3'),
    "version true": GOOD.replace(b'"schema_version": 2', b'"schema_version": true'),
    "version only": b'{"schema_version":1}',
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_a_run_card_that_is_none_is_one_line_and_exit_2_for_every_command(raw, run, tmp_path, blobs_csv):
    path = str(tmp_path / "r.zcurate.parquet")
    write(path, small().table, raw)
    before = (tmp_path / "r.zcurate.parquet").read_bytes()
    for words in (["report", path], ["report", path, "--with-data"], ["info", path], ["explain", path, "0"], ["scan", blobs_csv[0], "-o", path]):
        code, out, err = run(*words)
        assert (code, out) == (2, ""), words
        assert err.startswith("error: ") and err.count("\n") == 1, words
    assert (tmp_path / "r.zcurate.parquet").read_bytes() == before


NAMES = [(name,) for name in complete_card() if name not in card_schema.defaults()]
DEEP = [(name, inner) for name in ("input", "columns", "task", "model", "skill", "noise_rate", "thresholds", "expected") for inner in complete_card()[name]]


@pytest.mark.parametrize("path", NAMES + DEEP, ids=".".join)
def test_a_missing_or_mistyped_name_of_the_card_is_refused(path):
    card = complete_card()
    for value in (..., 5, "x", [], {}, None, [None], True):
        changed = put(card, path, value)
        try:
            read = card_schema.read_card(json.dumps(changed).encode(), "r.zcurate.parquet")
        except ReportError as error:
            message = str(error)
        else:
            message = "r.zcurate.parquet: "
            # Whatever passes has the type of what a scan writes, or may be missing.
            assert value is not ... or path in {("input", "root")}
            assert read[path[0]] == changed[path[0]]
        assert message.startswith("r.zcurate.parquet: ") and "\n" not in message


def test_a_judged_report_has_a_threshold():
    with pytest.raises(ReportError, match="rows are judged without a threshold"):
        card_schema.read_card(json.dumps(put(complete_card(), ("thresholds", "p_incorrect"), None)).encode(), "r")


def test_names_that_an_older_version_did_not_write_get_their_defaults():
    card = {name: value for name, value in complete_card().items() if name not in card_schema.defaults()}
    assert card_schema.read_card(json.dumps(card).encode(), "r") == {**complete_card(), **card_schema.defaults()}


def columns_of(table):
    strings = pa.array(["x"] * len(table))
    return {
        "null": pa.nulls(len(table)),
        "text": strings,
        "large text": strings.cast(pa.large_string()),
        "list": pa.array([[1.0]] * len(table)),
        "bytes": pa.array([b"\xff"] * len(table)),
        "struct": pa.array([{"a": 1}] * len(table)),
    }


@pytest.mark.parametrize("name", list(validation.REQUIRED))
def test_a_missing_or_mistyped_column_is_refused(name, tmp_path):
    whole = small()
    path = str(tmp_path / "r.zcurate.parquet")
    Report(whole.table.drop_columns([name]), whole.card).save(path)
    with pytest.raises(ReportError, match=f"no column '{name}'"):
        storage.load(path)
    at = whole.table.column_names.index(name)
    for kind, values in columns_of(whole.table).items():
        if kind == "text" and name in ("given", "suggested", "predicted"):
            continue
        write(path, whole.table.set_column(at, name, values), GOOD)
        with pytest.raises(ReportError, match=f"column '{name}' is "):
            storage.load(path, lambda column: column == "verdict")


def test_columns_that_come_together_and_all_rows_are_needed(tmp_path):
    whole, path = small(), str(tmp_path / "r.zcurate.parquet")
    curve = pa.array([[0.5]] * len(whole), pa.list_(pa.float32()))
    write(path, whole.table.append_column("loss_curve", curve).append_column("z_curve", curve), GOOD)
    with pytest.raises(ReportError, match="no column 'margin_curve' beside 'loss_curve'"):
        storage.load(path)
    write(path, whole.table.slice(0, 5), GOOD)
    with pytest.raises(ReportError, match="holds 5 of 12 rows"):
        storage.load(path)


def test_values_that_contradict_each_other_are_refused(tmp_path):
    whole, path = small(), str(tmp_path / "r.zcurate.parquet")
    n = len(whole)

    def refuse(message, name, values, card=whole.card):
        names = whole.table.column_names
        at = names.index(name) if name in names else len(names)
        table = whole.table.set_column(at, name, values) if name in names else whole.table.append_column(name, values)
        Report(table, card).save(path)
        with pytest.raises(ReportError, match=message):
            storage.load(path)

    for rows in (range(1, n + 1), range(0, 2 * n, 2), [-1, *range(n - 1)], [0] * n, [None, *range(1, n)]):
        refuse("successive rows", "row", pa.array(rows, pa.int64()))
    for rank in (0, -1, n + 1, 2**62):
        refuse("ranks from", "rank", pa.array([rank] * n))
    refuse("as a verdict", "verdict", pa.array(["\x1b[31mmine"] * n).dictionary_encode())
    refuse("as a verdict", "verdict", pa.array(["incorrect", None] * (n // 2)).dictionary_encode())
    refuse("judged rows without p_incorrect", "p_incorrect", pa.nulls(n, pa.float32()))
    for name in ("p_incorrect", "p_hard", "p_outlier"):
        refuse(f"judged rows without {name}", name, pa.array([float("nan")] * n, pa.float32()))
    refuse("lists of 2 values", "clues", pa.array([[0.1, 0.2]] * n, pa.list_(pa.float32())), {**whole.card, "clue_names": ["one"]})
    Report(pa.Table.from_arrays([*whole.table.columns, whole.table.column("row")], names=[*whole.table.column_names, "row"]), whole.card).save(path)
    with pytest.raises(ReportError, match="two columns 'row'"):
        storage.load(path)


def test_a_report_that_expands_beyond_the_memory_is_refused(tmp_path, monkeypatch):
    whole, path = small(1000), str(tmp_path / "r.zcurate.parquet")
    at = whole.table.column_names.index("given")
    write(path, whole.table.set_column(at, "given", pa.array(["x" * 20_000] * 1000)), json.dumps(whole.card).encode())
    assert os.path.getsize(path) < 100_000
    storage.load(path)
    monkeypatch.setattr(limits.memory, "available_bytes", lambda: 1)
    monkeypatch.setattr(limits, "FREE_BYTES", 10_000_000)
    with pytest.raises(ReportError, match="its columns take 20 MB of memory or more"):
        storage.load(path)
    assert len(storage.load(path, lambda name: name == "verdict")) == 1000


ADDRESSES = [
    "http://127.0.0.1:{port}/x.csv",
    "https://127.0.0.1:{port}/x.csv",
    "ftp://127.0.0.1:{port}/x.csv",
    "s3://bucket/x.csv",
    "reference://k.csv::data:a/x.json;base64,eyJ2ZXJzaW9uIjoxfQ==",
    "simplecache::http://127.0.0.1:{port}/x.csv",
    "webhdfs://127.0.0.1:{port}/x.csv",
    "memory://x.csv",
    "file:///etc/hostname",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_of_a_report_is_opened(address, run, tmp_path, monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        server.settimeout(0.2)
        path = str(tmp_path / "r.zcurate.parquet")
        small(path=address.format(port=server.getsockname()[1])).save(path)
        monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
        code, out, err = run("report", path, "--with-data")
        assert (code, out) == (2, "") and "reports open nothing else unasked — name it: --data" in err
        code, out, _ = run("explain", path, "0", "--json")
        assert code == 0 and "name it: --data" in json.loads(out)["nearest_missing"]
        with pytest.raises(TimeoutError):
            server.accept()


def test_only_files_below_the_report_or_here_are_opened_unasked(tmp_path, monkeypatch):
    reports, here, elsewhere = tmp_path / "reports", tmp_path / "here", tmp_path / "reports-too"
    for folder in (reports, here, elsewhere):
        (folder / "deep").mkdir(parents=True)
    (reports / "link").symlink_to(elsewhere)
    monkeypatch.chdir(here)

    def may(path):
        return locations.may_open(str(path), Report(pa.table({}), {}, path=str(reports / "r.zcurate.parquet")))

    for path in (reports / "a.csv", reports / "deep/a.csv", here / "a.csv", here / "deep/x/a.csv", "a.csv", reports / "p-*.csv", reports):
        assert may(path), path
    for path in (
        elsewhere / "a.csv",
        reports / "../a.csv",
        "../a.csv",
        "/etc/passwd",
        "/dev/zero",
        "/",
        "/**",
        reports / "link/a.csv",
        "-",
        "memory",
        "a\0b",
        "s3://b/a.csv",
        "../*.csv",
    ):
        assert not may(path), path


def test_the_hash_is_checked_before_anything_is_read(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x,label\n" + "1,cat\n2,dog\n" * 6)
    small(path=str(tmp_path / "a.csv")).save("r.zcurate.parquet")
    monkeypatch.setattr(listing.readers, "read", lambda *_: pytest.fail("it was read"))
    for words in ([], ["--data", "a.csv"]):
        code, out, err = run("report", "r.zcurate.parquet", "--with-data", *words)
        assert (code, out) == (2, "") and "a.csv has changed since the scan, or is another file" in err


def test_data_that_were_moved_are_named_with_data(run, tmp_path, monkeypatch, blobs_csv):
    (tmp_path / "r").mkdir()
    monkeypatch.chdir(tmp_path / "r")
    assert run("scan", blobs_csv[0], "--id", "key", "--epochs", 3, "-q")[0] == 0
    code, out, err = run("report", "--with-data", "--top", 2)
    assert (code, out) == (2, "") and err.endswith(f"name it: --data {blobs_csv[0]}\n")
    moved = tmp_path / "moved.csv"
    moved.write_bytes(blobs_csv[0].read_bytes())
    assert run("report", "--with-data", "--top", 2, "--data", moved)[0] == 0
    assert json.loads(run("explain", "k3", "--data", moved, "--json")[1])["nearest"]
    code, _, err = run("report", "--top", 2, "--data", moved, "-o", moved)
    assert code == 2 and "is the input itself" in err


def test_options_of_a_report_are_checked_like_those_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x,label\n" + "1,cat\n2,dog\n" * 6)
    for name, value in {"input_format": "nope", "task": "nope", "encoding": "nope", "kind": ["x"]}.items():
        card = complete_card(path=str(tmp_path / "a.csv"))
        card["options"][name] = value
        with pytest.raises((ReportError, UsageError), match="nope|names no column and kind"):
            listing.reread_input(Report(small().table, card, path="r"), "--with-data")


def test_a_root_elsewhere_is_not_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = Report(small().table, put(complete_card(), ("input", "root"), "/etc"), path=str(tmp_path / "r"))
    assert listing.root_for(report, None) is None
    assert listing.root_for(report, str(tmp_path / "a.csv")) is None
    assert listing.root_for(report, "/etc/a.csv") == "/etc"


def test_a_pattern_of_a_report_is_not_expanded_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = Report(small().table, complete_card(path="/**/*.csv"), path=str(tmp_path / "r"))
    assert locations.known_inputs(report, None) == []
    assert locations.known_inputs(report, "b.csv") == ["b.csv"]


def test_no_function_of_a_report_runs(run, tmp_path, monkeypatch, blobs_csv):
    monkeypatch.chdir(blobs_csv[0].parent)
    (blobs_csv[0].parent / "evil.py").write_text("open('PWNED', 'w')\ndef f(*_): raise SystemExit\n")
    (blobs_csv[0].parent / "evil.toml").write_text('name = "evil.py:f"\n')
    assert run("scan", blobs_csv[0], "--id", "key", "--epochs", 3, "-q")[0] == 0
    whole = storage.load("blobs.zcurate.parquet")
    for model in ("evil.py:f", "evil.toml"):
        card = put(put(whole.card, ("options", "model"), model), ("model", "name"), model)
        Report(whole.table, card).save("blobs.zcurate.parquet")
        for words in (["report", "--with-data"], ["explain", "k3"], ["info", "blobs.zcurate.parquet"]):
            assert run(*words)[0] == 0, words
        run("scan", blobs_csv[0], "--id", "key", "--epochs", 3, "-q", "--resume")
        run("scan", blobs_csv[0], "--id", "key", "--epochs", 3, "-q", "--force")
    assert not os.path.exists("PWNED")


def test_what_is_kept_has_no_secret_and_no_home(run, tmp_path, monkeypatch, blobs_csv, memory_protocol):
    import fsspec

    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    data = home / "blobs.csv"
    data.write_bytes(blobs_csv[0].read_bytes())
    assert run("scan", data, "--id", "key", "--epochs", 3, "-q", "-o", home / "r.zcurate.parquet")[0] == 0
    raw = (home / "r.zcurate.parquet").read_bytes()
    assert str(home).encode() not in raw
    card = storage.load("r.zcurate.parquet").card
    assert card["input"]["path"] == "~/blobs.csv" and "~/blobs.csv" in card["command"]
    assert run("report", "r.zcurate.parquet", "--with-data", "--top", 2)[0] == 0
    assert run("scan", "blobs.csv", "--id", "key", "--epochs", 3, "-q", "-o", "r.zcurate.parquet")[0] == 0
    fsspec.filesystem("memory").pipe("/me:secret@host/blobs.csv", data.read_bytes())
    assert run("scan", "memory://me:secret@host/blobs.csv", "--epochs", 3, "-q", "-o", "s.zcurate.parquet")[0] == 0
    assert b"secret" not in (home / "s.zcurate.parquet").read_bytes()
    code, _, err = run("scan", "memory://me:secret@host/gone.csv?sig=token")
    assert code == 2 and "secret" not in err and "memory://host/gone.csv" in err


def test_the_trace_of_a_fault_has_no_secret_and_no_home(run, tmp_path, monkeypatch):
    from zcurate.report import storage

    monkeypatch.setenv("HOME", str(tmp_path))

    def fails(*_, **__):
        raise RuntimeError(f"at {tmp_path}/x of https://me:pw@host/a?sig=token")

    monkeypatch.setattr(storage, "load", fails)
    code, _, err = run("report", "r.zcurate.parquet")
    with open(err.split("the trace is in ")[1].split(" — ")[0], encoding="utf-8") as file:
        trace = file.read()
    assert code == 70 and "at ~/x of https://host/a" in trace
    assert str(tmp_path) not in trace and "pw" not in trace.split("RuntimeError")[-1] and "token" not in trace.split("RuntimeError")[-1]


def test_report_options_know_data():
    assert ReportOptions(data="x").data == "x" and not hasattr(ScanOptions(), "data")
