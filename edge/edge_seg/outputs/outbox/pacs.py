"""A PACS: takes results by C-STORE (PS3.4 annex B)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_seg.dicom_network import prepare_pynetdicom, wait_until_ready
from edge_seg.errors import InputError, UsageError
from edge_seg.outputs.outbox.archive import PATIENCE_S, Archive, Trouble, allowed_s
from edge_seg.outputs.outbox.parcel import Parcel
from edge_seg.quiet import warnings_ignored

# Success, and warnings: the object is kept (PS3.4 table B.2-1). So is one that the archive already has (PS3.7 annex C):
# its UID is made from the film, the model and the settings, so it is the same.
_ACCEPTED = (0x0000, 0xB000, 0xB006, 0xB007, 0x0111)
_IMPLICIT, _EXPLICIT, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
_PLAIN = (_EXPLICIT, _IMPLICIT)
"""Encodings offered for every class besides the best: PS3.5 section 10.1 requires Implicit VR Little Endian."""


@dataclass(frozen=True)
class PacsArchive(Archive):
    """A PACS by AE title, host and port.

    Attributes:
        title, host, port: of the PACS.
        tls: secures the connection if given.

    >>> PacsArchive.parse("PACS@10.0.0.5:104")
    PacsArchive(title='PACS', host='10.0.0.5', port=104)
    """

    title: str
    host: str
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def parse(text: str, tls: ssl.SSLContext | None = None) -> PacsArchive:
        """A PACS from `AE@HOST:PORT`.

        Raises:
            UsageError: the address is invalid.
        """
        title, _, where = text.partition("@")
        host, _, port = where.rpartition(":")
        if not (0 < len(title) <= 16 and host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"--send {text}: give AE@HOST:PORT, such as PACS@10.0.0.5:104, or https://HOST/...")
        return PacsArchive(title, host.strip("[]"), int(port), tls)

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"

    @property
    def in_clear(self) -> bool:
        """Whether results travel without encryption."""
        return self.tls is None

    def deliver(
        self,
        parcels: Sequence[Path],
        sender: str,
        answer: Callable[[Path, str | None], None],
        is_closing: Callable[[], bool],
    ) -> Trouble | None:
        """Send files over one association; see `Archive.deliver`."""
        kinds = _kinds(parcels, answer)
        if not kinds:
            return None
        association = self._associate(sender, set(kinds.values()))
        try:
            # If every offer was refused, the association is over, but its contexts say what the archive does not take.
            if not association.is_established and not association.rejected_contexts:
                return Trouble(self._silence(association))
            for path in kinds:
                if is_closing():
                    return None
                trouble = self._deliver_one(association, path, answer)
                if trouble is not None:
                    return Trouble(f"{self} {trouble}", path)
        finally:
            if association.is_established:
                association.release()
        return None

    def _associate(self, sender: str, kinds: Iterable[tuple[str, str]]) -> Any:
        prepare_pynetdicom()
        import pynetdicom

        entity = pynetdicom.AE(sender)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = PATIENCE_S
        # The smallest encoding gets its own context: from several in one, the archive may choose the largest.
        offers: set[tuple[str, tuple[str, ...]]] = {(storage, (_smallest(syntax),)) for storage, syntax in kinds}
        offers |= {(storage, _PLAIN) for storage, _ in kinds}
        contexts = [pynetdicom.build_context(storage, list(syntaxes)) for storage, syntaxes in sorted(offers)]
        secure = None if self.tls is None else (self.tls, self.host)
        return entity.associate(self.host, self.port, contexts=contexts, ae_title=self.title, tls_args=secure)

    def _silence(self, association: Any) -> str:
        if not association.is_rejected:
            return f"{self} does not answer"
        reason = getattr(association.acceptor.primitive, "reason_str", "no reason given")
        return f"{self} refuses this device ({reason})"

    def _deliver_one(self, association: Any, path: Path, answer: Callable[[Path, str | None], None]) -> str | None:
        """Send a file; returns what keeps it and the rest from being sent."""
        try:
            parcel = Parcel.read(path)
            syntax = _accepted_syntax(association, parcel)
            if syntax is None:
                answer(path, f"{path.name}: {_refusal(association, parcel)}")
                return None
            dataset = parcel.encoded(syntax)
        except FileNotFoundError:
            # Housekeeping has removed it.
            return None
        except (InputError, OSError) as error:
            answer(path, str(error))
            return None
        if not association.is_established:
            return "hung up"
        association.dimse_timeout = association.network_timeout = allowed_s(_sent_bytes(parcel, dataset))
        wait_until_ready(association)
        try:
            response = association.send_c_store(dataset)
        except (RuntimeError, OSError):
            return "hung up"
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            answer(path, f"{path.name}: cannot be encoded ({error})")
            return None
        return _judge(response, path, answer)


def _judge(response: Any, path: Path, answer: Callable[[Path, str | None], None]) -> str | None:
    """Pass on the archive's answer; returns what keeps this file and the rest from being sent."""
    if "Status" not in response:
        return "hung up"
    status = int(response.Status)
    if status in _ACCEPTED:
        answer(path, None)
    elif status & 0xFF00 == 0xA700:
        return "is out of resources"
    else:
        comment = str(response.get("ErrorComment", "") or "")
        answer(path, f"{path.name}: the archive refuses it, status 0x{status:04X} {comment}".strip())
    return None


def _kinds(parcels: Sequence[Path], answer: Callable[[Path, str | None], None]) -> dict[Path, tuple[str, str]]:
    """SOP class and transfer syntax by file; files that are not DICOM are reported to `answer`."""
    import pydicom

    found: dict[Path, tuple[str, str]] = {}
    for path in parcels:
        try:
            with warnings_ignored():
                meta = pydicom.filereader.read_file_meta_info(path)
            found[path] = str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
        except FileNotFoundError:
            continue
        # Parsers can raise anything for damaged files.
        except Exception as error:
            answer(path, f"{path.name}: damaged, or no DICOM file ({type(error).__name__})")
    return found


def _smallest(syntax: str) -> str:
    """The smallest encoding in which a file of this encoding can be sent."""
    return _DEFLATED if syntax in _PLAIN else syntax


def _accepted_syntax(association: Any, parcel: Parcel) -> str | None:
    """The smallest encoding in which the archive takes this file, if any."""
    taken = {
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.abstract_syntax == parcel.storage
    }
    return next((syntax for syntax in (_smallest(parcel.syntax), *_PLAIN) if syntax in taken), None)


def _refusal(association: Any, parcel: Parcel) -> str:
    """Why no context for this file was accepted (PS3.8 table 9-18)."""
    from pydicom.uid import UID

    name = UID(parcel.storage).name
    results = {c.result for c in association.rejected_contexts if c.abstract_syntax == parcel.storage}
    if results == {4}:
        return f"the archive takes {name} in none of the encodings offered, Implicit VR Little Endian among them"
    return f"the archive takes no objects of class {name}: have it configured, then move the file back to the outbox"


def _sent_bytes(parcel: Parcel, dataset: Any) -> int:
    return max(parcel.size, len(dataset.get("PixelData", b"")))
