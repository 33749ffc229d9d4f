"""Grey values as the header means them: padding, slopes, windows, tables, bits, polarity."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from edge_seg import Film, InputError, Segmenter
from edge_seg.model_file import ModelFile
from edge_seg.phantom.film import Phantom
from edge_seg.pixels import to_grey8, to_input
from edge_seg.sources.dicom import decode_dicom, read
from pydicom.uid import DeflatedExplicitVRLittleEndian

Read = Callable[..., Film]
INPUT = (192, 192)


def seen(film: Film) -> np.ndarray:
    return to_input(film, INPUT)[0].astype(int)


@pytest.mark.parametrize(
    ("attributes", "dtype"),
    [
        ({"PixelPaddingValue": 0}, np.uint16),
        ({"PixelPaddingValue": 4095}, np.uint16),
        ({"PixelPaddingValue": 65535, "PhotometricInterpretation": "MONOCHROME1"}, np.uint16),
        ({"PixelPaddingValue": 65535, "PixelPaddingRangeLimit": 60000}, np.uint16),
        ({"PixelPaddingValue": -32768}, np.int16),
        ({}, np.uint16),
    ],
    ids=str,
)
@pytest.mark.parametrize("windowed", [False, True])
def test_padding_changes_nothing_that_the_network_sees(
    attributes: dict[str, Any], dtype: type, windowed: bool, made: Phantom, read_with: Read
) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 3000} if windowed else {}
    inverse = {"PhotometricInterpretation": attributes.get("PhotometricInterpretation", "MONOCHROME2")}
    plain: np.ndarray = (made.film.pixels + 1).clip(1, 4094).astype(dtype)
    value = attributes.get("PixelPaddingRangeLimit", attributes.get("PixelPaddingValue", 0))
    framed = cv2.copyMakeBorder(plain, 20, 20, 15, 15, cv2.BORDER_CONSTANT, value=value)
    one, other = read_with(plain, **inverse, **window), read_with(framed, **attributes, **window)
    np.testing.assert_array_equal(seen(one), seen(other))
    assert not to_grey8(other)[:20].any()
    np.testing.assert_array_equal(to_grey8(other)[20:-20, 15:-15], to_grey8(one))


def test_padding_of_any_shape_is_left_out_of_the_window(made: Phantom, read_with: Read) -> None:
    plain = made.film.pixels.astype(np.uint16)
    round_film = np.zeros(plain.shape, np.uint8)
    cv2.ellipse(round_film, ((140, 160), (270, 310), 0), 1, -1)
    film = read_with(np.where(round_film, plain, 60000).astype(np.uint16), PixelPaddingValue=60000)
    black = Film(np.where(round_film, plain, 0).astype(np.uint16), padding=round_film == 0)
    np.testing.assert_array_equal(seen(film), seen(black))


@pytest.mark.parametrize("slope", [1.0, 0.1, 0.001, 1 / 4095, -0.5, 3.0])
def test_slopes_keep_the_grey_levels(slope: float, made: Phantom, read_with: Read) -> None:
    plain = read_with(made.film.pixels)
    found = read_with(made.film.pixels, RescaleSlope=f"{slope:.10g}", RescaleIntercept="-7")
    shown = found.pixels if slope > 0 else found.pixels.max() - found.pixels
    assert np.corrcoef(shown.ravel(), plain.pixels.ravel())[0, 1] > 1 - 1e-9
    assert len(np.unique(found.pixels)) == len(np.unique(plain.pixels))


@pytest.mark.parametrize("slope", [1.0, 0.01, 1 / 4095])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT"])
def test_a_window_lies_on_the_rescaled_values(
    slope: float, function: str | None, made: Phantom, read_with: Read
) -> None:
    plain = read_with(made.film.pixels, WindowCenter="2048", WindowWidth="3000")
    found = read_with(
        made.film.pixels,
        RescaleSlope=f"{slope:.10g}",
        RescaleIntercept="0",
        WindowCenter=f"{2048 * slope:.10g}",
        WindowWidth=f"{3000 * slope:.10g}",
        VOILUTFunction=function,
    )
    assert np.abs(seen(found) - seen(plain)).max() <= 1


def test_the_window_functions_are_those_of_the_standard(read_with: Read) -> None:
    ramp = np.tile(np.arange(0, 4096, dtype=np.uint16), (64, 1))
    window = {"WindowCenter": "2000", "WindowWidth": "1000"}
    for function, expected in (
        ("LINEAR", lambda x: ((x - 1999.5) / 999 + 0.5).clip(0, 1)),
        ("LINEAR_EXACT", lambda x: ((x - 2000) / 1000 + 0.5).clip(0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 2000) / 1000))),
    ):
        shown = to_grey8(read_with(ramp, VOILUTFunction=function, **window))[0]
        np.testing.assert_allclose(shown, 255 * expected(np.arange(4096.0)), atol=0.51)


@pytest.mark.parametrize(
    "window",
    [
        *(("30000", "100"), ("-500", "10"), ("0", "1e99"), ("1e99", "1"), ("100000", "99990"), ("2048", "1")),
        # The scales of 16, 15 and 8 bits for a film of 12; beside most of its values.
        *(("65536", "131072"), ("32768", "65536"), ("128", "256"), ("4500", "1400"), ("-300", "800")),
    ],
)
def test_a_window_that_shows_nothing_is_replaced_and_that_is_said(
    window: tuple[str, str], made: Phantom, read_with: Read
) -> None:
    film = read_with(made.film.pixels, WindowCenter=window[0], WindowWidth=window[1])
    assert film.window is None
    assert any("window in the header shows nothing" in warning for warning in film.warnings)
    np.testing.assert_array_equal(seen(film), seen(read_with(made.film.pixels)))


@pytest.mark.parametrize("times", [0.5, 1, 4])
def test_a_window_narrower_or_wider_than_the_film_stays(times: float, made: Phantom, read_with: Read) -> None:
    low, high = np.percentile(made.film.pixels, [1, 99])
    film = read_with(
        made.film.pixels, WindowCenter=f"{(low + high) / 2:.5g}", WindowWidth=f"{times * (high - low):.5g}"
    )
    assert film.window is not None
    assert not any("window in the header" in warning for warning in film.warnings)


@pytest.mark.parametrize("first", [("30000", "10"), ("", "600"), ("32768", "65536"), ("128", "256")])
def test_the_first_window_that_shows_something_counts(first: tuple[str, str], made: Phantom, read_with: Read) -> None:
    film = read_with(made.film.pixels, WindowCenter=[first[0], "2048"], WindowWidth=[first[1], "4096"])
    assert film.window == (0.0, 4095.0)


@pytest.mark.parametrize(
    "said",
    [
        {"RescaleSlope": "0,25", "WindowCenter": "512", "WindowWidth": "1024"},
        {"RescaleIntercept": "-1024,0", "WindowCenter": "1024", "WindowWidth": "4096"},
        {"WindowCenter": "2048,0", "WindowWidth": "3000"},
    ],
    ids=str,
)
def test_a_number_with_a_comma_is_told_and_no_window_is_used(
    said: dict[str, str], made: Phantom, tmp_path: Path, make_film: Any
) -> None:
    plain = decode_dicom(make_film("plain.dcm").read_bytes(), tmp_path / "plain.dcm")
    places = {name: f"{number}{number}" for name, number in zip(said, (1111, 2222, 3333), strict=False)}
    data = make_film("said.dcm", **places).read_bytes()
    for name, value in said.items():
        data = data.replace(places[name].encode(), value.encode().ljust(8))
    film = decode_dicom(data, tmp_path / "said.dcm")
    assert film.window is None
    said_so = f"{next(iter(said))} in the header is no number: percentiles of the pixels in place of a window"
    assert any(said_so == warning for warning in film.warnings)
    np.testing.assert_array_equal(seen(film), seen(plain))


@pytest.mark.parametrize(("slope", "intercept"), [("1e308", "1e308"), ("1e-320", "0"), ("1", "1e308"), ("1", "1e18")])
def test_a_rescaling_that_leaves_nothing_is_told_and_not_used(slope: str, intercept: str, read_with: Read) -> None:
    window = {"WindowCenter": "2048", "WindowWidth": "4096"}
    film, plain = read_with(RescaleSlope=slope, RescaleIntercept=intercept, **window), read_with()
    assert film.window is None
    assert any("RescaleIntercept in the header leave nothing" in warning for warning in film.warnings)
    np.testing.assert_array_equal(seen(film), seen(plain))


def test_a_table_that_begins_beyond_all_numbers_is_refused(read_with: Read) -> None:
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "DS", ["256", "1e300", "16"])
    table.add_new("LUTData", "OW", bytes(512))
    with pytest.raises(InputError, match="its grey-value table is damaged"):
        read_with(ModalityLUTSequence=[table])


@pytest.mark.parametrize("window", [("nan", "100"), ("2048", ""), ("", ""), ("2048", "0"), ("middle", "all")])
def test_a_window_that_is_none_is_not_heeded(window: tuple[str, str], tmp_path: Path, make_film: Any) -> None:
    path = make_film(WindowCenter="11111", WindowWidth="22222")
    data = path.read_bytes()
    for value, said in zip((b"11111", b"22222"), window, strict=True):
        data = data.replace(value, said.encode().ljust(5)[:5])
    assert decode_dicom(data, path).window is None


@pytest.mark.parametrize("shown", [[7] * 4096, [0] * 4095 + [65535], [1, 2, 3]], ids=["flat", "one value", "cut off"])
def test_a_table_that_shows_nothing_gives_way_to_the_window(shown: list[int], made: Phantom, read_with: Read) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.asarray(shown, "<u2").tobytes()
    table["LUTData"].VR = "OW"
    window = {"WindowCenter": "2048", "WindowWidth": "3000"}
    film = read_with(made.film.pixels, VOILUTSequence=[table], **window)
    assert any("VOI table in the header shows nothing" in warning for warning in film.warnings)
    np.testing.assert_array_equal(seen(film), seen(read_with(made.film.pixels, **window)))


def test_signed_values_that_lie_in_the_upper_bits_are_all_used(made: Phantom, read_with: Read) -> None:
    lifted = ((made.film.pixels.astype(int) - 2048) << 4).astype(np.int16)
    film = read_with(lifted, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(seen(film), seen(read_with(made.film.pixels)))


def test_padding_and_pixels_that_are_not_square_on_a_turned_film(made: Phantom, read_with: Read) -> None:
    plain = (made.film.pixels + 1).astype(np.uint16)
    framed = cv2.copyMakeBorder(np.repeat(plain, 2, 0), 12, 9, 14, 5, cv2.BORDER_CONSTANT, value=0)
    film = read_with(
        framed[:, ::-1].T,
        PatientOrientation=["F", "R"],
        PixelPaddingValue=0,
        PixelAspectRatio=[2, 1],
        ImagerPixelSpacing=None,
    )
    assert np.abs(seen(film) - seen(read_with(plain))).max() <= 2


def test_values_that_lie_in_the_upper_bits_are_all_used(made: Phantom, read_with: Read) -> None:
    lifted = (made.film.pixels.astype(np.uint16) << 4).astype(np.uint16)
    film = read_with(lifted, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(seen(film), seen(read_with(made.film.pixels)))
    assert film.pixels.max() <= 4095


@pytest.mark.parametrize(
    ("shift", "bits", "padding"),
    [(4, 12, None), (2, 12, None), (0, 10, None), (0, 8, None), (4, 12, 65535)],
    ids=str,
)
def test_values_beyond_the_bits_that_the_header_gives_them_are_all_used(
    shift: int, bits: int, padding: int | None, made: Phantom, read_with: Read
) -> None:
    pixels = (made.film.pixels << shift).astype(np.uint16)
    film = read_with(pixels, BitsStored=bits, HighBit=bits - 1, PixelPaddingValue=padding)
    assert any(f"beyond the {bits} bits" in warning for warning in film.warnings)
    np.testing.assert_array_equal(film.pixels, made.film.pixels << shift)


@pytest.mark.parametrize("bits", [12, 15])
def test_signed_values_beyond_the_bits_that_the_header_gives_them_are_all_used(
    bits: int, made: Phantom, read_with: Read
) -> None:
    pixels = ((made.film.pixels.astype(int) - 1000) << bits - 12).astype(np.int16)
    film = read_with(pixels, BitsStored=bits, HighBit=bits - 1)
    assert any(f"beyond the {bits} bits" in warning for warning in film.warnings)
    np.testing.assert_array_equal(film.pixels, pixels.astype(int) - pixels.min())


def test_negative_values_whose_upper_bits_are_zero_are_negative(made: Phantom, read_with: Read) -> None:
    pixels = ((made.film.pixels.astype(int) - 2048).clip(max=2047) & 0xFFF).astype(np.int16)
    film = read_with(pixels, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(film.pixels, made.film.pixels.clip(max=4095))
    assert not any("bits" in warning for warning in film.warnings)


@pytest.mark.parametrize("bit", [12, 15])
def test_an_overlay_in_a_bit_of_its_own_is_no_value(bit: int, made: Phantom, read_with: Read) -> None:
    overlaid = (made.film.pixels | (made.film.pixels > 3000).astype(np.uint16) << bit).astype(np.uint16)
    film = read_with(overlaid, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(film.pixels, made.film.pixels)
    assert not any("beyond the" in warning for warning in film.warnings)
    # It could be the highest bit of values that the header gives one bit too few.
    assert any("a bit above the 12 bits of the values is left out" in warning for warning in film.warnings)


def test_a_declared_overlay_is_no_value_and_none_is_missed(made: Phantom, make_film: Any) -> None:
    overlaid = (made.film.pixels | (made.film.pixels > 3000).astype(np.uint16) * 0xC000).astype(np.uint16)
    overlaid[:40, :40] = 65535
    path = make_film(pixels=overlaid, BitsStored=12, HighBit=11, PixelPaddingValue=65535)
    dataset = pydicom.dcmread(path)
    for group, bit in ((0x6000, 14), (0x6002, 15)):
        dataset.add_new((group, 0x0102), "US", bit)
    dataset.save_as(path)
    film = decode_dicom(path.read_bytes(), path)
    corner = _corner(film)
    np.testing.assert_array_equal(film.pixels[~corner], made.film.pixels[~corner] - made.film.pixels[~corner].min())
    np.testing.assert_array_equal(film.padding, corner)
    assert not any("bit" in warning for warning in film.warnings)


@pytest.mark.parametrize("high", [11, 13])
@pytest.mark.parametrize(
    ("dtype", "padding", "overlay"),
    [(np.uint16, 65535, 0), (np.uint16, 65535, 1 << 15), (np.int16, -32768, 0), (np.uint16, 60000, 0)],
    ids=str,
)
def test_padding_beyond_the_bits_of_the_values_is_padding(
    dtype: type, padding: int, overlay: int, high: int, made: Phantom, read_with: Read
) -> None:
    pixels = (made.film.pixels.astype(int) >> (dtype is np.int16)) << high - 11
    pixels |= (pixels > pixels.mean()) * overlay
    pixels[:40, :40] = padding
    film = read_with(pixels.astype(dtype), BitsStored=12, HighBit=high, PixelPaddingValue=padding)
    corner = _corner(film)
    np.testing.assert_array_equal(film.padding, corner)
    plain = made.film.pixels[~corner] >> (dtype is np.int16)
    np.testing.assert_array_equal(film.pixels[~corner], plain - plain.min())
    assert not any("beyond the" in warning for warning in film.warnings)
    assert any("a bit above" in warning for warning in film.warnings) == bool(overlay)


def _corner(film: Film) -> np.ndarray:
    corner = np.zeros(film.pixels.shape, bool)
    corner[:40, :40] = True
    return corner


@pytest.mark.parametrize("zero", [0, 2048])
def test_values_that_lie_in_the_lowest_bits_are_used_whatever_the_high_bit_says(
    zero: int, made: Phantom, read_with: Read
) -> None:
    pixels = made.film.pixels.astype(np.int16) - zero if zero else made.film.pixels
    film = read_with(pixels, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(film.pixels, read_with(pixels, BitsStored=12, HighBit=11).pixels)


def test_a_dark_film_whose_values_lie_in_the_upper_bits_is_not_taken_for_another(
    made: Phantom, read_with: Read
) -> None:
    dark = (made.film.pixels >> 4).astype(np.uint16)
    film = read_with(dark << 4, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(film.pixels, read_with(dark, BitsStored=12, HighBit=11).pixels)


@pytest.mark.parametrize("said", ["monochrome2", " MONOCHROME2", "Monochrome2 ", "MONOCHROME 2", "MONOCHROME_2"])
def test_photometric_interpretation_in_every_spelling(said: str, made: Phantom, read_with: Read) -> None:
    film = read_with(PhotometricInterpretation=said)
    assert film.polarity_known
    np.testing.assert_array_equal(seen(film), seen(read_with(made.film.pixels)))


def test_contradictory_polarity_is_decided_by_the_picture(made: Phantom, read_with: Read, lungs: ModelFile) -> None:
    segmenter = Segmenter(lungs)
    plain = segmenter(read_with(made.film.pixels))
    # INVERSE as meant in PS3.3 C.11.6.1, and INVERSE written out of habit.
    for pixels in (4095 - made.film.pixels, made.film.pixels):
        film = read_with(pixels, PresentationLUTShape="INVERSE")
        assert not film.polarity_known
        assert any("contradict each other" in warning for warning in film.warnings)
        found = segmenter(film)
        for name, mask in plain.masks.items():
            assert 2 * (mask & found.masks[name]).sum() / (mask.sum() + found.masks[name].sum()) > 0.99
    for colours, shape in (("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")):
        assert read_with(PhotometricInterpretation=colours, PresentationLUTShape=shape).polarity_known


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette colour"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "a colour picture"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "a colour picture"),
        ({"PhotometricInterpretation": "TRUE"}, "photometric interpretation is TRUE"),
        ({"Modality": "MG"}, "modality is MG"),
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"Rows": 20000, "Columns": 20000}, "too large"),
        ({"Rows": 10000, "Columns": 10000, "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "too large for a film"),
        ({"Rows": 0}, "holds no picture"),
    ],
    ids=str,
)
def test_what_is_no_film_is_refused_for_its_reason(attributes: dict[str, Any], reason: str, read_with: Read) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        read_with(**attributes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "attributes",
    [
        *({"Modality": modality} for modality in ("DR", "RG", "", "dx", "CR")),
        {"RescaleSlope": "", "RescaleIntercept": ""},
        *(
            {"SOPClassUID": f"1.2.840.10008.5.1.4.1.1.7{kind}", "Modality": modality}
            for kind in ("", ".2", ".3")
            for modality in ("OT", "DR")
        ),
        {"SamplesPerPixel": None},
        {"NumberOfFrames": [1, 1]},
        {"NumberOfFrames": 0},
        {"PixelSpacing": "", "ViewPosition": "", "BodyPartExamined": ""},
        {"PixelRepresentation": None, "HighBit": None},
        {"BitsStored": 0},
        {"BitsStored": 40},
    ],
    ids=str,
)
def test_films_with_attributes_that_are_empty_or_unusual_are_read(
    attributes: dict[str, Any], made: Phantom, read_with: Read
) -> None:
    np.testing.assert_array_equal(seen(read_with(**attributes)), seen(read_with(made.film.pixels)))


def test_a_dataset_without_meta_information_is_read(make_film: Any, made: Phantom) -> None:
    path = make_film()
    dataset = pydicom.dcmread(path)
    for implicit in (False, True):
        bare = path.with_name("bare.dcm")
        with bare.open("wb") as file:
            pydicom.filewriter.write_dataset(pydicom.filebase.DicomFileLike(file), _encoded(dataset, implicit))
        np.testing.assert_array_equal(decode_dicom(bare.read_bytes(), bare).pixels, made.film.pixels)


def _encoded(dataset: pydicom.Dataset, implicit: bool) -> pydicom.Dataset:
    copied = pydicom.Dataset(dataset)
    copied.set_original_encoding(implicit, True)
    return copied


_LONG_ELEMENT = b"\x02\0\x01\0OB\0\0" + (6000).to_bytes(4, "little") + bytes(6000)
_IMPLICIT_META = b"\x02\0\x10\0\x16\0\0\0" + b"1.2.840.10008.1.2.1.99"


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta,
        lambda meta: meta[132:],
        lambda meta: meta[:132] + _LONG_ELEMENT + meta[132:],
        lambda meta: meta[:132] + _IMPLICIT_META,
    ],
    ids=["in a file", "without a prefix", "behind a long element", "without representations"],
)
def test_a_deflated_bomb_is_refused_before_it_is_inflated(
    change: Callable[[bytes], bytes], make_film: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "LARGEST_DATASET", 1 << 20)
    path = make_film()
    data = path.read_bytes()
    decode_dicom(data, path)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    bomb = megabyte * 20 + deflater.flush()
    meta = data[: data.index(b"1.2.840.10008.1.2.1\0")] + b"1.2.840.10008.1.2.1.99"
    meta = meta.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99")
    tracemalloc.start()
    with pytest.raises(InputError, match="deflated, and larger"):
        decode_dicom(change(meta) + bomb, path)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


@pytest.mark.parametrize("start", [0, 132])
def test_a_deflated_film_is_read_with_and_without_the_prefix(start: int, made: Phantom, make_film: Any) -> None:
    path = make_film()
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    np.testing.assert_array_equal(decode_dicom(path.read_bytes()[start:], path).pixels, made.film.pixels)


def test_meta_information_longer_than_any_film_has_is_refused(make_film: Any) -> None:
    data = make_film().read_bytes()
    with pytest.raises(InputError, match=r"meta information of more than 65,536 bytes, which no film has"):
        decode_dicom(data[:132] + _LONG_ELEMENT * 11 + data[132:], Path("film.dcm"))


@pytest.mark.parametrize("turn", [lambda p: p, lambda p: p[::-1], lambda p: p[:, ::-1], lambda p: p.T], ids="1234")
def test_an_edge_of_one_value_is_left_out_whichever_way_the_film_lies(
    turn: Callable[[np.ndarray], np.ndarray], made: Phantom, read_with: Read
) -> None:
    plain: np.ndarray = (made.film.pixels + 1).astype(np.uint16)
    edged = cv2.copyMakeBorder(plain, 0, 30, 12, 0, cv2.BORDER_CONSTANT, value=0)
    film = read_with(turn(edged))
    np.testing.assert_array_equal(film.pixels[film.upright.box], turn(plain) - plain.min())


def test_a_film_of_32_bits_is_read_in_little_more_memory_than_its_file(make_film: Callable[..., Path]) -> None:
    stored = np.arange(4000 * 250, dtype=np.uint32).reshape(4000, 250) << 10
    data = make_film(pixels=stored).read_bytes()
    decode_dicom(data, Path("warm.dcm"))
    tracemalloc.start()
    try:
        decode_dicom(data, Path("film.dcm"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.9 * len(data)
