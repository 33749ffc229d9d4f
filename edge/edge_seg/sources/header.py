"""Reads a picture's header before it is decoded: its kind and size, the memory it needs, whether it is complete.

Decoders trust headers: a few hundred bytes can make them allocate gigabytes. So nothing is decoded unless this module
can say how large it becomes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_seg.sources.tiff import TiffError, read_directory

AVIF = "AVIF or HEIC"
_PNG, _PNG_HEAD = b"\x89PNG\r\n\x1a\n", b"\0\0\0\x0dIHDR"
_JPEG_FRAMES = ({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}) | {0xF7}  # SOF markers: ITU-T T.81 table B.1, T.87 table C.1
_JPEG_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_JPEG_LS = 0xF7
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
JPEG_START_OF_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_MOST_SCANS = 100
"""Most scans in a JPEG; encoders make some ten, and each takes as long as the whole picture."""

_WEBP_ANIMATION = 0x02  # among the flags of VP8X
_GIF_PICTURE, _GIF_EXTENSION = 0x2C, 0x21
_MOST_PARTS = 20_000
"""Most chunks of a PNG, markers and fill bytes of a JPEG, boxes of a JPEG 2000: a file of 100 MB can hold millions."""

_TILE_BYTES, _BLOCK_BYTES = 10_000, 500  # that OpenJPEG keeps of a tile, and of a precinct or code block
_MOST_TILE_BYTES = 150_000_000  # films of 24 million pixels take 16 MB, and 120 MB in tiles of 64 x 64
# Markers of ISO/IEC 15444-1 table A.2
_STYLE, _STYLE_OF_COMPONENT, _TILE, _TILE_DATA, _CODESTREAM_END = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
_GIF_FEWEST_BYTES = 128  # on average in a block; encoders fill all but the last, to 255
# In scan data, each 0xff is followed by 0 or belongs to a restart marker.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # by colour type, as decoded
_COMMENTS = rb"\s+(?:#[^\r\n]*[\r\n]\s*)*"  # decoders end a comment at CR or LF
_PORTABLE = re.compile(rb"P([2356])" + _COMMENTS + rb"(\d{1,9})" + _COMMENTS + rb"(\d{1,9})\s+(\d{1,5})\s")
_SEARCHED = 1 << 16
_TIFF_GREY, _TIFF_PALETTE = 1, 3  # of PhotometricInterpretation (TIFF 6.0, section 8)
_LARGEST_TILE = 1024  # pixels a side, if the picture is smaller


@dataclass(frozen=True)
class PictureHeader:
    """What a picture's header says.

    Attributes:
        kind: `PNG`, `JPEG`, `TIFF`, `BMP`, `WebP`, `GIF`, `AVIF or HEIC`, `JPEG 2000` or `PNM`.
        height, width: in pixels.
        pixel_bytes: memory that a pixel takes while it is decoded.
        whole: whether the picture reaches its end marker, for kinds that have one.
        moving: whether other pictures follow the first, as in an animation.
        channels: of a JPEG or JPEG 2000; 0 of other kinds.
    """

    kind: str
    height: int
    width: int
    pixel_bytes: int
    whole: bool = True
    moving: bool = False
    channels: int = 0


def read_header(data: bytes) -> PictureHeader | None:
    """The header of a picture; `None` if it is damaged, or of a kind whose size cannot be read."""
    try:
        for begins, read in _KINDS:
            if begins.match(data):
                return read(data)
    except (struct.error, IndexError, KeyError, TiffError):
        return None
    return None


def picture_kind(data: bytes) -> str | None:
    """The kind of picture that the first bytes announce; `None` if they announce none."""
    return next((_NAMES[read] for begins, read in _KINDS if begins.match(data)), None)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """`(height, width)` of a picture; `None` if its header does not give it."""
    header = read_header(data)
    return (header.height, header.width) if header else None


def is_cut_off(data: bytes) -> bool:
    """Whether a picture ends before its end marker: decoders silently fill in the rest with grey."""
    header = read_header(data)
    return header is not None and not header.whole


def _png(data: bytes) -> PictureHeader:
    kinds = [kind for kind, _, _ in png_chunks(data)]
    # A chunk before IHDR, or a second IHDR, may give the decoder another size.
    if data[8:16] != _PNG_HEAD or kinds.count(b"IHDR") > 1:
        raise IndexError("no header, or several")
    width, height, depth, colours = struct.unpack(">IIBB", data[16:26])
    whole = b"IEND" in kinds
    pixel_bytes = _PNG_CHANNELS[colours] * (2 if depth == 16 else 1)
    return PictureHeader("PNG", height, width, pixel_bytes, whole, moving=b"fdAT" in kinds)


def png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk of a PNG up to its end, or to the first that is longer than the file."""
    found, position = [], len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 12 + length
        if end > len(data):
            break
        found.append((kind, position, end))
        if len(found) > _MOST_PARTS:
            raise IndexError("too many chunks")
        position = end
        if kind == b"IEND":
            break
    return found


