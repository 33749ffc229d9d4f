"""Inference engines: LiteRT, tflite-runtime, the Edge TPU (`edge_tpu`), or a fake in tests."""

from edge_seg.runtime.protocol import PooledRuntime, Runtime, TensorSpec
from edge_seg.runtime.tflite import ENGINES, TFLiteRuntime, load_engine, load_engine_module

__all__ = ["ENGINES", "PooledRuntime", "Runtime", "TFLiteRuntime", "TensorSpec", "load_engine", "load_engine_module"]
