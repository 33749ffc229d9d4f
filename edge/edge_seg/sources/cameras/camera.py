"""Films from a camera: the newest frame, never a queue. A camera that fails is reported and reopened."""

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

from edge_seg.address import without_secrets
from edge_seg.boundary import film_boundary
from edge_seg.errors import DeviceError
from edge_seg.film import Arrival, Failure, Film
from edge_seg.log import room_logger
from edge_seg.sources.cameras.connect import open_feed
from edge_seg.sources.cameras.lightbox import find_film, undo_keystone
from edge_seg.sources.cameras.stream import PATIENCE_S, Feed, FeedEnded
from edge_seg.sources.image import colour_of, to_grey
from edge_seg.sources.source import IDLE_S, Source, SourceState

_log = room_logger(__name__)

FROZEN_S = 3.0
"""Seconds without a change in any pixel after which a camera counts as frozen: sensors always have noise."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses before a failed camera is opened again; each is twice the one before, up to the longest."""

_DEMO_EVERY_S = 0.25


@dataclass(frozen=True)
class CameraOptions:
    """Options that apply to every camera.

    Attributes:
        light_box: the camera looks at a film on a light box: the film's border is found and the keystone undone.
        rotation: degrees by which pictures are first turned clockwise: 0, 90, 180 or 270.
        every_s: minimum seconds between two films; 0 takes as many frames as the device can process.
        any_certificate: over HTTPS, also accept a certificate that no authority signed.
    """

    light_box: bool = False
    rotation: int = 0
    every_s: float = 0.0
    any_certificate: bool = False


class Camera(Source):
    """A camera: an index, the Pi's own camera, or a URL.

    A thread reads all frames and keeps the newest, so that a slow device never works through a backlog. The thread also
    reopens a camera that ended, fell silent, froze or sends broken pictures; each of these yields one failure.

    Args:
        address: see `connect.open_feed`.
        frames: stop after this number of films; `None` for no limit.
        options: see `CameraOptions`.
        opener: opens the camera at the start and after each failure; `open_feed` by default.

    Raises:
        UsageError: the address is not that of a camera.
        DeviceError: at the start, the camera does not exist or does not answer.
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
        self._name = f"camera {without_secrets(address)}"
        self._mark = hashlib.sha256(self._name.encode()).hexdigest()[:4]
        self._feed: Feed | None = self._open(address)
        self._due = -math.inf
        self._news = threading.Condition()
        self._newest: tuple[Feed, Any, float, datetime] | None = None
        # `_trouble` has not been reported as a failure yet; `_fault` lasts until a good frame arrives.
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
        """Stop reading frames and release the camera."""
        self._closing.set()
        self._thread.join(2 * PATIENCE_S)

    def _content(self, feed: Feed, frame: Any, at: float, wall: datetime) -> Film | None:
        """The film of a frame; `None` if it is broken. `_read` reports a camera that keeps sending broken frames."""
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
            # No camera sends two frames within a microsecond; the mark distinguishes cameras.
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
                # A driver's exception must not end the thread: the camera would stop without a report.
                _log.warning("the reader of a camera raised %s", type(error).__name__)
                trouble = f"failed ({type(error).__name__})"
            finally:
                self._let_go()
            # Each fault is reported once, not at each attempt to reopen the camera.
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
        """Keep the newest frame until something goes wrong, and return what went wrong.

        Raises:
            FeedEnded: the camera sends no more frames.
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
    """A breathing synthetic chest in place of a camera, for trying the pipeline without hardware.

    Args:
        frames: stop after this number of films; `None` for no limit, at the pace of a breath.
        height, width: of each frame; by default ready-made frames of 1,024 pixels a side.
        seed: of the anatomy, if a size is given.
    """

    live = True

    def __init__(
        self, frames: int | None = None, height: int | None = None, width: int | None = None, seed: int = 0
    ) -> None:
        self.total = frames
        self._frames, self._seed = frames, seed
        self._shape = None if height is None or width is None else (height, width)

    def state(self) -> list[SourceState]:
        """See `Source.state`."""
        return [SourceState("camera demo", age_s=0.0)]

    def __iter__(self) -> Iterator[Arrival | None]:
        delivered, due = 0, time.monotonic()
        while self._frames is None or delivered < self._frames:
            if self._frames is None and time.monotonic() < due:
                time.sleep(IDLE_S)
                yield None
                continue
            due = time.monotonic() + _DEMO_EVERY_S
            start = time.perf_counter()
            pixels = self._frame(delivered)
            delivered += 1
            film = Film(
                pixels,
                name=f"demo-{delivered:06d}.png",
                source="camera demo",
                taken_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                age_s=0.0,
                decode_ms=round((time.perf_counter() - start) * 1000, 3),
                warnings=("synthetic film",),
            )
            yield Arrival(film)

    def _frame(self, number: int) -> np.ndarray:
        from edge_seg.phantom.breath import STEPS, breath_frame
        from edge_seg.phantom.film import phantom

        if self._shape is None:
            return breath_frame(number)
        return phantom(*self._shape, seed=self._seed, phase=(number % STEPS) / STEPS).film.pixels
