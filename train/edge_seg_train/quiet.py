"""Import this before TensorFlow: it shows TensorFlow's errors and nothing less, and without a GPU not even those.

Without a driver TensorFlow reports as an error that it found no GPU (`E0000 ... failed call to cuInit`).
"""

from __future__ import annotations

import os
from pathlib import Path

_NVIDIA_DRIVER = Path("/dev/nvidiactl")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if _NVIDIA_DRIVER.exists() else "3")
