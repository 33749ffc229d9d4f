"""A processor's name, generation and multiply instructions are read from what Linux reports."""

from __future__ import annotations

import pytest
from edge_seg_benchmarks.machine import machine_facts
from edge_seg_benchmarks.processor import Processor

PI_5 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
SERVER = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
flags\t\t: fpu ssse3 fma avx2 {more}

processor\t: 1
cpu family\t: 99
"""


def test_a_board_is_named_by_its_core() -> None:
    found = Processor.parse(PI_5)
    assert found.name == "Cortex-A76 r4p1"
    assert found.extensions == ("asimd", "asimdhp", "asimddp")
    older = PI_5.replace("0xd0b", "0xd08").replace("0x4\n", "0x0\n").replace("revision\t: 1", "revision\t: 3")
    assert Processor.parse(older.replace(" asimddp", "").replace(" asimdhp", "")) == Processor(
        "Cortex-A72 r0p3", ("asimd",)
    )


def test_a_core_that_nobody_listed_keeps_its_numbers() -> None:
    assert Processor.parse(PI_5.replace("0xd0b", "0xfff")).name == "part 0xfff of 0x41 r4p1"
    assert Processor.parse("CPU part: 0xd0b\n").name == "part 0xd0b of an unknown maker r0p0"
    # Another maker's part of the same number is not ARM's.
    assert Processor.parse(PI_5.replace("0x41", "0x61")).name == "part 0xd0b of 0x61 r4p1"


def test_generations_of_one_name_are_told_apart() -> None:
    old = Processor.parse(SERVER.format(family=25, model=1, more=""))
    new = Processor.parse(SERVER.format(family=26, model=2, more="avx512f avx512_vnni"))
    assert old == Processor("AMD EPYC, family 25 model 1", ("ssse3", "avx2", "fma"))
    assert new == Processor("AMD EPYC, family 26 model 2", ("ssse3", "avx2", "fma", "avx512f", "avx512_vnni"))


@pytest.mark.parametrize("text", ["", "processor\t: 0\nisa\t: rv64imafdc\n"])
def test_a_processor_that_says_nothing_has_a_name_yet(text: str) -> None:
    found = Processor.parse(text)
    assert found.name
    assert found.extensions == ()


def test_this_machines_processor_is_among_its_facts() -> None:
    facts, found = machine_facts(), Processor.of_this_machine()
    assert (facts.processor, facts.extensions) == (found.name, found.extensions)
