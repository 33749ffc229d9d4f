"""The configuration of a station: typed, checked, from a TOML file, the environment and the command line.

The fields below are the one place that knows a setting: its key in the file is `group.name`, and its option, help and
limits on the command line stand beside it. `edge-seg run` and `docs/reference/cli.md` are made from them.
"""

# Without `from __future__ import annotations`: `keys` takes the types of settings from annotations.
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, get_args, get_origin

from edge_seg.address import holds_secrets, is_loopback, parse_address, without_secrets
from edge_seg.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        """Tells type checkers alone; Python 3.10 has none."""
        return lambda cls: cls


Values: TypeAlias = Mapping[str, Mapping[str, object]]
"""Settings that were given: by group, by name."""

ARGUMENTS = "FILE|FOLDER|GLOB"
"""In place of an option: the setting is what the command line names without one."""

_SEND_SECURELY = "set archive.tls (--send-tls), or give an https:// address"

_NOTIFY_SECURELY = "give notify.address (--notify) as https://... or mqtts://..."

_NAMES_OF_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
}


class Setting(NamedTuple):
    """How a setting is given.

    Attributes:
        option: on the command line, `ARGUMENTS`, or empty where it is not given there.
        help: what it does.
        metavar: what stands for its value in help.
        choices: the values it takes.
        least: the least value it takes.
        above: values it takes are larger.
        separated: on the command line the values stand in one word, separated by commas.
        environment: variable that gives it; one on the command line wins.
        secret: a file that holds it must be readable by its owner only.
        shown_default: what help says of the default, where the value itself does not say it.
    """

    option: str
    help: str
    metavar: str | None = None
    choices: tuple[Any, ...] = ()
    least: float | None = None
    above: float | None = None
    separated: bool = False
    environment: str | None = None
    secret: bool = False
    shown_default: str | None = None


def _setting(default: Any, option: str, help: str, **more: Any) -> Any:
    setting = Setting(option, help, **more)
    return field(default=default, repr=not setting.secret, metadata={"setting": setting})


@dataclass_transform(frozen_default=True)
class _Group:
    """Its classes become frozen dataclasses with their first instance, since that takes time and help makes none."""

    def __new__(cls, *_: object, **__: object) -> "Self":
        if "__dataclass_fields__" not in cls.__dict__:
            dataclass(frozen=True)(cls)
        return super().__new__(cls)


class _Settings(_Group):
    """Checks the fields of a group when it is made."""

    given: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        cls.given = {name: vars(cls)[name] for name in cls.__annotations__}

    def __post_init__(self) -> None:
        for key in keys():
            if key.owner is type(self):
                object.__setattr__(self, key.name, key.checked(getattr(self, key.name)))


class InputsConfig(_Settings):
    """Films from files and folders."""

    files: tuple[str, ...] = _setting((), ARGUMENTS, "Pictures, DICOM files, folders and globs.")
    watch: tuple[Path, ...] = _setting(
        (), "--watch", "Take films as they appear in a folder; repeatable.", metavar="FOLDER"
    )
    frames: int | None = _setting(
        None, "--frames", "Stop each camera, video, watched folder or listener after this number of films.", least=1
    )
    again: bool = _setting(False, "--again", "Also segment films that are done already.")


class CamerasConfig(_Settings):
    """Films from cameras."""

    addresses: tuple[str, ...] = _setting(
        (), "--camera", "Take films from a camera; repeatable.", metavar="demo|auto|picamera|INDEX|URL|VIDEO"
    )
    user: str | None = _setting(
        None, "", "User name for cameras whose URL holds none.", environment="EDGE_SEG_CAMERA_USER"
    )
    password: str | None = _setting(
        None, "", "Password for cameras whose URL holds none.", environment="EDGE_SEG_CAMERA_PASSWORD", secret=True
    )
    light_box: bool = _setting(
        False, "--light-box", "The camera looks at a film on a light box: find the film and undo the keystone."
    )
    rotation: int = _setting(
        0,
        "--rotate",
        "Degrees by which pictures of cameras are turned clockwise.",
        metavar="0|90|180|270",
        choices=(0, 90, 180, 270),
    )
    every_s: float = _setting(
        0.0,
        "--every",
        "Least seconds between two films of a camera.",
        metavar="SECONDS",
        least=0,
        shown_default="as fast as the device can",
    )
    any_certificate: bool = _setting(
        False, "--any-certificate", "Over HTTPS, also take a camera's certificate that no authority signed."
    )


