"""A DICOMweb service: takes results by STOW-RS (PS3.18 section 10.5)."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_seg.errors import DeviceError, InputError, UsageError
from edge_seg.install import install_command
from edge_seg.outputs.outbox.archive import PATIENCE_S, Archive, Trouble, allowed_s
from edge_seg.outputs.outbox.parcel import Parcel

_EXPLICIT = "1.2.840.10008.1.2.1"
_OUT_OF_RESOURCES = 0xA700
_NO_SUCH_ENCODING = 0xC122  # PS3.18 table I.2-2
_DUPLICATE_IS_FINE = 0x0111  # PS3.7 annex C: Duplicate SOP Instance
_ITS_OWN_FAULT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Statuses that concern the object, not the service or the client."""


@dataclass(frozen=True)
class DicomWebArchive(Archive):
    """A DICOMweb service by its address.

    Attributes:
        url: the base that `/studies` is appended to.
        authorization: value of the `Authorization` header, if the service wants one.

    >>> str(DicomWebArchive.parse("https://pacs.example/dicom-web/"))
    'https://pacs.example/dicom-web'
    """

    url: str
    authorization: str | None = field(default=None, repr=False)

    @staticmethod
    def parse(text: str, authorization: str | None = None) -> DicomWebArchive:
        """A service from its address.

        Raises:
            UsageError: it is not an address, or holds a password, which would appear in logs and process lists.
            DeviceError: dicomweb-client is not installed.
        """
        try:
            parts = urlsplit(text)
            named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            named = False
        if not named:
            raise UsageError("--send: no address of a DICOMweb service: give https://HOST/..., or AE@HOST:PORT")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise UsageError(
                f"--send {parts.scheme}://{parts.hostname}: give the address without password and query: "
                "what the service asks for goes into EDGE_SEG_SEND_AUTHORIZATION"
            )
        if importlib.util.find_spec("dicomweb_client") is None:
            raise DeviceError(f"sending to DICOMweb needs dicomweb-client: {install_command('clinic')}")
        return DicomWebArchive(text.rstrip("/"), authorization)

    def __str__(self) -> str:
        return self.url

    @property
    def in_clear(self) -> bool:
        """Whether results travel without encryption."""
        return self.url.startswith("http://")

    def deliver(
        self,
        parcels: Sequence[Path],
        sender: str,
        answer: Callable[[Path, str | None], None],
        is_closing: Callable[[], bool],
    ) -> Trouble | None:
        """Send files, one request each; see `Archive.deliver`."""
        import requests

        with requests.Session() as session:
            # A redirected POST turns into a GET, which succeeds and stores nothing.
            session.max_redirects = 0
            session.hooks["response"].append(_bare_media_type)
            for path in parcels:
                if is_closing():
                    return None
                try:
                    parcel = Parcel.read(path)
                    trouble = self._deliver_one(session, sender, parcel, path, answer)
                except FileNotFoundError:
                    continue
                except (InputError, OSError) as error:
                    # Errors of requests are OSErrors too, but never leave `_store`.
                    answer(path, str(error))
                    continue
                if trouble is not None:
                    return Trouble(f"{self} {trouble}", path)
        return None

    def _deliver_one(
        self, session: Any, sender: str, parcel: Parcel, path: Path, answer: Callable[[Path, str | None], None]
    ) -> str | None:
        """Send a file; returns what keeps it and the rest from being sent."""
        reason, trouble = self._store(session, sender, parcel, parcel.dataset)
        if reason == _NO_SUCH_ENCODING and parcel.syntax != _EXPLICIT:
            reason, trouble = self._store(session, sender, parcel, parcel.encoded(_EXPLICIT))
        if trouble is not None:
            return trouble
        if reason in (None, _DUPLICATE_IS_FINE):
            answer(path, None)
        elif reason & 0xFF00 == _OUT_OF_RESOURCES:
            return "is out of resources"
        else:
            answer(path, f"{path.name}: the archive refuses it, {_words(reason)}")
        return None

    def _store(self, session: Any, sender: str, parcel: Parcel, dataset: Any) -> tuple[int | None, str | None]:
        """Send an object; returns why the service refuses it (failure reason or HTTP status), or what prevents it."""
        import requests
        from dicomweb_client import DICOMwebClient

        logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)
        headers = {"Accept": "application/dicom+json", "User-Agent": sender}
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        patience = PATIENCE_S, allowed_s(max(parcel.size, len(dataset.get("PixelData", b""))))
        client = DICOMwebClient(self.url, session=session, headers=headers, timeout=patience)
        client.set_http_retry_params(retry=False)
        # In one piece with its length: many proxies reject chunks.
        client.set_chunk_size(1 << 30)
        try:
            response = client.store_instances([dataset])
        except requests.TooManyRedirects:
            return None, "redirects elsewhere: give the address that it redirects to"
        except requests.HTTPError as error:
            return _refusal(error.response)
        except requests.exceptions.SSLError as error:
            return None, f"cannot be trusted ({_line(error)})"
        except ValueError:
            # Not JSON, or not a data set; the ValueError that requests raises is a RequestException too.
            return None, "answers like no DICOMweb service"
        except (requests.RequestException, OSError):
            return None, "does not answer"
        return _outcome(response, parcel)


def _outcome(response: Any, parcel: Parcel) -> tuple[int | None, str | None]:
    """What a success response says about the object."""
    for item in response.get("FailedSOPSequence") or ():
        return int(item.get("FailureReason", 0) or 0), None
    stored = {str(item.get("ReferencedSOPInstanceUID", "")) for item in response.get("ReferencedSOPSequence") or ()}
    if parcel.instance not in stored:
        return None, "answers like no DICOMweb service"
    return None, None


def _refusal(response: Any) -> tuple[int | None, str | None]:
    """What an error response says about the object or the service."""
    import pydicom

    status = response.status_code
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return None, f"refuses this device ({status}): set EDGE_SEG_SEND_AUTHORIZATION"
    if status not in _ITS_OWN_FAULT:
        return None, f"answers {status}"
    try:
        told = pydicom.Dataset.from_json(json.dumps(response.json()))
        (reason,) = {int(item.FailureReason) for item in told.FailedSOPSequence}
    except (ValueError, KeyError, AttributeError, TypeError):
        reason = _NO_SUCH_ENCODING if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE else status
    return reason, None


def _words(reason: int) -> str:
    return f"HTTP status {reason}" if reason in _ITS_OWN_FAULT else f"failure reason 0x{reason:04X}"


def _bare_media_type(response: Any, **_: Any) -> None:
    """Strip media type parameters: with `; charset=utf-8`, dicomweb-client would see an empty answer."""
    if kind := response.headers.get("Content-Type"):
        response.headers["Content-Type"] = kind.split(";")[0].strip()


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
