"""The doctor on simulated boards: hot, underpowered, with a clock in 1970, with a port taken."""

from __future__ import annotations

import importlib.util
import socket
import sys
import time
from pathlib import Path

import pytest
from edge_seg import StationConfig, doctor, hardware
from edge_seg.doctor import Check, examine
from edge_seg.station.config import ResultsConfig


def found(subject: str) -> list[Check]:
    return [finding for finding in examine() if finding.subject == subject]


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files in which a Raspberry Pi reports its state."""
    (tmp_path / "thermal_zone0").mkdir()
    (tmp_path / "thermal_zone0" / "temp").write_text("48312\n")
    (tmp_path / "model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "get_throttled").write_text("0\n")
    monkeypatch.setattr(hardware, "_THERMAL", tmp_path)
    monkeypatch.setattr(hardware, "_MODEL", tmp_path / "model")
    monkeypatch.setattr(hardware, "_THROTTLED", tmp_path / "get_throttled")
    return tmp_path


def test_a_board_that_is_well(pi: Path) -> None:
    assert found("temperature") == [Check("temperature", "ok", "48 degrees Celsius")]
    assert [finding.state for finding in found("power")] == ["ok"]
    assert "Raspberry Pi 5" in found("machine")[0].detail


def test_a_board_in_a_warm_case_with_a_weak_supply(pi: Path) -> None:
    (pi / "thermal_zone0" / "temp").write_text("84100\n")
    # Now under-voltage and throttled; since boot also the temperature limit.
    (pi / "get_throttled").write_text(f"{0b1101 << 16 | 0b0101:x}\n")
    assert found("temperature")[0].state == "missing"
    power = {finding.detail: finding for finding in found("power")}
    assert set(power) == {"now: under-voltage", "now: throttled", "since the start: temperature limit"}
    assert "power supply" in power["now: under-voltage"].fix
    assert hardware.throttling() == {
        "now": ["under-voltage", "throttled"],
        "start": ["under-voltage", "throttled", "temperature limit"],
    }


def test_a_board_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_THERMAL", "_MODEL", "_THROTTLED"):
        monkeypatch.setattr(hardware, name, tmp_path / "nothing")
    assert (hardware.temperature_c(), hardware.board_name(), hardware.throttling()) == (None, "", None)
    assert found("power") == []


def test_a_service_in_a_home_that_it_may_not_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = doctor.shutil.disk_usage
    monkeypatch.chdir(tmp_path)

    def closed(path: str) -> object:
        if Path(path).is_absolute():
            raise PermissionError(13, "Permission denied", str(path))
        return usage(path)

    monkeypatch.setattr(doctor.shutil, "disk_usage", closed)
    assert [check.state for check in found("disk")] == ["ok"]


def test_a_clock_that_stands_in_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("clock")[0].state in ("ok", "absent")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert found("clock")[0].state == "missing"
    assert "timedatectl" in found("clock")[0].fix


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(doctor, "_DICOM_PORT", other.getsockname()[1])
        (finding,) = found("DICOM port")
        assert finding.state == "absent"
        assert str(other.getsockname()[1]) in finding.fix
    (finding,) = found("DICOM port")
    assert finding.state == "ok"


@pytest.mark.parametrize(
    ("seen", "state", "said"),
    [
        ("return [{'Model': 'imx708', 'Num': 0}]", "ok", "imx708"),
        ("return []", "absent", "rpicam-hello"),
        ("raise RuntimeError('no libcamera')", "missing", "python3-libcamera"),
    ],
    ids=["a camera", "none", "broken"],
)
def test_what_libcamera_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: str, state: str, said: str) -> None:
    """With a stand-in for picamera2."""
    source = f"class Picamera2:\n    @staticmethod\n    def global_camera_info():\n        {seen}\n"
    (tmp_path / "picamera2.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    (finding,) = found("picamera2")
    sys.modules.pop("picamera2", None)
    assert finding.state == state
    assert said in finding.detail + finding.fix


def test_a_pi_without_picamera2(pi: Path) -> None:
    assert "--system-site-packages" in found("picamera2")[0].fix


def test_the_disk_that_counts_is_that_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    usage = doctor.shutil.disk_usage

    def noted(place: Path) -> object:
        asked.append(Path(place))
        return usage(place)

    monkeypatch.setattr(doctor.shutil, "disk_usage", noted)
    folder = tmp_path / "not" / "made yet"
    config = StationConfig(results=ResultsConfig(folder))
    (disk,) = [finding for finding in examine(config) if finding.subject == "disk"]
    assert asked == [tmp_path]
    assert (disk.state, str(folder) in disk.detail) == ("ok", True)
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    (disk,) = [finding for finding in examine(config) if finding.subject == "disk"]
    assert (disk.state, "mount the disk" in disk.fix) == ("missing", True)


def test_a_clock_that_nothing_has_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised, battery = tmp_path / "timesync" / "synchronized", tmp_path / "since_epoch"
    monkeypatch.setattr(hardware, "_SYNCHRONISED", synchronised)
    monkeypatch.setattr(hardware, "_BATTERY_CLOCK", battery)
    assert not hardware.clock_is_doubtful()
    synchronised.parent.mkdir()
    assert hardware.clock_is_doubtful()
    (clock,) = found("clock")
    assert "not set since the start" in clock.detail
    battery.write_text("1234\n")
    assert hardware.clock_is_doubtful()
    battery.write_text(f"{int(time.time())}\n")
    assert not hardware.clock_is_doubtful()
    battery.unlink()
    synchronised.touch()
    assert not hardware.clock_is_doubtful()


def test_a_kernel_that_ignores_the_memory_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controllers = tmp_path / "cgroup.controllers"
    monkeypatch.setattr(hardware, "_CONTROLLERS", controllers)
    assert found("memory limit") == []
    controllers.write_text("cpuset cpu io pids\n")
    (limit,) = found("memory limit")
    assert "MemoryMax" in limit.detail
    assert "cgroup_enable=memory" in limit.fix
    controllers.write_text("cpuset cpu io memory pids\n")
    assert found("memory limit") == []


def test_a_gpu_that_training_would_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("asked only where models are trained")
    driver: list[str] = []

    def found(subject: str) -> list[Check]:
        return [finding for finding in doctor._gpu() if finding.subject == subject]

    card = tmp_path / "0000:01:00.0"
    monkeypatch.setattr(hardware, "_PCI", tmp_path)
    monkeypatch.setattr(doctor, "_loads", driver.__contains__)
    monkeypatch.setattr(doctor, "_gpu_wheels", lambda: ["nvidia-cudnn-of-no-version"])
    assert found("[gpu]")[0].detail == "no NVIDIA GPU here, training uses the CPU"
    card.mkdir()
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030200\n")
    assert "NVIDIA's driver" in found("NVIDIA driver")[0].fix
    driver.append("libcuda.so.1")
    assert found("NVIDIA driver") == []
    (wheels,) = found("[gpu]")
    assert (wheels.state, wheels.detail) == ("absent", "without nvidia-cudnn-of-no-version")
    assert "[gpu]" in wheels.fix
    monkeypatch.setattr(doctor, "_gpu_wheels", lambda: [])
    assert found("[gpu]")[0].state == "ok"
