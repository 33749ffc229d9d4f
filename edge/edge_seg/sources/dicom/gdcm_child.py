"""Decodes one frame with gdcm, as a program: description as arguments, encoded frame on stdin, values on stdout.

It imports nothing but gdcm, so that it starts in a tenth of a second; see `gdcm_frame`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

MOST_MEMORY = 500_000_000
"""Bytes of address space; a film of 24 million 16-bit pixels, the largest that is decoded, takes under 400 MB."""


def limit_memory() -> None:
    """Make the system refuse a damaged frame memory beyond `MOST_MEMORY`, if it can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    except (ValueError, OSError):  # a lower limit is set, or the system (macOS) has none
        return


def decode(frame: bytes, words: Sequence[str]) -> bytes:
    """Values of a frame, row by row, in the machine's byte order.

    Args:
        frame: the encoded frame.
        words: transfer syntax, columns, rows, bits allocated, bits stored, pixel representation.
    """
    import gdcm

    columns, rows, allocated, stored, signed = map(int, words[1:])
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(words[0])))
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, stored, stored - 1, signed))
    # gdcm returns bytes as text.
    return bytes(image.GetBuffer().encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    # The modules beside this one have common names, which would shadow others.
    del sys.path[0]
    limit_memory()
    sys.stdout.buffer.write(decode(sys.stdin.buffer.read(), sys.argv[1:]))
