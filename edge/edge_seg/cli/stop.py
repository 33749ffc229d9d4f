"""How a run is stopped."""

from __future__ import annotations

import signal
import threading

from edge_seg.station.session import Observer


class Stop(Observer):
    """Takes SIGTERM, by which a service is stopped, as Ctrl-C; both are raised again where Python lost them.

    An exception that a signal raises while a module is imported can end in a callback that ignores it.
    """

    def __init__(self) -> None:
        self._asked = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._ask)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._ask)

    def tick(self) -> None:
        """See `Observer.tick`."""
        if self._asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True
        raise KeyboardInterrupt
