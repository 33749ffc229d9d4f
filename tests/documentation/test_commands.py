"""Every command of README and docs is run in a folder with data, or is in a table that gives the reason why not."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from edge_seg.cli.main import cli
from edge_seg_lab.ports import free_port

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))]

NOT_EXECUTED = {
    r"make ": "makes environments and runs these tests; with -f, days of training or measuring",
    r"(pip|python3|sudo|apt-get|~/edge-seg/bin/pip) ": "installs; for [clinic]: tests/device/test_installation_page.py",
    r"edge-seg correct ": "serves until it is stopped; tests/edge/station/test_correcting.py",
    r"edge-seg (check|train) results/corrections": "needs what somebody corrected; tests/edge/corrections has it",
    r"edge-seg (adapt results|quantize runs/ours )": "needs what somebody corrected; tests/edge/adaptation has it",
    r"edge-seg run --camera (auto|0|rtsp)": "needs a camera; tests/edge/sources/cameras has stand-ins",
    r"edge-seg quantize .*--edgetpu|python -m edge_seg_quantize\.edge_tpu ": "needs Google's compiler; "
    "tests/quantize/test_edge_tpu_compiler.py has a stand-in",
    r"edge-seg archive plan 'https:": "needs a DICOMweb service; tests/edge/archive/test_dicomweb.py has two",
    r"sbatch |edge-seg archive run \S+ --dask tcp:": "needs a cluster; tests/edge/archive has stand-ins",
    r"curl -d INSTANCE |edge-seg run .* ORTHANC": "needs Orthanc; tests/edge/outputs/test_orthanc.py starts one",
    r"edge-seg quantize my\.keras ": "tests/quantize/test_own.py does",
    r"python -m edge_seg_quantize\.variants ": "takes minutes; tests/quantize/test_variants.py does it small",
    r"python -m edge_seg_train\.(appearance|side_markers) ": "needs thousands of films",
    r"KERAS_BACKEND=jax edge-seg train .* --process ": "needs two machines; tests/train/train/test_loop.py has two "
    "processes",
    r"(python -m edge_seg_train\.imagenet|edge-seg train my_films/ --from runs/imagenet) ": "needs 24 MB of weights; "
    "tests/train/train/test_imagenet.py makes a file like theirs",
    r"python -m edge_seg_lab\.json_schemas": "writes into the package; tests/test_package.py holds it to the code",
    r"python -m edge_seg_lab\.(?!cli_reference)": "takes minutes to days; tests/benchmarks/lab does it small",
    r"(KERAS_BACKEND=jax )?edge-seg (train|quantize|benchmark) .*(adult|brain-|tumour\.tflite|runs/tumour )": (
        "rows of the experiments, an hour each; tests/benchmarks/lab/test_trials.py trains two small ones"
    ),
    r"edge-seg quantize run ": "rows of the experiments as well",
}
"""Commands that are not executed here, and why."""

SHORTER = {
    r"edge-seg train ": "--size 64 --epochs 1 --films-per-epoch 8 --batch-size 4 --validation-films 2 "
    "--picture-every 0 --quiet",
    r"edge-seg train (?!.*--from)": "--base 4 --widest 8",
    r"edge-seg quantize ": "--epochs 1 --films-per-epoch 8 --validation-films 2 --dice-budget 1 --quiet",
    r"edge-seg benchmark (?!compare|--masks)": "--limit 1 --repeats 1 --no-peak --pictures none",
    r"edge-seg benchmark .*--sustained": "--sustained 0.01",
    r"edge-seg archive run .*--workers": "--workers 1",
    r"python -m edge_seg_data\.phantom\.brain_set": "--films 4 --patients 2",
}
"""Options appended to a command, since the last option of a name counts: fewer films, a smaller network."""

ENDLESS = r"edge-seg run .*--(listen|watch|config)|edge-seg run --camera demo$"
TALKS = r"storescu |curl "
"""Commands that talk to a running station."""

_PROGRAMS = r"(?:[A-Z_]+=\S+ )?(?:\S*bin/)?(?:edge-seg|python3?|pip|make|curl|unzip|sudo|sbatch|storescu|apt-get) "
_FORM = r"[A-Z]{4,}|\.\.\."


def commands(page: str) -> list[str]:
    """The commands of a page, in order: the lines of its shell blocks, and whole commands between backticks."""
    found: list[str] = []
    for kind, block, quoted in re.findall(r"```(\w*)\n(.*?)```|`([^`]+)`", (ROOT / page).read_text(), re.DOTALL):
        if kind in ("", "sh") and block:
            found += [re.sub(r"\s+#.*", "", line) for line in block.replace("\\\n", " ").splitlines()]
        elif quoted and not re.search(_FORM, re.sub(r"^\w+=", "", quoted)):
            found += [quoted] if quoted.startswith("edge-seg doctor") or len(quoted.split()) > 2 else []
    spoken = [" ".join(line.split()) for line in found]
    return list(dict.fromkeys(line for line in spoken if re.match(_PROGRAMS, line + " ")))


def reason(command: str) -> str | None:
    """Why a command is not executed."""
    return next((why for pattern, why in NOT_EXECUTED.items() if re.match(pattern, command)), None)


HERE: dict[str, list[str]] = {}
for _page in PAGES:
    _before = {line for lines in HERE.values() for line in lines}
    HERE[_page] = [line for line in commands(_page) if reason(line) is None and line not in _before]


def test_most_commands_are_executed_and_each_reason_is_needed() -> None:
    every = {line for page in PAGES for line in commands(page)}
    here = {line for lines in HERE.values() for line in lines}
    print(f"{len(every)} commands in README and docs, {len(here)} of them executed")
    assert len(here) > 45
    for pattern in NOT_EXECUTED:
        assert any(re.match(pattern, line) for line in every), pattern


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if HERE[page] and "train.md" not in page])
def test_the_commands_of_a_page_do_what_they_say(page: str, world: Path) -> None:
    for line in HERE[page]:
        execute(line, world)


@pytest.mark.slow
@pytest.mark.training
def test_the_commands_of_training_do_what_they_say(
    world: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    import edge_seg_quantize.legacy  # noqa: F401  (chooses legacy Keras before TensorFlow is imported)
    from edge_seg_train import loop

    request.getfixturevalue("uncompiled")

    train = loop.train

    def train_one(config: Any, out: Path, **given: Any) -> Path:
        """Train only one run; the others stop before their first step and get its weights."""
        if out.name == "mine":
            return train(config, out, **given)
        shutil.copytree(world / "runs" / "mine", out)
        return out

    monkeypatch.setattr(loop, "train", train_one)
    monkeypatch.chdir(world)
    for line in HERE["docs/how-to/train.md"]:
        if line.startswith(("edge-seg train", "edge-seg quantize")):
            # In this process, so that TensorFlow is loaded only once.
            assert cli.main(shlex.split(f"{line} {shorter(line)}")[1:], standalone_mode=False) in (None, 0), line
        else:
            execute(line, world)


def shorter(command: str) -> str:
    return " ".join(words for pattern, words in SHORTER.items() if re.match(pattern, command))


def execute(command: str, world: Path) -> None:
    """Run the command in the world's folder; it must succeed, or be ready for films and stop on Ctrl-C."""
    if re.match(TALKS, command):
        if shutil.which(command.split()[0]) is None:
            pytest.skip(f"{command.split()[0]} is not here")
        with started("edge-seg run --listen 11112 --view 8080 --out served", world) as ports:
            typed(command, world, ports)
    elif re.match(ENDLESS, command):
        with started(command, world):
            pass
    else:
        prepare(command, world)
        typed(f"{command} {shorter(command)}", world, {})
    if "--data phantom" in command:
        # The page compares two such reports, from two devices or versions.
        for place in ("old", "new"):
            shutil.copy(world / "report" / "report.json", world / place)


