"""A film on the page in layers: the plain film, and outlines over it that can be hidden one by one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_seg import pixels
from edge_seg.film import Film
from edge_seg.structures import Structure

LONGEST_SIDE = 2048
"""Pictures of larger films are shrunk to this many pixels."""

_OUTLINED_SIDE = 1024  # the network sees less; finer lines would show its pixels and cost a browser more
_TOLERANCE = 0.8  # of these pixels: removes single-pixel steps from an outline
_QUALITY = 85


@dataclass(frozen=True)
class Outline:
    """The outline of a structure: `path` is an SVG path in the film's pixels; for the rest see `Structure`."""

    name: str
    title: str
    colour: str
    path: str


@dataclass(frozen=True)
class Outlines:
    """The outlines of a film of `width` by `height` pixels."""

    width: int
    height: int
    outlines: tuple[Outline, ...]

    def to_json(self) -> dict[str, Any]:
        """The outlines as JSON."""
        return asdict(self)


class Layers:
    """The layers of one film. Thread-safe.

    Args:
        film: its pixels stay in memory until the picture is made.
        masks: file of each structure's mask, if written.
    """

    def __init__(self, film: Film, masks: Mapping[str, Path]) -> None:
        self._film: Film | None = film
        self._masks = dict(masks)
        self._height, self._width = film.shape
        self._jpeg = b""
        self._making = threading.Lock()

    @classmethod
    def of_files(cls, masks: Mapping[str, Path], shape: tuple[int, int]) -> Layers:
        """Layers with outlines only, for a film of shape `(height, width)` whose picture comes from elsewhere."""
        return cls(Film(np.broadcast_to(np.uint8(0), shape)), masks)

    def picture(self) -> bytes:
        """The film without outlines, as JPEG."""
        with self._making:
            if self._film is not None:
                self._jpeg, self._film = _jpeg(self._film), None
            return self._jpeg

    def outlines(self, structures: Sequence[Structure]) -> Outlines:
        """The outlines of structures, without those whose mask is gone."""
        paths = ((one, _path(self._masks[one.name])) for one in structures if one.name in self._masks)
        found = (Outline(one.name, one.title, one.colour, path) for one, path in paths if path is not None)
        return Outlines(self._width, self._height, tuple(found))


def _jpeg(film: Film) -> bytes:
    grey = pixels.to_grey8(film)
    scale = LONGEST_SIDE / max(grey.shape)
    if scale < 1:
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _path(file: Path) -> str | None:
    """SVG path around a mask, in its pixels; `None` if the file is gone."""
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        return None
    scale = min(1.0, _OUTLINED_SIDE / max(mask.shape))
    if scale < 1:
        size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    contours, _ = cv2.findContours((mask > 127).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return " ".join(_ring(cv2.approxPolyDP(contour, _TOLERANCE, True)[:, 0], scale) for contour in contours)


def _ring(points: np.ndarray, scale: float) -> str:
    # A contour runs through the centres of pixels, half a pixel from their corners.
    placed = (points + 0.5) / scale
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed) + "Z"
