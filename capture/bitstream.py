"""The first bytes of coded pictures (H.264, HEVC, MPEG-2): where a stream can be entered and cut, whole frames or fields.

Only headers are read: ITU-T H.264 7.3, H.265 7.3, H.262 6.2. Nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol


@dataclass(frozen=True)
class Look:
    """What the header of one packet says.

    `entry` is `closed` (nothing from here on needs what came before), `open` (only the leading pictures need it: they
    follow in the stream but are shown before this one) or empty. `kind` is MPEG-2's I, P or B. `second_field` marks a
    packet that is only the other half of the frame before it.
    """

    entry: str = ""
    kind: str = ""
    second_field: bool = False


class Reader(Protocol):
    """Looks at the packets of one stream in their order."""

    def look(self, data: bytes) -> Look:
        """What this packet is."""
        ...


def reader_for(codec: str, extradata: bytes | None) -> Reader:
    """The reader for FFmpeg's codec name; every packet of another codec counts as a `closed` entry if it is a key."""
    if codec == "h264":
        return _H264(extradata or b"")
    if codec == "hevc":
        return _Hevc(extradata or b"")
    return _Mpeg2() if codec == "mpeg2video" else _Plain()


def is_length_prefixed(codec: str, extradata: bytes | None) -> bool:
    """Whether the NAL units of this stream carry their length (MP4's way) and not start codes."""
    return codec in ("h264", "hevc") and bool(extradata) and extradata[:1] == b"\1"  # type: ignore[index]


class _Plain:
    def look(self, data: bytes) -> Look:
        return Look()


