"""Measurements on masks: areas, widths, ratios; nothing is claimed in mm or cm2 where the film's spacing is not known.

Lengths lie in the plane of the detector: the magnification of the chest in front of it is not corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_seg.film import Film


@dataclass(frozen=True)
class Area:
    """Size of a region: in pixels, and in cm2 on the detector where the film's spacing is known."""

    pixels: int
    cm2: float | None


@dataclass(frozen=True)
class Width:
    """Horizontal size: in pixels, and in mm on the detector where the film's spacing is known."""

    pixels: int
    mm: float | None


@dataclass(frozen=True)
class Measurements:
    """What is measured on one film. Research use only, not for diagnosis.

    Attributes:
        areas: of each structure and derived region.
        widths: greatest horizontal width of `right_lung`, `left_lung` and `cardiomediastinum`, and of the `thorax`
            between the outer edges of both lungs; only of what was found.
        ratios: `left_to_right_area` of the lungs and the `cardiothoracic` ratio, `None` where withheld.
        notes: why a ratio is withheld, or is to be read with care.
    """

    areas: dict[str, Area]
    widths: dict[str, Width]
    ratios: dict[str, float | None]
    notes: tuple[str, ...] = ()


def measure_areas(masks: Mapping[str, np.ndarray], spacing_mm: tuple[float, float] | None) -> dict[str, Area]:
    """Area of each bool mask; cm2 is withheld where the spacing is not known.

    >>> measure_areas({"lung": np.ones((100, 100), bool)}, (0.5, 0.5))
    {'lung': Area(pixels=10000, cm2=25.0)}
    """
    cm2_per_pixel = spacing_mm[0] * spacing_mm[1] / 100 if spacing_mm else None
    areas = {}
    for name, mask in masks.items():
        count = int(np.count_nonzero(mask))
        areas[name] = Area(count, round(count * cm2_per_pixel, 2) if cm2_per_pixel else None)
    return areas


def measure(regions: Mapping[str, np.ndarray], film: Film) -> Measurements:
    """Areas of all regions; of a chest also widths, the lungs' areas against each other, and the cardiothoracic ratio.

    The cardiothoracic ratio is the greatest horizontal width of the heart shadow over the greatest inner width of the
    thorax (Danzer 1919, Am J Med Sci 157:513). The heart shadow is the cardiomediastinum, whose widest part is the
    heart; the inner width is taken between the outer edges of both lungs, in one row.

    Args:
        regions: bool masks of the film's shape, by name; `right_lung`, `left_lung`, `cardiomediastinum` make a chest.
        film: that they lie on.
    """
    areas = measure_areas(regions, film.spacing_mm)
    if not {"right_lung", "left_lung"} <= regions.keys():
        return Measurements(areas, {}, {})
    spans = {name: _Spans.of(regions[name]) for name in _STRUCTURES if name in regions}
    pixels = {name: span.width for name, span in spans.items()}
    pixels["thorax"] = spans["right_lung"].width_with(spans["left_lung"])
    mm = film.spacing_mm[1] if film.spacing_mm else None
    widths = {name: Width(n, round(n * mm, 1) if mm else None) for name, n in pixels.items() if n}
    right, left = areas["right_lung"].pixels, areas["left_lung"].pixels
    ratios: dict[str, float | None] = {"left_to_right_area": round(left / right, 3) if left and right else None}
    if "cardiomediastinum" not in regions:
        return Measurements(areas, widths, ratios)
    missing = [name.replace("_", " ") for name in _STRUCTURES if not areas[name].pixels]
    if missing or not pixels["thorax"]:
        ratios["cardiothoracic"] = None
        gone = f"no {' and no '.join(missing)} found" if missing else "the lungs share no row"
        return Measurements(areas, widths, ratios, (f"cardiothoracic ratio withheld: {gone}",))
    ratios["cardiothoracic"] = round(pixels["cardiomediastinum"] / pixels["thorax"], 3)
    care = []
    if spans["right_lung"].reaches_edge or spans["left_lung"].reaches_edge:
        care.append("a lung reaches the film's edge")
    if film.view == "AP":
        care.append("an AP film enlarges the heart shadow")
    return Measurements(areas, widths, ratios, tuple(f"cardiothoracic ratio: {reason}" for reason in care))


_STRUCTURES = ("right_lung", "left_lung", "cardiomediastinum")


@dataclass(frozen=True)
class _Spans:
    """First and last column of a mask in each row; `last` is -1 in rows without it."""

    first: np.ndarray
    last: np.ndarray
    columns: int

    @classmethod
    def of(cls, mask: np.ndarray) -> _Spans:
        height, columns = mask.shape
        filled = np.flatnonzero(mask.any(axis=1))
        first, last = np.full(height, columns), np.full(height, -1)
        first[filled] = mask[filled].argmax(axis=1)
        last[filled] = columns - 1 - mask[filled, ::-1].argmax(axis=1)
        return cls(first, last, columns)

    @property
    def width(self) -> int:
        """From the leftmost to the rightmost column, wherever they lie."""
        return max(0, int(self.last.max() - self.first.min()) + 1) if self.last.max() >= 0 else 0

    @property
    def reaches_edge(self) -> bool:
        """Whether the film's left or right edge cuts it off."""
        return bool(self.first.min() == 0 or self.last.max() == self.columns - 1)

    def width_with(self, other: _Spans) -> int:
        """Greatest distance in one row from the outer edge of the one to the other's, 0 where they share no row."""
        shared = (self.last >= 0) & (other.last >= 0)
        if not shared.any():
            return 0
        outer = np.maximum(self.last, other.last) - np.minimum(self.first, other.first) + 1
        return int(outer[shared].max())
