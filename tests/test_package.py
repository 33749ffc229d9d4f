"""What ships is consistent: schemas, constraints, metadata, the container, and how to install more of it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import tomllib
from edge_seg import Segmenter, __version__
from edge_seg.cli.run import run
from edge_seg.errors import InputError
from edge_seg.film import Failure
from edge_seg.install import install_command
from edge_seg.model_file import MANIFEST_NAME, ModelFile, shipped_models
from edge_seg.phantom import phantom
from edge_seg.record import record_of_failure
from edge_seg_lab.constraints import closure
from edge_seg_lab.json_schemas import schemas

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def validator(name: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    (path,) = [path for path in schemas() if path.name == f"{name}.json"]
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(("path", "text"), schemas().items(), ids=lambda value: Path(value).stem[:10])
def test_the_schemas_that_ship_are_those_of_the_code(path: Path, text: str) -> None:
    assert path.read_text() == text, "run: python -m edge_seg_lab.json_schemas"


def test_records_are_as_their_schema_says(tmp_path: Path) -> None:
    record = validator("record")
    path = tmp_path / "chest.png"
    cv2.imwrite(str(path), phantom(200, 180, seed=1).film.pixels)
    result = Segmenter.load("lungs-nano")(path)
    done = json.loads(json.dumps(result.save(tmp_path / "out").to_json()))
    rejected = json.loads(json.dumps(Segmenter.load("lungs-nano")(result.masks["right_lung"].view("u1")).to_dict()))
    failed = record_of_failure(Failure("a.png", "a.png", InputError("a.png: is no film"))).to_json()
    for one in (done, rejected, failed):
        record.validate(one)
    for wrong in ({**done, "schema": 2}, {**done, "areas": {"right_lung": 3}}, {**failed, "status": "done"}):
        assert not record.is_valid(wrong)


@pytest.mark.parametrize("name", shipped_models())
def test_manifests_are_as_their_schema_says(name: str) -> None:
    manifest = json.loads(ModelFile.read(name).manifest.to_json())
    validator("manifest").validate(manifest)
    assert not validator("manifest").is_valid({key: manifest[key] for key in manifest if key != "name"})
    assert MANIFEST_NAME == "edge_seg.json"


def test_the_constraints_hold_what_a_clinic_installs_within_the_bounds() -> None:
    requirements = pytest.importorskip("packaging.requirements")
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert set(closure(ROOT / "pyproject.toml")) <= set(pinned)
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["clinic"]):
        needed = requirements.Requirement(text)
        if needed.marker is None or needed.marker.evaluate():
            assert needed.specifier.contains(pinned[needed.name]), text


def test_what_can_break_has_an_upper_bound() -> None:
    stated = " ".join((*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["clinic"]))
    for bound in ("pydicom>=3.0.1,<4", "highdicom>=0.26,<0.29", "pynetdicom>=3.0,<4", "ai-edge-litert>=2.0,<3"):
        assert bound in stated
    requirements = pytest.importorskip("packaging.requirements")
    every = [
        requirements.Requirement(text)
        for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["clinic"])
    ]
    unbounded = {
        needed.name for needed in every if not any(part.operator in ("<", "<=", "==") for part in needed.specifier)
    }
    assert unbounded == {"flatbuffers"}


def test_the_version_is_one() -> None:
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {__version__} - " in (ROOT / "CHANGELOG.md").read_text()


def test_the_source_distribution_names_what_is_here() -> None:
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        word, _, names = line.partition(" ")
        if word in ("include", "graft"):
            assert all((ROOT / name).exists() for name in names.split()), line


def test_the_container_runs_a_command_that_exists_and_not_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    lines = text.replace("\\\n", " ").splitlines()
    command = json.loads(next(line for line in lines if line.startswith("CMD")).removeprefix("CMD "))
    context = run.make_context("run", command[1:])
    assert context.params["listener_address"] == "0.0.0.0:11112"
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            assert all((ROOT / name).exists() for name in shlex.split(line)[1:-1]), line
    assert [line for line in lines if line.startswith("USER")] == ["USER edge-seg"]
    assert "read_only: true" in (ROOT / "compose.yaml").read_text()


def test_more_is_installed_from_where_it_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Installed:
        noted: str | None = None

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return self.noted

    installed = Installed()
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert install_command("clinic") == "pip install 'edge-seg[clinic]'"
    folder = tmp_path / "a checkout"
    folder.mkdir()
    installed.noted = json.dumps({"url": folder.as_uri(), "dir_info": {}})
    assert install_command("clinic") == f"pip install '{folder}[clinic]'"
    assert install_command(anew=True) == f"pip install --force-reinstall '{folder}'"
    installed.noted = json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})
    assert install_command("data") == f"pip install --editable '{folder}[data]'"
    folder.rmdir()
    assert install_command("clinic") == "pip install 'edge-seg[clinic]'"
    # A shell would find another Python's pip, or none.
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install_command("clinic") == f"{shlex.quote(sys.executable)} -m pip install 'edge-seg[clinic]'"


def test_a_service_that_may_not_see_the_checkout_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        def read_text(self, name: str) -> str:
            return json.dumps({"url": "file:///home/pi/edge-seg", "dir_info": {}})

    def closed(path: Path, *, follow_symlinks: bool = True) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    monkeypatch.setattr(Path, "exists", closed)
    assert install_command("train").endswith("pip install '/home/pi/edge-seg[train]'")
