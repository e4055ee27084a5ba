"""JPEG files as rows of segments (ISO 10918-1 Annex B): what they say, and the same picture without its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from capture.source import BadPicture

_SOI, _EOI, _SOS, _DRI, _DQT, _DHT, _COM = 0xD8, 0xD9, 0xDA, 0xDD, 0xDB, 0xC4, 0xFE
_JFIF_BARE = 14  # bytes in a JFIF segment that has no thumbnail
_FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC3: "lossless"}
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SUBSAMPLING = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}


@dataclass(frozen=True)
class Header:
    """What a JPEG file says of itself.

    `process` is `baseline`, `extended`, `progressive`, `lossless` or `other` (arithmetic, hierarchical); `colour` is
    `gray`, `ycc`, `rgb` or `cmyk`; `subsampling` is `444`, `422`, `420`, empty for gray, else `other`.
    """

    width: int
    height: int
    bits: int
    process: str
    colour: str
    subsampling: str

    @property
    def goes_as_it_is(self) -> bool:
        """Whether PS3.5 8.2.1 takes the stream unchanged as JPEG Baseline (Process 1)."""
        plain = self.colour in ("gray", "ycc") and self.subsampling != "other"
        return self.process == "baseline" and self.bits == 8 and plain


@dataclass(frozen=True)
class _Segment:
    """One marker and where it, its payload and what belongs to it begin and end."""

    marker: int
    start: int
    payload: int
    end: int


def _segments(data: bytes) -> Iterator[_Segment]:
    """Every segment from SOI to EOI; what a scan carries belongs to its SOS. BadPicture where the row breaks off."""
    at = 0
    while True:
        if at + 2 > len(data):
            raise BadPicture("The JPEG is cut off: its end is missing.")
        if data[at] != 0xFF:
            raise BadPicture("The JPEG is damaged: there is no marker where one must be.")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (_SOI, _EOI):
            yield _Segment(marker, at, at + 2, at + 2)
            at += 2
            if marker == _EOI:
                return
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise BadPicture("The JPEG is cut off or damaged: a segment is longer than the file.")
        payload = at + 4
        if marker == _SOS:
            end = _end_of_scan(data, end)
        yield _Segment(marker, at, payload, end)
        at = end


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the next marker stands that is no stuffed byte and no restart; restarts must count 0 to 7 in turn."""
    expected = 0
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise BadPicture("The JPEG is cut off: it ends inside the picture.")
        following = data[at + 1]
        if following == 0x00:
            at += 2
        elif following == 0xFF:
            at += 1
        elif 0xD0 <= following <= 0xD7:
            if following != 0xD0 + expected:
                raise BadPicture("The JPEG is damaged: a piece of the picture is missing.")
            expected = (expected + 1) % 8
            at += 2
        elif following in (_EOI, _SOS, _DHT, _DQT, _DRI, _COM, 0xDC) or 0xE0 <= following <= 0xEF:
            return at
        else:
            raise BadPicture("The JPEG is damaged inside the picture.")


def read_header(data: bytes) -> Header:
    """What the file says of itself; only segments before the picture are read. BadPicture if there is no frame header."""
    adobe: int | None = None
    has_jfif = False
    for segment in _segments(data):
        body = data[segment.payload : segment.end]
        if segment.marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif segment.marker == 0xE0 and body[:5] == b"JFIF\0":
            has_jfif = True
        elif segment.marker in _FRAME_MARKERS:
            return _frame(segment.marker, body, adobe, has_jfif)
        elif segment.marker == _SOS:
            break
    raise BadPicture("The JPEG has no frame header.")


def _frame(marker: int, body: bytes, adobe: int | None, has_jfif: bool) -> Header:
    """A frame header (B.2.2), with the colours that it has in the light of JFIF's and Adobe's segments."""
    count = body[5] if len(body) > 5 else 0
    if len(body) < 6 + 3 * count or count not in (1, 3, 4):
        raise BadPicture("The JPEG's frame header is damaged.")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    parts = [body[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    factors = [(part[1] >> 4, part[1] & 15) for part in parts]
    if count == 1:
        colour, subsampling = "gray", ""
    elif count == 4:
        colour, subsampling = "cmyk", "other"
    else:
        # libjpeg's rules: JFIF is always YCbCr, Adobe says, else the component names R, G, B tell
        named_rgb = bytes(part[0] for part in parts) == b"RGB"
        is_rgb = not has_jfif and (adobe == 0 if adobe is not None else named_rgb)
        colour = "rgb" if is_rgb else "ycc"
        plain = factors[1] == factors[2] == (1, 1)
        subsampling = _SUBSAMPLING.get(factors[0], "other") if plain else "other"
    if not width or not height:
        raise BadPicture("The JPEG says that it is 0 pixels large.")
    return Header(width, height, body[0], _FRAMES.get(marker, "other"), colour, subsampling)


def strip(data: bytes) -> bytes:
    """The same picture byte for byte, without metadata.

    Tables, frame header and scans stay as they are, so do JFIF and Adobe's colour word. Every other application
    segment (EXIF, GPS, XMP, ICC, previews), comments, a JFIF thumbnail and whatever follows the end are left out; a
    file that has none of them comes back identical. BadPicture if the file is cut off or out of order.
    """
    kept: list[bytes] = []
    for segment in _segments(data):
        whole = data[segment.start : segment.end]
        if segment.marker == 0xE0:
            body = data[segment.payload : segment.end]
            if body[:5] == b"JFIF\0" and len(body) >= _JFIF_BARE:
                bare = whole[: 4 + _JFIF_BARE - 2] + b"\0\0"
                kept.append(whole if len(body) == _JFIF_BARE else bare[:2] + b"\0\x10" + bare[4:])
        elif segment.marker == 0xEE:
            if data[segment.payload : segment.payload + 5] == b"Adobe":
                kept.append(whole)
        elif segment.marker != _COM and not 0xE1 <= segment.marker <= 0xEF:
            kept.append(whole)
    stripped = b"".join(kept)
    return data if stripped == data else stripped
