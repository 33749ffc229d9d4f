"""Films of a DICOMweb service: found by QIDO-RS, fetched by WADO-RS (PS3.18 sections 10.6 and 10.4)."""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from edge_seg.errors import DeviceError, InputError, UsageError, first_line
from edge_seg.install import install_command
from edge_seg.sources.dicom.kind import FILM_MODALITIES
from edge_seg.sources.regular import LARGEST_FILE

AUTHORIZATION = "EDGE_SEG_DICOMWEB_AUTHORIZATION"
"""Environment variable: value of the `Authorization` header, if the service asks for one."""

REQUESTS = 8
"""Requests at once, over all workers: a hospital's archive has other work to do."""

_PAGE = 1000
_ANSWER_S = 30.0
_WAITS_S = (1.0, 4.0, 16.0)
"""Seconds before each retry of a request that the service was unable to answer."""

_BUSY = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_UID = re.compile(r"[0-9.]{1,64}")
_ENVELOPE = 1 << 16
"""Bytes around the object in a multipart answer."""


class _Busy(Exception):
    """The service cannot answer now; the text gives the symptom."""


def is_service(address: str) -> bool:
    """Whether an address is that of a DICOMweb service or of a film on one."""
    return address.startswith(("https://", "http://"))


def split_address(address: str) -> SplitResult:
    """The parts of an address.

    Raises:
        UsageError: it is malformed, or holds a password, which would end up in the plan.
    """
    # A malformed address may hold a password too.
    shown = f"{address.partition('://')[0]}://..." if "@" in address else address
    try:
        parts = urlsplit(address)
        usable = parts.hostname and " " not in parts.netloc and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{shown}: is no address of a service: check its host and port")
    if "@" in parts.netloc:
        raise UsageError(f"{shown}: an address holds no password: give {AUTHORIZATION} in the environment")
    return parts


def films_at(address: str) -> Iterator[str]:
    """The addresses of the films of a service.

    Args:
        address: parent of `/studies`, or of one study, series or instance; a query narrows the search
            (`?StudyDate=20250101-20251231`, `?Modality=RG`). Without `Modality`, the films are computed and digital
            radiographs (CR, DX).

    Raises:
        UsageError: see `split_address`.
        InputError: the service rejects the request, or its answers make no sense.
        DeviceError: it does not answer, or denies access.
    """
    parts = split_address(address)
    base = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
    if "/instances/" in parts.path:
        yield base
        return
    asked = parse_qsl(parts.query)
    modalities = [value for name, value in asked if name == "Modality"] or sorted(FILM_MODALITIES)
    others = [(name, value) for name, value in asked if name != "Modality"]
    with closing(_session()) as session:
        for modality in modalities:
            for page in _pages(session, base, [*others, ("Modality", modality)]):
                yield from (_address(base, one) for one in page)


def _pages(session: Any, base: str, asked: list[tuple[str, str]]) -> Iterator[list[dict[str, Any]]]:
    """Pages of instances; the service chooses their length."""
    offset, before = 0, None
    fields = [("includefield", tag) for tag in (_STUDY, _SERIES, _INSTANCE)]
    while True:
        wanted = [*asked, *fields, ("limit", str(_PAGE)), ("offset", str(offset))]
        data, _ = _got(session, f"{base}/instances", "application/dicom+json", wanted)
        page = _json(base, data) if data else []
        if not page:
            return
        if page[0] == before:
            raise InputError(f"{base}: gives the same page again and again: name one study or date at a time")
        yield page
        offset, before = offset + len(page), page[0]


def _json(base: str, data: bytes) -> list[dict[str, Any]]:
    try:
        page = json.loads(data)
        if isinstance(page, list) and all(isinstance(one, dict) for one in page):
            return page
    except (ValueError, RecursionError):
        pass
    raise InputError(f"{base}: answers like no DICOMweb service: give the address under which /studies lies")


def _address(base: str, found: dict[str, Any]) -> str:
    """The address of an instance; `base` supplies the study and series that the answer omits."""
    root, _, rest = base.partition("/studies/")
    known = dict(zip((_STUDY, "", _SERIES), rest.split("/"), strict=False)) if rest else {}
    uids = []
    for tag in (_STUDY, _SERIES, _INSTANCE):
        values = found.get(tag, {}).get("Value") if isinstance(found.get(tag, {}), dict) else None
        uid = str(values[0]) if isinstance(values, list) and values else known.get(tag, "")
        if not _UID.fullmatch(uid):
            raise InputError(f"{base}: names an instance without its UIDs: it answers like no DICOMweb service")
        uids.append(uid)
    return "{}/studies/{}/series/{}/instances/{}".format(root, *uids)


