"""Configures pynetdicom for this program: silent, and with timeouts that hold when the clock is set."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace


def prepare_pynetdicom() -> None:
    """Prepare pynetdicom; call before making an association, on either side. May be called repeatedly.

    Its timers use wall-clock time (pynetdicom 3.0, `timer.py`). When a time server sets the clock of a board without a
    battery, every association would end in mid-film; when the clock goes back, a stuck one would last that much longer.
    """
    from pynetdicom import timer

    # It prints peers' errors, which status and record already report.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    vars(timer)["time"] = SimpleNamespace(time=time.monotonic)