def prepare(command: str, world: Path) -> None:
    """Do what the page asks a person to do by hand before this command."""
    if command.endswith("--model unet.tflite"):
        path = world / "unet.edge_seg.json"
        manifest = json.loads(path.read_text())
        for structure, name in zip(manifest["structures"], ("right_lung", "left_lung", "heart"), strict=True):
            structure["name"] = name
        path.write_text(json.dumps(manifest))


def typed(command: str, world: Path, ports: dict[str, int]) -> None:
    line = here(command, world, ports)
    done = subprocess.run(
        ["bash", "-ec", line], cwd=world, env=environment(world), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@contextmanager
def started(command: str, world: Path) -> Iterator[dict[str, int]]:
    """A running station, and the ports that it has in place of the page's; stopped by Ctrl-C, it must say so."""
    ports = {port: free_port() for port in ("11112", "8080", "104", "4242")}
    said = world / "said.txt"
    with said.open("w") as file:
        words = ["bash", "-c", f"exec {here(command, world, ports)}"]
        station = subprocess.Popen(
            words,
            cwd=world,
            env=environment(world),
            stdout=file,
            stderr=file,
            # A shell's background job inherits an ignored SIGINT; a terminal, which these tests stand for, does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            until = time.monotonic() + 120
            while "ready: " not in said.read_text():
                assert station.poll() is None, said.read_text()
                assert time.monotonic() < until, said.read_text()
                time.sleep(0.05)
            yield ports
            station.send_signal(signal.SIGINT)
            assert station.wait(timeout=60) in (0, 130), said.read_text()
        finally:
            station.kill()
            station.wait()


def here(command: str, world: Path, ports: dict[str, int]) -> str:
    """The command adapted to this machine: free ports, loopback, the world in place of a network disk."""
    for port, free in ports.items():
        command = re.sub(rf"(?<=[: ]){port}\b", str(free), command)
    command = command.replace("~/edge-seg/bin/", "")
    return command.replace("10.0.0.5", "127.0.0.1").replace("/shared/", f"{world}/shared/")


def environment(world: Path) -> dict[str, str]:
    programs = world / "bin"
    programs.mkdir(exist_ok=True)
    for name, words in {"edge-seg": "-m edge_seg", "python": ""}.items():
        script = programs / name
        if not script.exists():
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words} "$@"\n')
            script.chmod(0o755)
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}
