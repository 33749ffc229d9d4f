"""Films in an object store: unchanged ones are read, changed and missing ones fail, and an outage fails none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from edge_seg.archive import store
from edge_seg.archive.store import Store, filesystem_of, read_bytes
from edge_seg.errors import DeviceError, InputError, UsageError

FILM = "s3://films/a.png"
PLANNED_NS = 1_700_000_000_678_000_000


class System:
    """An object store with one film, whose time it gives in whole seconds; or one that raises an error."""

    def __init__(self, modified_ns: int = 0, there: bool = True, error: OSError | None = None) -> None:
        self.facts = SimpleNamespace(is_file=there, size=4 if there else None, mtime_ns=modified_ns)
        self.error = error

    def get_file_info(self, path: str) -> Any:
        if self.error is not None:
            raise self.error
        return self.facts

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.BufferReader(b"film")


def put(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "filesystem_of", lambda address: (system, "films/a.png"))


def test_a_film_is_unchanged_if_its_second_is_the_planned_one(monkeypatch: pytest.MonkeyPatch) -> None:
    second = PLANNED_NS - PLANNED_NS % 1_000_000_000
    put(System(second), monkeypatch)
    assert read_bytes(FILM, 4, PLANNED_NS) == b"film"
    assert read_bytes(FILM, None, None) == b"film"
    put(System(second + 1_000_000_000), monkeypatch)
    with pytest.raises(InputError, match="has changed since it was planned"):
        read_bytes(FILM, 4, PLANNED_NS)


def test_a_missing_film_is_bad_input_and_an_outage_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    put(System(there=False), monkeypatch)
    with pytest.raises(InputError, match="no such object"):
        read_bytes(FILM, 4, PLANNED_NS)
    put(System(error=OSError("AWS Error NETWORK_CONNECTION")), monkeypatch)
    with pytest.raises(DeviceError, match="NETWORK_CONNECTION"):
        read_bytes(FILM, 4, PLANNED_NS)


def test_a_store_that_cannot_be_opened_is_down_or_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(address: str) -> Any:
        raise OSError("When resolving region for bucket")

    with pytest.raises(UsageError, match="give a path, or a URL"):
        filesystem_of("ftp://host/films")
    monkeypatch.setattr(store, "fs", SimpleNamespace(FileSystem=SimpleNamespace(from_uri=down)))
    with pytest.raises(DeviceError, match="When resolving region"):
        filesystem_of("s3://a-bucket-of-this-test/films")


def test_a_folder_whose_path_is_not_utf8_is_refused_in_a_line() -> None:
    with pytest.raises(UsageError, match=r"/R\\xf6ntgen: its path is not UTF-8"):
        Store("/R\udcf6ntgen")
