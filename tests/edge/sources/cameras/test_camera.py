"""Cameras: the newest frame, each fault reported once within seconds, and frames again when the camera recovers."""

from __future__ import annotations

import contextlib
import http.server
import re
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg import DeviceError, Film, UsageError
from edge_seg.address import without_secrets
from edge_seg.film import Failure
from edge_seg.phantom import phantom
from edge_seg.sources import Camera, CameraOptions, Source, open_source
from edge_seg.sources.cameras.connect import open_feed
from edge_seg.sources.cameras.jpeg import decode_frame
from edge_seg.sources.cameras.mjpeg import MjpegFeed
from edge_seg.sources.cameras.stream import BrokenFrame, FeedEnded

Act = Callable[["Connection"], None]


class Connection:
    """What a camera does with one connection."""

    count = 0

    def __init__(self, handler: http.server.BaseHTTPRequestHandler, sized: bool = True) -> None:
        self._handler, self._sized = handler, sized

    def send(self, jpeg: bytes) -> None:
        length = b"Content-Length: %d\r\n" % len(jpeg) if self._sized else b""
        part = b"--frame\r\nContent-Type: image/jpeg\r\n%s\r\n%s\r\n" % (length, jpeg)
        self._handler.wfile.write(part)

    def frames(self, number: int, make: Callable[[bytes], bytes] = lambda jpeg: jpeg, moving: bool = True) -> None:
        for _ in range(number):
            Connection.count += moving
            self.send(make(jpeg(Connection.count)))
            time.sleep(0.05)

    def trickle(self) -> None:
        while True:
            self._handler.wfile.write(b"x")
            time.sleep(0.3)


def jpeg(number: int) -> bytes:
    picture = phantom(64, 80, phase=(number % 10) / 10).film.pixels.copy()
    picture[0, : number % 80] = 255
    return cv2.imencode(".jpg", picture)[1].tobytes()


class Server:
    """A camera on loopback: its acts, one per connection, the last one repeated; `None` answers 404."""

    def __init__(self, *acts: Act | None, sized: bool = True) -> None:
        script = list(acts)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                act = script.pop(0) if len(script) > 1 else script[0]
                if act is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    act(Connection(self, sized))

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/camera.mjpeg"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


def contents(source: Source) -> Iterator[Film | Failure | None]:
    for arrival in source:
        yield None if arrival is None else arrival.content


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def make(*acts: Act | None, sized: bool = True) -> Server:
        servers.append(Server(*acts, sized=sized))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def well(connection: Connection) -> None:
    connection.frames(10_000)


def ends(connection: Connection) -> None:
    connection.frames(5)


def stalls(connection: Connection) -> None:
    connection.frames(5)
    time.sleep(60)


def freezes(connection: Connection) -> None:
    connection.frames(5)
    connection.frames(10_000, moving=False)


