"""Several sources as one: films are taken from each in turn, as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_seg.film import Arrival
from edge_seg.sources.source import Source, SourceState


class Together(Source):
    """Films of all sources until the last one ends.

    Args:
        sources: at least one.

    >>> from edge_seg.sources import DemoCamera
    >>> both = Together([DemoCamera(2, 64, 64), DemoCamera(1, 64, 64, seed=1)])
    >>> [arrival.content.name for arrival in both], both.total
    (['demo-000001.png', 'demo-000001.png', 'demo-000002.png'], 3)
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        totals = [source.total for source in sources]
        self.total = None if None in totals else sum(total for total in totals if total is not None)
        self.passed_over = sum(source.passed_over for source in sources)
        self.live = any(source.live for source in sources)
        self.endless = any(source.endless for source in sources)

    def __iter__(self) -> Iterator[Arrival | None]:
        going = [iter(source) for source in self._sources]
        while going:
            for arrivals in list(going):
                try:
                    yield next(arrivals)
                except StopIteration:
                    going.remove(arrivals)

    def state(self) -> list[SourceState]:
        """The states of all sources."""
        return [state for source in self._sources for state in source.state()]

    def stopped(self) -> None:
        """Notify all sources."""
        for source in self._sources:
            source.stopped()

    def close(self) -> None:
        """Close all sources."""
        for source in self._sources:
            source.close()
