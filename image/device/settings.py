"""Turns a settings file written on a laptop into what the system and the station read.

Run at each start by edge-seg-settings.service. Nothing in the file can keep the device from starting: errors are
written beside the file and shown on the page, and the last working settings stay in force.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import tomllib
from edge_seg.errors import UsageError
from edge_seg.station.config import StationConfig, keys

NAME = "edge-seg.toml"
ERRORS_NAME = "edge-seg.errors.txt"
_DEFAULTS: dict[str, dict[str, Any]] = {
    "listener": {"address": "0.0.0.0:11112"},
    "view": {"address": "0.0.0.0:8080"},
    "results": {"save": ["mask", "overlay", "record", "dicom"]},
}
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_LEAST_TOKEN = 8
_LEAST_WIFI_PASSWORD, _MOST_WIFI_PASSWORD, _MOST_WIFI_NAME = 8, 63, 32


@dataclass(frozen=True)
class Device:
    """Settings of the system; text as in the file.

    Attributes:
        name: of the host; with `.local`, its mDNS name.
        time_zone: of the tz database.
        wifi_name, wifi_password, wifi_country: of a wireless network; `None` for cable only.
        address, gateway, dns: fixed IPv4 address with its network; DHCP without one.
        time_server: host name or address.
    """

    name: str = "edge-seg"
    time_zone: str = "UTC"
    wifi_name: str | None = None
    wifi_password: str | None = None
    wifi_country: str | None = None
    address: str | None = None
    gateway: str | None = None
    dns: str | None = None
    time_server: str | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and (not isinstance(value, str) or not value or not value.isprintable()):
                raise UsageError(f"device.{one.name}: give text in quotes")
        if not _HOST_NAME.fullmatch(self.name):
            raise UsageError(f"device.name: give letters, digits and hyphens, not {self.name!r:.60}")
        if not re.fullmatch(r"[\w+/-]+", self.time_zone) or not (_ZONES / self.time_zone).is_file():
            raise UsageError(f'device.time_zone: give one like "Africa/Nairobi", not {self.time_zone!r:.60}')
        if self.wifi_name is not None and len(self.wifi_name.encode()) > _MOST_WIFI_NAME:
            raise UsageError(f"device.wifi_name: give at most {_MOST_WIFI_NAME} letters")
        password = self.wifi_password
        if password is not None and not _LEAST_WIFI_PASSWORD <= len(password.encode()) <= _MOST_WIFI_PASSWORD:
            raise UsageError(f"device.wifi_password: give {_LEAST_WIFI_PASSWORD} to {_MOST_WIFI_PASSWORD} letters")
        if self.wifi_country is not None and not re.fullmatch("[A-Z]{2}", self.wifi_country):
            raise UsageError('device.wifi_country: give two capital letters, like "KE"')
        _check_address("address", self.address, IPv4Interface, "10.0.0.7/24")
        _check_address("gateway", self.gateway, IPv4Address, "10.0.0.1")
        _check_address("dns", self.dns, IPv4Address, "10.0.0.1")
        if self.time_server is not None and not re.fullmatch(r"[\w.:-]+", self.time_server):
            raise UsageError(f"device.time_server: give a host name or an address, not {self.time_server!r:.60}")


_ZONES = Path("/usr/share/zoneinfo")


def _check_address(name: str, value: str | None, kind: type, example: str) -> None:
    try:
        if value is not None:
            kind(value)
    except ValueError as error:
        raise UsageError(f'device.{name}: give one like "{example}", not {value!r:.60}') from error


@dataclass(frozen=True)
class Settings:
    """All settings in a file: the device's own, and the station's by group and name."""

    device: Device
    station: dict[str, dict[str, Any]]


def read(data: bytes) -> Settings:
    """Parse a settings file: UTF-8, with or without a byte order mark, any line endings.

    Raises:
        UsageError: what is wrong, by line or name.
    """
    try:
        groups = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError("is no UTF-8 text: save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is no TOML file: {error}") from error
    for group, values in groups.items():
        if not isinstance(values, dict):
            raise UsageError(f"{group}: write it below the group it belongs to, [device] for example")
    device = groups.pop("device", {})
    known = [one.name for one in fields(Device)]
    for name in device:
        if name not in known:
            raise UsageError(f"device.{name}: there is no such key: there are {', '.join(known)}")
    token = groups.get("view", {}).get("token")
    if token is not None and len(str(token)) < _LEAST_TOKEN:
        raise UsageError(f"view.token: give at least {_LEAST_TOKEN} letters")
    return Settings(Device(**device), groups)


@dataclass(frozen=True)
class Places:
    """Where things are. `card` is what a laptop sees, `data` the partition of results, `run` in memory."""

    card: Path = Path("/boot")
    data: Path = Path("/data")
    run: Path = Path("/run/edge-seg")

    @property
    def kept(self) -> Path:
        """The settings that the device itself keeps, for root only."""
        return self.data / "settings"


def apply(places: Places) -> list[str]:
    """Write what the station reads, and report what is wrong with the settings.

    Returns:
        One line per problem, as in `problems.txt`.
    """
    problems: list[str] = []
    places.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    last = places.kept / NAME
    found: Settings | None = None
    try:
        data = (places.card / NAME).read_bytes()
        found = _written(data, places)
        with contextlib.suppress(OSError):
            _replace(last, data, 0o600)
    except FileNotFoundError:
        problems.append(f"{NAME} is not on the card: the device goes on with the settings that worked last")
    except OSError as error:
        problems.append(f"{NAME} cannot be read ({error.strerror}): write the card anew")
    except UsageError as error:
        problems.append(f"{NAME}: {error}; until then the settings hold that worked last")
    if found is None:
        try:
            found = _written(last.read_bytes(), places)
        except (OSError, UsageError):
            found = _written(b"", places)
    for line in _missing(places):
        problems.append(line)
    _tell_system(found.device, places)
    _replace(places.run / "problems.txt", "".join(f"{line}\n" for line in problems).encode(), 0o644)
    return problems


def _missing(places: Places) -> list[str]:
    if places.kept.is_dir():
        return []
    return ["the data partition of the card is missing or damaged: no film is taken before it is back"]


def _written(data: bytes, places: Places) -> Settings:
    """Settings, once the station accepts them and they are where it reads them."""
    settings = read(data)
    groups = {name: {**_DEFAULTS.get(name, {}), **settings.station.get(name, {})} for name in _DEFAULTS}
    groups = {**settings.station, **groups}
    groups["view"].setdefault("token", _own_token(places))
    groups["view"]["problems"] = str(places.run / "problems.txt")
    groups["results"]["folder"] = str(places.data / "results")
    _bring_files(groups, places)
    draft = places.run / "draft.toml"
    _replace(draft, _as_toml(groups).encode(), 0o600)
    try:
        StationConfig.load(draft)
    except UsageError as error:
        raise UsageError(str(error).removeprefix(f"{draft}: ")) from error
    finally:
        draft.unlink()
    _replace(places.run / "station.toml", _as_toml(groups).encode(), 0o600, for_service=True)
    return settings


def _bring_files(groups: dict[str, dict[str, Any]], places: Places) -> None:
    """Copy certificates and keys from beside the settings to where the service may read them."""
    for key in keys():
        name = groups.get(key.group, {}).get(key.name)
        if key.kind is Path and isinstance(name, str) and name == Path(name).name:
            if not (places.card / name).is_file():
                raise UsageError(f"{key.group}.{key.name}: there is no file {name} on the card")
            path = places.run / name
            _replace(path, (places.card / name).read_bytes(), 0o600, for_service=True)
            groups[key.group][key.name] = str(path)


def _own_token(places: Places) -> str:
    """A token that stays the same across starts, if it can be stored."""
    path = places.kept / "token"
    try:
        return path.read_text().strip() or secrets.token_urlsafe(9)
    except OSError:
        token = secrets.token_urlsafe(9)
        with contextlib.suppress(OSError):
            _replace(path, token.encode(), 0o600)
        return token


def _as_toml(groups: dict[str, dict[str, Any]]) -> str:
    """Groups as TOML; JSON writes strings, numbers, booleans and lists as TOML does."""
    return "".join(
        f"[{json.dumps(group)}]\n"
        + "".join(f"{json.dumps(name)} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
        for group, values in groups.items()
    )


def _tell_system(device: Device, places: Places) -> None:
    """Write what the network, the clock and the screen read, all of it in memory."""
    (places.run / "environment").write_text(f"TZ={device.time_zone}\n")
    (places.run / "name").write_text(f"{device.name}\n")
    network, time_server, wifi = network_of(device), time_server_of(device), wifi_of(device)
    for name, text in (("network.conf", network), ("timesyncd.conf", time_server), ("wifi.conf", wifi)):
        path = places.run / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            _replace(path, text.encode(), 0o600 if name == "wifi.conf" else 0o644)


def network_of(device: Device) -> str | None:
    """A drop-in for systemd.network(5) with the fixed address; `None` without one."""
    if device.address is None:
        return None
    lines = ["[Network]", "DHCP=no", f"Address={device.address}"]
    lines += [f"Gateway={device.gateway}"] if device.gateway else []
    lines += [f"DNS={device.dns}"] if device.dns else []
    return "\n".join(lines) + "\n"


def time_server_of(device: Device) -> str | None:
    """A drop-in for timesyncd.conf(5)."""
    return None if device.time_server is None else f"[Time]\nNTP={device.time_server}\n"


def wifi_of(device: Device) -> str | None:
    """The configuration of wpa_supplicant; `None` for cable only. Names are written in hex, which needs no quoting."""
    if device.wifi_name is None:
        return None
    lines = [f"country={device.wifi_country}"] if device.wifi_country else []
    lines += ["network={", f"    ssid={device.wifi_name.encode().hex()}", "    scan_ssid=1"]
    if device.wifi_password is None:
        lines += ["    key_mgmt=NONE"]
    else:
        # A quoted passphrase ends at the last quotation mark of its line.
        lines += [f'    psk="{device.wifi_password}"', "    key_mgmt=WPA-PSK WPA-PSK-SHA256"]
    return "\n".join([*lines, "}"]) + "\n"


def _replace(path: Path, data: bytes, mode: int, *, for_service: bool = False) -> None:
    """Write a file atomically, flushed, and with its mode from the start."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if for_service:
        with contextlib.suppress(LookupError):
            shutil.chown(draft, "edge-seg", "edge-seg")
    draft.replace(path)


