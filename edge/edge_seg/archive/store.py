"""A folder on a disk or in an object store, whose files are complete or absent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from edge_seg.archive.unchanged import check_unchanged
from edge_seg.errors import DeviceError, InputError, OutputError, UsageError, first_line
from edge_seg.sources.files import path_of
from edge_seg.sources.listing import is_utf8, shown
from edge_seg.storage import DRAFT_SUFFIX, write_atomically

_OLD_S = 3600.0
"""Seconds; no part takes this long to write."""


def filesystem_of(address: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URL (`s3://bucket/folder`), and the path in it.

    Keys and endpoints come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`), never from the URL.

    Raises:
        UsageError: a URL with a password, or of a kind that pyarrow does not support; a path that is not UTF-8.
        DeviceError: the store does not answer, or denies access.
    """
    if not is_utf8(address):
        raise UsageError(f"{shown(address)}: its path is not UTF-8: rename it")
    scheme, mark, rest = address.partition("://")
    if not mark:
        return _local(), str(path_of(address).absolute())
    place, _, path = rest.partition("/")
    if ":" in place.rpartition("@")[0]:
        raise UsageError(f"{scheme}://...: a URL holds no keys: give them in the environment (AWS_ACCESS_KEY_ID, ...)")
    system, base = _remote(f"{scheme}://{place}")
    return system, f"{base.rstrip('/')}/{path}".rstrip("/")


@lru_cache
def _local() -> fs.FileSystem:
    return fs.LocalFileSystem()


@lru_cache
def _remote(address: str) -> tuple[fs.FileSystem, str]:
    try:
        with asking(address):
            return fs.FileSystem.from_uri(address)
    except pa.ArrowException as error:
        known = "give a path, or a URL of s3, gs, abfs or hdfs"
        raise UsageError(f"{address}: cannot be opened ({first_line(error)}): {known}") from error


@contextmanager
def asking(address: str) -> Iterator[None]:
    """A context in which an object store is asked for what is at an address.

    Raises:
        InputError: there is nothing at this address.
        DeviceError: the store does not answer, or denies access; no film is at fault.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{address}: there is no such object: check the address") from error
    except OSError as error:
        raise DeviceError(
            f"{address}: cannot be read ({first_line(error)}): check the keys, region, endpoint and rights, and repeat "
            "the command"
        ) from error


def read_bytes(address: str, size: int | None, modified_ns: int | None) -> bytes:
    """The bytes of a file in an object store that has not changed since it was planned.

    Args:
        address: URL.
        size, modified_ns: of the file when it was planned; `None` if not known.

    Raises:
        InputError: it is gone, or has changed.
        DeviceError: the store does not answer, or denies access; no film is at fault.
    """
    system, path = filesystem_of(address)
    with asking(address):
        facts = system.get_file_info(path)
        if not facts.is_file:
            raise FileNotFoundError(path)
        check_unchanged(address, (size, _second(modified_ns)), (facts.size, _second(facts.mtime_ns)))
        with system.open_input_file(path) as file:
            return file.read()


def _second(ns: int | None) -> int | None:
    # Listings of some stores have milliseconds; the header of a single object never has.
    return None if ns is None else ns // 1_000_000_000


class Store:
    """A folder whose files are complete or absent.

    Args:
        address: path or URL.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.system, self.root = filesystem_of(address)

    def path(self, name: str) -> str:
        """A file's path in the file system."""
        return f"{self.root}/{name}"

    def list(self, folder: str) -> dict[str, fs.FileInfo]:
        """The files in a subfolder, by name; empty if the subfolder does not exist."""
        with self._told("listed"):
            found = self.system.get_file_info(fs.FileSelector(self.path(folder), allow_not_found=True))
        return {info.base_name: info for info in found if info.is_file}

    def holds(self, name: str) -> bool:
        """Whether a file exists."""
        with self._told("looked at"):
            return bool(self.system.get_file_info(self.path(name)).is_file)

    def read(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            InputError: it cannot be read.
        """
        with self.open(name) as file:
            return file.read()

    @contextmanager
    def open(self, name: str) -> Iterator[pa.NativeFile]:
        """Open a file for reading.

        Raises:
            InputError: it cannot be read.
        """
        with self.reading(name), self.system.open_input_file(self.path(name)) as file:
            yield file

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """A context that reports whatever goes wrong as an error of a file.

        Raises:
            InputError: it cannot be read.
        """
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            what = f"{self.address}/{name}: cannot be read ({first_line(error)})"
            raise InputError(f"{what}: check the address and its rights") from error

    def write(self, name: str, data: pa.Buffer | bytes) -> None:
        """Write a file: on a disk to a draft that is renamed, in an object store by a completed upload.

        Raises:
            OutputError: it cannot be written; it is then absent, or what it was before.
        """
        if isinstance(self.system, fs.LocalFileSystem):
            path = Path(self.path(name))
            with self._told("made"):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, memoryview(data))
            return
        with self._told("written"):
            with self.system.open_output_stream(self.path(name)) as stream:
                stream.write(data)
            # An upload that broke off must not count.
            if self.system.get_file_info(self.path(name)).size != len(memoryview(data)):
                self.system.delete_file(self.path(name))
                raise OSError("it arrived in part")

    def sweep(self, folder: str) -> None:
        """Remove half-written files that killed runs left in a folder; recent ones may still be in progress."""
        if isinstance(self.system, fs.LocalFileSystem):
            with self._told("swept"):
                for draft in Path(self.path(folder)).glob(f".*{DRAFT_SUFFIX}"):
                    # Another run may sweep too.
                    with suppress(FileNotFoundError):
                        if time.time() - draft.stat().st_mtime > _OLD_S:
                            draft.unlink()

    def remove(self, name: str) -> None:
        """Remove a file."""
        with self._told("removed"):
            self.system.delete_file(self.path(name))

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = (
                f"{self.address}: cannot be {done} ({os.strerror(error.errno) if error.errno else first_line(error)})"
            )
            raise OutputError(f"{what}: check the address, its rights, and the space") from error