def _jpeg(data: bytes) -> PictureHeader:
    position, size, pixel_bytes, channels, scans = 2, None, 0, 0, 0
    for marker, begin, end in jpeg_segments(data):
        position = end
        if marker in _JPEG_FRAMES and size is None:
            size = struct.unpack(">HH", data[begin + 1 : begin + 5])
            channels = max(1, data[begin + 5])
            pixel_bytes = channels * (3 if marker in _JPEG_PROGRESSIVE else 1)
            if marker == _JPEG_LS:
                # What looks like a marker in JPEG-LS data is not one.
                return PictureHeader("JPEG", size[0], size[1], pixel_bytes, channels=channels)
        if marker == JPEG_START_OF_SCAN:
            scans += 1
            if scans > _JPEG_MOST_SCANS:
                raise IndexError("too many scans")
            # A picture in several scans keeps its 16-bit coefficients until its end.
            if data[begin] < channels:
                pixel_bytes = channels * 3
    if size is None:
        raise IndexError("no frame")
    # What follows the end, the clip of a motion photo, say, is not part of the picture.
    whole = data.find(b"\xff\xd9", position) >= 0
    return PictureHeader("JPEG", size[0], size[1], pixel_bytes, whole, channels=channels)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker of each segment of a JPEG, and where its content begins and ends, with a scan's data.

    Raises:
        IndexError, struct.error: too many segments, or a damaged one.
    """
    position = 2
    for _ in range(_MOST_PARTS):
        if position + 4 > len(data) or data[position] != 0xFF or data[position + 1] == _JPEG_END:
            return
        marker, begin = data[position + 1], position + 4
        if marker == 0xFF or marker in _JPEG_BARE:
            position += 1 if marker == 0xFF else 2
            continue
        end = position + 2 + struct.unpack(">H", data[position + 2 : begin])[0]
        if marker == JPEG_START_OF_SCAN:
            found = _JPEG_MARKER.search(data, end)
            end = found.start() if found else len(data)
        yield marker, begin, end
        position = end
    raise IndexError("too many marks")


def _tiff(data: bytes) -> PictureHeader:
    directory = read_directory(data)
    channels = directory.number("SamplesPerPixel", 1)
    depth = -(-directory.number("BitsPerSample", 1) // 8)
    coloured = channels > 1 or directory.number("PhotometricInterpretation", _TIFF_GREY) == _TIFF_PALETTE
    # OpenCV reads 8-bit colours, a palette's too, as four channels.
    pixel_bytes = 4 if depth == 1 and coloured else channels * depth
    height, width = directory.number("ImageLength"), directory.number("ImageWidth")
    # A tile is decoded whole, however little of it is in the picture.
    tile_height, tile_width = directory.number("TileLength", 0), directory.number("TileWidth", 0)
    if tile_height > max(height, _LARGEST_TILE) or tile_width > max(width, _LARGEST_TILE):
        raise TiffError(f"tiles of {tile_width} x {tile_height} pixels")
    return PictureHeader("TIFF", height, width, pixel_bytes)


def _bmp(data: bytes) -> PictureHeader:
    width, height = struct.unpack("<ii", data[18:26]) if data[14] >= 40 else struct.unpack("<Hh", data[18:22])
    return PictureHeader("BMP", abs(height), abs(width), 4)


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk of a WebP, and where its content begins and ends (RFC 9649 section 2.3)."""
    position = 12
    for _ in range(_MOST_PARTS):
        if position + 8 > len(data):
            return
        kind, length = struct.unpack("<4sI", data[position : position + 8])
        yield kind, position + 8, position + 8 + length
        position += 8 + length + length % 2