class _Bits:
    """Reads an RBSP bit by bit, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def u(self, count: int) -> int:
        """The next `count` bits as a number; zeros after the end."""
        self._left -= count
        return (self._value >> self._left if self._left >= 0 else 0) & ((1 << count) - 1)

    def ue(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32 or self._left <= 0:
                return 0
        return (1 << zeros) - 1 + self.u(zeros)


def _units(data: bytes, prefix: int) -> Iterator[bytes]:
    """The NAL units of a packet, each with its header byte first; `prefix` is the size of the length field or 0."""
    if prefix:
        at = 0
        while at + prefix < len(data):
            length = int.from_bytes(data[at : at + prefix], "big")
            yield data[at + prefix : at + prefix + length]
            at += prefix + length
        return
    at = data.find(b"\0\0\1")
    while at >= 0:
        following = data.find(b"\0\0\1", at + 3)
        yield data[at + 3 : following if following >= 0 else len(data)]
        at = following


def _head(unit: bytes, size: int = 256) -> bytes:
    """The beginning of a unit without emulation prevention bytes."""
    return unit[:size].replace(b"\0\0\3", b"\0\0")


class _H264:
    def __init__(self, extradata: bytes) -> None:
        self._prefix = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 4 else 0
        self._has_fields = False
        self._number_bits = 4
        self._separate_planes = False
        self._open_field: tuple[int, int] | None = None
        units = _avcc_units(extradata) if self._prefix else list(_units(extradata, 0))
        for unit in units:
            if unit and unit[0] & 31 == 7:
                self._read_sps(unit)

    def look(self, data: bytes) -> Look:
        entry, recovers, fields = "", False, []
        for unit in _units(data, self._prefix):
            kind = unit[0] & 31 if unit else 0
            if kind == 7:
                self._read_sps(unit)
            elif kind == 6:
                recovers = recovers or _recovers_at_once(unit)
            elif kind in (1, 5):
                entry = "closed" if kind == 5 else "open" if recovers else ""
                if not self._has_fields:
                    return Look(entry)
                fields.append(self._field(unit))
        return Look(entry, second_field=self._closes_field(fields))

    def _closes_field(self, fields: list[tuple[int, int] | None]) -> bool:
        """Fields are (frame number, parity); a packet with one parity only is half a frame."""
        halves = {field for field in fields if field is not None}
        if len(halves) != 1:
            self._open_field = None
            return False
        number, parity = halves.pop()
        if self._open_field == (number, 1 - parity):
            self._open_field = None
            return True
        self._open_field = (number, parity)
        return False

    def _field(self, unit: bytes) -> tuple[int, int] | None:
        bits = _Bits(_head(unit[1:], 32))
        bits.ue(), bits.ue(), bits.ue()  # first_mb_in_slice, slice_type, pic_parameter_set_id
        if self._separate_planes:
            bits.u(2)
        number = bits.u(self._number_bits)
        return (number, bits.u(1)) if bits.u(1) else None

    def _read_sps(self, unit: bytes) -> None:
        bits = _Bits(_head(unit[1:]))
        profile = bits.u(8)
        bits.u(16)
        bits.ue()
        if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
            chroma = bits.ue()
            self._separate_planes = chroma == 3 and bool(bits.u(1))
            bits.ue(), bits.ue(), bits.u(1)
            if bits.u(1):
                _skip_scaling(bits, 8 if chroma != 3 else 12)
        self._number_bits = bits.ue() + 4
        order = bits.ue()
        if order == 0:
            bits.ue()
        elif order == 1:
            bits.u(1)
            bits.ue(), bits.ue()
            for _ in range(min(bits.ue(), 255)):
                bits.ue()
        bits.ue()
        bits.u(1)
        bits.ue(), bits.ue()
        self._has_fields = not bits.u(1)


def _skip_scaling(bits: _Bits, lists: int) -> None:
    for index in range(lists):
        if not bits.u(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                code = bits.ue()
                delta = (code + 1) // 2 if code % 2 else -(code // 2)
                following = (last + delta) % 256
            last = following or last


def _avcc_units(extradata: bytes) -> list[bytes]:
    """The sequence and picture parameter sets in an AVCDecoderConfigurationRecord (ISO 14496-15 5.3.3)."""
    units, at = [], 5
    for mask in (31, 255):
        count, at = (extradata[at] & mask if len(extradata) > at else 0), at + 1
        for _ in range(count):
            length = int.from_bytes(extradata[at : at + 2], "big")
            units.append(extradata[at + 2 : at + 2 + length])
            at += 2 + length
    return units


def length_prefixed(data: bytes, codec: str, extradata: bytes) -> bytes:
    """A packet with start codes, in the length-prefixed way of the stream that `extradata` belongs to."""
    size = (extradata[4 if codec == "h264" else 21] & 3) + 1
    units = [unit.rstrip(b"\0") for unit in _units(data, 0)]
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)


def with_parameters(data: bytes, extradata: bytes) -> bytes:
    """A length-prefixed H.264 packet with the parameter sets of its file in front, in the same way of writing."""
    size = (extradata[4] & 3) + 1
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in _avcc_units(extradata)) + data


def _recovers_at_once(unit: bytes) -> bool:
    """Whether an SEI unit holds a recovery point of zero frames (H.264 D.1.8)."""
    body, at = _head(unit[1:], 4096), 0
    while at + 2 < len(body):
        kind = size = 0
        while at < len(body) and body[at] == 255:
            kind, at = kind + 255, at + 1
        kind, at = kind + body[at], at + 1
        while at < len(body) and body[at] == 255:
            size, at = size + 255, at + 1
        if at >= len(body):
            break
        size, at = size + body[at], at + 1
        if kind == 6:
            return _Bits(body[at : at + size]).ue() == 0
        at += size
    return False


class _Hevc:
    _CLOSED = frozenset((17, 18, 19, 20))  # BLA without undecodable leading pictures, IDR
    _OPEN = frozenset((16, 21))  # BLA, CRA

    def __init__(self, extradata: bytes) -> None:
        self._prefix = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 22 else 0

    def look(self, data: bytes) -> Look:
        for unit in _units(data, self._prefix):
            kind = unit[0] >> 1 & 63 if unit else 63
            if kind < 32:
                return Look("closed" if kind in self._CLOSED else "open" if kind in self._OPEN else "")
        return Look()


def is_high_tier(extradata: bytes | None) -> bool:
    """Whether an HEVC stream says high tier (H.265 7.3.3), which PS3.5 8.2.10 does not allow."""
    if not extradata:
        return False
    if extradata[0] == 1:
        return len(extradata) > 1 and bool(extradata[1] & 0x20)
    for unit in _units(extradata, 0):
        if len(unit) > 3 and unit[0] >> 1 & 63 == 33:
            return bool(unit[3] & 0x20)
    return False


class _Mpeg2:
    def look(self, data: bytes) -> Look:
        at = data.find(b"\0\0\1\0")
        if at < 0 or at + 6 > len(data):
            return Look()
        kind = "?IPBD"[min(data[at + 5] >> 3 & 7, 4)]
        if kind != "I":
            return Look(kind=kind)
        group = data.find(b"\0\0\1\xb8", 0, at)
        closed = group >= 0 and bool(data[group + 7] & 0x40)
        return Look("closed" if closed else "open", kind)


_RATES = (0, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60)


def mpeg2_rate(extradata: bytes | None) -> Fraction | None:
    """Frames per second as the sequence header says (H.262 6.3.3, 6.3.5); None where there is none."""
    data = extradata or b""
    at = data.find(b"\0\0\1\xb3")
    if at < 0 or len(data) < at + 8 or not 1 <= data[at + 7] & 15 <= 8:
        return None
    rate = Fraction(_RATES[data[at + 7] & 15])
    extension = data.find(b"\0\0\1\xb5", at)
    if extension >= 0 and len(data) > extension + 9:
        last = data[extension + 9]
        rate *= Fraction((last >> 5 & 3) + 1, (last & 31) + 1)
    return rate


def start_again(data: bytes, header: bytes, missing: int) -> bytes:
    """An MPEG-2 entry picture that stands at the beginning of a stream (H.262 6.2.2.6, 6.3.9).

    `header` (sequence header and extension) is put in front where the packet has none. Where `missing` leading pictures
    were taken out, the group of pictures is said to be closed and the temporal reference counts without them.
    """
    if data.find(b"\0\0\1\xb3", 0, max(data.find(b"\0\0\1\0"), 0)) < 0:
        data = header + data
    if not missing:
        return data
    group = data.find(b"\0\0\1\xb8")
    if group >= 0:
        data = data[: group + 7] + bytes((data[group + 7] & 0x9F | 0x40,)) + data[group + 8 :]
    return count_from(data, missing)


def count_from(data: bytes, missing: int) -> bytes:
    """The same MPEG-2 packet with every temporal reference (10 bits, H.262 6.3.9) lowered by `missing`."""
    changed = bytearray(data)
    at = data.find(b"\0\0\1\0")
    while at >= 0 and at + 6 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        lower = ((number >> 6) - missing & 0x3FF) << 6 | number & 0x3F
        changed[at + 4 : at + 6] = lower.to_bytes(2, "big")
        at = data.find(b"\0\0\1\0", at + 4)
    return bytes(changed)
