"""Lists the films of an archive: from folders, globs, object stores, DICOMweb, lists; a few in memory at a time."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import csv, fs, parquet

from edge_seg.archive.dicomweb import films_at, is_service, split_address
from edge_seg.archive.store import asking, filesystem_of
from edge_seg.errors import InputError, UsageError, first_line
from edge_seg.sources.files import path_of
from edge_seg.sources.listing import FILM_SUFFIXES, Listing, is_utf8, shown
from edge_seg.sources.video import SUFFIXES as VIDEO_SUFFIXES

LISTS = (".csv", ".parquet")
"""Suffixes of files that list films, one per row."""

_NAMES_OF_COLUMNS = ("source", "path")

_ASKED_AT_ONCE = 1000


@dataclass(frozen=True)
class Found:
    """A film, and what is known about it; see `contents.PlannedFilm`."""

    source: str
    size: int | None = None
    modified_ns: int | None = None
    problem: str | None = None


@dataclass
class Films:
    """The films that sources name, in order.

    Args:
        sources: folders, files, globs, URLs of object stores, addresses of DICOMweb services, and lists (CSV or
            Parquet).

    Attributes:
        passed_over: files that are not films: other kinds, and videos.

    Raises:
        UsageError: one source is inside another, or an address is malformed or holds a password.
        InputError: a source does not exist, or a list cannot be read.
        DeviceError: a service or store does not answer, or denies access.
    """

    sources: Sequence[str]
    passed_over: int = 0

    def __iter__(self) -> Iterator[Found]:
        for source in _each_once([place for given in self.sources for place in _places(given)]):
            if is_service(source):
                yield from map(Found, films_at(source))
            elif Path(source).suffix.lower() in LISTS:
                yield from _listed(source)
            elif "://" in source:
                yield from self._in_store(source)
            elif Path(source).is_dir():
                yield from self._in_folder(Path(source))
            else:
                yield _on_disk(Path(source))

    def _in_folder(self, folder: Path) -> Iterator[Found]:
        for looked in Listing(folder).walk():
            self.passed_over += looked.others
            for path in looked.films:
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    self.passed_over += 1
                else:
                    yield _on_disk(path)
            yield from (Found(problem.source, problem=str(problem.error)) for problem in looked.problems)

    def _in_store(self, address: str) -> Iterator[Found]:
        system, root = filesystem_of(address)
        (itself,) = _asked(address, system, [root])
        if itself.is_file:
            yield Found(address, itself.size, itself.mtime_ns)
            return
        waiting = [root]
        while waiting:
            found = _asked(address, system, fs.FileSelector(waiting.pop()))
            for info in sorted(found, key=lambda one: one.path):
                if info.is_file and _is_film(info.base_name):
                    # The path lacks what the address names besides the bucket: the account, the host.
                    yield Found(address + info.path.removeprefix(root), info.size, info.mtime_ns)
                else:
                    self.passed_over += info.is_file
            waiting += sorted((one.path for one in found if one.type == fs.FileType.Directory), reverse=True)


def _places(source: str) -> list[str]:
    """The places that a source names: itself, or what a glob matches."""
    if "://" in source:
        return [source.rstrip("/")]
    path = path_of(source).absolute()
    if path.exists():
        return [str(path)]
    # Path.glob takes no absolute patterns.
    found = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(source) else []  # noqa: PTH207
    if not found:
        raise InputError(f"{source}: there is no such file or folder: check the path")
    return found


def _each_once(places: list[str]) -> list[str]:
    """The places without duplicates."""
    real = {place if "://" in place else os.path.realpath(place): place for place in reversed(places)}
    above = ""
    for place in sorted(real, key=lambda one: f"{one}/"):
        if above and place.startswith(f"{above}/"):
            raise UsageError(f"{real[place]} lies in {real[above]}: give one of the two")
        above = place
    return list(reversed(real.values()))


def _on_disk(path: Path) -> Found:
    if not is_utf8(str(path)):
        return Found(shown(path), problem=f"{shown(path)}: its path is not UTF-8: rename it")
    try:
        facts = path.stat()
    except OSError as error:
        return Found(
            str(path), problem=f"{path}: cannot be read ({error.strerror}): check the path and its permissions"
        )
    return Found(str(path), facts.st_size, facts.st_mtime_ns)


def _is_film(name: str) -> bool:
    """Decide by name alone: opening each file would cost a request. DICOM objects are often named by a UID."""
    suffix = PurePosixPath(name).suffix.lower()
    named = suffix in FILM_SUFFIXES - VIDEO_SUFFIXES or not suffix or suffix[1:].isdigit()
    return named and not name.startswith(".") and name.upper() != "DICOMDIR"


def _asked(address: str, system: fs.FileSystem, wanted: fs.FileSelector | list[str]) -> list[fs.FileInfo]:
    with asking(address):
        found: list[fs.FileInfo] = system.get_file_info(wanted)
    return found


def _listed(address: str) -> Iterator[Found]:
    """The films of a list; paths in it are relative to its folder."""
    beside = address.rpartition("/")[0]
    rows = _rows(address)
    while some := list(islice(rows, _ASKED_AT_ONCE)):
        places = [place if "://" in place or place.startswith("/") else f"{beside}/{place}" for place in some]
        for place in places:
            if is_service(place):
                split_address(place)
                yield Found(place)
                continue
            if "://" not in place:
                yield _on_disk(Path(place))
                continue
            system, path = filesystem_of(place)
            (info,) = _asked(place, system, [path])
            gone = None if info.is_file else f"{place}: there is no such object: check the list"
            yield Found(place, info.size, info.mtime_ns, gone)


def _rows(address: str) -> Iterator[str]:
    system, path = filesystem_of(address)
    try:
        with system.open_input_file(path) as file:
            opened = None if path.lower().endswith(".csv") else parquet.ParquetFile(file)
            names = _csv_names(system, path) if opened is None else opened.schema_arrow.names
            name = next((one for one in _NAMES_OF_COLUMNS if one in names), None)
            if name is None:
                raise InputError(f"{address}: no column `source` or `path`, but {', '.join(names)}: name it so")
            for batch in _csv_batches(file, name) if opened is None else opened.iter_batches(columns=[name]):
                yield from (str(value) for value in batch.column(name).to_pylist() if value)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{address}: cannot be read ({first_line(error)}): check the list") from error


def _csv_names(system: fs.FileSystem, path: str) -> list[str]:
    # A file of its own: the reader reads ahead, which would move the position of a shared one.
    with system.open_input_file(path) as file:
        names: list[str] = csv.open_csv(file).schema.names
    return names


def _csv_batches(file: pa.NativeFile, name: str) -> Iterator[pa.RecordBatch]:
    # Arrow guesses the types of the other columns from the first rows, and fails where later ones differ.
    alone = csv.ConvertOptions(include_columns=[name], column_types={name: pa.string()})
    return iter(csv.open_csv(file, convert_options=alone))
