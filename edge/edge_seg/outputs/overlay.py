"""The overlay: the film with its outlines, names, areas and what made them, for a person to look at."""

from __future__ import annotations

import cv2
import numpy as np

from edge_seg import RESEARCH_USE, pixels
from edge_seg.segmenter import Segmentation

LONGEST_SIDE = 2048
"""Overlays of larger films are shrunk to this many pixels."""

_SMALLEST_PANEL_WIDTH = 640
_TINT = 0.16
_INK = (235, 235, 235)
_QUIET = (165, 165, 165)
_PAPER = (24, 22, 20)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(segmentation: Segmentation) -> np.ndarray:
    """Film with outlines above a strip of text, `(height, width, 3)` uint8 in OpenCV's channel order."""
    film = segmentation.film
    scale = min(1.0, LONGEST_SIDE / max(film.shape))
    enlarge = max(1.0, _SMALLEST_PANEL_WIDTH / film.shape[1]) if max(film.shape) < LONGEST_SIDE / 2 else 1.0
    size = tuple(max(1, round(n * scale * enlarge)) for n in film.shape[::-1])
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.cvtColor(cv2.resize(pixels.to_grey8(film), size, interpolation=shrink), cv2.COLOR_GRAY2BGR)
    thickness = max(1, round(max(size) / 600))
    for structure in segmentation.manifest.structures:
        mask = cv2.resize(segmentation.masks[structure.name].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        colour = _bgr(structure.colour)
        inside = mask == 1
        picture[inside] = (picture[inside] * (1 - _TINT) + np.array(colour) * _TINT).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, (0, 0, 0), thickness + 2, cv2.LINE_AA)
        cv2.drawContours(picture, outlines, -1, colour, thickness, cv2.LINE_AA)
    return np.vstack([picture, _strip(segmentation, picture.shape[1])])


def _strip(segmentation: Segmentation, width: int) -> np.ndarray:
    """Names and areas, then what made them; text is as large as the longest line allows."""
    entries = [(_bgr(s.colour), f"{s.title}  {_area(segmentation, s.name)}") for s in segmentation.manifest.structures]
    manifest = segmentation.manifest
    made_by = (
        f"{manifest.name} {manifest.version} {manifest.quantisation} ({manifest.flatbuffer_sha256[:8]})"
        f" on {segmentation.runtime}, {segmentation.delegate}"
    )
    notes = [segmentation.film.name, *segmentation.warnings]
    scale = float(np.clip(width / 1500, 0.32, 1.1))
    row = round(40 * scale)
    lines = [" | ".join(notes), made_by]
    columns = _columns(entries, width, scale, row)
    strip = np.full((row * (len(columns) + len(lines) + 1) + row, width, 3), _PAPER, np.uint8)
    y = round(row * 1.1)
    for line in columns:
        x = row // 2
        for colour, text in line:
            cv2.rectangle(strip, (x, y - row // 2), (x + row // 2, y), colour, -1, cv2.LINE_AA)
            _write(strip, text, (x + row * 3 // 4, y), scale, _INK)
            x += _entry_width(text, scale, row)
        y += row
    for text in lines:
        _write(strip, text, (row // 2, y), _fitting(text, width, scale, row), _QUIET)
        y += row
    _write(strip, RESEARCH_USE, (row // 2, y), _fitting(RESEARCH_USE, width, scale, row), (90, 200, 255))
    return strip


def _columns(
    entries: list[tuple[tuple[int, ...], str]], width: int, scale: float, row: int
) -> list[list[tuple[tuple[int, ...], str]]]:
    """Entries broken into rows that fit the width."""
    rows: list[list[tuple[tuple[int, ...], str]]] = [[]]
    used = row
    for entry in entries:
        needed = _entry_width(entry[1], scale, row)
        if rows[-1] and used + needed > width:
            rows.append([])
            used = row
        rows[-1].append(entry)
        used += needed
    return rows


def _entry_width(text: str, scale: float, row: int) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, 1)[0][0]) + row * 2


def _fitting(text: str, width: int, scale: float, row: int) -> float:
    needed = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    return min(scale, scale * (width - row) / max(needed, 1))


def _write(picture: np.ndarray, text: str, at: tuple[int, int], scale: float, colour: tuple[int, ...]) -> None:
    printable = text.encode("ascii", "replace").decode()
    cv2.putText(picture, printable, at, _FONT, scale, colour, max(1, round(scale * 1.6)), cv2.LINE_AA)


def _area(segmentation: Segmentation, name: str) -> str:
    area = segmentation.areas[name]
    if area.cm2 is not None:
        return f"{area.cm2:.0f} cm2"
    height, width = segmentation.film.shape
    return f"{area.pixels / (height * width):.1%} of film"


def _bgr(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (5, 3, 1))
