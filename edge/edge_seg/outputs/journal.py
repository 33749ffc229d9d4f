"""The journal of records: one JSON line per film in `records.jsonl`, appended whole or not at all.

Damaged lines are set aside in a separate file, and the rest is used. The journal is never held in memory: an index
gives the offset of the last line of each film and stem.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edge_seg.errors import OutputError
from edge_seg.log import room_logger
from edge_seg.outputs.index import Index, mark_of
from edge_seg.record import AnyRecord, DoneRecord, record_from_json
from edge_seg.storage import DRAFT_SUFFIX, append_whole, cut_torn_line, flush_folder, write_atomically
from edge_seg.typed_json import parse_object

RECORDS_NAME = "records.jsonl"
REMOVED_NAME = "removed.jsonl"
"""What is left of records whose results were removed: that their films are done."""

STATE_FOLDER = ".edge-seg"
"""Subfolder of the output folder for the program's own state."""

_SOURCE, _STEM = b"source ", b"stem "  # prefixes of the index keys

_READ_AHEAD = 1 << 16  # bytes; reads lines of some thousand bytes faster than the usual 8,192
_LONGEST_LINE = 1 << 20  # bytes; many times the size of a record
_PIECE = 4 << 20  # bytes copied or scanned at a time

_log = room_logger(__name__)

_LONG_AGO = "1970-01-01T00:00:00+00:00"

# Matches the lines that this program writes, so that a long journal need not be parsed to be indexed. Other lines are
# parsed; damage further inside a line is noticed when the line is read.
_TEXT = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
_HEAD = re.compile(
    rb'\{"schema": 1, (?:"edge_seg": "[^"\\]*", "notice": "[^"\\]*", )?"status": "(done|failed)", '
    rb'(?:"recorded_at": "[0-9T:.+-]+", "name": "[^"\\]*(?:\\.[^"\\]*)*", )?"source": '
    + _TEXT
    + rb', (?:"stem": '
    + _TEXT
    + rb', (?:"dicom": (?:null|\{[^{}]*\}), )?(?:"patient": \{[^{}]*\}, )?"film": \{"height": )?'
)
_UNIQUE = b'"unique_name": '
_END = {b"done": re.compile(rb'(?:"\}|\[)\]\}\n'), b"failed": re.compile(rb'"exit_code": \d+\}\n')}
"""How the last field of a record ends: `files`, `exit_code`."""
_END_BYTES = 40

_PARSED_WHOLE = 4 << 20
"""If new lines have no more bytes than this, all are parsed at the start, which finds any damage at once."""


@dataclass(frozen=True)
class Line:
    """A line of a journal: its offset, the offset of the next one, and its record; `None` if it is damaged."""

    offset: int
    end: int
    record: AnyRecord | None


