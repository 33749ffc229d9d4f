"""Where films come from: files, folders, globs, DICOM, video, cameras."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from edge_seg.errors import UsageError
from edge_seg.sources.camera import Camera, DemoCamera
from edge_seg.sources.files import Files, read_film
from edge_seg.sources.source import Arrival, Failure, Source

__all__ = ["Arrival", "Camera", "DemoCamera", "Failure", "Files", "Source", "open_source", "read_film"]

# OpenCV prints lines of its own about damaged files and absent cameras; our errors say more.
# OpenCV 4 and 5 keep the switch in different places.
if hasattr(cv2, "setLogLevel"):
    cv2.setLogLevel(0)
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_source(inputs: Sequence[str] = (), camera: str | None = None, frames: int | None = None) -> Source:
    """The source for what was asked.

    Args:
        inputs: paths, folders, globs.
        camera: `demo`, an index, or a URL, in place of inputs.
        frames: of a camera or video, at most so many.

    Raises:
        UsageError: neither, or both.
        DeviceError: the camera cannot be opened.
    """
    if bool(inputs) == (camera is not None):
        raise UsageError("give either files, folders and globs, or --camera: see `edge-seg run --help`")
    if camera == "demo":
        return DemoCamera(frames)
    return Camera(camera, frames) if camera is not None else Files(inputs, frames)
