"""Each harness for some seconds, guided by coverage, over seeds and over past failures.

`EDGE_SEG_FUZZ_SECONDS=3600 pytest tests/fuzz` (`make fuzz`) runs each for an hour.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = int(os.environ.get("EDGE_SEG_FUZZ_SECONDS", "20"))
HERE = Path(__file__).parent
LIMITS = ("-timeout=10", "-rss_limit_mb=700", "-max_len=65536", "-print_final_stats=1")
"""No input may take 10 s; 500 MB on top of the libraries and the instrumentation."""


def load() -> dict[str, object]:
    spec = importlib.util.spec_from_file_location("fuzz_harnesses", HERE / "harnesses.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_harnesses"] = module
    spec.loader.exec_module(module)
    return module.HARNESSES  # type: ignore[no-any-return]


HARNESSES = load()


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.parametrize("name", sorted(HARNESSES))
def test_nothing_that_comes_from_outside_raises_hangs_or_takes_gigabytes(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python: pip install atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(HARNESSES[name].seeds()):  # type: ignore[attr-defined]
        (corpus / f"seed-{number}").write_bytes(seed)
    kept = HERE / "corpus" / name
    done = subprocess.run(
        [
            # A child inherits its parent's peak memory, which libFuzzer reads: a shell in between prevents that.
            *("sh", "-c", '"$@"; exit $?', "sh"),
            sys.executable,
            str(HERE / "harnesses.py"),
            name,
            *LIMITS,
            f"-max_total_time={SECONDS}",
            f"-artifact_prefix={tmp_path}/",
            str(corpus),
            *([str(kept)] if kept.is_dir() else []),
        ],
        # libFuzzer writes to standard error, and atheris what was raised to standard output.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-3000:]
    executed = [line for line in done.stdout.splitlines() if "number_of_executed_units" in line]
    print(name, *executed)
    assert executed
