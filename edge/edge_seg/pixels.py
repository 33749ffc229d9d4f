"""The one pixel path: film -> model input, logits -> masks at the film's own size.

Training, quantisation, benchmark and device all go through here, and no other code handles geometry.
Everything is computed in integers, or in floats that hold integers exactly, so that the same film
gives the same bytes on every processor (see `resampling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from edge_seg.film import Film
from edge_seg.orientation import Upright
from edge_seg.resampling import edges_above_zero, enlarge_above, resample

IGNORE = 127
"""Label value of pixels that are excluded from losses and scores."""

ROBUST_PERCENTILES = (0.5, 99.5)
"""Percentiles shown as black and white if a film specifies no window."""

_PERCENTILE_SAMPLE = 1 << 18
_ASPECT_STEPS = 1000  # largest denominator of an aspect: 1/1000 of a film is less than one input pixel
_LOGIT_STEPS = 1024  # fixed-point steps per unit of logit while masks are enlarged
_LOGIT_LIMIT = 31.0  # keeps the fixed-point logits within int16


@dataclass(frozen=True)
class Letterbox:
    """Where a film is placed in a model's input: upright, scaled to fit, centred, in square pixels, borders black.

    Attributes:
        film_shape: `(height, width)` of the film.
        input_shape: `(height, width)` of the model's input.
        upright: which part of the film is shown, and how it is set upright.
        top, left, height, width: its rectangle in the model's input, in pixels.

    >>> box = Letterbox.fit((1000, 2000), (192, 192))
    >>> box.top, box.left, box.height, box.width
    (48, 0, 96, 192)
    """

    film_shape: tuple[int, int]
    input_shape: tuple[int, int]
    upright: Upright
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, film: Film, input_shape: tuple[int, int]) -> Letterbox:
        """The letterbox of a film."""
        return cls.fit(film.shape, input_shape, film.upright, film.aspect)

    @classmethod
    def fit(
        cls,
        film_shape: tuple[int, int],
        input_shape: tuple[int, int],
        upright: Upright | None = None,
        aspect: float = 1.0,
    ) -> Letterbox:
        """The largest centred rectangle with the film's proportions in the model's input.

        Args:
            film_shape, input_shape, upright: as the attributes; the whole film by default.
            aspect: height over width of the film's own pixels.
        """
        upright = upright or Upright((0, film_shape[0]), (0, film_shape[1]))
        high, wide = _pixel_sides(aspect, upright)
        film_height, film_width = upright.shape[0] * high, upright.shape[1] * wide
        input_height, input_width = input_shape
        if film_height * input_width >= film_width * input_height:
            height = input_height
            width = max(1, (2 * film_width * input_height + film_height) // (2 * film_height))
        else:
            width = input_width
            height = max(1, (2 * film_height * input_width + film_width) // (2 * film_width))
        place = (input_height - height) // 2, (input_width - width) // 2
        return cls(film_shape, input_shape, upright, *place, height, width)

    @property
    def content(self) -> tuple[slice, slice]:
        """Index of the film's rectangle in the model's input."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


def value_range(film: Film) -> tuple[float, float]:
    """Pixel values to show as black and white: the film's window, else robust percentiles.

    The percentiles are sampled at evenly spaced places inside the padding, so that a large film costs no more than a
    small one, and a film with every row doubled has the same percentiles as the film with square pixels.
    """
    if film.window is not None:
        low, high = film.window
    else:
        sample = _sample(film, film.pixels)
        if film.padding is not None:
            sample = sample[~_sample(film, film.padding)][None]
        low, high = _closest_observations(sample, ROBUST_PERCENTILES)
    return low, max(high, low + 1.0)