def write_errors(card: Path, problems: list[str], writable: contextlib.AbstractContextManager[object]) -> None:
    """Write the problems to the card, or remove the file if there are none; an up-to-date card is left alone.

    Args:
        card: folder of the settings.
        problems: one per line.
        writable: context in which the card is writable.
    """
    path = card / ERRORS_NAME
    text = "".join(f"{line}\r\n" for line in problems).encode()
    try:
        if (path.read_bytes() if path.exists() else b"") == text:
            return
        with writable:
            if problems:
                _replace(path, text, 0o644)
            else:
                path.unlink()
    except OSError as error:
        print(f"{path} cannot be written ({error.strerror})")


class Writable:
    """A context in which a mounted partition is writable."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> None:
        self._remount("rw")

    def __exit__(self, *_: object) -> None:
        os.sync()
        self._remount("ro")

    def _remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self._place], check=False)


def main() -> None:
    """Run as the service does."""
    places = Places()
    problems = apply(places)
    for line in problems:
        print(line)
    for name, where in (
        ("network.conf", "/run/systemd/network/80-edge-seg.network.d"),
        ("timesyncd.conf", "/run/systemd/timesyncd.conf.d"),
        ("wifi.conf", "/run/wpa_supplicant"),
    ):
        if (places.run / name).exists():
            Path(where).mkdir(parents=True, exist_ok=True)
            target = "wpa_supplicant-wlan0.conf" if name == "wifi.conf" else name
            (places.run / name).replace(Path(where) / target)
    Path("/proc/sys/kernel/hostname").write_text((places.run / "name").read_text().strip())
    write_errors(places.card, problems, Writable(places.card))


if __name__ == "__main__":
    main()