def _webp(data: bytes) -> PictureHeader:
    kind, moving = data[12:16], False
    if kind == b"VP8X":
        moving = bool(data[20] & _WEBP_ANIMATION)
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack("<HH", data[26:30]))
    else:
        # Decoders find a picture without a chunk of its own too.
        raise IndexError("no picture")
    return PictureHeader("WebP", height, width, 8, moving=moving)


def _gif(data: bytes) -> PictureHeader:
    width, height = struct.unpack("<HH", data[6:10])
    return PictureHeader("GIF", height, width, 8, moving=_gif_moves(data))


def _gif_moves(data: bytes) -> bool:
    """Whether a GIF has a second picture (GIF89a, appendix B)."""

    def behind_table(flags: int, at: int) -> int:
        return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)

    position, pictures, blocks = behind_table(data[10], 13), 0, 0
    most = _MOST_PARTS + len(data) // _GIF_FEWEST_BYTES
    while position < len(data) and data[position] in (_GIF_PICTURE, _GIF_EXTENSION) and blocks <= most:
        if data[position] == _GIF_PICTURE:
            pictures += 1
            if pictures > 1:
                return True
            # The LZW code size precedes the data.
            position = behind_table(data[position + 9], position + 10) + 1
        else:
            position += 2
        while position < len(data) and data[position] and blocks <= most:
            position += 1 + data[position]
            blocks += 1
        position += 1
        blocks += 1
    if blocks > most:
        raise IndexError("too many blocks")
    return False


def _avif(data: bytes) -> PictureHeader:
    # Image spatial extents, one for each picture in the file (ISO/IEC 23008-12 section 6.5.3).
    sizes = [struct.unpack(">II", found[1]) for found in re.finditer(rb"ispe\0{4}(.{8})", data[:_SEARCHED], re.DOTALL)]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return PictureHeader(AVIF, height, width, 8)


