"""Which archive, or which receiver of records, an address means."""

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
        authorization: value of the header of that name for a DICOMweb service.

    Raises:
        UsageError: it is none.
        DeviceError: what it needs is not installed.

    >>> str(archive_at("PACS@10.0.0.5:104"))
    'PACS@10.0.0.5:104'
    """
    if address.startswith(("https://", "http://")):
        return DicomWebArchive.parse(address, authorization)
    return PacsArchive.parse(address, tls)


def receiver_at(address: str, *, tls: ssl.SSLContext | None = None, authorization: str | None = None) -> Archive:
    """What takes the record of each film, from `https://HOST/...` or `mqtt://HOST/TOPIC`.

    Args:
        address: as the user gives it.
        tls: what the receiver is checked by; the authorities of the system where none is given.
        authorization: value of the header of that name for a webhook, `USER:PASSWORD` for a broker.

    Raises:
        UsageError: it is none.
        DeviceError: what it needs is not installed.

    >>> str(receiver_at("https://his.example/films"))
    'https://his.example/films'
    """
    if address.startswith(("mqtt:", "mqtts:")):
        from edge_seg.outputs.outbox.mqtt import MqttBroker

        return MqttBroker.parse(address, authorization, tls)
    # Python's HTTP takes 50 ms to load, which a station without a webhook need not wait for.
    from edge_seg.outputs.outbox.webhook import Webhook

    return Webhook.parse(address, authorization, tls)
