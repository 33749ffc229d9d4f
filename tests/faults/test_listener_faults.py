"""The listener under real faults: killed, power cut, disk full, while four senders send.

The numbers of films, kills and cuts are small here; `EDGE_SEG_FILMS`, `EDGE_SEG_KILLS` and `EDGE_SEG_CUTS` raise them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from edge_seg.phantom import phantom, write_dicom
from edge_seg_lab.ports import free_port
from edge_seg_lab.station_process import control_group, whole_records
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from .disks import disk, remount

pynetdicom = pytest.importorskip("pynetdicom", reason="needs edge-seg[clinic]")

FILMS = int(os.environ.get("EDGE_SEG_FILMS", "24"))
KILLS = int(os.environ.get("EDGE_SEG_KILLS", "4"))
CUTS = int(os.environ.get("EDGE_SEG_CUTS", "3"))
SENDERS = 4
PATIENCE_S = 300
"""How long to wait for an event on a busy machine."""
SYNTAXES = (ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """DICOM films of several encodings."""
    folder = tmp_path_factory.mktemp("films")
    made = []
    for number in range(FILMS):
        path = folder / f"{number:03d}.dcm"
        write_dicom(phantom(300, 280, seed=number % 4), path)
        dataset = pydicom.dcmread(path)
        uid = generate_uid(entropy_srcs=[f"fault {number}"])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        syntax = SYNTAXES[number % len(SYNTAXES)]
        if syntax.is_compressed:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
        made.append(path)
    return made


class Device:
    """`edge-seg run --listen` as a process that can be killed and started again."""

    def __init__(self, out: Path, model: Path | str, cgroup: Path | None = None) -> None:
        self.out, self._model, self._cgroup = out, model, cgroup
        self.port = free_port()
        self.start()

    def start(self) -> None:
        words = ["--listen", self.port, "--model", self._model, "--out", self.out, "--save", "mask,record", "--no-gate"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_seg.cli.main", "run", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self._enter_cgroup if self._cgroup else None,
        )

    def _enter_cgroup(self) -> None:
        assert self._cgroup is not None
        (self._cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for_second_attempts(self) -> None:
        """Wait until no film is being retried: one that is killed from outside three times would be set aside."""
        deadline = time.monotonic() + PATIENCE_S
        while any((self.out / "inbox" / "received").iterdir()) and any(self._tried_again()):
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.02)

    def _tried_again(self) -> Iterator[bool]:
        for note in (self.out / "attempts").glob("*"):
            with contextlib.suppress(FileNotFoundError):
                yield not note.read_text().endswith(" 0")

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=PATIENCE_S)[1]
        assert self.process.returncode == 130
        return said

    def records(self) -> list[dict[str, Any]]:
        return whole_records(self.out)

    def wait_for(self, count: int, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        # A draft left on a read-only disk is removed at the next start.
        while len(self.records()) < count or any((self.out / "inbox" / "received").glob("*.dcm")):
            assert time.monotonic() < deadline, len(self.records())
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.1)


class Senders:
    """Four senders at once, each with its share of the films; they repeat each film until it is accepted."""

    def __init__(self, port: int, films: list[Path]) -> None:
        self.acknowledged: list[str] = []
        self.refused: Counter[int] = Counter()
        self._port = port
        self._threads = [
            threading.Thread(target=self._send, args=(films[number::SENDERS],), daemon=True)
            for number in range(SENDERS)
        ]
        for thread in self._threads:
            thread.start()

    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def finish(self, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        assert not self.busy()

    def wait_for(self, count: int, seconds: float = PATIENCE_S) -> None:
        """Wait until `count` films are acknowledged."""
        deadline = time.monotonic() + seconds
        while len(self.acknowledged) < count:
            assert time.monotonic() < deadline, len(self.acknowledged)
            time.sleep(0.005)

    def _send(self, films: list[Path]) -> None:
        waiting = list(films)
        while waiting:
            entity = pynetdicom.AE("SCANNER")
            entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
            for syntax in SYNTAXES:
                entity.add_requested_context(DigitalXRayImageStorageForPresentation, syntax)
            association = entity.associate("127.0.0.1", self._port, ae_title="EDGESEG")
            while association.is_established and waiting:
                dataset = pydicom.dcmread(waiting[0])
                try:
                    status = association.send_c_store(dataset).get("Status")
                except (OSError, RuntimeError):
                    break
                if status == 0:
                    self.acknowledged.append(str(waiting.pop(0)))
                elif status is None:
                    break
                else:
                    self.refused[status] += 1
                    time.sleep(0.2)
            with contextlib.suppress(OSError, RuntimeError):
                association.release()
            time.sleep(0.05)


def check(out: Path, acknowledged: list[str], *, all_of_them: bool = True) -> None:
    """Check that every acknowledged film has exactly one intact result, and that nothing waits."""
    records = whole_records(out)
    assert {record["status"] for record in records} <= {"done"}
    count = Counter(record["film"]["sha256"] for record in records)
    assert set(count.values()) <= {1}
    sources = Counter(record["source"] for record in records)
    uids = {f"dicom {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID}" for path in acknowledged}
    assert uids <= set(sources)
    if all_of_them:
        assert uids == set(sources)
    assert set(sources.values()) <= {1}
    for record in records:
        for file in record["files"]:
            assert hashlib.sha256((out / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    assert not list((out / "inbox" / "received").iterdir())
    assert not list((out / "inbox" / "failed").iterdir())
    kept = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in (out / "inbox/done").iterdir()]
    assert len(kept) == len(set(kept)) == len(records)


def test_killed_under_load_every_acknowledged_film_has_one_result(
    tmp_path: Path, tiny_model: Path, films: list[Path]
) -> None:
    device = Device(tmp_path / "out", tiny_model)
    device.wait_until_it_listens()
    senders = Senders(device.port, films)
    chance = random.Random(0)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.02, 1.0))
        # A busy machine may need longer for a film than the time between two kills.
        device.wait_for_second_attempts()
        device.kill()
        device.start()
        device.wait_until_it_listens()
        if not senders.busy():
            senders.finish()
            # All is sent and the inbox may be empty: send again, so that the next kill interrupts work.
            senders = Senders(device.port, films)
    senders.finish()
    device.wait_for(len(films))
    device.stop()
    assert sorted(senders.acknowledged) == sorted(map(str, films))
    check(tmp_path / "out", senders.acknowledged)


def test_power_cuts_under_load_lose_no_acknowledged_film(tmp_path: Path, tiny_model: Path, films: list[Path]) -> None:
    chance = random.Random(1)
    # Counted in acknowledged films, not in seconds: on a busy machine a cut would come before the first film.
    moments = sorted(chance.choices(range(len(films) * 3 // 4), k=CUTS))
    copies = []
    with disk(tmp_path / "disk.img", tmp_path / "disk", 96) as place:
        device = Device(place / "out", tiny_model)
        device.wait_until_it_listens()
        senders = Senders(device.port, films)
        for number, moment in enumerate(moments):
            senders.wait_for(moment)
            time.sleep(chance.uniform(0, 0.1))
            # Nothing is flushed for the copy: it is what a disk holds if the power fails now.
            device.process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            acknowledged = list(senders.acknowledged)
            copy = tmp_path / f"copy{number}.img"
            subprocess.run(["cp", "--sparse=always", str(tmp_path / "disk.img"), str(copy)], check=True)
            device.process.send_signal(signal.SIGCONT)
            copies.append((copy, acknowledged))
        senders.finish()
        device.wait_for(len(films))
        device.stop()
    assert any(0 < len(acknowledged) < len(films) for _, acknowledged in copies)
    for copy, acknowledged in copies:
        with disk(copy, tmp_path / "after", 0) as place:
            out = place / "out"
            device = Device(out, tiny_model)
            device.wait_until_it_listens()
            device.wait_for(len(acknowledged))
            device.stop()
            check(out, acknowledged, all_of_them=False)
        copy.unlink()


def test_a_full_disk_is_waited_for_and_nothing_is_lost(
    small_disk: tuple[Path, Callable[[str], None]], tiny_model: Path, films: list[Path]
) -> None:
    place, resize = small_disk
    resize("1m")
    device = Device(place / "out", tiny_model)
    device.wait_until_it_listens()
    senders = Senders(device.port, films)
    deadline = time.monotonic() + PATIENCE_S
    while not senders.refused:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert set(senders.refused) == {0xA700}
    assert device.process.poll() is None
    resize("64m")
    senders.finish()
    device.wait_for(len(films))
    said = device.stop()
    assert "Traceback" not in said
    check(place / "out", senders.acknowledged)


def test_a_disk_that_turns_read_only_is_waited_for(tmp_path: Path, tiny_model: Path, films: list[Path]) -> None:
    with disk(tmp_path / "disk.img", tmp_path / "disk", 64) as place:
        device = Device(place / "out", tiny_model)
        device.wait_until_it_listens()
        half = len(films) // 2
        senders = Senders(device.port, films[:half])
        senders.wait_for(half // 2)
        # A busy disk may turn read-only only after all of these films are taken: others are left to be refused.
        remount(place, "ro", time.monotonic() + PATIENCE_S)
        before = len(senders.acknowledged)
        later = Senders(device.port, films[half:])
        deadline = time.monotonic() + PATIENCE_S
        while not later.refused:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        assert device.process.poll() is None
        # Films acknowledged at the moment of the change, one per sender, had been stored before.
        assert len(senders.acknowledged) <= before + SENDERS
        assert later.acknowledged == []
        remount(place, "rw", time.monotonic() + PATIENCE_S)
        senders.finish()
        later.finish()
        device.wait_for(len(films))
        device.stop()
        check(place / "out", senders.acknowledged + later.acknowledged)


def test_another_tools_sender(tmp_path: Path, tiny_model: Path, films: list[Path]) -> None:
    # A virtual environment has pynetdicom's own `storescu`.
    tool = shutil.which("storescu", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if tool is None:
        pytest.skip("dcmtk's storescu is not installed")
    device = Device(tmp_path / "out", tiny_model)
    device.wait_until_it_listens()
    start = time.monotonic()
    # storescu proposes one encoding per class, so each sender has films of one encoding.
    options = {ExplicitVRLittleEndian: [], RLELossless: ["-xr"], JPEG2000Lossless: ["-xv"]}
    words = [tool, "-aet", "SCANNER", "-aec", "EDGESEG"]
    by_syntax = {s: [f for i, f in enumerate(films) if SYNTAXES[i % len(SYNTAXES)] == s] for s in SYNTAXES}
    parts = list(by_syntax.items())
    parts = [(parts[0][0], parts[0][1][::2]), (parts[0][0], parts[0][1][1::2]), *parts[1:]]
    sent = [
        subprocess.Popen(
            [*words, *options[syntax], "127.0.0.1", str(device.port), *map(str, batch)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for syntax, batch in parts
        if batch
    ]
    for sender in sent:
        said = sender.communicate(timeout=PATIENCE_S)[0]
        assert sender.returncode == 0, said
    device.wait_for(len(films))
    taken = time.monotonic() - start
    status = Path(f"/proc/{device.process.pid}/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        print(f"{len(films)} films by {len(sent)} associations: {taken:.1f} s, {' '.join(peak.split())}")
    device.stop()
    check(tmp_path / "out", list(map(str, films)))


def test_a_film_that_kills_the_process_is_set_aside(tmp_path: Path, tiny_model: Path, films: list[Path]) -> None:
    """A stand-in for a crashing codec, loaded at interpreter start, ends the process when it sees that film."""
    poison = tmp_path / "poison.dcm"
    write_dicom(phantom(97, 101, seed=0), poison)
    assert np.array_equal(pydicom.dcmread(poison).pixel_array.shape, (97, 101))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def die(frame, event, argument):\n"
        "    if frame.f_code.co_name == 'decode_pixels' and frame.f_code.co_filename.endswith('dicom/codecs.py'):\n"
        "        if frame.f_locals['dataset'].Rows == 97: os._exit(139)\n"
        "sys.setprofile(die) if 'edge_seg.cli.main' in sys.orig_argv else None\n"
    )
    os.environ["PYTHONPATH"], before = (
        f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}",
        os.environ.get("PYTHONPATH", ""),
    )
    try:
        device = Device(tmp_path / "out", tiny_model)
        device.wait_until_it_listens()
        senders = Senders(device.port, [poison, films[0], films[1]])
        deaths = 0
        deadline = time.monotonic() + PATIENCE_S
        while senders.busy() or len(device.records()) < 3:
            assert time.monotonic() < deadline, deaths
            if device.process.poll() is not None:
                assert device.process.returncode == 139
                deaths += 1
                device.start()
            time.sleep(0.05)
        device.stop()
    finally:
        os.environ["PYTHONPATH"] = before
    assert deaths == 3
    failed = [record for record in device.records() if record["status"] == "failed"]
    assert len(failed) == 1
    assert "stopped the program 3 times" in failed[0]["error"]
    assert sum(record["status"] == "done" for record in device.records()) == 2


def test_in_256_mb_the_shipped_model_takes_the_load(tmp_path: Path) -> None:
    """Films of 2,000 x 2,000 pixels and 16 bits, 8 MB each uncompressed, from four senders at once."""
    made = []
    for number in range(max(8, FILMS // 2)):
        path = tmp_path / f"{number}.dcm"
        write_dicom(phantom(2000, 2000, seed=number % 3, bits=16), path)
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
        if number % 2:
            dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        dataset.save_as(path)
        made.append(path)
    with contextlib.ExitStack() as opened:
        try:
            group = opened.enter_context(control_group(256))
        except OSError as error:
            pytest.skip(f"no control group can be made here ({error.strerror})")
        device = Device(tmp_path / "out", "lungs", group.folder)
        device.wait_until_it_listens()
        start = time.monotonic()
        senders = Senders(device.port, made)
        senders.finish()
        device.wait_for(len(made))
        taken = time.monotonic() - start
        status = Path(f"/proc/{device.process.pid}/status").read_text()
        resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        print(f"{len(made)} films: {taken:.1f} s, peak {int(resident) / 1024:.0f} MiB, group {group.peak_mb:.0f} MiB")
        device.stop()
    check(tmp_path / "out", list(map(str, made)))
