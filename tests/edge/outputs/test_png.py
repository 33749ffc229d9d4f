"""PNG files of masks and overlays: what OpenCV and Pillow read is what was written, with ISA-L and without it."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
from edge_seg.outputs import png
from hypothesis import given
from hypothesis import strategies as st

sides = st.integers(1, 70)


@given(sides, sides, st.sampled_from([0.0, 0.02, 0.5, 1.0]), st.integers(0, 1000))
def test_a_mask_is_read_as_it_was_written(height: int, width: int, share: float, seed: int) -> None:
    mask = (np.random.default_rng(seed).random((height, width)) < share) * np.uint8(255)
    read = PIL.Image.open(io.BytesIO(png.encode_png(mask)))
    assert read.mode == "L"
    np.testing.assert_array_equal(np.asarray(read), mask)
    np.testing.assert_array_equal(by_opencv(png.encode_png(mask)), mask)


@given(sides, sides, st.integers(0, 1000))
def test_an_overlay_is_read_as_it_was_written(height: int, width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    read = PIL.Image.open(io.BytesIO(png.encode_png(picture)))
    assert read.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(read), picture[:, :, ::-1])
    np.testing.assert_array_equal(by_opencv(png.encode_png(picture)), picture)


def test_a_view_of_another_picture_is_written_too() -> None:
    large = np.random.default_rng(0).integers(0, 256, (80, 60, 3)).astype(np.uint8)
    for view in (large[::2, ::3], large[::-1], large[:, :, 1], large[:, :, 0].T):
        np.testing.assert_array_equal(by_opencv(png.encode_png(view)), view)


def test_without_isa_l_the_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert png.zlib is not zlib, "the package that the device comes with is not installed"
    disc = cv2.circle(np.zeros((900, 700), np.uint8), (300, 400), 250, 255, -1)
    with_it = png.encode_png(disc)
    monkeypatch.setattr(png, "zlib", zlib)
    without = png.encode_png(disc)
    np.testing.assert_array_equal(by_opencv(with_it), by_opencv(without))
    assert max(len(with_it), len(without)) < disc.size / 50


def by_opencv(file: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED))
