"""Millimetres: which attribute they come from and in which plane they apply (PS3.3 section 10.7.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from edge_seg import Film, Segmenter
from edge_seg.model_file import ModelFile

Read = Callable[..., Film]
FACTOR = "EstimatedRadiographicMagnificationFactor"


@pytest.mark.parametrize(
    ("attributes", "mm", "plane"),
    [
        ({"ImagerPixelSpacing": [0.5, 0.5]}, (0.5, 0.5), "detector"),
        ({"ImagerPixelSpacing": [0.5, 0.5], "PixelSpacing": [0.5, 0.5]}, (0.5, 0.5), "detector"),
        ({"ImagerPixelSpacing": [0.5, 0.5], "PixelSpacing": [0.4, 0.4]}, (0.4, 0.4), "patient"),
        (
            {"ImagerPixelSpacing": [0.5] * 2, "PixelSpacing": [0.5] * 2, "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.5, 0.5),
            "patient",
        ),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.4, 0.4]}, (0.4, 0.4), "unknown"),
        ({"ImagerPixelSpacing": [0.5, 0.5], FACTOR: "1.25"}, (0.4, 0.4), "patient"),
        ({"ImagerPixelSpacing": [0.5, 0.5], "PixelSpacing": [0.5, 0.5], FACTOR: "1.25"}, (0.4, 0.4), "patient"),
        ({"ImagerPixelSpacing": [0.5, 0.5], FACTOR: "1"}, (0.5, 0.5), "detector"),
        ({"ImagerPixelSpacing": [0.5, 0.5], FACTOR: "100"}, (0.5, 0.5), "detector"),
        ({"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "detector"),
        (
            {"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.2] * 2, "PixelSpacing": [0.2] * 2},
            (0.2, 0.2),
            "detector",
        ),
        (
            {"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.2] * 2, "PixelSpacing": [0.18] * 2},
            (0.18, 0.18),
            "patient",
        ),
        ({"ImagerPixelSpacing": [0.5, 0.5], "PixelSpacing": [0, 0]}, (0.5, 0.5), "detector"),
        ({"ImagerPixelSpacing": None}, None, "unknown"),
    ],
    ids=str,
)
def test_one_function_decides(
    attributes: dict[str, Any], mm: tuple[float, float] | None, plane: str, read_with: Read
) -> None:
    film = read_with(**attributes)
    assert film.spacing_mm == (pytest.approx(mm) if mm else None)
    assert film.spacing_plane == plane
    said = any("that of the detector, not corrected" in warning for warning in film.warnings)
    assert said == (plane == "detector")
    assert (film.spacing_origin is None) == (mm is None)


@pytest.mark.parametrize(
    ("attributes", "aspect"),
    [
        ({"ImagerPixelSpacing": [1.0, 0.5]}, 2.0),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.25, 0.5]}, 0.5),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [2, 1]}, 2.0),
        ({"ImagerPixelSpacing": [0.5, 0.5], "PixelAspectRatio": [2, 1]}, 1.0),
        ({"ImagerPixelSpacing": [0.1436, 0.1435]}, 1.0),
        ({"ImagerPixelSpacing": [0.5, 50]}, 1.0),
    ],
    ids=str,
)
def test_pixels_that_are_not_square_are_known(attributes: dict[str, Any], aspect: float, read_with: Read) -> None:
    assert read_with(**attributes).aspect == pytest.approx(aspect)


def test_what_is_not_believed_is_said_and_gives_no_millimetres(read_with: Read) -> None:
    film = read_with(ImagerPixelSpacing=[0.5, 50])
    assert film.spacing_mm is None
    assert any("not believed" in warning for warning in film.warnings)
    for ratio, said in (([2, 1], True), ([1, 1], False)):
        film = read_with(ImagerPixelSpacing=[0.5, 0.5], PixelAspectRatio=ratio)
        assert any("aspect ratio contradicts ImagerPixelSpacing" in warning for warning in film.warnings) == said


@pytest.mark.parametrize(("pixel", "said"), [(0.55, True), (0.5001, False), (0.45, False)])
def test_a_pixel_spacing_larger_than_at_the_detector_is_noted(pixel: float, said: bool, read_with: Read) -> None:
    film = read_with(ImagerPixelSpacing=[0.5, 0.5], PixelSpacing=[pixel, pixel])
    assert any("X-rays only magnify" in warning for warning in film.warnings) == said


@pytest.mark.parametrize(("years", "sure"), [("040Y", False), ("006M", True), ("", True), ("nine", True)])
def test_a_thorax_too_narrow_for_an_adult_withholds_millimetres(
    years: str, sure: bool, read_with: Read, lungs: ModelFile
) -> None:
    found = Segmenter(lungs)(read_with(ImagerPixelSpacing=[0.6, 0.6], PatientAge=years))
    assert 60 < found.measurements.widths["thorax"].pixels * 0.6 < 170
    assert (found.measurements.widths["thorax"].mm is not None) == sure
    assert any("spacing looks wrong" in warning for warning in found.warnings) != sure


def test_the_age_follows_from_the_birth_date_too(read_with: Read) -> None:
    assert read_with(PatientBirthDate="19800101", StudyDate="20200101").patient_years == pytest.approx(40, abs=0.01)
    assert read_with(PatientBirthDate="00000000", StudyDate="20200101").patient_years is None
    assert read_with(PatientAge="018M").patient_years == 1.5
