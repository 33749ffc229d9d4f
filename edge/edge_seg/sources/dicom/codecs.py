"""Pixels of a DICOM film as they are stored, by the installed codecs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from edge_seg.errors import InputError
from edge_seg.sources.dicom.attributes import number

_STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def decode_pixels(dataset: Any, path: str) -> np.ndarray:
    """Stored values `(height, width)`, whole numbers of the type that the header says.

    The codecs see the few attributes that describe the pixels, put in order, and nothing else of the header.

    Raises:
        InputError: damaged, or in an encoding that no installed codec decodes.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    described, shift = _described(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(described, syntax) >> shift
    # Codecs are many, some native, and raise what they like, PanicException among it, which is no Exception.
    except BaseException as error:
        if isinstance(error, _STOPS):
            raise
        if isinstance(error, MemoryError):
            raise InputError(f"{path}: too large for this machine's memory: reduce it") from error
        problem = f"the pixels ({syntax.name}) cannot be decoded: damaged, or no codec for it"
        raise InputError(f"{path}: {problem}: send it otherwise encoded") from error


def decodable_syntaxes() -> list[str]:
    """UIDs of the transfer syntaxes in which the installed codecs can decode a film."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import AllTransferSyntaxes, JPEGExtended12Bit

    found = []
    for syntax in AllTransferSyntaxes:
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:
            # Video, and others that no film comes in.
            continue
        # Films of this one have 12 bits, and others than gdcm decode 8 alone.
        if "gdcm" in decoder.available_plugins if syntax == JPEGExtended12Bit else decoder.is_available:
            found.append(str(syntax))
    return found


def _decode(described: Any, syntax: Any) -> np.ndarray:
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGExtended12Bit, RLELossless

    if syntax == JPEGExtended12Bit:
        return _decode_extended(described)
    decoder = get_decoder(syntax)
    preferred = ["pylibjpeg"] if syntax in (*JPEG2000TransferSyntaxes, RLELossless) else []
    for plugin in set(preferred) & set(decoder.available_plugins):
        try:
            return np.asarray(decoder.as_array(described, raw=True, decoding_plugin=plugin)[0])
        except BaseException as error:
            if isinstance(error, (*_STOPS, MemoryError)):
                raise
    # Whichever can.
    return np.asarray(decoder.as_array(described, raw=True)[0])


def _decode_extended(described: Any) -> np.ndarray:
    """JPEG Extended of 12 bits, which pydicom asks no codec for: values beyond Bits Stored would wrap around in gdcm.

    They are decoded with all 12 bits and cut off here.
    """
    import gdcm
    from pydicom.encaps import generate_frames

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(next(generate_frames(described.PixelData, number_of_frames=1)))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((described.Columns, described.Rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType("1.2.840.10008.1.2.4.51")))
    wide = described.BitsAllocated == 16
    bits = 12 if wide else 8
    image.SetPixelFormat(gdcm.PixelFormat(1, described.BitsAllocated, bits, bits - 1, 0))
    # It gives bytes as text.
    values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), np.uint16 if wide else np.uint8)
    top = (1 << described.BitsStored) - 1
    return np.minimum(values.reshape(described.Rows, described.Columns), values.dtype.type(top))


def _described(dataset: Any) -> tuple[Any, int]:
    """A dataset of the pixels and their description alone, and by how many bits the values are to be moved down.

    Values lie in the bits up to High Bit (PS3.5 section 8.1.1), which is the last of Bits Stored in all new films; in
    left-justified ones it is the last of Bits Allocated.
    """
    from pydicom.dataset import Dataset, FileMetaDataset

    described = Dataset()
    allocated = int(number(dataset, "BitsAllocated", 16))
    stored = min(max(int(number(dataset, "BitsStored", allocated)), 1), allocated)
    high = int(number(dataset, "HighBit", stored - 1))
    shift = high + 1 - stored if stored <= high < allocated else 0
    described.Rows, described.Columns = int(number(dataset, "Rows", 0)), int(number(dataset, "Columns", 0))
    described.SamplesPerPixel, described.PhotometricInterpretation = 1, "MONOCHROME2"
    described.BitsAllocated = allocated
    described.BitsStored, described.HighBit = stored + shift, stored + shift - 1
    described.PixelRepresentation = int(number(dataset, "PixelRepresentation", 0) == 1)
    described["PixelData"] = dataset["PixelData"]
    described.file_meta = FileMetaDataset()
    described.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    return described, shift
