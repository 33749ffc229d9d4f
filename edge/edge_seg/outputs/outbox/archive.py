"""An archive as the outbox sees it: it takes parcels, refuses them for good, or cannot take them now."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 20.0
"""How long an archive may take to answer, on top of the transfer time."""

SLOWEST_BYTES_PER_S = 8_000
"""Slowest link that results are sent over (64 kbit/s): a deadline must leave time for the transfer."""


@dataclass(frozen=True)
class Trouble:
    """Why parcels were not sent.

    Attributes:
        text: for a person to read.
        parcel: the one being sent when it happened.
    """

    text: str
    parcel: Path | None = None


class Archive(ABC):
    """A destination for results."""

    @property
    @abstractmethod
    def in_clear(self) -> bool:
        """Whether results travel without encryption."""

    @abstractmethod
    def deliver(
        self,
        parcels: Sequence[Path],
        sender: str,
        answer: Callable[[Path, str | None], None],
        is_closing: Callable[[], bool],
    ) -> Trouble | None:
        """Send files: DICOM objects to an archive, JSON records to a receiver.

        Args:
            parcels: the files, in this order.
            sender: the name of this device.
            answer: called for each file that the archive has taken (`None`) or will never take (the reason).
            is_closing: checked between files; once true, the rest is left.

        Returns:
            Why files for which `answer` was not called were not sent.
        """


def allowed_s(size: int) -> float:
    """How long sending `size` bytes may take, the answer included."""
    return PATIENCE_S + size / SLOWEST_BYTES_PER_S


def with_bytes(
    parcels: Sequence[Path], answer: Callable[[Path, str | None], None], is_closing: Callable[[], bool]
) -> Iterator[tuple[Path, bytes]]:
    """Files and their contents, until the outbox closes; unreadable files are reported to `answer`."""
    for path in parcels:
        if is_closing():
            return
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            answer(path, f"{path.name}: cannot be read ({error.strerror})")
            continue
        yield path, data
