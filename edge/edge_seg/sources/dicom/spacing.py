"""The pixel spacing of a film and the plane in which it applies; decided nowhere else.

PS3.3 section 10.7.1: Imager Pixel Spacing (0018,1164) is measured at the detector, Nominal Scanned Pixel Spacing
(0018,2010) on a film that was digitised. Pixel Spacing (0028,0030) is the same if nothing was calibrated; if it
differs, or comes with a calibration type (0028,0A02), it applies in the patient. Estimated Radiographic Magnification
Factor (0018,1114) is the distance from source to detector over that from source to patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_seg.sources.dicom.attributes import is_nonsense, numbers, text

_SQUARE = 0.01  # pixels whose sides differ by less count as square: no outline moves
_SKEWEST = 5.0  # largest ratio of the sides of a pixel; more is an error in the header
_SAME = 1e-3
_REDUCED = "PixelSpacing in the header is larger than ImagerPixelSpacing, but X-rays only magnify: one of them is wrong"
_MOST_MAGNIFIED = 3.0  # a chest is nearer to the detector than to the source


@dataclass(frozen=True)
class Spacing:
    """What a header says about distances.

    Attributes:
        mm: `(down a column, along a row)`, `None` if unknown.
        origin: attribute that `mm` was taken from.
        plane: `detector`, `patient` or `unknown`.
        aspect: height of a pixel over its width.
        notes: warnings about them.
    """

    mm: tuple[float, float] | None = None
    origin: str | None = None
    plane: str = "unknown"
    aspect: float = 1.0
    notes: tuple[str, ...] = ()


def spacing_of(dataset: Any) -> Spacing:
    """What a film's header says about its spacing."""
    wrong = tuple(
        f"{name} in the header is no pair of positive numbers: not used"
        for name in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio")
        # Some scanners write zero for unknown.
        if is_nonsense(dataset, name) or (any(numbers(dataset, name)) and _pair(dataset, name) is None)
    )
    found = _choose(dataset)
    ratio = _aspect_ratio(dataset)
    aspect = found.mm[0] / found.mm[1] if found.mm else ratio or 1.0
    if ratio and abs(ratio / aspect - 1) > _SQUARE:
        wrong = (*wrong, f"pixel aspect ratio contradicts {found.origin} in the header: not used")
    if not 1 / _SKEWEST <= aspect <= _SKEWEST:
        note = f"pixels {aspect:.3g} times as high as wide by the header: not believed, nothing is given in mm"
        return Spacing(notes=(*wrong, note))
    square = abs(aspect - 1) <= _SQUARE
    return Spacing(found.mm, found.origin, found.plane, 1.0 if square else aspect, (*wrong, *found.notes))


def _choose(dataset: Any) -> Spacing:
    pixel, imager = _pair(dataset, "PixelSpacing"), _pair(dataset, "ImagerPixelSpacing")
    calibration = text(dataset, "PixelSpacingCalibrationType")
    name = "ImagerPixelSpacing" if imager else "NominalScannedPixelSpacing"
    plane = _pair(dataset, name)
    notes = (_REDUCED,) if pixel and imager and not _same(pixel, imager) and max(pixel) > max(imager) else ()
    if pixel and calibration:
        return Spacing(pixel, f"PixelSpacing, {calibration}", "patient", notes=notes)
    if pixel and plane and not _same(pixel, plane):
        return Spacing(pixel, "PixelSpacing", "patient", notes=notes)
    if plane:
        return _at_detector(dataset, plane, name)
    return Spacing(pixel, "PixelSpacing") if pixel else Spacing()


def _at_detector(dataset: Any, mm: tuple[float, float], origin: str) -> Spacing:
    """Spacing in the patient if the magnification is known, else at the detector."""
    factors = numbers(dataset, "EstimatedRadiographicMagnificationFactor")
    if factors and 1 < factors[0] <= _MOST_MAGNIFIED:
        note = f"spacing corrected for an estimated magnification of {factors[0]:.3g}"
        origin = f"{origin} / EstimatedRadiographicMagnificationFactor"
        return Spacing((mm[0] / factors[0], mm[1] / factors[0]), origin, "patient", notes=(note,))
    return Spacing(mm, origin, "detector", notes=("spacing is that of the detector, not corrected for magnification",))


def _aspect_ratio(dataset: Any) -> float | None:
    """Pixel Aspect Ratio (0028,0034), vertical over horizontal (PS3.3 C.7.6.3.1.7)."""
    ratio = _pair(dataset, "PixelAspectRatio")
    return ratio[0] / ratio[1] if ratio else None


def _pair(dataset: Any, keyword: str) -> tuple[float, float] | None:
    values = numbers(dataset, keyword)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) <= _SAME * b for a, b in zip(one, other, strict=True))
