"""The folder of corrections: every version, kept permanently, and the newest ones as a data set (`dataset`).

A version exists once its line is in `corrections.jsonl`; its complete files are written before that. The data set is
derived from the lines, and is repaired at the next start if a process ended between the two.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from edge_seg.corrections.dataset import (
    FILM_NUMBER,
    IMAGES,
    VERSION_FILE,
    VERSIONS,
    CorrectedFilm,
    Places,
    derive,
    read_png,
    split_of,
)
from edge_seg.corrections.line import CANNOT_JUDGE, VERDICTS, Correction, ModelOfCorrection, correction_from_json
from edge_seg.errors import InputError, OutputError
from edge_seg.log import reason_of, room_logger
from edge_seg.outputs.png import encode_png
from edge_seg.record import WrittenFile
from edge_seg.storage import append_whole, flush_folder, sweep_drafts, write_atomically
from edge_seg.typed_json import parse_object

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FOLDER = "corrections"
"""Subfolder of a folder of results that holds its corrections."""

LINES_NAME, KEY_NAME = "corrections.jsonl", ".key"

_STRUCTURE = re.compile(r"[^./\\\0]+")
_KEY_BYTES = 64
_log = room_logger(__name__)
_saving = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a person decided about a film, to be saved; see `Correction` for fields of the same names.

    Attributes:
        masks: bool arrays of the image's size, by structure; all false for a structure that is absent.
        image: the film as it is shown, upright, `(height, width)` uint8.
        patient: anything that identifies the patient, kept only as a keyed hash.
        before: the previous outlines, to tell which were changed.
    """

    verdict: str
    who: str
    model: ModelOfCorrection
    image: np.ndarray
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    patient: str
    before: Mapping[str, np.ndarray] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    seconds: float = 0.0
    actions: int = 0


