"""Correcting outlines on the page: serves films to start from, and takes corrections."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from edge_seg.boundary import film_boundary
from edge_seg.corrections import Correction
from edge_seg.corrections.desk import Desk, Overtaken
from edge_seg.corrections.queue import worth
from edge_seg.corrections.sheet import Window
from edge_seg.errors import EdgeSegError, InputError
from edge_seg.film import Failure
from edge_seg.station.layers import LONGEST_SIDE
from edge_seg.station.page.answer import PICTURES, Answer, json_answer, refusal
from edge_seg.station.shown import Shown

CORRECTIONS = "/corrections"

MOST_BYTES = 2_000_000
"""Limit for what the editor sends; the outlines of a film take some ten thousand."""

_SMALL = 1024  # pixels of the longest side for a phone: a third of the bytes
_SHEET = re.compile(r"/corrections/([0-9]{1,18})")
_PICTURE = re.compile(r"/corrections/([0-9]{1,18})/(film|small)(?:/([0-9]{2,3})-([0-9]{2,3}))?")
_LEAST_WINDOW, _MOST_WINDOW = 20, 300  # per cent, as in the editor


class Correcting:
    """Answers requests below `/corrections`. Thread-safe.

    Args:
        shown: finds films by number.
        desk: where they are corrected.
    """

    def __init__(self, shown: Shown, desk: Desk) -> None:
        self._shown, self._desk = shown, desk

    @staticmethod
    def is_saved_at(path: str) -> bool:
        """Whether a path accepts corrections."""
        return _SHEET.fullmatch(path) is not None

    def get(self, path: str) -> Answer:
        """The answer to a GET."""
        if path == CORRECTIONS:
            return self._told(self._list)
        if (asked := _SHEET.fullmatch(path)) is not None:
            return self._told(partial(self._sheet, int(asked[1])))
        if (asked := _PICTURE.fullmatch(path)) is not None:
            longest = _SMALL if asked[2] == "small" else LONGEST_SIDE
            window = Window(int(asked[3] or 100), int(asked[4] or 100))
            return self._told(partial(self._picture, int(asked[1]), longest, window))
        return refusal(HTTPStatus.NOT_FOUND, "there is nothing here")

    def post(self, path: str, body: bytes) -> Answer:
        """The answer to a sent correction, which is saved once the answer says so."""
        asked = _SHEET.fullmatch(path)
        return self._told(partial(self._save, int(asked[1]), body)) if asked else self.get(path)

    def _list(self) -> Answer:
        """The newest version of each listed film that was reviewed, by its number, and what to review next."""
        newest = self._desk.store.newest()
        listed = [(film.number, self._shown.record(film.number)) for film in self._shown.recent()]
        records = {record.stem: (number, record) for number, record in reversed(listed) if record is not None}
        films = {str(number): _in_short(newest[stem]) for stem, (number, _) in records.items() if stem in newest}
        chosen = self._desk.following(record for _, record in records.values())
        following = [{"number": records[one.film][0], "why": one.why} for one in chosen]
        told = worth(newest.values())
        return json_answer({"who": self._desk.who, "films": films, "next": following, "worth": told})

    def _sheet(self, number: int) -> Answer | None:
        record = self._shown.record(number)
        return None if record is None else json_answer(self._desk.sheet(record).to_json())

    def _picture(self, number: int, longest: int, window: Window) -> Answer | None:
        record = self._shown.record(number)
        if record is None:
            return None
        if not all(_LEAST_WINDOW <= one <= _MOST_WINDOW for one in (window.contrast, window.brightness)):
            raise InputError(f"contrast and brightness: give {_LEAST_WINDOW} to {_MOST_WINDOW} per cent")
        picture = self._desk.picture(record, longest, self._as_shown(number), window)
        return Answer(HTTPStatus.OK, picture, PICTURES[".jpg"])

    def _save(self, number: int, body: bytes) -> Answer | None:
        record = self._shown.record(number)
        if record is None:
            return None
        return json_answer(_in_short(self._desk.save(record, body, self._as_shown(number))), HTTPStatus.CREATED)

    def _as_shown(self, number: int) -> bytes | None:
        """The picture of a camera frame, which exists only on the page; other films are read from their source."""
        record = self._shown.record(number)
        return self._shown.picture(number) if record is not None and record.film.sha256 is None else None

    def _told(self, make: Callable[[], Answer | None]) -> Answer:
        try:
            found = film_boundary("film", "film", make)
        except EdgeSegError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        if not isinstance(found, Failure):
            return found or refusal(HTTPStatus.NOT_FOUND, "no such film, or no longer")
        kinds = {Overtaken: HTTPStatus.CONFLICT, InputError: HTTPStatus.UNPROCESSABLE_ENTITY}
        fitting = (status for kind, status in kinds.items() if isinstance(found.error, kind))
        return refusal(next(fitting, HTTPStatus.SERVICE_UNAVAILABLE), str(found.error))


def _in_short(line: Correction) -> dict[str, object]:
    return {"number": line.number, "verdict": line.verdict, "who": line.who, "when": line.when}
