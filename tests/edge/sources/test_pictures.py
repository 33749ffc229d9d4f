"""Picture files as found in practice, and which are refused before decoding."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from edge_seg import InputError
from edge_seg.phantom import phantom
from edge_seg.sources.header import read_header
from edge_seg.sources.image import decode_picture, to_grey
from edge_seg.sources.png import essential_png
from edge_seg.sources.tiff import count_pages, read_directory

Order = Literal["<", ">"]
"""Byte order of a TIFF."""

GREY = phantom(96, 80, seed=1).film.pixels
PATH = Path("film")


def encoded(suffix: str, picture: np.ndarray = GREY) -> bytes:
    return cv2.imencode(suffix, picture)[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(orientation: int) -> bytes:
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def webp_with(exif: bytes, picture: np.ndarray) -> bytes:
    """A lossless WebP with an EXIF chunk behind its picture."""
    height, width, channels = picture.shape
    plain = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    pixels = plain[plain.index(b"VP8L") :]
    flags = 0x08 | (0x10 if channels == 4 else 0)
    canvas = struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    exif_chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
    chunks = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + pixels + exif_chunk
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def png_with(extra: bytes, picture: np.ndarray = GREY) -> bytes:
    data = encoded(".png", picture)
    return data[:33] + extra + data[33:]


TURNS = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.T,
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].T,
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["grey", "colour", "alpha", "deep"])
def test_a_png_is_set_upright_whatever_its_pixels_are(orientation: int, kind: str) -> None:
    lies: np.ndarray = np.ascontiguousarray(TURNS[orientation](GREY))
    picture = {
        "grey": lies,
        "colour": cv2.cvtColor(lies, cv2.COLOR_GRAY2BGR),
        "alpha": cv2.cvtColor(lies, cv2.COLOR_GRAY2BGRA),
        "deep": lies.astype(np.uint16) * 257,
    }[kind]
    film = decode_picture(png_with(chunk(b"eXIf", exif(orientation)), picture), PATH)
    np.testing.assert_array_equal(film.pixels, GREY.astype(np.uint16) * 257 if kind == "deep" else GREY)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_a_webp_is_set_upright_with_and_without_transparency(orientation: int, channels: int, prefix: bytes) -> None:
    lies = np.ascontiguousarray(TURNS[orientation](GREY))
    picture = cv2.cvtColor(lies, cv2.COLOR_GRAY2BGR if channels == 3 else cv2.COLOR_GRAY2BGRA)
    if channels == 4:
        # Encoders drop a transparency that shows nothing.
        picture[0, 0, 3] = 254
    film = decode_picture(webp_with(prefix + exif(orientation), picture), PATH)
    assert film.shape == GREY.shape
    assert np.abs(film.pixels.astype(int) - GREY).max() <= 1


@pytest.mark.parametrize("kind", [1, 3, 4])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_an_exif_orientation_is_read_in_every_type(kind: int, order: Order, prefix: bytes) -> None:
    field = struct.pack(f"{order}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", 6).ljust(4, b"\0")
    block = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IHHHI", 8, 1, 274, kind, 1) + field + bytes(4)
    film = decode_picture(png_with(chunk(b"eXIf", prefix + block), np.rot90(GREY).copy()), PATH)
    np.testing.assert_array_equal(film.pixels, GREY)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_exif_orientation_that_is_none_turns_nothing(orientation: int) -> None:
    film = decode_picture(png_with(chunk(b"eXIf", exif(orientation))), PATH)
    np.testing.assert_array_equal(film.pixels, GREY)
    assert essential_png(png_with(chunk(b"eXIf", exif(orientation))))[1] == 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("rows", [0, 7])
def test_tiff_planes_one_behind_another_are_those_side_by_side(order: Order, depth: type, rows: int) -> None:
    picture: np.ndarray = np.dstack([GREY, GREY // 2, GREY // 3]).astype(depth) * (257 if depth is np.uint16 else 1)
    film = decode_picture(planar_tiff(picture, order, rows or len(GREY)), PATH)
    side_by_side = decode_picture(encoded(".tif", picture[:, :, ::-1].copy()), PATH)
    np.testing.assert_array_equal(film.pixels, side_by_side.pixels)
    assert film.colour == side_by_side.colour > 0


@pytest.mark.parametrize("colours", [1, 2])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white(colours: int, depth: type) -> None:
    top = np.iinfo(depth).max
    upright: np.ndarray = GREY.astype(depth) * (257 if depth is np.uint16 else 1)
    picture = np.dstack([top - upright, np.full_like(upright, top)])[:, :, :colours]
    film = decode_picture(planar_tiff(picture, "<", len(GREY), photometric=0), PATH)
    np.testing.assert_array_equal(film.pixels, upright)


@pytest.mark.parametrize("photometric", [5, 6, 8])
def test_planes_of_other_colours_than_red_green_and_blue_are_refused(photometric: int) -> None:
    picture = np.dstack([GREY] * 3)
    with pytest.raises(InputError, match="no codec here decodes"):
        decode_picture(planar_tiff(picture, "<", len(GREY), photometric), PATH)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
@pytest.mark.parametrize("pictures", [1, 3])
def test_that_a_film_is_the_first_picture_of_an_animation_is_said(ending: str, pictures: int, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    frames = [image.fromarray(phantom(90, 80, seed=seed).film.pixels) for seed in range(pictures)]
    path = tmp_path / f"film.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    film = decode_picture(path.read_bytes(), path)
    assert film.warnings == (("an animation: its first picture is taken",) if pictures > 1 else ())
    assert np.abs(film.pixels.astype(int) - np.asarray(frames[0])).max() <= 3


@pytest.mark.parametrize(("kind", "pages"), [(0, 2), (2, 2), (1, 1), (4, 1)])
def test_that_a_tiff_has_further_pages_is_said(kind: int, pages: int) -> None:
    first = planar_tiff(np.dstack([GREY] * 3), "<", len(GREY))
    start = struct.unpack("<I", first[4:8])[0]
    link = start + 2 + 12 * struct.unpack("<H", first[start : start + 2])[0]
    second = struct.pack("<HHHIII", 1, 254, 4, 1, kind, 0)
    both = first[:link] + struct.pack("<I", len(first)) + first[link + 4 :] + second
    film = decode_picture(both, PATH)
    np.testing.assert_array_equal(film.pixels, decode_picture(first, PATH).pixels)
    assert film.warnings == (("2 pages: the first one is taken",) if pages == 2 else ())


def directory(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A directory of a TIFF, of a tag, type, count and value or offset each."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def plain_tiff(picture: np.ndarray, *more: tuple[int, int, int, int], behind: bytes = b"", following: int = 0) -> bytes:
    """An uncompressed TIFF of one strip; its only directory lies behind the pixels, at `8 + picture.nbytes`."""
    height, width = picture.shape[:2]
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 278: height, 279: picture.nbytes}
    known = {tag for tag, *_ in more}
    entries = [*more, *((tag, 4, 1, value) for tag, value in tags.items() if tag not in known)]
    head = b"II*\0" + struct.pack("<I", 8 + picture.nbytes)
    return head + picture.tobytes() + directory(*entries, following=following) + behind


@pytest.mark.parametrize("where", ["a later page", "below it"])
def test_a_tiff_that_begins_with_a_preview_of_its_film_is_refused(where: str) -> None:
    preview = (254, 4, 1, 1)
    alone = plain_tiff(GREY, preview)
    np.testing.assert_array_equal(decode_picture(alone, PATH).pixels, GREY)
    film = directory((256, 4, 1, 800), (257, 4, 1, 960))
    if where == "below it":
        data = plain_tiff(GREY, preview, (330, 4, 1, len(alone) + 12), behind=film)
    else:
        data = plain_tiff(GREY, preview, behind=film, following=len(alone))
    with pytest.raises(InputError, match="begins with a preview"):
        decode_picture(data, PATH)


def test_a_tiff_that_would_lose_bits_is_refused() -> None:
    deep = GREY.astype(np.uint16) * 257
    picture = np.dstack([deep, np.full_like(deep, 65535)])
    with pytest.raises(InputError, match="no codec here decodes"):
        decode_picture(plain_tiff(picture, (258, 3, 2, 16 | 16 << 16), (277, 4, 1, 2), (338, 4, 1, 2)), PATH)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(("kind", "drawn"), [(0, True), (2, False)])
def test_only_transparency_makes_a_tiff_transparent(depth: type, separate: bool, kind: int, drawn: bool) -> None:
    grey: np.ndarray = GREY.astype(depth) * (257 if depth is np.uint16 else 1)
    picture = np.dstack([grey, grey, grey, np.zeros_like(grey)])
    bits, size = 8 * grey.itemsize, picture.nbytes
    stored = np.ascontiguousarray(picture.transpose(2, 0, 1)) if separate else picture
    behind = 8 + size + len(directory(*[(0, 0, 0, 0)] * (11 if separate else 10)))
    more = [(258, 3, 4, behind), (262, 4, 1, 2), (277, 4, 1, 4), (338, 3, 1, kind)]
    tail = struct.pack("<4H", *[bits] * 4)
    if separate:
        tail += struct.pack("<8I", *(8 + k * size // 4 for k in range(4)), *[size // 4] * 4)
        more += [(284, 4, 1, 2), (273, 4, 4, behind + 8), (279, 4, 4, behind + 24)]
    tags = [(256, 4, 1, GREY.shape[1]), (257, 4, 1, GREY.shape[0])]
    film = decode_picture(plain_tiff(stored, *tags, (278, 4, 1, GREY.shape[0]), *more, behind=tail), PATH)
    np.testing.assert_array_equal(film.pixels, grey if drawn else np.zeros_like(grey))


def test_a_tiff_takes_little_memory_until_its_planes_are_separated() -> None:
    size, pages = 2_000_000, 200
    entries = [(tag, 1, size, 8) for tag in (256, 257, 258, 262, 273, 274, 277, 278, 279, 284, 317, 322, 323)]
    each = len(directory(*entries))
    chain = (directory(*entries, following=8 + each * (page + 1)) for page in range(pages))
    data = b"II*\0\x08\0\0\0" + b"".join(chain)
    data += directory() + bytes(size)
    tracemalloc.start()
    assert read_directory(data).number("ImageWidth") == len(entries)
    assert count_pages(data) == pages + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_pages_of_a_tiff_that_go_round_are_counted_once() -> None:
    alone = len(plain_tiff(GREY))
    start = 8 + GREY.nbytes
    data = plain_tiff(GREY, following=alone, behind=directory(following=start))
    assert count_pages(data) == 2


def test_a_bigtiff_is_refused_as_such() -> None:
    with pytest.raises(InputError, match="a BigTIFF, which is not read"):
        decode_picture(b"II+\0\x08\0\0\0" + bytes(40), PATH)


def planar_tiff(picture: np.ndarray, order: Order, rows: int, photometric: int = 2) -> bytes:
    """A deflated TIFF with separate planes, `rows` to a strip."""
    height, width, colours = picture.shape
    out = io.BytesIO((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    out.seek(8)
    places, lengths = [], []
    for k in range(colours):
        for top in range(0, height, rows):
            plane = picture[top : top + rows, :, k]
            strip = zlib.compress(plane.astype(plane.dtype.newbyteorder(order)).tobytes())
            places.append(out.tell())
            lengths.append(len(strip))
            out.write(strip)
    tables = out.tell()
    for values in (places, lengths):
        out.write(np.asarray(values, f"{order}u4").tobytes())
    bits = out.tell()
    out.write(np.full(colours, picture.dtype.itemsize * 8, f"{order}u4").tobytes())
    start = out.tell()
    out.write(struct.pack(f"{order}H", 10))
    for tag, kind, count, value in (
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 4, 1, picture.dtype.itemsize * 8) if colours == 1 else (258, 4, colours, bits),
        (259, 4, 1, 8),
        (262, 4, 1, photometric),
        (273, 4, len(places), places[0] if len(places) == 1 else tables),
        (277, 4, 1, colours),
        (278, 4, 1, rows),
        (279, 4, len(places), lengths[0] if len(places) == 1 else tables + 4 * len(places)),
        (284, 4, 1, 2),
    ):
        out.write(struct.pack(f"{order}HHII", tag, kind, count, value))
    out.write(bytes(4))
    data = bytearray(out.getvalue())
    data[4:8] = struct.pack(f"{order}I", start)
    return bytes(data)


def test_what_comes_behind_a_jpeg_is_none_of_it() -> None:
    data = encoded(".jpg")
    film = decode_picture(data + bytes(range(256)) * 300, PATH)
    np.testing.assert_array_equal(film.pixels, decode_picture(data, PATH).pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_picture_that_is_cut_off_is_refused(suffix: str, share: float) -> None:
    data = encoded(suffix, phantom(400, 360).film.pixels)
    with pytest.raises(InputError, match=r"cut off before its end|not a picture"):
        decode_picture(data[: int(share * len(data))], PATH)


def test_a_thumbnail_is_no_end_of_a_jpeg() -> None:
    data, small = encoded(".jpg", phantom(400, 360).film.pixels), encoded(".jpg", GREY[:32, :32])
    segment = b"Exif\0\0" + small
    marked = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    assert decode_picture(marked, PATH).shape == (400, 360)
    with pytest.raises(InputError, match="cut off"):
        decode_picture(marked[:-2000], PATH)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".png", "PNG"), (".jpg", "JPEG"), (".tif", "TIFF"), (".bmp", "BMP"), (".webp", "WebP"), (".gif", "GIF")],
)
def test_size_and_kind_are_known_before_decoding(suffix: str, kind: str) -> None:
    data = encoded(suffix, cv2.cvtColor(GREY, cv2.COLOR_GRAY2BGR))
    header = read_header(data)
    assert header is not None
    assert (header.kind, header.height, header.width) == (kind, *GREY.shape)
    assert decode_picture(data, PATH).shape == GREY.shape


@pytest.mark.parametrize(("photometric", "pixel_bytes"), [(1, 1), (3, 4)])
def test_a_tiff_palette_takes_the_memory_of_the_colours_it_becomes(photometric: int, pixel_bytes: int) -> None:
    tags = ((256, 48), (257, 48), (258, 8), (262, photometric))
    data = b"II*\0\x08\0\0\0\4\0" + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags) + bytes(4)
    header = read_header(data)
    assert header is not None
    assert header.pixel_bytes == pixel_bytes


def test_portable_grey_maps_are_read() -> None:
    data = b"P5\n# a film\n80 96\n255\n" + GREY.tobytes()
    np.testing.assert_array_equal(decode_picture(data, PATH).pixels, GREY)


def header_of(kind: int, depth: int, side: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0))


BOMBS = {
    "length flipped": header_of(0, 8, 48) + struct.pack(">I", 0x7FFFFFFF) + b"IDAT" + bytes(64),
    "palette without end": header_of(3, 8, 48) + struct.pack(">I", 0xFF000000) + b"PLTE" + bytes(64),
    "16-bit RGBA": header_of(6, 16, 10_000) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""),
    "RLE BMP": b"BM"
    + struct.pack("<IIIIiiHHIIIIII", 1080, 0, 1078, 40, 30_000, 30_000, 1, 8, 1, 2, 0, 0, 0, 0)
    + bytes(1026),
    "WebP": b"RIFF\x20\0\0\0WEBPVP8L\x10\0\0\0\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(20),
    "WebP without a chunk": b"RIFF\x20\0\0\0WEBP\x2f"
    + struct.pack("<I", 16382 | 16382 << 14)
    + bytes(9)
    + struct.pack("<HH", 48, 48)
    + bytes(20),
    "WebP canvas": b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (9999).to_bytes(3, "little") * 2 + bytes(20),
    "progressive JPEG": b"\xff\xd8\xff\xc2\0\x11\x08"
    + struct.pack(">HH", 9000, 9000)
    + b"\3\1\x11\0\2\x11\0\3\x11\0"
    + b"\xff\xd9",
    "TIFF of huge arrays": b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 273, 4, 0x40000000, 8) + bytes(4),
    "size in another chunk": b"\x89PNG\r\n\x1a\n"
    + chunk(b"tEXt", struct.pack(">IIBBBBB", 48, 48, 8, 0, 0, 0, 0))
    + header_of(0, 8, 30_000)[8:]
    + chunk(b"IDAT", zlib.compress(bytes(1000)))
    + chunk(b"IEND", b""),
    "two headers": header_of(0, 8, 48)
    + header_of(0, 8, 30_000)[8:]
    + chunk(b"IDAT", zlib.compress(bytes(1000)))
    + chunk(b"IEND", b""),
    "JPEG of many scans": b"\xff\xd8\xff\xc2\0\x0b\x08\2\0\2\0\1\1\x11\0"
    + b"\xff\xda\0\x08\1\1\0\1\x3f\x10\0" * 200
    + b"\xff\xd9",
    "JPEG in a scan for each colour": b"\xff\xd8\xff\xc0\0\x11\x08"
    + struct.pack(">HH", 5000, 5000)
    + b"\3\1\x11\0\2\x11\0\3\x11\0"
    + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0" * 3
    + b"\xff\xd9",
    "comment that ends otherwise": b"P5 #x\r30000 30000 255\n48 48 255\n" + bytes(48 * 48),
    "TIFF with two widths": b"II*\0\x08\0\0\0\4\0"
    + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in ((256, 30_000), (256, 48), (257, 30_000), (257, 48)))
    + bytes(4),
    "TIFF with a signed size": b"II*\0\x08\0\0\0\4\0"
    + b"".join(struct.pack("<HHII", tag, kind, 1, n) for kind, n in ((9, 28_000), (4, 48)) for tag in (256, 257))
    + bytes(4),
    "TIFF of one large tile": b"II*\0\x08\0\0\0\5\0"
    + b"".join(
        struct.pack("<HHII", tag, 4, 1, n) for tag, n in ((256, 48), (257, 48), (258, 8), (322, 28_000), (323, 28_000))
    )
    + bytes(4),
    "JPEG 2000 with a decoy": struct.pack(">I4sI", 12, b"jP  ", 0x0D0A870A)
    + b"".join(
        struct.pack(">I4s8sIIII", 56, kind, b"\xff\x4f\xff\x51\0\x2f\0\0", side, side, 0, 0)
        + bytes(17)
        + b"\1"
        + bytes(6)
        for kind, side in ((b"free", 48), (b"jp2c", 30_000))
    ),
    "AVIF": b"\0\0\0\x18ftypavif\0\0\0\0avifmif1\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", 48, 48) + bytes(64),
    "PNG of many chunks": header_of(0, 8, 48) + chunk(b"tEXt", b"") * 20_001 + chunk(b"IEND", b""),
    "JPEG of fill bytes": b"\xff\xd8" + b"\xff" * 30_000 + cv2.imencode(".jpg", GREY)[1].tobytes()[2:],
    "TIFF without end": b"II*\0\x08\0\0\0\xff\xff" + bytes(40),
    "TIFF of a million strips": plain_tiff(
        GREY, *((tag, 4, 1_200_000, 8) for tag in (273, 279)), (277, 4, 1, 3), (284, 4, 1, 2), behind=bytes(4_800_000)
    ),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_before_they_are_decoded(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        decode_picture(data, PATH)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["WebP without a chunk", "TIFF with a signed size"])
def test_a_size_that_decoders_read_elsewhere_is_none(name: str) -> None:
    assert read_header(BOMBS[name]) is None


GIF = b"GIF89a" + struct.pack("<HHBBB", 48, 48, 0, 0, 0)
JPEG_2000 = struct.pack(">I4sI", 12, b"jP  ", 0x0D0A870A)
CODESTREAM = b"\xff\x4f\xff\x51\0\x2f\0\0" + struct.pack(">IIII", 48, 48, 0, 0) + bytes(17) + b"\1" + bytes(6)


@pytest.mark.parametrize(
    ("begin", "part", "end"),
    [
        (GIF + b"!\xfe", b"\1\0", b"\0;"),
        (GIF, b"!\xfe\0", b";"),
        (JPEG_2000, struct.pack(">I4s", 8, b"free"), struct.pack(">I4s", 8 + len(CODESTREAM), b"jp2c") + CODESTREAM),
    ],
    ids=["GIF blocks", "GIF extensions", "JPEG 2000 boxes"],
)
def test_a_picture_of_too_many_parts_is_none(begin: bytes, part: bytes, end: bytes) -> None:
    assert read_header(begin + part * 10_000 + end) is not None
    assert read_header(begin + part * 30_000 + end) is None


def test_a_large_gif_has_a_size() -> None:
    assert read_header(GIF + b"!\xfe" + (b"\xff" + bytes(255)) * 30_000 + b"\0;") is not None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_lies_on_black(dtype: type) -> None:
    chance = np.random.default_rng(0)
    full = np.iinfo(dtype).max
    picture = chance.integers(0, full, (600, 80, 4), dtype)
    expected: np.ndarray = (picture[:, :, :3].astype(np.float64) * picture[:, :, 3:] / full).astype(dtype)
    grey = cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(to_grey(picture, "film"), grey)


def test_profiles_and_texts_of_a_png_are_kept_from_the_decoder() -> None:
    bomb = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(1 << 22))) + chunk(
        b"iCCP", b"x\0\0" + zlib.compress(bytes(9))
    )
    np.testing.assert_array_equal(decode_picture(png_with(bomb), PATH).pixels, GREY)
