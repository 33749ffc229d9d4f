"""Shapes on films, independent of the program that drew them, and the label planes made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edge_seg.errors import InputError, UsageError
from edge_seg.install import install_command
from edge_seg.pixels import IGNORE

from edge_seg_data.dataset import Outlines
from edge_seg_data.masks.classes import BACKGROUND, IGNORED, checked_name

_FAR = 16  # times the longer side of a film


@dataclass(frozen=True)
class Shape:
    """One shape on a film.

    Attributes:
        structure: what it outlines.
        polygons: each `(points, 2)` float of x and y, from the picture's corner.
        mask: returns `(height, width)` bool, if the shape is a mask.
        holes: whether polygons inside others are holes; otherwise all belong to the shape.
    """

    structure: str
    polygons: tuple[np.ndarray, ...] = ()
    mask: Callable[[], np.ndarray] | None = None
    holes: bool = False


@dataclass(frozen=True)
class AnnotatedFilm:
    """The shapes of one film.

    Attributes:
        source: the annotation file.
        film: the film's file name, or its SOP Instance UID.
        size: `(height, width)` of the film they were drawn on, if known.
        shapes: all of them.
    """

    source: Path
    film: str
    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]

    def misfit(self, shape: tuple[int, int]) -> str:
        """Why the shapes do not fit a film of `(height, width)`; empty if they do."""
        if self.size is None or self.size == shape:
            return ""
        there, here = "{1} x {0}".format(*self.size), "{1} x {0}".format(*shape)
        return (
            f"{self.source}: {self.film} was outlined at {there} pixels and has {here}: export the outlines for the "
            "films as they are here"
        )


@dataclass(frozen=True)
class Annotations:
    """The content of an annotation file, or of a folder of them.

    Attributes:
        program: whose format it is.
        structures: names that occur, in order.
        films: annotated films.
        notes: what could not be read as an outline.
    """

    program: str
    structures: tuple[str, ...]
    films: tuple[AnnotatedFilm, ...]
    notes: tuple[str, ...] = ()


def structure_name(source: Path, text: str) -> str:
    """A label as a structure's name.

    Raises:
        InputError: it cannot be part of a file name.
    """
    return checked_name(f"{source}: the label", text)


def draw(annotated: AnnotatedFilm, structures: Sequence[str], shape: tuple[int, int]) -> Outlines:
    """Label planes of a film: for each structure, the union of its shapes.

    Args:
        annotated: the film's shapes.
        structures: names of all planes.
        shape: `(height, width)` of the film.

    Returns:
        Per structure, `(height, width)` uint8 of 0 and 1, and `IGNORE` where a shape marks pixels to ignore.

    Raises:
        InputError: the shapes were drawn on a film of another size, or are damaged.
        UsageError: pycocotools is not installed.
    """
    why = annotated.misfit(shape)
    if why:
        raise InputError(why)
    planes = {name: np.zeros(shape, np.uint8) for name in structures}
    ignored = np.zeros(shape, bool)
    for one in annotated.shapes:
        if one.structure == BACKGROUND:
            continue
        try:
            filled = _filled(one, shape)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise InputError(
                f"{annotated.source}: an outline of {annotated.film} cannot be drawn ({error}): export it again"
            ) from error
        if filled.shape != shape:
            raise InputError(
                f"{annotated.source}: a mask of {annotated.film} is not of the film's size: export it again"
            )
        if one.structure == IGNORED:
            ignored |= filled
        else:
            planes[one.structure] |= filled.astype(np.uint8)
    for plane in planes.values():
        plane[ignored & (plane == 0)] = IGNORE
    return planes


def _filled(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    if shape.mask is not None:
        return shape.mask()
    inside = np.zeros(size, bool)
    for polygon in shape.polygons:
        one = fill_polygon(polygon, size)
        inside = inside ^ one if shape.holes else inside | one
    return inside


def fill_polygon(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a polygon, as COCO counts them.

    Args:
        points: `(points, 2)` float of x and y; fewer than three have no inside.
        size: `(height, width)`.

    Raises:
        ValueError: a point lies far outside.
    """
    if len(points) < 3:
        return np.zeros(size, bool)
    if not np.abs(points).max() <= _FAR * max(size):
        # The time and memory to draw a line grow with its length.
        raise ValueError("a point lies far outside the film")
    coco = pycocotools_mask()
    return coco.decode(coco.merge(coco.frPyObjects([points.ravel().tolist()], *size))).astype(bool)


def pycocotools_mask() -> Any:
    """The module that draws polygons and unpacks run lengths.

    Raises:
        UsageError: it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UsageError(f"outlines of annotation programs need pycocotools: {install_command('data')}") from error
    return mask
