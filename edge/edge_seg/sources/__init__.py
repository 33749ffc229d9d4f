"""Where films come from: files, folders, globs, DICOM, video, cameras, watched folders, DICOM senders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge_seg.errors import UsageError
from edge_seg.film import Arrival, Failure
from edge_seg.sources.attempts import Attempts
from edge_seg.sources.cameras.camera import Camera, CameraOptions, DemoCamera
from edge_seg.sources.files import Files, read_film
from edge_seg.sources.inbox import Inbox, find, forget
from edge_seg.sources.listener import RECEIVED, Listener
from edge_seg.sources.source import Source, SourceState
from edge_seg.sources.together import Together
from edge_seg.sources.upper_layer import Limits
from edge_seg.sources.watch import WatchedFolder

if TYPE_CHECKING:
    import ssl

__all__ = [
    "SOURCES",
    "Arrival",
    "Attempts",
    "Camera",
    "CameraOptions",
    "DemoCamera",
    "Failure",
    "Files",
    "Inbox",
    "Limits",
    "Listener",
    "Source",
    "SourceState",
    "Together",
    "WatchedFolder",
    "find_received",
    "forget_received",
    "open_source",
    "read_film",
    "size_of_received",
]

# OpenCV prints its own messages about damaged files and missing cameras; our errors say more.
# OpenCV 4 and 5 keep the switch in different places.
if hasattr(cv2, "setLogLevel"):
    cv2.setLogLevel(0)
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


SOURCES: dict[str, Callable[[str, int | None], Source]] = {
    "demo": lambda address, frames: DemoCamera(frames),
}
"""Opens a source by the scheme of its address (`demo://`), given the address and the maximum number of films.

To add a kind of source, add a module here and a line to this table; `edge-seg run` then takes it as an input or camera.
"""


def open_source(
    inputs: Sequence[str] = (),
    cameras: Sequence[str] = (),
    watched: Sequence[Path] = (),
    listen: str | None = None,
    *,
    state: Path | None = None,
    frames: int | None = None,
    camera_options: CameraOptions | None = None,
    ae_title: str = "EDGESEG",
    senders: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
) -> Source:
    """Open what was asked for as one source.

    Args:
        inputs: paths, folders, globs, and addresses of `SOURCES`.
        cameras: each `demo`, an address of `SOURCES`, or one that `cameras.connect.open_feed` opens.
        watched: folders to watch for films.
        listen: `[HOST:]PORT` on which to receive films by DICOM.
        state: folder for received films and counts of attempts; a listener needs one.
        frames: maximum number from each camera, video, watched folder or listener.
        camera_options: options for all cameras.
        ae_title: of the listener.
        senders: AE titles that may send to it; empty means all.
        tls: if given, senders must use TLS.

    Raises:
        InputError: a folder to watch does not exist.
        UsageError: there is nothing to take films from, or an argument is invalid.
        DeviceError: a camera or the port cannot be opened.
        OutputError: received films cannot be stored in `state`.
    """
    attempts = Attempts(state / "attempts" if state else None)
    # Folders first: a missing one is reported before a camera is opened or a sender connects.
    sources: list[Source] = [WatchedFolder(folder, frames, attempts) for folder in watched]
    files = [name for name in inputs if "://" not in name or _scheme(name) not in SOURCES]
    if files:
        sources.append(Files(files, frames, attempts))
    sources += [SOURCES[_scheme(name)](name, frames) for name in inputs if name not in files]
    sources += [
        SOURCES[_scheme(camera)](camera, frames)
        if _scheme(camera) in SOURCES
        else Camera(camera, frames, camera_options)
        for camera in cameras
    ]
    if listen is not None:
        if state is None:
            raise UsageError("a listener needs a folder in which received films wait: give `state`")
        inbox = Inbox(state / "inbox")
        sources.append(Listener(listen, inbox, frames, attempts, ae_title=ae_title, senders=senders, tls=tls))
    if not sources:
        raise UsageError("give files, folders or globs, --camera, --watch or --listen: see `edge-seg run --help`")
    return sources[0] if len(sources) == 1 else Together(sources)


def _scheme(address: str) -> str:
    return address.partition("://")[0]


def find_received(state: Path, source: str) -> Path | None:
    """The file of a received film; `None` if it is gone or the film came from elsewhere.

    Args:
        state: folder, see `open_source`.
        source: of the film, as in its record.
    """
    kind, _, name = source.partition(" ")
    return find(state / "inbox", name) if kind == RECEIVED else None


def size_of_received(state: Path, source: str) -> int:
    """Bytes that the received file of a film takes; 0 if there is none.

    Args:
        state: folder, see `open_source`.
        source: of the film, as in its record.
    """
    path = find_received(state, source)
    try:
        return 0 if path is None else path.stat().st_size
    # Someone removed it meanwhile.
    except FileNotFoundError:
        return 0


def forget_received(state: Path, source: str) -> None:
    """Remove the received file of a film whose results are removed; a film that still waits for its result stays.

    Args:
        state: folder, see `open_source`.
        source: of the film, as in its record.

    Raises:
        OutputError: the disk cannot be written.
    """
    kind, _, name = source.partition(" ")
    if kind == RECEIVED:
        forget(state / "inbox", name)
