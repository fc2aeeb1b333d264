"""Remote addresses, on fsspec's in-memory file system: every format, folders, globs, hashes and errors. No network."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.data.readers.test_tables import TABLE, facts, read, written
from zcurate.config.options import ScanOptions
from zcurate.data import discovery, readers, remote, source, stream
from zcurate.errors import InputError, ReportError, UsageError
from zcurate.report import storage

TEST_PROTOCOLS = ("memory", "closed", "bare", "pages", "torn")


@pytest.fixture(autouse=True)
def _test_protocols(monkeypatch):
    """Take addresses of the file systems in this module, which stand for remote ones."""
    for name in TEST_PROTOCOLS:
        monkeypatch.setitem(remote.PROTOCOLS, name, "")


@pytest.fixture
def memory():
    """An empty file system in memory."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def filled(tmp_path, memory):
    """Every format, remote and local."""
    names = written(tmp_path)
    memory.put(str(tmp_path), "/bucket", recursive=True)
    return tmp_path, names


def test_every_remote_format_is_read_like_the_local_one(filled):
    local, names = filled
    expected = facts(read(local / "a.csv"))
    for name in ["a.csv", *names, "parts/"]:
        data = read(f"memory://bucket/{name}")
        assert facts(data) == expected, name
        assert data.origin.path == f"memory://bucket/{name}"
        assert data.origin.n_bytes > 0


def test_a_file_address_is_read(filled):
    local, _ = filled
    assert facts(read(f"file://{local}/a.parquet")) == facts(read(local / "a.csv"))
    assert facts(read(f"file://{local}/parts/")) == facts(read(local / "a.csv"))


@pytest.mark.parametrize(
    "address",
    [
        "zip://in/a.csv::file:///tmp/z.zip", "simplecache::s3://b/a.csv", "reference://k.csv::data:a/x.json;base64,e30=", "blockcache::memory://bucket/a.csv", "s3://b/a::b.csv",
    ],
)  # fmt: skip
def test_chains_of_protocols_are_refused(filled, address):
    with pytest.raises(UsageError, match="a chain of addresses"):
        read(address)


@pytest.mark.parametrize(
    "protocol", ["reference", "data", "simplecache", "filecache", "ftp", "jupyter", "dask", "webhdfs", "github", "git", "sftp", "ssh", "smb", "zip", "tar", "libarchive", "cached", "dir", "generic", "asynclocal"]
)  # fmt: skip
def test_other_protocols_are_refused_before_fsspec_sees_them(protocol, monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    for use in (lambda path: read(path), remote.exists, lambda path: remote.put("a", path)):
        with pytest.raises(UsageError, match=f"protocol '{protocol}' is not read — expected s3, gs, az, hf, https, http"):
            use(f"{protocol}://host/a.csv")


def test_a_name_that_looks_like_a_chain_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data::v2.csv").write_text("x,label\n" + "1,a\n2,b\n" * 10)
    assert read("data::v2.csv").n_rows == 20
    with pytest.raises(InputError, match="no such file"):
        read("reference::data:application/json;base64,e30=")


def test_remote_files_are_read_in_batches(filled):
    _, names = filled
    for name in [name for name in ["a.csv", *names] if ".json" not in name]:
        where = discovery.locate(f"memory://bucket/{name}", None)
        assert pa.Table.from_batches(list(stream.batches(where, rows_per_batch=7))).to_pydict() == TABLE.to_pydict(), name
    assert stream.row_counts(discovery.locate("memory://bucket/parts", None)) == [10, 20]


def test_remote_folders_follow_the_rules_of_local_ones(memory, tmp_path):
    for k in (10, 9):
        pq.write_table(pa.table({"x": [k + 0.5, k + 0.75], "label": ["a", "b"]}), tmp_path / "p")
        memory.put(str(tmp_path / "p"), f"/d/year={2000 + k}/part-{k}.parquet")
    for name in ("_SUCCESS", ".crc", "year=2009/_metadata", "d.zcurate.parquet"):
        memory.pipe(f"/d/{name}", b"none")
    data = read("memory://d/")
    assert data.table.to_pydict() == {"x": [9.5, 9.75, 10.5, 10.75], "label": ["a", "b"] * 2, "year": ["2009"] * 2 + ["2010"] * 2}
    assert read("memory://d/year=*/*.parquet").table.to_pydict() == data.table.to_pydict()
    memory.pipe("/d/year=2010/part-10.parquet", b"broken")
    with pytest.raises(InputError, match=r"memory:///?d/year=2010/part-10.parquet: not a whole Parquet file"):
        read("memory://d/")


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("s3://bucket/a/train.csv.gz", "train"), ("s3://bucket/parts/", "parts"), ("s3://bucket/parts", "parts"), ("gs://bucket/a/year=*/p-*.parquet", "a"),
        ("s3://bucket/v1.2/", "v1.2"), ("https://host/x/t.csv?sig=a.b/c&y=[1]", "t"), ("hf://datasets/user/set/data/train.parquet", "train"),
        ("s3://bucket", "bucket"), ("s3://bucket/*.csv", "bucket"), ("s3://*/a.csv", "data"), ("file:///x/a.csv", "a"), ("*/a.csv", "data"), ("d/year=*/p.csv", "d"),
    ],
)  # fmt: skip
def test_the_report_is_named_after_the_address(path, stem):
    assert discovery.stem_of(path) == stem


