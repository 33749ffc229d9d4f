"""Stopping: an interrupt that Python lost is raised again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys
from edge_seg.cli.stop import Stop

number = int(sys.argv[1])
# A shell that starts tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
before = signal.getsignal(number)
with Stop() as stop:
    stop.tick()
    try:
        os.kill(os.getpid(), number)
        print("nothing came")
    except KeyboardInterrupt:
        pass
    # Whoever caught that forgot it.
    try:
        stop.tick()
        print("it was lost")
    except KeyboardInterrupt:
        print("it came again")
if signal.getsignal(number) is not before:
    print("the handler stays")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_lost_interrupt_comes_with_the_next_tick(number: signal.Signals) -> None:
    # In a separate process: a signal to this one could reach threads of libraries that other tests load.
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(int(number))], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "it came again\n"), done.stderr


def test_an_interrupt_amid_code_from_text_ends_with_its_exit_code_too(tmp_path: Path) -> None:
    lines = [
        "import click",
        "from edge_seg.cli.main import run_command",
        "@click.command()",
        "def stops():",
        "    exec('raise KeyboardInterrupt')",
        "run_command(stops, [])",
    ]
    (tmp_path / "stops.py").write_text("\n".join(lines))
    done = subprocess.run([sys.executable, "-m", "stops"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (130, "edge-seg: stopped")
