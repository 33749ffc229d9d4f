"""From stored values to a film: padding, modality transform, VOI window or table, and which end is black.

The steps of PS3.4 section N.2 run in order on a table of all values that occur; films are then looked up in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edge_seg.errors import InputError
from edge_seg.sources.dicom.attributes import finite, is_nonsense, items, number, numbers, photometric, raw, text, texts
from edge_seg.sources.dicom.padding import declared_padding

_BAND = 256
_TOP = 65535
_PERCENTILES = "percentiles of the pixels in place of a window"
# The range of most values is that between a film's 1st and 99th percentiles. Windows of half to four times the range
# are in use; two quantities tell them from windows on another scale, made for 8 or 16 bits on a film of 12, say. On 913
# real films they are:
# - The share of the pixels that a window shows as grey, times its width as a share of the range (at most 1): at least
#   0.050 in windows of half the range, and at most 0.037 in windows made for too few bits.
# - The range as a share of the window's width: 0.25 in windows of four times the range, and at most 0.12 in windows
#   made for too many bits.
_LEAST_SHOWN = 0.045
_NARROWEST = 0.15
_THINNEST_FRAME = 0.02  # of a side; a thinner edge of one value changes nothing
_LEAST_FILM = 0.1  # share of the pixels inside a frame; with less, it is not a film with a frame
_Window = tuple[float, float]
_LONGEST_TABLE = 1 << 17  # bytes: 65,536 entries of 16 bits (PS3.3 C.11.1.1.1)
_DAMAGED = (ValueError, TypeError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class Grey:
    """A film's grey values.

    Attributes:
        pixels: uint16, bone bright.
        window: values to show as black and white, if the header has a window.
        padding: true outside the film; `None` if it is all film.
        polarity_known: whether the header says without contradiction which end is black.
        notes: warnings about them.
    """

    pixels: np.ndarray
    window: _Window | None
    padding: np.ndarray | None
    polarity_known: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Rendering:
    """What each value is shown as.

    Attributes:
        shown: whole numbers from 0.
        windows: on that scale; one of them must leave something to see.
        failed: notes for when none does.
        is_table: whether a table has already mapped the values, so that no window is left to apply.
    """

    shown: np.ndarray
    windows: list[_Window]
    failed: tuple[str, ...]
    is_table: bool = False


def grey_values(dataset: Any, stored: np.ndarray, path: str) -> Grey:
    """The film's grey values.

    Args:
        dataset: pydicom's, of a film.
        stored: `(height, width)` whole numbers.
        path: what to call it.

    Raises:
        InputError: a table in the header is damaged.
    """
    padding, notes = _padding(dataset, stored)
    low, high = _ends(stored, padding)
    stored, unit, offset = _in_16_bits(stored, low, high)
    values = np.arange(int((high - low) / unit + 0.5) + 1) if unit != 1 else np.arange(high - low + 1)
    real, slope, is_rescaled = _modality_values(dataset, values * unit + offset, path)
    inverted, polarity_known, said = _polarity(dataset)
    names = "RescaleSlope", "RescaleIntercept"
    wrong = _no_numbers(dataset, *names)
    wrong += () if is_rescaled else (f"{' and '.join(names)} in the header leave nothing of this film: {_PERCENTILES}",)
    said += wrong
    # Windows and tables lie on the rescaled values, which are not known then.
    for way in [_plain(real, slope)] if wrong else _renderings(dataset, real, slope):
        shown, windows = way.shown, way.windows
        if inverted:
            top = shown.max()
            shown, windows = top - shown, [(top - b, top - a) for a, b in windows]
        pixels = _look_up(shown.astype(np.uint16), stored, 0 if unit != 1 else low)
        if padding is not None:
            pixels[padding] = 0
        usable = [window for window in windows if _shows(window, pixels, padding)]
        if usable:
            break
        said = (*said, *way.failed)
    window = usable[0] if usable and not way.is_table else None
    return Grey(pixels, window, padding, polarity_known, (*notes, *said))


def _padding(dataset: Any, stored: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Where the padding lies, `None` if nowhere, and notes about it."""
    padding = declared_padding(dataset, stored)
    if padding is not None and padding.all():
        return None, ("all pixels have the padding value: it is ignored",)
    return _with_frame(stored, padding if padding is not None and padding.any() else None), ()


def _with_frame(stored: np.ndarray, padding: np.ndarray | None) -> np.ndarray | None:
    """The padding, and any the header does not declare: rows and columns at the edges, all of one value."""
    height, width = stored.shape
    x, y, columns, rows = (0, 0, width, height) if padding is None else cv2.boundingRect((~padding).view(np.uint8))
    outer = box = y, y + rows, x, x + columns
    last = None
    while box != last:
        last = top, bottom, left, right = box
        inner = stored[top:bottom, left:right]
        above, below, before, behind = (_edge(way) for way in (inner, inner[::-1], inner.T, inner.T[::-1]))
        box = top + above, bottom - below, left + before, right - behind
        if box[0] >= box[1] or box[2] >= box[3]:
            return padding
    top, bottom, left, right = box
    if box == outer or (bottom - top) * (right - left) < _LEAST_FILM * stored.size:
        return padding
    framed = np.ones(stored.shape, bool)
    framed[top:bottom, left:right] = False if padding is None else padding[top:bottom, left:right]
    return framed