def breaks(connection: Connection) -> None:
    connection.frames(5)
    connection.frames(10_000, lambda whole: whole[: len(whole) // 2])


def trickles(connection: Connection) -> None:
    connection.frames(5)
    connection.trickle()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("acts", "said"),
    [
        ((ends, well), "ended"),
        ((stalls, well), "no whole picture"),
        ((freezes, well), "frozen"),
        ((breaks, well), "broken"),
        ((trickles, well), "no whole picture"),
        ((ends, None, None, well), "ended"),
    ],
    ids=["end", "stall", "frozen", "broken", "hang", "404"],
)
def test_each_fault_is_told_once_within_seconds_and_frames_come_again(
    serve: Callable[..., Server], acts: tuple[Act | None, ...], said: str
) -> None:
    source = Camera(serve(*acts).url)
    films: list[Film] = []
    failures: list[Failure] = []
    last_good = told = time.monotonic()
    deadline = time.monotonic() + 300
    for arrival in contents(source):
        now = time.monotonic()
        assert now < deadline, (len(films), failures)
        if isinstance(arrival, Failure):
            failures.append(arrival)
            told = now
        elif arrival is not None:
            films.append(arrival)
            if not failures:
                last_good = now
            elif len(films) > 25:
                break
    source.close()
    assert len(failures) == 1
    assert isinstance(failures[0].error, DeviceError)
    assert said in str(failures[0].error)
    assert told - last_good < 15
    assert all("camera-derived" in film.warnings for film in films)
    assert len({film.name for film in films}) == len(films)


def test_the_newest_frame_not_a_queue(serve: Callable[..., Server]) -> None:
    source = open_source(cameras=[serve(well).url])
    young = 0
    deadline = time.monotonic() + 120
    for arrival in contents(source):
        assert time.monotonic() < deadline
        if isinstance(arrival, Film):
            # From a queue, which grows by ten frames meanwhile, each film would be half a second older than the last.
            young = young + 1 if arrival.age_s is not None and arrival.age_s < 0.3 else 0
            time.sleep(0.5)
        if young == 4:
            break
    source.close()


def test_a_number_of_frames_is_kept(serve: Callable[..., Server]) -> None:
    source = open_source(cameras=[serve(well).url], frames=2)
    assert sum(isinstance(arrival, Film) for arrival in contents(source)) == 2
    source.close()


@pytest.mark.parametrize("sized", [True, False], ids=["with lengths", "without"])
def test_frames_come_through_unchanged(serve: Callable[..., Server], sized: bool) -> None:
    sent = jpeg(3)
    feed = open_feed(serve(lambda connection: [connection.send(sent) for _ in range(3)] and None, sized=sized).url)
    assert isinstance(feed, MjpegFeed)
    assert feed.read() == feed.read() == sent
    picture = cv2.imdecode(np.frombuffer(sent, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert np.array_equal(feed.decode(sent), picture)
    feed.release()


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty", "text"])
@pytest.mark.parametrize("strict", [True, False], ids=["simplejpeg", "without"])
def test_broken_pictures_are_known(monkeypatch: pytest.MonkeyPatch, damage: str, strict: bool) -> None:
    whole = jpeg(1)
    noise = np.random.default_rng(0).integers(0, 255, 300, np.uint8).tobytes()
    middle = len(whole) // 2
    broken = {
        "cut": whole[:middle],
        "overwritten": whole[:middle] + noise + whole[middle + 300 :],
        "empty": b"",
        "text": b"no picture",
    }[damage]
    if not strict:
        if damage == "overwritten":
            pytest.skip("OpenCV's decoder keeps what it knows of damage to itself")
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert decode_frame(whole).shape[:2] == (64, 80)
    with pytest.raises(BrokenFrame):
        decode_frame(broken)


def record(path: Path, frames: int, damaged: int | None = None) -> None:
    """Write a video of JPEG frames, 20 per second; one may be damaged."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (80, 64))
    for number in range(frames):
        picture = cv2.imdecode(np.frombuffer(jpeg(8 * number), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        writer.write(picture)
    writer.release()
    if damaged is not None:
        data = path.read_bytes()
        starts = [found.start() for found in re.finditer(b"\xff\xd8\xff", data)]
        middle = (starts[damaged] + starts[damaged + 1]) // 2
        noise = np.random.default_rng(0).integers(0, 255, 300, np.uint8).tobytes()
        path.write_bytes(data[:middle] + noise + data[middle + 300 :])


def test_a_recording_plays_at_its_pace_ends_and_is_asked_anew(tmp_path: Path) -> None:
    record(tmp_path / "ward.avi", frames=10, damaged=6)
    source = Camera(str(tmp_path / "ward.avi"))
    films: list[Film] = []
    failures: list[Failure] = []
    told_after = 0
    began = time.monotonic()
    for arrival in contents(source):
        assert time.monotonic() - began < 300
        if isinstance(arrival, Failure):
            failures.append(arrival)
            told_after = len(films)
            assert time.monotonic() - began > 0.4
        elif arrival is not None:
            films.append(arrival)
        if failures and len(films) > told_after + 3:
            break
    source.close()
    assert "ended" in str(failures[0].error)
    # Which ones a busy machine skips is random; a damaged one is never delivered.
    assert 0 < told_after <= 9
    seen = {round(np.count_nonzero(film.pixels[0] > 200) / 8) for film in films}
    assert 6 not in seen
    assert seen & set(range(6))


@pytest.mark.parametrize("name", ["absent.mp4", "text.mp4", "folder/"])
def test_what_is_no_recording_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DeviceError, match=r"no such file|no video"):
        open_feed(f"{tmp_path}/{name}")


class Capture:
    """A stand-in for OpenCV's capture of a USB camera that sends JPEG pictures."""

    frames: tuple[bytes, ...] = ()
    hands_over = True

    def __init__(self, device: int, api: int) -> None:
        self._left, self._undecoded = list(self.frames), False

    def isOpened(self) -> bool:
        return True

    def get(self, name: int) -> float:
        return {cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG")}[name]

    def set(self, name: int, value: float) -> bool:
        assert (name, value) == (cv2.CAP_PROP_CONVERT_RGB, 0)
        self._undecoded = self.hands_over
        return self.hands_over

    def read(self) -> tuple[bool, np.ndarray | None]:
        if not self._left:
            return False, None
        frame = np.frombuffer(self._left.pop(0), np.uint8)
        return True, frame[None] if self._undecoded else cv2.imdecode(frame, cv2.IMREAD_COLOR)

    def release(self) -> None:
        pass


@pytest.mark.parametrize("address", ["0", "/dev/video0"])
@pytest.mark.parametrize("hands_over", [True, False], ids=["undecoded", "decoded"])
def test_a_usb_camera_that_sends_jpeg(monkeypatch: pytest.MonkeyPatch, address: str, hands_over: bool) -> None:
    whole = jpeg(2)
    monkeypatch.setattr(Capture, "frames", (whole, whole[: len(whole) // 2]) if hands_over else (whole,))
    monkeypatch.setattr(Capture, "hands_over", hands_over)
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    feed = open_feed(address)
    assert feed.decode(feed.read()).shape[:2] == (64, 80)
    if hands_over:
        with pytest.raises(BrokenFrame):
            feed.decode(feed.read())
    with pytest.raises(FeedEnded):
        feed.read()


def test_a_link_to_a_camera_is_that_camera(tmp_path: Path) -> None:
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-ward").symlink_to("/dev/video97")
    (tmp_path / "cameras").symlink_to(tmp_path / "by-id")
    for folder in ("by-id", "cameras"):
        with pytest.raises(DeviceError, match="camera 97: there is none"):
            open_feed(f"{tmp_path}/{folder}/usb-ward")


@pytest.mark.parametrize("address", ["-1", "10000", "/dev/video10000", "99999999999"])
def test_an_index_that_no_camera_has_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="0 to 9999"):
        open_feed(address)


def test_passwords_stay_out_of_records_and_reach_the_camera(serve: Callable[..., Server]) -> None:
    address = serve(well).url.replace("http://", "http://nurse:secret@")
    source = open_source(cameras=[address], frames=1)
    films = [arrival for arrival in contents(source) if isinstance(arrival, Film)]
    source.close()
    assert "secret" not in films[0].source
    assert without_secrets(address).startswith("http://127.0.0.1:")


class Picamera2:
    """A stand-in for picamera2's class of that name."""

    cameras = 1
    frames: list[np.ndarray | Exception]

    def __init__(self) -> None:
        if not self.cameras:
            raise IndexError("list index out of range")

    def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
        return {"main": main}

    def configure(self, configuration: dict[str, Any]) -> None:
        assert configuration["main"]["format"] == "RGB888"

    def start(self) -> None:
        self.frames = [np.full((48, 64, 3), value, np.uint8) for value in (10, 20)] + [TimeoutError()]

    def capture_array(self, name: str, wait: float) -> np.ndarray:
        assert name == "main"
        frame = self.frames.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return frame

    def stop(self) -> None:
        self.frames = []

    def close(self) -> None:
        pass


@pytest.mark.parametrize("address", ["picamera", "auto"])
def test_the_camera_of_a_pi(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=Picamera2))  # type: ignore[arg-type]
    found = []
    source = Camera(address)
    for arrival in contents(source):
        if arrival is not None:
            found.append(arrival)
        if any(isinstance(a, Failure) for a in found):
            break
    source.close()
    films = [arrival for arrival in found if isinstance(arrival, Film)]
    assert films
    assert films[-1].shape == (48, 64)
    monkeypatch.setattr(Picamera2, "cameras", 0)
    with pytest.raises(DeviceError, match=r"ribbon|no camera sends pictures"):
        open_feed(address)


def test_a_pi_without_picamera2_is_told_how_to_get_it() -> None:
    with pytest.raises(DeviceError, match="python3-picamera2"):
        open_feed("picamera")


class Frames:
    """An open camera that sends these in order, and then the last one, changed each time."""

    def __init__(self, *frames: np.ndarray | Exception) -> None:
        self.frames = list(frames)
        self.sent = 0

    def read(self) -> np.ndarray:
        time.sleep(0.01)
        frame = self.frames[min(self.sent, len(self.frames) - 1)]
        self.sent += 1
        if isinstance(frame, Exception):
            raise frame
        moving = frame.copy()
        moving.flat[0] = self.sent % 251
        return moving

    def decode(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def release(self) -> None:
        """Nothing to release."""


def first_of(source: Camera, wanted: type) -> Any:
    deadline = time.monotonic() + 60
    for content in contents(source):
        assert time.monotonic() < deadline
        if isinstance(content, wanted):
            return content
    raise AssertionError("the source ended")


PICTURE = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)


@pytest.mark.parametrize("side", [0, 8])
def test_frames_too_small_for_a_film_are_told_once_and_the_camera_is_asked_anew(
    monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr("edge_seg.sources.cameras.camera.PATIENCE_S", 0.1)
    opened = [Frames(np.zeros((8, max(side, 1)), np.uint8)), Frames(PICTURE)]
    source = Camera("0", 1, opener=lambda address: opened.pop(0))
    seen = list(contents(source))
    source.close()
    assert sum(isinstance(one, Failure) for one in seen) == 1
    assert "broken pictures" in str(next(one.error for one in seen if isinstance(one, Failure)))
    assert sum(isinstance(one, Film) for one in seen) == 1


@pytest.mark.parametrize("error", [ValueError("4300 digits"), OverflowError(), RecursionError(), cv2.error("driver")])
def test_whatever_a_driver_raises_is_told_and_the_camera_is_asked_anew(error: Exception) -> None:
    opened = [Frames(error), Frames(PICTURE)]
    source = Camera("0", 1, opener=lambda address: opened.pop(0))
    failure = first_of(source, Failure)
    assert type(error).__name__ in str(failure.error)
    assert first_of(source, Film).shape == PICTURE.shape
    source.close()


def test_pictures_are_turned_clockwise() -> None:
    for degrees, turns in ((90, -1), (180, 2), (270, 1)):
        source = Camera("0", 1, CameraOptions(rotation=degrees), opener=lambda address: Frames(PICTURE))
        film = first_of(source, Film)
        source.close()
        # The first pixel marks the frame.
        expected = np.rot90(PICTURE, turns)
        assert np.count_nonzero(film.pixels != expected) <= 1
        assert film.pixels.flags.c_contiguous


def test_films_come_no_faster_than_asked() -> None:
    source = Camera("0", 3, CameraOptions(every_s=0.5), opener=lambda address: Frames(PICTURE))
    start = time.monotonic()
    films = [one for one in contents(source) if isinstance(one, Film)]
    source.close()
    assert len(films) == 3
    assert time.monotonic() - start >= 1.0
