"""TLS as other programs speak it: openssl and dcmtk's storescu against the page and the listener."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import Inbox, Listener
from edge_seg.station.page import PageServer
from edge_seg.tls import server_context

Certificate = tuple[Path, Path]
"""Certificate and key."""


@pytest.fixture
def page(certificate: Certificate) -> Iterator[PageServer]:
    health: Any = SimpleNamespace(alive=True, state=dict)
    with closing(PageServer("0", health, tls=server_context(*certificate))) as server:
        yield server


def listener(tmp_path: Path, certificate: Certificate, ca: Path | None = None) -> Listener:
    pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")
    return Listener("0", Inbox(tmp_path / "inbox"), tls=server_context(*certificate, ca=ca))


def s_client(port: int, trusted: Path, *options: str, sent: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    words = ["-connect", f"127.0.0.1:{port}", "-CAfile", str(trusted), "-verify_hostname", "localhost"]
    command = ["openssl", "s_client", *words, "-verify_return_error", "-brief", *options]
    return subprocess.run(command, input=sent, capture_output=True, timeout=60)


def test_openssl_reads_the_page(page: PageServer, certificate: Certificate) -> None:
    request = f"GET /healthz HTTP/1.1\r\nHost: localhost:{page.port}\r\n\r\n".encode()
    done = s_client(page.port, certificate[0], "-ign_eof", sent=request)
    assert done.returncode == 0, done.stderr
    assert b"Protocol version: TLSv1.3" in done.stderr
    assert b"Verification: OK" in done.stderr
    assert done.stdout.startswith(b"HTTP/1.1 200")
    assert done.stdout.endswith(b"\r\n\r\nok\n")


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_versions_that_are_broken_are_refused(page: PageServer, certificate: Certificate, version: str) -> None:
    # The client's own security level would refuse first.
    done = s_client(page.port, certificate[0], version, "-cipher", "ALL:@SECLEVEL=0")
    assert done.returncode != 0
    assert b"Protocol version" not in done.stderr
    assert s_client(page.port, certificate[0], "-tls1_2").returncode == 0


def test_openssl_meets_the_listener(tmp_path: Path, certificate: Certificate) -> None:
    with closing(listener(tmp_path, certificate)) as open_to_all:
        done = s_client(open_to_all.port, certificate[0])
    assert done.returncode == 0, done.stderr
    assert b"Verification: OK" in done.stderr


@pytest.mark.parametrize("proves_itself", [False, True])
def test_storescu_sends_over_tls(tmp_path: Path, certificate: Certificate, proves_itself: bool) -> None:
    # A virtual environment has pynetdicom's own `storescu`.
    tool = shutil.which("storescu", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if tool is None:
        pytest.skip("dcmtk's storescu is not installed")
    cert, key = certificate
    film = tmp_path / "film.dcm"
    write_dicom(phantom(64, 64, seed=0), film)
    received = tmp_path / "inbox" / "received"
    with closing(listener(tmp_path, certificate, ca=cert if proves_itself else None)) as known:

        def send(*options: str) -> int:
            words = [tool, "-aec", "EDGESEG", "-ta", "10", *options, "127.0.0.1", str(known.port), str(film)]
            return subprocess.run(words, capture_output=True, timeout=60).returncode

        assert send() != 0, "in clear"
        anonymous = send("+tla", "+cf", str(cert))
        assert (anonymous != 0) is proves_itself
        assert len(list(received.iterdir())) == (not proves_itself)
        assert send("+tls", str(key), str(cert), "+cf", str(cert)) == 0
        assert len(list(received.iterdir())) == 1