class Journal:
    """JSON lines of an output folder, appended one whole line at a time.

    Attributes:
        damaged: how many lines were set aside since it was opened.
        edition: changes when lines are left out, which invalidates earlier offsets.
        head: offset of the first line that is still wanted, as set by `pass_over`, in an earlier run too.

    Args:
        folder: output folder; must exist.
        name: of the file.
        private: whether only the user may read it, also if it was there before: its lines can name patients.

    Raises:
        OutputError: the file cannot be read or repaired, or belongs to another program.
    """

    def __init__(self, folder: Path, name: str = RECORDS_NAME, private: bool = False) -> None:
        self.path = folder / name
        self._mode = 0o600 if private else 0o644
        self.damaged = self.edition = 0
        self._aside = folder / f"{self.path.stem}.damaged.jsonl"
        self._index = Index(folder / STATE_FOLDER / f"{self.path.stem}.index", self.path)
        self._head_path = folder / STATE_FOLDER / f"{self.path.stem}.head"
        try:
            self._refuse_foreign()
            if private:
                self._make_private()
            self._cut_torn_line()
            self.head = self._known_head()
            self._repair()
            self._index.save()
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error

    @property
    def size(self) -> int:
        """Size of the journal in bytes."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def __iter__(self) -> Iterator[AnyRecord]:
        """The records, oldest first; nothing is kept in memory, and damaged lines are skipped.

        Raises:
            OutputError: the file cannot be read.
        """
        return (line.record for line in self.lines() if line.record is not None)

    def lines(self, offset: int = 0) -> Iterator[Line]:
        """The lines from an offset on.

        Raises:
            OutputError: the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                for start, end, data in _lines(file, offset):
                    yield Line(start, end, _record_in(data))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error

    def last_of(self, source: str) -> AnyRecord | None:
        """The last record of a film, by its source; `None` if there is none, or if it is passed over."""
        found = self._find(_source_key(source), lambda record: record.source == source)
        return found[1] if found is not None and found[0] >= self.head else None

    def is_last_of(self, source: str, offset: int) -> bool:
        """Whether the line at an offset is the last one of its film, by the index alone, without reading lines."""
        return self._index.get(_source_key(source)) in (None, offset)

    def last_with(self, stem: str) -> tuple[int, DoneRecord] | None:
        """The last record with a stem, ignoring case, and its offset.

        Films with unique names are not indexed by stem: their stems belong to no other film.
        """
        folded = stem.casefold()
        found = self._find(_stem_key(stem), lambda one: isinstance(one, DoneRecord) and one.stem.casefold() == folded)
        return (found[0], found[1]) if found is not None and isinstance(found[1], DoneRecord) else None

    def is_last_with(self, stem: str, offset: int) -> bool:
        """Whether the line at an offset is the last one with its stem, by the index alone, without reading lines."""
        return self._index.get(_stem_key(stem)) in (None, offset)

    def append(self, *lines: dict[str, Any]) -> None:
        """Append lines, in one piece and flushed. Repeating a call is harmless: its lines are not duplicated.

        Raises:
            OutputError: they cannot be written; a partial write is undone.
        """
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        try:
            fresh = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, self._mode)
            try:
                offset = append_whole(descriptor, data)
            finally:
                os.close(descriptor)
            if fresh:
                flush_folder(self.path.parent)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror or error}): free space, or choose another --out"
            ) from error
        for line in data.splitlines(keepends=True):
            for key in _keys(line, parsed=False):
                self._index.put(key, offset)
            offset += len(line)
        self._index.covered = offset
        if self._index.is_worth_saving:
            self._index.save()

    def pass_over(self, end: int) -> None:
        """Note that lines before an offset are no longer wanted; a failed write costs only time."""
        self.head = end
        with suppress(OSError, OutputError):
            self._head_path.parent.mkdir(exist_ok=True)
            head = {"head": end, "journal": mark_of(self.path, end)}
            write_atomically(self._head_path, json.dumps(head).encode(), lasting=False)

    def cut(self) -> Iterator[None]:
        """Remove everything before the head, a piece at a time; lines may be appended between two pieces.

        It stops, and removes nothing, if damaged lines are left out between two pieces.

        Raises:
            OutputError: the disk cannot be written; the journal is unchanged.
        """
        draft, edition = self.path.with_name(f".{self.path.name}.cut{DRAFT_SUFFIX}"), self.edition
        try:
            with self.path.open("rb") as source, draft.open("wb") as target:
                _as_private(source, target)
                source.seek(self.head)
                while self.edition == edition and (piece := source.read(_PIECE)):
                    target.write(piece)
                    if len(piece) == _PIECE:
                        target.flush()
                        os.fsync(target.fileno())
                        yield
                target.flush()
                os.fsync(target.fileno())
            if self.edition != edition:
                # The draft still holds those lines, and lacks what was appended since.
                draft.unlink()
                return
            draft.replace(self.path)
            flush_folder(self.path.parent)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}): free space") from error
        self._index.shift(self.head)
        self._index.save()
        self.head = 0

    def set_aside(self, line: Line) -> None:
        """Copy a damaged line that is about to be cut to the file of damaged lines.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with self.path.open("rb") as source, self._aside.open("ab") as aside:
                _as_private(source, aside)
                source.seek(line.offset)
                _copy(source, aside, line.end)
                aside.flush()
                os.fsync(aside.fileno())
        except OSError as error:
            raise OutputError(f"{self._aside}: cannot be written ({error.strerror}): free space") from error
        self.damaged += 1

    def close(self) -> None:
        """Save the index for the next start, if it is worth it."""
        self._index.save()

    def _find(self, key: bytes, is_it: Callable[[AnyRecord], bool]) -> tuple[int, AnyRecord] | None:
        offset = self._index.get(key)
        if offset is None:
            return None
        try:
            record = self._read(offset)
            if record is not None and is_it(record):
                return offset, record
            # The line is damaged further inside, or the file was edited while the program ran.
            _log.warning("%s is not as it was indexed: it is read anew", self.path.name)
            self._index.clear()
            self._refuse_foreign()
            self._repair(parsed=True)
            offset = self._index.get(key)
            record = self._read(offset) if offset is not None else None
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        return (offset, record) if offset is not None and record is not None and is_it(record) else None

    def _read(self, offset: int) -> AnyRecord | None:
        try:
            with self.path.open("rb") as file:
                return next((_record_in(data) for _, _, data in _lines(file, offset)), None)
        except FileNotFoundError:
            return None

    def _repair(self, parsed: bool = False) -> None:
        """Index what the index does not cover, and leave out damaged lines.

        Args:
            parsed: whether to parse every line, however many there are.
        """
        bad = self._index_lines(parsed)
        if bad:
            self._leave_out(bad)
            self.edition += 1
            self.head = 0

    def _refuse_foreign(self) -> None:
        """Check, before anything is changed, that the file is not another program's.

        Raises:
            OutputError: not a single line is ours, and one is certainly not.
        """
        if self._index.covered:
            # The index fits it: it is ours.
            return
        foreign = ""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            for number, (_, _, data) in enumerate(_lines(file, 0), 1):
                if _keys(data, parsed=False):
                    return
                foreign = foreign or _why_foreign(data, number)
        if foreign:
            raise self._unreadable(foreign)

    def _make_private(self) -> None:
        for path in (self.path, self._aside):
            # Windows and FAT have no such modes.
            with suppress(OSError):
                path.chmod(self._mode)

    def _known_head(self) -> int:
        """The head that `pass_over` saved in an earlier run; 0 if the journal is no longer the same."""
        try:
            kept = parse_object(self._head_path.read_text())
            head = kept["head"]
            return int(head) if 0 < head <= self.size and kept["journal"] == mark_of(self.path, head) else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _cut_torn_line(self) -> None:
        """Drop an incomplete last line: the machine stopped while writing it, so its film is not done."""
        if self.size:
            with self.path.open("r+b") as file:
                cut_torn_line(file.fileno())

    def _index_lines(self, parsed: bool) -> list[Line]:
        """Index what the index does not cover; returns damaged lines."""
        if not self.size:
            self._index.clear()
            return []
        bad: list[Line] = []
        covered = self._index.covered
        parsed = parsed or self.size - covered <= _PARSED_WHOLE

        def entries() -> Iterator[tuple[bytes, int]]:
            nonlocal covered
            for offset, end, data in _lines(file, covered):
                keys = _keys(data, parsed)
                if not keys:
                    bad.append(Line(offset, end, None))
                for key in keys:
                    yield key, offset
                covered = end

        with self.path.open("rb", _READ_AHEAD) as file:
            self._index.put_all(entries())
        self._index.covered = covered
        return bad

    def _leave_out(self, bad: list[Line]) -> None:
        """Move damaged lines to a separate file."""
        _log.warning("%d damaged lines of %s are set aside in %s", len(bad), self.path.name, self._aside.name)
        # Not the draft of `cut`, which may be half-written.
        draft = self.path.with_name(f".{self.path.name}.whole{DRAFT_SUFFIX}")
        with self.path.open("rb") as source, self._aside.open("ab") as aside, draft.open("wb") as rest:
            _as_private(source, aside)
            _as_private(source, rest)
            for line in bad:
                _copy(source, rest, line.offset)
                _copy(source, aside, line.end)
            _copy(source, rest, None)
            for file in (aside, rest):
                file.flush()
                os.fsync(file.fileno())
        draft.replace(self.path)
        flush_folder(self.path.parent)
        self.damaged += len(bad)
        self._index.clear()
        self._index_lines(parsed=False)

    def _unreadable(self, reason: str) -> OutputError:
        return OutputError(f"{self.path}: cannot be read ({reason}): move it away, or choose another --out")


def _lines(file: BinaryIO, offset: int) -> Iterator[tuple[int, int, bytes]]:
    """Lines from an offset on: start, end and bytes of each; no bytes for a line longer than any record."""
    file.seek(offset)
    while data := file.readline(_LONGEST_LINE):
        end = offset + len(data)
        if len(data) == _LONGEST_LINE and not data.endswith(b"\n"):
            data = b""
            while more := file.readline(_PIECE):
                end += len(more)
                if more.endswith(b"\n"):
                    break
        yield offset, end, data
        offset = end


def _keys(data: bytes, parsed: bool) -> tuple[bytes, ...]:
    """The index keys of a line; none if it is not a record.

    Args:
        data: the line.
        parsed: whether to parse it even if it looks whole.
    """
    keys = None if parsed else _keys_at_a_glance(data)
    if keys is None:
        record = _record_in(data)
        return () if record is None else _keys_of(record)
    return keys


def _keys_at_a_glance(data: bytes) -> tuple[bytes, ...] | None:
    """Keys of a line that looks like a whole record of ours; `None` if only parsing can tell."""
    match = _HEAD.match(data)
    if match is None or not data.isascii() or b"\0" in data or not data.endswith(b"}\n"):
        return None
    status, source, stem = match.groups()
    if (status == b"done") != (stem is not None) or _END[status].search(data, len(data) - _END_BYTES) is None:
        return None
    if stem is None:
        return (_source_key(_plain(source)),)
    at = data.find(_UNIQUE, match.end(), data.find(b"}", match.end()))
    if at < 0:
        return None
    if not data.startswith(b"false", at + len(_UNIQUE)):
        return (_source_key(_plain(source)),)
    if b"\\" in match[0]:
        return _source_key(_plain(source)), _stem_key(_plain(stem))
    # For ASCII, `lower` does what `casefold` does.
    return _SOURCE + source, _STEM + stem.lower()


def _keys_of(record: AnyRecord) -> tuple[bytes, ...]:
    if isinstance(record, DoneRecord) and not record.film.unique_name:
        return _source_key(record.source), _stem_key(record.stem)
    return (_source_key(record.source),)


def _record_in(data: bytes) -> AnyRecord | None:
    try:
        found = parse_object(data.decode())
        if "name" not in found and "recorded_at" not in found:
            # What is left of a record whose results were removed.
            found = {"name": "", "recorded_at": _LONG_AGO, **found}
        return record_from_json(found)
    # Damaged lines nest too deeply, are not UTF-8, or lack fields: all of these raise a ValueError.
    except ValueError:
        return None


def _why_foreign(data: bytes, number: int) -> str:
    """Why a line belongs to another program; empty if it may be a damaged one of ours."""
    try:
        found = parse_object(data.decode())
    except ValueError:
        return ""
    return "" if "schema" in found else f"line {number} is no record"


def _as_private(source: BinaryIO, target: BinaryIO) -> None:
    """Give the target the permissions of the source: records can name patients."""
    # Windows and FAT have no such modes.
    if os.name == "posix":
        with suppress(OSError):
            os.fchmod(target.fileno(), os.fstat(source.fileno()).st_mode & 0o777)


def _copy(source: BinaryIO, target: BinaryIO, end: int | None) -> None:
    while piece := source.read(_PIECE if end is None else min(_PIECE, end - source.tell())):
        target.write(piece)


def _plain(text: bytes) -> str:
    return text.decode("ascii") if b"\\" not in text else str(json.loads(b'"' + text + b'"'))


def _source_key(source: str) -> bytes:
    return _SOURCE + source.encode(errors="surrogatepass")


def _stem_key(stem: str) -> bytes:
    return _STEM + stem.casefold().encode(errors="surrogatepass")
