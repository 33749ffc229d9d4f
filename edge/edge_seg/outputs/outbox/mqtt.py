"""An MQTT broker: takes the record of each film as JSON, at least once (MQTT 3.1.1, quality of service 1)."""

from __future__ import annotations

import importlib.util
import re
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from edge_seg.errors import DeviceError, UsageError
from edge_seg.install import install_command
from edge_seg.outputs.outbox.archive import PATIENCE_S, Archive, Trouble, with_bytes

_PORT, _TLS_PORT = 1883, 8883  # as registered with IANA
_TOPIC = re.compile(r"[^#+\x00-\x1f]{1,200}")
"""Topics that can be published to; `#` and `+` are wildcards for subscribers (MQTT 3.1.1 section 4.7)."""


@dataclass(frozen=True)
class MqttBroker(Archive):
    """A broker by address and topic.

    Attributes:
        host, port: of the broker.
        topic: that records are published to.
        secure: whether the connection uses TLS.
        authorization: `USER:PASSWORD`, if the broker wants one.
        tls: verifies the broker; by default with the system's certificate authorities.

    >>> str(MqttBroker.parse("mqtts://broker.example/clinic/films"))
    'mqtts://broker.example:8883/clinic/films'
    """

    host: str
    port: int
    topic: str
    secure: bool = False
    authorization: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def parse(text: str, authorization: str | None = None, tls: ssl.SSLContext | None = None) -> MqttBroker:
        """A broker from `mqtt://HOST[:PORT]/TOPIC`, or `mqtts://` for TLS.

        Raises:
            UsageError: it is not such an address, or holds a password, which would appear in logs and process lists.
            DeviceError: paho-mqtt is not installed.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise _no_address() from None
        topic = unquote(parts.path[1:])
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not _TOPIC.fullmatch(topic):
            raise _no_address()
        if "@" in parts.netloc or "?" in text or "#" in text:
            raise UsageError(
                f"--notify {parts.scheme}://{parts.hostname}: give the address without password and query: "
                "USER:PASSWORD goes into EDGE_SEG_NOTIFY_AUTHORIZATION"
            )
        if importlib.util.find_spec("paho") is None:
            raise DeviceError(f"publishing to an MQTT broker needs paho-mqtt: {install_command('mqtt')}")
        secure = parts.scheme == "mqtts"
        port = port or (_TLS_PORT if secure else _PORT)
        return MqttBroker(parts.hostname, port, topic, secure, authorization, tls)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.secure else ''}://{host}:{self.port}/{self.topic}"

    @property
    def in_clear(self) -> bool:
        """Whether records travel without encryption."""
        return not self.secure

    def deliver(
        self,
        parcels: Sequence[Path],
        sender: str,
        answer: Callable[[Path, str | None], None],
        is_closing: Callable[[], bool],
    ) -> Trouble | None:
        """Publish records over one connection; see `Archive.deliver`."""
        client, connected, refusals = self._client()
        try:
            client.connect(self.host, self.port, keepalive=60)
            client.loop_start()
            if not connected.wait(PATIENCE_S):
                return Trouble(f"{self} does not answer")
            if refusals:
                return Trouble(
                    f"{self} refuses this device ({refusals[0]}): set EDGE_SEG_NOTIFY_AUTHORIZATION to USER:PASSWORD"
                )
            for path, data in with_bytes(parcels, answer, is_closing):
                message = client.publish(self.topic, data, qos=1)
                message.wait_for_publish(PATIENCE_S)
                if not message.is_published():
                    return Trouble(f"{self} does not answer", path)
                answer(path, None)
        except ssl.SSLError as error:
            return Trouble(f"{self} cannot be trusted ({error.reason or error})")
        # paho raises the last two when the connection is lost and when its queue is full.
        except (OSError, RuntimeError, ValueError):
            return Trouble(f"{self} does not answer")
        finally:
            client.disconnect()
            client.loop_stop()
        return None

    def _client(self) -> tuple[Any, threading.Event, list[str]]:
        """A client not yet connected, an event set once the broker answers, and why it refuses, if it does."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        connected, refusals = threading.Event(), []

        def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            if reason.is_failure:
                refusals.append(str(reason))
            connected.set()

        client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.connect_timeout = PATIENCE_S
        client.on_connect = on_connect
        if self.secure:
            client.tls_set_context(self.tls or ssl.create_default_context())
        if self.authorization is not None:
            user, _, password = self.authorization.partition(":")
            client.username_pw_set(user, password)
        return client, connected, refusals


def _no_address() -> UsageError:
    return UsageError("--notify: no address of an MQTT broker: give mqtt://HOST/TOPIC, or mqtts:// for TLS")