class Downloads:
    """Films of services as files, each kept for as long as it is needed.

    Args:
        limit: makes the context that each request holds while it runs; it limits how many run at once.
        timeout_s: seconds for one film.
    """

    def __init__(self, limit: Callable[[], AbstractContextManager[Any]], timeout_s: float) -> None:
        self._limit, self._timeout_s, self._held = limit, timeout_s, threading.local()
        self._folder = tempfile.TemporaryDirectory(prefix="edge-seg-")

    @contextmanager
    def film(self, address: str) -> Iterator[Path]:
        """A film's file, while the context lasts.

        Raises:
            InputError: the service has no such film, or it is not a film.
            DeviceError: the service does not answer, or denies access; no film is at fault.
        """
        if not hasattr(self._held, "session"):
            self._held.session, self._held.limit = _session(), self._limit()
        path = Path(self._folder.name) / f"{threading.get_ident()}.dcm"
        with self._held.limit:
            path.write_bytes(_object(self._held.session, address, self._timeout_s))
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove what is left."""
        self._folder.cleanup()


def _object(session: Any, address: str, timeout_s: float) -> bytes:
    """The DICOM object, in the encoding in which the service stores it."""
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    data, kind = _got(session, address, accept, [], timeout_s)
    told = Message()
    told["Content-Type"] = kind
    if told.get_content_type() == "application/dicom":
        return data
    boundary = (told.get_boundary() or "").encode()
    _, mark, part = data.partition(b"--" + boundary)
    head, gap, rest = part.partition(b"\r\n\r\n")
    body, end, _ = rest.partition(b"\r\n--" + boundary)
    if not (boundary and mark and gap and end and b"application/dicom" in head.lower()):
        raise InputError(f"{address}: the service gives no DICOM object but {kind[:80] or 'nothing'}: look at it there")
    return body


def _session() -> Any:
    try:
        import requests
    except ImportError as error:
        raise DeviceError(f"reading from DICOMweb needs requests: {install_command('archive')}") from error
    session = requests.Session()
    if value := os.environ.get(AUTHORIZATION):

        def authorize(request: Any) -> Any:
            request.headers["Authorization"] = value
            return request

        # A .netrc would override it if it were a header of the session.
        session.auth = authorize
    return session


def _got(
    session: Any, address: str, accept: str, asked: list[tuple[str, str]], timeout_s: float = 120.0
) -> tuple[bytes, str]:
    """The body and its media type; retries while the service is busy."""
    for wait_s in (*_WAITS_S, None):
        try:
            return _got_once(session, address, accept, asked, timeout_s)
        except _Busy as busy:
            if wait_s is None:
                raise DeviceError(f"{urlsplit(address).netloc}: {busy}: repeat the command later") from busy
            time.sleep(wait_s)
    raise AssertionError


def _got_once(
    session: Any, address: str, accept: str, asked: list[tuple[str, str]], timeout_s: float
) -> tuple[bytes, str]:
    import requests

    deadline, host = time.monotonic() + timeout_s, urlsplit(address).netloc
    try:
        with session.get(
            address, params=asked, headers={"Accept": accept}, timeout=_ANSWER_S, stream=True, allow_redirects=False
        ) as answer:
            _check_status(address, answer.status_code)
            parts, size = [], 0
            for chunk in answer.iter_content(1 << 20):
                parts.append(chunk)
                size += len(chunk)
                if size > LARGEST_FILE + _ENVELOPE:
                    raise InputError(f"{address}: more than {LARGEST_FILE:,} bytes are too many for a film")
                if time.monotonic() > deadline:
                    raise InputError(f"{address}: took longer than {timeout_s:.0f} s: give it more (--film-timeout)")
            return b"".join(parts), answer.headers.get("Content-Type", "")
    except requests.exceptions.SSLError as error:
        raise DeviceError(f"{host}: cannot be trusted ({first_line(error)}): check its certificate") from error
    except (requests.RequestException, OSError) as error:
        raise _Busy("does not answer") from error


def _check_status(address: str, status: int) -> None:
    host = urlsplit(address).netloc
    if status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
        return
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise DeviceError(f"{host}: refuses who asks ({status}): set {AUTHORIZATION}")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise DeviceError(f"{host}: redirects elsewhere: give the address that it redirects to")
    if status in _BUSY:
        raise _Busy(f"answers {status}")
    raise InputError(f"{address}: the service answers {status}: look at this film there")
