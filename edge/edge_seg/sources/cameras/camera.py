"""Films from a camera: the newest frame, never a queue; a camera that fails is reported and asked anew."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np

from edge_seg.boundary import film_boundary
from edge_seg.errors import DeviceError
from edge_seg.film import Arrival, Failure, Film
from edge_seg.sources.cameras.connect import open_feed
from edge_seg.sources.cameras.lightbox import find_film, undo_keystone
from edge_seg.sources.cameras.stream import PATIENCE_S, BrokenFrame, Feed, FeedEnded, shown_address
from edge_seg.sources.image import colour_of, to_grey
from edge_seg.sources.source import IDLE_S, Source, SourceState

FROZEN_S = 3.0
"""A camera whose frames have not changed in a single pixel for so long is thought frozen: sensors always have noise."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""A camera that failed is asked anew after the first pause, then after twice as long, up to the longest."""


class Camera(Source):
    """A camera: an index, the Pi's own, or a URL.

    A thread takes frames as they come and keeps the newest, so that a slow device looks at now, not at a backlog. It
    also asks a camera anew that ended, fell silent, froze, or sends broken pictures; each of these is one failure among
    the films.

    Args:
        address: see `feeds.open_feed`.
        frames: stop after so many; `None` goes on.
        light_box: whether it looks at a film on a light box: the film's border is found and keystone undone.
        opener: what opens the camera, again and again.

    Raises:
        UsageError: no address of a camera.
        DeviceError: no such camera, or nobody answers, at the first time of asking.
    """

    live = True

    def __init__(
        self,
        address: str,
        frames: int | None = None,
        *,
        light_box: bool = False,
        opener: Callable[[str], Feed] = open_feed,
    ) -> None:
        self.total, self.endless = frames, frames is None
        self._address, self._frames, self._light_box, self._open = address, frames, light_box, opener
        self._name = f"camera {shown_address(address)}"
        self._mark = hashlib.sha256(self._name.encode()).hexdigest()[:4]
        self._feed: Feed | None = opener(address)
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
                self._news.wait_for(lambda: self._newest is not None or self._trouble is not None, IDLE_S)
                taken, self._newest = self._newest, None
                trouble, self._trouble = self._trouble, None
            film = film_boundary(self._name, self._name, partial(self._film, *taken)) if taken is not None else None
            delivered += film is not None
            if film is not None or trouble is None:
                yield Arrival(film) if film is not None else None
            if trouble is not None:
                reason = f"{self._name} {trouble}: check that it is on and connected; it is asked anew"
                yield Arrival(Failure(self._name, self._name, DeviceError(reason)))

    def state(self) -> list[SourceState]:
        """See `Source.state`."""
        age = None if self._good_at == -math.inf else round(time.monotonic() - self._good_at, 2)
        return [SourceState(self._name, age_s=age, trouble=self._fault)]

    def close(self) -> None:
        """Stop taking frames and let go of the camera."""
        self._closing.set()
        self._thread.join(2 * PATIENCE_S)

    def _film(self, feed: Feed, frame: Any, at: float, wall: datetime) -> Film | None:
        """The film of a frame, `None` where it is broken."""
        try:
            picture = feed.decode(frame)
        except BrokenFrame:
            self._broken_since = self._broken_since or time.monotonic()
            return None
        self._good_at, self._broken_since, self._fault = time.monotonic(), None, None
        grey, notes = to_grey(picture, self._name), ["camera-derived"]
        if self._light_box:
            corners = find_film(grey)
            if corners is not None:
                grey = undo_keystone(grey, corners)
            notes.append("cut out of a photograph" if corners is not None else "no film's border found: whole frame")
        return Film(
            grey,
            colour=colour_of(picture),
            # One camera sends no two frames in a microsecond; the mark tells it from another.
            name=f"camera-{self._mark}-{wall:%Y%m%dT%H%M%S%f}.png",
            unique_name=True,
            source=self._name,
            taken_at=wall.isoformat(timespec="milliseconds"),
            age_s=round(time.monotonic() - at, 4),
            warnings=tuple(notes),
        )

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
            finally:
                if self._feed is not None:
                    self._feed.release()
                    self._feed = None
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
