"""A breath of the synthetic chest, pre-rendered, since rendering a frame takes a second.

python -m edge_seg.phantom.breath    # renders the frames again
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from edge_seg.phantom.film import phantom

STEPS = 12
"""Frames of a breath; the second half shows the first one backwards."""

_PAINTED = STEPS // 2 + 1
_SIDE, _SEED = 1024, 0
_JPEG_QUALITY = 80


def breath_frame(number: int) -> np.ndarray:
    """A frame of the breath, `(1024, 1024)` uint8, by its number from 0."""
    step = number % STEPS
    data = resources.files(__package__).joinpath("frames", f"{min(step, STEPS - step)}.jpg").read_bytes()
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))


def paint_frames() -> Iterator[np.ndarray]:
    """Render the frames, from full inspiration to full expiration."""
    for step in range(_PAINTED):
        yield phantom(_SIDE, _SIDE, seed=_SEED, phase=step / STEPS).film.pixels


def main() -> None:
    """Write the frames into the package."""
    folder = Path(__file__).parent / "frames"
    for step, frame in enumerate(paint_frames()):
        cv2.imwrite(str(folder / f"{step}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


if __name__ == "__main__":
    main()
