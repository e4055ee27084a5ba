"""When each packet of a video is shown: by the container, by the stream's own order, or by what a decoder makes of it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from capture.footage import Facts, VideoPacket, opened, packets

UNKNOWN = -(1 << 63)
_NTSC = Fraction(30000, 1001)
_COMMON = (Fraction(25), Fraction(30), _NTSC, Fraction(24), _NTSC * 4 / 5, Fraction(50), Fraction(60), _NTSC * 2)
_NO_TIMES = frozenset(("avi", "h264", "hevc", "m4v"))  # containers that do not say when a picture is shown


@dataclass
class Stamps:
    """What the packets of a stream say, in their order; arrays, for there may be a million of them.

    `pts` and `dts` are the container's, in units of `base` seconds, UNKNOWN where it gives none; `kinds` are MPEG-2's
    picture types; `halves` marks packets that are only the second field of a frame. Those from `first` to `end` are usable.
    """

    pts: array[int] = field(default_factory=lambda: array("q"))
    dts: array[int] = field(default_factory=lambda: array("q"))
    kinds: bytearray = field(default_factory=bytearray)
    halves: bytearray = field(default_factory=bytearray)
    base: Fraction = Fraction(1, 90000)
    first: int = 0
    end: int = 0


@dataclass(frozen=True)
class Timeline:
    """When each packet is shown, in units of `base` seconds, no two at once.

    `rate` is in frames per second; `steady` says that the frames come evenly and none is missing between them.
    """

    base: Fraction
    shown: NDArray[np.int64]
    rate: Fraction
    steady: bool
    flaws: tuple[str, ...] = ()


def find_times(facts: Facts, stamps: Stamps, reorders: bool) -> Timeline:
    """The timeline of a stream; `reorders` says that pictures may be shown in another order than they are stored.

    MPEG-2 says its own rate and order, AVI and bare streams know only the order of the packets: their frames come evenly.
    """
    rate = facts.format.rate
    flaws: list[str] = []
    shown = None
    if facts.codec != "mpeg2video" and not (reorders and set(facts.container.split(",")) & _NO_TIMES):
        shown, flaws = _times_given(stamps, rate)
    if shown is not None:
        return _with_rate(facts, stamps, Timeline(stamps.base, shown, rate, True, tuple(flaws)))
    if facts.codec == "mpeg2video":
        places: Sequence[int] = _order_by_kind(stamps.kinds)
    else:
        places = _order_by_decoding(facts, len(stamps.pts)) if reorders else range(len(stamps.pts))
    return Timeline(1 / rate, np.asarray(places, np.int64), rate, True)


def _times_given(stamps: Stamps, rate: Fraction) -> tuple[NDArray[np.int64] | None, list[str]]:
    """The container's own times, made continuous where a recorder began to count anew, and what is to be said of that.

    None where they are of no use: some are missing, or two pictures are shown at once.
    """
    flaws: list[str] = []
    times, order = np.array(stamps.pts, np.int64), np.array(stamps.dts, np.int64)
    if (times == UNKNOWN).any():
        return None, []
    step = max(round(1 / rate / stamps.base), 1)
    if not (order == UNKNOWN).any():
        for place in np.nonzero(np.diff(order) < 0)[0]:
            jump = order[place] + step - order[place + 1]
            order[place + 1 :] += jump
            times[place + 1 :] += jump
            flaws.append(f"The file's clock jumps back before picture {place + 2}; the pictures go on without a gap.")
    return (times, flaws) if len(np.unique(times)) == len(times) else (None, [])


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


def _order_by_decoding(facts: Facts, count: int) -> list[int]:
    """Places in which pictures are shown, from a decoder that gets each packet with its number as its time."""
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
    places = [0] * count
    for place, number in enumerate(row):
        places[number] = place
    return places


def _numbers(coder: VideoCodecContext, packet: VideoPacket | None) -> list[int]:
    """The numbers of the packets whose frames come out now."""
    try:
        return [frame.pts for frame in coder.decode(packet) if frame.pts is not None]
    except av.error.FFmpegError:
        return []


def _with_rate(facts: Facts, stamps: Stamps, given: Timeline) -> Timeline:
    """The timeline with its rate: the first likely one on whose grid every frame lies within a quarter of a frame.

    Tried are the header's, the mean, and the usual ones; where none fits, the mean of a stream that is not steady.
    """
    used = slice(stamps.first, stamps.end)
    whole = ~np.frombuffer(bytes(stamps.halves), np.bool_)[used]
    times = np.sort(given.shown[used][whole])
    if len(times) < 2:
        return given
    seconds = (times - times[0]) * float(given.base)
    mean = (len(times) - 1) / seconds[-1]
    for rate in (facts.format.rate, mean, *_COMMON):
        places = np.rint(seconds * float(rate))
        steps = np.diff(places)
        if np.abs(seconds * float(rate) - places).max() <= 0.25 and np.median(steps) == 1:
            even = bool((steps == 1).all())
            return replace(given, rate=Fraction(rate).limit_denominator(100_000), steady=even)
    return replace(given, rate=Fraction(mean).limit_denominator(1001), steady=False)
