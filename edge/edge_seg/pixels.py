"""The one pixel path: film -> model input, logits -> masks at the film's own size.

Training, quantisation, benchmark and device all come through here, and nothing else knows geometry.
Everything is computed in integers, or in floats that hold integers exactly, so that the same film
gives the same bytes on every processor; that is why the shrinking is not OpenCV's, whose
rounding differs between machines.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_seg.film import Film

IGNORE = 127
"""Label value of pixels that enter neither a loss nor a score."""

ROBUST_PERCENTILES = (0.5, 99.5)
"""Where a film names no window, these percentiles become black and white."""

_PERCENTILE_SAMPLE = 1 << 18
_LOGIT_STEPS = 1024  # fixed-point steps per unit of logit while masks are enlarged
_LOGIT_LIMIT = 31.0  # keeps the fixed-point logits within int16
_LARGEST_BLOCK = 256  # edge of a block, in pixels: the sum of 256 x 256 16-bit values just fits into uint32


@dataclass(frozen=True)
class Letterbox:
    """Where a film lies in a model's input: scaled to fit, centred, aspect kept, borders black.

    Attributes:
        film_shape: `(height, width)` of the film.
        input_shape: `(height, width)` of the model's input.
        top, left, height, width: the film's rectangle in the model's input, in pixels.

    >>> Letterbox.fit((1000, 2000), (192, 192))
    Letterbox(film_shape=(1000, 2000), input_shape=(192, 192), top=48, left=0, height=96, width=192)
    """

    film_shape: tuple[int, int]
    input_shape: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def fit(cls, film_shape: tuple[int, int], input_shape: tuple[int, int]) -> Letterbox:
        """The largest centred rectangle of the film's aspect in the model's input."""
        (film_height, film_width), (input_height, input_width) = film_shape, input_shape
        if film_height * input_width >= film_width * input_height:
            height = input_height
            width = max(1, (2 * film_width * input_height + film_height) // (2 * film_height))
        else:
            width = input_width
            height = max(1, (2 * film_height * input_width + film_width) // (2 * film_width))
        return cls(film_shape, input_shape, (input_height - height) // 2, (input_width - width) // 2, height, width)

    @property
    def content(self) -> tuple[slice, slice]:
        """Index of the film's rectangle in the model's input."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


def value_range(film: Film) -> tuple[float, float]:
    """Pixel values to show as black and white: the film's window, else robust percentiles.

    The percentiles come from evenly spaced pixels, so that a large film costs no more than a small one.
    """
    if film.window is not None:
        low, high = film.window
    else:
        stride = max(1, int(np.sqrt(film.pixels.size / _PERCENTILE_SAMPLE)))
        sample = film.pixels[::stride, ::stride]
        low, high = (float(v) for v in np.percentile(sample, ROBUST_PERCENTILES, method="closest_observation"))
    return low, max(high, low + 1.0)


def to_grey8(film: Film) -> np.ndarray:
    """The film at its own size as it is shown: `(height, width)` uint8."""
    low, high = value_range(film)
    levels = 256 if film.pixels.dtype == np.uint8 else 65536
    table = _to_8_bit(np.arange(levels, dtype=np.float64), low, high)
    return table[film.pixels]


def to_input(film: Film, input_shape: tuple[int, int]) -> tuple[np.ndarray, Letterbox]:
    """What the network sees, before normalisation: `(height, width)` uint8, and where the film lies in it."""
    letterbox = Letterbox.fit(film.shape, input_shape)
    values = _resample(film.pixels, letterbox.height, letterbox.width)
    grey = np.zeros(input_shape, np.uint8)
    grey[letterbox.content] = _to_8_bit(values, *value_range(film))
    return grey, letterbox


def labels_to_input(labels: np.ndarray, letterbox: Letterbox) -> np.ndarray:
    """Label planes laid where `to_input` lays the film.

    Args:
        labels: `(film height, film width, structures)` uint8 of 0, 1 and `IGNORE`.
        letterbox: as `to_input` returned it.

    Returns:
        `(input height, input width, structures)` uint8 of 0, 1 and `IGNORE`. A pixel is 1 where at least half
        of it is, and ignored where any of it is or where the film does not reach.
    """
    height, width = letterbox.height, letterbox.width
    laid = np.full((*letterbox.input_shape, labels.shape[2]), IGNORE, np.uint8)
    for k in range(labels.shape[2]):
        plane = labels[:, :, k]
        ignored = plane == IGNORE
        if ignored.all():
            continue
        inside = _resample((plane == 1).astype(np.uint8) * np.uint8(200), height, width) >= 100
        touched = _resample(ignored.astype(np.uint8), height, width) > 0 if ignored.any() else False
        laid[(*letterbox.content, k)] = np.where(touched, IGNORE, inside)
    return laid


def input_table(mean: float, std: float, scale: float | None, zero_point: int) -> np.ndarray:
    """All 256 grey values as the model's input wants them.

    `(grey / 255 - mean) / std`, then quantised where `scale` is given.

    Returns:
        256 values, float32, or int8 where `scale` is given.
    """
    real = (np.arange(256, dtype=np.float64) / 255.0 - mean) / std
    if scale is None:
        return real.astype(np.float32)
    return np.clip(np.rint(real / scale) + zero_point, -128, 127).astype(np.int8)


