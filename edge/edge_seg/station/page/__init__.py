"""The page that shows a running session in a browser, and the routes for monitors: `/healthz`, `/metrics`."""

from edge_seg.station.page.api import Api
from edge_seg.station.page.correcting import Correcting
from edge_seg.station.page.server import PageLimits, PageServer

__all__ = ["Api", "Correcting", "PageLimits", "PageServer"]
