"""Side markers: the letter R or L beside a patient, of lead or burnt in, that shows which side of a film is which.

Anything that stands out from its surroundings and has a letter's size and proportions is cut out, and a small network
decides whether it is an R or an L. A marker placed face down is read like any other: its position shows the side, not
its orientation. Letters in words are skipped, as is anything between the lungs' edges, where bones and tubes form an L.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

SIDE = 512
"""Pixels on a film's longer side when it is searched for letters; smaller films are not enlarged."""

PATCH = 24
"""Side in pixels of the square in which the network sees a candidate."""

_INK = 20  # pixels of a patch's side that the letter takes
_SURROUNDINGS = 41  # pixels across; no stroke of a letter is as wide
_CONTRAST = (28, 70)  # grey levels by which a letter stands out: faint ones, and those on a plate that does so too
_LEAST, _MOST = (7, 4), 48  # height and width in pixels
_MARGIN = 2  # pixels added around the film, so that a letter at its edge has surroundings
_SURE = np.array([0.7, 0.95])
"""Probabilities from which an R and an L are read. A reader not trained on them read the markers of 157 of 353 films of
adults, none on the wrong side. Edges can look like an L, so an L needs a higher probability."""

_RL = "RL"


@dataclass(frozen=True)
class Marker:
    """A letter that was read.

    Attributes:
        letter: `R` or `L`.
        row, column: of its centre, as fractions of the film's height and width.
        probability: that it is this letter, according to the network.
    """

    letter: str
    row: float
    column: float
    probability: float


@dataclass(frozen=True)
class Candidates:
    """Possible letters on a film.

    Attributes:
        boxes: `(n, 4)` int: left, top, width and height in pixels.
        patches: `(n, PATCH, PATCH)` uint8, each scaled so that the letter fills it.
        in_word: `(n,)` bool, whether each is beside something of about its height on the same line.
    """

    boxes: np.ndarray
    patches: np.ndarray
    in_word: np.ndarray


class SideMarkers:
    """Reads side markers.

    Args:
        layers: weights `(inputs, outputs)` and offsets `(outputs,)`, float32, of each fully connected layer; the first
            takes a patch row by row, values from 0 to 1, and the last has outputs for nothing, R and L.
    """

    def __init__(self, layers: tuple[tuple[np.ndarray, np.ndarray], ...]) -> None:
        self._layers = layers

    def probabilities(self, patches: np.ndarray) -> np.ndarray:
        """`(n, 3)` float32 for nothing, R and L, from patches `(n, PATCH, PATCH)` uint8."""
        values = patches.reshape(len(patches), PATCH * PATCH).astype(np.float32) / np.float32(255)
        for weights, offsets in self._layers[:-1]:
            values = np.maximum(values @ weights + offsets, 0)
        weights, offsets = self._layers[-1]
        values = values @ weights + offsets
        values = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(values / values.sum(axis=1, keepdims=True))

    def read(self, grey: np.ndarray, without: tuple[slice, slice] | None = None) -> tuple[Marker, ...]:
        """The markers of an upright film.

        Args:
            grey: `(height, width)` uint8, the film alone, no side longer than `SIDE`.
            without: rows and columns that are not searched.
        """
        found = candidates(grey, without)
        if not len(found.boxes):
            return ()
        probabilities = self.probabilities(found.patches)[:, 1:]
        taken = (probabilities >= _SURE).any(axis=1) & ~found.in_word
        height, width = grey.shape
        return tuple(
            Marker(
                _RL[int(chances.argmax())], (top + high / 2) / height, (left + wide / 2) / width, float(max(chances))
            )
            for (left, top, wide, high), chances in zip(found.boxes[taken], probabilities[taken], strict=True)
        )

    def save(self, path: Path) -> None:
        """Write the network as an `.npz` with float16 arrays."""
        arrays = [array.astype(np.float16) for layer in self._layers for array in layer]
        np.savez_compressed(path, *arrays)

    @classmethod
    def read_from(cls, path: Path) -> SideMarkers:
        """The network from a file that `save` wrote.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        with np.load(path) as file:
            arrays = [file[f"arr_{number}"].astype(np.float32) for number in range(len(file.files))]
        return cls(tuple(zip(arrays[::2], arrays[1::2], strict=True)))


@cache
def load_side_markers() -> SideMarkers:
    """The reader that comes with the package."""
    return SideMarkers.read_from(Path(str(resources.files("edge_seg"))) / "models" / "side-markers.npz")


def candidates(grey: np.ndarray, without: tuple[slice, slice] | None = None) -> Candidates:
    """Find possible letters on a film.

    Args:
        grey: `(height, width)` uint8.
        without: rows and columns that may contain no centre.
    """
    boxes, patches, in_word = [], [], []
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (_SURROUNDINGS, _SURROUNDINGS))
    framed = cv2.copyMakeBorder(grey, *(_MARGIN,) * 4, cv2.BORDER_REPLICATE)
    for brighter in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        standing_out = cv2.morphologyEx(framed, brighter, around)
        for contrast in _CONTRAST:
            labels, stats = _pieces(standing_out > contrast)
            numbers = _like_letters(stats, grey.shape, without)
            in_word += _in_words(stats, numbers)
            for number in numbers:
                left, top, width, height = stats[number, :4]
                place = slice(top, top + height), slice(left, left + width)
                boxes.append((left - _MARGIN, top - _MARGIN, width, height))
                patches.append(_patch(np.where(labels[place] == number, standing_out[place], 0)))
    if not boxes:
        return Candidates(np.empty((0, 4), int), np.empty((0, PATCH, PATCH), np.uint8), np.empty(0, bool))
    return Candidates(np.array(boxes), np.stack(patches), np.array(in_word))


def _pieces(above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and statistics of the connected components, as OpenCV gives them.

    With 16-bit labels it takes a third of the time. If these cannot hold all provisional labels, old versions of OpenCV
    write out of bounds; there are never more labels than runs of pixels.
    """
    runs = np.count_nonzero(above[:, 1:] > above[:, :-1]) + np.count_nonzero(above[:, 0])
    kind = cv2.CV_16U if runs < np.iinfo(np.uint16).max else cv2.CV_32S
    _, labels, stats, _ = cv2.connectedComponentsWithStats(above.view(np.uint8), connectivity=8, ltype=kind)
    return labels, stats


