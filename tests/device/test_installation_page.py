"""The installation page, followed line by line on a fresh system; see `conftest.py` for setup."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from edge_seg.phantom import phantom, write_dicom

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(3600)]

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "deploy" / "README.md").read_text()
PI_ONLY = "python3-picamera2"
"""A package that only Raspberry Pi OS has."""


STAND_INS = """
sudo() {
    case "$1 $2" in
        nano*) test -w "$2" ;;
        "systemctl daemon-reload") systemd-analyze verify /etc/systemd/system/edge-seg.service ;;
        "systemctl enable") command sudo SYSTEMD_OFFLINE=1 systemctl enable "${@: -1}" ;;
        *) command sudo "$@" ;;
    esac
}
systemctl() { test "$1" = status && SYSTEMD_OFFLINE=1 command systemctl is-enabled "$2"; }
pip() { /opt/edge-seg/bin/pip "$@"; }
"""
"""A person opens a file and leaves it unchanged; nothing was booted that could be reloaded, started or queried, which
the other test does; and the device's own pip stands in for that of a machine with internet."""


def lines() -> list[str]:
    """The lines that the page has a person type, in order."""
    blocks = [block.replace("\\\n", " ") for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)]
    return [line for block in blocks for line in block.splitlines() if not line.startswith("EDGE_SEG_RUN=")]


@pytest.fixture(scope="module")
def device(fresh_system: Path) -> Path:
    """The fresh system; an empty package stands in for the one that Raspberry Pi OS has and Debian lacks."""
    empty = fresh_system / "srv" / "pi" / PI_ONLY / "DEBIAN"
    empty.mkdir(parents=True)
    (empty / "control").write_text(
        f"Package: {PI_ONLY}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: stand-in\n"
    )
    script = (
        f"cd /srv/pi && dpkg-deb --build {PI_ONLY} . >/dev/null && "
        "{ for deb in *.deb; do dpkg-deb --field $deb; echo Filename: ./$deb; echo Size: $(stat -c %s $deb); "
        "echo SHA256: $(sha256sum $deb | cut -d' ' -f1); echo; done; } > Packages && "
        "echo 'deb [trusted=yes] file:/srv/pi ./' > /etc/apt/sources.list.d/pi.list"
    )
    typed(fresh_system, script)
    return fresh_system


def typed(root: Path, line: str) -> str:
    """Type a line in the checkout's folder on the device; it must succeed."""
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    done = subprocess.run(
        ["chroot", str(root), "/bin/bash", "-c", f"{STAND_INS} cd /root/edge-seg && {line}"],
        env={**environment, "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def test_each_line_does_what_the_page_says(device: Path, tmp_path: Path) -> None:
    for line in lines():
        print(line, flush=True)
        print(typed(device, line)[-600:], flush=True)
    enabled = device / "etc/systemd/system/multi-user.target.wants/edge-seg.service"
    assert enabled.is_symlink()
    assert (device / "etc/edge-seg/station.toml").stat().st_mode & 0o777 == 0o600
    assert (device / "etc/edge-seg/key.pem").stat().st_uid == (device / "etc/edge-seg/station.toml").stat().st_uid
    assert any((device / "root/edge-seg/wheels").glob("*aarch64.whl"))


def test_the_service_that_it_installs_takes_a_film(device: Path, tmp_path: Path) -> None:
    """As systemd would start it: with the unit's command, user and environment, and no network but loopback."""
    if shutil.which("storescu") is None:
        pytest.skip("storescu is not here")
    unit = (device / "etc/systemd/system/edge-seg.service").read_text()
    command = next(line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart="))
    write_dicom(phantom(400, 380, seed=1), tmp_path / "film.dcm", spacing_mm=(0.8, 0.8))
    service = f"install -d -o edge-seg -g edge-seg /var/lib/edge-seg; . /etc/default/edge-seg; cd /var/lib/edge-seg; \
exec setpriv --reuid edge-seg --regid edge-seg --init-groups {command}"
    script = f"""
        ip link set lo up
        chroot {shlex.quote(str(device))} /bin/bash -c {shlex.quote(service)} & service=$!
        for _ in $(seq 600); do curl -sf http://localhost:8080/healthz && break; sleep 0.2; done
        storescu -aec EDGESEG 127.0.0.1 11112 {shlex.quote(str(tmp_path / "film.dcm"))} || exit 3
        for _ in $(seq 600); do [ -s {device}/var/lib/edge-seg/records.jsonl ] && break; sleep 0.2; done
        kill -TERM $service; wait $service; [ $? = 130 ]
    """
    done = subprocess.run(["unshare", "--net", "bash", "-c", script], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"done"' in (device / "var/lib/edge-seg/records.jsonl").read_text().replace(" ", "")
    assert list((device / "var/lib/edge-seg").glob("*.right_lung.png"))
