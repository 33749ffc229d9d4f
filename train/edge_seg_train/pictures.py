"""Pictures of film | truth | prediction, to follow a run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from edge_seg.pixels import IGNORE
from edge_seg.storage import write_atomically
from edge_seg.structures import DERIVED, structures_named

COLUMNS = ("film", "truth", "found")
HEADER_HEIGHT = 18
"""Height in pixels of the header that names the columns."""

_LEAST_WIDTH = 96  # pixels of a column; smaller films are enlarged


def write_picture(
    path: Path, grey: np.ndarray, labels: np.ndarray, masks: np.ndarray, outlined: tuple[str, ...]
) -> None:
    """Write one row per film.

    What is found is shown for each outline of the film, and for structures that none of them tells of.

    Args:
        path: of the PNG.
        grey: `(films, height, width)` uint8.
        labels: `(films, height, width, outlined)` uint8 of 0, 1, 127.
        masks: found, bool of the labels' shape.
        outlined: names of the structures, then of regions derived from them; they determine the colours.
    """
    colours = [tuple(int(s.colour[i : i + 2], 16) for i in (5, 3, 1)) for s in structures_named(outlined)]
    rows = []
    for film, truth, found in zip(grey, labels, masks, strict=True):
        plain = cv2.cvtColor(film, cv2.COLOR_GRAY2BGR)
        told = {name for name, plane in zip(outlined, np.moveaxis(truth, 2, 0), strict=True) if (plane != IGNORE).any()}
        compared = _compared(told, outlined)
        rows.append(np.hstack([plain, _drawn(plain, truth == 1, colours), _drawn(plain, found & compared, colours)]))
    picture = np.vstack(rows)
    zoom = max(1, -(-_LEAST_WIDTH // grey.shape[2]))
    large = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    write_atomically(path, cv2.imencode(".png", np.vstack([_header(large.shape[1]), large]))[1].tobytes())


def _compared(told: Collection[str], outlined: tuple[str, ...]) -> np.ndarray:
    """Whether to show what is found, for each of the names: bool."""
    derived = [region for region in DERIVED if region.known_from(outlined)]
    followed = {part for region in derived if region.name in told for part in region.parts}
    hidden = followed | {region.name for region in derived}
    return np.array([name in told or name not in hidden for name in outlined])


def _header(width: int) -> np.ndarray:
    header = np.zeros((HEADER_HEIGHT, width, 3), np.uint8)
    for column, title in enumerate(COLUMNS):
        at = column * width // len(COLUMNS) + 4, HEADER_HEIGHT - 5
        cv2.putText(header, title, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return header


def _drawn(picture: np.ndarray, masks: np.ndarray, colours: list[tuple[int, ...]]) -> np.ndarray:
    picture = picture.copy()
    for k, colour in enumerate(colours):
        outlines, _ = cv2.findContours(masks[:, :, k].astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour, 1, cv2.LINE_AA)
    return picture
