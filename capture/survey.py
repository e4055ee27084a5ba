"""One pass over a video file before anything is copied: every packet's size and time, and where it may be cut.

Costs a few bytes per frame, whatever the file's size.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from numpy.typing import NDArray

from capture.bitstream import Reader, is_length_prefixed, reader_for
from capture.footage import Facts, opened
from capture.source import BadPicture

if TYPE_CHECKING:
    VideoPacket: TypeAlias = Packet[VideoStream]

_MANY_ERRORS = 200
_TAIL_BYTES = 24 << 20
_NTSC = Fraction(30000, 1001)
_COMMON = (Fraction(25), Fraction(30), _NTSC, Fraction(24), _NTSC * 4 / 5, Fraction(50), Fraction(60), _NTSC * 2)
_NO_TIMES = frozenset(("avi", "h264", "hevc", "m4v"))  # containers that do not say when a picture is shown


@dataclass(frozen=True)
class Entry:
    """A packet at which a stream can be entered; `leading` pictures after it need what came before (0: none does).

    `closed` says that it begins a closed group of pictures or is an IDR picture.
    """

    packet: int
    leading: int
    closed: bool = True


@dataclass
class Survey:
    """What the pass found. `shown` counts in units of `base` seconds, in the order of the packets.

    Packets from `first` to `end` are usable; `halves` marks packets that are only the second field of a frame.
    """

    facts: Facts
    base: Fraction
    rate: Fraction
    steady: bool
    first: int
    end: int
    entries: list[Entry]
    sizes: array[int]
    shown: NDArray[np.int64]
    halves: NDArray[np.bool_]
    length_prefixed: bool
    mixed: bool = False
    flaws: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many whole frames can be shown."""
        return self.count(self.first, self.end)

    def count(self, begin: int, end: int) -> int:
        """Frames in a row of packets."""
        return end - begin - int(np.count_nonzero(self.halves[begin:end]))

    def seconds(self, packet: int) -> float:
        """When a packet is shown, from the first picture on."""
        return float((int(self.shown[packet]) - int(self.shown[self.first : self.end].min())) * self.base)


def packets(
    container: InputContainer, stream: VideoStream, on_error: Callable[[str], None] | None = None
) -> Iterator[VideoPacket]:
    """Every packet of the stream that holds anything; damaged places are passed over, as often as that leads further."""
    for _ in range(_MANY_ERRORS):
        try:
            for packet in container.demux(stream):
                if packet.size:
                    yield packet
            return
        except av.error.FFmpegError as error:
            if on_error:
                on_error(str(error.strerror))


@dataclass
class _Raw:
    """What the pass writes down while it reads."""

    sizes: array[int] = field(default_factory=lambda: array("L"))
    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    halves: bytearray = field(default_factory=bytearray)
    kinds: bytearray = field(default_factory=bytearray)
    marks: list[tuple[int, bool]] = field(default_factory=list)
    corrupt: int = 0
    mixed: bool = False
    errors: list[str] = field(default_factory=list)
    tail: deque[bytes] = field(default_factory=deque)


def survey(facts: Facts) -> Survey:
    """Read the whole file once. BadPicture where it holds no picture at which a decoder could begin."""
    raw = _Raw()
    with opened(facts.path) as (container, stream):
        coder = stream.codec_context
        extradata, base = coder.extradata, Fraction(stream.time_base or Fraction(1, 90000))
        reader = reader_for(facts.codec, extradata)
        for packet in packets(container, stream, raw.errors.append):
            _note(raw, packet, reader, facts.codec)
        reorders = bool(coder.has_b_frames) or facts.codec in ("h264", "hevc")
    if not raw.marks:
        raise BadPicture(f"{facts.path.name} holds no picture at which a decoder could begin.")
    found = Survey(
        facts, base, facts.format.rate, True, raw.marks[0][0], len(raw.sizes), [], raw.sizes,
        np.zeros(0, np.int64), np.frombuffer(bytes(raw.halves), np.bool_), is_length_prefixed(facts.codec, extradata),
        raw.mixed,
    )  # fmt: skip
    _find_damage(found, raw, extradata)
    _find_times(found, raw, reorders)
    _find_entries(found, raw)
    return found