def _sample(film: Film, plane: np.ndarray) -> np.ndarray:
    """Evenly spaced pixels, on a grid of squares whose side is the longer side of a pixel."""
    shown = film.upright.of(plane)
    down, across = _pixels_in_a_square(film)
    height, width = (
        -(-side * step.denominator // step.numerator) for side, step in zip(shown.shape, (down, across), strict=True)
    )
    stride = max(1, int(np.sqrt(height * width / _PERCENTILE_SAMPLE)))
    if down == across:
        return shown[::stride, ::stride]
    rows, columns = (
        np.arange(0, side, stride) * step.numerator // step.denominator
        for side, step in ((height, down), (width, across))
    )
    return shown[np.ix_(rows, columns)]


def _pixel_sides(aspect: float, upright: Upright) -> tuple[int, int]:
    """`(height, width)` of an upright film's pixels, as integer multiples of one unit."""
    high, wide = max(Fraction(aspect).limit_denominator(_ASPECT_STEPS), Fraction(1, _ASPECT_STEPS)).as_integer_ratio()
    return (wide, high) if upright.orientation.transposed else (high, wide)


def _pixels_in_a_square(film: Film) -> tuple[Fraction, Fraction]:
    """How many of an upright film's pixels, `(down, across)`, make a square whose side is a pixel's longer side."""
    high, wide = _pixel_sides(film.aspect, film.upright)
    side = max(high, wide)
    return Fraction(side, high), Fraction(side, wide)


def to_grey8(film: Film, contrast: float = 1.0, brightness: float = 1.0) -> np.ndarray:
    """The film at its own size, as displayed: `(height, width)` uint8.

    Args:
        film: to display.
        contrast, brightness: of the window, like the CSS filters of these names, brightness first; they reveal what
            the usual window cuts off.
    """
    low, high = value_range(film)
    if (contrast, brightness) != (1.0, 1.0):
        span = (high - low) / brightness
        low, high = low + span * (0.5 - 0.5 / contrast), low + span * (0.5 + 0.5 / contrast)
    levels = 256 if film.pixels.dtype == np.uint8 else 65536
    table = _to_8_bit(np.arange(levels, dtype=np.float64), low, high)
    grey = cv2.LUT(film.pixels, table) if levels == 256 else table[film.pixels]
    if film.padding is not None:
        grey[film.padding] = 0
    return grey


def to_input(film: Film, input_shape: tuple[int, int]) -> tuple[np.ndarray, Letterbox]:
    """What the network sees, before normalisation: `(height, width)` uint8, and the film's letterbox in it."""
    letterbox = Letterbox.of(film, input_shape)
    down, across = _pixels_in_a_square(film)
    values = resample(film.upright.of(film.pixels), letterbox.height, letterbox.width, (int(down), int(across)))
    grey = np.zeros(input_shape, np.uint8)
    grey[letterbox.content] = _to_8_bit(values, *value_range(film))
    return grey, letterbox


def to_small(film: Film, side: int) -> np.ndarray:
    """The upright film in square pixels, `(height, width)` uint8, its longer side at most `side` pixels."""
    height, width = (
        round(length / float(step)) for length, step in zip(film.upright.shape, _pixels_in_a_square(film), strict=True)
    )
    side = max(1, min(side, max(height, width)))
    grey, letterbox = to_input(film, (side, side))
    return grey[letterbox.content]


def labels_to_input(labels: np.ndarray, letterbox: Letterbox) -> np.ndarray:
    """Label planes placed where `to_input` places the film.

    Args:
        labels: `(film height, film width, structures)` uint8 of 0, 1 and `IGNORE`.
        letterbox: as `to_input` returned it.

    Returns:
        `(input height, input width, structures)` uint8 of 0, 1 and `IGNORE`. A pixel is 1 if at least half of it
        is, and ignored if any of it is or if it is outside the film.
    """
    labels = letterbox.upright.of(labels)
    height, width = letterbox.height, letterbox.width
    laid = np.full((*letterbox.input_shape, labels.shape[2]), IGNORE, np.uint8)
    for k in range(labels.shape[2]):
        plane = labels[:, :, k]
        ignored = plane == IGNORE
        if ignored.all():
            continue
        inside = resample((plane == 1).astype(np.uint8) * np.uint8(200), height, width) >= 100
        touched = resample(ignored.astype(np.uint8), height, width) > 0 if ignored.any() else False
        laid[(*letterbox.content, k)] = np.where(touched, IGNORE, inside)
    return laid


def input_table(mean: float, std: float, scale: float | None, zero_point: int, dtype: str = "int8") -> np.ndarray:
    """All 256 grey values as the model's input expects them.

    `(grey / 255 - mean) / std`, then quantised if `scale` is given.

    Returns:
        256 values, float32, or of `dtype` (int8, uint8) if `scale` is given.
    """
    real = (np.arange(256, dtype=np.float64) / 255.0 - mean) / std
    if scale is None:
        return real.astype(np.float32)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(real / scale) + zero_point, limits.min, limits.max).astype(dtype)


