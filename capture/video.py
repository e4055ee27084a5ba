"""Bringing in a video file: as it is where that is legal, encoded again where it is not, in files below a size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from capture.cut import Copied, copy, home_for, plan
from capture.footage import Facts, look
from capture.frame import Clip, Loss
from capture.survey import Survey, survey
from capture.target import choose, words
from capture.transcode import Encoded, transcode

_LOSSLESS = frozenset((
    "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png", "apng", "qtrle", "bmp", "targa", "magicyuv", "lagarith",
    "v210", "v410", "r210", "r10k", "zlib", "zmbv",
))  # fmt: skip
# FFmpeg's names of codecs for which there is a word of capture.frame.Loss
_LOSSY = {"h264": "h264", "hevc": "hevc", "mpeg2video": "mpeg2video", "mjpeg": "jpeg", "jpeg2000": "jpeg2000"}
# what Matroska carries for a reader of single frames; others are encoded without loss
_CARRIED = frozenset((
    "h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4", "mjpeg", "vp8", "vp9", "av1", "ffv1", "prores",
))  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What the caller can use.

    `refuses` says in words why a stream cannot go as it is, or nothing where it can. `becomes` is what it is encoded to
    then: `auto`, `h264`, `hevc`, `mpeg2`, `mpeg2-hd`, or `frames`: the caller takes single frames anyway, so that the
    stream is only freed of everything else and nothing is lost (the clip's codec may then be any of FFmpeg's, its
    container `matroska`).
    """

    refuses: Callable[[Facts], str]
    becomes: str = "auto"


def load_video(path: Path, scratch: Path, limit_bytes: int, wish: Wish) -> Iterator[Clip]:
    """The video in files below `limit_bytes` in `scratch`, one clip at a time; the caller deletes each when it is done.

    Container metadata, other tracks and sound are left out. A camera that was held turned makes the video one that
    cannot go as it is, and so does a stream whose parameters change or that offers no place to cut. BadPicture for what
    is no video or cannot be read at all; what is cut off or damaged is kept as far as it goes, and said in the flaws.
    """
    found = survey(look(path))
    facts = found.facts
    per_frame = wish.becomes == "frames"
    reason = wish.refuses(replace(facts, format=replace(facts.format, rate=found.rate)))
    if facts.rotation:
        reason = "its camera was held turned"
    if found.mixed:
        reason = "its size or its parameters change on the way"
    if not reason or (per_frame and facts.codec in _CARRIED and not facts.rotation and not found.mixed):
        pieces = plan(found, limit_bytes)
        if pieces:
            home = home_for(found, pieces, per_frame=bool(reason))
            for number, copied in enumerate(copy(found, pieces, home, scratch)):
                yield _copied_clip(found, copied, home, (number + 1, len(pieces)))
            return
        reason = "it offers no place where it could be cut"
    target = choose(found, wish.becomes)
    for number, encoded in enumerate(transcode(found, target, scratch, limit_bytes)):
        yield _encoded_clip(found, encoded, reason, number + 1)


def _left_behind(facts: Facts) -> list[str]:
    """What else is to be said of the original, in words."""
    said = []
    if facts.codec not in _LOSSLESS and facts.codec not in _LOSSY:
        said.append(f"The original was lossy already ({facts.codec}).")
    if facts.sound:
        said.append("Sound left out.")
    if facts.tracks > 1:
        said.append(f"The first of {facts.tracks} videos in the file.")
    return said


def _captured(facts: Facts, seconds: float) -> datetime:
    """When a frame so many seconds into the file was taken: by the container's word, else by the file's time."""
    begun = facts.recorded or datetime.fromtimestamp(facts.path.stat().st_mtime).astimezone()
    return begun.astimezone() + timedelta(seconds=seconds)


def _ratio(width: int, height: int, frames: int, size: int) -> float:
    """How many times smaller than three bytes per pixel."""
    return round(width * height * 3 * frames / max(size, 1), 2)


def _losses_before(found: Survey) -> tuple[Loss, ...]:
    """What the original had lost before we touched it."""
    facts = found.facts
    if facts.codec in _LOSSLESS:
        return ()
    word = _LOSSY.get(facts.codec, facts.codec)
    size = sum(found.sizes[found.first : found.end])
    return (Loss(word, _ratio(facts.format.width, facts.format.height, found.frames, size)),)


def _copied_clip(found: Survey, copied: Copied, home: str, part: tuple[int, int]) -> Clip:
    """The facts of a file that cut.copy wrote; `part` is its number and how many there are."""
    facts, shape = found.facts, found.facts.format
    said = []
    if part[1] > 1:
        said.append(f"Part {part[0]} of {part[1]} of one recording, cut without loss.")
    if copied.piece.again:
        said.append(f"The last {copied.piece.again} pictures were encoded again at the cut.")
    said += _left_behind(facts)
    word = None if facts.codec in _LOSSLESS else _LOSSY.get(facts.codec, facts.codec)
    return Clip(
        path=copied.path,
        codec=facts.codec,
        container=home,
        format=replace(shape, rate=found.rate),
        frames=copied.frames,
        captured=_captured(facts, found.seconds(copied.piece.begin)),
        times=() if found.timeline.steady else tuple(copied.seconds.tolist()),
        profile=facts.profile,
        level=facts.level,
        losses=(Loss(word, _ratio(shape.width, shape.height, copied.frames, copied.video_bytes)),) if word else (),
        derivation=" ".join(said),
        flaws=found.flaws,
    )


def _encoded_clip(found: Survey, encoded: Encoded, reason: str, number: int) -> Clip:
    """The facts of a file that transcode wrote, with the reason why it had to."""
    facts, target = found.facts, encoded.target
    said = [words(found, target), f"Reason: {reason}." if reason else ""]
    if number > 1:
        said.append(f"Part {number} of one recording.")
    said += _left_behind(facts)
    ours = _ratio(target.width, target.height, encoded.frames, encoded.video_bytes)
    start = float(int(found.shown[found.first : found.end].min()) * found.base)
    return Clip(
        path=encoded.path,
        codec=target.codec,
        container={"mpeg2video": "mpeg", "ffv1": "matroska"}.get(target.codec, "mp4"),
        format=replace(
            facts.format, width=target.width, height=target.height, rate=target.rate, aspect=target.aspect,
            pixels="yuv420p" if target.codec != "ffv1" else facts.format.pixels, field_order=target.field_order,
        ),
        frames=encoded.frames,
        captured=_captured(facts, max(encoded.begin - start, 0.0)),
        times=encoded.times,
        profile={"h264": "High", "ffv1": ""}.get(target.codec, "Main"),
        level={"hevc": 153}.get(target.codec, target.level),
        losses=_losses_before(found) + ((Loss(target.codec, ours),) if target.codec in _LOSSY else ()),
        derivation=" ".join(word for word in said if word),
        flaws=(*found.flaws, *encoded.flaws),
    )  # fmt: skip