class ListenerConfig(_Settings):
    """Films by DICOM."""

    address: str | None = _setting(
        None,
        "--listen",
        "Receive films by DICOM (C-STORE); only from this machine unless HOST says otherwise.",
        metavar="[HOST:]PORT",
    )
    ae_title: str = _setting("EDGESEG", "--ae-title", "AE title of this device.")
    senders: tuple[str, ...] = _setting(
        (), "--sender", "Receive only from this AE title; repeatable.", metavar="AE", shown_default="all"
    )
    tls_cert: Path | None = _setting(
        None, "--listen-tls-cert", "Certificate of the listener: senders must speak TLS (PEM).", metavar="FILE"
    )
    tls_key: Path | None = _setting(
        None, "--listen-tls-key", "Key of that certificate (PEM, without a password).", metavar="FILE"
    )
    tls_ca: Path | None = _setting(
        None,
        "--listen-tls-ca",
        "Authorities of senders (PEM): only senders with a certificate of one of them are heard.",
        metavar="FILE",
    )


class ModelConfig(_Settings):
    """What segments the films."""

    name: str = _setting("lungs", "--model", "Shipped model or model file.")
    manifest: Path | None = _setting(
        None,
        "--manifest",
        "Manifest of another program's .tflite (edge-seg inspect --write-manifest drafts one).",
        metavar="FILE",
        shown_default="the one beside it",
    )
    lung: str | None = _setting(
        None,
        "--lung",
        "Definition of lung: with the part behind the heart, or without.",
        choices=("whole", "visible"),
        shown_default="whole",
    )
    threads: int | None = _setting(None, "--threads", "CPU threads.", least=1, shown_default="one per core")
    engine: str | None = _setting(
        None, "--engine", "Inference engine.", choices=("litert", "tflite"), shown_default="the one installed"
    )
    delegate: str = _setting(
        "auto",
        "--delegate",
        "What runs the network; the CPU takes over from an Edge TPU that fails.",
        choices=("auto", "cpu", "edgetpu"),
    )
    gate: bool = _setting(True, "--gate", "Reject films of a kind that the model does not expect.")


class ResultsConfig(_Settings):
    """What is written."""

    folder: Path = _setting("edge-seg-results", "--out", "Folder for results.")
    save: tuple[str, ...] = _setting(
        ("mask", "overlay", "record"),
        "--save",
        "What to write, separated by commas: mask, overlay, record, dicom (SEG, overlay and measurement report).",
        separated=True,
    )
    overlay: str = _setting("jpg", "--overlay", "Format of overlays.", choices=("jpg", "png"))
    names: bool = _setting(False, "--names", "Name patients in records and on the page.")


class RetentionConfig(_Settings):
    """What is removed."""

    days: float | None = _setting(None, "--keep-days", "Remove results older than this number of days.", above=0)
    free_gb: float | None = _setting(
        None,
        "--keep-free",
        "Remove the oldest results while less than this is free on the disk.",
        metavar="GB",
        above=0,
    )


class ViewConfig(_Settings):
    """The page."""

    address: str | None = _setting(
        None,
        "--view",
        "Show results and health in a browser; only on this machine unless HOST says otherwise.",
        metavar="[HOST:]PORT",
    )
    token: str | None = _setting(
        None,
        "--view-token",
        "What a browser on another machine must know; better given as EDGE_SEG_VIEW_TOKEN or in a file.",
        environment="EDGE_SEG_VIEW_TOKEN",
        secret=True,
        shown_default="made up at each start",
    )
    tls_cert: Path | None = _setting(
        None, "--view-tls-cert", "Certificate of the page: it is served by HTTPS (PEM).", metavar="FILE"
    )
    tls_key: Path | None = _setting(
        None, "--view-tls-key", "Key of that certificate (PEM, without a password).", metavar="FILE"
    )
    problems: Path | None = _setting(
        None,
        "--view-problems",
        "Also show each line of this file as a problem: what the system around edge-seg found.",
        metavar="FILE",
    )
    corrections: bool = _setting(True, "--corrections", "Let who sees the page put outlines right.")


