"""TLS for the page and for DICOM, from PEM files."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge_seg.errors import UsageError


def server_context(cert: Path, key: Path, ca: Path | None = None) -> ssl.SSLContext:
    """A server's TLS context: its certificate, and the authorities it trusts.

    Args:
        cert: its certificate, with the chain up to its authority's.
        key: belongs to the certificate.
        ca: certificates of authorities; if given, clients must present a certificate from one of them.

    Raises:
        UsageError: a file cannot be read, or certificate and key do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, cert, key, ca)
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A client's TLS context: the authorities it trusts, and its certificate.

    Args:
        ca: certificates of authorities, or a server's own self-signed one; the system's by default.
        cert, key: to present to a server that asks for them; both or neither.

    Raises:
        UsageError: a file cannot be read, or certificate and key do not belong together.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, cert, key, ca)
    return context


def _load(context: ssl.SSLContext, cert: Path | None, key: Path | None, ca: Path | None) -> None:
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except OSError as error:
            raise UsageError(
                f"{ca}: no certificate can be read from it ({_reason(error)}): give a file in PEM"
            ) from error
    if cert is not None:
        try:
            # Without the empty password, an encrypted key would prompt for one on the terminal.
            context.load_cert_chain(cert, key, password="")
        except OSError as error:
            problem = f"are no certificate and key that belong together ({_reason(error)})"
            raise UsageError(
                f"{cert}, {key}: {problem}: give both as files in PEM, the key without a password"
            ) from error


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__
