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
]

# OpenCV prints lines of its own about damaged files and absent cameras; our errors say more.
# OpenCV 4 and 5 keep the switch in different places.
if hasattr(cv2, "setLogLevel"):
    cv2.setLogLevel(0)
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


SOURCES: dict[str, Callable[[str, int | None], Source]] = {
    "demo": lambda address, frames: DemoCamera(frames),
}
"""Opens a source by the scheme of its address, `demo://`; takes the address and the most films to deliver.

A new kind of source is a module beside these and a line here. It is then an input, and a camera, of `edge-seg run`.
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
    """The source for what was asked, several as one.

    Args:
        inputs: paths, folders, globs, and addresses of `SOURCES`.
        cameras: each `demo`, an address of `SOURCES`, or what `cameras.connect.open_feed` opens.
        watched: folders in which films appear.
        listen: `[HOST:]PORT` to receive films at by DICOM.
        state: folder in which received films wait and attempts are counted; a listener needs one.
        frames: the most to take of each camera, video, watched folder or listener.
        camera_options: how the cameras are looked through.
        ae_title: of the listener.
        senders: AE titles that may send to it; empty means all.
        tls: where given, they must speak TLS.

    Raises:
        InputError: there is no such folder to watch.
        UsageError: nothing to take films from, or nonsense.
        DeviceError: a camera cannot be opened, or the port cannot be had.
        OutputError: received films cannot be kept in `state`.
    """
    attempts = Attempts(state / "attempts" if state else None)
    # Folders first: an absent one is found before a camera is opened or a sender heard.
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
    """The file of a film that was received; `None` where it is gone, or the film came from elsewhere.

    Args:
        state: folder, see `open_source`.
        source: of the film, as its record has it.
    """
    kind, _, name = source.partition(" ")
    return find(state / "inbox", name) if kind == RECEIVED else None


def forget_received(state: Path, source: str) -> None:
    """Remove the received file of a film whose results are removed; one that waits for its result stays.

    Args:
        state: folder, see `open_source`.
        source: of the film, as its record has it.

    Raises:
        OutputError: the disk takes no change.
    """
    kind, _, name = source.partition(" ")
    if kind == RECEIVED:
        forget(state / "inbox", name)
