"""The configuration of a station: typed, checked, from a TOML file, the environment and the command line.

Each setting is defined once, by its field below: its key in the file is `group.name`, and the field gives its
command-line option, help and limits. `edge-seg run` and `docs/reference/cli.md` are made from these fields.
"""

# No `from __future__ import annotations`: `Settings` reads the types of settings from the annotations.
import os
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any

from edge_seg.address import holds_secrets, is_loopback, parse_address, without_secrets
from edge_seg.errors import UsageError
from edge_seg.station.config_file import read_settings, refuse_shared_secrets, secrets_among
from edge_seg.station.settings import ARGUMENTS, Group, Key, Settings, Values, setting

_SEND_SECURELY = "set archive.tls (--send-tls), or give an https:// address"

_NOTIFY_SECURELY = "give notify.address (--notify) as https://... or mqtts://..."


class InputsConfig(Settings, group="inputs"):
    """Films from files and folders."""

    files: tuple[str, ...] = setting((), ARGUMENTS, "Pictures, DICOM files, folders and globs.")
    watch: tuple[Path, ...] = setting(
        (), "--watch", "Take films as they appear in a folder; repeatable.", metavar="FOLDER"
    )
    frames: int | None = setting(
        None, "--frames", "Stop each camera, video, watched folder or listener after this number of films.", least=1
    )
    again: bool = setting(False, "--again", "Also segment films that are done already.")


class CamerasConfig(Settings, group="cameras"):
    """Films from cameras."""

    addresses: tuple[str, ...] = setting(
        (), "--camera", "Take films from a camera; repeatable.", metavar="demo|auto|picamera|INDEX|URL|VIDEO"
    )
    user: str | None = setting(
        None, "", "User name for cameras whose URL holds none.", environment="EDGE_SEG_CAMERA_USER"
    )
    password: str | None = setting(
        None, "", "Password for cameras whose URL holds none.", environment="EDGE_SEG_CAMERA_PASSWORD", secret=True
    )
    light_box: bool = setting(
        False, "--light-box", "The camera looks at a film on a light box: find the film and undo the keystone."
    )
    rotation: int = setting(
        0,
        "--rotate",
        "Degrees by which pictures of cameras are turned clockwise.",
        metavar="0|90|180|270",
        choices=(0, 90, 180, 270),
    )
    every_s: float = setting(
        0.0,
        "--every",
        "Minimum seconds between two films of a camera.",
        metavar="SECONDS",
        least=0,
        shown_default="as fast as the device can",
    )
    any_certificate: bool = setting(
        False, "--any-certificate", "Over HTTPS, also accept a camera certificate that no authority signed."
    )


class ListenerConfig(Settings, group="listener"):
    """Films by DICOM."""

    address: str | None = setting(
        None,
        "--listen",
        "Receive films by DICOM (C-STORE); only from this machine unless HOST says otherwise.",
        metavar="[HOST:]PORT",
    )
    ae_title: str = setting("EDGESEG", "--ae-title", "AE title of this device.")
    senders: tuple[str, ...] = setting(
        (), "--sender", "Receive only from this AE title; repeatable.", metavar="AE", shown_default="all"
    )
    tls_cert: Path | None = setting(
        None, "--listen-tls-cert", "Certificate of the listener: senders must speak TLS (PEM).", metavar="FILE"
    )
    tls_key: Path | None = setting(
        None, "--listen-tls-key", "Key of that certificate (PEM, without a password).", metavar="FILE"
    )
    tls_ca: Path | None = setting(
        None,
        "--listen-tls-ca",
        "Authorities of senders (PEM): accept only senders with a certificate from one of them.",
        metavar="FILE",
    )


class ModelConfig(Settings, group="model"):
    """What segments the films."""

    name: str = setting("lungs", "--model", "Shipped model or model file.")
    manifest: Path | None = setting(
        None,
        "--manifest",
        "Manifest of another program's .tflite (edge-seg inspect --write-manifest drafts one).",
        metavar="FILE",
        shown_default="the one beside it",
    )
    lung: str | None = setting(
        None,
        "--lung",
        "Definition of lung: with the part behind the heart, or without.",
        choices=("whole", "visible"),
        shown_default="whole",
    )
    threads: int | None = setting(None, "--threads", "CPU threads.", least=1, shown_default="one per core")
    engine: str | None = setting(
        None, "--engine", "Inference engine.", choices=("litert", "tflite"), shown_default="the one installed"
    )
    delegate: str = setting(
        "auto",
        "--delegate",
        "What runs the network; the CPU takes over from an Edge TPU that fails.",
        choices=("auto", "cpu", "edgetpu"),
    )
    gate: bool = setting(True, "--gate", "Reject films of a kind that the model does not expect.")


