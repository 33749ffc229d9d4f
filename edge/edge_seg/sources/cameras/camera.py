"""Films from a camera: the newest frame, never a queue; a camera that fails is reported and asked anew."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np

from edge_seg.boundary import film_boundary
from edge_seg.errors import DeviceError
from edge_seg.film import Arrival, Failure, Film
from edge_seg.log import room_logger
from edge_seg.sources.cameras.connect import open_feed
from edge_seg.sources.cameras.lightbox import find_film, undo_keystone
from edge_seg.sources.cameras.stream import PATIENCE_S, Feed, FeedEnded, shown_address
from edge_seg.sources.image import colour_of, to_grey
from edge_seg.sources.source import IDLE_S, Source, SourceState

_log = room_logger(__name__)

FROZEN_S = 3.0
"""A camera whose frames have not changed in a single pixel for so long is thought frozen: sensors always have noise."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""A camera that failed is asked anew after the first pause, then after twice as long, up to the longest."""


@dataclass(frozen=True)
class CameraOptions:
    """How cameras are looked through.

    Attributes:
        light_box: the camera looks at a film on a light box: the film's border is found and the keystone undone.
        rotation: degrees by which pictures are turned clockwise before anything else, 0, 90, 180 or 270.
        every_s: least seconds between two films; 0 takes each frame that the device keeps up with.
        any_certificate: over HTTPS, also take a certificate that no authority signed.
    """

    light_box: bool = False
    rotation: int = 0
    every_s: float = 0.0
    any_certificate: bool = False


