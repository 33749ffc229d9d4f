"""Settings from the card, as laptops write them and with people's mistakes."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from edge_seg import StationConfig, UsageError
from edge_seg_lab.image_program import load_program

IMAGE = Path(__file__).parents[2] / "image"
TEMPLATE = (IMAGE / "edge-seg.toml").read_bytes()


if sys.version_info < (3, 11):
    pytest.skip("the device has Python 3.13", allow_module_level=True)
settings = load_program("settings")


@pytest.fixture(autouse=True)
def zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time zones, which not every machine has."""
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "UTC").touch()
    monkeypatch.setattr(settings, "_ZONES", tmp_path / "zones")


@pytest.fixture
def places(tmp_path: Path) -> Any:
    (tmp_path / "card").mkdir()
    (tmp_path / "data" / "settings").mkdir(parents=True)
    (tmp_path / "card" / "edge-seg.toml").write_bytes(TEMPLATE)
    return settings.Places(tmp_path / "card", tmp_path / "data", tmp_path / "run")


def station(places: Any) -> StationConfig:
    return StationConfig.load(places.run / "station.toml")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_files_as_laptops_write_them(places: Any, mark: bytes, end: bytes) -> None:
    (places.card / "edge-seg.toml").write_bytes(mark + TEMPLATE.replace(b"\n", end))
    assert settings.apply(places) == []
    config = station(places)
    assert (config.listener.address, config.view.address) == ("0.0.0.0:11112", "0.0.0.0:8080")
    assert (config.results.folder, config.retention.free_gb) == (places.data / "results", 1.0)
    assert (places.run / "station.toml").stat().st_mode & 0o077 == 0
    # A generated token, the same at the next start.
    assert config.view.token
    settings.apply(places)
    assert station(places).view.token == config.view.token


def test_every_line_of_the_card_that_can_be_switched_on(places: Any) -> None:
    lines = [line.removeprefix("# ") if " = " in line else line for line in TEMPLATE.decode().splitlines()]
    text = "\n".join(lines).replace('token = "..."', 'token = "ein langes Wört"')
    text = text.replace('password = "..."', 'password = "twelve words"')
    (places.card / "edge-seg.toml").write_text(text, encoding="utf-8")
    for name in ("cert.pem", "key.pem"):
        (places.card / name).write_text(name)
    assert settings.apply(places) == []
    config = station(places)
    assert (config.view.token, config.view.tls_key) == ("ein langes Wört", places.run / "key.pem")
    assert config.archive.address == "PACS@10.0.0.5:104"
    assert "Address=10.0.0.7/24" in (places.run / "network.conf").read_text()
    assert (places.run / "wifi.conf").stat().st_mode & 0o077 == 0
    assert f"ssid={b'Clinic'.hex()}" in (places.run / "wifi.conf").read_text()
    assert "NTP=10.0.0.1" in (places.run / "timesyncd.conf").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[view\n", "is no TOML file"),
        (b"\xff\xfe[\0v\0", "save it as UTF-8"),
        (b'[view]\ntokn = "x"', "view.tokn: there is no such key: did you mean view.token?"),
        (b'[view]\ntoken = "short"', "view.token: give at least 8 letters"),
        (b'[device]\nnme = "x"', "device.nme: there is no such key"),
        (b'[device]\nname = "a b"', "device.name: give letters"),
        (b'[device]\ntime_zone = "../../etc/passwd"', "device.time_zone"),
        (b'[device]\naddress = "10.0.0.300"', "device.address: give one like"),
        (b'[device]\nwifi_password = "short"', "device.wifi_password: give 8 to 63"),
        (b'[view]\ntls_cert = "lost.pem"', "there is no file lost.pem on the card"),
        (b'name = "x"', "name: write it below the group"),
    ],
)
def test_what_is_wrong_is_said_and_what_worked_last_holds_on(places: Any, text: bytes, said: str) -> None:
    good = TEMPLATE.replace(b'ae_title = "EDGESEG"', b'ae_title = "WARD"')
    (places.card / "edge-seg.toml").write_bytes(good)
    assert settings.apply(places) == []
    (places.card / "edge-seg.toml").write_bytes(text)
    (problem,) = settings.apply(places)
    assert problem.startswith("edge-seg.toml: ")
    assert said in problem
    assert str(places.run) not in problem
    assert (places.run / "problems.txt").read_text().splitlines() == [problem]
    assert station(places).listener.ae_title == "WARD"


def test_a_new_device_with_wrong_settings_and_one_without_a_data_partition_start_all_the_same(places: Any) -> None:
    (places.card / "edge-seg.toml").write_text("[view")
    assert len(settings.apply(places)) == 1
    assert station(places).listener.ae_title == "EDGESEG"
    (places.card / "edge-seg.toml").unlink()
    (places.data / "settings" / "token").unlink()
    (places.data / "settings").rmdir()
    absent, missing = settings.apply(places)
    assert "not on the card" in absent
    assert "data partition" in missing
    assert station(places).view.token


def test_errors_on_the_card_come_and_go_and_the_card_is_written_only_then(places: Any) -> None:
    opened: list[str] = []

    @contextlib.contextmanager
    def writable() -> Any:
        opened.append("rw")
        yield

    said = places.card / "edge-seg.errors.txt"
    for problems, written in (([], 0), (["a"], 1), (["a"], 1), ([], 2), ([], 2)):
        settings.write_errors(places.card, problems, writable())
        assert (len(opened), said.exists()) == (written, bool(problems))
        assert not problems or said.read_bytes() == b"a\r\n"


def test_names_of_networks_cannot_add_lines() -> None:
    wifi = settings.wifi_of(settings.Device(wifi_name='a"}\\', wifi_password='pass"word'))
    assert wifi.count("\n") == 6
    with pytest.raises(UsageError, match="wifi_name"):
        settings.Device(wifi_name="a\nb")
    assert settings.wifi_of(settings.Device()) is None


def test_the_screen_says_where_the_page_is_and_what_is_wrong() -> None:
    screen = load_program("screen")
    found = {"view": {"address": "0.0.0.0:8080", "token": "word"}, "listener": {"address": "0.0.0.0:11112"}}
    state = {"films": {"done": 3, "rejected": 0, "failed": 1}, "problems": ["only 12 MB of disk are free"] * 6}
    text = screen.drawing("ward-1", ["10.0.0.7"], found, state, "2026-01-01 12:00 UTC")
    assert "http://10.0.0.7:8080/  http://ward-1.local:8080/" in text
    assert "3 done" in text
    assert "and 2 more" in text
    assert "█" in text
    assert len(text.splitlines()) < 48
    assert "no network" in screen.drawing("ward-1", [], found, None, "")
    assert all(address.count(".") == 3 for address in screen.own_addresses())
