"""What a camera is to those who ask it for frames."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import numpy as np

PATIENCE_S = 3.0
"""A camera that has not answered or sent a frame for so long is given up, and asked anew."""


class FeedEnded(Exception):
    """No more frames come, and why."""


class BrokenFrame(Exception):
    """A frame came damaged."""


class Feed(Protocol):
    """An open camera."""

    def read(self) -> Any:
        """The next frame, as it came; waits at most about `PATIENCE_S`.

        Raises:
            FeedEnded: none will come.
        """
        ...

    def decode(self, frame: Any) -> np.ndarray:
        """A frame's picture, grey or BGR, uint8.

        Raises:
            BrokenFrame: it is damaged.
        """
        ...

    def release(self) -> None:
        """Let go of the camera."""
        ...


def shown_address(address: str) -> str:
    """An address without the user and password that may stand in it.

    >>> shown_address("rtsp://nurse:secret@10.0.0.7/film")
    'rtsp://10.0.0.7/film'
    """
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
