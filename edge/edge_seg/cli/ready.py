"""What `edge-seg run` prints before the first film: where it listens, what it watches, and the page's address."""

from __future__ import annotations

import sys

from edge_seg.address import reachable_host
from edge_seg.cli.main import say
from edge_seg.station.config import StationConfig
from edge_seg.station.station import Station


def say_ready(station: Station) -> None:
    """Print it on standard error; if that is a terminal, the page's address as a QR code too."""
    config = station.config
    if station.page is not None:
        # The user knows a token that they chose; a log need not hold it.
        made_up = config.view.token is None
        address = station.page.url if made_up else station.page.address
        say(f"page: {address}")
        if not station.page.is_local and sys.stderr.isatty():
            _say_qr_code(address)
    if config.inputs.watch or config.listener.address or config.cameras.addresses:
        places = ", ".join(_place(state.name, config) for state in station.source.state())
        end = "; Ctrl-C ends it" if station.source.endless or station.source.total is None else ""
        say(f"ready: {places}; results in {config.results.folder}{end}")


def _place(name: str, config: StationConfig) -> str:
    kind, at, address = name.partition("DICOM at ")
    if kind or not at:
        return name
    host, _, port = address.rpartition(":")
    return f"DICOM at {reachable_host(host.strip('[]'))}:{port} (AE title {config.listener.ae_title})"


def _say_qr_code(address: str) -> None:
    import segno

    segno.make(address, micro=False).terminal(out=sys.stderr, compact=True)
