"""Remote files through fsspec: `s3://`, `gs://`, `hf://`, `https://`, `memory://` and other protocols.

fsspec is imported only in this module and only for an address with a protocol; the user installs the packages for the protocols.
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
"""Matches the beginning of a remote address."""
PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp requests", "https": "aiohttp requests",
    "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "adl": "adlfs", "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol",
    "github": "requests", "webhdfs": "requests", "oci": "ocifs", "oss": "ossfs", "box": "boxfs", "webdav": "webdav4",
}  # fmt: skip
"""Protocol -> packages to install for it."""
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
    """Return whether a path begins with a protocol."""
    return PROTOCOL.match(path) is not None


def protocol_of(path: str) -> str:
    """Return the protocol, `s3` for `s3://bucket/a.csv`; of a chain, that of the last link."""
    return path.rpartition("::")[2].partition("://")[0].lower()


def bare(path: str) -> str:
    """Strip protocol, query and fragment from an address; of a chain, use the first link that has a path."""
    link = next((link for link in path.split("::") if link.partition("://")[2]), path)
    if is_web(link):
        split = urlsplit(link)
        return split.netloc + split.path
    return link.partition("://")[2]


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
        UsageError: an unknown protocol, or its package is not installed.
        InputError: the file system cannot be set up.
    """
    import fsspec.core

    protocol = protocol_of(path)
    with remote_errors(path):
        try:
            system, inner = fsspec.core.url_to_fs(path)
        except ImportError as error:
            package = PACKAGES.get(protocol)
            advice = f"pip install {package}" if package else str(error)
            raise UsageError(f"{path}: {protocol}:// needs a package that is not installed — expected {package or 'that package'} — {advice}") from error
        except ValueError as error:
            if "rotocol not known" not in str(error):
                raise
            raise UsageError(f"{path}: no protocol '{protocol}' — expected s3, gs, hf, https or another of fsspec's — check the address") from error
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
