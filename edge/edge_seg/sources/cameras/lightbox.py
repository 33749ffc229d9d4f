"""Finds a photographed film on a light box and undoes the keystone of a camera at an angle."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

_SIDE = 640
"""Longest side, in pixels, of the copy in which the border is sought."""

_SMALLEST = 0.12
"""Smallest share of the frame that a film may cover."""

_LONGEST_TO_SHORTEST = 1.9
"""Films are 18 x 24 to 35 x 43 cm: at most 1.4 times as long as wide; a camera at an angle stretches that."""

_EDGE = 3  # pixels of the copy
_STRAIGHT = 0.02  # of its perimeter: how far a border may be from four straight lines
_RIGHT = 0.5  # cosine of the sharpest corner that a keystone may make of a right angle


def find_film(grey: np.ndarray) -> np.ndarray | None:
    """Corners of the film in a frame: the smallest quadrangle that is large enough.

    The light box is a larger quadrangle around it.

    Args:
        grey: `(height, width)` uint8 or uint16.

    Returns:
        `(4, 2)` float32, x and y in pixels: upper left, upper right, lower right, lower left; `None` if there is
        none.
    """
    scale = min(1.0, _SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = cv2.normalize(small, np.empty(0), 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    small = cv2.medianBlur(small, 5)
    found = sorted(_quadrangles(small), key=lambda corners: cv2.contourArea(corners))
    return found[0] / scale if found else None


def undo_keystone(grey: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The quadrangle as an upright rectangle; each side is as long as the longer of its two originals.

    Args:
        grey: `(height, width)`.
        corners: see `find_film`.
    """
    left_top, right_top, right_bottom, left_bottom = corners
    width = round(max(_distance(left_top, right_top), _distance(left_bottom, right_bottom)))
    height = round(max(_distance(left_top, left_bottom), _distance(right_top, right_bottom)))
    target = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    way = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    return cv2.warpPerspective(grey, way, (width, height), flags=cv2.INTER_LINEAR)


def _quadrangles(small: np.ndarray) -> Iterator[np.ndarray]:
    level, _ = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    frame = small.shape[0] * small.shape[1]
    # A film is darker than the box around it and lighter than the room; exposure shifts the levels between them.
    for threshold in (level, (level + 255) / 2, level / 2, level / 4, level / 8):
        _, bright = cv2.threshold(small, threshold, 255, cv2.THRESH_BINARY)
        for mask in (bright, 255 - bright):
            closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
            outlines, _ = cv2.findContours(closed, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
            for outline in outlines:
                hull = cv2.convexHull(outline)
                area = cv2.contourArea(hull)
                # A border is convex, and it is not the edge of the frame.
                if area < _SMALLEST * frame or area > 0.97 * frame or cv2.contourArea(outline) < 0.9 * area:
                    continue
                corners = cv2.approxPolyDP(hull, _STRAIGHT * cv2.arcLength(hull, True), True)[:, 0]
                if len(corners) == 4 and _is_film(corners.astype(np.float32)) and _lies_inside(corners, small.shape):
                    yield _ordered(corners.astype(np.float32))


def _is_film(corners: np.ndarray) -> bool:
    sides = [_distance(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    for i in range(4):
        one, other = corners[i - 1] - corners[i], corners[(i + 1) % 4] - corners[i]
        if abs(float(one @ other)) > _RIGHT * sides[i - 1] * sides[i]:
            return False
    return max(sides) <= _LONGEST_TO_SHORTEST * min(sides)


def _lies_inside(corners: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether at most one corner touches the edge of the frame, which could itself pass for a straight border."""
    nearest = np.minimum(corners, np.array(shape[1::-1]) - 1 - corners).min(axis=1)
    return int((nearest <= _EDGE).sum()) <= 1


def _ordered(corners: np.ndarray) -> np.ndarray:
    """Upper left first, then clockwise."""
    centre = corners.mean(axis=0)
    clockwise = corners[np.argsort(np.arctan2(*(corners - centre).T[::-1]))]
    return np.roll(clockwise, -int(clockwise.sum(axis=1).argmin()), axis=0)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))
