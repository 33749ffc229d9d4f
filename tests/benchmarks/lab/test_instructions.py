"""Instructions on 64-bit ARM: counted exactly, the same in every run, stage by stage, and never called time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from edge_seg.errors import DeviceError, UsageError
from edge_seg.model_file import Manifest, ModelFile
from edge_seg.structures import CHEST
from edge_seg_benchmarks.instruction_counts import Emulation, FilmSize, InstructionCounts, ModelCounts
from edge_seg_lab.instructions.__main__ import main
from edge_seg_lab.instructions.cores import Core, split_cores
from edge_seg_lab.instructions.counter import build_plugin, plugin_with_counter
from edge_seg_lab.instructions.emulator import Arm64Python, device_requirements, prepare
from edge_seg_lab.instructions.measure import REPEATABLE, STAGES, compare_with_float32
from edge_seg_lab.instructions.table import markdown

emulated = pytest.mark.usefixtures("emulator")

LOOP = """
import ctypes, mmap, struct, sys
with open(sys.argv[1], "r+b") as file:
    counter = mmap.mmap(file.fileno(), 8)
# subs x0, x0, #1; b.ne to the subs; ret
code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(struct.pack("<3I", 0xF1000400, 0x54FFFFE1, 0xD65F03C0))
turn = ctypes.CFUNCTYPE(None, ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
def count(turns):
    before = struct.unpack("<Q", counter)[0]
    turn(turns)
    return struct.unpack("<Q", counter)[0] - before
print([count(turns) for turns in (1_000_000, 1_000_000, 1_000_000, 3_000_000)])
"""


@pytest.fixture(scope="module")
def work() -> Path:
    """Where the emulator is kept between test runs; tests/device uses it too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "edge-seg-tests" / "emulation"


@pytest.fixture(scope="module")
def emulator(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Arm64Python:
    """Python for 64-bit ARM and a compiler for the plugin, or a skip that names what is missing."""
    try:
        build_plugin(tmp_path_factory.mktemp("plugin"))
        return prepare(work, device_requirements())
    except DeviceError as error:
        pytest.skip(f"instructions cannot be counted here: {error}")


@pytest.mark.device
@pytest.mark.slow
def test_each_instruction_is_counted_once(emulator: Arm64Python, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    plugin = plugin_with_counter(build_plugin(tmp_path), counter)
    command = emulator.command("cortex-a72", ["-c", LOOP, str(counter)], plugin)
    done = subprocess.run(command, env=emulator.environment([]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, _, once, thrice = json.loads(done.stdout)
    # Two instructions per turn; Python's own around the call differ by a few hundred at most.
    assert thrice - once == pytest.approx(4_000_000, abs=5_000)
    assert once == pytest.approx(2_000_000, rel=0.05)


@pytest.mark.device
@pytest.mark.slow
def test_cores_are_what_they_are_called(emulator: Arm64Python) -> None:
    older, newer = emulator.core("cortex-a72"), emulator.core("cortex-a76")
    assert not older.dot_product
    assert newer.dot_product
    # Arm's numbers for these cores, in bits 4 to 15 (Cortex-A72 and -A76 Technical Reference Manuals, MIDR_EL1).
    assert older.midr >> 4 & 0xFFF == 0xD08
    assert newer.midr >> 4 & 0xFFF == 0xD0B
    with pytest.raises(UsageError, match="choose from"):
        emulator.core("cortex-z1")
    with pytest.raises(UsageError, match="cannot be emulated"):
        emulator.core("cortex-a72,nonsense=on")


@emulated
@pytest.mark.device
@pytest.mark.slow
def test_counts_repeat_and_stages_add_up(work: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "instructions.json"
    words = [tiny_model, "--cores", "cortex-a72,cortex-a76", "--work", work, "--out", out, "--repeats", "2"]
    done = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert [core["dot_product"] for core in report["cores"]] == [False, True]
    assert [row["core"] for row in report["rows"]] == ["cortex-a72", "cortex-a76"]
    assert report["machine"]["emulator"].startswith("qemu-aarch64")
    for row in report["rows"]:
        counted = row["instructions"]
        assert max(row["spread"][name] for name in ("inference", "film")) < REPEATABLE
        # Stages that do next to nothing vary by some instructions: compare the variation with the whole film.
        assert all(row["spread"][name] * counted[name] < REPEATABLE * counted["film"] for name in counted)
        assert sum(counted[stage] for stage in (*STAGES, "other")) == pytest.approx(counted["film"])
        assert row["differing_pixels"] == 0
        assert row["macs"] == 64 * 64 * 3
        # Every output is computed and written, and no stage is free.
        assert counted["inference"] > row["macs"] / 64
        assert all(counted[stage] > 0 for stage in STAGES)
        assert row["instructions_per_mac"] == pytest.approx(counted["inference"] / row["macs"])
    assert str(tmp_path) not in out.read_text()
    assert "| tiny int8-ptq | cortex-a76 | yes |" in done.output


def model(make_flatbuffer: Callable[..., bytes], quantisation: str) -> ModelFile:
    manifest = Manifest("tiny", "1", CHEST[:3], 64, 64, quantisation=quantisation)
    return ModelFile(manifest, make_flatbuffer(dtype="float32" if quantisation == "float32" else "int8"))


def row(quantisation: str, inference: float, moved: int) -> ModelCounts:
    counted = {**dict.fromkeys((*STAGES, "other"), 1e6), "inference": inference, "film": inference + 6e6}
    return ModelCounts(
        f"tiny {quantisation}", "tiny", "1", quantisation, "", (64, 64, 1), 3, 10_000_000, moved, 1000, (),
        core="cortex-a72", dot_product=False, instructions=counted, spread=dict.fromkeys(counted, 0.0), runs=(),
        differing_pixels=0.0, instructions_per_mac=inference / 10_000_000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("int8", "said"),
    [
        (8e6, "tiny int8-qat takes 20.0% fewer instructions per inference than tiny float32"),
        (9.98e6, "**saves no instructions** against tiny float32 (-0.2% per inference)"),
        (11e6, "**saves no instructions** against tiny float32 (+10.0% per inference)"),
    ],
)
def test_the_table_says_whether_int8_saves_instructions(
    make_flatbuffer: Callable[..., bytes], int8: float, said: str
) -> None:
    models = [model(make_flatbuffer, "int8-qat"), model(make_flatbuffer, "float32")]
    rows = [row("int8-qat", int8, 1000), row("float32", 10e6, 4000)]
    comparisons = compare_with_float32(models, "cortex-a72", rows)
    machine = Emulation("2026-01-01T00:00", "qemu-aarch64", 1, {"ai-edge-litert": "2"})
    report = InstructionCounts(
        1, "", "count", machine, FilmSize(8, 8, 8), 2, 3, (), tuple(rows), tuple(comparisons)
    )  # fmt: skip
    text = markdown(report)
    assert f"{said}, and moves 75% fewer bytes." in text
    assert " ms" not in text


def test_a_core_takes_its_switches_along() -> None:
    assert split_cores("cortex-a72, max,sve=off,sme=off,cortex-a76,cortex-a72") == [
        "cortex-a72",
        "max,sve=off,sme=off",
        "cortex-a76",
    ]


def test_stand_ins_say_what_the_registers_say(tmp_path: Path) -> None:
    # fp, asimd, crc32 and asimddp; a Cortex-A76, r4p1.
    core = Core.from_registers("cortex-a76", 1 << 0 | 1 << 1 | 1 << 7 | 1 << 20, 0, 0x414FD0B1)
    assert core.dot_product
    core.write_stand_ins(tmp_path)
    lines = (tmp_path / "proc" / "cpuinfo").read_text().splitlines()
    assert "Features\t: fp asimd crc32 asimddp" in lines
    assert {"CPU implementer\t: 0x41", "CPU part\t: 0xd0b", "CPU variant\t: 0x4", "CPU revision\t: 1"} <= set(lines)


def test_no_core_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    words = [tiny_model, "--cores", ",", "--work", tmp_path, "--out", tmp_path / "x.json"]
    with pytest.raises(UsageError, match="is empty"):
        CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
