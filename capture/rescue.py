"""From a recording's file and its journal to a Clip: a whole one, or what was left of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.video.stream import VideoStream

from capture import journal
from capture.coding import SUFFIXES
from capture.evidence import words_for_missing
from capture.footage import look
from capture.frame import Clip, Loss
from capture.journal import Record
from capture.source import BadPicture

_CUT_OFF = "the recording was cut off by a crash or a power cut; its last moment may be missing"
_BYTES = {"rgb24": 3, "gray": 1, "gray16le": 2}


def finished(path: Path, record: Record, frames: int) -> Clip:
    """The clip of a recording whose first `frames` frames are whole in the file.

    Missing frames become flaws in words, and the times of all frames are given; the loss that the video codec brought
    stands behind the earlier ones, its ratio counted from 24 bits a pixel.
    """
    missing = record.gaps(frames)
    flaws = (*words_for_missing(missing, record.format), *record.notes)
    losses = record.losses
    if record.codec != "raw" and frames:
        whole = record.format.width * record.format.height * 3 * frames
        losses = (*losses, Loss(record.codec, round(max(1.0, whole / max(1, path.stat().st_size)), 2)))
    return Clip(
        path=path,
        codec=record.codec,
        container=record.container,
        format=record.format,
        frames=frames,
        captured=record.captured,
        times=record.uneven_times(frames),
        profile=record.profile,
        level=record.level,
        losses=losses,
        derivation=_derivation(record),
        flaws=flaws,
    )


def salvage(path: Path) -> Clip | None:
    """What a crash left at `path`, as a clip; None where it is no recording or has no whole frame.

    The file is mended in place (by a copy beside it that replaces it whole) and its journal settled, so that salvaging
    again, or being killed meanwhile, takes nothing more away.
    """
    if path.suffix not in SUFFIXES or not path.is_file() or not path.stat().st_size:
        return None
    record = journal.read(path.with_suffix(journal.SUFFIX)) or _guess(path)
    if record is None:
        return None
    if record.ended:
        return finished(path, record, len(record.numbers))
    record.notes.append(_CUT_OFF)
    clip = clip_of(path, record)
    if clip:
        journal.settle(path.with_suffix(journal.SUFFIX), record, clip.frames)
    return clip


def clip_of(path: Path, record: Record) -> Clip | None:
    """The whole frames of a file that was not closed properly; what comes after them is cut away.

    None where there is none. `record` gains the frames that its journal had not noted yet.
    """
    if not path.is_file():
        return None
    if record.codec == "raw":
        size = record.format.width * record.format.height * _BYTES[record.format.pixels]
        frames = path.stat().st_size // size
        if frames:
            with path.open("r+b") as file:
                file.truncate(frames * size)
    else:
        frames = _cut_video(path, record.container, record.format.rate)
    if not frames:
        return None
    _fill(record, frames)
    return finished(path, record, frames)


def _cut_video(path: Path, container: str, rate: Fraction) -> int:
    """Copy the packets to a new file without the last one, which may be half; returns how many there are.

    Nothing is encoded again. Where there is no room for the copy, the file stays as it is and its frames are counted.
    """
    whole = path.with_name(path.name + ".part")
    frames = 0
    try:
        with (
            av.open(str(path)) as torn,
            av.open(str(whole), "w", format={"mpeg": "vob"}.get(container, container)) as mended,
        ):
            stream = torn.streams.video[0]
            target = mended.add_stream_from_template(stream)
            assert isinstance(target, VideoStream)
            held = None
            for packet in torn.demux(stream):
                if not packet.size:
                    continue
                if held is not None:
                    held.stream = target
                    held.pts = held.dts = frames  # our recordings show frames in the order in which they are stored
                    held.time_base = 1 / rate
                    mended.mux(held)
                    frames += 1
                held = packet
    except (av.error.FFmpegError, OSError, IndexError):
        whole.unlink(missing_ok=True)  # no room for a copy, or nothing to be read: the file stays as it is
        return _count(path)
    if not frames:
        whole.unlink(missing_ok=True)
        return 0
    whole.replace(path)
    return frames


def _count(path: Path) -> int:
    """How many frames of a file can be decoded."""
    frames = 0
    try:
        with av.open(str(path)) as container:
            for _ in container.decode(video=0):
                frames += 1
    except (av.error.FFmpegError, OSError, IndexError):
        return frames
    return frames


def _fill(record: Record, frames: int) -> None:
    """Let the journal, which may be some frames behind the file, have as many as the file: they follow at the rate."""
    tick = float(1 / record.format.rate)
    while len(record.numbers) < frames:
        record.numbers.append(record.numbers[-1] + 1 if record.numbers else 0)
        record.times.append(record.times[-1] + tick if record.times else record.captured.timestamp())


def _guess(path: Path) -> Record | None:
    """A recording without its journal: what the stream says of itself; raw frames then mean nothing."""
    if path.suffix == ".raw":
        return None
    try:
        facts = look(path)
    except BadPicture:
        return None
    codec = {"mpeg2video": "mpeg2", "h264": "h264", "hevc": "hevc"}.get(facts.codec)
    if codec is None:
        return None
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone()
    shape = replace(facts.format, pixels="yuv420p")
    record = Record(codec, facts.codec, facts.container, shape, changed, (), facts.profile, facts.level)
    record.notes.append("its journal was lost, so that the time of capture is the file's")
    return record


def _derivation(record: Record) -> str:
    """What was done to the picture on the way into the clip, in words; empty where nothing was."""
    source, made = record.source, record.format
    if record.codec == "raw" or source is None or (source.width, source.height) == (made.width, made.height):
        return ""
    right, down = made.width - source.width, made.height - source.height
    return f"{right} columns and {down} rows repeated at the edge to make the size even"
