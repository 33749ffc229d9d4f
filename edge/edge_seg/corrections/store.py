"""The folder of corrections: every version for ever, and the newest ones as a data set in the trainer's own layout.

A version is there when its line in `corrections.jsonl` is: its files are written before, whole. The data set beside it,
`images/`, a folder for each structure and `index.csv`, follows from the lines and is put right at the next start.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
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

from edge_seg.corrections.line import CANNOT_JUDGE, VERDICTS, Correction, ModelOfCorrection, correction_from_json
from edge_seg.errors import InputError, OutputError
from edge_seg.log import room_logger
from edge_seg.outputs.png import encode_png
from edge_seg.record import WrittenFile
from edge_seg.storage import append_whole, flush_folder, sweep_drafts, write_atomically
from edge_seg.typed_json import parse_object

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FOLDER = "corrections"
"""Folder of a folder of results that holds its corrections."""

LINES_NAME, INDEX_NAME, KEY_NAME = "corrections.jsonl", "index.csv", ".key"
IMAGES, VERSIONS = "images", "versions"

TEST_SHARE, VAL_SHARE = 0.25, 0.1
"""Shares of patients whose films are only tested on, and by which an epoch is chosen."""

_VERSION = re.compile(r"(.*)\.([0-9]{1,9})\.[^.]+\.(?:png|dcm)", re.DOTALL)
_STRUCTURE = re.compile(r"[^./\\\0]+")
_FILM_NUMBER = 0  # of no version
_KEY_BYTES = 64
_log = room_logger(__name__)
_saving = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a person says of a film, to be saved; see `Correction` for the fields of the same names.

    Attributes:
        masks: bool arrays of the image's size, by structure; of a structure that is absent all false.
        image: the film as it is shown, upright, `(height, width)` uint8.
        patient: whatever tells this patient from others, kept as a keyed hash alone.
        before: the outlines that were there before, to tell which were changed.
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


@dataclass(frozen=True)
class CorrectedFilm:
    """A film of which something can be learned: its newest version.

    Attributes:
        correction: the line of that version.
        image_paths: PNG of the film: where it lies, and where it lay until a moment ago.
        mask_paths: PNG of each structure, 0 or 255.
    """

    correction: Correction
    image_paths: tuple[Path, Path]
    mask_paths: Mapping[str, Path]

    @property
    def name(self) -> str:
        """What the names of the film's files begin with."""
        return self.correction.film

    @property
    def split(self) -> str:
        """`train`, `val` or `test`."""
        return self.correction.split

    def image(self) -> np.ndarray:
        """The film: `(height, width)` uint8.

        Raises:
            InputError: it cannot be read.
        """
        return _read_png(next(filter(Path.exists, self.image_paths), self.image_paths[0]))

    def masks(self) -> dict[str, np.ndarray]:
        """Bool arrays of the film's size, by structure.

        Raises:
            InputError: one cannot be read.
        """
        return {name: _read_png(path) > 127 for name, path in self.mask_paths.items()}