class ArchiveConfig(_Settings):
    """Where DICOM results go."""

    address: str | None = _setting(
        None,
        "--send",
        "Send DICOM results on to a PACS or a DICOMweb service; adds dicom to --save.",
        metavar="AE@HOST:PORT|https://HOST/...",
    )
    authorization: str | None = _setting(
        None,
        "",
        "Value of the Authorization header that a DICOMweb service asks for.",
        environment="EDGE_SEG_SEND_AUTHORIZATION",
        secret=True,
    )
    tls: bool = _setting(False, "--send-tls", "Send to the PACS by TLS.")
    tls_ca: Path | None = _setting(
        None,
        "--send-tls-ca",
        "Authority of the PACS, or its own certificate (PEM).",
        metavar="FILE",
        shown_default="those of the system",
    )
    tls_cert: Path | None = _setting(
        None, "--send-tls-cert", "Certificate of this device, for a PACS that asks for one (PEM).", metavar="FILE"
    )
    tls_key: Path | None = _setting(
        None, "--send-tls-key", "Key of that certificate (PEM, without a password).", metavar="FILE"
    )


class NotifyConfig(_Settings):
    """Who is told of each film."""

    address: str | None = _setting(
        None,
        "--notify",
        "Send the record of each film on as JSON, to a webhook or an MQTT broker.",
        metavar="https://HOST/...|mqtt://HOST/TOPIC",
    )
    authorization: str | None = _setting(
        None,
        "",
        "Value of the Authorization header that the webhook asks for, or USER:PASSWORD for the broker.",
        environment="EDGE_SEG_NOTIFY_AUTHORIZATION",
        secret=True,
    )
    tls_ca: Path | None = _setting(
        None,
        "--notify-tls-ca",
        "Authority of the webhook or the broker, or its own certificate (PEM).",
        metavar="FILE",
        shown_default="those of the system",
    )


class ConsoleConfig(_Settings):
    """What the command prints."""

    json: bool = _setting(False, "--json", "Print each record as a JSON line.")
    quiet: bool = _setting(False, "--quiet", "Print errors only.")
    verbose: bool = _setting(False, "--verbose", "Print a line for each film.")
    log_level: str | None = _setting(
        None,
        "--log-level",
        "Log what happens to standard error.",
        choices=("debug", "info", "warning", "error"),
        shown_default="nothing",
    )


