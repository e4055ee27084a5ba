"""The headers of MPEG-2 video (ITU-T H.262 6.2): what a picture is, the stream's rate, and how a picture can stand first."""

from __future__ import annotations

from fractions import Fraction

_PICTURE, _SEQUENCE, _EXTENSION, _GROUP = b"\0\0\1\0", b"\0\0\1\xb3", b"\0\0\1\xb5", b"\0\0\1\xb8"
SEQUENCE_END = b"\0\0\1\xb7"
_RATES = (0, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60)


def picture(data: bytes) -> tuple[str, bool]:
    """The kind of picture in a packet (`I`, `P`, `B`, `D` or empty), and whether it begins a closed group of pictures."""
    at = data.find(_PICTURE)
    if at < 0 or at + 6 > len(data):
        return "", False
    group = data.find(_GROUP, 0, at)
    return "?IPBD"[min(data[at + 5] >> 3 & 7, 4)], group >= 0 and bool(data[group + 7] & 0x40)


def size_in(data: bytes) -> bytes:
    """The 24 bits of a sequence header before the picture that say its size, or nothing."""
    at = data.find(_SEQUENCE, 0, max(data.find(_PICTURE), 0))
    return data[at + 4 : at + 7] if at >= 0 else b""


def has_group(data: bytes) -> bool:
    """Whether a group of pictures begins with this packet."""
    return data.find(_GROUP, 0, max(data.find(_PICTURE), 0)) >= 0


def rate_of(extradata: bytes | None) -> Fraction | None:
    """Frames per second as the sequence header says (H.262 6.3.3, 6.3.5); None where there is none."""
    data = extradata or b""
    at = data.find(_SEQUENCE)
    if at < 0 or len(data) < at + 8 or not 1 <= data[at + 7] & 15 <= 8:
        return None
    rate = Fraction(_RATES[data[at + 7] & 15])
    extension = data.find(_EXTENSION, at)
    if extension >= 0 and len(data) > extension + 9:
        last = data[extension + 9]
        rate *= Fraction((last >> 5 & 3) + 1, (last & 31) + 1)
    return rate


def start_again(data: bytes, header: bytes, missing: int) -> bytes:
    """An MPEG-2 entry picture that stands at the beginning of a stream (H.262 6.2.2.6, 6.3.9).

    `header` (sequence header and extension) is put in front where the packet has none. Where `missing` leading pictures
    were taken out, the group of pictures is said to be closed and the temporal reference counts without them.
    """
    if data.find(_SEQUENCE, 0, max(data.find(_PICTURE), 0)) < 0:
        data = header + data
    if not missing:
        return data
    group = data.find(_GROUP)
    if group >= 0:
        data = data[: group + 7] + bytes((data[group + 7] & 0x9F | 0x40,)) + data[group + 8 :]
    return count_from(data, missing)


def count_from(data: bytes, missing: int) -> bytes:
    """The same MPEG-2 packet with every temporal reference (10 bits, H.262 6.3.9) lowered by `missing`."""
    changed = bytearray(data)
    at = data.find(_PICTURE)
    while at >= 0 and at + 6 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        lower = ((number >> 6) - missing & 0x3FF) << 6 | number & 0x3F
        changed[at + 4 : at + 6] = lower.to_bytes(2, "big")
        at = data.find(_PICTURE, at + 4)
    return bytes(changed)
