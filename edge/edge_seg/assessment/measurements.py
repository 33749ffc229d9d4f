"""Measurements on masks: areas, widths, ratios; mm and cm2 are given only if the film's spacing is known.

Widths are across the patient, whatever the film's orientation; lengths are in the plane for which the film's spacing
holds (`Film.spacing_plane`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from edge_seg.assessment.body_size import doubt_spacing
from edge_seg.film import Film
from edge_seg.pixels import Edges
from edge_seg.structures import regions

_Number = TypeVar("_Number")

_STRIPE = 1 << 17  # pixels of a mask processed at a time: they stay in the cache


@dataclass(frozen=True)
class Area:
    """Size of a region: in pixels, and in cm2 where the film's spacing is known."""

    pixels: int
    cm2: float | None


@dataclass(frozen=True)
class Width:
    """Size across the patient: to the nearest whole pixel, and in mm where the film's spacing is known."""

    pixels: int
    mm: float | None


@dataclass(frozen=True)
class Measurements:
    """What is measured on one film. Research use only, not for diagnosis.

    Attributes:
        areas: of each structure and derived region.
        widths: greatest width across the patient of `right_lung`, `left_lung`, `cardiomediastinum` and `heart`, and of
            the `thorax` between the outer edges of both lungs; only of what was found.
        ratios: `left_to_right_area` of the lungs and the `cardiothoracic` ratio, `None` where withheld.
        notes: why something is withheld, or must be read with care.
        cardiothoracic_of: structure whose width the cardiothoracic ratio is taken from: `heart`, or `cardiomediastinum`
            if there is no heart; empty if there is neither.
    """

    areas: dict[str, Area]
    widths: dict[str, Width]
    ratios: dict[str, float | None]
    notes: tuple[str, ...] = ()
    cardiothoracic_of: str = ""


def measure_areas(
    masks: Mapping[str, np.ndarray], spacing_mm: tuple[float, float] | None, lung: str | None = None
) -> dict[str, Area]:
    """Area of each bool mask, all of one shape; cm2 is withheld if the spacing is not known.

    Args:
        masks: by name.
        spacing_mm: of the film.
        lung: definition that the masks of the lungs follow; if given, the regions derived from them are measured too.

    >>> measure_areas({"lung": np.ones((100, 100), bool)}, (0.5, 0.5))
    {'lung': Area(pixels=10000, cm2=25.0)}
    """
    cm2_per_pixel = spacing_mm[0] * spacing_mm[1] / 100 if spacing_mm else None
    return {
        name: Area(count, round(count * cm2_per_pixel, 2) if cm2_per_pixel else None)
        for name, count in _counts(masks, lung).items()
    }