def test_a_query_is_no_part_of_the_ending():
    assert discovery.format_of("https://host/t.csv.gz?sig=a.parquet") == "csv"
    assert source.compression_of("https://host/t.csv.gz?sig=a.parquet") == "gzip"
    assert not discovery.has_pattern("https://host/t.csv?a=[1]*")
    assert discovery.has_pattern("s3://bucket/t?.csv")


def test_missing_or_unusable_addresses_are_refused(memory):
    memory.pipe("/bucket/empty.csv", b"")
    memory.pipe("/bins/a.bin", b"x")
    memory.pipe("/bins/b.bin", b"x")
    memory.pipe("/mixed/a.csv", b"x,label\n1,a\n")
    memory.pipe("/mixed/b.jsonl", b"{}")
    for path, message in {
        "memory://bucket/gone.csv": "memory://bucket/gone.csv: no such file",
        "memory://gone/": "memory://gone/: no such file",
        "memory://bucket/*.parquet": "matches no file",
        "memory://bucket/empty.csv": "the file is empty",
        "memory://bins/a.bin": "unknown format",
        "memory://mixed": "a folder of csv and jsonl files — expected one format, named — try --input-format csv",
        "memory://bins/": "no Parquet files in this folder — it holds 2 entries",
    }.items():
        with pytest.raises(InputError, match=message.replace("*", r"\*")):
            read(path)


def test_remote_image_files_are_refused(memory):
    memory.pipe("/bucket/x-images-idx3-ubyte", b"x")
    with pytest.raises(InputError, match="idx is not read remotely"):
        read("memory://bucket/x-images-idx3-ubyte")
    memory.pipe("/bucket/m.csv", b"file,label\n" + b"".join(b"%d.png,%s\n" % (k, b"ab"[k % 2 :][:1]) for k in range(30)))
    with pytest.raises(UsageError, match="names pictures that are not on this machine .* --root DIR"):
        read("memory://bucket/m.csv")


def test_a_remote_part_that_disappears_is_named(filled, memory):
    where = discovery.locate("memory://bucket/parts", None)
    memory.rm("/bucket/parts/part-1.parquet")
    with pytest.raises(InputError, match=r"bucket/parts/part-1.parquet: no such file"):
        readers.read(where, ScanOptions())


class Closed(fsspec.AbstractFileSystem):
    """Denies all access."""

    protocol = "closed"

    def info(self, path, **_):
        if "odd" in path:
            raise RuntimeError("NoCredentials: unable to locate any\nand more")
        raise PermissionError("forbidden")


def test_access_denied_and_other_errors_name_the_location():
    fsspec.register_implementation("closed", Closed, clobber=True)
    with pytest.raises(InputError, match="closed://b/a.csv: access denied"):
        read("closed://b/a.csv")
    with pytest.raises(InputError, match=r"closed://b/odd.csv: cannot be reached \(RuntimeError: NoCredentials: unable to locate any\) — expected"):
        read("closed://b/odd.csv")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UsageError, match=r"s3://bucket/a.csv: s3:// needs a package that is not installed — expected s3fs — pip install s3fs"):
        read("s3://bucket/a.csv")
    for path, hint in (("nosuch://a.csv", "copy the file first"), ("gcs://b/a.csv", "did you mean gs://?"), ("htps://h/a.csv", "did you mean https://?")):
        with pytest.raises(UsageError, match=f"is not read — expected s3, gs, az, hf, https, .* — {re.escape(hint)}"):
            read(path)


def test_the_hash_follows_the_stamp_without_reading(filled, memory):
    before = discovery.locate("memory://bucket/a.parquet", None)
    first = before.origin()
    assert before.digests == {}
    assert discovery.locate("memory://bucket/a.parquet", None).origin() == first
    memory.pipe("/bucket/a.parquet", memory.cat("/bucket/a.parquet"))
    assert discovery.locate("memory://bucket/a.parquet", None).origin().digest != first.digest


class Bare(MemoryFileSystem):
    """In-memory file system without times or checksums; records what is fetched."""

    protocol = "bare"
    fetched: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("bare://", "memory://"))

    def info(self, path, **more):
        return {name: value for name, value in super().info(path, **more).items() if name != "created"}

    def cat_file(self, path, *args, **more):
        self.fetched.append(path)
        return super().cat_file(path, *args, **more)


