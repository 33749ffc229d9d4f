"""Threads that need pydicom at the same moment, as the outbox and the first film do, all get the whole library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from edge_seg.phantom import phantom, write_dicom

pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")

TOGETHER = """
import sys, threading, time
from pathlib import Path

class Slow:
    # Loading takes long on a small board, which is when threads meet.
    def find_spec(self, name, path=None, target=None):
        if name.startswith("pydicom."):
            time.sleep(0.02)

sys.meta_path.insert(0, Slow())
film = Path(sys.argv[1])
failed = []

def at_once(work):
    def run():
        barrier.wait()
        try:
            work()
        except BaseException as error:
            failed.append(repr(error))
    thread = threading.Thread(target=run)
    thread.start()
    return thread

def read():
    read_film(film)

def send():
    Parcel.read(film)

def associate():
    prepare_pynetdicom()
    import pynetdicom

from edge_seg.dicom_network import prepare_pynetdicom
from edge_seg.outputs.outbox.parcel import Parcel
from edge_seg.sources import read_film
import edge_seg.sources.dicom

assert "pydicom" not in sys.modules
works = [globals()[name] for name in sys.argv[2:]]
barrier = threading.Barrier(len(works))
for thread in [at_once(work) for work in works]:
    thread.join()
print(failed)
"""


@pytest.mark.parametrize("works", [("read", "send"), ("send", "read"), ("associate", "read"), ("send", "associate")])
def test_threads_that_meet_while_pydicom_loads_all_get_it_whole(works: tuple[str, ...], tmp_path: Path) -> None:
    film = tmp_path / "chest.dcm"
    write_dicom(phantom(64, 60, seed=1, bits=16), film)
    done = subprocess.run([sys.executable, "-c", TOGETHER, str(film), *works], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
