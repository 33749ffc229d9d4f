"""Turns an address into an archive or a receiver of records."""

from __future__ import annotations

import ssl

from edge_seg.outputs.outbox.archive import Archive
from edge_seg.outputs.outbox.dicomweb import DicomWebArchive
from edge_seg.outputs.outbox.pacs import PacsArchive


def archive_at(address: str, *, tls: ssl.SSLContext | None = None, authorization: str | None = None) -> Archive:
    """An archive from `AE@HOST:PORT` or `https://HOST/...`.

    Args:
        address: as the user gives it.
        tls: secures the connection to a PACS.
        authorization: value of the `Authorization` header for a DICOMweb service.

    Raises:
        UsageError: the address is invalid.
        DeviceError: a package that it needs is not installed.

    >>> str(archive_at("PACS@10.0.0.5:104"))
    'PACS@10.0.0.5:104'
    """
    if address.startswith(("https://", "http://")):
        return DicomWebArchive.parse(address, authorization)
    return PacsArchive.parse(address, tls)


def receiver_at(address: str, *, tls: ssl.SSLContext | None = None, authorization: str | None = None) -> Archive:
    """A receiver of each film's record, from `https://HOST/...` or `mqtt://HOST/TOPIC`.

    Args:
        address: as the user gives it.
        tls: verifies the receiver; by default with the system's certificate authorities.
        authorization: value of the `Authorization` header for a webhook, `USER:PASSWORD` for a broker.

    Raises:
        UsageError: the address is invalid.
        DeviceError: a package that it needs is not installed.

    >>> str(receiver_at("https://his.example/films"))
    'https://his.example/films'
    """
    if address.startswith(("mqtt:", "mqtts:")):
        from edge_seg.outputs.outbox.mqtt import MqttBroker

        return MqttBroker.parse(address, authorization, tls)
    # Python's HTTP client takes 50 ms to load; a station without a webhook need not wait for it.
    from edge_seg.outputs.outbox.webhook import Webhook

    return Webhook.parse(address, authorization, tls)
