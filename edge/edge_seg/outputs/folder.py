"""The output folder: masks, overlay and record of each film; knows which films are done."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edge_seg.assessment.film_gate import REJECT
from edge_seg.errors import InputError, OutputError, UsageError
from edge_seg.film import Film
from edge_seg.outputs import dicom
from edge_seg.outputs.journal import REMOVED_NAME, Journal
from edge_seg.outputs.names import Names, owner_of, plain_stem
from edge_seg.outputs.outbox import Outbox
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.outputs.png import encode_png
from edge_seg.record import AnyRecord, DoneRecord, FailedRecord, WrittenFile, record_from_json, record_of
from edge_seg.segmenter import Segmentation
from edge_seg.storage import flush_folder, sweep_drafts, write_atomically

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PRODUCTS = ("mask", "overlay", "record", "dicom")
_KEPT_OF_REMOVED = ("schema", "status", "source", "stem", "film", "model", "lung", "quality", "products", "files")

USUAL_PRODUCTS = ("mask", "overlay", "record")


class OutputFolder:
    """Writes results under one folder and knows which films are done.

    Holds the folder for itself until `close`, or until the process ends in whatever way.

    Attributes:
        outbox: where given, sends DICOM results on.

    Args:
        folder: made if absent.
        products: which of `PRODUCTS` to write; the record is always written, since it says that a film is done.
        names: whether records may name patients.

    Raises:
        OutputError: the folder cannot be made or written, another run writes to it, or its records cannot be read.
        UsageError: an unknown product, or none.
        DeviceError: DICOM results are wanted and highdicom is not installed.
    """

    def __init__(self, folder: Path, products: Iterable[str] = USUAL_PRODUCTS, *, names: bool = False) -> None:
        self.outbox: Outbox | None = None
        self._with_names = names
        self.folder = folder
        self.products = frozenset(products)
        unknown = self.products - set(PRODUCTS)
        if unknown or not self.products:
            raise UsageError(f"--save {', '.join(sorted(unknown)) or 'nothing'}: choose from {', '.join(PRODUCTS)}")
        if "dicom" in self.products:
            dicom.require_highdicom()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}): choose another --out") from error
        self._lock: int | None = _take(folder)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        probe = self.folder / ".edge-seg-writable"
        write_atomically(probe, b"")
        try:
            probe.unlink()
            sweep_drafts(self.folder)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror}): choose another --out") from error
        self._records = Journal(self.folder)
        self._names = Names()
        self._done: dict[str, tuple[str, frozenset[str], list[str]]] = {}
        self._removed = Journal(self.folder, REMOVED_NAME)
        for line in chain(self._removed, self._records):
            try:
                self._note(record_from_json({"name": "", **line}))
            except ValueError as error:
                raise OutputError(
                    f"{self._records.path}: a record is damaged ({error}): move it away, or choose another --out"
                ) from error

    def close(self) -> None:
        """Send on what can be sent, and let other runs write to the folder."""
        if self.outbox is not None:
            self.outbox.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_done(self, film: Film, model_checksum: str, lung: str | None, gate: bool = False) -> bool:
        """Whether this very film, by path and content, has results of this model, definition of lung and gate here.

        Frames of cameras and videos never are: they have no checksum to know them by.
        """
        done = self._done.get(film.source)
        if film.checksum is None or done is None:
            return False
        identity, products, files = done
        if identity != _identity(film.checksum, model_checksum, lung, gate) or not self.products <= products:
            return False
        # Somebody may have cleared away the pictures and left the records.
        return all((self.folder / name).exists() for name in files)

    def write(self, segmentation: Segmentation) -> DoneRecord:
        """Write all products of a film, its record last.

        Returns:
            The record.

        Raises:
            OutputError: something cannot be written; the film is then not done.
        """
        record = self.write_files(segmentation, self.stem_of(segmentation.film))
        self.keep(record)
        return record

    def stem_of(self, film: Film) -> str:
        """What the names of a film's files begin with; no other film's do."""
        if film.unique_name:
            # A camera would fill the memory with names.
            return plain_stem(film.name)
        return self._names.stem(film.name, owner_of(film.source, film.checksum, film.taken_at))

    def write_files(self, segmentation: Segmentation, stem: str) -> DoneRecord:
        """Write all products of a film but its record; of several films in several threads, if need be.

        Args:
            segmentation: of the film.
            stem: its own, by `stem_of`.

        Returns:
            The record, for `keep`.

        Raises:
            OutputError: something cannot be written.
        """
        start = time.perf_counter()
        files: list[WrittenFile] = []
        fresh: list[Path] = []
        try:
            notes = self._write_products(segmentation, stem, files, fresh)
            flush_folder(self.folder)
        except BaseException as error:
            # A film that is not done holds no space that another needs; what an earlier run left there stays.
            for path in fresh:
                # A disk that turned read-only gives nothing back.
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise OutputError(f"{self.folder}: cannot be written ({error.strerror}): free space") from error
            raise
        if notes:
            segmentation = replace(segmentation, warnings=(*segmentation.warnings, *notes))
        timings = {**segmentation.timings_ms, "write": round((time.perf_counter() - start) * 1000, 3)}
        return record_of(segmentation, stem, sorted(self.products | {"record"}), files, timings, self._with_names)

    def _write_products(
        self, segmentation: Segmentation, stem: str, files: list[WrittenFile], fresh: list[Path]
    ) -> list[str]:
        """Write them and list them in `files`, and in `fresh` those that were not there; what could not be made."""

        def write(name: str, data: bytes) -> None:
            path = self.folder / f"{stem}.{name}"
            if not path.exists():
                fresh.append(path)
            write_atomically(path, data, lasting=False)
            files.append(WrittenFile(path.name, len(data), hashlib.sha256(data).hexdigest()))

        # Empty masks of a film that was not segmented would look like a finding.
        segmented = segmentation.quality.verdict != REJECT
        if "mask" in self.products and segmented:
            for name, mask in segmentation.masks.items():
                write(f"{name}.png", encode_png(mask.view(np.uint8) * np.uint8(255)))
        overlay = draw_overlay(segmentation) if self.products & {"overlay", "dicom"} else None
        if overlay is not None and "overlay" in self.products:
            write("overlay.png", encode_png(overlay))
        if overlay is None or "dicom" not in self.products or not segmented:
            return []
        try:
            made = dicom.make_objects(segmentation, overlay)
        except InputError as error:
            # Pictures and numbers are whole without it.
            return [f"no DICOM result: {error}"]
        for name, data in made.files.items():
            write(f"{name}.dcm", data)
        if self.outbox is not None:
            # Before the record: a film that is done is sure to be sent.
            for name in made.files:
                self.outbox.put(self.folder / f"{stem}.{name}.dcm")
        return list(made.notes)

    def keep(self, record: AnyRecord) -> None:
        """Write a record, which makes its film done, or failed.

        Raises:
            OutputError: it cannot be written.
        """
        self._records.append(record.to_json())
        self._note(record)

    def remove_oldest(
        self, is_to_go: Callable[[AnyRecord], bool], also: Callable[[str], None] = lambda source: None
    ) -> int:
        """Remove the results of films, oldest first, up to the first that is to stay; their films stay done.

        Args:
            is_to_go: whether the results of a record are, asked when those before it are gone.
            also: removes what else belongs to a film, given its source.

        Returns:
            How many films' results went.

        Raises:
            OutputError: the folder takes no change.
        """

        def remove(line: dict[str, Any], later: bytes) -> None:
            record = record_from_json(line)
            also(record.source)
            if isinstance(record, FailedRecord):
                return
            try:
                for file in record.files:
                    # A film that was done again wrote over its first results.
                    if json.dumps(file.name).encode() not in later:
                        (self.folder / file.name).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{self.folder}: cannot be written ({error.strerror}): free space") from error
            if record.film.sha256:
                tombstone = replace(record, files=(), products=PRODUCTS)
                plain = tombstone.to_json()
                self._removed.append({key: plain[key] for key in _KEPT_OF_REMOVED})
                self._note(tombstone)

        return self._records.cut_head(lambda line: is_to_go(record_from_json(line)), remove)

    def _note(self, record: AnyRecord) -> None:
        """Remember whose a stem is and what is done; a film's last record counts."""
        if isinstance(record, FailedRecord):
            self._done.pop(record.source, None)
            return
        film = record.film
        if not film.unique_name:
            self._names.claim(record.stem, owner_of(record.source, film.sha256, film.taken_at))
        if film.sha256:
            identity = _identity(film.sha256, record.model.sha256, record.lung, record.quality.gate)
            names = [file.name for file in record.files]
            self._done[record.source] = identity, frozenset(record.products), names


def _identity(film_checksum: str, model_checksum: str, lung: str | None, gate: bool) -> str:
    return f"{film_checksum} {model_checksum} {lung} {gate}"


def _take(folder: Path) -> int | None:
    """Lock the folder itself: the lock leaves no file behind and ends with the process, kill -9 included."""
    if fcntl is None:
        return None
    descriptor: int | None = None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if descriptor is not None:
            os.close(descriptor)
        raise OutputError(f"{folder}: another run writes there: wait for its end, or choose another --out") from error
    except OSError:
        # Some network file systems have no locks; a folder that cannot be opened is named by what comes next.
        return descriptor
    return descriptor
