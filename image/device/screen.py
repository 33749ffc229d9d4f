"""Shows address, QR code and state of the device on its own Linux console, redrawn every few seconds."""

from __future__ import annotations

import io
import json
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import segno
import tomllib

RUN = Path("/run/edge-seg")
_EVERY_S = 5.0
_WIDTH = 78
_MOST_PROBLEMS = 4


def own_addresses() -> list[str]:
    """IPv4 addresses at which this machine is reached (proc(5), `fib_trie`: each local one is a /32 host)."""
    found: list[str] = []
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    for before, line in pairwise(lines):
        address = before.split()[-1]
        if line.strip().startswith("/32 host LOCAL") and not address.startswith("127.") and address not in found:
            found.append(address)
    return found


def state_of(url: str, token: str) -> dict[str, Any] | None:
    """The state that the station reports; `None` while it does not answer."""
    request = urllib.request.Request(f"{url}state", headers={"Authorization": f"Bearer {token}"})
    # The station's own certificate, on this very machine: nothing to verify.
    context = ssl._create_unverified_context() if url.startswith("https") else None
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            state: dict[str, Any] = json.load(answer)
            return state
    except (OSError, ValueError):
        return None


def drawing(
    name: str, addresses: list[str], settings: dict[str, dict[str, Any]], state: dict[str, Any] | None, now: str
) -> str:
    """The screen as text.

    Args:
        name: of the device.
        addresses: of this machine.
        settings: of the station, by group and name.
        state: as the station reports it.
        now: date and time as shown.
    """
    view, listener = settings["view"], settings["listener"]
    port = view["address"].rpartition(":")[2]
    kind = "https" if "tls_cert" in view else "http"
    places = [f"{kind}://{host}:{port}/" for host in [*addresses, f"{name}.local"]]
    lines = [f"{name}   {now}", "research use only, not for diagnosis", ""]
    if addresses:
        lines += ["page:   " + "  ".join(places), f"token:  {view['token']}"]
    else:
        lines += ["page:   no network: plug in the cable, or check wifi_name and wifi_password"]
    lines += [
        f"DICOM:  AE title {listener.get('ae_title', 'EDGESEG')}, port {listener['address'].rpartition(':')[2]}",
        "",
    ]
    lines += list(_state_lines(state))
    if addresses:
        lines += ["", qr_code(f"{places[0]}?token={view['token']}")]
    return "\n".join(lines)


def _state_lines(state: dict[str, Any] | None) -> Iterable[str]:
    if state is None:
        return ["starting, or not running: look again in a minute"]
    films = state["films"]
    lines = [f"films:  {films['done']} done, {films['rejected']} rejected, {films['failed']} failed since the start"]
    problems = state["problems"]
    lines += [f"CHECK:  {one}"[:_WIDTH] for one in problems[:_MOST_PROBLEMS]] or ["state:  ready"]
    if len(problems) > _MOST_PROBLEMS:
        lines += [f"        and {len(problems) - _MOST_PROBLEMS} more on the page"]
    return lines


def qr_code(text: str) -> str:
    """A QR code in half blocks, light on dark like the console."""
    out = io.StringIO()
    segno.make(text, micro=False).terminal(out=out, compact=True, border=2)
    return out.getvalue()


def main() -> None:
    """Run as the service does."""
    while True:
        try:
            settings = tomllib.loads((RUN / "station.toml").read_text())
            name = (RUN / "name").read_text().strip()
        except OSError:
            time.sleep(_EVERY_S)
            continue
        view = settings["view"]
        kind = "https" if "tls_cert" in view else "http"
        state = state_of(f"{kind}://127.0.0.1:{view['address'].rpartition(':')[2]}/", view["token"])
        now = time.strftime("%Y-%m-%d %H:%M %Z")
        # Home, clear, no cursor.
        print("\x1b[H\x1b[2J\x1b[?25l" + drawing(name, own_addresses(), settings, state, now), flush=True)
        time.sleep(_EVERY_S)


if __name__ == "__main__":
    socket.setdefaulttimeout(10)
    main()
