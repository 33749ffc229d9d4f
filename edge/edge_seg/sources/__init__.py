"""Where films come from: files, folders, globs, DICOM, video, cameras, watched folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from edge_seg.errors import UsageError
from edge_seg.sources.camera import Camera, DemoCamera
from edge_seg.sources.files import Files, read_film
from edge_seg.sources.source import Arrival, Failure, Source
from edge_seg.sources.watch import WatchedFolder

__all__ = ["Arrival", "Camera", "DemoCamera", "Failure", "Files", "Source", "WatchedFolder", "open_source", "read_film"]

# OpenCV prints lines of its own about damaged files and absent cameras; our errors say more.
# OpenCV 4 and 5 keep the switch in different places.
if hasattr(cv2, "setLogLevel"):
    cv2.setLogLevel(0)
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_source(
    inputs: Sequence[str] = (), camera: str | None = None, frames: int | None = None, watch: Path | None = None
) -> Source:
    """The source for what was asked.

    Args:
        inputs: paths, folders, globs.
        camera: `demo`, an index, or a URL.
        frames: of a camera, video or watched folder, at most so many.
        watch: a folder in which films appear.

    Raises:
        InputError: there is no such folder to watch.
        UsageError: none of these, or more than one.
        DeviceError: the camera cannot be opened.
    """
    if bool(inputs) + (camera is not None) + (watch is not None) != 1:
        raise UsageError("give either files, folders and globs, or --camera, or --watch: see `edge-seg run --help`")
    if watch is not None:
        return WatchedFolder(watch, frames)
    if camera == "demo":
        return DemoCamera(frames)
    return Camera(camera, frames) if camera is not None else Files(inputs, frames)
