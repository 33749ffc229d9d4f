"""A film: the pixels of one radiograph and what is known about them; and how it arrives from its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np

from edge_seg.errors import EdgeSegError, InputError
from edge_seg.orientation import UPRIGHT, Orientation, Upright

SMALLEST_SIDE = 16
"""Films with a shorter side than this many pixels are refused: nothing anatomical is left in them."""

LARGEST_FILM = 100_000_000
"""Films with more pixels than this are refused: the largest detector in use has about 20 million."""


@dataclass(frozen=True)
class Film:
    """One radiograph, polarity resolved: larger values are brighter, bone is white.

    Attributes:
        pixels: `(height, width)`, uint8 or uint16.
        name: the film's own name, with the extension of the file it came from (`chest.png`).
        source: where it came from: a path, a URL, `camera demo`.
        window: `(low, high)` pixel values to show as black and white (the DICOM VOI window); `None`
            lets robust percentiles decide.
        spacing_mm: distance between pixel centres `(down a column, along a row)`, where known.
        spacing_origin: what the spacing was taken from (`PixelSpacing`), where known.
        spacing_plane: where it holds: `detector`, `patient`, or `unknown`.
        aspect: height of a pixel over its width.
        orientation: what sets the film upright.
        orientation_known: whether a header specified it.
        padding: bool, of the pixels' shape: pixels that are not the film's but fill up the picture; shown black.
        view: `PA`, `AP`, ..., where known.
        patient_years: age of the patient, where known; never written to a record.
        taken_at: ISO 8601 time of exposure or capture, where known.
        age_s: for camera frames, seconds between capture and hand-over.
        checksum: SHA-256 (hex) of the bytes the film was decoded from, where it came from a file.
        decode_ms: how long decoding took.
        polarity_known: whether a header specified what is black and what is white.
        colour: mean difference between the strongest and the weakest colour channel, 0 to 1, before it became grey.
        warnings: what a reader of the result should know about this film.
        unique_name: whether no other film can have this name, so that it need not be remembered.
        header: for a DICOM film, pydicom's dataset without the pixels.

    Raises:
        InputError: pixels are not two-dimensional uint8 or uint16, or a side is too short or too long.

    >>> Film(np.zeros((480, 640), np.uint8), name="dark.png")
    <Film dark.png: 640 x 480 pixels, uint8>
    """

    pixels: np.ndarray
    name: str = "film"
    source: str = ""
    window: tuple[float, float] | None = None
    spacing_mm: tuple[float, float] | None = None
    spacing_origin: str | None = None
    spacing_plane: str = "unknown"
    aspect: float = 1.0
    orientation: Orientation = UPRIGHT
    orientation_known: bool = False
    padding: np.ndarray | None = None
    view: str | None = None
    patient_years: float | None = None
    taken_at: str | None = None
    age_s: float | None = None
    checksum: str | None = None
    decode_ms: float = 0.0
    polarity_known: bool = False
    colour: float = 0.0
    warnings: tuple[str, ...] = ()
    unique_name: bool = False
    header: Any = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"{self.name}: a film is a two-dimensional uint8 or uint16 array, "
                f"this is {self.pixels.dtype} {self.pixels.shape}: convert it to grey first"
            )
        check_size(self.name, *self.pixels.shape)
        if self.padding is not None and (self.padding.shape != self.pixels.shape or self.padding.all()):
            raise InputError(f"{self.name}: padding is a plane of the film's shape that leaves something of it")

    def __repr__(self) -> str:
        height, width = self.pixels.shape
        return f"<Film {self.name}: {width} x {height} pixels, {self.pixels.dtype}>"

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)` in pixels."""
        height, width = self.pixels.shape
        return height, width

    @cached_property
    def upright(self) -> Upright:
        """The part inside the padding, set upright; the whole film if it has no padding."""
        height, width = self.shape
        if self.padding is None:
            return Upright((0, height), (0, width), self.orientation)
        x, y, columns, rows = cv2.boundingRect((~self.padding).view(np.uint8))
        return Upright((y, y + rows), (x, x + columns), self.orientation)


@dataclass(frozen=True)
class Failure:
    """A film that could not be read or processed, and why."""

    name: str
    source: str
    error: EdgeSegError


class Outcome(Protocol):
    """What a source learns about its film: the film's record, see `edge_seg.record`."""

    @property
    def status(self) -> str:
        """`done` or `failed`."""
        ...


def _nothing(outcome: Outcome | None) -> None:
    """Acknowledge nothing, for sources that keep no count."""


@dataclass(frozen=True, eq=False)
class Arrival:
    """A film on its way from its source to its record, with the acknowledgement that the source waits for.

    Attributes:
        content: the film, or why it failed.
        on_settled: called once the record is on disk.
    """

    content: Film | Failure
    on_settled: Callable[[Outcome | None], None] = field(default=_nothing, repr=False)

    def settle(self, record: Outcome | None) -> None:
        """Tell the source that the film's record is on disk (`None`: since an earlier run).

        Raises:
            OutputError: the source cannot store this; the call may be repeated.
        """
        self.on_settled(record)


def inverted(film: Film) -> Film:
    """The film with black and white exchanged."""
    top = np.iinfo(film.pixels.dtype).max
    window = (top - film.window[1], top - film.window[0]) if film.window else None
    pixels = top - film.pixels
    if film.padding is not None:
        pixels[film.padding] = 0
    return replace(film, pixels=pixels, window=window)


def check_size(name: str, height: int, width: int) -> None:
    """Refuse films that are too small or too large to be a radiograph; readers call this before they decode.

    Raises:
        InputError: the shorter side is under `SMALLEST_SIDE` or there are over `LARGEST_FILM` pixels.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"{name}: {width} x {height} pixels is too small for a film: "
            f"give one with at least {SMALLEST_SIDE} pixels a side"
        )
    if height * width > LARGEST_FILM:
        raise InputError(
            f"{name}: {width} x {height} pixels is too large for a film: "
            f"reduce it to at most {LARGEST_FILM // 1_000_000} million pixels"
        )