def to_tensor(grey: np.ndarray, table: np.ndarray, channels: int) -> np.ndarray:
    """Model input tensor `(1, height, width, channels)` of the table's dtype from a grey input picture."""
    plane = table[grey]
    return np.repeat(plane[None, :, :, None], channels, axis=3) if channels > 1 else plane[None, :, :, None]


def structure_logits(logits: np.ndarray, output: str) -> np.ndarray:
    """The logit of each structure's probability, for any kind of network output.

    Args:
        logits: `(..., channels)` float32.
        output: `softmax` has the background first, and the logit of a class is its score minus the log-sum-exp of the
            others; for any other kind the logits are returned unchanged.

    Returns:
        `(..., structures)` float32.
    """
    if output != "softmax":
        return logits
    found = np.empty((*logits.shape[:-1], logits.shape[-1] - 1), np.float32)
    for k in range(1, logits.shape[-1]):
        found[..., k - 1] = logits[..., k] - np.logaddexp.reduce(np.delete(logits, k, axis=-1), axis=-1)
    return found


def to_masks(
    logits: np.ndarray, letterbox: Letterbox, thresholds: tuple[float, ...], single_component: bool = False
) -> np.ndarray:
    """Masks at the film's own size from logits at the model's.

    The logits are enlarged bilinearly in fixed point and then thresholded, which gives smooth outlines
    where enlarging a mask would give steps.

    Args:
        logits: `(input height, input width, structures)` float32.
        letterbox: as `to_input` returned it.
        thresholds: per structure, the probability above which a pixel belongs to it.
        single_component: keep only the largest connected piece of each structure.

    Returns:
        `(structures, film height, film width)` bool.
    """
    return Outlines.of(logits, letterbox, thresholds, single_component).masks()


@dataclass(frozen=True)
class Edges:
    """The extent of a structure in each row of the upright film, or of the network's picture of it.

    Attributes:
        first, behind: where it begins and ends, float64, in the upright film's pixels from its left edge; `inf` and
            `-inf` in rows without it.
    """

    first: np.ndarray
    behind: np.ndarray

    @property
    def found(self) -> bool:
        """Whether the structure is in any row."""
        return bool(np.isfinite(self.first).any())

    def without_any(self) -> Edges:
        """The same number of rows, without the structure in any."""
        return Edges(np.full_like(self.first, np.inf), np.full_like(self.behind, -np.inf))

    @property
    def width(self) -> float:
        """Distance from the leftmost to the rightmost point over all rows; 0 without the structure."""
        return max(0.0, float(self.behind.max() - self.first.min()))

    def width_with(self, other: Edges) -> float:
        """Greatest distance between the outer edges of the two within one row, 0 if they share no row."""
        shared = np.isfinite(self.first) & np.isfinite(other.first)
        outer = np.maximum(self.behind, other.behind)[shared] - np.minimum(self.first, other.first)[shared]
        return float(outer.max(initial=0.0))


