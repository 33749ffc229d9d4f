"""Films from files, folders and globs, in order, each once."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from edge_seg.boundary import film_boundary
from edge_seg.errors import InputError
from edge_seg.film import Arrival, Failure, Film
from edge_seg.sources import image
from edge_seg.sources.ahead import one_ahead
from edge_seg.sources.attempts import Attempts
from edge_seg.sources.dicom import decode_dicom, is_dicom, may_be_dataset
from edge_seg.sources.header import picture_kind
from edge_seg.sources.listing import Listing, is_utf8, shown
from edge_seg.sources.regular import read_regular
from edge_seg.sources.source import Source
from edge_seg.sources.video import SUFFIXES as VIDEO_SUFFIXES
from edge_seg.sources.video import VideoFile

FileState: TypeAlias = tuple[int, int, int]
"""Inode, size in bytes, and time of the last change in nanoseconds."""

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL}  # the last is for a glob on Windows


class Files(Source):
    """Pictures, DICOM files and videos, given as paths, folders (with subfolders) or globs.

    Args:
        inputs: paths, folders, globs.
        frames: maximum number from a video; `None` for all.
        attempts: counts how often each was tried.

    Attributes:
        passed_over: other files in the folders, which do not look like films.

    Raises:
        InputError: none of the inputs exists.
    """

    def __init__(self, inputs: Sequence[str], frames: int | None = None, attempts: Attempts | None = None) -> None:
        self._frames, self._attempts = frames, attempts or Attempts(None)
        self.passed_over = 0
        self._items = list(self._expand(inputs))
        _require_some(self._items)
        videos = any(isinstance(item, Path) and item.suffix.lower() in VIDEO_SUFFIXES for item in self._items)
        self.total = None if videos else len(self._items)

    def __iter__(self) -> Iterator[Arrival | None]:
        return one_ahead(self._read())

    def stopped(self) -> None:
        """See `Source.stopped`."""
        self._attempts.forgive()

    def close(self) -> None:
        """See `Source.close`."""
        self._attempts.close()

    def _read(self) -> Iterator[Arrival | None]:
        for item in self._items:
            if isinstance(item, Failure):
                yield Arrival(item)
            elif item.suffix.lower() in VIDEO_SUFFIXES:
                yield from map(Arrival, VideoFile(item, self._frames))
            else:
                key = f"{item} {file_state(item)}"
                read = partial(read_film_or_failure, item)
                yield from self._attempts.hand_out(key, item.name, str(item), read, stays=True)

    def _expand(self, inputs: Sequence[str]) -> Iterator[Path | Failure]:
        seen: set[str] = set()
        for text in inputs:
            for item in self._paths(text):
                if isinstance(item, Failure):
                    yield item
                    continue
                if not is_utf8(str(item)):
                    yield _failure(shown(item), "its name is not UTF-8: rename it")
                    continue
                real = os.path.realpath(item)
                if real not in seen:
                    seen.add(real)
                    yield item

    def _paths(self, text: str) -> Iterator[Path | Failure]:
        path = path_of(text)
        films = self._at(path)
        if films is not None:
            yield from films
        elif not glob.has_magic(text):
            yield _nothing(text, "there is no such file: check the path")
        else:
            # Path.glob takes no absolute patterns.
            found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
            if not found:
                yield _nothing(text, "nothing matches: check the pattern")
            for match in found:
                yield from self._at(Path(match)) or [Path(match)]

    def _at(self, path: Path) -> Iterable[Path | Failure] | None:
        """What is at a path; `None` if nothing is."""
        try:
            folder = is_folder(path)
        except InputError as error:
            return [Failure(shown(path.name), shown(path), error)]
        if folder is None:
            return None
        return self._folder(path) if folder else [path]

    def _folder(self, folder: Path) -> Iterator[Path | Failure]:
        found = Listing(folder).look()
        self.passed_over += found.others
        yield from found.films
        yield from found.problems
        if not found.films and not found.problems:
            yield _nothing(str(folder), "no films in this folder: give one with PNG, JPEG, TIFF, DICOM or video files")


def path_of(text: str) -> Path:
    """The path that a user gave, with `~` expanded unless a file is called so."""
    # Path.expanduser raises for a user who does not exist.
    return Path(text if os.path.lexists(text) else os.path.expanduser(text))  # noqa: PTH111


def is_folder(path: Path) -> bool | None:
    """Whether a path is that of a folder; `None` if nothing is there.

    Raises:
        InputError: a folder above cannot be entered, or the disk fails.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except ValueError:
        return None
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        problem = f"cannot be read ({error.strerror}): check the path and its permissions"
        raise InputError(f"{shown(path)}: {problem}") from error


def read_film(path: str | Path) -> Film:
    """The film in a picture or DICOM file.

    Raises:
        InputError: it cannot be read, or is not a film.
    """
    path = Path(path)
    return film_in(read_regular(path), path)


def film_in(data: bytes, path: Path) -> Film:
    """The film in the bytes of a picture or DICOM file.

    Args:
        data: the whole file.
        path: where it came from; it is not opened.

    Raises:
        InputError: they are not a film.
    """
    named_so = path.suffix.lower() in (".dcm", ".dicom")
    if is_dicom(data) or (picture_kind(data) is None and (named_so or may_be_dataset(data))):
        return decode_dicom(data, path)
    return image.decode_picture(data, path)


def read_film_or_failure(path: Path) -> Film | Failure:
    """The film in a file, or why there is none."""
    return film_boundary(path.name, str(path), lambda: read_film(path))


def file_state(path: Path) -> FileState | None:
    """What differs once a file has changed; `None` if there is no file."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


class _NothingThere(InputError):
    """An input names no file."""


def _require_some(items: Sequence[Path | Failure]) -> None:
    """Raise if no input exists, so that a mistyped command leaves no records."""
    absent = [item.error for item in items if isinstance(item, Failure) and isinstance(item.error, _NothingThere)]
    if absent and len(absent) == len(items):
        more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise InputError(f"{absent[0]}{more}")


def _failure(where: str, what: str) -> Failure:
    return Failure(Path(where).name or where, where, InputError(f"{where}: {what}"))


def _nothing(where: str, what: str) -> Failure:
    return Failure(Path(where).name or where, where, _NothingThere(f"{where}: {what}"))