class ResultsConfig(Settings, group="results"):
    """What is written."""

    folder: Path = setting("edge-seg-results", "--out", "Folder for results.")
    save: tuple[str, ...] = setting(
        ("mask", "overlay", "record"),
        "--save",
        "What to write, separated by commas: mask, overlay, record, dicom (SEG, overlay and measurement report).",
        separated=True,
    )
    overlay: str = setting("jpg", "--overlay", "Format of overlays.", choices=("jpg", "png"))
    names: bool = setting(False, "--names", "Name patients in records and on the page.")


class RetentionConfig(Settings, group="retention"):
    """What is removed."""

    days: float | None = setting(None, "--keep-days", "Remove results older than this number of days.", above=0)
    free_gb: float | None = setting(
        None,
        "--keep-free",
        "Remove the oldest results while less than this is free on the disk.",
        metavar="GB",
        above=0,
    )


class ViewConfig(Settings, group="view"):
    """The page."""

    address: str | None = setting(
        None,
        "--view",
        "Show results and health in a browser; only on this machine unless HOST says otherwise.",
        metavar="[HOST:]PORT",
    )
    token: str | None = setting(
        None,
        "--view-token",
        "Token that browsers on other machines must give; better set as EDGE_SEG_VIEW_TOKEN or in a file.",
        environment="EDGE_SEG_VIEW_TOKEN",
        secret=True,
        shown_default="made up at each start",
    )
    tls_cert: Path | None = setting(
        None, "--view-tls-cert", "Certificate of the page, which is then served over HTTPS (PEM).", metavar="FILE"
    )
    tls_key: Path | None = setting(
        None, "--view-tls-key", "Key of that certificate (PEM, without a password).", metavar="FILE"
    )
    problems: Path | None = setting(
        None,
        "--view-problems",
        "Also show each line of this file as a problem: what the system around edge-seg found.",
        metavar="FILE",
    )
    corrections: bool = setting(True, "--corrections", "Let viewers of the page correct outlines.")


class ArchiveConfig(Settings, group="archive"):
    """Where DICOM results go."""

    address: str | None = setting(
        None,
        "--send",
        "Send DICOM results on to a PACS or a DICOMweb service; adds dicom to --save.",
        metavar="AE@HOST:PORT|https://HOST/...",
    )
    authorization: str | None = setting(
        None,
        "",
        "Value of the Authorization header that a DICOMweb service asks for.",
        environment="EDGE_SEG_SEND_AUTHORIZATION",
        secret=True,
    )
    tls: bool = setting(False, "--send-tls", "Send to the PACS over TLS.")
    tls_ca: Path | None = setting(
        None,
        "--send-tls-ca",
        "Authority of the PACS, or its own certificate (PEM).",
        metavar="FILE",
        shown_default="those of the system",
    )
    tls_cert: Path | None = setting(
        None, "--send-tls-cert", "Certificate of this device, for a PACS that asks for one (PEM).", metavar="FILE"
    )
    tls_key: Path | None = setting(
        None, "--send-tls-key", "Key of that certificate (PEM, without a password).", metavar="FILE"
    )


class NotifyConfig(Settings, group="notify"):
    """Who is notified of each film."""

    address: str | None = setting(
        None,
        "--notify",
        "Send the record of each film on as JSON, to a webhook or an MQTT broker.",
        metavar="https://HOST/...|mqtt://HOST/TOPIC",
    )
    authorization: str | None = setting(
        None,
        "",
        "Value of the Authorization header that the webhook asks for, or USER:PASSWORD for the broker.",
        environment="EDGE_SEG_NOTIFY_AUTHORIZATION",
        secret=True,
    )
    tls_ca: Path | None = setting(
        None,
        "--notify-tls-ca",
        "Authority of the webhook or the broker, or its own certificate (PEM).",
        metavar="FILE",
        shown_default="those of the system",
    )


class ConsoleConfig(Settings, group="console"):
    """What the command prints."""

    json: bool = setting(False, "--json", "Print each record as a JSON line.")
    quiet: bool = setting(False, "--quiet", "Print errors only.")
    verbose: bool = setting(False, "--verbose", "Print a line for each film.")
    log_level: str | None = setting(
        None,
        "--log-level",
        "Log what happens to standard error.",
        choices=("debug", "info", "warning", "error"),
        shown_default="nothing",
    )


