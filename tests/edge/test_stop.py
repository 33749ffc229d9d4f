"""Stopping: an interrupt that Python lost is raised again."""

from __future__ import annotations

import os
import signal

import pytest
from edge_seg.cli.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_lost_interrupt_comes_with_the_next_tick(number: signal.Signals) -> None:
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop = Stop()
        stop.tick()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        # Whoever caught that forgot it.
        with pytest.raises(KeyboardInterrupt):
            stop.tick()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
