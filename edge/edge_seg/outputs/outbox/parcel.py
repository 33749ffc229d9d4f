"""A DICOM file in transit: read whole or not at all, and encoded as its receiver accepts it."""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import InputError
from edge_seg.quiet import warnings_ignored

_DELIMITER = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"  # Sequence Delimitation Item, PS3.5 section A.4
_UNDEFINED = 0xFFFFFFFF
_LAST_KEYWORDS = ("PixelData", "ContentSequence")
"""What results end with; a file cut off between two attributes lacks it."""


@dataclass(frozen=True)
class Parcel:
    """A complete DICOM file.

    Attributes:
        dataset: pydicom's, with its file meta information.
        size: of the file in bytes.
        storage, instance, syntax: UIDs of SOP class, SOP instance and transfer syntax.
    """

    dataset: Any
    size: int
    storage: str
    instance: str
    syntax: str

    @classmethod
    def read(cls, path: Path) -> Parcel:
        """Read a file.

        Raises:
            InputError: it is empty, cut off, damaged, or lacks a UID that identifies it.
            OSError: it cannot be read.
        """
        import pydicom

        data = path.read_bytes()
        try:
            with warnings_ignored():
                dataset = pydicom.dcmread(io.BytesIO(data))
                whole = _is_whole(dataset, data)
                # Decode all attributes: raw ones would be written in the file's original encoding.
                for _ in dataset.iterall():
                    pass
                storage, instance = str(dataset.get("SOPClassUID", "")), str(dataset.get("SOPInstanceUID", ""))
                syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        # Parsers can raise anything for damaged files; whatever it is, this file is damaged.
        except Exception as error:
            raise InputError(f"{path.name}: damaged, or no DICOM file ({type(error).__name__})") from error
        if not whole:
            raise InputError(f"{path.name}: cut off")
        missing = [
            name
            for name, uid in (("SOP class", storage), ("SOP instance", instance), ("transfer syntax", syntax))
            if not uid
        ]
        if missing:
            raise InputError(f"{path.name}: no UID of {', '.join(missing)}")
        return cls(dataset, len(data), storage, instance, syntax)

    def encoded(self, syntax: str) -> Any:
        """The dataset in a transfer syntax: its own, or an uncompressed little-endian one.

        Raises:
            InputError: its pixels are compressed in a way that is not supported here.
        """
        import pydicom
        from pydicom.uid import UID

        made = pydicom.Dataset()
        made.update({element.tag: copy.copy(element) for element in self.dataset})
        made.preamble = bytes(128)  # without it pydicom writes no file
        made.file_meta = pydicom.dataset.FileMetaDataset()
        made.file_meta.update({element.tag: element for element in self.dataset.file_meta})
        made.file_meta.TransferSyntaxUID = UID(syntax)
        if UID(self.syntax).is_encapsulated and syntax != self.syntax:
            _decompress(made, self.syntax)
        return made


def _decompress(dataset: Any, syntax: str) -> None:
    """Replace the JPEG frame of a colour picture with its pixels; it stays marked as lossy."""
    import cv2
    import numpy as np
    from pydicom.encaps import generate_frames
    from pydicom.uid import UID, JPEGBaseline8Bit

    if syntax != JPEGBaseline8Bit or dataset.get("SamplesPerPixel") != 3:
        raise InputError(f"the archive takes no {UID(syntax).name}, and it is not decompressed here")
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    picture = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError("the JPEG picture in it is damaged")
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).tobytes()
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", False


def _is_whole(dataset: Any, data: bytes) -> bool:
    """Whether the file ends where its last attribute does; pydicom does not report a truncated one."""
    from pydicom.datadict import keyword_for_tag

    if not dataset:
        return False
    last = dataset.get_item(max(dataset.keys()))
    if keyword_for_tag(last.tag) not in _LAST_KEYWORDS:
        return False
    length = getattr(last, "length", _UNDEFINED)
    if length == _UNDEFINED:
        return data.endswith(_DELIMITER)
    return last.value_tell + length == len(data)