class Camera(Source):
    """A camera: an index, the Pi's own, or a URL.

    A thread takes frames as they come and keeps the newest, so that a slow device looks at now, not at a backlog. It
    also asks a camera anew that ended, fell silent, froze, or sends broken pictures; each of these is one failure among
    the films.

    Args:
        address: see `connect.open_feed`.
        frames: stop after this number; `None` goes on.
        options: how it is looked through.
        opener: opens the camera, at first and after each failure; `open_feed` unless told otherwise.

    Raises:
        UsageError: no address of a camera.
        DeviceError: no such camera, or nobody answers, at the first time of asking.
    """

    live = True

    def __init__(
        self,
        address: str,
        frames: int | None = None,
        options: CameraOptions | None = None,
        *,
        opener: Callable[[str], Feed] | None = None,
    ) -> None:
        self.total, self.endless = frames, frames is None
        self._address, self._frames, self._options = address, frames, options or CameraOptions()
        self._open = opener or partial(open_feed, any_certificate=self._options.any_certificate)
        self._name = f"camera {shown_address(address)}"
        self._mark = hashlib.sha256(self._name.encode()).hexdigest()[:4]
        self._feed: Feed | None = self._open(address)
        self._due = -math.inf
        self._news = threading.Condition()
        self._newest: tuple[Feed, Any, float, datetime] | None = None
        # What the films' user has not been told yet, and what has not been mended yet.
        self._trouble: str | None = None
        self._fault: str | None = None
        self._last: Any = None
        self._good_at = -math.inf
        self._broken_since: float | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._take, name=self._name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Arrival | None]:
        delivered = 0
        while (self._frames is None or delivered < self._frames) and not self._closing.is_set():
            with self._news:
                self._news.wait_for(self._has_news, IDLE_S)
                taken = None
                if self._newest is not None and time.monotonic() >= self._due:
                    taken, self._newest = self._newest, None
                trouble, self._trouble = self._trouble, None
            film = self._content(*taken) if taken is not None else None
            if film is not None:
                delivered += 1
                self._due = time.monotonic() + self._options.every_s
            if film is not None or trouble is None:
                yield Arrival(film) if film is not None else None
            if trouble is not None:
                reason = f"{self._name} {trouble}: check that it is on and connected; it is asked anew"
                yield Arrival(Failure(self._name, self._name, DeviceError(reason)))

    def _has_news(self) -> bool:
        waits = self._newest is not None and time.monotonic() >= self._due
        return waits or self._trouble is not None

    def state(self) -> list[SourceState]:
        """See `Source.state`."""
        age = None if self._good_at == -math.inf else round(time.monotonic() - self._good_at, 2)
        return [SourceState(self._name, age_s=age, trouble=self._fault)]

    def close(self) -> None:
        """Stop taking frames and let go of the camera."""
        self._closing.set()
        self._thread.join(2 * PATIENCE_S)

    def _content(self, feed: Feed, frame: Any, at: float, wall: datetime) -> Film | None:
        """The film of a frame, `None` where there is none in it: `_read` tells of a camera that goes on like that."""
        made = film_boundary(self._name, self._name, partial(self._film, feed, frame, at, wall))
        if isinstance(made, Failure):
            self._broken_since = self._broken_since or time.monotonic()
            return None
        return made

    def _film(self, feed: Feed, frame: Any, at: float, wall: datetime) -> Film:
        picture = feed.decode(frame)
        grey, notes = np.rot90(to_grey(picture, self._name), -self._options.rotation // 90), ["camera-derived"]
        if self._options.light_box:
            corners = find_film(grey)
            if corners is not None:
                grey = undo_keystone(grey, corners)
            notes.append("cut out of a photograph" if corners is not None else "no film's border found: whole frame")
        film = Film(
            np.ascontiguousarray(grey),
            colour=colour_of(picture),
            # One camera sends no two frames in a microsecond; the mark tells it from another.
            name=f"camera-{self._mark}-{wall:%Y%m%dT%H%M%S%f}.png",
            unique_name=True,
            source=self._name,
            taken_at=wall.isoformat(timespec="milliseconds"),
            age_s=round(time.monotonic() - at, 4),
            warnings=tuple(notes),
        )
        self._good_at, self._broken_since, self._fault = time.monotonic(), None, None
        return film

    def _take(self) -> None:
        pause, told = FIRST_PAUSE_S, False
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._feed = self._feed or self._open(self._address)
                trouble = self._read(self._feed)
            except FeedEnded as error:
                trouble = str(error)
            except DeviceError:
                trouble = "does not answer"
            except Exception as error:
                # Whatever a driver raises must not end the thread: the camera would fall silent for good, untold.
                _log.warning("the reader of a camera raised %s", type(error).__name__)
                trouble = f"failed ({type(error).__name__})"
            finally:
                self._let_go()
            # Each fault is told once, however often the camera is asked in vain.
            if self._good_at > began:
                pause, told = FIRST_PAUSE_S, False
            self._fault = trouble
            if not told:
                with self._news:
                    self._trouble, told = trouble, True
                    self._news.notify_all()
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _let_go(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            with suppress(Exception):
                feed.release()

    def _read(self, feed: Feed) -> str:
        """Keep the newest frame for as long as they are good; what is wrong then.

        Raises:
            FeedEnded: no more frames come.
        """
        changed_at = time.monotonic()
        self._broken_since = None
        while not self._closing.is_set():
            frame = feed.read()
            now = time.monotonic()
            if self._broken_since is not None and now - self._broken_since > PATIENCE_S:
                return f"has sent broken pictures for {PATIENCE_S:.0f} s"
            if self._last is not None and _same(frame, self._last):
                if now - changed_at > FROZEN_S:
                    return f"has sent the same picture for {FROZEN_S:.0f} s, as if frozen"
                continue
            self._last, changed_at = frame, now
            with self._news:
                self._newest = feed, frame, now, datetime.now(timezone.utc)
                self._news.notify_all()
        return "was closed"


def _same(one: Any, other: Any) -> bool:
    return one == other if isinstance(one, bytes) else np.array_equal(one, other)


class DemoCamera(Source):
    """A breathing synthetic chest in place of a camera: the whole way of a film without hardware.

    Args:
        frames: stop after so many; `None` goes on.
        height, width: of each frame.
        seed: of the anatomy.
    """

    live = True

    def __init__(self, frames: int | None = None, height: int = 1024, width: int = 1024, seed: int = 0) -> None:
        self.total = frames
        self._frames, self._shape, self._seed = frames, (height, width), seed

    def state(self) -> list[SourceState]:
        """See `Source.state`."""
        return [SourceState("camera demo", age_s=0.0)]

    def __iter__(self) -> Iterator[Arrival]:
        from edge_seg.phantom import phantom

        delivered = 0
        while self._frames is None or delivered < self._frames:
            start = time.perf_counter()
            made = phantom(*self._shape, seed=self._seed, phase=(delivered % 12) / 12)
            delivered += 1
            film = Film(
                made.film.pixels,
                name=f"demo-{delivered:06d}.png",
                source="camera demo",
                taken_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                age_s=0.0,
                decode_ms=round((time.perf_counter() - start) * 1000, 3),
                warnings=("synthetic film",),
            )
            yield Arrival(film)
