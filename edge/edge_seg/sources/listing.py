"""Lists the films in a folder repeatedly: what is not a film is reported once and costs nothing after that."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg.film import Failure
from edge_seg.sources import image
from edge_seg.sources.looks import LOOKED_AT, looks_like_film
from edge_seg.sources.regular import kind_of, read_regular
from edge_seg.sources.video import SUFFIXES as VIDEO_SUFFIXES

FILM_SUFFIXES = image.SUFFIXES | VIDEO_SUFFIXES | {".dcm", ".dicom"}
_NO_FILMS = {
    *(".csv", ".db", ".doc", ".docx", ".exe", ".gz", ".html", ".ini", ".json", ".jsonl", ".lnk", ".log", ".md", ".pdf"),
    *(".py", ".rtf", ".sqlite", ".tar", ".tmp", ".toml", ".txt", ".xls", ".xlsx", ".xml", ".zip"),
}
"""Extensions of files that are not even opened."""

_DIRECTORY = "DICOMDIR"
"""It lists the films of a medium, which are beside it and are read themselves (PS3.10 section 8.6)."""

_OUR_RECORDS = "records.jsonl"

_SURE_S = 3.0
"""Age in seconds from which a folder's date shows whether it has changed: memory cards round dates to two seconds."""

_AGAIN_S = 15.0
"""Seconds between two full scans of a folder whose date has not changed."""


@dataclass
class _Folder:
    """A folder as of its last scan."""

    changed_ns: int
    looked_at: float
    sure: bool
    films: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    problems: list[Failure] = field(default_factory=list)
    others: int = 0


@dataclass
class Looked:
    """The result of a scan.

    Attributes:
        films: files that may be films or videos, in order.
        problems: what cannot be read and was not reported before.
        gone: whether the folder itself cannot be listed.
        others: files that do not look like films.
    """

    films: list[Path] = field(default_factory=list)
    problems: list[Failure] = field(default_factory=list)
    gone: bool = False
    others: int = 0


