"""A clinic's device, started from Python or by `edge-seg run`."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edge_seg.errors import OutputError
from edge_seg.log import room_logger
from edge_seg.outputs.folder import OutputFolder
from edge_seg.segmenter import Segmenter
from edge_seg.station.config import StationConfig
from edge_seg.station.disk import DiskWatch
from edge_seg.station.health import Health
from edge_seg.station.memory import FreedMemory
from edge_seg.station.service import Service
from edge_seg.station.session import Observer, Summary, run_session
from edge_seg.station.shown import first_number
from edge_seg.station.waiting import wait_for_results
from edge_seg.station.wiring import load_segmenter, make_retention, open_output, open_page, open_sources

if TYPE_CHECKING:
    from edge_seg.station.page import PageServer

_LOG = room_logger(__name__)


class Station:
    """Takes films from its sources, segments them and keeps the results, as its configuration says.

    Creating it opens everything: folder, model, cameras, ports. It runs once. If its files name patients, only its user
    can read the files that this process makes from then on (umask 077).

    Args:
        config: what it does.
        segmenter: one that is already loaded; by default, the one that the configuration names.

    Attributes:
        config: as given.
        source: all sources as one.
        output: folder of results.
        page: the page's server, `None` without one.

    Raises:
        UsageError: a setting makes no sense.
        ModelError: no such model, or it is damaged.
        DeviceError: no engine, camera or port.
        OutputError: the folder of results cannot be used; a systemd service waits for it instead.
        ModuleNotFoundError: DICOM is requested and `edge-seg[clinic]` is not installed.

    >>> from edge_seg import Station, StationConfig
    >>> config = StationConfig.load("station.toml")  # doctest: +SKIP
    >>> with Station(config) as station:  # doctest: +SKIP
    ...     station.run()
    """

    def __init__(self, config: StationConfig, segmenter: Segmenter | None = None) -> None:
        self.config = config
        if config.holds_persons:
            os.umask(os.umask(0o077) | 0o077)
        for line in config.in_clear:
            _LOG.warning("%s", line)
        self._stop = _Stop()
        self._open = ExitStack()
        with ExitStack() as opening:
            self.segmenter = segmenter or load_segmenter(config.model, config.results.folder)
            self._service = opening.enter_context(closing(Service()))
            self.output = opening.enter_context(self._folder_of_results())
            self.source = opening.enter_context(closing(open_sources(config)))
            disk = DiskWatch(self.output.folder)
            self._observers: list[Observer] = [self._service, self._stop, FreedMemory(), disk]
            if (retention := make_retention(config, self.output)) is not None:
                self._observers.append(retention)
            first = first_number()
            health = Health(self.segmenter, self.source, self.output, config.view.problems, disk, first=first)
            self.page: PageServer | None = open_page(config, self.segmenter, health, self.output)
            if self.page is not None:
                opening.enter_context(closing(self.page))
                self._observers.append(health)
            self._open = opening.pop_all()
        _LOG.info("open: model %s, results in %s", self.segmenter.manifest.name, config.results.folder)

    def _folder_of_results(self) -> OutputFolder:
        """The folder of results; a service waits for its disk, and a page says so meanwhile."""
        try:
            return open_output(self.config)
        except OutputError as error:
            if not self._service.is_one:
                raise
            return wait_for_results(self.config, self.segmenter, self._service, error)

    @classmethod
    def from_file(cls, path: str | Path) -> Station:
        """The station that a TOML file describes; see `StationConfig.load`."""
        return cls(StationConfig.load(Path(path)))

    def run(self, observers: Sequence[Observer] = ()) -> Summary:
        """Run until the sources end, `stop` is called or Ctrl-C is pressed; then close everything.

        Args:
            observers: also notified of progress.

        Raises:
            OutputError: results of a finite source cannot be written.
        """
        with self:
            self._service.started()
            _LOG.info("started")
            summary = run_session(
                self.source,
                self.segmenter,
                self.output,
                [*observers, *self._observers],
                again=self.config.inputs.again,
            )
            _LOG.info(
                "ended: %d done, %d rejected, %d failed, %d done before",
                summary.done,
                summary.rejected,
                summary.failed,
                summary.skipped,
            )
        return summary

    def stop(self) -> None:
        """End `run` after the current film. May be called from any thread."""
        self._stop.asked.set()

    def close(self) -> None:
        """Release folder, cameras and ports. May be called repeatedly."""
        self._open.close()

    def __enter__(self) -> Station:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Stop(Observer):
    """Ends a session as Ctrl-C does."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def tick(self) -> None:
        """See `Observer.tick`."""
        if self.asked.is_set():
            raise KeyboardInterrupt
