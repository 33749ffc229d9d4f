"""A clinic's device in five lines: python watch_a_folder.py inbox results."""

import sys
from pathlib import Path

from edge_seg import Station, StationConfig
from edge_seg.station.config import InputsConfig, ResultsConfig, ViewConfig

config = StationConfig(
    inputs=InputsConfig(watch=(Path(sys.argv[1]),), frames=int(sys.argv[3]) if len(sys.argv) > 3 else None),
    results=ResultsConfig(folder=Path(sys.argv[2])),
    view=ViewConfig(address="0"),
)
with Station(config) as station:
    print(f"page: {station.page.url}" if station.page else "no page", flush=True)
    summary = station.run()
print(f"{summary.done} done, {summary.rejected} rejected, {summary.failed} failed")
