"""The configuration: each wrong value is named by its key, the command line wins, only the owner can read secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from edge_seg import StationConfig, UsageError
from edge_seg.cli.options import given_values
from edge_seg.cli.run import run
from edge_seg.station.config import InputsConfig, ListenerConfig, ViewConfig, keys
from edge_seg.station.settings import ARGUMENTS

WHOLE = """
[inputs]
files = ["a.png", "films/*.dcm"]
watch = ["/srv/films"]
frames = 3
again = true

[cameras]
addresses = ["http://10.0.0.7/video"]
light_box = true

[listener]
address = "0.0.0.0:11112"
ae_title = "CLINIC"
senders = ["SCANNER", "OTHER"]

[model]
name = "lungs"
lung = "visible"
threads = 2
engine = "litert"
delegate = "cpu"
gate = false

[results]
folder = "/var/lib/edge-seg"
save = ["mask", "dicom"]
names = true

[retention]
days = 30
free_gb = 2.5

[view]
address = "8080"

[archive]
address = "PACS@10.0.0.5:104"

[console]
json = true
quiet = true
verbose = true
log_level = "info"
"""


def write(folder: Path, text: str, mode: int = 0o644) -> Path:
    path = folder / "station.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def parsed(*words: str) -> StationConfig:
    """The configuration that a command line gives."""
    parameters = run.make_context("run", list(words)).params
    return StationConfig.load(parameters.pop("file"), given_values(parameters))


def test_every_setting_can_be_given_in_a_file_and_on_the_command_line(tmp_path: Path) -> None:
    config = StationConfig.load(write(tmp_path, WHOLE))
    given = {
        "--watch": "/srv/films",
        "--frames": "3",
        "--camera": "http://10.0.0.7/video",
        "--listen": "0.0.0.0:11112",
        "--ae-title": "CLINIC",
        "--lung": "visible",
        "--threads": "2",
        "--engine": "litert",
        "--delegate": "cpu",
        "--out": "/var/lib/edge-seg",
        "--save": "mask, dicom",
        "--keep-days": "30",
        "--keep-free": "2.5",
        "--view": "8080",
        "--send": "PACS@10.0.0.5:104",
        "--log-level": "info",
        "--model": "lungs",
    }
    words = [word for pair in given.items() for word in pair]
    words += ["--sender", "SCANNER", "--sender", "OTHER", "--light-box", "--no-gate", "--names", "--again"]
    words += ["--json", "--quiet", "--verbose"]
    assert parsed("a.png", "films/*.dcm", *words) == config
    # Every setting has an option, except those that must not appear in a process list.
    without = {f"{key.group}.{key.name}" for key in keys() if not key.setting.option}
    assert without == {"cameras.user", "cameras.password", "archive.authorization", "notify.authorization"}
    options = {option for parameter in run.params for option in parameter.opts}
    assert {key.setting.option for key in keys()} - {"", ARGUMENTS} <= options


def test_the_command_line_wins_over_the_file_and_what_it_leaves_out_stays(tmp_path: Path) -> None:
    path = str(write(tmp_path, WHOLE))
    config = parsed("--config", path, "b.png", "--no-names", "--gate", "--keep-days", "7", "--sender", "THIRD")
    assert config.inputs.files == ("b.png",)
    assert config.inputs.watch == (Path("/srv/films"),)
    assert (config.results.names, config.model.gate, config.model.lung) == (False, True, "visible")
    assert (config.retention.days, config.retention.free_gb) == (7, 2.5)
    assert config.listener.senders == ("THIRD",)


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write(tmp_path, '[view]\ntoken = "file"\n', 0o600))
    assert parsed("--config", path).view.token == "file"
    monkeypatch.setenv("EDGE_SEG_VIEW_TOKEN", "environment")
    assert parsed("--config", path).view.token == "environment"
    assert parsed("--config", path, "--view-token", "line").view.token == "line"
    assert parsed().view.token == "environment"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[view]\naddress = 8080", ["view.address", "8080", "text in quotes"]),
        ("[view]\nadress = '8080'", ["view.adress", "did you mean view.address?"]),
        ("[veiw]\naddress = '8080'", ["veiw", "did you mean view?"]),
        ("frames = 3", ["frames"]),
        ("view = '8080'", ["view: is a group", "[view]"]),
        ("[inputs]\nframes = 0", ["inputs.frames", "1 or more"]),
        ("[inputs]\nframes = 2.0", ["inputs.frames", "a whole number"]),
        ("[inputs]\nframes = true", ["inputs.frames", "a whole number"]),
        ("[inputs]\nagain = 1", ["inputs.again", "true or false"]),
        ("[inputs]\nwatch = '/srv'", ["inputs.watch", "a list"]),
        ("[inputs]\nwatch = [1]", ["inputs.watch", "a path"]),
        ("[inputs]\nfiles = ['a', ['b']]", ["inputs.files", "text in quotes"]),
        ("[model]\nlung = 'left'", ["model.lung", "whole, visible"]),
        ("[model]\ngate = 'no'", ["model.gate", "true or false"]),
        ("[retention]\ndays = 0", ["retention.days", "more than 0"]),
        ("[retention]\ndays = nan", ["retention.days", "more than 0"]),
        ("[retention]\ndays = inf", ["retention.days", "more than 0"]),
        ("[retention]\ndays = '30'", ["retention.days", "a number"]),
        ("[results]\nfolder = ''", ["results.folder"]),
        ("[results]\nfolder = {a = 1}", ["results.folder", "a path"]),
        ('[listener]\nae_title = "a\\u0000b"', ["listener.ae_title", "printable"]),
        ("[console]\nlog_level = 'loud'", ["console.log_level", "debug, info, warning, error"]),
        ("[view]\ntoken = 5", ["view.token", "text in quotes"]),
        ("[view", ["no TOML file", "end of"]),
        ("\x00", ["no TOML file"]),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_its_key(tmp_path: Path, text: str, said: list[str]) -> None:
    path = write(tmp_path, text, 0o600)
    with pytest.raises(UsageError) as caught:
        StationConfig.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for words in said:
        assert words in message
    assert "not 5" not in message


@pytest.mark.parametrize("data", [b"\xff\xfe[view]", b"[view]\naddress = '\xff'"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "station.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="no TOML file"):
        StationConfig.load(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        StationConfig.load(tmp_path / "absent.toml")
    seen = CliRunner().invoke(run, ["--config", str(tmp_path)])
    assert isinstance(seen.exception, UsageError)


def test_from_python_values_are_checked_too() -> None:
    with pytest.raises(UsageError, match=r"listener\.senders"):
        ListenerConfig("11112", senders="SCANNER")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"inputs\.frames"):
        InputsConfig(frames=0)
    assert InputsConfig(watch=["in"]).watch == (Path("in"),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        '[view]\ntoken = "secret"',
        '[cameras]\npassword = "secret"',
        '[cameras]\naddresses = ["rtsp://nurse:secret@10.0.0.7/film"]',
        '[cameras]\naddresses = ["http://10.0.0.7/video?pwd=secret"]',
    ],
)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_of_secrets_that_others_may_read_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    path = write(tmp_path, text, mode)
    with pytest.raises(UsageError) as caught:
        StationConfig.load(path)
    assert f"chmod 600 {path}" in str(caught.value)
    assert "secret@" not in str(caught.value)
    path.chmod(0o600)
    StationConfig.load(path)


def test_a_configuration_that_is_printed_shows_no_secret() -> None:
    assert "secret" not in repr(StationConfig(view=ViewConfig("8080", "secret")))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--view", "8080", "--listen", "11112"], []),
        (["--view", "127.0.0.1:8080", "--listen", "[::1]:11112", "--send", "PACS@localhost:104"], []),
        (["--view", "0.0.0.0:8080"], ["view.tls_cert"]),
        (["--listen", "[::]:11112"], ["listener.tls_cert"]),
        (["--send", "PACS@10.0.0.5:104"], ["archive.tls"]),
        (["--send", "http://pacs.clinic/dicom-web"], ["archive.tls"]),
        (["--send", "https://pacs.clinic/dicom-web"], []),
        (["--send", "PACS@10.0.0.5:104", "--send-tls"], []),
        (["--view", "0.0.0.0:8080", "--view-tls-cert", "a", "--view-tls-key", "b"], []),
        (["--listen", "0.0.0.0:104", "--listen-tls-cert", "a", "--listen-tls-key", "b"], []),
    ],
)
def test_what_leaves_this_machine_in_clear_is_said(words: list[str], said: list[str]) -> None:
    found = parsed(*words).in_clear
    assert len(found) == len(said)
    assert all(key in line for key, line in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--view-tls-cert", "a"], r"view\.tls_key"),
        (["--listen-tls-key", "a"], r"listener\.tls_cert"),
        (["--listen-tls-ca", "a"], r"listener\.tls_ca"),
        (["--send-tls-ca", "a"], r"archive\.tls"),
    ],
)
def test_tls_by_halves_is_refused(words: list[str], key: str) -> None:
    with pytest.raises(UsageError, match=key):
        parsed(*words)


def test_the_page_of_the_service_names_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "service.md").read_text()
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("| `[")}
    for key in keys():
        assert f"`{key.name}`" in rows[f"`[{key.group}]`"], f"{key.group}.{key.name}"
