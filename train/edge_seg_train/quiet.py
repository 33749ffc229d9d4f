"""Import this before Keras, to keep TensorFlow quiet at startup on a machine without a GPU.

Without a driver TensorFlow logs an error that it found none (`E0000 ... failed call to cuInit`), and no setting turns
that off. With a driver its errors are shown.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge_seg.quiet import native_libraries_quiet

_NVIDIA_DRIVER = Path("/dev/nvidiactl")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

if not _NVIDIA_DRIVER.exists() and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    with native_libraries_quiet():
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")
