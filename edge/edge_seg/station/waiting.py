"""A service waits while the disk of its folder of results is missing, and its page says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_seg.errors import OutputError
from edge_seg.log import room_logger
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.outbox import Outbox
from edge_seg.segmenter import Segmenter
from edge_seg.sources import Source
from edge_seg.station.config import StationConfig
from edge_seg.station.health import Health
from edge_seg.station.service import Service
from edge_seg.station.session import RETRY_S
from edge_seg.station.wiring import open_output, open_page

_TICK_S = 0.2

_log = room_logger(__name__)


class _NoFilms(Source):
    """Films cannot be kept, so none are taken: senders get no connection and keep theirs."""

    total: int | None = None

    def __iter__(self) -> Iterator[None]:
        return iter(())


@dataclass
class _NoResults:
    """Stands in for a folder of results."""

    folder: Path
    outbox: Outbox | None = None
    notices: Outbox | None = None
    troubles: list[str] = field(default_factory=list)


def wait_for_results(config: StationConfig, segmenter: Segmenter, service: Service, error: OutputError) -> OutputFolder:
    """Retry until the folder of results can be used.

    Args:
        config: of the station.
        segmenter: of the station.
        service: reports why it waits, and that it is alive.
        error: why the folder could not be used at first.

    Raises:
        DeviceError: the page's port is not available.
        KeyboardInterrupt: the service is being stopped.
    """
    results = _NoResults(config.results.folder)
    health = Health(segmenter, _NoFilms(), results, config.view.problems)
    with ExitStack() as opened:
        if (page := open_page(config, segmenter, health)) is not None:
            opened.enter_context(closing(page))
        # Otherwise systemd would conclude that it does not start.
        service.started()
        _log.warning("waiting for the folder of results: %s", error)
        while True:
            results.troubles = [f"no films are taken: {error}"]
            service.waiting(error)
            end = time.monotonic() + RETRY_S
            while time.monotonic() < end:
                health.tick()
                service.tick()
                time.sleep(_TICK_S)
            try:
                return open_output(config)
            except OutputError as again:
                error = again