def _edge(plane: np.ndarray) -> int:
    """How many of the first rows are all of one value; 0 if they are too few to matter."""
    value = plane[0, 0]
    if not (plane[0] == value).all():
        return 0
    other = np.flatnonzero((plane != value).any(axis=1))
    count = int(other[0]) if len(other) else len(plane)
    return count if count >= _THINNEST_FRAME * len(plane) else 0


def _ends(stored: np.ndarray, padding: np.ndarray | None) -> tuple[int, int]:
    """Least and greatest value of the film itself."""
    if padding is None:
        return int(stored.min()), int(stored.max())
    limits = np.iinfo(stored.dtype)
    film = ~padding
    low = stored.min(where=film, initial=limits.max)
    return int(low), int(stored.max(where=film, initial=limits.min))


def _in_16_bits(stored: np.ndarray, low: int, high: int) -> tuple[np.ndarray, float, float]:
    """Values that fit a table of 65,536 entries, the size of one step, and the value of the first entry."""
    if high - low <= _TOP:
        return stored, 1, low
    unit = (high - low) / _TOP
    coarse = np.empty(stored.shape, np.uint16)
    for top in range(0, len(stored), _BAND):
        band = stored[top : top + _BAND].astype(np.float64)
        coarse[top : top + _BAND] = np.rint((band - low) / unit).clip(0, _TOP)
    return coarse, unit, low


def _modality_values(dataset: Any, values: np.ndarray, path: str) -> tuple[np.ndarray, float, bool]:
    """The modality values of the stored ones (PS3.3 C.11.1), how far apart neighbours are, and whether that is usable.

    Of a slope and an intercept so large or small that no numbers of 64 bits show neighbours apart, nothing is used.

    Raises:
        InputError: the modality table is damaged.
    """
    tables = items(dataset, "ModalityLUTSequence")
    if not tables:
        slope = number(dataset, "RescaleSlope", 1.0) or 1.0
        with np.errstate(all="ignore"):
            real = values * slope + number(dataset, "RescaleIntercept", 0.0)
            apart = np.append(np.diff(real), slope)
            if np.isfinite(real).all() and np.isfinite(_TOP / apart).all():
                return real, slope, True
        return values, 1.0, False
    try:
        return _apply_table(tables[0], values), 1.0, True
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: its grey-value table is damaged ({reason}): send it again") from error


def _renderings(dataset: Any, real: np.ndarray, slope: float) -> Iterator[_Rendering]:
    """Ways to show the values, best first: a VOI table comes before a window (PS3.3 C.11.2.1 allows both)."""
    tables = items(dataset, "VOILUTSequence")
    if tables:
        failed = ("the VOI table in the header shows nothing of this film: not used",)
        try:
            table = _apply_table(tables[0], np.trunc(real))
        except _DAMAGED:
            table = np.zeros(len(real))
        shown, _ = _from_zero(table, 1.0, [])
        yield _Rendering(shown, [(0.0, float(shown.max()))] if shown.any() else [], failed, is_table=True)
    windows = _windows(dataset, min(1.0, abs(slope)))
    failed = ("the window in the header shows nothing of this film: percentiles of its pixels instead",)
    if text(dataset, "VOILUTFunction") == "SIGMOID" and windows:
        low, high = windows[0]
        # PS3.3 C.11.2.1.3.1; its result is shown as it is.
        steep = -4 * (real - (low + high) / 2) / (high - low)
        yield _Rendering(np.rint(_TOP / (1 + np.exp(steep.clip(-60, 60)))), [(0.0, float(_TOP))], failed)
        windows = []
    yield _plain(real, slope, windows, failed if windows else _no_numbers(dataset, "WindowCenter", "WindowWidth"))


def _no_numbers(dataset: Any, *keywords: str) -> tuple[str, ...]:
    """A note on each attribute that should be a number but is not."""
    wrong = [keyword for keyword in keywords if is_nonsense(dataset, keyword)]
    return tuple(f"{keyword} in the header is no number: {_PERCENTILES}" for keyword in wrong)


def _plain(
    real: np.ndarray, slope: float, windows: list[_Window] | None = None, failed: tuple[str, ...] = ()
) -> _Rendering:
    shown, windows = _from_zero(real, slope, windows or [])
    return _Rendering(shown, windows, failed)


