"""The output folder: masks, overlay and record of each film; keeps track of which films are done."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_seg.clock import CLOCK_NAME, Clock
from edge_seg.errors import OutputError, UsageError
from edge_seg.film import Film
from edge_seg.outputs import dicom
from edge_seg.outputs.journal import REMOVED_NAME, STATE_FOLDER, Journal, Line
from edge_seg.outputs.lock import FolderLock
from edge_seg.outputs.names import Names, owner_of, plain_stem
from edge_seg.outputs.outbox import Outbox
from edge_seg.outputs.products import OVERLAY_KINDS, PRODUCTS
from edge_seg.outputs.result import Result
from edge_seg.record import AnyRecord, DoneRecord, FailedRecord, WrittenFile, record_of
from edge_seg.segmenter import Segmentation
from edge_seg.storage import Draft, flush_folder, remove_unused, sweep_drafts, write_atomically

_KEPT_OF_REMOVED = ("schema", "status", "source", "stem", "film", "model", "lung", "quality", "products", "files")

_NOT_KEPT_OF_REMOVED: dict[str, Any] = {
    "files": (),
    "products": tuple(PRODUCTS),
    **{name: {} for name in ("structures", "areas", "widths", "ratios", "flagged", "timings_ms")},
}

_BATCH = 100
"""Records removed between two checks of the clock."""

_WORTH_CUTTING = 1 / 16
"""Share of the journal that must be obsolete before the rest of it is rewritten."""

_FLUSHED_AT_ONCE = 8
"""Files; a journaling file system commits all that wait together."""

USUAL_PRODUCTS = ("mask", "overlay", "record")


@dataclass(frozen=True)
class Written:
    """A film's record and its files, not yet flushed or in place; no files if it failed."""

    record: AnyRecord
    drafts: tuple[Draft, ...] = ()

    def discard(self) -> None:
        """Remove the drafts."""
        for draft in self.drafts:
            draft.discard()


