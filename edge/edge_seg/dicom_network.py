"""pynetdicom as this program needs it: silent, and with deadlines that hold though somebody sets the clock."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace


def prepare_pynetdicom() -> None:
    """To be called before an association is made, on either side; once more does no harm.

    Its timers read the date (pynetdicom 3.0, `timer.py`). Where a time server sets the clock of a board without a
    battery, each association would end amid a film; where the clock goes back, one that is stuck would stay as long.
    """
    from pynetdicom import timer

    # It prints what peers do wrong; those who should know hear of it by status and record.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    vars(timer)["time"] = SimpleNamespace(time=time.monotonic)
