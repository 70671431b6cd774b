"""What kind of file a picture is, by its first bytes, and the size that its header announces.

OpenCV is asked to decode only what is known here: a header of a few bytes can announce any number of pixels. File names
do not count, as in OpenCV; many a WebP is called .jpg.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Size = tuple[int, int]
"""(width, height)"""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    name: str
    """With its article, for messages."""
    size: Callable[[bytes], Size | None] | None = None
    """Reads the announced size; None of a kind that OpenCV does not read."""


def identify(data: bytes) -> Format | None:
    """The kind of a file's content; None of one that is not known."""
    for pattern, found in _KINDS:
        if pattern.match(data):
            return found
    return None


def announced_size(data: bytes, found: Format) -> Size | None:
    """The size in a picture's header; None of a header that is cut, or of a kind that is not read."""
    try:
        size = found.size(data) if found.size else None
    except (struct.error, IndexError, ValueError):
        return None
    return size if size and min(size) > 0 else None


def _png(data: bytes) -> Size:  # its first chunk is IHDR (PNG, 11.2.1)
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


_JPEG_START = b"\xff\xd8"
# No escaped 0xff of pixel data, and no TEM or restart: they have no length. A pattern that begins with one byte is
# looked for at such bytes alone, in a tenth of the time of one that begins with a repetition: pixel data are long.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")
_JPEG_MARKER_HERE = re.compile(rb"\xff*" + _JPEG_MARKER.pattern)  # with what may fill up the room before it
_JPEG_END = 0xD9
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 (T.81, table B.1)


def _jpeg(data: bytes) -> Size | None:
    for marker, at in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:  # length, precision, height, width
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """A JPEG's markers and where what follows each begins."""
    position = len(_JPEG_START)
    while match := _JPEG_MARKER.search(data, position):
        yield match[1][0], match.end()
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")


def is_whole_jpeg(data: bytes) -> bool:
    """Whether the marker that ends a JPEG follows its segments (ITU-T T.81, annex B); a thumbnail's does not count."""
    return any(marker == _JPEG_END for marker, _ in _jpeg_segments(data))


_FILLED_IN = re.compile(
    r"[Pp]remature end of|bad (?:Huffman|arithmetic) code|instead of RST|Inconsistent progression sequence"
)
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_SCAN = 0xDA
_PROGRESSIVE_FRAMES = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_PADDING = frozenset(b"\x00\xff")


def damage(data: bytes, said: str) -> str | None:
    """What a JPEG's pixels lack, by its scans and by libjpeg's warning (it prints the first one); None if nothing.

    Pixels do not depend on versions, on colour transforms and on bytes between the segments of the header. Bytes left
    over after a scan are those of blocks that were lost, unless they only pad it (zeros, or ones with their escapes).
    """
    said = " ".join(said.split())
    if _FILLED_IN.search(said):
        return said
    if _lacks_scans(data):
        return "its last scans are missing"
    left = _LEFT_OVER.search(said)
    if left is None or _has_gap_in_header(data):
        return None
    count, marker = int(left[1]), int(left[2], 16)
    if marker == _JPEG_END:
        end = data.rfind(b"\xff\xd9")
        if _PADDING.issuperset(data[max(0, end - count) : end]):
            return None
    return said


def _lacks_scans(data: bytes) -> bool:
    """Whether a progressive JPEG gives coefficients without their lowest bits (T.81, G.1.1.1.2): it was cut there."""
    is_progressive = False
    low: dict[int, list[int]] = {}
    for marker, at in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            is_progressive = marker in _PROGRESSIVE_FRAMES
        elif marker == _SCAN:
            if not is_progressive:  # what follows are its pixels, long to search
                return False
            header = data[at + 3 : at + 6 + 2 * data[at + 2]]  # per component its id and tables, and then:
            first, last, approximation = header[-3:]
            for component in header[:-3:2]:
                bits = low.setdefault(component, [0] * 64)
                bits[first : last + 1] = [approximation & 15] * (last + 1 - first)
    return any(map(any, low.values()))


def _has_gap_in_header(data: bytes) -> bool:
    """Whether a segment before the first scan does not begin where the one before it ends."""
    position = len(_JPEG_START)
    while (match := _JPEG_MARKER_HERE.match(data, position)) and match[1][0] != _SCAN:
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
    return match is None


def is_whole(data: bytes, found: Format) -> bool:
    """Whether a picture has its end, for the kinds whose ends OpenCV's decoders do without."""
    if found is JPEG:
        return is_whole_jpeg(data)
    if found is PNG:
        return b"IEND\xaeB`\x82" in data
    return found is not GIF or b"\x3b" in data[-2:]  # one byte of padding is common


