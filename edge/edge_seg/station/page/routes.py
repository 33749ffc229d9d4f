"""What the page answers. No request path names a file: films are looked up by number, assets in a table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from importlib import resources

from edge_seg.station.page.answer import PICTURES, Answer, json_answer
from edge_seg.station.page.metrics import metrics
from edge_seg.station.page.plain import plain_page
from edge_seg.station.shown import Shown

HEALTH = "/healthz"
"""The one route that needs no token."""

_ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/outline.js": ("outline.js", "text/javascript; charset=utf-8"),
    "/editor.js": ("editor.js", "text/javascript; charset=utf-8"),
    "/editor.css": ("editor.css", "text/css; charset=utf-8"),
}
_FILM = re.compile(r"/(overlay|film|outlines)/([0-9]{1,18})")


def health_answer(health: Shown) -> Answer:
    """Whether the session is alive; never waits for the disk."""
    return Answer(HTTPStatus.OK, b"ok\n") if health.alive else Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"stuck\n")


def answer(path: str, health: Shown) -> Answer:
    """The answer to a request that may enter; may wait for the disk."""
    if path in _ASSETS:
        name, kind = _ASSETS[path]
        return Answer(HTTPStatus.OK, resources.files(__package__).joinpath("assets", name).read_bytes(), kind)
    if path in _REPORTS:
        make, kind = _REPORTS[path]
        return Answer(HTTPStatus.OK, make(health), kind)
    if (asked := _FILM.fullmatch(path)) is not None:
        return _of_film(asked[1], int(asked[2]), health) or Answer(HTTPStatus.NOT_FOUND, b"no such film\n")
    return Answer(HTTPStatus.NOT_FOUND, b"there is nothing here\n")


def _of_film(what: str, number: int, health: Shown) -> Answer | None:
    """A film's overlay, or one of its layers; `None` if there is none."""
    if what == "film":
        picture = health.picture(number)
        return None if picture is None else Answer(HTTPStatus.OK, picture, PICTURES[".jpg"])
    if what == "outlines":
        outlines = health.outlines(number)
        return None if outlines is None else json_answer(outlines.to_json())
    overlay = health.overlay(number)
    if overlay is None or overlay.suffix not in PICTURES or not overlay.is_file():
        return None
    return Answer(HTTPStatus.OK, overlay, PICTURES[overlay.suffix])


def _state(health: Shown) -> bytes:
    return json.dumps(health.state().to_json()).encode()


def _metrics(health: Shown) -> bytes:
    return metrics(health.state()).encode(errors="replace")


def _plain(health: Shown) -> bytes:
    return plain_page(health.state()).encode(errors="replace")


_REPORTS: dict[str, tuple[Callable[[Shown], bytes], str]] = {
    "/state": (_state, "application/json"),
    "/plain": (_plain, "text/html; charset=utf-8"),
    "/metrics": (_metrics, "text/plain; version=0.0.4; charset=utf-8"),
}
