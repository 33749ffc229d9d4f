"""LiteRT and its predecessor tflite-runtime."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_seg.errors import DeviceError, ModelError, first_line
from edge_seg.hardware import usable_cores
from edge_seg.quiet import native_libraries_quiet
from edge_seg.runtime.protocol import TensorSpec

ENGINES = {
    "litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite": ("tflite_runtime.interpreter", "tflite-runtime"),
}
"""Known engines, in order of preference: module and distribution of each."""


class TFLiteRuntime:
    """LiteRT or tflite-runtime.

    Args:
        flatbuffer: a checked TFLite model (see `model_file`).
        threads: CPU threads; clamped to the cores this process may use, since more threads are slower.
        engine: `litert`, `tflite`, or `None` for the first one installed.
        delegates: as the engine's own `load_delegate` returns them.
        output: which output is read, from 0; `None` if the model has one.

    Raises:
        DeviceError: no engine is installed, or the selected one does not work here.
        ModelError: the engine refuses the model.
    """

    delegate = "cpu"

    def __init__(
        self,
        flatbuffer: bytes,
        threads: int | None = None,
        engine: str | None = None,
        *,
        delegates: Sequence[Any] = (),
        output: int | None = None,
    ) -> None:
        interpreter_class, self.name = load_engine(engine)
        self.notes: tuple[str, ...] = ()
        cores = usable_cores()
        self.threads = max(1, min(threads or cores, cores))
        try:
            with native_libraries_quiet():
                self._interpreter = interpreter_class(
                    model_content=flatbuffer, num_threads=self.threads, experimental_delegates=list(delegates) or None
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self.name} refuses the model ({first_line(error)}): make it again") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if output is not None and not 0 <= output < len(outputs):
            raise ModelError(f"the model has {len(outputs)} outputs, the manifest names number {output}: count from 0")
        pooled = [details for details in outputs if _is_pooled(details)] if len(outputs) == 2 else []
        if len(inputs) != 1 or (output is None and len(outputs) - len(pooled) != 1):
            raise ModelError(
                f"the model has {len(inputs)} inputs and {len(outputs)} outputs: one of each is supported, and one of "
                "pooled features"
            )
        if output is None:
            read = next(details for details in outputs if details not in pooled)
        else:
            read, pooled = outputs[output], []
        self._input_index, self._output_index = inputs[0]["index"], read["index"]
        self.input, self.output = _spec(inputs[0]), _spec(read)
        self._pooled_index = pooled[0]["index"] if pooled else None
        self.pooled = _spec(pooled[0]) if pooled else None

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """See `Runtime.run`."""
        self._interpreter.set_tensor(self._input_index, tensor)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output_index))

    def run_pooled(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """See `PooledRuntime.run_pooled`."""
        output = self.run(tensor)
        pooled = None if self._pooled_index is None else np.asarray(self._interpreter.get_tensor(self._pooled_index))
        return output, pooled


def load_engine(engine: str | None = None) -> tuple[Any, str]:
    """Interpreter class of an engine, and its name and version.

    Raises:
        DeviceError: the engine is not installed, or conflicts with an installed package.
    """
    module, name = load_engine_module(engine)
    return module.Interpreter, name


def load_engine_module(engine: str | None = None) -> tuple[Any, str]:
    """Module of an engine, with `Interpreter` and `load_delegate`, and the engine's name and version.

    Raises:
        DeviceError: the engine is not installed, or conflicts with an installed package.
    """
    wanted = [engine] if engine else list(ENGINES)
    for key in wanted:
        if key not in ENGINES:
            raise DeviceError(f"no engine is called {key}: choose from {', '.join(ENGINES)}")
        module, distribution = ENGINES[key]
        try:
            loaded = importlib.import_module(module)
        except ImportError:
            continue
        if key == "tflite" and int(np.__version__.split(".")[0]) >= 2:
            raise DeviceError("tflite-runtime does not work with numpy 2: pip install 'numpy<2'")
        # Imported here: it loads the e-mail parser, which a program that only imports the segmenter can do without.
        from importlib.metadata import version

        return loaded, f"{key} {version(distribution)}"
    raise DeviceError(f"no inference engine ({' or '.join(wanted)}) is installed: pip install {ENGINES[wanted[0]][1]}")


def _is_pooled(details: dict[str, Any]) -> bool:
    """Whether an output has one value per feature instead of a picture."""
    shape = tuple(details["shape"])
    return len(shape) == 4 and shape[:3] == (1, 1, 1)


def _spec(details: dict[str, Any]) -> TensorSpec:
    quantised = np.issubdtype(details["dtype"], np.integer)
    scale, zero_point = details["quantization"]
    return TensorSpec(
        tuple(int(n) for n in details["shape"]),
        np.dtype(details["dtype"]).name,
        float(scale) if quantised else None,
        int(zero_point) if quantised else 0,
    )
