"""Copying a video stream, packets unchanged, into files below a size: cut at closed groups of pictures or IDR pictures.

Where there is none in time, at an open one: its leading pictures are encoded again and end the piece before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from capture import mpeg2
from capture.bitstream import length_prefixed, with_parameters
from capture.footage import VideoPacket, opened, packets
from capture.seam import ENCODERS, encode_again, renewed
from capture.source import CaptureError
from capture.survey import Entry, Survey

if TYPE_CHECKING:
    Row: TypeAlias = Iterator[tuple[int, VideoPacket]]
    Carried: TypeAlias = list[tuple[int, VideoPacket]]

_MUXERS = {"mpeg": "vob", "mpegts": "mpegts", "mp4": "mp4", "matroska": "matroska"}
_SUFFIXES = {"mpeg": ".mpg", "mpegts": ".ts", "mp4": ".mp4", "matroska": ".mkv"}
_SMALL = 256 << 20  # files up to this size get their MP4 index at the front


@dataclass(frozen=True)
class Piece:
    """Packets from `begin` to `end`, without the `dropped` leading pictures after the first.

    `again` leading pictures of the entry at `end` are encoded again and shown at the end of this piece.
    """

    begin: int
    end: int
    dropped: int = 0
    again: int = 0


@dataclass(frozen=True)
class Copied:
    """One file that was written: its video bytes, and when each frame is shown, in seconds from its first."""

    path: Path
    piece: Piece
    frames: int
    video_bytes: int
    seconds: NDArray[np.float64]


def home_for(found: Survey, pieces: Sequence[Piece], per_frame: bool = False) -> str:
    """The container that takes this stream unchanged: `mpeg` (program stream), `mp4` or `mpegts`.

    H.264 and HEVC keep the way in which their NAL units are written: with lengths in MP4, with start codes in a transport
    stream. `matroska` is for what only we read, frame by frame (`per_frame`).
    """
    codec = found.facts.codec
    if codec == "mpeg2video":
        return "mpeg"
    if codec not in ("h264", "hevc"):
        return "matroska"
    # an MP4 has one set of parameters for all its pictures and wants an IDR picture first
    entries = {entry.packet: entry for entry in found.entries}
    plain = all(entries[piece.begin].closed and not piece.again for piece in pieces)
    return "mp4" if found.length_prefixed and plain else "matroska" if per_frame else "mpegts"


def plan(found: Survey, limit: int) -> list[Piece]:
    """The fewest pieces whose files stay below `limit` bytes, of about the same size.

    Empty where the stream offers no place to cut in time: then it must be encoded again.
    """
    cost = _cost(found)
    fewest = _greedy(found, cost, limit)
    for slack in (1.02, 1.1, 1.3) if len(fewest) > 1 else ():
        even = _greedy(found, cost, min(limit, int((cost[found.end] - cost[found.first]) / len(fewest) * slack)))
        if len(even) == len(fewest) and _seams(even) <= _seams(fewest):
            return even
    return fewest


def _seams(pieces: Sequence[Piece]) -> int:
    """How many pictures these cuts would have encoded again."""
    return sum(piece.again for piece in pieces)


def _greedy(found: Survey, cost: NDArray[np.int64], limit: int) -> list[Piece]:
    """Pieces as long as the limit lets them be; a closed entry is taken even if an open one would reach further."""
    pieces: list[Piece] = []
    here = found.entries[0]
    while cost[found.end] - cost[here.packet] > limit:
        reach = [entry for entry in found.entries if entry.packet > here.packet and _fits(found, cost, here, entry, limit)]
        best = [entry for entry in reach if entry.closed] or [entry for entry in reach if found.facts.codec in ENCODERS]
        if not best:
            return []
        pieces.append(Piece(here.packet, best[-1].packet, here.leading, best[-1].leading))
        here = best[-1]
    pieces.append(Piece(here.packet, found.end, here.leading))
    return pieces


def _fits(found: Survey, cost: NDArray[np.int64], here: Entry, entry: Entry, limit: int) -> bool:
    """Whether the piece from `here` to `entry` stays below the limit, with what is encoded again at its end."""
    uncoded = found.facts.format.width * found.facts.format.height * 3 // 2
    again = entry.leading * min(uncoded // 2, 8 * found.sizes[entry.packet])
    return bool(cost[entry.packet] - cost[here.packet] + again <= limit)


def _cost(found: Survey) -> NDArray[np.int64]:
    """Bytes in the file up to each packet, (packets + 1) of them.

    Never too few: what the container adds is estimated generously, for a file above the limit would have to be refused.
    """
    sizes = np.frombuffer(found.sizes, np.dtype(f"u{found.sizes.itemsize}")).astype(np.int64)
    if found.facts.codec in ("h264", "hevc"):
        # transport packets of 188 bytes carry 184; tables come ten times a second
        each = (sizes + 64 + 183) // 184 * 188 + 2 * 188 + int(8000 / max(float(found.rate), 1)) + 64
    else:
        each = sizes + sizes // 40 + 96
    return np.concatenate(([16384], each)).cumsum()


def copy(found: Survey, pieces: Sequence[Piece], home: str, scratch: Path) -> Iterator[Copied]:
    """Write one file per piece into `scratch`, one at a time: the next is begun when the caller asks for it.

    `home` is home_for's word for the container. Every packet keeps its bytes, but the one at an open entry: MPEG-2's
    says there that its group is closed and counts its pictures anew. Times begin at zero in each file. CaptureError
    where a file cannot be written, or where the source is damaged just where it must be cut.
    """
    facts = found.facts
    with opened(facts.path) as (container, stream):
        row = enumerate(packets(container, stream))
        carried: Carried = []
        for number, piece in enumerate(pieces):
            path = free_name(scratch, facts.path, number + 1, _SUFFIXES[home])
            try:
                copied, carried = _Writer(found, piece, stream, path, home).run(row, carried)
            except av.error.FFmpegError as error:
                raise CaptureError(f"{facts.path.name} could not be copied: {error.strerror}.") from error
            yield copied


def free_name(scratch: Path, source: Path, number: int, suffix: str) -> Path:
    """A name in `scratch` for part `number` of a file, that no other file has."""
    stem, turn = source.stem[:40], 0
    while (path := scratch.absolute() / f"{stem}{f'~{turn}' if turn else ''}-{number:03d}{suffix}").exists():
        turn += 1
    return path


class _Writer:
    """Writes one piece: its packets with new times, and at an open cut the leading pictures of what follows."""

    def __init__(self, found: Survey, piece: Piece, stream: VideoStream, path: Path, home: str) -> None:
        self._found, self._piece, self._source, self._path = found, piece, stream, path
        self._home = home
        kept = np.r_[piece.begin, piece.begin + 1 + piece.dropped : piece.end]
        self._leading = np.sort(found.shown[piece.end + 1 : piece.end + 1 + piece.again])
        times = np.concatenate((found.shown[kept], self._leading))
        order = np.sort(times)
        # decoding times are the times of showing, in order, early enough for every picture
        self._decoded = order - max(int((order - times).max()), 0)
        self._start = int(order[0])
        self._count, self._bytes = 0, 0
        frames = np.sort(np.concatenate((found.shown[kept][~found.halves[kept]], self._leading)))
        self._frame_times = np.asarray((frames - self._start) * float(found.base), np.float64)
        earlier = [entry.packet for entry in found.entries if piece.begin <= entry.packet < piece.end]
        self._warm = earlier[-2:][0] if piece.again and earlier else piece.end

    def run(self, row: Row, carried: Carried) -> tuple[Copied, Carried]:
        """Write the piece; gives back what was written, and the packets that were read but belong to the next one."""
        piece, found = self._piece, self._found
        small = sum(found.sizes[piece.begin : piece.end]) < _SMALL
        options = {"fflags": "+bitexact"} | ({"movflags": "+faststart"} if self._home == "mp4" and small else {})
        frames: list[av.VideoFrame] = []
        following: Carried = []
        with av.open(str(self._path), "w", format=_MUXERS[self._home], options=options) as out:
            target = self._open(out)
            last = piece.end + piece.again if piece.again else piece.end - 1
            for number, packet in _chain(carried, row, last):
                if number >= self._warm:
                    packet.pts, packet.time_base = int(found.shown[number]), found.base
                    frames += self._leading_frames(packet)
                if number == piece.end:
                    following.append((number, packet))
                elif number < piece.end and (number == piece.begin or number > piece.begin + piece.dropped):
                    self._put(out, target, self._begun(number, packet), int(found.shown[number]))
            if piece.again:
                frames += self._leading_frames(None)
                self._source.codec_context.flush_buffers()
                self._append(out, target, frames)
        return Copied(self._path, piece, len(self._frame_times), self._bytes, self._frame_times), following

    def _open(self, out: OutputContainer) -> VideoStream:
        """The one stream of the file: the source's parameters without its words."""
        target = out.add_stream_from_template(self._source)
        target.metadata.clear()
        target.time_base = self._found.base
        return target

    def _put(self, out: OutputContainer, target: VideoStream, packet: VideoPacket, shown: int) -> None:
        """Write a packet that is shown at `shown`; packets are decoded evenly, early enough for every picture."""
        self._bytes += packet.size
        packet.stream = target
        packet.time_base = self._found.base
        packet.pts = shown - self._start
        packet.dts = int(self._decoded[self._count]) - self._start
        packet.duration = max(round(1 / self._found.rate / self._found.base), 1) if self._found.timeline.steady else 0
        self._count += 1
        out.mux(packet)

    def _begun(self, number: int, packet: VideoPacket) -> VideoPacket:
        """The packet, made able to stand first where it begins the piece.

        What follows it in the same MPEG-2 group counts its pictures without the ones that were dropped.
        """
        piece = self._piece
        if number == piece.begin:
            codec, header = self._found.facts.codec, self._source.codec_context.extradata or b""
            if codec == "mpeg2video":
                packet = renewed(packet, mpeg2.start_again(bytes(packet), header, piece.dropped))
            elif codec == "h264" and self._found.length_prefixed and self._home == "mpegts":
                packet = renewed(packet, with_parameters(bytes(packet), header))
            packet.is_keyframe = True
            self._lowers = piece.dropped > 0 and codec == "mpeg2video"
        elif self._lowers:
            data = bytes(packet)
            self._lowers = not mpeg2.has_group(data)
            packet = renewed(packet, mpeg2.count_from(data, piece.dropped)) if self._lowers else packet
        return packet

    def _leading_frames(self, packet: VideoPacket | None) -> list[av.VideoFrame]:
        """The leading pictures of the next entry that come out of the decoder with this packet."""
        wanted = set(self._leading.tolist())
        try:
            return [frame for frame in self._source.codec_context.decode(packet) if frame.pts in wanted]
        except av.error.FFmpegError:
            return []

    def _append(self, out: OutputContainer, target: VideoStream, frames: list[av.VideoFrame]) -> None:
        """The leading pictures, encoded again, at the end."""
        frames.sort(key=lambda frame: frame.pts or 0)
        if [frame.pts for frame in frames] != self._leading.tolist():
            raise CaptureError(f"{self._found.facts.path.name} is damaged where it must be cut.")
        facts = self._found.facts
        for packet, shown in zip(encode_again(frames, facts, self._found.rate), self._leading.tolist(), strict=True):
            if self._found.length_prefixed:
                header = self._source.codec_context.extradata or b""
                packet = renewed(packet, length_prefixed(bytes(packet), facts.codec, header))
            self._put(out, target, packet, shown)


def _chain(carried: Carried, row: Row, last: int) -> Row:
    """The packets that were read before, then the row up to and with number `last`."""
    yield from carried
    if carried and carried[-1][0] >= last:
        return
    for number, packet in row:
        yield number, packet
        if number >= last:
            return
