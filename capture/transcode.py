"""Encoding a video again, frame by frame, into what capture.target chose, in files below a size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
from av.video.stream import VideoStream

from capture.coding import BT709, LIMITED, SMPTE170M
from capture.cut import free_name
from capture.footage import VideoPacket, opened, packets
from capture.picture import matrix_for, settle_colour
from capture.source import BadPicture
from capture.survey import Survey
from capture.target import ENCODERS, Target

_MUXERS = {"h264": ("mp4", ".mp4"), "hevc": ("mp4", ".mp4"), "mpeg2video": ("vob", ".mpg"), "ffv1": ("matroska", ".mkv")}


@dataclass(frozen=True)
class Encoded:
    """One file that was written; `times` are seconds from its first frame, `begin` where that lies in the source."""

    path: Path
    target: Target
    frames: int
    video_bytes: int
    times: tuple[float, ...]
    begin: float
    flaws: tuple[str, ...]


def transcode(found: Survey, target: Target, scratch: Path, limit: int) -> Iterator[Encoded]:
    """Write files below `limit` bytes into `scratch`, one at a time: the next is begun when the caller asks for it.

    No frame is missing or doubled between them; memory does not grow with the length. Times are the source's own, but
    where the target's rate differs (MPEG-2 knows few): there frames are repeated or left out. BadPicture where nothing
    could be decoded.
    """
    decoder = _Decoder(found, target)
    frames = decoder.frames()
    frame = next(frames, None)
    if frame is None:
        raise BadPicture(f"{found.facts.path.name}: none of its pictures could be decoded.")
    number = 0
    while frame is not None:
        number += 1
        muxer, suffix = _MUXERS[target.codec]
        path = free_name(scratch, found.facts.path, number, suffix)
        options = {"fflags": "+bitexact"}
        with av.open(str(path), "w", format=muxer, options=options) as out:
            writer = _Encoder(out, target, decoder.tagged(frame), steady=found.timeline.steady)
            while frame is not None and writer.expected_bytes < limit * 0.94:
                writer.put(frame)
                frame = next(frames, None)
            writer.put(None)
        yield Encoded(path, target, writer.count, writer.bytes, writer.times, writer.begin, decoder.flaws())


class _Decoder:
    """Decodes the surveyed packets and brings the frames into the target's shape.

    What is damaged is passed over and counted: better a film with a gap than none.
    """

    def __init__(self, found: Survey, target: Target) -> None:
        self._found, self._target = found, target
        self._errors = 0
        self._damaged = 0
        self._graph: av.filter.Graph | None = None
        self._shape: tuple[int, int, str] = (0, 0, "")
        self._colours = (2, 2, 2)

    def tagged(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame with the meaning of its colours written down, for an encoder to copy."""
        frame.colorspace, frame.color_primaries, frame.color_trc = self._colours
        frame.color_range = LIMITED
        return frame

    def flaws(self) -> tuple[str, ...]:
        """What went wrong so far, in words."""
        said = []
        if self._errors:
            said.append(f"{self._errors} pictures could not be decoded and are missing.")
        if self._damaged:
            said.append(f"{self._damaged} pictures are damaged.")
        return tuple(said)

    def frames(self) -> Iterator[av.VideoFrame]:
        """Every frame in the order of showing, its pts in units of the survey's base."""
        found = self._found
        skipped = range(found.first + 1, found.first + 1 + found.entries[0].leading)
        with opened(found.facts.path) as (container, stream):
            for number, packet in enumerate(packets(container, stream)):
                if number >= found.end:
                    break
                if number >= found.first and number not in skipped:
                    packet.pts = packet.dts = int(found.shown[number])
                    packet.time_base = found.base
                    yield from self._shaped(self._decode(stream, packet))
            yield from self._shaped(self._decode(stream, None))
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pull()

    def _decode(self, stream: VideoStream, packet: VideoPacket | None) -> list[av.VideoFrame]:
        """The frames that come with a packet; one that cannot be decoded is counted."""
        try:
            return stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            self._errors += 1
            return []

    def _shaped(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Frames in the target's shape; where the source changes its size, the filters are built anew."""
        for frame in frames:
            self._damaged += frame.is_corrupt
            shape = (frame.width, frame.height, frame.format.name)
            if self._graph is None or shape != self._shape:
                if self._graph is not None:
                    self._graph.push(None)
                    yield from self._pull()
                self._graph, self._shape = self._build(frame), shape
            frame.time_base = self._found.base
            self._graph.push(frame)
            yield from self._pull()

    def _pull(self) -> Iterator[av.VideoFrame]:
        """What the filters have ready."""
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(frame, av.VideoFrame):
                yield frame

    def _build(self, frame: av.VideoFrame) -> av.filter.Graph:
        """The filters for frames like this one; remembers what its colours mean, which filters forget."""
        graph = av.filter.Graph()
        matrix = BT709 if matrix_for(*self._target.inner) == BT709 else SMPTE170M
        is_rgb = frame.format.is_rgb or frame.format.has_palette
        if not is_rgb:
            matrix = int(settle_colour(frame).colorspace)
        self._colours = (matrix, int(frame.color_primaries), int(frame.color_trc))
        node = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=self._found.base, name="in"
        )
        for name, words in _steps(self._found, self._target, matrix if is_rgb else 0):
            following = graph.add(name, words) if words else graph.add(name)
            node.link_to(following)
            node = following
        node.link_to(graph.add("buffersink"))
        graph.configure()
        return graph


