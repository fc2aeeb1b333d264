"""Files that are not on this machine, through fsspec: `s3://`, `gs://`, `hf://`, `https://`, `memory://` and the rest.

Leaves: `Remote`, a file system with what it says of some files. Enters: an address as typed. fsspec is imported only here and only for
an address with a protocol; the packages behind the protocols are the user's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from zcurate.data import partitions
from zcurate.errors import InputError, UsageError, ZcurateError

PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(?:::|://)")
PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp requests", "https": "aiohttp requests",
    "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "adl": "adlfs", "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol",
    "github": "requests", "webhdfs": "requests", "oci": "ocifs", "oss": "ossfs", "box": "boxfs", "webdav": "webdav4",
}  # fmt: skip
"""Protocol -> what to install for it."""
STAMPS = ("ETag", "etag", "blob_id", "md5Hash", "content_md5", "Content-MD5", "Digest", "crc32c", "CRC", "sha", "LastModified", "last_modified",
          "Last-Modified", "mtime", "updated", "modified", "created")  # fmt: skip
"""What file systems call a file's checksum or time, the checksums first."""


@dataclass(frozen=True)
class Remote:
    """A file system, and what it said of the files that make up an input when they were listed."""

    system: Any
    """fsspec's file system."""
    sizes: tuple[int | None, ...] = ()
    """Size of each file [bytes]; None where it is not told."""
    stamps: tuple[str | None, ...] = ()
    """Checksum or time of each file, as `name=value`; None where neither is told."""

    def only(self, names: tuple[str, ...], chosen: tuple[str, ...]) -> Remote:
        """The same of some of its files.

        Args:
            names: of all its files.
            chosen: those to keep.
        """
        at = [names.index(name) for name in chosen]
        return Remote(self.system, tuple(self.sizes[k] for k in at), tuple(self.stamps[k] for k in at))

    def content(self, name: str) -> bytes:
        """All bytes of one file, in one request where the file system can.

        Raises:
            InputError: it is gone or cannot be reached.
        """
        with reaching(name):
            return bytes(self.system.cat_file(name))

    def open(self, name: str) -> Any:
        """A binary Python file of one file; read piece by piece where the file system can.

        Raises:
            InputError: it is gone or cannot be reached.
        """
        with reaching(name):
            return self.system.open(name, "rb")


def is_remote(path: str) -> bool:
    """Whether a path begins with a protocol."""
    return PROTOCOL.match(path) is not None


def protocol_of(path: str) -> str:
    """`s3` of `s3://bucket/a.csv`; that of the last link of a chain."""
    return path.rpartition("::")[2].partition("://")[0].lower()


def bare(path: str) -> str:
    """An address without protocol, query and fragment: what names are read from; of a chain, the first link that has a path."""
    link = next((link for link in path.split("::") if link.partition("://")[2]), path)
    if is_web(link):
        split = urlsplit(link)
        return split.netloc + split.path
    return link.partition("://")[2]


def is_web(path: str) -> bool:
    """Whether an address is a web address, in which `?` begins a query."""
    return path.lower().startswith(("http://", "https://"))


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Turns whatever a file system raises into an error that names the place.

    Raises:
        InputError: the file is gone, access is denied, or the place cannot be reached.
    """
    try:
        yield
    except ZcurateError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{place}: no such file — expected one that is there until it is read — check the address, then run again") from error
    except PermissionError as error:
        raise InputError(f"{place}: access denied — expected a place that your credentials open — check them, and the address") from error
    except Exception as error:
        # Each package raises kinds of its own (botocore's and aiohttp's are no OSError).
        said = next(iter(str(error).strip().splitlines()), "")[:120]
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise InputError(
            f"{place}: cannot be reached ({what}) — expected a file that can be read — check the address, the network and your credentials"
        ) from error


def connect(path: str) -> tuple[Any, str]:
    """The file system of an address, nothing remembered from before; and the path in it.

    Raises:
        UsageError: an unknown protocol, or its package is not installed.
        InputError: the file system cannot be set up.
    """
    import fsspec.core

    protocol = protocol_of(path)
    with reaching(path):
        try:
            system, inner = fsspec.core.url_to_fs(path)
        except ImportError as error:
            package = PACKAGES.get(protocol)
            cure = f"pip install {package}" if package else str(error)
            raise UsageError(f"{path}: {protocol}:// needs a package that is not installed — expected {package or 'it to be there'} — {cure}") from error
        except ValueError as error:
            if "rotocol not known" not in str(error):
                raise
            raise UsageError(f"{path}: no protocol '{protocol}' — expected s3, gs, hf, https or another of fsspec's — check the address") from error
        system.invalidate_cache()
    return system, str(inner)


def facts(system: Any, details: list[dict[str, Any]]) -> tuple[tuple[str, ...], Remote]:
    """Full names of some files in natural order, and the file system with what it says of them.

    Args:
        system: fsspec's.
        details: its entries of the files.
    """
    by_name = {str(system.unstrip_protocol(detail["name"])): detail for detail in details}
    for name, detail in by_name.items():
        # A web server's listing is a page of links; only the files themselves tell more.
        by_name[name] = detail if stamp(detail) else {**detail, **system.info(detail["name"])}
    names = partitions.in_order(by_name)
    sizes = tuple(by_name[name].get("size") for name in names)
    return names, Remote(system, sizes, tuple(stamp(by_name[name]) for name in names))


def stamp(detail: dict[str, Any]) -> str | None:
    """A file's checksum, else its time, as `name=value`; None where the file system tells neither."""
    found = next((key for key in STAMPS if detail.get(key) is not None), None)
    if found is None:
        return None
    value = detail[found]
    return f"{found}={value.timestamp() if isinstance(value, datetime) else value}"


def exists(path: str) -> bool:
    """Whether something is at an address.

    Raises:
        UsageError: the package behind the protocol is not installed.
        InputError: it cannot be reached.
    """
    system, inner = connect(path)
    with reaching(path):
        return bool(system.exists(inner))


def put(local: str, path: str) -> None:
    """Copy a finished local file to an address.

    Raises:
        InputError: it cannot be written there.
    """
    system, inner = connect(path)
    with reaching(path):
        system.put_file(local, inner)
