"""Measurements on masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Area:
    """Size of a region: in pixels, and in cm2 on the detector where the film's spacing is known."""

    pixels: int
    cm2: float | None


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