def _steps(found: Survey, target: Target, matrix: int) -> list[tuple[str, str]]:
    """The filters from the source's frames to the target's, by name and arguments; `matrix` is for RGB frames."""
    facts = found.facts
    steps = []
    if facts.format.field_order != "progressive" and target.field_order == "progressive":
        steps.append(("bwdif", f"mode=send_frame:parity={facts.format.field_order}"))
    turn = {90: [("transpose", "cclock")], 270: [("transpose", "clock")], 180: [("hflip", ""), ("vflip", "")]}
    steps += turn.get(facts.rotation, [])
    if target.rate != found.rate:
        steps.append(("fps", f"fps={target.rate}:round=near"))
    if target.codec == "ffv1":
        known = av.Codec("ffv1", "w").video_formats or []
        return [*steps, ("format", "|".join(one.name for one in known))]
    interlaced = int(target.field_order != "progressive")
    to = f":out_color_matrix={'bt709' if matrix == BT709 else 'smpte170m'}" if matrix else ""
    steps.append(("scale", f"{target.inner[0]}:{target.inner[1]}:flags=bicubic:interl={interlaced}:out_range=tv{to}"))
    steps.append(("format", "yuv420p"))
    if (target.width, target.height) != target.inner:
        steps.append(("pad", f"{target.width}:{target.height}:(ow-iw)/2:(oh-ih)/2"))
    if interlaced:
        steps.append(("setfield", target.field_order))
    return steps


class _Encoder:
    """Encodes frames into one open file; knows how large it is becoming, before the encoder has given everything out."""

    def __init__(self, out: av.container.OutputContainer, target: Target, first: av.VideoFrame, steady: bool) -> None:
        self._out, self._target, self._steady = out, target, steady
        stream = out.add_stream(ENCODERS[target.codec], rate=target.rate, options=_options(target))
        assert isinstance(stream, VideoStream)
        self._stream = stream
        coder = self._stream.codec_context
        coder.width, coder.height, coder.pix_fmt = first.width, first.height, first.format.name
        coder.sample_aspect_ratio = target.aspect
        coder.gop_size = max(round(target.rate / 2), 1)
        if target.codec != "ffv1":
            coder.max_b_frames = 2
            coder.color_primaries, coder.color_trc = first.color_primaries, first.color_trc
            coder.colorspace, coder.color_range = first.colorspace, first.color_range
        self._base = 1 / target.rate if steady or target.codec == "mpeg2video" else Fraction(1, 90000)
        coder.time_base = self._base
        self._fed = 0
        self._begin = Fraction(0)
        self._last = -1
        self.count = self.bytes = 0
        self.times: tuple[float, ...] = ()
        self._moments: list[float] = []

    @property
    def begin(self) -> float:
        """When the first frame is shown in the source's own time."""
        return float(self._begin)

    @property
    def expected_bytes(self) -> int:
        """How large the file would be if it ended here; what the encoder still holds is estimated."""
        mean = self.bytes / self.count if self.count else self._target.width * self._target.height / 4
        return int(self.bytes * 1.03 + (self._fed - self.count + 1) * mean * 1.5 + 200 * self._fed + 16384)

    def put(self, frame: av.VideoFrame | None) -> None:
        """Encode one frame; None ends the file."""
        if frame is not None:
            moment = Fraction(frame.pts or 0) * Fraction(frame.time_base or self._base)
            if not self._fed:
                self._begin = moment
            frame.pict_type = 0
            even = self._base == 1 / self._target.rate
            frame.pts = self._fed if even else max(round((moment - self._begin) / self._base), self._last + 1)
            frame.time_base, self._last = self._base, frame.pts
            if not even:
                self._moments.append(float(frame.pts * self._base))
            self._fed += 1
        for packet in self._stream.encode(frame):
            self.count += 1
            self.bytes += packet.size
            self._out.mux(packet)
        if frame is None and not self._steady and self._moments:
            self.times = tuple(self._moments)


def _options(target: Target) -> dict[str, str]:
    """The encoder's settings: near transparency, within the level, entries every half second."""
    interlaced = target.field_order != "progressive"
    if target.codec == "h264":
        scan = f":{target.field_order}=1" if interlaced else ""
        return {
            "preset": "veryfast", "crf": "18", "profile": "high", "level": f"{target.level / 10}",
            "maxrate": "50000k", "bufsize": "62500k", "x264-params": "8x8dct=1:cabac=1:open-gop=0" + scan,
        }  # fmt: skip
    if target.codec == "hevc":
        return {
            "preset": "veryfast", "crf": "18", "profile": "main",
            "x265-params": "log-level=none:level-idc=51:high-tier=0:open-gop=0:vbv-maxrate=40000:vbv-bufsize=40000",
        }  # fmt: skip
    if target.codec == "ffv1":
        return {"level": "3", "slices": "4", "slicecrc": "1"}
    rate = {4: ("40000k", "60000k", "9781248"), 8: ("9000k", "15000k", "1835008")}[target.level]
    return {
        "b": rate[0], "maxrate": rate[1], "bufsize": rate[2], "profile": "4", "level": str(target.level),
        "flags": "+cgop" + ("+ildct+ilme" if interlaced else ""), "sc_threshold": "1000000000",
    }  # fmt: skip
