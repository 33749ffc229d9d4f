"""The Coral Edge TPU. It can hang or crash, so a separate process tries it first; the CPU takes over where it fails.

A model file that was compiled for it (`edge-seg quantize --edgetpu`) carries the compiled network beside the one for
the CPU, so a device keeps working when its accelerator is unplugged. Every record says which of the two ran.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edge_seg.errors import DeviceError, ModelError, UsageError, first_line
from edge_seg.model_file import COMPILED_NAME, ModelFile
from edge_seg.runtime import Runtime, TFLiteRuntime, load_engine_module

LIBRARY = "libedgetpu.so.1"
"""The Edge TPU's runtime (Debian package libedgetpu1-std), a TFLite delegate."""

DELEGATES = ("auto", "cpu", "edgetpu")

TRIES = 3
"""Attempts: a USB accelerator returns under another device number after its first use and is absent for a moment."""

_PAUSE_S = 1.0
_PATIENCE_S = 30.0


class EdgeTpuRuntime(TFLiteRuntime):
    """A compiled network on the Edge TPU, in this process. `open_runtime` tries it in another process first.

    Args:
        compiled: flatbuffer that `edgetpu_compiler` wrote.
        engine: see `TFLiteRuntime`.
        library: shared library of the delegate.

    Raises:
        DeviceError: the library cannot be loaded, or finds no accelerator.
        ModelError: the engine refuses the network.
    """

    delegate = "edgetpu"

    def __init__(self, compiled: bytes, engine: str | None = None, library: str = LIBRARY) -> None:
        module, _ = load_engine_module(engine)
        try:
            delegate = module.load_delegate(library)
        # A missing library, one that is no delegate, and one that finds no accelerator, in this order.
        except (OSError, AttributeError, ValueError, RuntimeError) as error:
            raise DeviceError(f"{library}: {first_line(error)}") from error
        super().__init__(compiled, 1, engine, delegates=[delegate])


def cpu_runtime(model: ModelFile, threads: int | None = None, engine: str | None = None) -> TFLiteRuntime:
    """A model's network on the CPU; see `TFLiteRuntime`."""
    other = model.manifest.other
    return TFLiteRuntime(model.flatbuffer, threads, engine, output=other.output_index if other else None)


def open_runtime(
    model: ModelFile,
    delegate: str = "auto",
    *,
    threads: int | None = None,
    engine: str | None = None,
    library: str = LIBRARY,
) -> Runtime:
    """The runtime of a model: the Edge TPU if it is selected and works, else the CPU.

    Args:
        model: to run.
        delegate: `cpu`, `edgetpu`, or `auto`: the Edge TPU if the model was compiled for it and its library is here.
        threads: CPU threads.
        engine: see `TFLiteRuntime`.
        library: shared library of the Edge TPU.

    Returns:
        A runtime. If the CPU took over from the Edge TPU, its `notes` and every record say why.

    Raises:
        UsageError: no such delegate.
        DeviceError: no engine to run it.
        ModelError: the engine refuses the model, or its compiled network is damaged.
    """
    if delegate not in DELEGATES:
        raise UsageError(f"no delegate is called {delegate}: choose from {', '.join(DELEGATES)}")
    compiled = _compiled(model)
    if delegate == "cpu" or (delegate == "auto" and (compiled is None or not _is_here(library))):
        return cpu_runtime(model, threads, engine)
    if compiled is None:
        trouble: str | None = f"{model.manifest.name} is not compiled for it: edge-seg quantize --edgetpu"
    else:
        trouble = try_elsewhere(compiled, engine, library)
        if trouble is None:
            try:
                return EdgeTpuRuntime(compiled, engine, library)
            except DeviceError as error:
                trouble = str(error)
    runtime = cpu_runtime(model, threads, engine)
    runtime.notes = (f"ran on the CPU, not on the Edge TPU: {trouble}",)
    return runtime


def try_elsewhere(
    compiled: bytes, engine: str | None = None, library: str = LIBRARY, patience_s: float = _PATIENCE_S
) -> str | None:
    """Run a compiled network once in another process, with at most `TRIES` attempts.

    Args:
        compiled, engine, library: see `EdgeTpuRuntime`.
        patience_s: seconds after which the process counts as hung.

    Returns:
        What went wrong in the last attempt; `None` if it ran.
    """
    trouble: str | None = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.tflite"
        path.write_bytes(compiled)
        for attempt in range(TRIES):
            if attempt:
                time.sleep(_PAUSE_S)
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "edge_seg.runtime.edge_tpu", str(path), engine or "", library],
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=patience_s,
                )
            except subprocess.TimeoutExpired:
                # A process that hangs once hangs every time.
                return f"it hung for {patience_s:.0f} s"
            if done.returncode == 0:
                return None
            if done.returncode < 0:
                trouble = f"it died of {signal.Signals(-done.returncode).name}"
            else:
                trouble = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return trouble


def _compiled(model: ModelFile) -> bytes | None:
    """The compiled network in a model file, after its checksum is verified."""
    compiled = model.associated.get(COMPILED_NAME)
    facts = model.manifest.edge_tpu
    if compiled is None or facts is None:
        return None
    if hashlib.sha256(compiled).hexdigest() != facts.get("sha256"):
        raise ModelError(f"{model.manifest.name}: its network for the Edge TPU is damaged: compile it again")
    return compiled


def _is_here(library: str) -> bool:
    import ctypes.util

    return Path(library).is_file() or ctypes.util.find_library("edgetpu") is not None


def _run_once(words: list[str]) -> None:
    path, engine, library = words
    try:
        runtime = EdgeTpuRuntime(Path(path).read_bytes(), engine or None, library)
        runtime.run(np.zeros(runtime.input.shape, runtime.input.dtype))
    except (DeviceError, ModelError, RuntimeError, ValueError) as error:
        sys.exit(first_line(error))


if __name__ == "__main__":
    _run_once(sys.argv[1:])
