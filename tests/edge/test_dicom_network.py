"""Associations while the clock is set."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from edge_seg.dicom_network import prepare_pynetdicom, wait_until_ready
from edge_seg.phantom import phantom, write_dicom
from edge_seg.sources import Inbox, Listener

pynetdicom = pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")

DAY_S = 86_400.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The date, which `wrong_s` shifts while the kernel's clock runs on."""
    right, told = time.time, SimpleNamespace(wrong_s=0.0)
    monkeypatch.setattr(time, "time", lambda: right() + told.wrong_s)
    return told


@pytest.mark.parametrize("days", [40, -40])
def test_an_association_goes_on_when_the_clock_is_set(tmp_path: Path, clock: SimpleNamespace, days: float) -> None:
    write_dicom(phantom(90, 80, seed=0), tmp_path / "film.dcm")
    film = pydicom.dcmread(tmp_path / "film.dcm")
    listener = Listener("0", Inbox(tmp_path / "inbox"))
    try:
        entity = pynetdicom.AE("SCANNER")
        entity.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", listener.port, ae_title="EDGESEG")
        assert association.send_c_store(film).Status == 0
        clock.wrong_s = days * DAY_S
        # Its threads check their timers every few milliseconds.
        time.sleep(0.5)
        assert association.is_established
        assert association.send_c_store(film).Status == 0
        association.release()
    finally:
        listener.close()


@pytest.mark.parametrize("days", [40, -40])
def test_a_deadline_comes_in_time_when_the_clock_is_set(clock: SimpleNamespace, days: float) -> None:
    prepare_pynetdicom()
    timer = pynetdicom.timer.Timer(0.2)
    timer.start()
    clock.wrong_s = days * DAY_S
    assert not timer.expired
    time.sleep(0.3)
    assert timer.expired


class Late:
    """An association whose thread goes on only after two looks at it."""

    def __init__(self, alive: bool) -> None:
        self.alive, self.looks = alive, 0

    @property
    def _is_paused(self) -> bool:
        self.looks += 1
        return self.looks < 3

    def is_alive(self) -> bool:
        return self.alive


@pytest.mark.parametrize(("alive", "looks"), [(True, 3), (False, 1)])
def test_an_association_sends_once_its_thread_goes_on_or_has_ended(alive: bool, looks: int) -> None:
    association = Late(alive)
    wait_until_ready(association)
    assert association.looks == looks