@dataclass(frozen=True)
class Outlines:
    """A network's result for a film, in the network's pixels: the source of masks and widths.

    Attributes:
        planes: `(structures, height, width)` int16, fixed-point logits of the film's rectangle.
        cuts: per structure, the fixed-point logit that a value must exceed.
        letterbox: where that rectangle is.
    """

    planes: np.ndarray
    cuts: tuple[int, ...]
    letterbox: Letterbox

    @classmethod
    def of(
        cls, logits: np.ndarray, letterbox: Letterbox, thresholds: tuple[float, ...], single_component: bool = False
    ) -> Outlines:
        """Outlines of logits; arguments as for `to_masks`."""
        real = np.clip(np.moveaxis(logits[letterbox.content], -1, 0), -_LOGIT_LIMIT, _LOGIT_LIMIT)
        planes = np.rint(real * np.float32(_LOGIT_STEPS)).astype(np.int16, order="C")
        cuts = tuple(int(np.rint(np.log(threshold / (1 - threshold)) * _LOGIT_STEPS)) for threshold in thresholds)
        if single_component:
            for k, cut in enumerate(cuts):
                planes[k] = _keep_largest(planes[k], cut)
        return cls(planes, cuts, letterbox)

    def masks(self) -> np.ndarray:
        """See `to_masks`."""
        masks = np.zeros((len(self.planes), *self.letterbox.film_shape), bool)
        for plane, cut, mask in zip(self.planes, self.cuts, masks, strict=True):
            enlarge_above(plane, cut, self.letterbox.upright.of(mask))
        return masks

    def edges(self, structure: int, without: int | None = None) -> Edges:
        """The extent of a structure, minus another one, in each row of the network's picture.

        Independent of the film's own pixels: an edge of the mask snaps to the nearest pixel edge.
        """
        planes = [self._above(structure), *([] if without is None else [-self._above(without)])]
        scale = self.letterbox.upright.shape[1] / self.letterbox.width
        first, behind = edges_above_zero(planes)
        return Edges(first * scale, behind * scale)

    def _above(self, structure: int) -> np.ndarray:
        """Twice how far a structure is above its cut, as `enlarge_above` counts it, and so never zero."""
        return 2 * self.planes[structure].astype(np.int32) - (2 * self.cuts[structure] + 1)


def _closest_observations(sample: np.ndarray, percentiles: tuple[float, ...]) -> list[float]:
    """Percentiles of uint8 or uint16 values by definition 3 of Hyndman & Fan (1996, Am Stat 50:361).

    That is the sorted value nearest in rank (ranks start at 1); ties go to the even rank. Counting integers is faster
    than sorting them.
    """
    levels = 256 if sample.dtype == np.uint8 else 65536
    counts = cv2.calcHist([np.ascontiguousarray(sample)], [0], None, [levels], [0, levels])
    up_to = np.cumsum(counts.reshape(-1), dtype=np.int64)
    ranks = [max(1, round(sample.size * percentile / 100)) for percentile in percentiles]
    return [float(value) for value in np.searchsorted(up_to, ranks)]


def _keep_largest(fixed: np.ndarray, cut: int) -> np.ndarray:
    inside = (fixed > cut).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(inside)
    if not width:
        return fixed
    box = slice(y, y + height), slice(x, x + width)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(inside[box], connectivity=4)
    if count <= 2:
        return fixed
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    others = (pieces != 0) & (pieces != largest)
    kept = fixed.copy()
    # Mirrored at the cut, so that neighbouring outlines stay where they are; clipped to 16 bits.
    mirrored = np.clip(2 * cut - fixed[box].astype(np.int32), -(1 << 15), (1 << 15) - 1).astype(np.int16)
    kept[box] = np.where(others, mirrored, fixed[box])
    return kept


def _to_8_bit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.rint((values - low) * (255.0 / (high - low))), 0, 255).astype(np.uint8)
