"""The doctor on boards that these tests are not run on: hot, underpowered, with a clock of 1970, a port taken."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from edge_seg import board, doctor
from edge_seg.doctor import Finding, examine


def found(subject: str) -> list[Finding]:
    return [finding for finding in examine() if finding.subject == subject]


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files in which a Raspberry Pi says how it is."""
    (tmp_path / "thermal_zone0").mkdir()
    (tmp_path / "thermal_zone0" / "temp").write_text("48312\n")
    (tmp_path / "model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "get_throttled").write_text("0\n")
    monkeypatch.setattr(board, "_THERMAL", tmp_path)
    monkeypatch.setattr(board, "_MODEL", tmp_path / "model")
    monkeypatch.setattr(board, "_THROTTLED", tmp_path / "get_throttled")
    return tmp_path


def test_a_board_that_is_well(pi: Path) -> None:
    assert found("temperature") == [Finding("temperature", "ok", "48 degrees Celsius")]
    assert [finding.state for finding in found("power")] == ["ok"]
    assert "Raspberry Pi 5" in found("machine")[0].detail


def test_a_board_in_a_warm_case_with_a_weak_supply(pi: Path) -> None:
    (pi / "thermal_zone0" / "temp").write_text("84100\n")
    # Now under-voltage and throttled; since the start also the temperature limit.
    (pi / "get_throttled").write_text(f"{0b1101 << 16 | 0b0101:x}\n")
    assert found("temperature")[0].state == "missing"
    power = {finding.detail: finding for finding in found("power")}
    assert set(power) == {"now: under-voltage", "now: throttled", "since the start: temperature limit"}
    assert "power supply" in power["now: under-voltage"].fix
    assert board.throttling() == {
        "now": ["under-voltage", "throttled"],
        "start": ["under-voltage", "throttled", "temperature limit"],
    }


def test_a_board_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_THERMAL", "_MODEL", "_THROTTLED"):
        monkeypatch.setattr(board, name, tmp_path / "nothing")
    assert (board.temperature_c(), board.board_name(), board.throttling()) == (None, "", None)
    assert found("power") == []


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
