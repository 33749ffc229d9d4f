"""Thousands of camera frames, and of films in a watched folder: nothing grows.

The numbers are small here; `EDGE_SEG_FRAMES` and `EDGE_SEG_WATCHED` raise them.
"""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_seg.phantom import phantom
from edge_seg_lab.station_process import StationProcess

FRAMES = int(os.environ.get("EDGE_SEG_FRAMES", "1000"))
WATCHED = int(os.environ.get("EDGE_SEG_WATCHED", "100"))
PATIENCE_S = 1800
IN_HAND = 8
"""Open files, and threads that flush them, that may come and go; a leak would be one per film."""


@pytest.fixture
def camera() -> Iterator[str]:
    """An MJPEG camera on loopback that sends as fast as it is read."""
    chance = np.random.default_rng(0)
    frames = [cv2.imencode(".jpg", chance.integers(0, 255, (64, 64), np.uint8))[1].tobytes() for _ in range(7)]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            number = 0
            while True:
                jpeg = frames[number % len(frames)]
                number += 1
                try:
                    self.wfile.write(b"--frame\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg))
                except OSError:
                    return
                time.sleep(0.002)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


def watch_it(station: StationProcess, count: int) -> None:
    """Fail if it grows between the first tenth of `count` films and the last, counting a film per record."""
    records, deadline = station.out / "records.jsonl", time.monotonic() + PATIENCE_S
    seen = []
    for goal in (count // 10, count):
        while not records.exists() or records.read_bytes().count(b"\n") < goal:
            assert station.is_alive
            assert time.monotonic() < deadline
            time.sleep(0.2)
        seen.append((station.now_mb, station.descriptors, station.threads))
        print(f"{goal} films: {seen[-1][0]:.1f} MiB, {seen[-1][1]} descriptors, {seen[-1][2]} threads")
    station.stop()
    (memory, descriptors, threads), last = seen
    assert last[0] < memory + 10
    # A film's files are open until they are flushed, by at most eight threads that start when first needed.
    assert last[1] <= descriptors + IN_HAND
    assert last[2] <= threads + IN_HAND


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 300)
def test_nothing_grows_over_thousands_of_frames(tmp_path: Path, tiny_model: Path, camera: str) -> None:
    words = ["--camera", camera, "--model", str(tiny_model), "--save", "record", "--view", "0", "--no-gate"]
    watch_it(StationProcess(tmp_path / "out", words), FRAMES)
    last = json.loads((tmp_path / "out" / "records.jsonl").read_text().splitlines()[-1])
    assert last["film"]["age_s"] < 5
    assert last["status"] == "done"


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 300)
def test_nothing_grows_over_thousands_of_watched_films(tmp_path: Path, tiny_model: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    picture = phantom(64, 64, seed=0).film.pixels
    for number in range(WATCHED):
        # Each has different content.
        picture.reshape(-1)[:4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
        (watched / f"{number}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    words = ["--watch", str(watched), "--model", str(tiny_model), "--save", "mask,record", "--view", "0", "--no-gate"]
    watch_it(StationProcess(tmp_path / "out", words), WATCHED)
    assert len(list((tmp_path / "out").glob("*.right_lung.png"))) == WATCHED
