"""Checks what a DICOM sender puts on the wire (PS3.8) before anything is allocated for it.

Datasets are not interpreted here: only lengths count, and where a message ends.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

HEAD_BYTES = 6
ASSOCIATE_RQ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 1, 4, 5, 6, 7
"""Types of the PDUs that a requestor sends (PS3.8 section 9.3)."""

ABORTED = bytes([ABORT, 0, 0, 0, 0, 4, 0, 0, 2, 0])
"""A-ABORT by the service provider, reason not specified."""

BUSY = bytes([3, 0, 0, 0, 0, 4, 0, 2, 3, 2])
"""A-ASSOCIATE-RJ, transient: local limit exceeded."""

MOST_REQUEST = 128 * 1024
"""Largest A-ASSOCIATE-RQ, in bytes: 128 presentation contexts with 30 transfer syntaxes each take some 100,000."""

MOST_DATA = 1024 * 1024
"""Largest P-DATA-TF, in bytes; a sender that respects the maximum we announce sends far smaller ones."""

_MOST_OTHER = 1024
_MOST_COMMAND = 16 * 1024
"""Largest command set, in bytes; that of a C-STORE has some 200."""

_MOST_DATASET = 1024 * 1024 * 1024
"""Size of a dataset in bytes above which its sender is not even sent an answer."""

_COMMAND, _LAST = 1, 2  # bits of the message control header (PS3.8 annex E.2)
_NO_DATASET = 0x0101  # of CommandDataSetType (PS3.7 annex E.1)


@dataclass(frozen=True)
class Limits:
    """Limits on what senders may ask of this device.

    Attributes:
        object_bytes: largest object; the largest detector in use produces some 40 million.
        associations: concurrent ones, each with one object in memory.
        waiting: films that may wait for their result.
        silence_s: a sender that is silent for this long between two messages is disconnected.
        request_s: seconds within which the whole request of an association must arrive.
        slot_s: seconds a request waits while all associations are taken.
        idle_s: an association without a message for this long gives way to a waiting request.
        slowest: minimum bytes a second of a message that has taken longer than `silence_s`.
        answer_s: seconds within which this device must answer a message, or the association ends.
        connections, connections_of_a_peer: concurrent ones, including those without an association.
    """

    object_bytes: int = 64 * 1024 * 1024
    associations: int = 8
    waiting: int = 10_000
    silence_s: float = 30.0
    request_s: float = 10.0
    slot_s: float = 10.0
    idle_s: float = 2.0
    slowest: float = 16 * 1024
    answer_s: float = 120.0
    connections: int = 128
    connections_of_a_peer: int = 48


class ProtocolError(Exception):
    """A sender violates the protocol or a limit."""


def check_head(head: bytes, *, first: bool) -> tuple[int, int]:
    """Type and length of a PDU, from its first six bytes.

    Args:
        head: of the PDU.
        first: whether it is the first of an association.

    Raises:
        ProtocolError: no PDU of this type, or of this length, is allowed here.

    >>> check_head(bytes([5, 0, 0, 0, 0, 4]), first=False)
    (5, 4)
    """
    kind, _, length = struct.unpack(">BBL", head)
    most = {ASSOCIATE_RQ: MOST_REQUEST, P_DATA: MOST_DATA}.get(kind, _MOST_OTHER)
    allowed = (ASSOCIATE_RQ, ABORT) if first else (P_DATA, RELEASE_RQ, RELEASE_RP, ABORT)
    if kind not in allowed or length > most:
        raise ProtocolError(f"PDU of type {kind} and {length} bytes")
    return kind, length


@dataclass
class Messages:
    """Tracks the messages of an association.

    Attributes:
        under_way: whether a message has begun but not ended.
        received: bytes of the message under way.
    """

    under_way: bool = False
    received: int = 0
    _command: bytearray = field(default_factory=bytearray)
    _dataset: int = 0
    _dataset_follows: bool = False

    def take(self, data: bytes) -> bool:
        """Account for the contents of a P-DATA-TF.

        Args:
            data: the PDU without its head.

        Returns:
            Whether a message is complete; the sender then waits for its answer.

        Raises:
            ProtocolError: the PDU is damaged, or the message is too large.
        """
        self.under_way = True
        self.received += len(data)
        complete = False
        at = 0
        while at < len(data):
            if complete or len(data) - at < HEAD_BYTES:
                raise ProtocolError("fragments that belong to no message")
            length, _, control = struct.unpack_from(">LBB", data, at)
            at += 4
            if length < 2 or length > len(data) - at:
                raise ProtocolError(f"fragment of {length} bytes")
            complete = self._fragment(control, data[at + 2 : at + length])
            at += length
        if complete:
            self.under_way, self.received = False, 0
        return complete

    def _fragment(self, control: int, data: bytes) -> bool:
        last = bool(control & _LAST)
        if control & _COMMAND:
            if self._dataset_follows or len(self._command) + len(data) > _MOST_COMMAND:
                raise ProtocolError("command set out of place or too large")
            self._command += data
            if last:
                self._dataset_follows = has_dataset(bytes(self._command))
                self._command.clear()
                self._dataset = 0
            return last and not self._dataset_follows
        self._dataset += len(data)
        if not self._dataset_follows or self._dataset > _MOST_DATASET:
            raise ProtocolError("dataset out of place or too large")
        self._dataset_follows = not last
        return last


def has_dataset(command: bytes) -> bool:
    """Whether a dataset follows a command set (Implicit VR Little Endian, always).

    Raises:
        ProtocolError: the command set does not say.
    """
    at = 0
    while at + 8 <= len(command):
        group, element, length = struct.unpack_from("<HHL", command, at)
        at += 8
        if (group, element) == (0x0000, 0x0800) and length == 2 and at + 2 <= len(command):
            return bool(struct.unpack_from("<H", command, at)[0] != _NO_DATASET)
        at += length
    raise ProtocolError("command set without CommandDataSetType")
