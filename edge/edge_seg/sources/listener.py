"""Films that a scanner or PACS sends: a DICOM storage service (C-STORE, C-ECHO).

Needs `pip install '.[clinic]'`.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_seg.address import parse_address
from edge_seg.dicom_network import prepare_pynetdicom
from edge_seg.errors import DeviceError, InputError, OutputError, UsageError
from edge_seg.film import Arrival, Failure, Film, Outcome
from edge_seg.quiet import warnings_ignored
from edge_seg.sources.attempts import Attempts
from edge_seg.sources.dicom import decodable_syntaxes, inflate, refuse_other_than_films
from edge_seg.sources.dicom.elements import refuse_flood
from edge_seg.sources.files import read_film_or_failure
from edge_seg.sources.inbox import Inbox
from edge_seg.sources.source import IDLE_S, Source, SourceState
from edge_seg.sources.upper_layer import Limits

if TYPE_CHECKING:
    import ssl

    from edge_seg.sources.associations import AssociationServer

AE_TITLE = "EDGESEG"
"""Default AE title of this device."""

RECEIVED = "dicom"
"""Start of the source of every received film; its name in the inbox follows."""

# PS3.4 table B.2-1; the last digits of the ranges A7xx, A9xx and Cxxx are ours.
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
NO_FILM = 0xA900
CANNOT_UNDERSTAND = 0xC000
TOO_LARGE = 0xC010

# In the head of every received file. Not pynetdicom's own, which change with its version: the inbox knows a film by its
# bytes.
_CLASS_UID, _VERSION_NAME = "1.2.826.0.1.3680043.9.3811.3.0.4", "PYNETDICOM_304"

_VERIFICATION = "1.2.840.10008.1.1"
_UID = re.compile(r"[0-9.]{1,64}")
_PIXELS = 0x7FE00010
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LONGEST_COMMENT = 64  # of an error comment, a LO


class Listener(Source):
    """Receives films by DICOM until stopped. A sender gets a success status once its film would survive a power cut.

    Args:
        address: `[HOST:]PORT`; without a host only this machine can send. Port 0 takes any free port (see `port`).
        inbox: where received films wait.
        films: stop after this number; `None` for no limit.
        attempts: counts how often each film was tried.
        ae_title: of this device; an association that calls another title is refused.
        senders: AE titles that may send; empty means all.
        limits: on what they may send.
        tls: if given, senders must use TLS.

    Raises:
        UsageError: the address or an AE title is invalid.
        DeviceError: the port cannot be opened.
        ModuleNotFoundError: pynetdicom is not installed.
    """

    def __init__(
        self,
        address: str,
        inbox: Inbox,
        films: int | None = None,
        attempts: Attempts | None = None,
        *,
        ae_title: str = AE_TITLE,
        senders: Sequence[str] = (),
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.total = self._films = films
        self.endless = films is None
        self.inbox, self.limits = inbox, limits or Limits()
        self._attempts = attempts or Attempts(None)
        self._closed = False
        host, port = parse_address(address, "--listen", 11112)
        self._server = self._listen(host, port, [ae_title, *senders], tls)
        self.host, self.port = host, self._server.port

    def __iter__(self) -> Iterator[Arrival | None]:
        delivered = 0
        while not self._closed and (self._films is None or delivered < self._films):
            path = self.inbox.take()
            if path is None:
                time.sleep(IDLE_S)
                yield None
                continue
            delivered += 1
            # The file moves when its film is done; its name stays.
            source = f"{RECEIVED} {path.stem}"
            read, settled = partial(_read, path, source), partial(self._settled, path)
            yield from self._attempts.hand_out(path.name, path.name, source, read, settled)

    def _settled(self, path: Path, record: Outcome | None) -> None:
        failed = record is not None and record.status == "failed"
        self.inbox.settle(path, "failed" if failed else "done")

    def state(self) -> list[SourceState]:
        """See `Source.state`."""
        return [SourceState(f"DICOM at {self.host}:{self.port}", waiting=len(self.inbox))]

    def stopped(self) -> None:
        """See `Source.stopped`."""
        self._attempts.forgive()

    def close(self) -> None:
        """Hang up; waiting films, including the one in progress, are still there when a listener next starts."""
        if not self._closed:
            self._closed = True
            self._server.close()
            self._attempts.close()

    def _listen(self, host: str, port: int, titles: list[str], tls: ssl.SSLContext | None) -> AssociationServer:
        prepare_pynetdicom()
        from pydicom.uid import (
            ComputedRadiographyImageStorage,
            DigitalXRayImageStorageForPresentation,
            DigitalXRayImageStorageForProcessing,
            SecondaryCaptureImageStorage,
        )
        from pynetdicom import AE, evt

        from edge_seg.sources.associations import AssociationServer

        try:
            entity = AE(titles[0])
            entity.require_calling_aet = titles[1:]
        except (ValueError, TypeError) as error:
            raise UsageError(f"--ae-title, --sender: {error}: give at most 16 letters and digits") from error
        entity.require_called_aet = True
        # `AssociationServer` enforces the deadlines before pynetdicom does.
        entity.acse_timeout = entity.dimse_timeout = 2 * self.limits.silence_s
        # This one would also run while a film is being kept, and between the parts of a large one.
        entity.network_timeout = None
        for storage in (
            ComputedRadiographyImageStorage,
            DigitalXRayImageStorageForPresentation,
            DigitalXRayImageStorageForProcessing,
            SecondaryCaptureImageStorage,
        ):
            entity.add_supported_context(storage, decodable_syntaxes())
        entity.add_supported_context(_VERIFICATION)
        try:
            handlers = [(evt.EVT_PDU_RECV, self._limit), (evt.EVT_C_STORE, self._store)]
            return AssociationServer(host, port, entity, handlers, self.limits, tls)
        except OSError as error:
            raise DeviceError(
                f"--listen {host}:{port}: the port cannot be had ({error.strerror or error}): choose another"
            ) from error

    def _limit(self, event: Any) -> None:
        """Keep no more of an object in memory than is allowed: one that is too large is discarded as it arrives."""
        message = event.assoc.dimse.message
        received = getattr(message, "data_set", None)
        if received is not None and received.tell() > self.limits.object_bytes:
            received.seek(0)
            received.truncate()
            event.assoc.edge_seg_too_large = True

    def _store(self, event: Any) -> Any:
        """Store what was sent, and return the status."""
        too_large = getattr(event.assoc, "edge_seg_too_large", False)
        event.assoc.edge_seg_too_large = False
        if too_large:
            return _status(TOO_LARGE, f"larger than {self.limits.object_bytes:,} bytes")
        if len(self.inbox) >= self.limits.waiting:
            return _status(OUT_OF_RESOURCES, "too many films wait: send it later")
        name = str(event.request.AffectedSOPInstanceUID)
        try:
            _check(name, event.request.DataSet, event.context.transfer_syntax)
        except InputError as error:
            return _status(NO_FILM, str(error))
        except _Damaged as error:
            return _status(CANNOT_UNDERSTAND, str(error))
        try:
            with event.request.DataSet.getbuffer() as data:
                self.inbox.put(name, _file_head(event.file_meta), data)
        except OutputError:
            return _status(OUT_OF_RESOURCES, "cannot be kept: the disk is full, read-only or failing")
        return SUCCESS


def _read(path: Path, source: str) -> Film | Failure:
    return replace(read_film_or_failure(path), source=source)


class _Damaged(Exception):
    """What was sent is not a DICOM object."""


def _check(name: str, sent: io.BytesIO, syntax: str) -> None:
    """Refuse what is not a film before its sender discards it.

    Raises:
        InputError: another kind of object.
        _Damaged: it cannot be read.
    """
    from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

    if not _UID.fullmatch(name):
        raise _Damaged("no SOP Instance UID")
    encoding = UID(syntax)
    try:
        with warnings_ignored():
            sent.seek(0)
            if encoding == DeflatedExplicitVRLittleEndian:
                sent = io.BytesIO(inflate(sent.getvalue(), "object"))
            with sent.getbuffer() as data:
                refuse_flood(data, "object", "<" if encoding.is_little_endian else ">")
            dataset = _read_header(sent, encoding)
            if str(dataset.get("SOPInstanceUID", "")) != name:
                raise InputError("SOP Instance UID in object and request differ")
            refuse_other_than_films(dataset, "object")
    except InputError:
        raise
    # pydicom raises all kinds of exceptions on damaged objects; any of them means that it cannot be read.
    except Exception as error:
        raise _Damaged(f"not readable: {error}") from error


def _read_header(sent: io.BytesIO, encoding: Any) -> Any:
    """The header before the pixels; a placeholder shows that there are pixels, and whether they are encoded."""
    from pydicom.dataelem import DataElement
    from pydicom.filereader import read_dataset

    lengths: list[int] = []

    def is_pixels(tag: int, representation: str | None, length: int) -> bool:
        if tag == _PIXELS:
            lengths.append(length)
        return tag == _PIXELS

    header = read_dataset(sent, encoding.is_implicit_VR, encoding.is_little_endian, stop_when=is_pixels)
    if any(lengths):
        stand_in = DataElement(_PIXELS, "OB", bytes(2))
        # Encapsulated pixels have undefined length (PS3.5 annex A.4).
        stand_in.is_undefined_length = lengths[0] == _UNDEFINED_LENGTH
        header[_PIXELS] = stand_in
    return header


def _file_head(meta: Any) -> bytes:
    """What precedes the dataset in a DICOM file (PS3.10 section 7.1)."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info

    meta.ImplementationClassUID, meta.ImplementationVersionName = _CLASS_UID, _VERSION_NAME
    head = DicomBytesIO()
    head.write(bytes(128) + b"DICM")
    write_file_meta_info(head, meta)
    return head.getvalue()


def _status(code: int, comment: str) -> Any:
    from pydicom.dataset import Dataset

    status = Dataset()
    status.Status = code
    status.ErrorComment = " ".join(comment.encode("ascii", "replace").decode().split())[:_LONGEST_COMMENT]
    return status
