"""The page that shows a running session in a browser, and what monitors ask: `/healthz`, `/metrics`."""

from edge_seg.station.page.api import Api
from edge_seg.station.page.correcting import Correcting
from edge_seg.station.page.server import PageLimits, PageServer

__all__ = ["Api", "Correcting", "PageLimits", "PageServer"]
