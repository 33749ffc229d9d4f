"""Decodes one frame with gdcm, as a program: description as arguments, the encoded frame comes in, its values go out.

It imports nothing but gdcm, so that it starts in a tenth of a second; see `gdcm_frame`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

MOST_MEMORY = 500_000_000
"""Bytes of address space; a film of 24 million pixels of 16 bits, the largest that is decoded, takes under 400 MB."""


def limit_memory() -> None:
    """Have what a damaged frame asks for beyond `MOST_MEMORY` refused by the system, where it can do that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    except (ValueError, OSError):  # a lower one is set, or the system (macOS) knows none
        return


def decode(frame: bytes, words: Sequence[str]) -> bytes:
    """Values of a frame, a row after the other, in the machine's byte order.

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
    # It gives bytes as text.
    return bytes(image.GetBuffer().encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    # The modules beside this one have everyday names, which would hide others.
    del sys.path[0]
    limit_memory()
    sys.stdout.buffer.write(decode(sys.stdin.buffer.read(), sys.argv[1:]))
