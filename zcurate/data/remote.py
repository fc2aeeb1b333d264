"""Remote files through fsspec, of the protocols in `PROTOCOLS` and no others: some of fsspec's read other files, run code or chain addresses.

fsspec is imported only in this module and only for an address with a protocol; the user installs the packages for the protocols. A `file://` address is
the path of a local file.
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
from zcurate.errors import InputError, UsageError, ZcurateError, did_you_mean

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)(://|::.*://)", re.DOTALL)
"""Matches the beginning of an address, or of a chain of them."""
PROTOCOLS = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "hf": "huggingface_hub", "https": "aiohttp requests", "http": "aiohttp requests"}
"""Protocol -> packages to install for it; no others are read or written."""
OTHER_NAMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az", "local": "file", "files": "file"}
"""Other names of protocols -> the name to type."""
STAMPS = ("ETag", "etag", "blob_id", "md5Hash", "content_md5", "Content-MD5", "Digest", "crc32c", "CRC", "sha", "LastModified", "last_modified",
          "Last-Modified", "mtime", "updated", "modified", "created")  # fmt: skip
"""Keys of a file's checksum or time in the file systems' listings, checksums first."""


@dataclass(frozen=True)
class Remote:
    """A remote file system with size and stamp of an input's files, as listed."""

    system: Any
    """The fsspec file system."""
    sizes: tuple[int | None, ...] = ()
    """Size of each file [bytes]; None if unknown."""
    stamps: tuple[str | None, ...] = ()
    """Checksum or time of each file as `name=value`; None if neither is known."""

    def only(self, names: tuple[str, ...], chosen: tuple[str, ...]) -> Remote:
        """Select some of the files.

        Args:
            names: of all files.
            chosen: names to keep.
        """
        positions = [names.index(name) for name in chosen]
        return Remote(self.system, tuple(self.sizes[k] for k in positions), tuple(self.stamps[k] for k in positions))

    def content(self, name: str) -> bytes:
        """Read a whole file, in one request if the file system supports it.

        Raises:
            InputError: it has disappeared or cannot be reached.
        """
        with remote_errors(name):
            return bytes(self.system.cat_file(name))

    def open(self, name: str) -> Any:
        """Open a file as a binary Python file object, read block by block if the file system supports it.

        Raises:
            InputError: it has disappeared or cannot be reached.
        """
        with remote_errors(name):
            return self.system.open(name, "rb")


def is_remote(path: str) -> bool:
    """Return whether a path is an address, of whatever protocol."""
    return ADDRESS.match(path) is not None


def check_address(path: str) -> None:
    """Refuse an address that is not of one of the `PROTOCOLS`, and chains of addresses.

    Raises:
        UsageError: says which are known.
    """
    found = ADDRESS.match(path)
    protocol = "" if found is None else found[1].lower()
    if "::" in path:
        raise UsageError(f"{path}: a chain of addresses — expected a single one, of {', '.join(PROTOCOLS)} or file — copy the file first")
    if protocol not in PROTOCOLS:
        hint = did_you_mean(OTHER_NAMES.get(protocol, protocol), (*PROTOCOLS, "file"), "{}://")
        raise UsageError(f"{path}: protocol '{protocol}' is not read — expected {', '.join(PROTOCOLS)} or file{hint or ' — copy the file first'}")


def bare(path: str) -> str:
    """Strip protocol, query and fragment from an address."""
    if is_web(path):
        split = urlsplit(path)
        return split.netloc + split.path
    return path.partition("://")[2]


def is_web(path: str) -> bool:
    """Return whether an address is a web address, in which `?` begins a query."""
    return path.lower().startswith(("http://", "https://"))


@contextmanager
def remote_errors(location: str) -> Iterator[None]:
    """Convert any exception of a file system into an error that names the location.

    Raises:
        InputError: the file has disappeared, access is denied, or the location cannot be reached.
    """
    try:
        yield
    except ZcurateError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{location}: no such file — expected it to exist until it is read — check the address, then run again") from error
    except PermissionError as error:
        raise InputError(f"{location}: access denied — expected read access with your credentials — check them and the address") from error
    except Exception as error:
        # Each package raises types of its own (those of botocore and aiohttp are not OSErrors).
        first_line = next(iter(str(error).strip().splitlines()), "")[:120]
        what = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
        raise InputError(
            f"{location}: cannot be reached ({what}) — expected a file that can be read — check the address, the network and your credentials"
        ) from error


def connect(path: str) -> tuple[Any, str]:
    """Open the file system of an address without cached listings; return it with the path in it.

    Raises:
        UsageError: another protocol, a chain, or the protocol's package is not installed.
        InputError: the file system cannot be set up.
    """
    check_address(path)
    import fsspec.core

    protocol = path.partition("://")[0].lower()
    with remote_errors(path):
        try:
            system, inner = fsspec.core.url_to_fs(path)
        except ImportError as error:
            package = PROTOCOLS[protocol]
            raise UsageError(f"{path}: {protocol}:// needs a package that is not installed — expected {package} — pip install {package}") from error
        system.invalidate_cache()
    return system, str(inner)


def describe_files(system: Any, details: list[dict[str, Any]]) -> tuple[tuple[str, ...], Remote]:
    """Return the full names of files in natural order, and the file system with their sizes and stamps.

    Args:
        system: the fsspec file system.
        details: its listing entries of the files.
    """
    by_name = {str(system.unstrip_protocol(detail["name"])): detail for detail in details}
    for name, detail in by_name.items():
        # A web server's listing is a page of links; only a request for the file itself returns its stamp.
        by_name[name] = detail if stamp(detail) else {**detail, **system.info(detail["name"])}
    names = partitions.in_order(by_name)
    sizes = tuple(by_name[name].get("size") for name in names)
    return names, Remote(system, sizes, tuple(stamp(by_name[name]) for name in names))


def stamp(detail: dict[str, Any]) -> str | None:
    """Return a file's checksum, else its time, as `name=value`; None if the listing has neither."""
    key = next((key for key in STAMPS if detail.get(key) is not None), None)
    if key is None:
        return None
    value = detail[key]
    return f"{key}={value.timestamp() if isinstance(value, datetime) else value}"


def exists(path: str) -> bool:
    """Return whether an address exists.

    Raises:
        UsageError: the package for the protocol is not installed.
        InputError: it cannot be reached.
    """
    system, inner = connect(path)
    with remote_errors(path):
        return bool(system.exists(inner))


def put(local: str, path: str) -> None:
    """Copy a finished local file to an address.

    Raises:
        InputError: it cannot be written there.
    """
    system, inner = connect(path)
    with remote_errors(path):
        system.put_file(local, inner)
