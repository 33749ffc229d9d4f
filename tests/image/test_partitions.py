"""What the device does if a partition of the card appears late or again."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "image" / "root"
UNITS = ("edge-seg-settings", "systemd-networkd", "systemd-timesyncd", "edge-seg")
AGAIN = f"--no-block try-restart {' '.join(f'{unit}.service' for unit in UNITS)}"


def told(tmp_path: Path, partition: str, *, mounted: bool, read: bool, mounts: bool = True) -> list[str]:
    """The arguments of systemctl."""
    answers = {
        "systemctl": f'echo "$*" >> {tmp_path}/told; case $1 in is-active) echo {"active" if read else "inactive"};;'
        f" start) exit {0 if mounts else 1};; esac",
        "mountpoint": f"exit {0 if mounted else 1}",
        "findmnt": "echo /dev/one-that-was-pulled",
        "umount": f'echo "umount $*" >> {tmp_path}/told',
    }
    for name, text in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([ROOT / "usr/lib/edge-seg/partition-is-here", partition], env=environment, check=mounts)
    return (tmp_path / "told").read_text().splitlines()[1:]


@pytest.mark.parametrize("partition", ["boot", "data"])
def test_one_that_comes_late_is_mounted_and_settings_are_read_anew(tmp_path: Path, partition: str) -> None:
    mount = [f"reset-failed {partition}.mount", f"start {partition}.mount"]
    assert told(tmp_path, partition, mounted=False, read=True) == [*mount, AGAIN]


def test_one_that_comes_in_time_is_mounted_alone(tmp_path: Path) -> None:
    assert told(tmp_path, "data", mounted=False, read=False) == ["reset-failed data.mount", "start data.mount"]


def test_one_that_cannot_be_mounted_restarts_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, "data", mounted=False, read=True, mounts=False)[-1] == "start data.mount"


def test_the_mount_of_one_that_was_pulled_is_given_up(tmp_path: Path) -> None:
    assert told(tmp_path, "data", mounted=True, read=True)[0] == "umount -l /data"


def test_settings_that_are_mounted_are_left_alone(tmp_path: Path) -> None:
    assert told(tmp_path, "boot", mounted=True, read=True) == []


def test_each_partition_of_the_card_has_a_rule() -> None:
    rules = (ROOT / "etc/udev/rules.d/90-edge-seg.rules").read_text()
    for label, partition in (("edge-seg-data", "data"), ("EDGE-SEG", "boot")):
        assert f'ENV{{ID_FS_LABEL}}=="{label}"' in rules
        assert f"edge-seg-partition@{partition}.service" in rules


def test_a_partition_without_a_readable_superblock_is_mended_by_its_place() -> None:
    """With a torn superblock it has no label (seen in a virtual machine); the disk's signature is in genimage.cfg."""
    rules = (ROOT / "etc/udev/rules.d/90-edge-seg.rules").read_text()
    assert 'ENV{ID_PART_ENTRY_UUID}=="ed5e6001-03", ENV{ID_FS_TYPE}==""' in rules
    assert "disk-signature = 0xed5e6001" in (ROOT.parent / "genimage.cfg").read_text()


def mended(tmp_path: Path, device: Path) -> bool:
    """Whether udev is told to check it again after the repair."""
    (tmp_path / "udevadm").write_text(f"#!/bin/sh\necho $* > {tmp_path}/told\n")
    (tmp_path / "udevadm").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}:/usr/sbin:/sbin"}
    for line in (ROOT / "etc/systemd/system/edge-seg-mend@.service").read_text().splitlines():
        if line.startswith("ExecStart="):
            command = line.removeprefix("ExecStart=").removeprefix("-").replace("/dev/%i", str(device))
            subprocess.run(shlex.split(command), env=environment, check="=-" not in line, capture_output=True)
    return (tmp_path / "told").exists()


def test_what_can_be_mended_is_looked_at_again_and_nothing_else(tmp_path: Path) -> None:
    """Otherwise an empty partition would be tried again endlessly."""
    if any(shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None for tool in ("e2fsck", "blkid")):
        pytest.skip("e2fsprogs and util-linux are not installed")
    device = tmp_path / "partition"
    with device.open("wb") as file:
        file.truncate(32 << 20)
    assert not mended(tmp_path, device)
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    with device.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))
    assert mended(tmp_path, device)