class Corrections:
    """The corrections of a folder of results. Several threads and processes may read and save.

    Nothing is made until something is saved; what a process that was killed left undone is put right.

    Args:
        results: the folder of results.

    Attributes:
        folder: of the corrections; a data set that `edge-seg check` and `edge-seg train` read.

    Raises:
        OutputError: the folder cannot be read.
    """

    def __init__(self, results: str | Path) -> None:
        self.folder = Path(results) / FOLDER
        if (self.folder / LINES_NAME).exists():
            with self._alone():
                self._put_right()

    def __iter__(self) -> Iterator[Correction]:
        """Every version, oldest first; damaged lines are passed over, and told."""
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
        """Films to learn from and to test on, by their newest versions; those nobody could judge are not among them."""
        return tuple(self._film(one) for one in self.newest().values() if one.is_judged)

    def masks_of(self, correction: Correction) -> dict[str, np.ndarray]:
        """The outlines of a version: bool arrays of the film's size, by structure.

        Raises:
            InputError: one cannot be read.
        """
        return self._film(correction).masks()

    def image_of(self, film: str) -> np.ndarray | None:
        """A film that was judged before, `(height, width)` uint8; `None` where there is none.

        Raises:
            InputError: it cannot be read.
        """
        path = next(filter(Path.exists, self._image_paths(film)), None)
        return None if path is None else _read_png(path)

    def save(
        self,
        film: str,
        judgement: Judgement,
        make_object: Callable[[Correction], bytes | None] = lambda line: None,
        send: Callable[[Path], None] | None = None,
    ) -> Correction:
        """Keep a version; when this returns it lasts through a power cut.

        Args:
            film: what the names of the film's files begin with, as `DoneRecord.stem`.
            judgement: what was said of it.
            make_object: makes the bytes of a DICOM object of the version, `None` where there is none.
            send: takes the file of that object, before the version is there: one that is there is sure to be sent.

        Raises:
            InputError: the judgement contradicts itself.
            OutputError: it cannot be written; nothing of it is kept.
        """
        _check(film, judgement)
        self._prepare()
        with self._alone():
            self._put_right()
            known, count = self._read_lines()
            number = count + 1
            try:
                line = self._line(film, number, judgement, known)
                line = replace(line, files=self._write_version(line, judgement, make_object, send))
                self._commit(line)
            except OSError as error:
                raise _unwritable(self.folder, error) from error
            self._derive({**_newest(known), film: line}, line)
        return line

    def _film(self, one: Correction) -> CorrectedFilm:
        masks = {name: self._version(one.film, one.number, name) for name in one.structures}
        return CorrectedFilm(one, self._image_paths(one.film), masks)

    def _image_paths(self, film: str) -> tuple[Path, Path]:
        return self.folder / IMAGES / f"{film}.png", self._set_aside(film)

    def _version(self, film: str, number: int, structure: str) -> Path:
        return self.folder / VERSIONS / f"{film}.{number}.{structure}.png"

    def _set_aside(self, film: str) -> Path:
        """Where a film lies that nobody could judge in the end: in no data set."""
        return self._version(film, _FILM_NUMBER, "film")

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
        """No other thread or process changes the folder meanwhile; the lock ends with the process."""
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
        """The versions, and how many lines there are, damaged ones included: no number is given twice."""
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
            path = self._version(line.film, line.number, name)
            files.append(self._write(path, encode_png(mask.view(np.uint8) * np.uint8(255))))
        image, aside = self._image_paths(line.film)
        if line.is_judged and not aside.exists() and not image.exists():
            # Kept with the versions until the line is there: a data set has no film without outlines.
            # Told by the name that it has from then on.
            written = self._write(aside, _encode_film(judgement.image))
            files.append(replace(written, name=image.relative_to(self.folder).as_posix()))
        made = make_object(line)
        if made is not None:
            path = self.folder / VERSIONS / f"{line.film}.{line.number}.corrected.dcm"
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
        patient = earlier.patient if earlier else self._hashed(said.patient)
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
            split=_split_of(patient, known),
            height=height,
            width=width,
            structures=tuple(said.masks),
            changed=tuple(name for name in said.masks if name in differs),
            drawn=tuple(name for name, mask in said.masks.items() if mask.any() and name not in before),
            absent=tuple(name for name in said.masks if name in said.absent),
            seconds=round(said.seconds, 1),
            actions=said.actions,
        )

    def _hashed(self, patient: str) -> str:
        return hmac.new(self._key(), patient.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:16]

    def _key(self) -> bytes:
        """What patients are hashed with: without it nobody finds a patient by trying all identifiers."""
        path = self.folder / KEY_NAME
        if path.exists() and len(key := path.read_bytes()) == _KEY_BYTES:
            return key
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

    def _put_right(self) -> None:
        """Finish what a process that was killed began, and leave nothing of what it had not committed."""
        known, count = self._read_lines()
        newest = _newest(known)
        try:
            for folder in (self.folder, *(path for path in self.folder.iterdir() if path.is_dir())):
                sweep_drafts(folder)
            for path in (self.folder / VERSIONS).iterdir():
                match = _VERSION.fullmatch(path.name)
                if match and (int(match[2]) > count or match[1] not in newest):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        if known:
            self._derive(newest, known[-1])

    def _derive(self, newest: Mapping[str, Correction], last: Correction) -> None:
        """Bring the data set up to the last version; those before it were finished before it was begun.

        Raises:
            OutputError: it cannot be written; the version itself is kept.
        """
        image, aside = self._image_paths(last.film)
        try:
            if last.is_judged:
                for name in last.structures:
                    self._copy(self._version(last.film, last.number, name), self.folder / name / f"{last.film}.png")
                if aside.exists():
                    aside.replace(image)
            elif image.exists():
                image.replace(aside)
            for gone in self._outlines_of(last.film) - (set(last.structures) if last.is_judged else set()):
                (self.folder / gone / f"{last.film}.png").unlink(missing_ok=True)
            for folder in (self.folder / IMAGES, self.folder / VERSIONS):
                flush_folder(folder)
            self._write_if_new(self.folder / INDEX_NAME, _index(newest))
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _outlines_of(self, film: str) -> set[str]:
        folders = (path for path in self.folder.iterdir() if path.is_dir() and path.name not in (IMAGES, VERSIONS))
        return {folder.name for folder in folders if (folder / f"{film}.png").exists()}

    def _copy(self, source: Path, target: Path) -> None:
        if not target.parent.exists():
            target.parent.mkdir()
            flush_folder(self.folder)
        self._write_if_new(target, source.read_bytes())

    def _write_if_new(self, path: Path, data: bytes) -> None:
        if not path.exists() or path.read_bytes() != data:
            write_atomically(path, data)


def _newest(known: list[Correction]) -> dict[str, Correction]:
    return {one.film: one for one in known}


def _split_of(patient: str, known: list[Correction]) -> str:
    """The split of a patient: the first one that was given, else by the hash of the patient alone."""
    for one in known:
        if one.patient == patient:
            return one.split
    share = int(hashlib.sha256(f"split/{patient}".encode()).hexdigest()[:8], 16) / 2**32
    return "test" if share < TEST_SHARE else "val" if share < TEST_SHARE + VAL_SHARE else "train"


def _index(newest: Mapping[str, Correction]) -> bytes:
    """`index.csv`: films with their suffix, so that a dot in a name is no suffix."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("film", "patient", "split"))
    rows.writerows((f"{one.film}.png", one.patient, one.split) for one in newest.values() if one.is_judged)
    return table.getvalue().encode()


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


def _encode_film(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def _read_png(path: Path) -> np.ndarray:
    try:
        found = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error) as error:
        raise InputError(f"{path}: cannot be read ({error}): put the folder back from a copy") from error
    if found is None:
        raise InputError(f"{path}: is no picture: put the folder back from a copy")
    return found


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot be written ({error.strerror or error}): free space, or look at permissions")
