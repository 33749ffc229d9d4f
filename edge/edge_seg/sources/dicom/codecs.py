"""The stored pixels of a DICOM film, decoded by the installed codecs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from edge_seg.errors import InputError
from edge_seg.quiet import native_failures_quiet, warnings_ignored
from edge_seg.sources.dicom import gdcm_frame
from edge_seg.sources.dicom.attributes import number
from edge_seg.sources.dicom.padding import declared_padding
from edge_seg.sources.header import read_header

_RLE = "1.2.840.10008.1.2.5"
_OVERSHOOTING = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51)}
"""JPEG Baseline and Extended: beside edges, values go beyond those of the original, and so beyond its bits."""

_OVERSHOOT = 0.125  # share of the range; a film that lacks a bit in its header goes up to its double
_LOSSY = _OVERSHOOTING | {f"1.2.840.10008.1.2.4.{number}" for number in (81, 91, 93, 203)}
"""These, JPEG-LS near-lossless, JPEG 2000 and its part 2, and HTJ2K: no overlay survives in them."""

_OVERLAYS = range(0x6000, 0x6020, 2)  # groups
_OVERLAY_BIT, _OVERLAY_DATA = 0x0102, 0x3000
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
            return _values(_decode(described, syntax), dataset, bits, shift)
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
    """Decode JPEG Extended without pydicom, which would tell gdcm more bits than the 12 that gdcm decodes."""
    from pydicom.encaps import generate_frames

    frame = next(generate_frames(described.PixelData, number_of_frames=1))
    wide = described.BitsAllocated == 16
    size, form = (described.Columns, described.Rows), (described.BitsAllocated, 12 if wide else 8, 0)
    decoded = gdcm_frame.decode_described(frame, str(described.file_meta.TransferSyntaxUID), size, form)
    values = np.frombuffer(decoded, np.uint16 if wide else np.uint8)
    return values.reshape(described.Rows, described.Columns).copy()


def _values(stored: np.ndarray, dataset: Any, bits: int, shift: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """What pixels mean of which all bits are decoded: the values in the bits up to High Bit, or in all that are used.

    By PS3.5 section 8.1.1 no bit above High Bit is part of a value, but some films need more bits than their header
    gives them. Others have an overlay there, as was allowed before 2004, or a padding value.

    Args:
        stored: as decoded; it is changed.
        dataset: pydicom's.
        bits: Bits Stored.
        shift: number of bits below the values by High Bit.

    Returns:
        The values, and notes about them. Padding that the bits cannot hold keeps the value that the header gives it.
    """
    film: np.ndarray | bool = True
    notes: tuple[str, ...] = ()
    if not _fit(stored, bits + shift, film):
        padding = declared_padding(dataset, stored)
        film = True if padding is None else ~padding
    if not _fit(stored, bits + shift, film):
        syntax = dataset.file_meta.TransferSyntaxUID
        keeps_bits = syntax not in _LOSSY
        if syntax in _OVERSHOOTING and _fit(stored, bits + shift, film, _OVERSHOOT):
            np.clip(stored, *_limits(stored, bits + shift), out=stored, where=film)
        elif (keeps_bits and _has_embedded_overlay(dataset)) or _fit_unextended(stored, bits + shift, film):
            _keep_lowest(stored, bits + shift, film)
        elif not keeps_bits or _are_values_above(stored, bits + shift, film):
            return stored, (f"values go beyond the {bits} bits that the header gives them: all bits are used",)
        else:
            taken = "taken for an overlay that the header does not declare"
            notes = (f"a bit above the {bits} bits of the values is left out: {taken}",)
            _keep_lowest(stored, bits + shift, film)
    if shift:
        _shift(stored, bits, shift, film)
    return stored, notes


def _least_and_most(stored: np.ndarray, film: np.ndarray | bool) -> tuple[int, int]:
    """Of the film and 0, which is in every range."""
    return int(stored.min(where=film, initial=0)), int(stored.max(where=film, initial=0))


def _limits(stored: np.ndarray, bits: int) -> tuple[int, int]:
    """The least and the greatest number of that many bits, with a sign if the values' type has one."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if stored.dtype.kind == "i" else (0, (1 << bits) - 1)


def _fit(stored: np.ndarray, bits: int, film: np.ndarray | bool, beyond: float = 0.0) -> bool:
    """Whether the film's values are numbers of that many bits, or go beyond them by no more than a share of them."""
    (low, high), (least, most) = _limits(stored, bits), _least_and_most(stored, film)
    more = beyond * (1 << bits)
    return low - more <= least and most <= high + more


def _fit_unextended(stored: np.ndarray, bits: int, film: np.ndarray | bool) -> bool:
    """Whether the film's values leave all bits above zero, even those of negative numbers."""
    least, most = _least_and_most(stored, film)
    return least == 0 and most < 1 << bits


def _are_values_above(stored: np.ndarray, bits: int, film: np.ndarray | bool) -> bool:
    """Whether the bits above, some of which are set, are part of the values: a single one may be an overlay."""
    if -(1 << bits - 1) <= _least_and_most(stored, film)[0] < 0:
        # The bits above go with the sign.
        return True
    unsigned = stored.view(stored.dtype.str.replace("i", "u"))
    return (int(np.bitwise_or.reduce(unsigned, axis=None, where=film)) >> bits).bit_count() > 1


def _keep_lowest(stored: np.ndarray, bits: int, film: np.ndarray | bool) -> None:
    """Drop the bits above; of signed values, the highest bit that is left is the sign."""
    unused = 8 * stored.dtype.itemsize - bits
    np.left_shift(stored, unused, out=stored, where=film)
    np.right_shift(stored, unused, out=stored, where=film)


def _shift(stored: np.ndarray, bits: int, shift: int, film: np.ndarray | bool) -> None:
    """Shift to the right the values that lie in the bits up to High Bit; some lie in the lowest, whatever it says.

    Left-justified values, however small, leave the bits below them zero.

    Args:
        stored: all bits up to High Bit; it is changed.
        bits: Bits Stored.
        shift: number of bits below the values by High Bit.
        film: where to shift.
    """
    least, most = _least_and_most(stored, film)
    fit = least >= -(1 << bits - 1) and most < 1 << bits
    if fit and int(np.bitwise_or.reduce(stored, axis=None, where=film)) & (1 << shift) - 1:
        _keep_lowest(stored, bits, film)
    else:
        np.right_shift(stored, shift, out=stored, where=film)


def _has_embedded_overlay(dataset: Any) -> bool:
    """Whether overlays lie in unused bits of the pixels (PS3.3-2004 C.9.2, since retired), not in elements."""
    return any((group, _OVERLAY_BIT) in dataset and (group, _OVERLAY_DATA) not in dataset for group in _OVERLAYS)


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
