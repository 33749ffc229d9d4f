"""The stored pixels of a DICOM film, decoded by the installed codecs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from edge_seg.errors import InputError
from edge_seg.quiet import native_failures_quiet, warnings_ignored
from edge_seg.sources.dicom import gdcm_frame
from edge_seg.sources.dicom.attributes import number
from edge_seg.sources.dicom.stored_bits import values_of
from edge_seg.sources.header import read_header
from edge_seg.sources.jpeg import damage_in

_RLE = "1.2.840.10008.1.2.5"
# gdcm aborts on damaged frames, so only `gdcm_frame` uses it; Pillow decodes them as if they were whole.
_UNUSED = ("gdcm", "pillow")
_STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def decode_pixels(dataset: Any, path: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stored values `(height, width)`, whole numbers of the type given in the header, and notes about them.

    Of the header, the codecs see only the few attributes that describe the pixels, put in order.

    Raises:
        InputError: damaged, in an encoding that no installed codec decodes, too large for the memory, or an encoded
            picture of another size than the header says, or of several colours.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    described, bits, shift = _described(dataset)
    if syntax.is_encapsulated:
        _refuse_other_picture(described, path)
    try:
        with warnings_ignored():
            return values_of(_decode(described, syntax), dataset, bits, shift)
    # The codecs, some of them native, may raise anything, even PanicException, which is not an Exception.
    except BaseException as error:
        if isinstance(error, _STOPS):
            raise
        if isinstance(error, MemoryError):
            raise InputError(f"{path}: too large for this machine's memory: reduce it") from error
        lost = damage_in(str(error))
        if lost:
            raise InputError(f"{path}: the pixels ({syntax.name}) are damaged ({lost}): send it again") from error
        problem = f"the pixels ({syntax.name}) cannot be decoded: damaged, or no codec for it"
        raise InputError(f"{path}: {problem}: send it otherwise encoded") from error


def decodable_syntaxes() -> list[str]:
    """UIDs of the transfer syntaxes in which the installed codecs can decode a film."""
    from pydicom.uid import AllTransferSyntaxes, JPEGExtended12Bit

    found = []
    for syntax in AllTransferSyntaxes:
        try:
            decoder = _decoder(syntax)
        except NotImplementedError:
            # Video, and others not used for films.
            continue
        # Films in this syntax have 12 bits, and codecs other than gdcm decode only 8.
        usable = _in_order(decoder)
        if gdcm_frame.PLUGIN in usable if syntax == JPEGExtended12Bit else usable or not syntax.is_encapsulated:
            found.append(str(syntax))
    return found


def _refuse_other_picture(described: Any, path: str) -> None:
    """Refuse a frame whose own header gives another size, or colours: codecs trust it and allocate gigabytes.

    Raises:
        InputError: the sizes differ, the frame does not give its own, or it has several colours.
    """
    from pydicom.encaps import generate_frames

    if described.file_meta.TransferSyntaxUID == _RLE:
        # RLE segments do not contain the size.
        return
    try:
        header = read_header(next(generate_frames(described.PixelData, number_of_frames=1)))
    except Exception as error:
        raise InputError(f"{path}: the fragments of the pixels are damaged: send it again") from error
    size = (header.height, header.width) if header else None
    if size != (described.Rows, described.Columns):
        said = f"of {size[1]} x {size[0]} pixels" if size else "damaged, or of no known kind,"
        problem = f"the encoded picture is {said} where the header says {described.Columns} x {described.Rows}"
        raise InputError(f"{path}: {problem}: send it again")
    if header and header.channels > 1:
        problem = f"the encoded picture has {header.channels} colours where the header says grey"
        raise InputError(f"{path}: {problem}: give a grey film")


def _decode(described: Any, syntax: Any) -> np.ndarray:
    from pydicom.uid import JPEGExtended12Bit

    if syntax == JPEGExtended12Bit:
        return _decode_extended(described)
    decoder = _decoder(syntax)
    *others, last = _in_order(decoder) or [""]
    for plugin in others:
        try:
            return _decode_by(plugin, decoder, described)
        except BaseException as error:
            if isinstance(error, (*_STOPS, MemoryError)):
                raise
    return _decode_by(last, decoder, described)


def _decode_by(plugin: str, decoder: Any, described: Any) -> np.ndarray:
    # The RLE codec is written in Rust, and panics on damaged segments.
    quiet = native_failures_quiet() if decoder.UID == _RLE else nullcontext()
    with quiet:
        return np.asarray(decoder.as_array(described, raw=True, decoding_plugin=plugin)[0])


def _decoder(syntax: Any) -> Any:
    """pydicom's decoder, with gdcm in a process of its own as one of its plugins.

    Raises:
        NotImplementedError: a video syntax, or not a transfer syntax.
    """
    from pydicom.pixels import get_decoder

    decoder = get_decoder(syntax)
    if gdcm_frame.is_available(str(syntax)) and gdcm_frame.PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(gdcm_frame.PLUGIN, (gdcm_frame.__name__, gdcm_frame.decode_frame.__name__))
    return decoder


def _in_order(decoder: Any) -> list[str]:
    """The usable codecs, fastest first."""
    preferred = [gdcm_frame.PLUGIN, "pylibjpeg"]
    found = [plugin for plugin in decoder.available_plugins if plugin not in _UNUSED]
    return sorted(found, key=lambda plugin: preferred.index(plugin) if plugin in preferred else len(preferred))


def _decode_extended(described: Any) -> np.ndarray:
    """Decode JPEG Extended without pydicom, which would tell gdcm more bits than the 12 that gdcm decodes."""
    from pydicom.encaps import generate_frames

    frame = next(generate_frames(described.PixelData, number_of_frames=1))
    wide = described.BitsAllocated == 16
    size, form = (described.Columns, described.Rows), (described.BitsAllocated, 12 if wide else 8, 0)
    decoded = gdcm_frame.decode_described(frame, str(described.file_meta.TransferSyntaxUID), size, form)
    values = np.frombuffer(decoded, np.uint16 if wide else np.uint8)
    return values.reshape(described.Rows, described.Columns).copy()


def _described(dataset: Any) -> tuple[Any, int, int]:
    """A dataset of only the pixels and their description, Bits Stored, and how many bits lie below the values.

    Values are in the bits up to High Bit (PS3.5 section 8.1.1), which is the last of Bits Stored in all new films; in
    left-justified ones it is the last of Bits Allocated. The description says that all bits are stored, since codecs
    drop the others.
    """
    from pydicom.dataset import Dataset, FileMetaDataset

    described = Dataset()
    allocated = int(number(dataset, "BitsAllocated", 16))
    stored = int(number(dataset, "BitsStored", allocated))
    if not 1 <= stored <= allocated:
        stored = allocated
    high = int(number(dataset, "HighBit", stored - 1))
    shift = high + 1 - stored if stored <= high < allocated else 0
    described.Rows, described.Columns = int(number(dataset, "Rows", 0)), int(number(dataset, "Columns", 0))
    described.SamplesPerPixel, described.PhotometricInterpretation = 1, "MONOCHROME2"
    described.BitsAllocated = described.BitsStored = allocated
    described.HighBit = allocated - 1
    described.PixelRepresentation = int(number(dataset, "PixelRepresentation", 0) == 1)
    described["PixelData"] = dataset["PixelData"]
    described.file_meta = FileMetaDataset()
    described.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    return described, stored, shift
