"""The HTTP interface for other programs, below `/v1`: a film in, numbers or pictures out; models, films of the session.

The result of a sent film stays in memory for the links of its answer; it enters no folder of results.
"""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from edge_seg.boundary import film_boundary
from edge_seg.errors import EdgeSegError, InputError
from edge_seg.film import Failure
from edge_seg.interface import Segmentation, Segmenter
from edge_seg.model_file import ModelFile, shipped_models
from edge_seg.outputs.jpeg import encode_jpeg
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.outputs.png import encode_png
from edge_seg.station.health_state import RecentFilm
from edge_seg.station.page.answer import JSON, PICTURES, Answer, json_answer, refusal
from edge_seg.station.page.openapi import description
from edge_seg.station.shown import Shown

PREFIX = "/v1/"
SEGMENT = "/v1/segment"

_PNG, _JPEG, _ZIP, _DICOM = "image/png", "image/jpeg", "application/zip", "application/dicom"
KINDS = (JSON, _PNG, _JPEG, _ZIP, _DICOM)
"""Media types of answers to a film, by preference."""

_KEPT, _KEPT_BYTES = 16, 32_000_000
_FILM = re.compile(r"/v1/films/([0-9]{1,18})(/overlay)?")
_RESULT = re.compile(r"/v1/results/([0-9]{1,18})/([^/]{1,800})")