def _jpeg_2000(data: bytes) -> PictureHeader:
    # Sizes and number of components: ISO/IEC 15444-1 annex A.5.1.
    at = _codestream(data) + 8
    if data[at - 8 : at - 4] != b"\xff\x4f\xff\x51":
        raise IndexError("no codestream")
    right, lower, left, upper = struct.unpack(">IIII", data[at : at + 16])
    across, down, tiles_left, tiles_upper = struct.unpack(">IIII", data[at + 16 : at + 32])
    channels = struct.unpack(">H", data[at + 32 : at + 34])[0]
    across, down = max(1, across), max(1, down)
    tiles = -((tiles_left - right) // across) * -((tiles_upper - lower) // down)
    width, height = min(across, right - left), min(down, lower - upper)
    blocks = max((_blocks(width, height, *style) for style in _coding_styles(data, at - 8, channels)), default=0)
    if tiles * (_TILE_BYTES + _BLOCK_BYTES * channels * blocks) > _MOST_TILE_BYTES:
        raise IndexError("too many tiles, precincts or code blocks")
    return PictureHeader("JPEG 2000", lower - upper, right - left, 6 * channels, channels=channels)


def _coding_styles(data: bytes, position: int, channels: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Each coding style in a JPEG 2000 codestream, of all tiles or some (ISO/IEC 15444-1 annexes A.6.1 and A.6.2).

    Yields:
        Decomposition levels, base-2 logarithms of a code block's width and height, sizes of precincts if given.
    """
    following = len(data)
    position += 2
    for _ in range(_MOST_PARTS):
        if position + 4 > len(data):
            return
        marker, length = struct.unpack(">HH", data[position : position + 4])
        if marker == _CODESTREAM_END:
            # Some writers pad the fragment behind it.
            return
        if marker == _TILE:
            following = position + (struct.unpack(">I", data[position + 6 : position + 10])[0] or len(data))
        at = position + 4 + {_STYLE: 0, _STYLE_OF_COMPONENT: 1 if channels < 257 else 2}.get(marker, 0)
        if marker in (_STYLE, _STYLE_OF_COMPONENT):
            # The style of all components names an order, layers and a colour transform too.
            first = at + (5 if marker == _STYLE else 1)
            levels, width, height = struct.unpack(">BBB", data[first : first + 3])
            yield levels, width + 2, height + 2, data[first + 5 : first + 6 + levels] if data[at] & 1 else b""
        position = following if marker == _TILE_DATA else position + 2 + length
    raise IndexError("too many marks")


def _blocks(width: int, height: int, levels: int, across: int, down: int, precincts: bytes) -> int:
    """Precincts and code blocks of a component of a tile (ISO/IEC 15444-1 annexes B.6 and B.7)."""

    def parts(w: int, h: int, x: int, y: int) -> int:
        return -(-w >> max(x, 0)) * -(-h >> max(y, 0))

    found = 0
    for level in range(levels + 1):
        w, h = -(-width >> levels - level), -(-height >> levels - level)
        x, y = (precincts[level] & 15, precincts[level] >> 4) if precincts else (15, 15)
        found += parts(w, h, x, y)
        # All but the first hold three bands of half the size.
        half = int(level > 0)
        found += (3 if half else 1) * parts(-(-w >> half), -(-h >> half), min(across, x - half), min(down, y - half))
    return found


def _codestream(data: bytes) -> int:
    """Where the codestream of a JPEG 2000 file begins: in its box, or at the start of a file without boxes."""
    if data[:2] == b"\xff\x4f":
        return 0
    position = 0
    for _ in range(_MOST_PARTS):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        head = 16 if length == 1 else 8
        if kind == b"jp2c":
            return position + head
        length = struct.unpack(">Q", data[position + 8 : position + 16])[0] if length == 1 else length
        if length < head:
            raise IndexError("a box of no length")
        position += length
    raise IndexError("too many boxes")


def _portable(data: bytes) -> PictureHeader:
    found = _PORTABLE.match(data[:_SEARCHED])
    if found is None:
        raise IndexError("no size")
    kind, width, height, top = (int(value) for value in found.groups())
    return PictureHeader("PNM", height, width, (3 if kind in (3, 6) else 1) * (2 if top > 255 else 1))


_KINDS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], PictureHeader]], ...] = tuple(
    (re.compile(begins, re.DOTALL), read)
    for begins, read in (
        (rb"\x89PNG\r\n\x1a\n", _png),
        (rb"\xff\xd8", _jpeg),
        (rb"II\*\0|MM\0\*", _tiff),
        (rb"BM", _bmp),
        (rb"RIFF.{4}WEBP", _webp),
        (rb"GIF8[79]a", _gif),
        (rb".{4}ftyp(avif|avis|mif1|heic|heix|hevc)", _avif),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", _jpeg_2000),
        (rb"P[2356]\s", _portable),
    )
)

_NAMES: dict[Callable[[bytes], PictureHeader], str] = {
    _png: "PNG",
    _jpeg: "JPEG",
    _tiff: "TIFF",
    _bmp: "BMP",
    _webp: "WebP",
    _gif: "GIF",
    _avif: AVIF,
    _jpeg_2000: "JPEG 2000",
    _portable: "PNM",
}