def _from_zero(real: np.ndarray, slope: float, windows: list[_Window]) -> tuple[np.ndarray, list[_Window]]:
    """Real values as whole numbers from 0: no finer than they were stored, no coarser than 16 bits require."""
    low, high = float(real.min()), float(real.max())
    scale = max(1.0, 1 / abs(slope))
    if high > low:
        scale = min(scale, _TOP / (high - low))
    return np.rint((real - low) * scale), [((a - low) * scale, (b - low) * scale) for a, b in windows]


def _apply_table(table: Any, values: np.ndarray) -> np.ndarray:
    """Apply a modality or VOI table (PS3.3 C.11.1.1 and C.11.2.1.1): values beyond its ends take the end entries.

    Any depth from 8 to 16 bits is stored in 16 (PS3.3 C.11.1.1.1), some 8-bit tables in bytes.
    """
    described = numbers(table, "LUTDescriptor")
    if len(described) != 3:
        raise ValueError("it has no descriptor")
    count, first, bits = (int(value) for value in described)
    count = count or 1 << 16
    if not 8 <= bits <= 16 or not 0 < count <= 1 << 16:
        raise ValueError(f"{count} entries of {bits} bits")
    data = raw(table, "LUTData", _LONGEST_TABLE)
    if isinstance(data, bytes):
        entries = np.frombuffer(data, np.uint8 if len(data) < 2 * count else "<u2")
    else:
        entries = np.asarray([] if data is None else data, np.int64).reshape(-1)
    if len(entries) < count:
        raise ValueError(f"{len(entries)} of {count} entries")
    if values.min() < 0 and first >= 1 << 15:
        first -= 1 << 16
    return np.asarray(entries[:count][(values - first).clip(0, count - 1).astype(np.intp)], np.float64)


def _windows(dataset: Any, step: float) -> list[_Window]:
    """All VOI windows as (low, high).

    Args:
        dataset: pydicom's.
        step: between the real values of neighbouring stored ones: the linear function's offsets of one half and one
            assume whole numbers (PS3.3 C.11.2.1.2.1); LINEAR_EXACT and SIGMOID have neither (C.11.2.1.3).
    """
    step = step if text(dataset, "VOILUTFunction") in ("", "LINEAR") else 0.0
    pairs = zip(texts(dataset, "WindowCenter"), texts(dataset, "WindowWidth"), strict=False)
    return [
        (centre - step / 2 - (width - step) / 2, centre - step / 2 + (width - step) / 2)
        for centre, width in (map(finite, pair) for pair in pairs)
        if centre is not None and width is not None and (width > step or width == step > 0)
    ]


def _shows(window: _Window, pixels: np.ndarray, padding: np.ndarray | None) -> bool:
    """Whether a window leaves something to see: enough pixels within it, and not all of them alike."""
    low, high = window
    mask = None if padding is None else (~padding).view(np.uint8)
    counts = cv2.calcHist([pixels], [0], mask, [_TOP + 1], [0, _TOP + 1]).reshape(-1)
    up_to = np.cumsum(counts, dtype=np.float64)
    inside = counts[slice(*np.clip([np.floor(low) + 1, np.ceil(high)], 0, _TOP + 1).astype(int))]
    first, last = np.searchsorted(up_to, [0.01 * up_to[-1], 0.99 * up_to[-1]])
    span = last - first
    shown = inside.sum() / up_to[-1] * min(1.0, (high - low) / max(span, 1))
    return bool(shown >= _LEAST_SHOWN and span >= _NARROWEST * (high - low))


def _polarity(dataset: Any) -> tuple[bool, bool, tuple[str, ...]]:
    """Whether the lowest value is white, whether the header is clear about it, and warnings.

    Photometric Interpretation says so (PS3.3 C.7.6.3.1.2), and in a DX Presentation LUT Shape (2050,0020) says the
    same: IDENTITY with MONOCHROME2, INVERSE with MONOCHROME1 (C.8.11.3.1.2). Some senders write INVERSE with
    MONOCHROME2 and mean it (C.11.6.1), others do not.
    """
    said, shape = photometric(dataset), text(dataset, "PresentationLUTShape")
    white = said == "MONOCHROME1"
    if not said:
        return shape == "INVERSE", False, ("the header does not say which value is white: the picture decides",)
    if shape not in ("IDENTITY", "INVERSE") or white == (shape == "INVERSE"):
        return white, True, ()
    note = f"{said} and presentation LUT shape {shape} contradict each other: the picture decides which value is white"
    return True, False, (note,)


def _look_up(table: np.ndarray, stored: np.ndarray, low: int) -> np.ndarray:
    pixels = np.empty(stored.shape, np.uint16)
    for top in range(0, len(stored), _BAND):
        band = stored[top : top + _BAND].astype(np.int64) - low
        np.take(table, band, out=pixels[top : top + _BAND], mode="clip")
    return pixels