@dataclass(frozen=True)
class _Kept:
    """Files of a result, for the links of its answer."""

    files: dict[str, bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


class Api:
    """Answers requests below `/v1`. Thread-safe; films are segmented one at a time.

    Args:
        health: of the session.
        make_segmenter: makes the segmenter for sent films, when the first one arrives.
        first: number of the first result, see `first_number`.
    """

    def __init__(self, health: Shown, make_segmenter: Callable[[], Segmenter], *, first: int = 1) -> None:
        self._health, self._make_segmenter = health, make_segmenter
        self._segmenting, self._keeping = threading.Lock(), threading.Lock()
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._last = first - 1

    @cached_property
    def _segmenter(self) -> Segmenter:
        return self._make_segmenter()

    def get(self, path: str) -> Answer:
        """The answer to a GET."""
        if path == "/v1/openapi.json":
            return json_answer(description())
        if path == "/v1/models":
            return json_answer({"models": [_model(name) for name in shipped_models()], "running": self._running()})
        if path == "/v1/films":
            return json_answer({"films": [self._linked(film) for film in self._health.recent()]})
        if (film := _FILM.fullmatch(path)) is not None:
            return self._film(int(film[1]), overlay=film[2] is not None)
        if (result := _RESULT.fullmatch(path)) is not None:
            return self._file(int(result[1]), unquote(result[2]))
        return refusal(HTTPStatus.NOT_FOUND, "there is nothing here: see /v1/openapi.json")

    def segment(self, data: bytes, accept: str) -> Answer:
        """The answer to a sent film; takes as long as segmenting it.

        Args:
            data: bytes of a picture or DICOM file.
            accept: the request's `Accept` header.
        """
        kind = chosen_kind(accept)
        if kind is None:
            return refusal(HTTPStatus.NOT_ACCEPTABLE, f"answers are {', '.join(KINDS)}")
        with self._segmenting:
            made = film_boundary("film", "film", lambda: self._made(data, kind))
        if isinstance(made, Failure):
            return _refused(made.error)
        return made

    def _made(self, data: bytes, kind: str) -> Answer:
        result = self._segmenter(data)
        if kind == _PNG:
            return Answer(HTTPStatus.OK, result._repr_png_(), kind)
        if kind == _JPEG:
            return Answer(HTTPStatus.OK, encode_jpeg(draw_overlay(result)), kind)
        if kind == _DICOM:
            return Answer(HTTPStatus.OK, _segmentation_object(result), kind)
        files = _files(result)
        numbers = result.to_dict(names=False)
        if kind == _ZIP:
            files["record.json"] = json.dumps(numbers).encode()
            return Answer(HTTPStatus.OK, _zipped(files), kind)
        number = self._keep(_Kept(files))
        return json_answer({**numbers, "links": {name: f"/v1/results/{number}/{quote(name)}" for name in files}})

    def _keep(self, kept: _Kept) -> int:
        with self._keeping:
            self._last += 1
            self._kept[self._last] = kept
            while len(self._kept) > 1 and (
                len(self._kept) > _KEPT or sum(one.size for one in self._kept.values()) > _KEPT_BYTES
            ):
                self._kept.popitem(last=False)
            return self._last

    def _file(self, number: int, name: str) -> Answer:
        with self._keeping:
            kept = self._kept.get(number)
        if kept is None or name not in kept.files:
            return refusal(HTTPStatus.NOT_FOUND, "no such file, or no longer: send the film again")
        return Answer(HTTPStatus.OK, kept.files[name], PICTURES[Path(name).suffix])

    def _film(self, number: int, *, overlay: bool) -> Answer:
        if overlay:
            path = self._health.overlay(number)
            if path is not None and path.suffix in PICTURES and path.is_file():
                return Answer(HTTPStatus.OK, path, PICTURES[path.suffix])
            return refusal(HTTPStatus.NOT_FOUND, "no such film, or it has no overlay")
        found = [film for film in self._health.recent() if film.number == number]
        return json_answer(self._linked(found[0])) if found else refusal(HTTPStatus.NOT_FOUND, "no such film")

    def _linked(self, film: RecentFilm) -> dict[str, Any]:
        links = {"self": f"/v1/films/{film.number}"}
        if film.overlay:
            links["overlay"] = f"/v1/films/{film.number}/overlay"
        return {**film.to_json(), "links": links}

    def _running(self) -> dict[str, Any]:
        state = self._health.state()
        return {
            "model": asdict(state.model),
            "lung": state.lung,
            "runtime": state.runtime,
            "delegate": state.delegate,
        }


def chosen_kind(accept: str) -> str | None:
    """The first of `KINDS` that an `Accept` header gives the greatest weight; `None` if it accepts none.

    >>> chosen_kind("text/html, image/*;q=0.5"), chosen_kind(""), chosen_kind("text/html")
    ('image/png', 'application/json', None)
    """
    weights: dict[str, float] = {}
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if re.fullmatch(r"q\s*=\s*(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", parameter):
                weight = float(parameter.partition("=")[2])
        weights[kind] = weight

    def weight_of(kind: str) -> float:
        return weights.get(kind, weights.get(f"{kind.partition('/')[0]}/*", weights.get("*/*", 0.0)))

    best = max(KINDS, key=weight_of)
    return best if weight_of(best) > 0 else None


def _model(name: str) -> dict[str, Any]:
    manifest = ModelFile.read(name).manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "quantisation": manifest.quantisation,
        "sha256": manifest.flatbuffer_sha256,
        "input": list(manifest.input_shape),
        "structures": [structure.name for structure in manifest.structures],
    }


def _files(result: Segmentation) -> dict[str, bytes]:
    # Encoding it as PNG would take longer than segmenting the film.
    files = {"overlay.jpg": encode_jpeg(draw_overlay(result))}
    if result.quality.verdict != "reject":
        for name, mask in result.masks.items():
            files[f"{name}.png"] = encode_png(mask.view("u1") * 255)
    return files


def _zipped(files: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return whole.getvalue()


def _segmentation_object(result: Segmentation) -> bytes:
    """The DICOM segmentation of a result.

    Raises:
        InputError: the film is not a DICOM object, or was rejected.
        DeviceError: highdicom is not installed.
    """
    from edge_seg.outputs import dicom

    dicom.require_highdicom()
    if result.film.header is None or result.quality.verdict == "reject":
        raise InputError("film: a DICOM segmentation is made of a DICOM film that was segmented: ask for JSON")
    made = dicom.make_objects(result, result.overlay()[:, :, ::-1])
    if "seg" not in made.files:
        raise InputError("film: no DICOM segmentation can be made of it: ask for JSON")
    return made.files["seg"]


def _refused(error: EdgeSegError) -> Answer:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if isinstance(error, InputError) else HTTPStatus.SERVICE_UNAVAILABLE
    return refusal(status, str(error))
