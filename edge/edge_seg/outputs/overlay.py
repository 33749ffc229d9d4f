"""The overlay: the film with outlines, names, areas and what produced them, for a person to look at."""

from __future__ import annotations

import re
import unicodedata

import cv2
import numpy as np

from edge_seg import pixels
from edge_seg.assessment.film_gate import REJECT
from edge_seg.notice import RESEARCH_USE
from edge_seg.segmenter import Segmentation

LONGEST_SIDE = 2048
"""Overlays of larger films are shrunk to this many pixels."""

_SMALLEST_PANEL_WIDTH = 640  # below this the text would be illegible
_TINT = 0.12
_STRAIGHT = 0.7
"""Pixels by which a line may deviate from the edge of the mask, so that it does not follow every pixel step."""

_INK = (235, 235, 235)
_QUIET = (165, 165, 165)
_WARNING = (90, 200, 255)
_RIM = (0, 0, 0)
_PAPER = (24, 22, 20)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(segmentation: Segmentation, *, names: bool = False) -> np.ndarray:
    """Film with outlines above a strip of text, `(height, width, 3)` uint8 in OpenCV's channel order.

    At most `LONGEST_SIDE` pixels per side without the strip; small films are enlarged to be legible.

    Args:
        segmentation: what to draw.
        names: whether the time of exposure, which identifies a patient's films, may be written on it.
    """
    film = segmentation.film
    longest = max(film.shape)
    scale = LONGEST_SIDE / longest
    if scale > 1:
        scale = min(scale, max(1.0, _SMALLEST_PANEL_WIDTH / film.shape[1]))
    size = (max(1, round(film.shape[1] * scale)), max(1, round(film.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(pixels.to_grey8(film), size, interpolation=way)
    spare = max(0, _SMALLEST_PANEL_WIDTH - size[0])
    strip = _strip(segmentation, size[0] + spare, names)
    panel = _plain(size[1] + len(strip), size[0] + spare, _PAPER)
    panel[size[1] :] = strip
    picture = panel[: size[1], spare // 2 : spare // 2 + size[0]]
    cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR, dst=picture)
    thickness = max(2, round(max(size) / 640))
    inks = []
    for structure in segmentation.structures:
        colour = _bgr(structure.colour)
        inside = _scaled(segmentation.masks[structure.name], size)
        outlines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        x, y, width, height = cv2.boundingRect(inside)
        box = slice(y, y + height), slice(x, x + width)
        if width and height:
            cv2.copyTo(_tinted(picture[box], colour), inside[box], picture[box])
        inks.append(([cv2.approxPolyDP(line, _STRAIGHT, True) for line in outlines], colour))
    # The dark rim keeps a line visible on bright films; rims first, so that none crosses a neighbour's line.
    for outlines, _ in inks:
        cv2.drawContours(picture, outlines, -1, _RIM, thickness + 2, cv2.LINE_AA)
    for outlines, colour in inks:
        cv2.drawContours(picture, outlines, -1, colour, thickness, cv2.LINE_AA)
    return panel


def _plain(height: int, width: int, colour: tuple[int, ...]) -> np.ndarray:
    """A plane of one colour, filled row by row: pixel by pixel, numpy takes longer than all the drawing on it."""
    plane = np.empty((height, width, 3), np.uint8)
    plane[:] = np.full((width, 3), colour, np.uint8)
    return plane


def _scaled(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask at another size with smooth edges, uint8, nonzero inside; `size` is `(width, height)`."""
    if size == mask.shape[::-1]:
        return mask.view(np.uint8)
    way = cv2.INTER_AREA if size[0] < mask.shape[1] else cv2.INTER_CUBIC
    resized = cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=way)
    return cv2.threshold(resized, 127, 255, cv2.THRESH_BINARY)[1]


def _tinted(part: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    """Part of the picture, tinted with a colour."""
    return cv2.addWeighted(part, 1 - _TINT, _plain(part.shape[0], part.shape[1], colour), _TINT, 0)


def _moment(taken_at: str) -> str:
    """A time to the second, as people write it.

    >>> _moment("2026-11-26T10:08:40.001+00:00")
    '2026-11-26 10:08:40+00:00'
    """
    return re.sub(r"\.[0-9]+", "", taken_at).replace("T", " ")


def _strip(segmentation: Segmentation, width: int, names: bool) -> np.ndarray:
    """Names and areas, then film, warnings and what produced them; each line shrinks to fit."""
    film, manifest = segmentation.film, segmentation.manifest
    rejected = segmentation.quality.verdict == REJECT
    taken_at = _moment(film.taken_at) if film.taken_at and (names or film.header is None) else None
    entries = [
        (_bgr(s.colour), f"{s.title}  {_area(segmentation, s.name)}") for s in segmentation.structures if not rejected
    ]
    threads = f"{segmentation.threads} thread{'s' if segmentation.threads > 1 else ''}"
    lines = [
        (" | ".join(filter(None, (film.name, film.view, taken_at))), _INK),
        (
            f"{manifest.name} {manifest.version} {manifest.quantisation} ({manifest.flatbuffer_sha256[:8]})"
            f" on {segmentation.runtime}, {segmentation.delegate}, {threads}",
            _QUIET,
        ),
        *((text, _QUIET) for text in _definition(segmentation)),
        *((text, _WARNING if segmentation.low_trust else _INK) for text in _measured(segmentation)),
        *([("! REJECTED, not segmented", _WARNING)] if rejected else []),
        *((f"! {warning}", _WARNING) for warning in segmentation.warnings),
        (RESEARCH_USE, _WARNING),
    ]
    scale = float(np.clip(width / 1500, 0.4, 1.1))
    row = round(40 * scale)
    columns = _columns(entries, width, scale, row)
    strip = _plain(row * (len(columns) + len(lines)) + row, width, _PAPER)
    y = round(row * 1.1)
    for column in columns:
        x = row // 2
        for colour, text in column:
            cv2.rectangle(strip, (x, y - row // 2), (x + row // 2, y), colour, -1, cv2.LINE_AA)
            _write(strip, text, (x + row * 3 // 4, y), scale, _INK)
            x += _entry_width(text, scale, row)
        y += row
    for text, ink in lines:
        text = _printable(text)
        _write(strip, text, (row // 2, y), _fitting(text, width, scale, row), ink)
        y += row
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
    cv2.putText(picture, text, at, _FONT, scale, colour, max(1, round(scale * 1.6)), cv2.LINE_AA)


def _printable(text: str) -> str:
    """The text as OpenCV can draw it: before version 5 its font has only ASCII, so accents are dropped."""
    if int(cv2.__version__.split(".")[0]) >= 5:
        return text
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode()


def _definition(segmentation: Segmentation) -> list[str]:
    if segmentation.quality.verdict == REJECT:
        return []
    said = {"whole": "whole, with the part behind the heart", "visible": "visible field, heart shadow left out"}
    if segmentation.lung in said:
        return [f"lung outlines: {said[segmentation.lung]}"]
    defined = [s for s in segmentation.structures if s.definition and s.name.endswith("lung")]
    return [f"{s.title}: {s.definition}" for s in defined[:1]]


def _measured(segmentation: Segmentation) -> list[str]:
    widths, ratios, flag = segmentation.measurements.widths, segmentation.measurements.ratios, _flag(segmentation)
    thorax, cardiothoracic = widths.get("thorax"), ratios.get("cardiothoracic")
    parts = [
        f"estimated Dice of the lungs {segmentation.trust:.2f}" if segmentation.trust is not None else "",
        f"cardiothoracic ratio {cardiothoracic:.2f}{flag}" if cardiothoracic is not None else "",
        f"thorax {thorax.mm:.0f} mm wide{flag}" if thorax and thorax.mm is not None else "",
    ]
    return [text for text in (", ".join(filter(None, parts)),) if text]


def _area(segmentation: Segmentation, name: str) -> str:
    area = segmentation.areas.get(name)
    if area is None:
        return "withheld"
    return (f"{area.cm2:.0f} cm2" if area.cm2 is not None else f"{area.pixels:,} px") + _flag(segmentation)


def _flag(segmentation: Segmentation) -> str:
    return " (low trust)" if segmentation.low_trust else ""


def _bgr(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (5, 3, 1))