class Listing:
    """The films in a folder and its subfolders.

    Hidden files, and folders that hold our own results, are skipped. Pipes, sockets, devices, names that are not UTF-8,
    links to folders elsewhere and folders that cannot be listed are problems, each reported once.

    Args:
        root: the folder.
        links_out: whether links to files elsewhere are followed; if not, they are problems.
    """

    def __init__(self, root: Path, links_out: bool = True) -> None:
        self._root, self._links_out = root, links_out
        self._known: dict[Path, _Folder] = {}
        self._told: set[str] = set()
        self._films: dict[Path, tuple[tuple[int, int], bool]] = {}

    def look(self) -> Looked:
        """Scan the folder."""
        found = Looked()
        known: dict[Path, _Folder] = {}
        waiting = [self._root]
        while waiting:
            path = waiting.pop()
            try:
                folder = known[path] = self._folder(path)
            except OSError as error:
                self._tell(found, [_not_listed(path, error)])
                if path == self._root:
                    found.gone = True
                    return found
                continue
            self._told.discard(shown(path))
            found.films += folder.films
            found.others += folder.others
            self._tell(found, folder.problems)
            waiting += reversed(folder.folders)
        self._known = known
        return found

    def walk(self) -> Iterator[Looked]:
        """Scan folder by folder without remembering any: of millions of films, only a few are in memory."""
        waiting = [self._root]
        while waiting:
            path = waiting.pop()
            self._films.clear()
            try:
                folder = self._folder(path)
            except OSError as error:
                yield Looked(problems=[_not_listed(path, error)], gone=path == self._root)
                continue
            yield Looked(folder.films, folder.problems, others=folder.others)
            waiting += reversed(folder.folders)

    def _tell(self, found: Looked, problems: list[Failure]) -> None:
        for problem in problems:
            if problem.source not in self._told:
                self._told.add(problem.source)
                found.problems.append(problem)

    def _folder(self, path: Path) -> _Folder:
        changed_ns, now = path.stat().st_mtime_ns, time.monotonic()
        last = self._known.get(path)
        if last is not None and last.sure and last.changed_ns == changed_ns and now - last.looked_at < _AGAIN_S:
            return last
        folder = _Folder(changed_ns, now, abs(time.time() - changed_ns / 1e9) > _SURE_S)
        with os.scandir(path) as entries:
            listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda one: one.name)
        records = next((entry for entry in listed if entry.name == _OUR_RECORDS), None)
        if records is not None and _is_ours(records):
            return folder
        for entry in listed:
            self._sort(path, entry, folder)
        return folder

    def _sort(self, parent: Path, entry: os.DirEntry[str], folder: _Folder) -> None:
        path = parent / entry.name
        if not is_utf8(entry.name):
            folder.problems.append(_problem(path, "its name is not UTF-8: rename it"))
        elif entry.is_dir(follow_symlinks=False):
            folder.folders.append(path)
        elif entry.is_file(follow_symlinks=False):
            if entry.name == _OUR_RECORDS:
                folder.problems.append(_problem(path, "no film is taken under this name: rename it"))
            elif self._may_be_film(path, entry):
                folder.films.append(path)
            else:
                folder.others += 1
        elif entry.is_symlink():
            self._sort_link(path, entry, folder)
        else:
            kind = kind_of(entry.stat(follow_symlinks=False).st_mode)
            folder.problems.append(_problem(path, f"is {kind}, not a film: take it away"))

    def _sort_link(self, path: Path, entry: os.DirEntry[str], folder: _Folder) -> None:
        try:
            kind = kind_of(entry.stat().st_mode)
        except OSError as error:
            folder.problems.append(_problem(path, f"leads nowhere ({error.strerror}): take it away"))
            return
        if kind == "a folder":
            # What lies within is listed where it is.
            if self._leads_out(path):
                what = "leads to a folder, which is not followed: give that folder itself"
                folder.problems.append(_problem(path, what))
        elif kind is not None:
            folder.problems.append(_problem(path, f"leads to {kind}, not to a film: take it away"))
        elif not self._links_out and self._leads_out(path):
            folder.problems.append(_problem(path, "leads out of the folder: put the film itself there"))
        elif self._may_be_film(path, entry):
            folder.films.append(path)

    def _leads_out(self, link: Path) -> bool:
        return not Path(os.path.realpath(link)).is_relative_to(os.path.realpath(self._root))

    def _may_be_film(self, path: Path, entry: os.DirEntry[str]) -> bool:
        suffix = path.suffix.lower()
        if suffix in FILM_SUFFIXES:
            return True
        if suffix in _NO_FILMS or path.stem.upper() == _DIRECTORY:
            return False
        try:
            facts = entry.stat()
            state = facts.st_size, facts.st_mtime_ns
            known = self._films.get(path)
            if known is None or known[0] != state:
                head = read_regular(path, LOOKED_AT)
                self._films[path] = known = state, looks_like_film(head, bare=not suffix or suffix[1:].isalnum())
        except (OSError, InputError):
            # Reading it says why; what is gone by now is no film.
            return os.path.lexists(path)
        return known[1]


def is_utf8(name: str) -> bool:
    """Whether a name, as Python gets it from the system, is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: Path | str) -> str:
    """A path with everything that is not UTF-8 escaped, so that it can be written anywhere."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether the records of a folder are ours, and not a film that happens to have this name."""
    if not entry.is_file(follow_symlinks=False):
        return False
    try:
        return read_regular(Path(entry.path), 1) in (b"", b"{")
    except InputError:
        return True


def _not_listed(path: Path, error: OSError) -> Failure:
    return _problem(path, f"cannot be listed ({error.strerror}): check its permissions")


def _problem(path: Path, what: str) -> Failure:
    text = shown(path)
    return Failure(shown(path.name) or text, text, InputError(f"{text}: {what}"))