class StationConfig(_Group):
    """Everything that a station can be told.

    Raises:
        UsageError: a value is of the wrong type or out of range; the message names its key.

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
        """Whether it names anything to take films from."""
        return bool(self.inputs.files or self.inputs.watch or self.cameras.addresses or self.listener.address)

    @property
    def holds_persons(self) -> bool:
        """Whether files that it writes name patients: DICOM results, received films, records with names."""
        return bool(self.results.names or "dicom" in self.results.save or self.archive.address or self.listener.address)

    @property
    def in_clear(self) -> list[str]:
        """What others on the network can read, each in a line that says what to do about it."""
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
        """The configuration from a file, the environment, and what was given otherwise; the later ones win.

        Args:
            path: TOML file.
            given: settings from elsewhere, the command line for example.

        Raises:
            UsageError: the file cannot be read, holds secrets that others may read, or a value in it is wrong.
        """
        from_file: Values = {}
        if path is not None:
            try:
                from_file = _read(path)
                _refuse_shared_secrets(path, cls._of(from_file), from_file)
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from error
        return cls._of(from_file, _from_environment(), given or {})

    @classmethod
    def _of(cls, *layers: Values) -> "StationConfig":
        groups = {}
        for name, kind in cls.__annotations__.items():
            values: dict[str, Any] = {}
            for layer in layers:
                values |= layer.get(name, {})
            groups[name] = kind(**values)
        return cls(**groups)


class Key(NamedTuple):
    """A setting with its place and type.

    Attributes:
        owner: class of its group.
        group, name: of the setting; the file has it as `group.name`.
        default: of the setting.
        kind: type of the value, of each value where it is a list.
        many: whether it is a list.
        setting: how it is given.
    """

    owner: type
    group: str
    name: str
    default: Any
    kind: type
    many: bool
    setting: Setting

    def checked(self, value: object) -> object:
        """The value in its own type.

        Raises:
            UsageError: it is of the wrong type, or out of range.
        """
        if self.many:
            if isinstance(value, str) or not isinstance(value, list | tuple):
                raise self._wrong(value, f"a list, each value {_NAMES_OF_KINDS[self.kind]}")
            return tuple(self._one(each) for each in value)
        return None if value is None and self.default is None else self._one(value)

    def _one(self, value: object) -> object:
        setting = self.setting
        if self.kind is float and type(value) is int:
            value = float(value)
        elif self.kind is Path and isinstance(value, str) and value:
            value = Path(value)
        if not isinstance(value, self.kind) or (self.kind is int and isinstance(value, bool)):
            raise self._wrong(value, _NAMES_OF_KINDS[self.kind])
        if isinstance(value, str) and (not value or not value.isprintable()):
            raise self._wrong(value, "text of printable characters")
        if setting.choices and value not in setting.choices:
            raise self._wrong(value, f"one of {', '.join(map(str, setting.choices))}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if setting.least is not None and not (setting.least <= value < math.inf):
                raise self._wrong(value, f"{setting.least:g} or more")
            if setting.above is not None and not (setting.above < value < math.inf):
                raise self._wrong(value, f"more than {setting.above:g}")
        return value

    def _wrong(self, value: object, wanted: str) -> UsageError:
        but = "" if self.setting.secret else f", not {value!r:.60}"
        return UsageError(f"{self.group}.{self.name}: give {wanted}{but}")


@cache
def keys() -> tuple[Key, ...]:
    """All settings, in the order of the groups."""
    return tuple(
        _key(owner, group, name, hint)
        for group, owner in StationConfig.__annotations__.items()
        for name, hint in owner.__annotations__.items()
    )


def _key(owner: type[_Settings], group: str, name: str, hint: Any) -> Key:
    kind = next(part for part in (*get_args(hint), hint) if part not in (NoneType, Ellipsis))
    given = owner.given[name]
    return Key(owner, group, name, given.default, kind, get_origin(hint) is tuple, given.metadata["setting"])


def _read(path: Path) -> Values:
    """What a file gives, names checked and values not yet."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror}): give a TOML file") from error
    except ValueError as error:
        raise UsageError(f"is no TOML file ({error}): see docs/reference/service.md") from error
    known: dict[str, list[str]] = {}
    for key in keys():
        known.setdefault(key.group, []).append(key.name)
    for group, settings in values.items():
        _refuse_unknown(group, known)
        if not isinstance(settings, dict):
            raise UsageError(f"{group}: is a group: write its settings below [{group}]")
        for name in settings:
            _refuse_unknown(name, known[group], f"{group}.")
    return values


def _refuse_unknown(name: str, known: Iterable[str], prefix: str = "") -> None:
    if name in known:
        return
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {prefix}{near[0]}?" if near else f"there are {', '.join(prefix + each for each in known)}"
    raise UsageError(f"{prefix}{name}: there is no such key: {hint}")


def _refuse_shared_secrets(path: Path, config: StationConfig, values: Values) -> None:
    found = [
        f"{key.group}.{key.name}" for key in keys() if key.setting.secret and key.name in values.get(key.group, {})
    ]
    found += ["cameras.addresses"] if any(map(holds_secrets, config.cameras.addresses)) else []
    if found and os.name == "posix" and path.stat().st_mode & 0o077:
        raise UsageError(f"holds secrets ({', '.join(found)}) and others may read it: chmod 600 {path}")


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