class StationConfig(Group):
    """All settings of a station.

    Raises:
        UsageError: a value has the wrong type or is out of range; the message names its key.

    >>> StationConfig(listener=ListenerConfig("11112"), retention=RetentionConfig(days=30)).results.folder.name
    'edge-seg-results'
    """

    inputs: InputsConfig = field(default_factory=InputsConfig)
    cameras: CamerasConfig = field(default_factory=CamerasConfig)
    listener: ListenerConfig = field(default_factory=ListenerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    results: ResultsConfig = field(default_factory=ResultsConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    notify: NotifyConfig = field(default_factory=NotifyConfig)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)

    @property
    def has_source(self) -> bool:
        """Whether it names any source of films."""
        return bool(self.inputs.files or self.inputs.watch or self.cameras.addresses or self.listener.address)

    @property
    def holds_persons(self) -> bool:
        """Whether it writes files that name patients: DICOM results, received films, records with names."""
        return bool(self.results.names or "dicom" in self.results.save or self.archive.address or self.listener.address)

    @property
    def in_clear(self) -> list[str]:
        """What others on the network can read: one line each, with the remedy."""
        found = []
        for what, address, group, kind, option in (
            ("the page is", self.view.address, self.view, "view", "--view"),
            ("films are", self.listener.address, self.listener, "listener", "--listen"),
        ):
            if address is not None and group.tls_cert is None:
                host, _ = parse_address(address, f"{kind}.address ({option})", 8080)
                if not is_loopback(host):
                    found.append(f"{what} not encrypted at {address}: set {kind}.tls_cert and {kind}.tls_key")
        to = self.archive.address
        if to is not None and not self._archive_is_secure(to):
            found.append(f"results on their way to {without_secrets(to)} are not encrypted: {_SEND_SECURELY}")
        told = self.notify.address
        if told is not None and _is_in_clear(told):
            found.append(f"records on their way to {without_secrets(told)} are not encrypted: {_NOTIFY_SECURELY}")
        return found

    def _archive_is_secure(self, address: str) -> bool:
        scheme, mark, rest = address.partition("://")
        if mark and scheme == "https":
            return True
        host = (rest.partition("/")[0] if mark else address.rpartition("@")[2]).rpartition(":")[0]
        return (not mark and self.archive.tls) or is_loopback(host.strip("[]"))

    def __post_init__(self) -> None:
        for name, group in (("view", self.view), ("listener", self.listener), ("archive", self.archive)):
            if (group.tls_cert is None) != (group.tls_key is None):
                raise UsageError(f"{name}.tls_cert and {name}.tls_key belong together: set both or neither")
        if self.listener.tls_ca is not None and self.listener.tls_cert is None:
            raise UsageError("listener.tls_ca needs listener.tls_cert and listener.tls_key")
        if not self.archive.tls and (self.archive.tls_ca or self.archive.tls_cert):
            raise UsageError("archive.tls_ca and archive.tls_cert need archive.tls = true (--send-tls)")

    @classmethod
    def load(cls, path: Path | None = None, given: Values | None = None) -> "StationConfig":
        """Load the configuration from a file, the environment and `given`; later ones win.

        Args:
            path: TOML file.
            given: settings from elsewhere, such as the command line.

        Raises:
            UsageError: the file cannot be read, holds secrets that others may read, or has a wrong value.
        """
        from_file: Values = {}
        if path is not None:
            try:
                from_file = read_settings(path, keys())
                addresses = cls._of(from_file).cameras.addresses
                also = ["cameras.addresses"] if any(map(holds_secrets, addresses)) else []
                refuse_shared_secrets(path, [*secrets_among(from_file, keys()), *also])
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from error
        return cls._of(from_file, _from_environment(), given or {})

    @classmethod
    def _of(cls, *layers: Values) -> "StationConfig":
        groups: dict[str, Any] = {}
        for name, kind in cls.__annotations__.items():
            values: dict[str, Any] = {}
            for layer in layers:
                values |= layer.get(name, {})
            groups[name] = kind(**values)
        return cls(**groups)


@cache
def keys() -> tuple[Key, ...]:
    """All settings, in the order of the groups."""
    return tuple(key for owner in StationConfig.__annotations__.values() for key in owner.keys)


def _from_environment() -> Values:
    found: dict[str, dict[str, object]] = {}
    for key in keys():
        if key.setting.environment and (value := os.environ.get(key.setting.environment)):
            found.setdefault(key.group, {})[key.name] = value
    return found


def _is_in_clear(url: str) -> bool:
    """Whether others on the network can read what is sent to a URL."""
    # Imported here because help loads this module and does not need it.
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "mqtt") and not is_loopback(parts.hostname or "")
    except ValueError:
        return False