class Corrections:
    """The corrections of a folder of results. Several threads and processes may read and save.

    Nothing is created until something is saved; what a killed process left undone is repaired.

    Args:
        results: the folder of results.

    Attributes:
        folder: of the corrections; a data set that `edge-seg check` and `edge-seg train` read.

    Raises:
        OutputError: the folder cannot be read.
    """

    def __init__(self, results: str | Path) -> None:
        self.folder = Path(results) / FOLDER
        self._places = Places(self.folder)
        if (self.folder / LINES_NAME).exists():
            with self._alone():
                known = self._read_lines()
                try:
                    self._put_right(*known)
                # A full disk is no reason not to show the corrections; saving reports it.
                except OutputError as error:
                    _log.warning("corrections cannot be put right (%s)", reason_of(error))

    def __iter__(self) -> Iterator[Correction]:
        """Every version, oldest first; damaged lines are skipped, with a warning."""
        return iter(self._read_lines()[0])

    def of(self, film: str) -> tuple[Correction, ...]:
        """The versions of a film, oldest first."""
        return tuple(one for one in self if one.film == film)

    def newest(self) -> dict[str, Correction]:
        """The newest version of each film, in the order in which films were first judged."""
        found: dict[str, Correction] = {}
        for one in self:
            found[one.film] = one
        return found

    def films(self) -> tuple[CorrectedFilm, ...]:
        """Films to learn from and to test on, by their newest versions, without those that could not be judged."""
        return tuple(CorrectedFilm.of(self._places, one) for one in self.newest().values() if one.is_judged)

    def masks_of(self, correction: Correction) -> dict[str, np.ndarray]:
        """The outlines of a version: bool arrays of the film's size, by structure.

        Raises:
            InputError: one cannot be read.
        """
        return CorrectedFilm.of(self._places, correction).masks()

    def image_of(self, film: str) -> np.ndarray | None:
        """A film that was judged before, `(height, width)` uint8; `None` if there is none.

        Raises:
            InputError: it cannot be read.
        """
        path = next(filter(Path.exists, self._places.images(film)), None)
        return None if path is None else read_png(path)

    def save(
        self,
        film: str,
        judgement: Judgement,
        make_object: Callable[[Correction], bytes | None] = lambda line: None,
        send: Callable[[Path], None] | None = None,
        tell: Callable[[Correction], None] | None = None,
    ) -> Correction:
        """Save a version; once this returns, it survives a power cut.

        Args:
            film: stem of the film's file names, as `DoneRecord.stem`.
            judgement: of the film.
            make_object: makes the bytes of a DICOM object of the version, `None` if there is none.
            send: takes the file of that object before the version is committed, so that it is sure to be sent.
            tell: takes the version, also before it is committed, so that it is sure to be reported.

        Raises:
            InputError: the judgement contradicts itself.
            OutputError: it cannot be written; nothing of it is kept.
        """
        _check(film, judgement)
        self._prepare()
        with self._alone():
            known, count = self._read_lines()
            self._put_right(known, count)
            try:
                line = self._line(film, count + 1, judgement, known)
                line = replace(line, files=self._write_version(line, judgement, make_object, send))
                if tell is not None:
                    tell(line)
                self._commit(line)
            except OSError as error:
                raise _unwritable(self.folder, error) from error
            try:
                derive(self._places, {**_newest(known), film: line}, line)
            except (OSError, OutputError) as error:
                _log.warning("correction %d is kept, the data set follows later (%s)", line.number, reason_of(error))
        return line

    def _prepare(self) -> None:
        try:
            for folder in (self.folder / VERSIONS, self.folder / IMAGES):
                folder.mkdir(parents=True, exist_ok=True)
            flush_folder(self.folder)
            flush_folder(self.folder.parent)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock the folder against changes by other threads and processes; the lock ends with the process."""
        with _saving:
            descriptor = None
            try:
                if fcntl is not None:
                    descriptor = os.open(self.folder, os.O_RDONLY)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                _log.debug("%s cannot be locked: %s", self.folder, error)
            try:
                yield
            finally:
                if descriptor is not None:
                    os.close(descriptor)

    def _read_lines(self) -> tuple[list[Correction], int]:
        """The versions, and how many lines there are, damaged ones included, so that no number is given twice."""
        path = self.folder / LINES_NAME
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            raise OutputError(f"{path}: cannot be read ({error.strerror}): look at its permissions") from error
        found, damaged = [], 0
        for line in lines:
            try:
                found.append(correction_from_json(parse_object(line.decode())))
            except ValueError:
                damaged += 1
        if damaged:
            _log.warning("%d damaged lines of %s are passed over", damaged, path)
        return found, len(lines)

    def _write_version(
        self,
        line: Correction,
        judgement: Judgement,
        make_object: Callable[[Correction], bytes | None],
        send: Callable[[Path], None] | None,
    ) -> tuple[WrittenFile, ...]:
        files = []
        for name, mask in judgement.masks.items():
            path = self._places.version(line.film, line.number, name)
            files.append(self._write(path, encode_png(mask.view(np.uint8) * np.uint8(255))))
        image, aside = self._places.images(line.film)
        if line.is_judged and not aside.exists() and not image.exists():
            # Kept with the versions until the line is committed: a data set has no film without outlines.
            # The line records the name that it gets then.
            written = self._write(
                aside, cv2.imencode(".png", judgement.image, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
            )
            files.append(replace(written, name=image.relative_to(self.folder).as_posix()))
        made = make_object(line)
        if made is not None:
            path = self._places.version(line.film, line.number, "corrected", "dcm")
            files.append(self._write(path, made))
            if send is not None:
                send(path)
        flush_folder(self.folder / VERSIONS)
        return tuple(files)

    def _write(self, path: Path, data: bytes) -> WrittenFile:
        write_atomically(path, data, lasting=False)
        name = path.relative_to(self.folder).as_posix()
        return WrittenFile(name, len(data), hashlib.sha256(data).hexdigest())

    def _line(self, film: str, number: int, said: Judgement, known: list[Correction]) -> Correction:
        earlier = next((one for one in known if one.film == film), None)
        patient = earlier.patient if earlier else self._hashed(said.patient, fresh=number == 1)
        before = {name: mask for name, mask in said.before.items() if mask.any()}
        nothing = np.zeros(said.image.shape, bool)
        differs = {n for n, mask in said.masks.items() if not np.array_equal(mask, said.before.get(n, nothing))}
        height, width = said.image.shape
        return Correction(
            number=number,
            film=film,
            verdict=said.verdict,
            who=said.who,
            when=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            model=said.model,
            patient=patient,
            split=split_of(patient, known),
            height=height,
            width=width,
            structures=tuple(said.masks),
            changed=tuple(name for name in said.masks if name in differs),
            drawn=tuple(name for name, mask in said.masks.items() if mask.any() and name not in before),
            absent=tuple(name for name in said.masks if name in said.absent),
            seconds=round(said.seconds, 1),
            actions=said.actions,
        )

    def _hashed(self, patient: str, *, fresh: bool) -> str:
        return hmac.new(self._key(fresh), patient.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:16]

    def _key(self, fresh: bool) -> bytes:
        """The key that patients are hashed with; without it, trying all identifiers does not reveal a patient.

        Raises:
            OutputError: it is gone or damaged, and the folder is not fresh: with another key a patient would seem to
                be a different one, and could be both learned from and tested on.
        """
        path = self.folder / KEY_NAME
        if path.exists() and len(key := path.read_bytes()) == _KEY_BYTES:
            return key
        if not fresh:
            raise OutputError(
                f"{path}: is gone or damaged, and tells which corrections are of one patient: put it back from a copy, "
                "or correct in a new folder of results"
            )
        key = secrets.token_hex(_KEY_BYTES // 2).encode()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        flush_folder(self.folder)
        return key

    def _commit(self, line: Correction) -> None:
        path = self.folder / LINES_NAME
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            append_whole(descriptor, json.dumps(line.to_json()).encode() + b"\n")
        finally:
            os.close(descriptor)
        if fresh:
            flush_folder(self.folder)

    def _put_right(self, known: list[Correction], count: int) -> None:
        """Finish what a killed process began, and remove what it had not committed.

        Args:
            known: the versions.
            count: of their lines, including damaged ones, whose content is unknown and whose files stay.
        """
        newest, damaged = _newest(known), count > len(known)
        try:
            for folder in (self.folder, *(path for path in self.folder.iterdir() if path.is_dir())):
                sweep_drafts(folder)
            for path in (self.folder / VERSIONS).iterdir():
                match = VERSION_FILE.fullmatch(path.name)
                number = int(match[2]) if match else FILM_NUMBER
                is_of_none = match and number == FILM_NUMBER and match[1] not in newest and not damaged
                if number > count or is_of_none:
                    path.unlink(missing_ok=True)
            if known:
                self._derive_again(newest, known[-1])
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _derive_again(self, newest: dict[str, Correction], last: Correction) -> None:
        try:
            derive(self._places, newest, last)
        # Other films must not wait for it. The name of its film may be a patient's.
        except FileNotFoundError:
            _log.warning("correction %d: a file of it is gone: put it back from a copy", last.number)


def _newest(known: list[Correction]) -> dict[str, Correction]:
    return {one.film: one for one in known}


def _check(film: str, said: Judgement) -> None:
    if said.verdict not in VERDICTS:
        raise InputError(f"{film}: no verdict is called {said.verdict}: choose from {', '.join(VERDICTS)}")
    if said.image.ndim != 2 or said.image.dtype != np.uint8:
        raise InputError(f"{film}: a film to be kept is a two-dimensional uint8 array")
    if (said.verdict == CANNOT_JUDGE) == bool(said.masks):
        raise InputError(f"{film}: outlines go with every verdict but `{CANNOT_JUDGE}`, and with that one none do")
    for name, mask in said.masks.items():
        if not _STRUCTURE.fullmatch(name) or name in (IMAGES, VERSIONS):
            raise InputError(f"{film}: no structure can be called {name}")
        if mask.shape != said.image.shape or mask.dtype != np.bool_:
            raise InputError(f"{film}: the mask of {name} is no bool array of the film's size")
        if name in said.absent and mask.any():
            raise InputError(f"{film}: {name} is called absent and has an outline: take one back")


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot be written ({error.strerror or error}): free space, or look at permissions")
