"""Secrets appear in no process list, record, page, metric or log; only the owner can read files that name patients."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from edge_seg.address import holds_secrets, with_user, without_secrets
from edge_seg.cli.secrets import hide_secrets
from edge_seg.phantom import phantom, write_dicom

WORDS = [sys.executable, "-m", "edge_seg.cli.main", "run"]


@pytest.fixture
def camera() -> Iterator[str]:
    """An MJPEG camera that requires `?pwd=`; its URL also has a user and a password."""
    frames = [cv2.imencode(".jpg", np.full((64, 64), grey, np.uint8))[1].tobytes() for grey in range(0, 250, 50)]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "pwd=hidden1" not in self.path:
                self.send_error(403)
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                for jpeg in itertools.cycle(frames):
                    self.wfile.write(b"--frame\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg))
                    time.sleep(0.02)
            except OSError:
                return

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://nurse:hidden2@127.0.0.1:{server.server_address[1]}/video?pwd=hidden1&channel=1"
    server.shutdown()


@pytest.mark.slow
def test_nothing_that_is_shown_or_kept_holds_a_secret(tmp_path: Path, tiny_model: Path, camera: str) -> None:
    out = tmp_path / "out"
    words = ["--camera", camera, "--model", str(tiny_model), "--out", str(out), "--no-gate", "-v"]
    words += ["--view", "0.0.0.0:0", "--view-token=hidden3", "--log-level", "debug"]
    process = subprocess.Popen([*WORDS, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    try:
        deadline = time.monotonic() + 60
        while not any("page: " in line for line in lines):
            assert time.monotonic() < deadline
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        listed = Path(f"/proc/{process.pid}/cmdline")
        if listed.exists():
            assert b"hidden" not in listed.read_bytes()
            assert b"127.0.0.1" in listed.read_bytes()
        url = next(line.split()[1] for line in lines if line.startswith("page: "))
        base, query = url.replace("0.0.0.0", "127.0.0.1"), "token=hidden3"
        while True:
            with urllib.request.urlopen(f"{base}state?{query}", timeout=10) as answer:
                state = answer.read().decode()
            if json.loads(state)["films"]["done"] > 2:
                break
            assert time.monotonic() < deadline, state
            time.sleep(0.1)
        with urllib.request.urlopen(f"{base}metrics?{query}", timeout=10) as answer:
            state += answer.read().decode()
    finally:
        process.terminate()
        said = process.communicate(timeout=60)
    told = [*said, *lines, state]
    told += [path.read_bytes().decode("latin-1") for path in out.rglob("*") if path.is_file()]
    told += [path.name for path in out.rglob("*")]
    for text in told:
        assert "hidden" not in text
        assert "nurse" not in text


@pytest.mark.slow
def test_a_password_from_the_environment_reaches_the_camera_and_nothing_else(
    tmp_path: Path, tiny_model: Path, camera: str
) -> None:
    address = camera.replace("nurse:hidden2@", "").replace("hidden1", "wrong")
    words = ["--camera", address, "--model", str(tiny_model), "--out", str(tmp_path / "out")]
    kept = {**os.environ, "EDGE_SEG_CAMERA_USER": "nurse", "EDGE_SEG_CAMERA_PASSWORD": "hidden4"}
    done = subprocess.run([*WORDS, *words], capture_output=True, text=True, timeout=60, env=kept)
    assert done.returncode == 5
    assert "403" in done.stderr
    for secret in ("wrong", "hidden4", "nurse"):
        assert secret not in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://nurse:s3cret@10.0.0.7:554/film",
        "rtsp://nurse:s3cret/with@slash@10.0.0.7/film",
        "http://10.0.0.7/video?pwd=s3cret",
        "http://10.0.0.7/video?s3cret",
        "http://10.0.0.7/video?a=1;password=s3cret#s3cret",
        "rtsp://10.0.0.7/user=nurse_password=s3cret_channel=1_stream=0.sdp?real_stream",
        "http://10.0.0.7/s3cret=s3cret/video".replace("s3cret=", "pwd="),
        "http://nurse:s3cret@[fe80::1]/film?token=s3cret&token=s3cret",
        "http://s3cret@10.0.0.7",
        "http://10.0.0.7/video?pin=123".replace("123", "s3cret"),
    ],
)
def test_no_spelling_of_an_address_shows_its_secrets(address: str) -> None:
    shown = without_secrets(address)
    assert "s3cret" not in shown
    assert "nurse" not in shown
    assert holds_secrets(address)
    assert without_secrets(shown) == shown
    assert "s3cret" not in " ".join(hide_secrets(["run", "--camera", address, f"--camera={address}"]))


def test_addresses_that_hold_none_stay_as_they_are() -> None:
    for address in ("demo", "0", "/dev/video0", "http://10.0.0.7:8080/video?channel=1", "C:\\film.avi", "a@b.avi"):
        assert without_secrets(address) == address
        assert not holds_secrets(address)
    assert with_user("http://10.0.0.7/", "a", "b@c") == "http://a:b%40c@10.0.0.7/"
    assert with_user("http://x:y@10.0.0.7/", "a", "b") == "http://x:y@10.0.0.7/"
    assert with_user("0", "a", "b") == "0"


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--save", "dicom,record"], ["--names"], []])
def test_files_that_name_patients_are_for_their_owner_alone(tmp_path: Path, tiny_model: Path, more: list[str]) -> None:
    pytest.importorskip("highdicom", reason="needs edge-seg[clinic]")
    film, out = tmp_path / "film.dcm", tmp_path / "out"
    write_dicom(phantom(200, 180), film)
    words = [*WORDS, str(film), "--model", str(tiny_model), "--out", str(out), "--no-gate", *more]
    done = subprocess.run(
        ["sh", "-c", 'umask 022; exec "$@"', "sh", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    modes = {stat.S_IMODE(path.stat().st_mode) for path in out.rglob("*") if path.is_file()}
    assert modes == ({0o600} if more else {0o644})
    assert (len(list(out.glob("*.dcm"))) > 0) == ("dicom,record" in more)


@pytest.mark.slow
@pytest.mark.parametrize("names", [False, True])
def test_nothing_of_a_patient_reaches_records_or_logs_unless_names_are_asked_for(
    tmp_path: Path, tiny_model: Path, names: bool
) -> None:
    film, out = tmp_path / "film.dcm", tmp_path / "out"
    write_dicom(phantom(200, 180), film)
    dataset = pydicom.dcmread(film)
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Doe^Jane", "ID-4711", "F"
    dataset.PatientBirthDate, dataset.PatientAge, dataset.OtherPatientIDs = "19500203", "071Y", "OTHER-4712"
    dataset.StudyDate = dataset.AcquisitionDate = dataset.ContentDate = dataset.SeriesDate = "20190405"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "ACC-4713", "House^Gregory"
    dataset.save_as(film)
    words = [*WORDS, str(film), "--model", str(tiny_model), "--out", str(out), "--no-gate", "-v", "--json"]
    words += ["--log-level", "debug", *(["--names"] if names else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr + (out / "records.jsonl").read_text()
    for word in ("1950", "OTHER-4712", "071Y", "ACC-4713", "House"):
        assert word not in told
    for word in ("Doe", "4711", "2019-04-05"):
        assert (word in told) == names, word
    assert json.loads(done.stdout)["dicom"]["study"] == str(dataset.StudyInstanceUID)
