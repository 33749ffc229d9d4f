"""How a run is stopped."""

from __future__ import annotations

import signal
import threading
from typing import Any

from edge_seg.station.session import Observer


class Stop(Observer):
    """Treats SIGTERM, which stops a service, like Ctrl-C; raises either again if Python lost it.

    An exception that a signal raises while a module is imported can end up in a callback that ignores it. On exit the
    previous handlers are restored.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._ask)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def tick(self) -> None:
        """See `Observer.tick`."""
        if self._asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True
        raise KeyboardInterrupt