def _note(raw: _Raw, packet: VideoPacket, reader: Reader, codec: str) -> None:
    data = bytes(packet)
    look = reader.look(data)
    entry = look.entry
    if codec not in ("h264", "hevc", "mpeg2video") and packet.is_keyframe:
        entry = "closed"
    if entry:
        raw.marks.append((len(raw.sizes), entry == "closed"))
        raw.tail.clear()
    if sum(map(len, raw.tail)) < _TAIL_BYTES:
        raw.tail.append(data)
    raw.sizes.append(len(data))
    raw.pts.append(packet.pts)
    raw.dts.append(packet.dts)
    raw.halves.append(look.second_field)
    raw.kinds.append(ord(look.kind or "?"))
    raw.corrupt += packet.is_corrupt
    raw.mixed = raw.mixed or (len(raw.sizes) > 1 and packet.has_sidedata("new_extradata"))


def _find_damage(found: Survey, raw: _Raw, extradata: bytes | None) -> None:
    """Leave out a last picture that is cut off, and say what is missing."""
    facts = found.facts
    missing = _missing_bytes(facts.path)
    last_is_cut = _last_is_damaged(raw, facts.codec, extradata)
    if last_is_cut and found.end - found.first > 1:
        found.end -= 1
    read = found.count(0, found.end)
    if facts.frames > read:
        found.flaws.append(f"The file is cut off: {read} of {facts.frames} frames could be read.")
    elif missing or last_is_cut:
        found.flaws.append(f"The file is cut off: it ends inside a picture; the {read} frames before it are kept.")
    if raw.errors or raw.corrupt > last_is_cut:
        found.flaws.append("The file is damaged in places; some pictures may be missing or show errors.")
    if found.first:
        found.flaws.append(f"The first {found.first} pictures could not be decoded: what they build on is missing.")


def _last_is_damaged(raw: _Raw, codec: str, extradata: bytes | None) -> bool:
    """Whether a decoder that forgives nothing stumbles over the last packet."""
    if len(raw.tail) < 1 or sum(map(len, raw.tail)) >= _TAIL_BYTES:
        return False
    coder = av.CodecContext.create(codec, "r")
    assert isinstance(coder, VideoCodecContext)
    coder.extradata = extradata
    coder.options = {"err_detect": "explode"}
    coder.thread_count = 1
    stumbles = []
    for data in raw.tail:
        try:
            coder.decode(Packet(data))
            stumbles.append(False)
        except av.error.FFmpegError:
            stumbles.append(True)
    return stumbles[-1] and not any(stumbles[-4:-1])


def _missing_bytes(path: Path) -> int:
    """How many bytes a file's own outermost lengths (MP4 boxes, RIFF, EBML Segment) reach beyond its end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            return max(int.from_bytes(head[4:8], "little") + 8 - size, 0)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _missing_ebml(head, size)
        if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return 0
        at = 0
        while at + 8 <= size:
            file.seek(at)
            box = file.read(16)
            length = int.from_bytes(box[:4], "big")
            length = int.from_bytes(box[8:16], "big") if length == 1 else length or size - at
            if length < 8:
                return 0
            at += length
        return max(at - size, 0)


def _missing_ebml(head: bytes, size: int) -> int:
    at = 4
    length, at = _ebml_size(head, at)
    at += length
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, at = _ebml_size(head, at + 4)
    return max(at + length - size, 0) if length >= 0 else 0


def _ebml_size(head: bytes, at: int) -> tuple[int, int]:
    """A variable-length size and where it ends; -1 for "unknown"."""
    width = 9 - head[at].bit_length() if head[at : at + 1] else 1
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (-1 if value == (1 << 7 * width) - 1 else value), at + width


def _find_times(found: Survey, raw: _Raw, reorders: bool) -> None:
    facts, count = found.facts, len(raw.sizes)
    container = set(facts.container.split(","))
    times = None
    if facts.codec != "mpeg2video" and not (reorders and container & _NO_TIMES):
        times = _times_given(raw, found)
    if times is None:
        # MPEG-2 says its own rate and order; AVI and bare streams know only the order of the packets
        found.base = 1 / found.rate
        places = _order_by_kind(raw.kinds) if facts.codec == "mpeg2video" else _order_by_decoding(facts, count, reorders)
        times = np.asarray(places, np.int64)
    found.shown = times
    _find_rate(found)


def _times_given(raw: _Raw, found: Survey) -> NDArray[np.int64] | None:
    """The container's own times, made continuous where a recorder began to count anew; None if they are of no use."""
    if any(moment is None for moment in raw.pts):
        return None
    times = np.asarray(raw.pts, np.int64)
    step = max(round(1 / found.rate / found.base), 1)
    if all(moment is not None for moment in raw.dts):
        order = np.asarray(raw.dts, np.int64)
        for place in np.nonzero(np.diff(order) < 0)[0]:
            jump = order[place] + step - order[place + 1]
            order[place + 1 :] += jump
            times[place + 1 :] += jump
            found.flaws.append(f"The file's clock jumps back before picture {place + 2}; the pictures go on without a gap.")
    return times if len(np.unique(times)) == len(times) else None