def to_tensor(grey: np.ndarray, table: np.ndarray, channels: int) -> np.ndarray:
    """Model input tensor `(1, height, width, channels)` of the table's dtype from a grey input picture."""
    plane = table[grey]
    return np.repeat(plane[None, :, :, None], channels, axis=3) if channels > 1 else plane[None, :, :, None]


def structure_logits(logits: np.ndarray, output: str) -> np.ndarray:
    """The logit of each structure's probability, whatever the network's output is.

    Args:
        logits: `(..., channels)` float32.
        output: `sigmoid` gives them as they are; `softmax` has the background first, and the logit of a class is its
            score less the log of the sum of the others' exponentials.

    Returns:
        `(..., structures)` float32.
    """
    if output == "sigmoid":
        return logits
    found = np.empty((*logits.shape[:-1], logits.shape[-1] - 1), np.float32)
    for k in range(1, logits.shape[-1]):
        found[..., k - 1] = logits[..., k] - np.logaddexp.reduce(np.delete(logits, k, axis=-1), axis=-1)
    return found


def to_masks(
    logits: np.ndarray, letterbox: Letterbox, thresholds: tuple[float, ...], single_component: bool = False
) -> np.ndarray:
    """Masks at the film's own size from logits at the model's.

    The logits are enlarged bilinearly in fixed point and cut at the threshold afterwards, which gives
    smooth outlines where enlarging a mask would give steps.

    Args:
        logits: `(input height, input width, structures)` float32.
        letterbox: as `to_input` returned it.
        thresholds: per structure, the probability above which a pixel belongs to it.
        single_component: keep only the largest connected piece of each structure.

    Returns:
        `(structures, film height, film width)` bool.
    """
    film_height, film_width = letterbox.film_shape
    masks = np.empty((logits.shape[2], film_height, film_width), bool)
    for k, threshold in enumerate(thresholds):
        plane = np.clip(logits[(*letterbox.content, k)], -_LOGIT_LIMIT, _LOGIT_LIMIT)
        fixed = np.rint(plane * np.float32(_LOGIT_STEPS)).astype(np.int16)
        cut = int(np.rint(np.log(threshold / (1 - threshold)) * _LOGIT_STEPS))
        if single_component:
            fixed = _keep_largest(fixed, cut)
        masks[k] = cv2.resize(fixed, (film_width, film_height), interpolation=cv2.INTER_LINEAR_EXACT) > cut
    return masks


def _keep_largest(fixed: np.ndarray, cut: int) -> np.ndarray:
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((fixed > cut).astype(np.uint8), connectivity=4)
    if count <= 2:
        return fixed
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    others = (pieces != 0) & (pieces != largest)
    return np.where(others, np.int16(2 * cut) - fixed, fixed)


def _to_8_bit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.rint((values - low) * (255.0 / (high - low))), 0, 255).astype(np.uint8)


def _resample(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area average when shrinking, bilinear when enlarging; float64 `(height, width)`, exact on any machine."""
    if height > pixels.shape[0] or width > pixels.shape[1]:
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.float64)
    rows, down = _area_taps(pixels.shape[0], height)
    columns, across = _area_taps(pixels.shape[1], width)
    sums = _block_sums(_block_sums(pixels, down).T, across).T
    total = _apply(columns, _apply(rows, sums.astype(np.float64)).T).T
    return total / float(pixels.shape[0] * pixels.shape[1] * down * across)


@dataclass(frozen=True)
class _Taps:
    """For each target pixel the source blocks it covers and how much of each, in units of 1/target pixels."""

    index: np.ndarray
    weight: np.ndarray


def _area_taps(source: int, target: int) -> tuple[_Taps, int]:
    """Taps from blocks of `k` source pixels, at least twice as fine as the target, and `k`."""
    k = max(1, min(source // (2 * target), _LARGEST_BLOCK))
    edges = np.minimum(np.arange(-(-source // k) + 1) * k, source) * target
    low = np.arange(target) * source
    high = low + source
    first = np.searchsorted(edges, low, side="right") - 1
    count = int((np.searchsorted(edges, high, side="left") - first).max())
    index = np.minimum(first + np.arange(count)[:, None], len(edges) - 2)
    weight = np.minimum(high, edges[index + 1]) - np.maximum(low, edges[index])
    # A tap that was clipped to the last block must not count it twice.
    weight[first + np.arange(count)[:, None] > len(edges) - 2] = 0
    return _Taps(index, np.maximum(weight, 0).astype(np.float64)), k


def _apply(taps: _Taps, rows: np.ndarray) -> np.ndarray:
    """Weighted sums of rows. All values are integers below 2**53, so no order of adding rounds."""
    rows = np.ascontiguousarray(rows)
    total = taps.weight[0][:, None] * rows[taps.index[0]]
    for index, weight in zip(taps.index[1:], taps.weight[1:], strict=True):
        total += weight[:, None] * rows[index]
    return total


def _block_sums(pixels: np.ndarray, k: int) -> np.ndarray:
    """Sums of `k` rows each; a last incomplete block is filled up with its last row. uint32."""
    whole = pixels.shape[0] // k * k
    sums = pixels[0:whole:k].astype(np.uint32)
    for row in range(1, k):
        sums += pixels[row:whole:k]
    if whole == pixels.shape[0]:
        return sums
    rest = pixels[whole:].astype(np.uint32)
    missing = np.uint32(k - rest.shape[0])
    last = rest.sum(axis=0, dtype=np.uint32) + missing * rest[-1]
    return np.concatenate([sums, last[None]])
