"""Which part of a film shows the patient, and which way up: from the film's own pixels to the upright view and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """One of eight ways to set a picture upright, seen from the front: head up, the patient's left to the right.

    Attributes:
        transposed: first, swap rows and columns.
        rows_reversed: then reverse the order of the rows.
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
        """Whether the picture is a mirror image, rotated or not, with right and left swapped."""
        return self.transposed ^ self.rows_reversed ^ self.columns_reversed

    @property
    def letters(self) -> str:
        """Directions of the picture's rows and columns in the patient, in DICOM's notation (`L/F`)."""
        across, along = "R" if self.columns_reversed else "L", "H" if self.rows_reversed else "F"
        return f"{along}/{across}" if self.transposed else f"{across}/{along}"

    def upright(self, plane: np.ndarray) -> np.ndarray:
        """An upright view of a plane `(height, width, ...)`; writing into it writes into the plane."""
        plane = plane.swapaxes(0, 1) if self.transposed else plane
        return plane[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1]


UPRIGHT = Orientation()


@dataclass(frozen=True)
class Upright:
    """The part of a film that shows the patient, set upright.

    Attributes:
        rows, columns: of the film, from the first to one past the last.
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
        """`(height, width)` once upright, in pixels."""
        height, width = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        return (width, height) if self.orientation.transposed else (height, width)

    def of(self, plane: np.ndarray) -> np.ndarray:
        """That part of a plane `(film height, film width, ...)`, as an upright view; see `Orientation.upright`."""
        return self.orientation.upright(plane[self.box])
