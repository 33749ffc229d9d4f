"""Configures pynetdicom for this program: silent, and with timeouts that hold when the clock is set."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import Any

from edge_seg.dicom_library import load_pydicom

_LATE_S = 10.0


def prepare_pynetdicom() -> None:
    """Prepare pynetdicom; call before making an association, on either side. May be called repeatedly.

    Its timers use wall-clock time (pynetdicom 3.0, `timer.py`). When a time server sets the clock of a board without a
    battery, every association would end in mid-film; when the clock goes back, a stuck one would last that much longer.
    """
    load_pydicom()
    from pynetdicom import timer

    # It prints peers' errors, which status and record already report.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    vars(timer)["time"] = SimpleNamespace(time=time.monotonic)


def wait_until_ready(association: Any) -> None:
    """Wait until an association that this side requested can send; call before each `send_c_store`.

    `send_c_store` pauses pynetdicom's thread, so that it does not take the answer, and waits for a flag that says so
    (pynetdicom 3.0, `association.py`). After the last answer the flag may still stand while the thread already goes on;
    it then takes the next answer and aborts. Without the flag in another version, this does nothing.
    """
    deadline = time.monotonic() + _LATE_S
    while getattr(association, "_is_paused", False) and association.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
