"""Which part of a film shows the patient, and which way up: from the film's own pixels to the upright view and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """What sets a picture upright, seen from the front: head up, the patient's left to the right. Eight ways in all.

    Attributes:
        transposed: first, rows and columns change places.
        rows_reversed: then the order of the rows is reversed.
        columns_reversed: and that of the columns.

    >>> Orientation(columns_reversed=True).upright(np.array([[1, 2], [3, 4]]))
    array([[2, 1],
           [4, 3]])
    """

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether the picture is a mirror image, turned or not: right and left are exchanged in it."""
        return self.transposed ^ self.rows_reversed ^ self.columns_reversed

    @property
    def letters(self) -> str:
        """Where in the patient the rows and the columns of the picture go, as DICOM says it (`L/F`)."""
        across, along = "R" if self.columns_reversed else "L", "H" if self.rows_reversed else "F"
        return f"{along}/{across}" if self.transposed else f"{across}/{along}"

    def upright(self, plane: np.ndarray) -> np.ndarray:
        """A view of a plane `(height, width, ...)` as it stands upright; what is written into it is in the plane."""
        plane = plane.swapaxes(0, 1) if self.transposed else plane
        return plane[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1]


UPRIGHT = Orientation()


@dataclass(frozen=True)
class Upright:
    """The part of a film that shows the patient, as it stands upright.

    Attributes:
        rows, columns: of the film, from the first to the one behind the last.
        orientation: what sets it upright.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    orientation: Orientation = UPRIGHT

    @property
    def box(self) -> tuple[slice, slice]:
        """Index of the part in the film."""
        return slice(*self.rows), slice(*self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)` as it stands upright, in pixels."""
        height, width = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        return (width, height) if self.orientation.transposed else (height, width)

    def of(self, plane: np.ndarray) -> np.ndarray:
        """That part of a plane `(film height, film width, ...)`; a view, as `Orientation.upright` gives it."""
        return self.orientation.upright(plane[self.box])
