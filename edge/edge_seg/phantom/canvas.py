"""A canvas for phantoms: draws curves in film units as pictures of the film's size."""

from __future__ import annotations

import cv2
import numpy as np

SUBPIXEL_BITS = 8
"""Fraction bits of the fixed-point coordinates that OpenCV's drawing functions take."""


class Canvas:
    """Draws curves in film units onto float32 pictures of a film's size.

    Args:
        height, width: of the film in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self.shape = height, width
        self.unit = min(height, width)
        self._origin = np.array([width / 2, (height - self.unit) / 2])

    def points(self, curve: np.ndarray) -> np.ndarray:
        """Curve in film units as fixed-point pixel coordinates; pixel centres are at whole numbers."""
        return np.rint((curve * self.unit + self._origin - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)

    def fill(self, curve: np.ndarray) -> np.ndarray:
        """Mask of a closed curve: bool."""
        mask = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(mask, [self.points(curve)], 1, cv2.LINE_8, SUBPIXEL_BITS)
        return mask.astype(bool)

    def lines(self, curves: list[tuple[np.ndarray, float, float]]) -> np.ndarray:
        """Open curves with width (film units) and value (0 to 1), as float32; where they cross, the brightest wins."""
        picture = np.zeros(self.shape, np.uint8)
        for curve, width, value in curves:
            layer = picture if len(curves) == 1 else np.zeros(self.shape, np.uint8)
            thickness = max(1, round(width * self.unit))
            cv2.polylines(layer, [self.points(curve)], False, round(value * 255), thickness, cv2.LINE_AA, SUBPIXEL_BITS)
            if layer is not picture:
                np.maximum(picture, layer, out=picture)
        return picture.astype(np.float32) / 255

    def blur(self, picture: np.ndarray, radius: float) -> np.ndarray:
        """Gaussian blur with a standard deviation in film units; a wide blur works on a smaller picture."""
        sigma = radius * self.unit
        step = int(sigma / 4)
        if step < 2:
            return cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.3))
        height, width = self.shape
        small = cv2.resize(picture, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / step)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)

    def depth(self, mask: np.ndarray, reach: float) -> np.ndarray:
        """Thickness of a rounded body at each pixel: 0 at its edge, 1 at `reach` film units inside."""
        distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3) / (reach * self.unit)
        rise = 1 - np.clip(distance, 0, 1)
        return np.sqrt(1 - rise * rise).astype(np.float32)
