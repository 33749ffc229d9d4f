"""gdcm in a process of its own, for pydicom: damaged frames make it abort, which kills the process it runs in."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge_seg.sources.jpeg import damage_in

PLUGIN = "gdcm-apart"
"""Name of the plugin in pydicom."""

# Films decode in under a second; one that takes this long is damaged.
_TIMEOUT_S = 60.0

# UIDs: JPEG Baseline, Extended, Lossless, Lossless SV1, JPEG-LS lossless and near-lossless (PS3.5 section 10).
_DECODED = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81)}

DECODER_DEPENDENCIES = dict.fromkeys(_DECODED, ("python-gdcm",))
"""What pydicom reports as missing; it requires this name."""


def is_available(uid: str) -> bool:
    """Whether frames of this transfer syntax can be decoded; pydicom requires this name."""
    return uid in _DECODED and importlib.util.find_spec("gdcm") is not None


def decode_described(frame: bytes, syntax: str, size: tuple[int, int], format: tuple[int, int, int]) -> bytes:
    """Values of an encoded frame, row by row.

    Args:
        frame: the encoded frame.
        syntax: UID of the transfer syntax.
        size: columns and rows.
        format: bits allocated, bits stored, pixel representation.

    Raises:
        ValueError: it cannot be decoded, or only in parts.
    """
    words = [syntax, *map(str, (*size, *format))]
    child = [sys.executable, str(Path(__file__).with_name("gdcm_child.py")), *words]
    try:
        done = subprocess.run(child, input=frame, capture_output=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"gdcm has not decoded it after {_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise ValueError(f"gdcm cannot decode it (exit status {done.returncode})")
    # gdcm returns a damaged picture too, and leaves it to libjpeg to say so.
    lost = damage_in(done.stderr.decode(errors="replace"))
    if lost:
        raise ValueError(lost)
    return done.stdout


def decode_frame(frame: bytes, runner: Any) -> bytes:
    """Values of an encoded frame that pydicom's `DecodeRunner` describes.

    Raises:
        ValueError: it cannot be decoded, or only in parts, or gdcm is known to decode it wrongly.
    """
    syntax, stored, signed = str(runner.transfer_syntax), runner.bits_stored, runner.pixel_representation
    if runner.transfer_syntax.name.startswith("JPEG-LS"):
        # The same rules and options as in pydicom's own plugin for gdcm.
        if stored in (6, 7) or (signed and stored < 8):
            raise ValueError("gdcm decodes JPEG-LS of few bits wrongly")
        stored = runner.get_option("jls_precision", stored)
        runner.set_option("planar_configuration", 0)
        runner.set_option("bits_allocated", 8 if stored <= 8 else 16)
    return decode_described(frame, syntax, (runner.columns, runner.rows), (runner.bits_allocated, stored, signed))
