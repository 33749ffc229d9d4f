"""Where a person corrects outlines: shows films with their outlines and saves the corrections."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge_seg.assessment.film_gate import REJECT
from edge_seg.assessment.kinds import INVERTED
from edge_seg.boundary import film_boundary
from edge_seg.corrections.line import CANNOT_JUDGE, RIGHT, Correction, ModelOfCorrection
from edge_seg.corrections.outline import Points, rings_of
from edge_seg.corrections.planes import kept_masks, kept_name, turned_back, upright
from edge_seg.corrections.queue import Next, next_films
from edge_seg.corrections.said import Said, masks_of_said, parsed
from edge_seg.corrections.second_opinion import Drawn, SecondOpinions
from edge_seg.corrections.sheet import USUAL, Sheet, SheetStructure, Window
from edge_seg.corrections.store import Corrections, Judgement
from edge_seg.errors import InputError, OutputError
from edge_seg.film import Failure, Film, inverted
from edge_seg.hardware import LITTLE_SPACE_BYTES
from edge_seg.identity import identity_of
from edge_seg.log import reason_of, room_logger
from edge_seg.outputs import dicom
from edge_seg.outputs.outbox import Outbox
from edge_seg.pixels import to_grey8
from edge_seg.record import DoneRecord
from edge_seg.sources import find_received, read_film
from edge_seg.structures import Structure, structures_named

_QUALITY = 85
_log = room_logger(__name__)


class Overtaken(InputError):
    """Somebody else saved another version of the film meanwhile."""


class Desk:
    """Films of a folder of results, to be corrected. Thread-safe.

    Args:
        results: the folder.
        who: name offered to a person who has not chosen one.
        films: folder to search for films that are no longer where they came from.
        with_dicom: whether to also write versions of films with a DICOM header as DICOM segmentations.
        outbox: sends those segmentations.
        notices: sends the line of each version.
    """

    def __init__(
        self,
        results: Path,
        *,
        who: str = "",
        films: Path | None = None,
        with_dicom: bool = False,
        outbox: Outbox | None = None,
        notices: Outbox | None = None,
    ) -> None:
        self.store = Corrections(results)
        self.who = who
        self._results, self._films = results, films
        self._with_dicom, self._outbox, self._notices = with_dicom, outbox, notices
        self._second = SecondOpinions(self._outlined)
        self._last: tuple[str, np.ndarray] | None = None
        self._reading, self._saving = threading.Lock(), threading.Lock()

    def following(self, records: Iterable[DoneRecord]) -> list[Next]:
        """Which of these films to look at next; see `next_films`.

        Each call gets second opinions for the first few films without one, so the order settles with repeated calls.
        """
        films, saved = {record.stem: record for record in records}, list(self.store)
        chosen = next_films(films.values(), saved, agreement=self._second.known)
        if not self._second.ask(films[one.film] for one in chosen):
            return chosen
        return next_films(films.values(), saved, agreement=self._second.known)

    def sheet(self, record: DoneRecord) -> Sheet:
        """What the editor starts from.

        Raises:
            InputError: the film has no outlines, or they cannot be read.
        """
        newest = self.store.newest().get(record.stem)
        model = self._model_masks(record)
        own = self._own_masks(record, newest)
        same = {name for name, mask in own.items() if name in model and np.array_equal(mask, model[name])}
        structures = tuple(
            SheetStructure(
                one.name,
                one.title,
                one.colour,
                _points(model.get(one.name)),
                _points(own[one.name]) if one.name in own.keys() - same else None,
            )
            for one in _structures(record)
        )
        return Sheet(
            record.name,
            record.film.width,
            record.film.height,
            record.film.bits,
            base=newest.number if newest is not None else 0,
            verdict=newest.verdict if newest is not None else None,
            absent=tuple(n for n in record.structures if newest is not None and kept_name(record, n) in newest.absent),
            who=self.who,
            structures=structures,
        )

    def picture(self, record: DoneRecord, longest: int, shown: bytes | None = None, window: Window = USUAL) -> bytes:
        """The film as JPEG.

        Args:
            record: of the film.
            longest: pixels of its longest side; larger films are shrunk.
            shown: the JPEG of the film that the page shows, for a film that no longer exists elsewhere.
            window: of its values.

        Raises:
            InputError: the film no longer exists anywhere.
        """
        grey = self._grey(record, shown) if window == USUAL else self._windowed(record, shown, window)
        scale = longest / max(grey.shape)
        if scale < 1:
            size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()

    def save(self, record: DoneRecord, body: bytes, shown: bytes | None = None) -> Correction:
        """Save what a person decided about a film.

        Args:
            record: of the film.
            body: JSON of `Said`.
            shown: see `picture`.

        Raises:
            InputError: it makes no sense, or the film no longer exists anywhere.
            Overtaken: another version was saved meanwhile.
            OutputError: it cannot be written.
        """
        with self._saving:
            return self._save(record, parsed(body), shown)

    def _save(self, record: DoneRecord, said: Said, shown: bytes | None) -> Correction:
        if (free := shutil.disk_usage(self._results).free) < LITTLE_SPACE_BYTES:
            raise OutputError(
                f"only {free / 1e6:.0f} MB of disk are free: make room for corrections, which are never removed"
            )
        newest = self.store.newest().get(record.stem)
        if said.base != (newest.number if newest is not None else 0):
            raise Overtaken(f"{record.name}: somebody saved another version meanwhile: open it again")
        model = self._model_masks(record)
        before = {**model, **self._own_masks(record, newest)}
        film = self._film(record)
        grey = self._grey(record, shown, film)
        masks = masks_of_said(record, said, model if said.verdict == RIGHT else before)
        judgement = Judgement(
            verdict=said.verdict,
            who=said.who,
            model=ModelOfCorrection(record.model.name, record.model.version, record.model.sha256),
            image=upright(record, grey),
            masks=kept_masks(record, masks),
            patient=_patient(record, film),
            before=kept_masks(record, before),
            absent=tuple(kept_name(record, n) for n in said.absent)
            if said.verdict not in (RIGHT, CANNOT_JUDGE)
            else (),
            seconds=said.seconds,
            actions=said.actions,
        )

        def make_object(line: Correction) -> bytes | None:
            return _object(record, line, {kept_name(record, name): mask for name, mask in masks.items()}, film)

        return self.store.save(
            record.stem,
            judgement,
            make_object if self._with_dicom else lambda line: None,
            self._outbox.put if self._outbox is not None else None,
            self._tell if self._notices is not None else None,
        )

    def _tell(self, line: Correction) -> None:
        assert self._notices is not None
        self._notices.put_bytes(f"{secrets.token_hex(8)}.json", json.dumps(line.to_json()).encode())

    def _own_masks(self, record: DoneRecord, newest: Correction | None) -> dict[str, np.ndarray]:
        """The masks of the newest version, by the model's structure names; none if it could not be judged."""
        if newest is None or not newest.is_judged:
            return {}
        kept = self.store.masks_of(newest)
        return {
            name: turned_back(record, kept[as_])
            for name in record.structures
            if (as_ := kept_name(record, name)) in kept
        }

    def _outlined(self, record: DoneRecord) -> Drawn | None:
        film = self._film(record)
        return None if film is None else Drawn(_set_right(film, record), self._model_masks(record))

    def _model_masks(self, record: DoneRecord) -> dict[str, np.ndarray]:
        if record.rejected:
            raise InputError(f"{record.name}: was rejected, so that there are no outlines to put right: use --no-gate")
        found = {}
        for name in record.structures:
            mask = cv2.imread(str(self._results / f"{record.stem}.{name}.png"), cv2.IMREAD_GRAYSCALE)
            if mask is None or mask.shape != (record.film.height, record.film.width):
                raise InputError(f"{record.name}: its masks are gone: segment it again with --save mask")
            found[name] = mask > 127
        return found

    def _grey(self, record: DoneRecord, shown: bytes | None, film: Film | None = None) -> np.ndarray:
        """The film at its own size as it is shown; the last one is cached."""
        with self._reading:
            if self._last is not None and self._last[0] == _key(record):
                return self._last[1]
            film = film if film is not None else self._film(record)
            grey = to_grey8(_set_right(film, record)) if film is not None else None
            if grey is None and (kept := self.store.image_of(record.stem)) is not None:
                grey = turned_back(record, kept)
            if grey is None and shown is not None:
                grey = _at_own_size(record, shown)
            if grey is None or grey.shape != (record.film.height, record.film.width):
                raise InputError(
                    f"{record.name}: the film is not at {record.source} any more: put it back, or give --films"
                )
            self._last = _key(record), grey
            return grey

    def _windowed(self, record: DoneRecord, shown: bytes | None, window: Window) -> np.ndarray:
        """The film in another window; one that is gone has only 8 bits per pixel."""
        film = self._film(record)
        film = _set_right(film, record) if film is not None else Film(self._grey(record, shown))
        return to_grey8(film, window.contrast / 100, window.brightness / 100)

    def _film(self, record: DoneRecord) -> Film | None:
        """The film itself; `None` if it no longer exists anywhere or has changed."""
        places = [find_received(self._results, record.source), Path(record.source)]
        if self._films is not None:
            places.append(self._films / Path(record.source).name)
        for path in places:
            if path is None or not path.is_file():
                continue
            film = film_boundary(record.name, str(path), partial(read_film, path))
            if isinstance(film, Failure):
                _log.info("a film to be corrected cannot be read (%s)", reason_of(film.error))
                continue
            if film.checksum == record.film.sha256:
                return replace(film, source=record.source)
        return None


