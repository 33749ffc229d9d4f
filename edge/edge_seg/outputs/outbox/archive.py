"""What an archive is to the outbox: it takes parcels, or says that it never will, or that something is in the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 20.0
"""How long an archive may take to answer, beside the time that the bytes take."""

SLOWEST_BYTES_PER_S = 8_000
"""Of the slowest link that results are sent through (64 kbit/s): a deadline must leave time for the bytes."""


@dataclass(frozen=True)
class Trouble:
    """What is in the way of parcels that were not sent.

    Attributes:
        text: for a person.
        parcel: the one that was on its way when it happened.
    """

    text: str
    parcel: Path | None = None


class Archive(ABC):
    """Where results are sent to."""

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
        """Send DICOM files.

        Args:
            parcels: the files, in this order.
            sender: what this device calls itself.
            answer: told of each file that the archive has taken (`None`), or will never take (why).
            is_closing: asked between files; when it says so, the rest is left.

        Returns:
            What is in the way of the files that `answer` was not told of.
        """


def allowed_s(size: int) -> float:
    """How long sending so many bytes may take, the answer included."""
    return PATIENCE_S + size / SLOWEST_BYTES_PER_S


def with_bytes(
    parcels: Sequence[Path], answer: Callable[[Path, str | None], None], is_closing: Callable[[], bool]
) -> Iterator[tuple[Path, bytes]]:
    """Files and what is in them, until the outbox closes; `answer` is told of those that cannot be read."""
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
