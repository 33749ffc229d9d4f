"""Several sources as one: films are taken from each in turn, as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edge_seg.sources.source import Arrival, Source, SourceState


class Together(Source):
    """Films of all sources until the last of them ends.

    Args:
        sources: at least one.

    >>> from edge_seg.sources import DemoCamera
    >>> both = Together([DemoCamera(2, 64, 64), DemoCamera(1, 64, 64, seed=1)])
    >>> [film.name for film in both], both.total
    (['demo-000001.png', 'demo-000001.png', 'demo-000002.png'], 3)
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        totals = [source.total for source in sources]
        self.total = None if None in totals else sum(total for total in totals if total is not None)
        self.live = any(source.live for source in sources)
        self.endless = any(source.endless for source in sources)
        self.overlaps = all(source.overlaps for source in sources)
        # By identity: films hold arrays, which have no hash.
        self._owners: dict[int, Source] = {}

    def __iter__(self) -> Iterator[Arrival | None]:
        going = [(source, iter(source)) for source in self._sources]
        while going:
            for source, films in list(going):
                try:
                    arrival = next(films)
                except StopIteration:
                    going.remove((source, films))
                    continue
                if arrival is not None:
                    self._owners[id(arrival)] = source
                yield arrival

    def settled(self, arrival: Arrival, record: dict[str, Any] | None) -> None:
        """Tell the source that the film came from."""
        self._owners[id(arrival)].settled(arrival, record)
        # Only now: it is told again where that could not be written.
        del self._owners[id(arrival)]

    def state(self) -> list[SourceState]:
        """States of all."""
        return [state for source in self._sources for state in source.state()]

    def close(self) -> None:
        """Close all."""
        for source in self._sources:
            source.close()
