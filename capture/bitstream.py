"""The first bytes of coded pictures: where a stream can be entered and cut, whole frames or fields; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from capture import mpeg2


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
    """Looks at the packets of one stream in their order; `changed` says that the pictures' size did on the way."""

    changed: bool

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
    """A codec whose headers are not read here."""

    changed = False

    def look(self, data: bytes) -> Look:
        """Nothing is known."""
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
    """H.264: IDR pictures are closed entries, recovery points open ones; a packet may be one field of a frame."""

    def __init__(self, extradata: bytes) -> None:
        self._prefix = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 4 else 0
        self._has_fields = False
        self._number_bits = 4
        self._separate_planes = False
        self._open_field: tuple[int, int] | None = None
        self._size: tuple[int, int, int] | None = None
        self.changed = False
        units = _avcc_units(extradata) if self._prefix else list(_units(extradata, 0))
        for unit in units:
            if unit and unit[0] & 31 == 7:
                self._read_sps(unit)

    def look(self, data: bytes) -> Look:
        """Reads up to the first slice; where the sequence may hold fields, the head of every slice."""
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
        """Frame number and parity of a slice of a field, None for one of a whole frame (H.264 7.3.3)."""
        bits = _Bits(_head(unit[1:], 32))
        bits.ue(), bits.ue(), bits.ue()  # first_mb_in_slice, slice_type, pic_parameter_set_id
        if self._separate_planes:
            bits.u(2)
        number = bits.u(self._number_bits)
        return (number, bits.u(1)) if bits.u(1) else None

    def _read_sps(self, unit: bytes) -> None:
        """What slice headers need to be read (H.264 7.3.2.1.1)."""
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
        size = (bits.ue(), bits.ue(), bits.u(1))
        self._has_fields = not size[2]
        self.changed = self.changed or self._size not in (None, size)
        self._size = size


def _skip_scaling(bits: _Bits, lists: int) -> None:
    """Pass over the scaling lists (H.264 7.3.2.1.1.1)."""
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
    """HEVC: IDR pictures are closed entries, CRA pictures open ones (H.265 Table 7-1)."""

    _CLOSED = frozenset((17, 18, 19, 20))  # BLA without undecodable leading pictures, IDR
    _OPEN = frozenset((16, 21))  # BLA, CRA

    def __init__(self, extradata: bytes) -> None:
        self._prefix = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 22 else 0
        self._parameters = b""
        self.changed = False

    def look(self, data: bytes) -> Look:
        """By the type of the first slice; a sequence parameter set that differs counts as another size."""
        for unit in _units(data, self._prefix):
            kind = unit[0] >> 1 & 63 if unit else 63
            if kind == 33:
                words = unit.rstrip(b"\0")
                self.changed = self.changed or self._parameters not in (b"", words)
                self._parameters = words
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
    """MPEG-2: I pictures are entries, closed where their group of pictures says so (H.262 6.3.8)."""

    def __init__(self) -> None:
        self._size = b""
        self.changed = False

    def look(self, data: bytes) -> Look:
        """By the picture header and a group header before it."""
        kind, closed = mpeg2.picture(data)
        size = mpeg2.size_in(data) if kind == "I" else b""
        self.changed = self.changed or (size != b"" and self._size not in (b"", size))
        self._size = size or self._size
        return Look("" if kind != "I" else "closed" if closed else "open", kind)
