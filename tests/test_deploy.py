"""What a clinic installs cannot rot: the unit runs an existing command, the page names existing options."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from edge_seg import StationConfig
from edge_seg.cli.run import run
from edge_seg.station.health import STUCK_S

DEPLOY = Path(__file__).parents[1] / "deploy"
PAGE, UNIT = ((DEPLOY / name).read_text() for name in ("README.md", "edge-seg.service"))
OPTIONS = {option for parameter in run.params for option in parameter.opts}


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT)
    return parser["Service"]


@pytest.mark.parametrize("line", re.findall(r'^(?:Environment=)?"?EDGE_SEG_RUN="?(--l.*)"$', PAGE + UNIT, re.MULTILINE))
def test_the_service_runs_a_command_that_exists(line: str) -> None:
    start = unit()["ExecStart"]
    assert start.startswith("/opt/edge-seg/bin/edge-seg run $EDGE_SEG_RUN ")
    rest = shlex.split(start.partition("$EDGE_SEG_RUN")[2])
    # Parsed, not run: an unknown option or a refused value fails here.
    context = run.make_context("run", [*shlex.split(line), *rest])
    assert context.params["listener_address"]
    assert context.params["results_folder"] == Path("/var/lib/edge-seg")


def test_the_example_is_a_configuration_with_each_line_that_can_be_switched_on(tmp_path: Path) -> None:
    example = (DEPLOY / "station.toml").read_text()
    config = StationConfig.load(DEPLOY / "station.toml")
    assert (config.listener.address, config.results.folder) == ("0.0.0.0:11112", Path("/var/lib/edge-seg"))
    full = tmp_path / "station.toml"
    full.write_text(re.sub(r"^# (?=\w+ = )", "", example, flags=re.MULTILINE))
    full.chmod(0o600)
    assert StationConfig.load(full).retention.days == 30


def test_every_option_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(--[\w-]+)", PAGE))
    assert {"--listen", "--watch", "--camera", "--send", "--view", "--keep-days"} <= named
    assert named <= OPTIONS | {"--system-site-packages"}


def test_the_files_that_the_pages_commands_name_lie_where_they_are_typed() -> None:
    lines = [
        line
        for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    named = [
        word
        for line in lines
        for word in shlex.split(line, comments=True)
        if re.fullmatch(r"[\w/-]+\.(toml|service)", word)
    ]
    here = [name for name in named if not name.startswith("/")]
    assert {Path(name).name for name in here} == {"station.toml", "edge-seg.service"}
    assert all((DEPLOY.parent / name).is_file() for name in here)


def test_the_unit_is_watched_limited_and_shut_in() -> None:
    service = unit()
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > STUCK_S
    assert service["Restart"] == "always"
    assert service["MemoryMax"].endswith("M")
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["User"] != "root"
    assert service["StateDirectoryMode"] == "0700"
    assert int(service["TimeoutStartSec"]) >= 300
    # The page has the same numbers.
    assert f"{service['MemoryMax'][:-1]} MB" in PAGE


def test_systemd_finds_no_fault_in_the_unit() -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd is not here")
    seen = subprocess.run([tool, "verify", str(DEPLOY / "edge-seg.service")], capture_output=True, text=True)
    complaints = [line for line in seen.stderr.splitlines() if "edge-seg.service" in line]
    # The program is installed only on the device.
    assert [line for line in complaints if "/opt/edge-seg" not in line and "Unknown user" not in line] == []
