"""Compilation for the Edge TPU, by a stand-in for the vendor's compiler that writes logs as version 16.0 does."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from edge_seg import DeviceError, ModelError
from edge_seg.cli.inspect import inspect
from edge_seg.model_file import COMPILED_NAME, ModelFile
from edge_seg_quantize.edge_tpu import compile_model, main, read_log

LOG = """\
Edge TPU Compiler version 16.0.384591198
Input: network.tflite
Output: network_edgetpu.tflite

Model compiled successfully in 271 ms.

Input model: network.tflite
Input size: 880.00KiB
On-chip memory used for caching model parameters: 850.25KiB
On-chip memory remaining for caching model parameters: 6.02MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 44
Operation log: network_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU.
Number of operations that will run on Edge TPU: 43
Number of operations that will run on CPU: 1

Operator                       Count      Status

CONV_2D                        24         Mapped to Edge TPU
RESIZE_BILINEAR                1          Operation is otherwise supported, but not mapped due to some reason
"""


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command of that name first on the PATH; the file `does` beside it sets its behaviour."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "log").write_text(LOG)
    script = tmp_path / "bin" / "edgetpu_compiler"
    script.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"home = pathlib.Path({str(tmp_path)!r})\n"
        "does = (home / 'does').read_text() if (home / 'does').exists() else 'work'\n"
        "if does == 'refuse': sys.exit('Internal compiler error. Aborting!')\n"
        "out, source = pathlib.Path(sys.argv[sys.argv.index('-o') + 1]), pathlib.Path(sys.argv[-1])\n"
        "(out / f'{source.stem}_edgetpu.tflite').write_bytes(b'compiled ' + source.read_bytes()[:64])\n"
        "log = (home / 'log').read_text()\n"
        "(out / f'{source.stem}_edgetpu.log').write_text(log.replace('43', '0') if does == 'nothing' else log)\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "does"


def test_the_compiled_network_rides_along_and_the_manifest_keeps_the_rest(compiler: Path, tiny_model: Path) -> None:
    before = ModelFile.read(tiny_model)
    made = ModelFile.from_bytes(compile_model(before).to_bytes())
    assert made.flatbuffer == before.flatbuffer
    assert made.manifest.flatbuffer_sha256 == before.manifest.flatbuffer_sha256
    assert (made.card, made.licence) == (before.card, before.licence)
    compiled = made.associated[COMPILED_NAME]
    assert compiled.startswith(b"compiled ")
    facts = made.manifest.edge_tpu
    assert facts == {
        "compiler": "16.0.384591198",
        "operators_mapped": 43,
        "operators_on_cpu": 1,
        "cached_bytes": 870656,
        "free_bytes": round(6.02 * 2**20),
        "streamed_bytes": 0,
        "on_cpu": {
            "RESIZE_BILINEAR": {
                "count": 1,
                "reason": "Operation is otherwise supported, but not mapped due to some reason",
            }
        },
        "sha256": hashlib.sha256(compiled).hexdigest(),
    }


def test_a_file_is_compiled_in_place_and_inspect_tells(compiler: Path, tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(tiny_model.read_bytes())
    assert CliRunner().invoke(main, [str(copy)], catch_exceptions=False).exit_code == 0
    said = CliRunner().invoke(inspect, [str(copy)], catch_exceptions=False).output
    assert "compiled by 16.0.384591198: 43 operators on it, 1 on the CPU" in said
    assert "on the CPU: 1 RESIZE_BILINEAR: Operation is otherwise supported" in said


@pytest.mark.parametrize(("does", "said"), [("refuse", "Internal compiler error"), ("nothing", "maps nothing")])
def test_what_the_compiler_refuses(compiler: Path, tiny_model: Path, does: str, said: str) -> None:
    compiler.write_text(does)
    with pytest.raises(ModelError, match=said):
        compile_model(ModelFile.read(tiny_model))


def test_without_the_compiler_it_says_what_to_install(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match="apt install edgetpu-compiler"):
        compile_model(ModelFile.read(tiny_model))


def test_quantize_asks_for_the_compiler_before_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_seg_quantize.command import quantize

    monkeypatch.setenv("PATH", "")
    words = [str(tmp_path / "no-run"), "--out", str(tmp_path / "x.tflite"), "--edgetpu"]
    with pytest.raises(DeviceError, match="edgetpu-compiler"):
        quantize.main(words, standalone_mode=False)


def test_logs_that_say_little() -> None:
    assert read_log("") == {}
    assert read_log("Number of operations that will run on CPU: 3\n") == {"operators_on_cpu": 3}