def _bmp(data: bytes) -> Size:
    if int.from_bytes(data[14:18], "little") == 12:  # OS/2's header
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative where the rows go from the top


def _webp(data: bytes) -> Size | None:  # RFC 9649
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}


def _tiff(data: bytes) -> Size | None:  # TIFF 6.0, section 2; of BigTIFF, numbers are wider
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in {b"\x2b\x00", b"\x00\x2b"}:
        (at,), count_type, entry, value_at = struct.unpack_from(f"{order}Q", data, 8), "Q", 20, 12
    else:
        (at,), count_type, entry, value_at = struct.unpack_from(f"{order}I", data, 4), "H", 12, 8
    (count,) = struct.unpack_from(order + count_type, data, at)
    first = at + struct.calcsize(order + count_type)
    found: dict[int, int] = {}
    for k in range(min(count, 4096)):
        tag, kind = struct.unpack_from(f"{order}HH", data, first + k * entry)
        if tag in {_TIFF_WIDTH, _TIFF_HEIGHT} and kind in _TIFF_TYPES:
            (found[tag],) = struct.unpack_from(order + _TIFF_TYPES[kind], data, first + k * entry + value_at)
    return (found[_TIFF_WIDTH], found[_TIFF_HEIGHT]) if len(found) == 2 else None


_PNM = re.compile(rb"P[1-6fF](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_PAM = re.compile(rb"P7\s(?:[^\n]*\n)*?WIDTH (\d{1,9})\n(?:[^\n]*\n)*?HEIGHT (\d{1,9})\n")
_HDR = re.compile(rb"#\?[^\n]*\n(?:[^\n]*\n)*?-Y (\d{1,9}) \+X (\d{1,9})\n")


def _pnm(data: bytes) -> Size | None:
    match = _PNM.match(data[:4096]) or _PAM.match(data[:4096])
    return (int(match[1]), int(match[2])) if match else None


def _hdr(data: bytes) -> Size | None:
    match = _HDR.match(data[:65536])
    return (int(match[2]), int(match[1])) if match else None


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _ras(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 4)
    return width, height


def _jp2(data: bytes) -> Size | None:  # ITU-T T.800, I.5.3.1, and A.5.1 of a bare stream
    if data.startswith(b"\xff\x4f"):
        right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
        return right - left, bottom - top
    at = data.find(b"ihdr", 0, 65536)
    if at < 0:
        return None
    height, width = struct.unpack_from(">II", data, at + 4)
    return width, height


def _avif(data: bytes) -> Size | None:
    """The largest of the sizes of its items: a picture may be of tiles (ISO/IEC 23008-12, 6.5.3)."""
    found = [struct.unpack_from(">II", data, match.end() + 4) for match in re.finditer(b"ispe", data[:65536])]
    return max(found, key=lambda size: size[0] * size[1], default=None)


JPEG, PNG, GIF = Format("a JPEG", _jpeg), Format("a PNG", _png), Format("a GIF", _gif)
MP4 = Format("an MP4 or QuickTime video")

_KINDS: tuple[tuple[re.Pattern[bytes], Format], ...] = tuple(
    (re.compile(pattern, re.DOTALL), found)
    for pattern, found in (
        (rb"\xff\xd8", JPEG),
        (rb"\x89PNG\r\n\x1a\n", PNG),
        (rb"BM.{4}", Format("a BMP", _bmp)),
        (rb"RIFF.{4}WEBP", Format("a WebP", _webp)),
        (rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]", Format("a TIFF", _tiff)),
        (rb"P[1-7fF]\s", Format("a portable pixmap", _pnm)),
        (rb"GIF8[79]a", GIF),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", Format("a JPEG 2000", _jp2)),
        (rb".{4}ftypavi[fs]", Format("an AVIF", _avif)),
        (rb"\x59\xa6\x6a\x95", Format("a Sun raster", _ras)),
        (rb"#\?(?:RADIANCE|RGBE)", Format("a Radiance HDR", _hdr)),
        # What people have, or get from a download that failed, and OpenCV does not read.
        (rb".{4}ftyp(?:hei|hev|mif1|msf1)", Format("a HEIC")),
        (rb".{4}ftyp", MP4),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", Format("a JPEG XL")),
        (rb"\x76\x2f\x31\x01", Format("an OpenEXR")),
        (rb"8BPS", Format("a Photoshop file")),
        (rb"%PDF", Format("a PDF")),
        (rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<svg", Format("an SVG")),
        (rb"(?i)\s*<(?:!doctype html|html|head|\?xml)", Format("a web page")),
        (rb"version https://git-lfs", Format("a Git LFS pointer, whose file was not fetched")),
        (rb"PK\x03\x04", Format("a ZIP archive")),
        (rb"\x1f\x8b", Format("a gzip archive")),
    )
)
