"""One pass over a video file before anything is copied: every packet's size and time, and where it may be cut."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from capture.bitstream import Reader, is_length_prefixed, reader_for
from capture.damage import last_is_damaged, missing_bytes
from capture.footage import Facts, VideoPacket, opened, packets
from capture.source import BadPicture
from capture.timing import UNKNOWN, Stamps, Timeline, find_times

_TAIL_BYTES = 24 << 20


@dataclass(frozen=True)
class Entry:
    """A packet at which a stream can be entered; `leading` pictures after it need what came before (0: none does).

    `closed` says that it begins a closed group of pictures or is an IDR picture.
    """

    packet: int
    leading: int
    closed: bool = True


@dataclass(frozen=True)
class Survey:
    """What the pass found: a few bytes for each packet, whatever the file's size.

    Packets from `first` to `end` are usable; `halves` marks packets that are only the second field of a frame.
    `length_prefixed` says how NAL units are written, `mixed` that the stream's parameters change on the way.
    """

    facts: Facts
    timeline: Timeline
    first: int
    end: int
    entries: tuple[Entry, ...]
    sizes: array[int]
    halves: NDArray[np.bool_]
    length_prefixed: bool
    mixed: bool
    flaws: tuple[str, ...]

    @property
    def rate(self) -> Fraction:
        """Frames per second."""
        return self.timeline.rate

    @property
    def base(self) -> Fraction:
        """The unit of `shown`, in seconds."""
        return self.timeline.base

    @property
    def shown(self) -> NDArray[np.int64]:
        """When each packet is shown."""
        return self.timeline.shown

    @property
    def frames(self) -> int:
        """How many whole frames can be shown."""
        return self.end - self.first - int(np.count_nonzero(self.halves[self.first : self.end]))

    def seconds(self, packet: int) -> float:
        """When a packet is shown, from the first picture on."""
        return float((int(self.shown[packet]) - int(self.shown[self.first : self.end].min())) * self.base)


@dataclass
class _Notes:
    """What the pass writes down while it reads; `tail` is the last group of pictures."""

    stamps: Stamps = field(default_factory=Stamps)
    sizes: array[int] = field(default_factory=lambda: array("L"))
    marks: list[tuple[int, bool]] = field(default_factory=list)
    corrupt: int = 0
    mixed: bool = False
    errors: list[str] = field(default_factory=list)
    tail: deque[bytes] = field(default_factory=deque)


def survey(facts: Facts) -> Survey:
    """Read the whole file once; nothing but its last group of pictures is decoded.

    A last picture that is cut off is left out. BadPicture where there is no picture at which a decoder could begin.
    """
    notes = _Notes()
    with opened(facts.path) as (container, stream):
        coder = stream.codec_context
        extradata = coder.extradata
        reader = reader_for(facts.codec, extradata)
        for packet in packets(container, stream, notes.errors.append):
            _note(notes, packet, reader, facts.codec)
        reorders = bool(coder.has_b_frames) or facts.codec in ("h264", "hevc")
        stamps = notes.stamps
        stamps.base = Fraction(stream.time_base or stamps.base)
    if not notes.marks:
        raise BadPicture(f"{facts.path.name} holds no picture at which a decoder could begin.")
    stamps.first, stamps.end = notes.marks[0][0], len(notes.sizes)
    flaws = _find_damage(facts, notes, extradata)
    timeline = find_times(facts, stamps, reorders)
    entries = _find_entries(notes, timeline)
    if entries[0].leading:
        flaws.append(f"{entries[0].leading} pictures at the beginning build on one that is missing and were left out.")
    return Survey(
        facts, timeline, stamps.first, stamps.end, tuple(entries), notes.sizes,
        np.frombuffer(bytes(stamps.halves), np.bool_), is_length_prefixed(facts.codec, extradata), notes.mixed,
        (*flaws, *timeline.flaws),
    )  # fmt: skip


def _note(notes: _Notes, packet: VideoPacket, reader: Reader, codec: str) -> None:
    """Write down one packet; the last group of pictures is kept for a look at the file's end."""
    data = bytes(packet)
    look = reader.look(data)
    entry = look.entry
    if codec not in ("h264", "hevc", "mpeg2video") and packet.is_keyframe:
        entry = "closed"
    if entry:
        notes.marks.append((len(notes.sizes), entry == "closed"))
        notes.tail.clear()
    if sum(map(len, notes.tail)) < _TAIL_BYTES:
        notes.tail.append(data)
    notes.sizes.append(len(data))
    notes.stamps.pts.append(UNKNOWN if packet.pts is None else packet.pts)
    notes.stamps.dts.append(UNKNOWN if packet.dts is None else packet.dts)
    notes.stamps.halves.append(look.second_field)
    notes.stamps.kinds.append(ord(look.kind or "?"))
    notes.corrupt += packet.is_corrupt
    notes.mixed = notes.mixed or reader.changed or (len(notes.sizes) > 1 and packet.has_sidedata("new_extradata"))


def _find_damage(facts: Facts, notes: _Notes, extradata: bytes | None) -> list[str]:
    """Leave out a last picture that is cut off, and say what is missing."""
    said, stamps = [], notes.stamps
    # a group of pictures too long to be kept whole says nothing about its last one
    is_whole = sum(map(len, notes.tail)) < _TAIL_BYTES
    cut = is_whole and last_is_damaged(list(notes.tail), facts.codec, extradata)
    if cut and stamps.end - stamps.first > 1:
        stamps.end -= 1
    read = stamps.end - sum(stamps.halves[: stamps.end])
    if facts.frames > read:
        said.append(f"The file is cut off: {read} of {facts.frames} frames could be read.")
    elif cut or missing_bytes(facts.path):
        said.append(f"The file is cut off: it ends inside a picture; the {read} frames before it are kept.")
    if notes.errors or notes.corrupt > cut:
        said.append("The file is damaged in places; some pictures may be missing or show errors.")
    if stamps.first:
        said.append(f"The first {stamps.first} pictures could not be decoded: what they build on is missing.")
    return said


def _find_entries(notes: _Notes, timeline: Timeline) -> list[Entry]:
    """Where the stream can be entered, and how many leading pictures follow each open entry."""
    entries, end, shown = [], notes.stamps.end, timeline.shown
    for (packet, closed), following in pairwise([*notes.marks, (end, True)]):
        if packet >= end:
            break
        leading = 0
        if not closed:
            after = shown[packet + 1 : min(following[0], end)]
            leading = int(np.argmin(np.append(after < shown[packet], False)))
        entries.append(Entry(packet, leading, closed))
    return entries
