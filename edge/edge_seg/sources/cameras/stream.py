"""The interface of an open camera."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

PATIENCE_S = 3.0
"""Seconds without an answer or a frame after which a camera is closed and opened again."""


class FeedEnded(Exception):
    """The camera sends no more frames; the message says why."""


class BrokenFrame(Exception):
    """A frame is damaged."""


class Feed(Protocol):
    """An open camera."""

    def read(self) -> Any:
        """The next frame, undecoded; waits at most about `PATIENCE_S`.

        Raises:
            FeedEnded: there is no next frame.
        """
        ...

    def decode(self, frame: Any) -> np.ndarray:
        """The picture of a frame, grey or BGR, uint8.

        Raises:
            BrokenFrame: the frame is damaged.
        """
        ...

    def release(self) -> None:
        """Release the camera."""
        ...
