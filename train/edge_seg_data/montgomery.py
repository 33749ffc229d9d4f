"""The Montgomery County set as the NLM publishes it (Jaeger et al. 2014)."""

from __future__ import annotations

from pathlib import Path

from edge_seg_data.finding import Found, Rooms, find_rooms

_SIDES = {"right_lung": "rightMask", "left_lung": "leftMask"}


def finding(stem: str) -> dict[str, str]:
    """Whether tuberculosis was found, from the last digit of a name such as MCUCXR_0001_0."""
    return {"finding": {"0": "normal", "1": "tuberculosis"}.get(stem.rpartition("_")[2], "unknown")}


def find(folder: Path) -> Found | None:
    """All films that have both outlines.

    The set's outlines exclude the heart: they show the visible lung, and the model's manifest should say so.
    """
    masks = {structure: folder / "ManualMask" / name for structure, name in _SIDES.items()}
    if not (folder / "CXR_png").is_dir() or not all(path.is_dir() for path in masks.values()):
        return None
    found = find_rooms(Rooms(folder / "CXR_png", None, masks, ()), "montgomery")
    one_sided = [film for film, sources in found.masks.items() if len(sources) < len(masks)]
    for film in one_sided:
        del found.masks[film]
    found.lonely_films += one_sided
    return found