class OutputFolder:
    """Writes results to one folder and keeps track of which films are done.

    Files that name patients, and those written with them, can be read only by their user (mode 0600).

    Locks the folder until `close` or until the process ends, however it ends. As a context manager it closes at the
    end; after an error it removes a folder that it created and that stayed empty.

    Attributes:
        outbox: if set, sends DICOM results.
        notices: if set, sends each record.

    Args:
        folder: created if absent.
        products: which of `PRODUCTS` to write; the record is always written, since it marks a film as done.
        names: whether records may name patients.
        overlay: which of `OVERLAY_KINDS` to write overlays as.

    Raises:
        OutputError: the folder cannot be created or written, another run is writing to it, or its records cannot be
            read.
        UsageError: an unknown product or kind of overlay, or no product.
        DeviceError: DICOM results are requested and highdicom is not installed.
    """

    def __init__(
        self, folder: Path, products: Iterable[str] = USUAL_PRODUCTS, *, names: bool = False, overlay: str = "jpg"
    ) -> None:
        self.outbox: Outbox | None = None
        self.notices: Outbox | None = None
        self._with_names, self._overlay_kind = names, overlay
        self.folder = folder
        self.products = frozenset(products)
        unknown = self.products - set(PRODUCTS)
        if unknown or not self.products:
            raise UsageError(f"--save {', '.join(sorted(unknown)) or 'nothing'}: choose from {', '.join(PRODUCTS)}")
        if overlay not in OVERLAY_KINDS:
            raise UsageError(f"--overlay {overlay}: choose from {', '.join(OVERLAY_KINDS)}")
        if "dicom" in self.products:
            dicom.require_highdicom()
        self._private = names or "dicom" in self.products
        self._made = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}): choose another --out") from error
        self._lock: FolderLock | None = FolderLock(folder)
        try:
            _prepare(folder)
            self.clock = Clock(folder / STATE_FOLDER / CLOCK_NAME)
            self._removed = Journal(folder, REMOVED_NAME, self._private)
            self._records = Journal(folder, private=self._private)
        except BaseException:
            self._lock.release()
            raise
        self._names = Names(self._owner_of_stem)
        self._flushing = ThreadPoolExecutor(_FLUSHED_AT_ONCE, "flush")

    def close(self) -> None:
        """Send what can be sent, and let other runs write to the folder."""
        for sending in (self.outbox, self.notices):
            if sending is not None:
                sending.close()
        if self._lock is None:
            return
        self._flushing.shutdown()
        for part in (self._records, self._removed, self.clock):
            part.close()
        self._lock.release()
        self._lock = None

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; after an error, remove folders that were created for it if nothing was kept in them."""
        self.close()
        if kind is not None and self._made:
            remove_unused(self._made, self.folder / STATE_FOLDER / CLOCK_NAME)

    @property
    def troubles(self) -> list[str]:
        """What should be looked into: a clock that jumped, damaged records."""
        damaged = self._records.damaged + self._removed.damaged
        found = [self.clock.trouble] if self.clock.trouble else []
        found += [f"{damaged} damaged records were set aside in {self.folder}/*.damaged.jsonl"] if damaged else []
        return found

    def is_done(self, film: Film, model_checksum: str, lung: str | None, gate: bool = False) -> bool:
        """Whether this film, by path and content, has results of this model, lung definition and gate setting here.

        Camera and video frames never do: they have no checksum to identify them.
        """
        if film.checksum is None:
            return False
        wanted = (film.checksum, model_checksum, lung, gate)
        record = self._records.last_of(film.source)
        if record is not None and not self._has(record, wanted):
            return False
        # The pictures may have been deleted and the records left.
        if isinstance(record, DoneRecord) and all((self.folder / file.name).exists() for file in record.files):
            return True
        removed = self._removed.last_of(film.source)
        return removed is not None and self._has(removed, wanted)

    def records(self) -> Iterator[AnyRecord]:
        """All records, oldest first."""
        return iter(self._records)

    def result_of(self, film: Film) -> DoneRecord | None:
        """The last record of this film, by path and content, with results here; `None` if there is none."""
        record = self._records.last_of(film.source)
        if isinstance(record, DoneRecord) and record.film.sha256 == film.checksum:
            return record
        return None

    def _has(self, record: AnyRecord, wanted: tuple[str, str, str | None, bool]) -> bool:
        """Whether a record has this content, model, lung definition and gate setting, and all products."""
        if not isinstance(record, DoneRecord) or not self.products <= set(record.products):
            return False
        return (record.film.sha256, record.model.sha256, record.lung, record.quality.gate) == wanted

    def _owner_of_stem(self, stem: str) -> str | None:
        for journal in (self._records, self._removed):
            found = journal.last_with(stem)
            if found is not None:
                _, record = found
                return owner_of(record.source, record.film.sha256, record.film.taken_at)
        return None

    def write(self, segmentation: Segmentation) -> DoneRecord:
        """Write all products of a film, its record last.

        Returns:
            The record.

        Raises:
            OutputError: something cannot be written; the film is then not done.
        """
        (record,) = self.place([self.write_files(segmentation, self.stem_of(segmentation.film))])
        self.keep(record)
        assert isinstance(record, DoneRecord)
        return record

    def stem_of(self, film: Film) -> str:
        """What the names of a film's files begin with; unique to the film."""
        if film.unique_name:
            # A camera would fill the memory with names.
            return plain_stem(film.name)
        return self._names.stem(film.name, owner_of(film.source, film.checksum, film.taken_at))

    def write_files(self, segmentation: Segmentation, stem: str) -> Written:
        """Write all products of a film as drafts; several threads may do so for several films.

        Args:
            segmentation: of the film.
            stem: of the film, from `stem_of`.

        Returns:
            What to pass to `place` or discard.

        Raises:
            OutputError: something cannot be written.
        """
        start = time.perf_counter()
        self._hold()
        drafts: list[Draft] = []
        files: list[WrittenFile] = []
        result = Result(segmentation, self._with_names, self._overlay_kind)
        try:
            for product, files_of in PRODUCTS.items():
                if product in self.products:
                    for name, data in files_of(result):
                        path = self.folder / f"{stem}.{name}"
                        drafts.append(Draft(path, data, mode=0o600 if self._private else 0o666))
                        files.append(WrittenFile(path.name, len(data), hashlib.sha256(data).hexdigest()))
        except BaseException:
            # A film that is not done must not hold space that another needs.
            for draft in drafts:
                draft.discard()
            raise
        if result.notes:
            segmentation = replace(segmentation, warnings=(*segmentation.warnings, *result.notes))
        timings = {**segmentation.timings_ms, "write": _ms_since(start)}
        products = sorted(self.products | {"record"})
        record = record_of(segmentation, stem, products, files, timings, self._with_names, self.clock.offset_s)
        return Written(record, tuple(drafts))

    def place(self, films: Sequence[Written]) -> list[AnyRecord]:
        """Flush the files of films together, then move them into place, where they are whole even after a power cut.

        Each file is flushed before it is renamed, and the folder once for all films, after the last rename.

        Returns:
            The records, for `keep`; their write time includes the film's share of the flush time.

        Raises:
            OutputError: something cannot be written; all films have to be written again.
        """
        start = time.perf_counter()
        drafts = [draft for film in films for draft in film.drafts]
        fresh: list[Path] = []
        try:
            self._hold()
            # The disk takes them in one go; in sequence, each would wait for the one before it.
            flushed = [self._flushing.submit(draft.flush) for draft in drafts]
            # Wait for all, so that none is discarded while it is being flushed.
            wait(flushed)
            for each in flushed:
                each.result()
            for draft in drafts:
                if not draft.path.exists():
                    fresh.append(draft.path)
                draft.put_in_place()
                for stale in _of_other_kinds(draft.path):
                    stale.unlink(missing_ok=True)
            if drafts:
                flush_folder(self.folder)
            if self.outbox is not None:
                # Before the record, so that a film that is done is sure to be sent.
                for draft in drafts:
                    if draft.path.suffix == ".dcm":
                        self.outbox.put(draft.path)
        except BaseException as error:
            for film in films:
                film.discard()
            # Files from an earlier run stay.
            for path in fresh:
                # A disk that turned read-only cannot delete.
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise OutputError(f"{self.folder}: cannot be written ({error.strerror}): free space") from error
            raise
        share = _ms_since(start) / max(1, len(films))
        return [_with_flushing(film.record, share) for film in films]

    def keep(self, *records: AnyRecord) -> None:
        """Write records, which marks their films as done or failed, all at once.

        Raises:
            OutputError: they cannot be written.
        """
        self._hold()
        lines = [record.to_json() for record in records]
        if self.notices is not None:
            # Before the record, so that every film that is done or failed is sure to be reported, at worst twice.
            for line in lines:
                self.notices.put_bytes(f"{secrets.token_hex(8)}.json", json.dumps(line).encode())
        if lines:
            self._records.append(*lines)
        for record in records:
            if isinstance(record, DoneRecord):
                self._names.release(record.stem)

    def _hold(self) -> None:
        if self._lock is not None:
            self._lock.hold()

    def remove_oldest(
        self,
        is_to_go: Callable[[AnyRecord, int], bool],
        also: Callable[[str], None] = lambda source: None,
        weigh: Callable[[str], int] = lambda source: 0,
    ) -> Iterator[int]:
        """Remove the results of films, oldest first, up to the first that must stay; their films stay done.

        Each item yielded is one piece of the work; stopping early loses none of it.

        Args:
            is_to_go: whether to remove the results of a record, given the bytes that those before it will free.
            also: removes whatever else belongs to a film, given its source; called with its last record.
            weigh: how many bytes `also` frees, given the source.

        Yields:
            How many films had their results removed since the last item.

        Raises:
            OutputError: the folder cannot be changed.
        """
        edition = self._records.edition
        while batch := self._next_to_go(is_to_go, weigh):
            records = [line.record for line in batch if line.record is not None]
            for line in batch:
                if line.record is None:
                    self._records.set_aside(line)
            # First note that they stay done: a film without results would be segmented again.
            self._bury(records)
            for line in batch:
                if line.record is not None:
                    self._remove_files(line.record, line.offset)
                    # A film that came again keeps what belongs to it until its last record goes.
                    if self._records.is_last_of(line.record.source, line.offset):
                        also(line.record.source)
            self._flush()
            if self._records.edition == edition:
                self._records.pass_over(batch[-1].end)
            else:
                # Lines were left out, which moved the offsets: go through what is already removed once more.
                edition = self._records.edition
            yield len(records)
        # A long journal is rewritten once in a while, not for every film.
        if self._records.head and self._records.head >= self._records.size * _WORTH_CUTTING:
            for _ in self._records.cut():
                yield 0

    def _flush(self) -> None:
        """Make removals last: what is passed over is never checked again."""
        try:
            flush_folder(self.folder)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror}): free space") from error

    def _next_to_go(self, is_to_go: Callable[[AnyRecord, int], bool], weigh: Callable[[str], int]) -> list[Line]:
        batch: list[Line] = []
        freed = 0
        for line in self._records.lines(self._records.head):
            if line.record is not None and not is_to_go(line.record, freed):
                break
            batch.append(line)
            if line.record is not None:
                freed += weigh(line.record.source)
            if isinstance(line.record, DoneRecord):
                freed += sum(file.bytes for file in line.record.files)
            if len(batch) == _BATCH:
                return batch
        # Damaged lines are removed together with a record, never alone.
        return batch if any(line.record is not None for line in batch) else []

    def _bury(self, records: list[AnyRecord]) -> None:
        """Note that films whose results are removed stay done; repeating it adds nothing."""
        tombstones = []
        for record in records:
            if isinstance(record, FailedRecord) or not record.film.sha256:
                continue
            bare = replace(record, **_NOT_KEPT_OF_REMOVED)
            plain = bare.to_json()
            left = {key: plain[key] for key in _KEPT_OF_REMOVED}
            known = self._removed.last_of(record.source)
            if known is None or {key: known.to_json().get(key) for key in left} != left:
                tombstones.append(left)
        if tombstones:
            self._removed.append(*tombstones)

    def _remove_files(self, record: AnyRecord, offset: int) -> None:
        if isinstance(record, FailedRecord):
            return
        # A film that was segmented again overwrote its first results.
        later = None if self._records.is_last_with(record.stem, offset) else self._records.last_with(record.stem)
        kept = {file.name for file in later[1].files} if later is not None and later[0] > offset else set()
        try:
            for file in record.files:
                if file.name not in kept:
                    (self.folder / file.name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror}): free space") from error


def _of_other_kinds(path: Path) -> list[Path]:
    """Paths of a film's overlay in other formats: two overlays that differ would mislead."""
    stem, _, kind = path.name.rpartition(".overlay.")
    others = [other for other in OVERLAY_KINDS if other != kind] if kind in OVERLAY_KINDS and stem else []
    return [path.with_name(f"{stem}.overlay.{other}") for other in others]


def _ms_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def _with_flushing(record: AnyRecord, ms: float) -> AnyRecord:
    if isinstance(record, FailedRecord):
        return record
    timings = {**record.timings_ms, "write": round(record.timings_ms["write"] + ms, 3)}
    return replace(record, timings_ms=timings)


def _prepare(folder: Path) -> None:
    """Check that the folder can be written, and remove what is half-written in it.

    Raises:
        OutputError: it cannot be written.
    """
    probe = folder / ".edge-seg-writable"
    write_atomically(probe, b"")
    try:
        probe.unlink()
        for place in (folder, folder / STATE_FOLDER):
            sweep_drafts(place)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}): choose another --out") from error
