"""The record of each film goes on to a webhook or an MQTT broker: real servers on loopback."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
from edge_seg.cli.main import main
from edge_seg.errors import UsageError
from edge_seg.outputs.outbox import Outbox, receiver_at
from edge_seg.phantom import phantom
from edge_seg.tls import client_context, server_context


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.02)


class Hook:
    """A webhook on loopback that keeps what was posted and gives its `answers`, then 204."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.taken: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.answers.pop(0) if hook.answers else 204
                if status < 300:
                    hook.taken.append(json.loads(body))
                hook.headers.append({**self.headers, "path": self.path})
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/films?site=3"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()
    yield found
    found.stop()


def films(folder: Path) -> list[str]:
    """A film and a picture that is not one."""
    folder.mkdir()
    cv2.imwrite(str(folder / "film.png"), phantom(400, 360, seed=1).film.pixels)
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return [str(folder / "film.png"), str(folder / "damaged.png")]


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["run", *words, "--model", "lungs-nano", "-q"])
    return int(end.value.code or 0)


def test_the_record_of_each_film_is_posted_also_of_one_that_failed(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_SEG_NOTIFY_AUTHORIZATION", "Bearer abc")
    assert run(*films(tmp_path / "films"), "--out", str(tmp_path / "out"), "--notify", hook.url) == 3
    kept = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert hook.taken == kept
    assert {record["status"] for record in kept} == {"done", "failed"}
    assert {sent["path"] for sent in hook.headers} == {"/films?site=3"}
    assert {sent["Authorization"] for sent in hook.headers} == {"Bearer abc"}
    assert len({sent["Idempotency-Key"] for sent in hook.headers}) == 2


def test_a_webhook_that_is_away_is_told_later(hook: Hook, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hook.answers = [503] * 50
    run(films(tmp_path / "films")[0], "--out", str(tmp_path / "out"), "--notify", hook.url)
    assert "1 records wait for" in (told := capsys.readouterr().err)
    assert "answers 503): sent when run again with --notify" in told
    assert "site=3" not in told
    hook.answers = []
    outbox = Outbox(tmp_path / "out" / "notices", receiver_at(hook.url), "EDGESEG")
    wait_for(lambda: outbox.sent == 1)
    outbox.close()
    assert [record["name"] for record in hook.taken] == ["film.png"]


@pytest.mark.parametrize(
    ("status", "trouble"),
    [(302, "redirects elsewhere"), (401, "set EDGE_SEG_NOTIFY_AUTHORIZATION"), (500, "answers 500")],
)
def test_what_is_in_the_way_of_a_webhook(hook: Hook, tmp_path: Path, status: int, trouble: str) -> None:
    hook.answers = [status] * 50
    outbox = Outbox(tmp_path / "notices", receiver_at(hook.url), "EDGESEG")
    outbox.put_bytes("one.json", b"{}")
    wait_for(lambda: outbox.trouble is not None)
    assert trouble in str(outbox.trouble)
    assert (len(outbox), outbox.refused) == (1, 0)
    outbox.close()


def test_a_record_that_a_webhook_refuses_is_set_aside(hook: Hook, tmp_path: Path) -> None:
    hook.answers = [422]
    outbox = Outbox(tmp_path / "notices", receiver_at(hook.url), "EDGESEG")
    outbox.put_bytes("one.json", b'{"n": 1}')
    wait_for(lambda: outbox.refused == 1)
    outbox.put_bytes("two.json", b'{"n": 2}')
    wait_for(lambda: outbox.sent == 1)
    outbox.close()
    assert hook.taken == [{"n": 2}]
    assert "HTTP status 422" in (tmp_path / "notices" / "refused" / "reasons.txt").read_text()


def test_a_webhook_by_https_is_believed_by_its_certificate(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    files = ["-out", str(cert), "-keyout", str(key)]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    hook = Hook(server_context(cert, key))
    doubted = Outbox(tmp_path / "doubted", receiver_at(hook.url), "EDGESEG")
    believed = Outbox(tmp_path / "believed", receiver_at(hook.url, tls=client_context(cert)), "EDGESEG")
    for outbox in (doubted, believed):
        outbox.put_bytes("one.json", b'{"n": 1}')
    wait_for(lambda: believed.sent == 1)
    wait_for(lambda: doubted.trouble is not None)
    assert "cannot be trusted" in str(doubted.trouble)
    for outbox in (doubted, believed):
        outbox.close()
    hook.stop()
    assert hook.taken == [{"n": 1}]


class Broker:
    """An MQTT broker on loopback, in its own thread, and what was published there."""

    def __init__(self, port: int = 0) -> None:
        amqtt = pytest.importorskip("amqtt.broker", reason="needs edge-seg[test]")
        from amqtt.contexts import BrokerConfig, ListenerConfig

        self.taken: list[dict[str, object]] = []
        self._loop = asyncio.new_event_loop()
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        listener = ListenerConfig(bind=f"127.0.0.1:{port}")
        config = BrokerConfig(listeners={"default": listener}, plugins=plugins)
        ready = threading.Event()

        async def serve() -> None:
            self._broker = amqtt.Broker(config)
            await self._broker.start()
            server = self._broker._servers["default"].instance
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        def work() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(serve())
            self._loop.run_forever()

        threading.Thread(target=work, daemon=True).start()
        assert ready.wait(30)

    def listen(self, topic: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda client, data, message: self.taken.append(json.loads(message.payload))
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        self._client.subscribe(topic, qos=1)
        assert subscribed.wait(30)

    def stop(self) -> None:
        with suppress(AttributeError):
            self._client.disconnect()
            self._client.loop_stop()
        asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)


def test_records_are_published_to_a_broker_at_once_or_when_it_is_back(tmp_path: Path) -> None:
    broker = Broker()
    broker.listen("clinic/films")
    address, port = f"mqtt://127.0.0.1:{broker.port}/clinic/films", broker.port
    assert run(films(tmp_path / "films")[0], "--out", str(tmp_path / "out"), "--notify", address) == 0
    wait_for(lambda: len(broker.taken) == 1)
    kept = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert broker.taken == kept
    broker.stop()
    outbox = Outbox(tmp_path / "notices", receiver_at(address), "EDGESEG")
    outbox.put_bytes("one.json", b'{"n": 1}')
    wait_for(lambda: outbox.trouble is not None)
    assert str(outbox.trouble) == f"{address} does not answer"
    back = Broker(port)
    back.listen("clinic/films")
    wait_for(lambda: back.taken == [{"n": 1}])
    wait_for(lambda: outbox.sent == 1)
    outbox.close()
    back.stop()


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/films",
        "host/films",
        "https://",
        "https://user:secret@host/films",
        "mqtt://host",
        "mqtt://host/films/#",
        "mqtt://user:secret@host/films",
        "mqtt://host:no/films",
        "http://[::1/films",
    ],
)
def test_what_is_no_receiver_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(UsageError, match="--notify") as error:
        receiver_at(text)
    assert "secret" not in str(error.value)
