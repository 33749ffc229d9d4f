"""A real archive: Orthanc, started on loopback with the configuration from the documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from edge_seg_lab.ports import free_port

RECIPE = Path(__file__).parents[3] / "docs" / "how-to" / "orthanc.md"
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass
class Orthanc:
    """A running archive.

    Attributes:
        dicom, http, device: its ports, and the one it sends films to.
        session: for its REST interface.
        url: address of that interface.
    """

    dicom: int
    http: int
    device: int
    session: requests.Session
    url: str

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.url}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def store(self, film: Path) -> str:
        """Put a film into the archive, as a scanner would, and return its identifier there."""
        answer = self.session.post(f"{self.url}/instances", data=film.read_bytes(), timeout=30)
        answer.raise_for_status()
        return str(answer.json()["ID"])

    def file(self, instance: str) -> bytes:
        return self.session.get(f"{self.url}/instances/{instance}/file", timeout=30).content

    def instances(self) -> dict[str, list[str]]:
        """Instance identifiers by modality."""
        found: dict[str, list[str]] = {}
        for series in self.get("/series?expand"):
            found.setdefault(series["MainDicomTags"]["Modality"], []).extend(series["Instances"])
        return found


def start_orthanc(
    folder: Path, host: str = "127.0.0.1", inside: Sequence[str] = ()
) -> tuple[Orthanc, subprocess.Popen[bytes]]:
    """Start it with the documented configuration on free ports; the caller waits for it with `await_orthanc`.

    Args:
        folder: for its configuration and storage.
        host: address at which it is reached.
        inside: command that runs it elsewhere, for example in another network namespace.
    """
    text = RECIPE.read_text()
    recipe = json.loads(re.findall(r"```json\n(.*?)```", text, re.S)[0])
    script = folder / "edge-seg.lua"
    script.write_text(re.findall(r"```lua\n(.*?)```", text, re.S)[0])
    dicom, http, device = free_port(), free_port(), free_port()
    recipe["DicomModalities"]["edge-seg"][2] = device
    own = {
        "DicomPort": dicom,
        "HttpPort": http,
        "LuaScripts": [str(script)],
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(DICOMWEB)] if DICOMWEB.exists() else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "HttpRequestTimeout": 60,
        "RemoteAccessAllowed": host != "127.0.0.1",
        "AuthenticationEnabled": False,
    }
    (folder / "orthanc.json").write_text(json.dumps({**recipe, **own}))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([*inside, "Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
    return Orthanc(dicom, http, device, requests.Session(), f"http://{host}:{http}"), process


def await_orthanc(orthanc: Orthanc, process: subprocess.Popen[bytes]) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + 120
    while True:
        try:
            orthanc.get("/system")
            return
        except requests.RequestException:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def make_orthanc(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Starts archives that end with the test."""
    if shutil.which("Orthanc") is None:
        pytest.skip("Orthanc is not installed (Debian: apt-get install orthanc orthanc-dicomweb)")
    processes: list[subprocess.Popen[bytes]] = []

    def make(**where: Any) -> Orthanc:
        folder = tmp_path / f"orthanc-{len(processes)}"
        folder.mkdir()
        made, process = start_orthanc(folder, **where)
        processes.append(process)
        await_orthanc(made, process)
        return made

    yield make
    # Each has its own folder, which the test is done with: killing it loses nothing.
    for process in processes:
        process.kill()
        process.wait()