def _structures(record: DoneRecord) -> tuple[Structure, ...]:
    named = structures_named(tuple(record.structures))
    return tuple(replace(one, definition=record.structures[one.name]) for one in named)


def _points(mask: np.ndarray | None) -> tuple[Points, ...]:
    return () if mask is None else tuple(tuple((x, y) for x, y in ring.tolist()) for ring in rings_of(mask))


def _set_right(film: Film, record: DoneRecord) -> Film:
    """The film, inverted if the film gate inverted it."""
    exchanged = any(one.code == INVERTED and one.verdict != REJECT for one in record.quality.findings)
    return inverted(film) if exchanged else film


def _at_own_size(record: DoneRecord, shown: bytes) -> np.ndarray | None:
    """A film as the page shows it; `None` if that is no picture."""
    grey = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_GRAYSCALE)
    # The page shrinks large films, and outlines have the film's own size.
    size = record.film.width, record.film.height
    return None if grey is None else cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)


def _key(record: DoneRecord) -> str:
    return f"{record.stem} {record.film.sha256 or record.film.taken_at}"


def _patient(record: DoneRecord, film: Film | None) -> str:
    """What identifies the patient: the identifier in the header, else the film itself."""
    patient = identity_of(film, names=True).patient if film is not None else record.patient
    named = (patient.id or patient.name) if patient is not None else ""
    return f"patient {named}" if named else f"film {record.film.sha256 or record.stem}"


def _object(record: DoneRecord, line: Correction, masks: Mapping[str, np.ndarray], film: Film | None) -> bytes | None:
    """The DICOM segmentation of a version; `None` if none can be made."""
    named = [replace(one, name=kept_name(record, one.name)) for one in _structures(record)]
    structures = tuple(one for one in named if one.name in masks and one.name not in line.absent)
    if film is None or film.header is None or not structures:
        return None
    outlines = dicom.CorrectedOutlines(
        number=line.number,
        structures=structures,
        masks=masks,
        drawn=line.drawn,
        who=line.who,
        when=line.when,
        model=line.model.name,
        model_version=line.model.version,
        model_sha256=line.model.sha256,
    )
    try:
        return dicom.correction_object(film, outlines)
    # highdicom can raise anything, and the correction is complete without its object.
    except Exception as error:
        _log.warning("correction %d: no DICOM segmentation (%s)", line.number, reason_of(error))
        return None
