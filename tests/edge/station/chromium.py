"""Chromium, driven by its DevTools protocol over a pipe, to look at the page and to use it as a person would."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_ANSWER_S = 60.0


def installed() -> str:
    """Path of the browser, or a skip with the reason."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


class Browser:
    """A browser with one tab.

    Args:
        profile: folder for its profile.
    """

    def __init__(self, profile: Path, *options: str) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # It reads commands from descriptor 3 and answers on 4.
        command = [installed(), *OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}", *options]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", *command],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._number, self._rest, self._session = 0, b"", ""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.command("Page.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + _ANSWER_S
        while True:
            answer = self._next(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0], "no answer"
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser is gone"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def run(self, script: str) -> Any:
        """Run a script and return its value, which may be a promise."""
        answer = self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until a script's value is true."""
        end = time.monotonic() + _ANSWER_S
        while not self.run(script):
            assert time.monotonic() < end, script
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Go to a page."""
        self.command("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def look_as(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Emulate a window of this size, or a phone, in light or dark mode."""
        scale = 2 if phone else 1
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, *keys: str) -> None:
        """Press keys by their `KeyboardEvent.key` names."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        for key in keys:
            more = {"windowsVirtualKeyCode": codes[key], "code": key} if key in codes else {}
            text = {"Enter": "\r", "Tab": ""}.get(key, key if len(key) == 1 else "")
            self.command("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, **more)
            self.command("Input.dispatchKeyEvent", type="keyUp", key=key, **more)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a screenshot as PNG, beyond the window too."""
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