def _counts(masks: Mapping[str, np.ndarray], lung: str | None) -> dict[str, int]:
    """Pixels of each mask and derived region, in stripes, since whole derived regions are as large as the masks."""
    height, width = next(iter(masks.values())).shape if masks else (0, 0)
    counts: Counter[str] = Counter()
    step = max(1, _STRIPE // max(1, width))
    for first in range(0, max(1, height), step):
        stripe = {name: mask[first : first + step] for name, mask in masks.items()}
        for name, region in (regions(stripe, lung) if lung else stripe).items():
            counts[name] += int(np.count_nonzero(region))
    return dict(counts)


def measure(
    masks: Mapping[str, np.ndarray],
    film: Film,
    lung: str | None = None,
    *,
    sides: bool = True,
    edges: Mapping[str, Edges] | None = None,
) -> Measurements:
    """Areas of all masks; for a chest also widths, the ratio of the lungs' areas, and the cardiothoracic ratio.

    The cardiothoracic ratio is the greatest horizontal width of the heart over the greatest inner width of the thorax
    (Danzer 1919, Am J Med Sci 157:513). For a model without a heart it is taken from the cardiomediastinum, whose
    widest part is the heart. The inner width is taken between the outer edges of both lungs, in one row. The ratio is
    computed before the widths are rounded. Normal values differ between populations and projections: the ratio is a
    number, not a finding.

    Args:
        masks: bool, of the film's shape, by name; `right_lung`, `left_lung` and `heart` or `cardiomediastinum` make a
            chest.
        film: that they belong to.
        lung: as for `measure_areas`.
        sides: whether right and left are certain; if not, numbers of a single lung are withheld.
        edges: by name, of the outlines that the masks were filled from; without them widths are counted on the masks,
            which adds or removes up to half a pixel at each edge.
    """
    shown = {name: np.ascontiguousarray(film.upright.of(mask)) for name, mask in masks.items()}
    spans = {name: _Spans.of(mask) for name, mask in shown.items()}
    spacing = film.spacing_mm
    if not {"right_lung", "left_lung"} <= masks.keys():
        return Measurements(_areas(shown, spans, spacing, lung), {}, {})
    of = next((name for name in _HEARTS if name in spans), "")
    reach = _reach(spans, edges or {})
    pixels = {name: reach[name].width for name in (*_LUNGS, *_HEARTS) if name in spans}
    pixels["thorax"] = reach["right_lung"].width_with(reach["left_lung"])
    doubt = doubt_spacing(pixels["thorax"] * _across(film, spacing), film.patient_years) if spacing else None
    spacing = None if doubt else spacing
    areas = _areas(shown, spans, spacing, lung)
    mm = _across(film, spacing) if spacing else None
    widths = {name: Width(max(1, round(n)), round(n * mm, 1) if mm else None) for name, n in pixels.items() if n}
    ratios, notes = _ratios(areas, pixels, spans, film, of)
    notes = (*notes, *([doubt] if doubt else []))
    if not sides:
        return Measurements(
            _without_sides(areas), _without_sides(widths), {**ratios, "left_to_right_area": None}, notes, of
        )
    return Measurements(areas, widths, ratios, notes, of)


def _areas(
    shown: Mapping[str, np.ndarray],
    spans: Mapping[str, _Spans],
    spacing_mm: tuple[float, float] | None,
    lung: str | None,
) -> dict[str, Area]:
    box = _box(spans.values())
    return measure_areas({name: mask[box] for name, mask in shown.items()}, spacing_mm, lung)


def _across(film: Film, spacing_mm: tuple[float, float]) -> float:
    """Distance between neighbouring pixels across the patient, in mm."""
    return spacing_mm[0 if film.orientation.transposed else 1]


def _without_sides(values: Mapping[str, _Number]) -> dict[str, _Number]:
    return {name: value for name, value in values.items() if name not in ("right_lung", "left_lung")}


def _reach(spans: Mapping[str, _Spans], edges: Mapping[str, Edges]) -> dict[str, Edges]:
    """Edges of each structure, all from the outlines or all from the masks, whose rows differ.

    An outline may be too thin to reach the middle of a row of the network, while its mask still has a pixel.
    """
    if not all(name in edges and (edges[name].found or not each.found) for name, each in spans.items()):
        return {name: each.edges for name, each in spans.items()}
    return {name: edges[name] if each.found else edges[name].without_any() for name, each in spans.items()}


def _ratios(
    areas: Mapping[str, Area], pixels: Mapping[str, float], spans: Mapping[str, _Spans], film: Film, heart: str
) -> tuple[dict[str, float | None], tuple[str, ...]]:
    """Ratios, and notes on them; `heart` is the structure that the cardiothoracic one is taken from."""
    right, left = areas["right_lung"].pixels, areas["left_lung"].pixels
    ratios: dict[str, float | None] = {"left_to_right_area": round(left / right, 3) if left and right else None}
    if not heart:
        return ratios, ()
    missing = [name.replace("_", " ") for name in (*_LUNGS, heart) if not areas[name].pixels]
    if missing or not pixels["thorax"]:
        ratios["cardiothoracic"] = None
        gone = f"no {' and no '.join(missing)} found" if missing else "the lungs share no row"
        return ratios, (f"cardiothoracic ratio withheld: {gone}",)
    ratios["cardiothoracic"] = round(pixels[heart] / pixels["thorax"], 3)
    care = []
    if spans["right_lung"].reaches_edge or spans["left_lung"].reaches_edge:
        care.append("a lung reaches the film's edge")
    if film.view == "AP":
        care.append("an AP film enlarges the heart shadow")
    return ratios, tuple(f"cardiothoracic ratio: {reason}" for reason in care)


_LUNGS = ("right_lung", "left_lung")
_HEARTS = ("heart", "cardiomediastinum")  # the better one first


@dataclass(frozen=True)
class _Spans:
    """First and last column of a mask in each row; `last` is -1 in rows without it."""

    first: np.ndarray
    last: np.ndarray
    columns: int

    @classmethod
    def of(cls, mask: np.ndarray) -> _Spans:
        height, columns = mask.shape
        first, last = np.full(height, columns), np.full(height, -1)
        rows = np.flatnonzero(mask.any(axis=1))
        if len(rows):
            top, bottom = rows[0], rows[-1] + 1
            across = np.flatnonzero(mask[top:bottom].any(axis=0))
            left, right = across[0], across[-1] + 1
            inner = mask[top:bottom, left:right]
            # Flipped with OpenCV, since numpy takes several times as long with bytes.
            turned = cv2.flip(inner.view(np.uint8), 1).view(bool)
            first[rows] = left + inner.argmax(axis=1)[rows - top]
            last[rows] = right - 1 - turned.argmax(axis=1)[rows - top]
        return cls(first, last, columns)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First row and one past the last, first column and one past the last; zeros if empty."""
        rows = np.flatnonzero(self.last >= 0)
        return (rows[0], rows[-1] + 1, self.first.min(), self.last.max() + 1) if len(rows) else (0, 0, 0, 0)

    @property
    def found(self) -> bool:
        """Whether the mask has a pixel."""
        return bool(self.last.max() >= 0)

    @property
    def edges(self) -> Edges:
        """Outer edges of its outermost pixels."""
        there = self.last >= 0
        return Edges(np.where(there, self.first, np.inf), np.where(there, self.last + 1, -np.inf))

    @property
    def reaches_edge(self) -> bool:
        """Whether the film's left or right edge cuts it off."""
        return bool(self.first.min() == 0 or self.last.max() == self.columns - 1)


def _box(spans: Iterable[_Spans]) -> tuple[slice, slice]:
    """Rows and columns that enclose all masks."""
    boxes = np.array([span.box for span in spans if span.found] or [(0, 0, 0, 0)])
    return slice(boxes[:, 0].min(), boxes[:, 1].max()), slice(boxes[:, 2].min(), boxes[:, 3].max())
