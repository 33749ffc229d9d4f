"""The stored pixels of a DICOM film, decoded by the installed codecs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from edge_seg.errors import InputError
from edge_seg.quiet import native_failures_quiet, warnings_ignored
from edge_seg.sources.dicom import gdcm_frame
from edge_seg.sources.dicom.attributes import number, numbers
from edge_seg.sources.header import read_header

_RLE = "1.2.840.10008.1.2.5"
_OVERLAYS = range(0x6000, 0x6020, 2)  # groups
_OVERLAY_BIT, _OVERLAY_DATA = 0x0102, 0x3000
_STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def decode_pixels(dataset: Any, path: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stored values `(height, width)`, whole numbers of the type given in the header, and notes about them.

    Of the header, the codecs see only the few attributes that describe the pixels, put in order.

    Raises:
        InputError: damaged, or in an encoding that no installed codec decodes.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    described, shift = _described(dataset)
    notes: tuple[str, ...] = ()
    if syntax.is_encapsulated:
        _refuse_other_picture(described, path)
    elif _uses_more_bits(described, dataset):
        notes = (f"values go beyond the {described.BitsStored} bits that the header gives them: all bits are used",)
        described.BitsStored, described.HighBit, shift = described.BitsAllocated, described.BitsAllocated - 1, 0
    try:
        with warnings_ignored():
            stored = _decode(described, syntax)
            return _shifted(stored, described.BitsStored - shift, shift) if shift else stored, notes
    # The codecs, some of them native, may raise anything, even PanicException, which is not an Exception.
    except BaseException as error:
        if isinstance(error, _STOPS):
            raise
        if isinstance(error, MemoryError):
            raise InputError(f"{path}: too large for this machine's memory: reduce it") from error
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
    """The usable codecs, fastest first, without gdcm in this process: it aborts on damaged frames."""
    preferred = [gdcm_frame.PLUGIN, "pylibjpeg"]
    found = [plugin for plugin in decoder.available_plugins if plugin != "gdcm"]
    return sorted(found, key=lambda plugin: preferred.index(plugin) if plugin in preferred else len(preferred))


def _decode_extended(described: Any) -> np.ndarray:
    """Decode 12-bit JPEG Extended without pydicom: values beyond Bits Stored would wrap around in gdcm.

    They are decoded with all 12 bits and clipped here.
    """
    from pydicom.encaps import generate_frames

    frame = next(generate_frames(described.PixelData, number_of_frames=1))
    wide = described.BitsAllocated == 16
    size, form = (described.Columns, described.Rows), (described.BitsAllocated, 12 if wide else 8, 0)
    decoded = gdcm_frame.decode_described(frame, str(described.file_meta.TransferSyntaxUID), size, form)
    values = np.frombuffer(decoded, np.uint16 if wide else np.uint8)
    top = (1 << described.BitsStored) - 1
    return np.minimum(values.reshape(described.Rows, described.Columns), values.dtype.type(top))


def _shifted(stored: np.ndarray, bits: int, shift: int) -> np.ndarray:
    """The values in the bits up to High Bit, or in the lowest bits if they lie there whatever High Bit says.

    Left-justified values, however small, leave the bits below them zero.

    Args:
        stored: all bits up to High Bit.
        bits: Bits Stored.
        shift: number of bits below the values by High Bit.
    """
    fit = int(stored.min()) >= -(1 << bits - 1) and int(stored.max()) < 1 << bits
    if fit and int(np.bitwise_or.reduce(stored, axis=None)) & (1 << shift) - 1:
        unused = 8 * stored.dtype.itemsize - bits
        return stored << unused >> unused
    return stored >> shift


def _uses_more_bits(described: Any, dataset: Any) -> bool:
    """Whether unsigned values use bits above High Bit, where PS3.5 section 8.1.1 allows nothing of them.

    A single bit there is an overlay, as in films made before 2004, and some send padding that is beyond their bits.
    """
    allocated = described.BitsAllocated
    unused = described.BitsStored < allocated and allocated in (8, 16, 32)
    if not unused or described.PixelRepresentation or _has_embedded_overlay(dataset):
        return False
    order = "<" if described.file_meta.TransferSyntaxUID.is_little_endian else ">"
    values = np.frombuffer(described.PixelData, f"{order}u{allocated // 8}", described.Rows * described.Columns)
    if not _are_several_bits(int(np.bitwise_or.reduce(values)) >> described.BitsStored):
        return False
    keywords = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    ends = [int(end) % (1 << allocated) for keyword in keywords for end in numbers(dataset, keyword)[:1]]
    film = values[(values < min(ends)) | (values > max(ends))] if ends else values
    return _are_several_bits(int(np.bitwise_or.reduce(film)) >> described.BitsStored)


def _are_several_bits(bits: int) -> bool:
    return bits.bit_count() > 1


def _has_embedded_overlay(dataset: Any) -> bool:
    """Whether overlays lie in unused bits of the pixels (PS3.3-2004 C.9.2, since retired), not in elements."""
    return any((group, _OVERLAY_BIT) in dataset and (group, _OVERLAY_DATA) not in dataset for group in _OVERLAYS)


def _described(dataset: Any) -> tuple[Any, int]:
    """A dataset of only the pixels and their description, and by how many bits to shift the values right.

    Values are in the bits up to High Bit (PS3.5 section 8.1.1), which is the last of Bits Stored in all new films; in
    left-justified ones it is the last of Bits Allocated.
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
    described.BitsAllocated = allocated
    described.BitsStored, described.HighBit = stored + shift, stored + shift - 1
    described.PixelRepresentation = int(number(dataset, "PixelRepresentation", 0) == 1)
    described["PixelData"] = dataset["PixelData"]
    described.file_meta = FileMetaDataset()
    described.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    return described, shift
