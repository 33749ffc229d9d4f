"""What people get: a wheel and a source distribution that an index accepts, under licences that allow it."""

from __future__ import annotations

import email
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from edge_seg.model_file import shipped_models
from edge_seg.version import __version__
from edge_seg_lab.constraints import closure

ROOT = Path(__file__).parents[1]
HOME = "https://example.org/radiology/edge-seg"
FREE = ("apache", "bsd", "mit", "isc", "psf", "python software", "mpl", "mozilla", "hpnd", "zlib", "cmu", "0bsd")
"""Licences compatible with Apache-2.0; MPL requires only the sources of its own files."""


def tool(*words: object) -> str:
    done = subprocess.run([sys.executable, "-m", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions, made as for an index."""
    pytest.importorskip("build")
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("not a checkout")
    out = tmp_path_factory.mktemp("dist")
    tool("edge_seg_lab.distributions", "--home", HOME, "--out", out)
    return out


@pytest.mark.slow
@pytest.mark.device
def test_an_index_takes_both(made: Path) -> None:
    pytest.importorskip("twine")
    (wheel,), (source,) = made.glob("*.whl"), made.glob("*.tar.gz")
    assert tool("twine", "check", "--strict", wheel, source).count("PASSED") == 2
    checker = Path(sys.executable).with_name("check-wheel-contents")
    if checker.exists():
        done = subprocess.run([str(checker), str(wheel)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.device
def test_the_source_holds_tests_docs_and_deploy_and_the_wheel_what_runs(made: Path) -> None:
    (wheel,), (source,) = made.glob("*.whl"), made.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = {name for name in tracked.splitlines() if not name.startswith(".") and (ROOT / name).is_file()}
    assert expected - names == set()
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for path in shipped_models().values():
        assert f"edge_seg/models/{Path(path).name}" in inside
    assert {"edge_seg/schemas/record.json", "edge_seg_benchmarks/schemas/report.json", "edge_seg/py.typed"} <= inside
    assert not any(name.startswith(("edge_seg_lab", "tests")) for name in inside)


@pytest.mark.slow
@pytest.mark.device
def test_an_index_shows_the_pictures_and_leads_to_the_project(made: Path) -> None:
    renderer = pytest.importorskip("readme_renderer.markdown")
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = email.message_from_string(archive.read(name).decode())
    assert f"Homepage, {HOME}" in told.get_all("Project-URL", [])
    page = renderer.render(told.get_payload())
    if page is None:
        pytest.skip("what renders Markdown is not installed")
    raw = f"{HOME}/raw/v{__version__}/"
    pictures = re.findall(r'<img[^>]* src="([^"]*)"', page)
    assert len(pictures) >= 2
    for picture in pictures:
        assert picture.startswith(raw)
        assert (ROOT / picture.removeprefix(raw)).is_file()
    for link in re.findall(r'<a[^>]* href="([^"]*)"', page):
        assert link.startswith(("https://", "#"))
        if link.startswith(HOME):
            assert (ROOT / link.partition(f"/v{__version__}/")[2].partition("#")[0]).exists()


@pytest.mark.slow
def test_no_licence_of_the_base_install_forbids_apache() -> None:
    pytest.importorskip("piplicenses")
    names = sorted(closure(ROOT / "pyproject.toml"))
    told = json.loads(tool("piplicenses", "--from=mixed", "--format=json", "--packages", *names))
    assert len(told) > 20
    refused = {
        package["Name"]: package["License"]
        for package in told
        if "gpl" in package["License"].lower() or not any(word in package["License"].lower() for word in FREE)
    }
    assert refused == {}