def test_without_a_stamp_the_bytes_are_hashed_when_read(filled, memory):
    fsspec.register_implementation("bare", Bare, clobber=True)
    Bare.fetched.clear()
    first = read("bare://bucket/a.csv").origin
    assert len(Bare.fetched) == 1
    memory.pipe("/bucket/a.csv", memory.cat("/bucket/a.csv"))
    assert discovery.locate("bare://bucket/a.csv", None).origin() == first
    memory.pipe("/bucket/a.csv", memory.cat("/bucket/a.csv").replace(b"cat", b"cow"))
    assert discovery.locate("bare://bucket/a.csv", None).origin().digest != first.digest


class Pages(MemoryFileSystem):
    """In-memory file system whose listings contain only names, like a web page of links."""

    protocol = "pages"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("pages://", "memory://"))

    def ls(self, path, detail=True, **more):
        found = super().ls(path, detail=True, **more)
        return [{"name": entry["name"], "type": entry["type"], "size": None} for entry in found] if detail else [entry["name"] for entry in found]


def test_a_listing_without_stamps_is_completed_by_a_request_for_each_file(filled, memory):
    fsspec.register_implementation("pages", Pages, clobber=True)
    where = discovery.locate("pages://bucket/parts/", None)
    assert None not in where.remote.stamps
    assert where.origin().n_bytes == sum(memory.size(f"/bucket/parts/part-{k}.parquet") for k in range(2))
    assert where.digests == {}


class Torn(MemoryFileSystem):
    """In-memory file system behind a connection that breaks while reading."""

    protocol = "torn"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("torn://", "memory://"))

    def open(self, path, mode="rb", **more):
        class Breaks(io.BytesIO):
            def read(self, *_):
                raise RuntimeError("connection reset")

        return Breaks(self.cat_file(path))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.feather"])
def test_a_broken_connection_names_the_file(filled, name):
    fsspec.register_implementation("torn", Torn, clobber=True)
    with pytest.raises(InputError, match=rf"bucket/{name}: cannot be reached \(RuntimeError: connection reset\)"):
        list(stream.batches(discovery.locate(f"torn://bucket/{name}", None)))


def test_a_report_is_saved_to_an_address_and_loaded_again(memory, tmp_path, monkeypatch):
    from tests.report.test_report import small

    path = "memory://out/a.zcurate.parquet"
    storage.check_output(path, "/data/a.csv", ScanOptions())
    small().save(path)
    assert storage.load(path).table.equals(small().table)
    assert storage.is_report(path)
    storage.check_output(path, "/data/a.csv", ScanOptions())
    with pytest.raises(UsageError, match="is a report of /data/a.csv"):
        storage.check_output(path, "memory://in/b.csv", ScanOptions())
    storage.check_output(path, "memory://in/b.csv", ScanOptions(force=True))
    with pytest.raises(UsageError, match="a web address"):
        storage.check_output("https://host/a.zcurate.parquet", "/data/a.csv", ScanOptions())
    with pytest.raises(ReportError, match=r"memory://out/gone.zcurate.parquet: no such file"):
        storage.load("memory://out/gone.zcurate.parquet")


def test_a_remote_input_is_never_the_output(memory, tmp_path):
    for path, data in (
        ("memory://in/a.parquet", "memory://in/a.parquet"),
        ("memory://in/d/p.parquet", "memory://in/d/"),
        ("memory://in/d/p.parquet", "memory://in/d"),
    ):
        with pytest.raises(UsageError, match="is the input itself"):
            storage.check_output(path, data, ScanOptions(force=True))
    (tmp_path / "a.parquet").write_text("mine")
    with pytest.raises(UsageError, match="is the input itself"):
        storage.check_output(str(tmp_path / "a.parquet"), f"file://{tmp_path}/a.parquet", ScanOptions(force=True))


def test_a_report_that_cannot_be_uploaded_stays_in_a_local_file(memory, monkeypatch):
    from tests.report.test_report import small

    def refuses(*_, **__):
        raise PermissionError("no")

    monkeypatch.setattr(type(memory), "put_file", refuses)
    with pytest.raises(UsageError, match="access denied .* is kept in ") as caught:
        small().save("memory://out/a.zcurate.parquet")
    local_copy = str(caught.value).split("kept in ")[1]
    assert storage.load(local_copy).table.equals(small().table)


def test_paths_without_a_protocol_do_not_load_fsspec(tmp_path):
    written(tmp_path)
    code = "import sys\nfrom zcurate.data import inputs\nfrom zcurate.config.options import ScanOptions\ninputs.read_input(sys.argv[1], ScanOptions())\nsys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.parquet")], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", code, f"file://{tmp_path}/a.parquet"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("path", "is_remote"), [("s3://b/a", True), ("simplecache::s3://b/a", True), ("a.csv", False), ("C:/a.csv", False), ("a/b:c", False), ("-", False)]
)
def test_addresses_are_recognized(path, is_remote):
    assert remote.is_remote(path) == is_remote
