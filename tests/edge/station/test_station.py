"""A station from Python: the same as the command, in five lines."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from edge_seg import DeviceError, OutputError, Station, StationConfig, UsageError
from edge_seg.adaptation.kept import KeptModels
from edge_seg.model_file import MANIFEST_SUFFIX, Manifest, ModelFile
from edge_seg.phantom import phantom
from edge_seg.station.config import CamerasConfig, ConsoleConfig, InputsConfig, ModelConfig, ResultsConfig, ViewConfig
from edge_seg.structures import CHEST


def demo(out: Path, model: Path, frames: int | None = 2, **more: object) -> StationConfig:
    return StationConfig(
        inputs=InputsConfig(frames=frames),
        cameras=CamerasConfig(("demo",)),
        model=ModelConfig(str(model), gate=False),
        results=ResultsConfig(out),
        **more,  # type: ignore[arg-type]
    )


def test_it_does_what_it_is_told(tmp_path: Path, tiny_model: Path) -> None:
    with Station(demo(tmp_path / "out", tiny_model)) as station:
        summary = station.run()
    assert (summary.done, summary.exit_code) == (2, 0)
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert [record["status"] for record in records] == ["done", "done"]


@pytest.mark.slow
def test_a_file_is_enough(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(
        f'[inputs]\nframes = 1\n[cameras]\naddresses = ["demo"]\n[model]\nname = "{tiny_model}"\ngate = false\n'
        f'[results]\nfolder = "{tmp_path / "out"}"\nsave = ["record"]\n'
    )
    assert Station.from_file(path).run().done == 1
    command = [sys.executable, "-m", "edge_seg.cli.main", "run", "--config", str(path), "--out", str(tmp_path / "two")]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert seen.returncode == 0, seen.stderr
    assert (tmp_path / "two" / "records.jsonl").is_file()


@pytest.mark.slow
def test_another_thread_looks_at_its_page_and_stops_it(tmp_path: Path, tiny_model: Path) -> None:
    station = Station(demo(tmp_path / "out", tiny_model, None, view=ViewConfig("0")))
    assert station.page is not None
    ended = []
    thread = threading.Thread(target=lambda: ended.append(station.run()))
    thread.start()
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(f"{station.page.url}state", timeout=10) as answer:
            if json.load(answer)["films"]["done"] > 1:
                break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    station.stop()
    thread.join(60)
    assert ended[0].interrupted
    assert ended[0].done > 1
    # The port and the folder are free again.
    Station(demo(tmp_path / "out", tiny_model, 1, view=ViewConfig(str(station.page.port)))).run()


def test_what_cannot_be_opened_leaves_nothing_open(tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    for config, error in (
        (demo(out, tiny_model, view=ViewConfig("high")), UsageError),
        (StationConfig(model=ModelConfig(str(tiny_model)), results=ResultsConfig(out)), UsageError),
        (StationConfig(cameras=CamerasConfig(("97",)), results=ResultsConfig(out)), DeviceError),
    ):
        with pytest.raises(error):
            Station(config)
        # The folder is not locked.
        Station(demo(out, tiny_model, 1)).run()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Station(demo(tmp_path / "file", tiny_model))


@pytest.mark.slow
def test_it_is_quiet_until_a_log_is_asked_for(tmp_path: Path, tiny_model: Path) -> None:
    words = ["run", "--camera", "demo", "--frames", "1", "--model", str(tiny_model), "--no-gate", "--quiet"]

    def said(*more: str) -> str:
        command = [sys.executable, "-m", "edge_seg.cli.main", *words, "--out", str(tmp_path / "out"), *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=120).stderr

    assert said() == ""
    assert "edge_seg.station: ended: 1 done" in said("--log-level", "info")
    assert said("--log-level", "error") == ""


def test_python_hears_the_log_by_its_own_handlers(
    tmp_path: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edge_seg"):
        Station(demo(tmp_path / "out", tiny_model, 1, console=ConsoleConfig(quiet=True))).run()
    assert {record.name for record in caplog.records} == {"edge_seg.station"}


def model_for_a_sent_film(config: StationConfig, before: Callable[[], object] = lambda: None) -> tuple[str, str]:
    """Name and version of the model that a station's page segments a sent film by; something may happen before."""
    film = cv2.imencode(".png", phantom(96, 80, seed=1).film.pixels)[1].tobytes()
    with Station(replace(config, view=ViewConfig("0"))) as station:
        assert station.page is not None
        before()
        with urllib.request.urlopen(f"{station.page.url}v1/segment", film, timeout=60) as answer:
            model = json.load(answer)["model"]
    return model["name"], model["version"]


def test_a_sent_film_is_segmented_by_the_manifest_that_was_named(
    tmp_path: Path, make_flatbuffer: Callable[..., bytes]
) -> None:
    network, mine = tmp_path / "net.tflite", tmp_path / "mine.json"
    network.write_bytes(make_flatbuffer())
    for name, path in (("mine", mine), ("beside", network.with_suffix(MANIFEST_SUFFIX))):
        path.write_text(Manifest(name, "1", CHEST[:3], 64, 64).to_json())
    config = replace(demo(tmp_path / "out", network), model=ModelConfig(str(network), manifest=mine, gate=False))
    assert model_for_a_sent_film(config) == ("mine", "1")


def test_a_sent_film_is_segmented_by_the_model_of_the_session_while_another_waits(
    tmp_path: Path, tiny_model: Path
) -> None:
    config, shipped = demo(tmp_path / "out", tiny_model), ModelFile.read(tiny_model)
    adapted = replace(shipped, manifest=replace(shipped.manifest, version="1+1"))
    assert model_for_a_sent_film(config, lambda: KeptModels(tmp_path / "out").keep(adapted, shipped)) == ("tiny", "1")
    assert model_for_a_sent_film(config) == ("tiny", "1+1")
