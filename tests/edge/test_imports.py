"""The device part never loads TensorFlow, and help is quick because it loads nothing."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from edge_seg.cli.main import VERBS

HEAVY = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "jax")


def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import edge_seg",
        "import edge_seg_benchmarks",
        "from edge_seg import Segmenter, Film\nimport edge_seg.sources, edge_seg.station.session, edge_seg_data",
        "import edge_seg_benchmarks.command, edge_seg_benchmarks.report.folder, edge_seg_benchmarks.benchmark",
        "import edge_seg_train.command, edge_seg_quantize.command",
        *[
            f"from edge_seg.cli.main import cli\ncli.main(['{verb}', '--help'], standalone_mode=False)"
            for verb in VERBS
        ],
    ],
)
def test_no_framework_is_loaded(code: str) -> None:
    assert not modules_after(code) & set(HEAVY)


def test_help_loads_neither_arrays_nor_pictures() -> None:
    loaded = modules_after("from edge_seg.cli.main import cli\ncli.main(['--help'], standalone_mode=False)")
    assert not loaded & {"numpy", "cv2", "pydicom", "ai_edge_litert", *HEAVY}


def test_help_takes_well_under_a_second_of_the_processor() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "edge_seg.cli.main", "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, which does not depend on how busy the machine is.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.7
