"""What a video file is: its stream's own words, shape, rate and field order. Reads the header and the first pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from capture import mpeg2
from capture.bitstream import is_high_tier
from capture.frame import Format
from capture.source import BadPicture

if TYPE_CHECKING:
    VideoPacket: TypeAlias = av.Packet[VideoStream]
else:
    VideoPacket = av.Packet

# FFmpeg finds "videos" in text and in single pictures too; these are the ones that are meant
_CONTAINERS = frozenset((
    "avi", "mpeg", "mpegts", "matroska", "webm", "mov", "mp4", "asf", "flv", "ogg", "mxf", "dv", "m4v", "h264", "hevc",
    "mpegvideo", "rm", "gxf", "nut",
))  # fmt: skip
_COVER = 0x400  # AV_DISPOSITION_ATTACHED_PIC
_FIELDS = {2: "tff", 5: "tff", 3: "bff", 4: "bff"}  # AVFieldOrder, by the field that is shown first
_MANY_ERRORS = 200
_PATIENCE = 1000  # packets within which the first picture must come


@dataclass(frozen=True)
class Facts:
    """One video stream.

    `container`, `codec`, `profile` and `level` are FFmpeg's words (`mpegts`, `h264`, `High`, 41). `frames` is what the
    header promises, 0 where it says nothing. `rotation` is in degrees counterclockwise, as cameras note it. `sound` is
    the codec of the sound track or empty, `tracks` how many videos the file holds. `recorded` is when the container says
    that it was made.
    """

    path: Path
    container: str
    codec: str
    profile: str
    level: int
    format: Format
    frames: int = 0
    seconds: float = 0.0
    rotation: int = 0
    high_tier: bool = False
    sound: str = ""
    tracks: int = 1
    recorded: datetime | None = None

    def __str__(self) -> str:
        """In words, for people."""
        shape = self.format
        scan = "" if shape.field_order == "progressive" else ", interlaced"
        name = " ".join(word for word in (self.codec, self.profile) if word)
        return f"{name} video, {shape.width} × {shape.height} at {float(shape.rate):.5g}/s{scan}"


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first moving picture; BadPicture in words for a file that is none or is cut off."""
    try:
        # an absolute name: in a relative one FFmpeg takes what stands before a colon for a protocol
        container = av.open(str(path.absolute()))
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise BadPicture(_why_closed(path, error)) from error
    with container:
        if not _CONTAINERS & set(container.format.name.split(",")):
            raise BadPicture(f"{path.name} is not a video.")
        streams = [stream for stream in container.streams.video if not int(stream.disposition) & _COVER]
        if not streams:
            raise BadPicture(f"{path.name} holds no moving picture.")
        stream = streams[0]
        stream.thread_type = "AUTO"
        yield container, stream


def packets(
    container: InputContainer, stream: VideoStream, on_error: Callable[[str], None] | None = None
) -> Iterator[VideoPacket]:
    """Every packet of the stream that holds anything, the same ones at each call.

    Damaged places are passed over, as often as that leads further; `on_error` hears FFmpeg's words.
    """
    for _ in range(_MANY_ERRORS):
        try:
            for packet in container.demux(stream):
                if packet.size:
                    yield packet
            return
        except av.error.FFmpegError as error:
            if on_error:
                on_error(str(error.strerror))


def _why_closed(path: Path, error: Exception) -> str:
    """Why a file cannot be opened; an MP4 without its index is the case that happens in life."""
    if isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError):
        return f"{path.name} cannot be read: {error.strerror}."
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"):
        return (
            f"{path.name} was cut off before its index was written (an MP4 or MOV keeps it at the end), so that none of its"
            " pictures can be found."
        )
    return f"{path.name} is not a video, or is damaged from its beginning."


def look(path: Path) -> Facts:
    """What this video file is, from its header and its first picture.

    MPEG-2's rate is taken from the stream itself: containers guess it. BadPicture where the file is no video, or where
    not even the first picture can be decoded.
    """
    with opened(path) as (container, stream):
        first = _first_picture(container, stream)
        if first is None:
            raise BadPicture(f"{path.name} holds a video, but its first pictures are damaged.")
        coder = stream.codec_context
        order = _FIELDS.get(int(coder.field_order), "tff" if first.interlaced_frame else "progressive")
        rate = mpeg2.rate_of(coder.extradata) if coder.name == "mpeg2video" else None
        rate = rate or stream.average_rate or stream.guessed_rate
        shape = Format(
            width=first.width,
            height=first.height,
            rate=Fraction(rate or 25),
            pixels=first.format.name,
            aspect=Fraction(stream.sample_aspect_ratio or 1),
            field_order=order if first.interlaced_frame else "progressive",
        )
        return Facts(
            path=path,
            container=container.format.name,
            codec=coder.codec.canonical_name,
            profile=str(coder.profile or ""),
            level=max(int(coder.level or 0), 0),
            format=shape,
            frames=stream.frames,
            seconds=float(container.duration or 0) / av.time_base,
            rotation=int(first.rotation) % 360,
            high_tier=coder.name == "hevc" and is_high_tier(coder.extradata),
            sound=container.streams.audio[0].codec_context.name if container.streams.audio else "",
            tracks=sum(1 for one in container.streams.video if not int(one.disposition) & _COVER),
            recorded=_recorded(container.metadata.get("creation_time", "")),
        )


def _first_picture(container: InputContainer, stream: VideoStream) -> av.VideoFrame | None:
    """The first frame that decodes; damaged packets before it are passed over."""
    coder = stream.codec_context
    for tried, packet in enumerate(container.demux(stream)):
        try:
            frames = coder.decode(packet if packet.size else None)
        except av.error.FFmpegError:
            frames = []
        if frames:
            return frames[0]
        if not packet.size or tried > _PATIENCE:
            break
    return None


def _recorded(words: str) -> datetime | None:
    """The container's creation time; a clock that was never set (1904, 1970) says nothing."""
    try:
        moment = datetime.fromisoformat(words.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment if datetime(2000, 1, 1, tzinfo=UTC) < moment <= datetime.now(UTC) else None