def _like_letters(stats: np.ndarray, shape: tuple[int, int], without: tuple[slice, slice] | None) -> list[int]:
    """Numbers of the components that are as large and as filled as letters, and not cut off by the film's edge."""
    left, top, width, height, area = stats[1:].T
    filled = area / (width * height)
    fit = (height >= _LEAST[0]) & (width >= _LEAST[1]) & (np.maximum(height, width) <= _MOST)
    fit &= (width <= 1.6 * height) & (height <= 4 * width) & (filled >= 0.12) & (filled <= 0.85)
    fit &= (left > _MARGIN) & (top > _MARGIN)
    fit &= (left + width < shape[1] + _MARGIN) & (top + height < shape[0] + _MARGIN)
    if without is not None:
        rows, columns = without
        row, column = top + height / 2 - _MARGIN, left + width / 2 - _MARGIN
        fit &= ~((row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop))
    return [int(number) + 1 for number in np.flatnonzero(fit)]


def _in_words(stats: np.ndarray, numbers: list[int]) -> list[bool]:
    """Whether components are beside another one of about their height: a letter, or several that touch."""
    others = stats[1:][stats[1:, cv2.CC_STAT_HEIGHT] > _LEAST[0] // 2, :4].T
    their_left, their_top, their_width, their_height = others
    found = []
    for left, top, width, height in stats[numbers, :4].tolist():
        gap = np.maximum(their_left - (left + width), left - (their_left + their_width))
        shared = np.minimum(top + height, their_top + their_height) - np.maximum(top, their_top)
        near = (gap > -0.2 * height) & (gap < 0.6 * height) & (shared > 0.6 * np.minimum(height, their_height))
        alike = (their_height > 0.55 * height) & (their_height < 1.8 * height)
        found.append(bool((near & alike).any()))
    return found


def _patch(ink: np.ndarray) -> np.ndarray:
    """`(PATCH, PATCH)` uint8: what stands out, scaled so that its longer side is `_INK` and its brightest is white."""
    scale = _INK / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    bright = ink.astype(np.float32) * np.float32(255 / max(1, int(ink.max())))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    plane = np.asarray(cv2.resize(bright, (width, height), interpolation=way))
    patch = np.zeros((PATCH, PATCH), np.uint8)
    top, left = (PATCH - height) // 2, (PATCH - width) // 2
    patch[top : top + height, left : left + width] = np.rint(plane)
    return patch