def _order_by_kind(kinds: bytearray) -> list[int]:
    """Places in which MPEG-2 pictures are shown: B at once, I and P when the next I or P arrives (H.262 6.1.1.11)."""
    places = [0] * len(kinds)
    place, waiting = 0, -1
    for packet, kind in enumerate(kinds):
        if kind == ord("B"):
            places[packet], place = place, place + 1
            continue
        if waiting >= 0:
            places[waiting], place = place, place + 1
        waiting = packet
    if waiting >= 0:
        places[waiting] = place
    return places


def _order_by_decoding(facts: Facts, count: int, reorders: bool) -> list[int]:
    """Places in which pictures are shown, from a decoder that gets each packet with its number as its time."""
    places = list(range(count))
    if not reorders:
        return places
    seen: list[int] = []
    with opened(facts.path) as (container, stream):
        coder = stream.codec_context
        for number, packet in enumerate(packets(container, stream)):
            packet.pts = packet.dts = number
            seen += _numbers(coder, packet)
        seen += _numbers(coder, None)
    shown = set(seen)
    # what no decoder shows keeps its place in the row
    row = [number for number in seen if 0 <= number < count] + [number for number in range(count) if number not in shown]
    for place, number in enumerate(row):
        places[number] = place
    return places


def _numbers(coder: VideoCodecContext, packet: VideoPacket | None) -> list[int]:
    try:
        return [frame.pts for frame in coder.decode(packet) if frame.pts is not None]
    except av.error.FFmpegError:
        return []


def _find_rate(found: Survey) -> None:
    """Frames per second, and whether the frames come evenly (within a quarter of a frame, none missing)."""
    times = np.sort(found.shown[found.first : found.end][~found.halves[found.first : found.end]])
    if len(times) < 2 or found.facts.codec == "mpeg2video":
        return
    seconds = (times - times[0]) * float(found.base)
    for rate in (found.facts.format.rate, (len(times) - 1) / seconds[-1], *_COMMON):
        places = np.rint(seconds * float(rate))
        steps = np.diff(places)
        if np.abs(seconds * float(rate) - places).max() <= 0.25 and np.median(steps) == 1:
            found.rate = Fraction(rate).limit_denominator(100_000)
            found.steady = bool((steps == 1).all())
            return
    found.rate = Fraction((len(times) - 1) / seconds[-1]).limit_denominator(1001)
    found.steady = False


def _find_entries(found: Survey, raw: _Raw) -> None:
    for (packet, closed), following in pairwise([*raw.marks, (found.end, True)]):
        if packet >= found.end:
            break
        leading = 0
        if not closed:
            after = found.shown[packet + 1 : min(following[0], found.end)]
            leading = int(np.argmin(np.append(after < found.shown[packet], False)))
        found.entries.append(Entry(packet, leading, closed))
    opening = found.entries[0]
    if opening.leading:
        found.flaws.append(f"{opening.leading} pictures at the beginning build on one that is missing and were left out.")
