"""What a video becomes that cannot go as it is: codec, size, rate, shape of pixels, within PS3.5 8.2.5 to 8.2.10."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import av.codec.codec

from capture.source import EncoderMissing
from capture.survey import Survey

_FAST = (Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(50), Fraction(60), Fraction(60000, 1001))
_NAMES = {"h264": "H.264 High", "hevc": "HEVC Main", "mpeg2video": "MPEG-2 Main", "ffv1": "FFV1 (lossless)"}
ENCODERS = {"h264": "libx264", "hevc": "libx265", "mpeg2video": "mpeg2video", "ffv1": "ffv1"}


@dataclass(frozen=True)
class Target:
    """What a video becomes: the picture scaled to `inner`, then padded in black to `width` × `height`.

    `rate` differs from the source's only where the target knows no such rate; `level` is the encoder's word.
    """

    codec: str
    inner: tuple[int, int]
    width: int
    height: int
    rate: Fraction
    aspect: Fraction
    level: int
    field_order: str


def has_encoder(codec: str) -> bool:
    """Whether this machine can write `h264`, `hevc`, `mpeg2video` or `ffv1`."""
    try:
        av.Codec(ENCODERS[codec], "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def choose(found: Survey, wish: str) -> Target:
    """What the video becomes: `wish` is `auto`, `h264`, `hevc`, `mpeg2`, `mpeg2-hd` or `frames` (lossless).

    `auto` takes MPEG-2 for small pictures whose pixels are not square, H.264 up to level 4.2, HEVC above. What is too
    large for the wish is scaled down, what is too fast loses frames. EncoderMissing where this machine has no encoder
    for it. The limits are those of PS3.5 8.2.5 to 8.2.10.
    """
    shape = found.facts.format
    width, height, aspect = shape.width, shape.height, shape.aspect
    turned = found.facts.rotation in (90, 270)
    if turned:
        width, height, aspect = height, width, 1 / aspect
    scan = "progressive" if found.facts.rotation else shape.field_order
    if wish == "frames":
        return Target("ffv1", (width, height), width, height, found.rate, aspect, 0, scan)
    if wish == "auto":
        wish = _nearest(width, height, aspect, found.rate)
    codec = "mpeg2video" if wish.startswith("mpeg2") else wish
    if not has_encoder(codec):
        raise EncoderMissing(f"There is no encoder for {_NAMES[codec]} on this machine.")
    if codec == "mpeg2video":
        return _mpeg2_target((width, height), aspect, found.rate, scan, high=wish == "mpeg2-hd")
    return _square_target(codec, (width, height), aspect, found.rate, scan)


def _nearest(width: int, height: int, aspect: Fraction, rate: Fraction) -> str:
    """The syntax that changes least of the picture, among those that this machine can write."""
    if aspect != 1 and width <= 720 and height <= (576 if rate == 25 else 480) and rate in _FAST[:3]:
        return "mpeg2"  # the only one that knows pixels that are not square
    if _h264_level(width, height, rate) and has_encoder("h264"):
        return "h264"
    if has_encoder("hevc"):
        return "hevc"
    return "h264" if has_encoder("h264") else "mpeg2-hd" if width * height > 720 * 576 else "mpeg2"


def _h264_level(width: int, height: int, rate: Fraction) -> int:
    """41 or 42 (H.264 Table A-1), or 0 where neither is enough."""
    blocks = -(-width // 16) * -(-height // 16)
    if max(width, height) > 16 * (8 * 8192) ** 0.5:
        return 0
    return 41 if blocks <= 8192 and blocks * rate <= 245_760 else 42 if blocks <= 8704 and blocks * rate <= 522_240 else 0


def _even(number: float, step: int = 2) -> int:
    """The nearest multiple of `step` above zero."""
    return max(round(number / step), 1) * step


def _up(number: int, step: int) -> int:
    """The next multiple of `step` that is not smaller."""
    return -(-number // step) * step


def _square_target(codec: str, size: tuple[int, int], aspect: Fraction, rate: Fraction, scan: str) -> Target:
    """H.264 or HEVC: square pixels, even sizes, within the level.

    Interlaced pictures are never scaled in height, and of the two only H.264 keeps them interlaced.
    """
    width, height = size
    if codec == "hevc":
        scan = "progressive"
    if aspect > 1 or scan != "progressive":
        width = _even(float(width * aspect)) if aspect != 1 else width
    elif aspect < 1:
        height = _even(float(height / aspect))
    most = (8192, 4320) if codec == "hevc" else (1920, 1088)
    if codec == "h264" and height > width:
        most = most[::-1]
    shrink = min(1.0, most[0] / width, most[1] / height)
    if (codec == "h264" and not _h264_level(width, height, Fraction(1))) or (codec == "hevc" and shrink < 1):
        width, height = _even(width * shrink), _even(height * shrink)
    step = 4 if scan != "progressive" else 2
    outer = (_up(width, 2), _up(height, step))
    if codec == "hevc":
        return Target(codec, (width, height), *outer, rate, Fraction(1), 51, scan)
    while not _h264_level(*outer, rate):
        rate /= 2
    return Target(codec, (width, height), *outer, rate, Fraction(1), _h264_level(*outer, rate), scan)


def _mpeg2_target(size: tuple[int, int], aspect: Fraction, rate: Fraction, scan: str, high: bool) -> Target:
    """MPEG-2: Main Level keeps its shape of pixels, High Level knows two sizes, square pixels and 16:9.

    A rate that MPEG-2 does not know becomes the next higher one that it does.
    """
    width, height = size
    legal = _FAST if high else _FAST[:3]
    new_rate = rate if rate in legal else min(legal, key=lambda each: (each < rate, abs(each - rate)))
    if not high:
        most = 576 if new_rate == 25 else 480
        shrink = min(1.0, 720 / width, most / height)
        if shrink == 1:
            outer = (_up(width, 2), _up(height, 2 if scan == "progressive" else 4))
            return Target("mpeg2video", size, *outer, new_rate, aspect, 8, scan)
        # the whole field of 4:3 or 16:9 at full resolution, in the shape of pixels that belongs to it
        display = Fraction(16, 9) if width * aspect / height > 1.5 else Fraction(4, 3)
        pixel = display * most / 720
        return _fitted(size, aspect, (720, most), pixel, new_rate, 8)
    outer = (1920, 1080) if (width * aspect > 1280 or height > 720) and new_rate <= 30 else (1280, 720)
    if size == outer and aspect == 1:
        return Target("mpeg2video", size, *outer, new_rate, Fraction(1), 4, scan)
    return _fitted(size, aspect, outer, Fraction(1), new_rate, 4)


def _fitted(
    size: tuple[int, int], aspect: Fraction, outer: tuple[int, int], pixel: Fraction, rate: Fraction, level: int
) -> Target:
    """The picture scaled into `outer` without distortion; it is no longer interlaced then."""
    wide, high = size[0] * aspect / pixel, Fraction(size[1])
    grow = min(outer[0] / wide, outer[1] / high)
    inner = (min(_even(float(wide * grow)), outer[0]), min(_even(float(high * grow)), outer[1]))
    return Target("mpeg2video", inner, *outer, rate, pixel, level, "progressive")


def words(found: Survey, target: Target) -> str:
    """What is done to the video, for Derivation Description."""
    facts = found.facts
    shape = facts.format
    said = [f"Transcoded frame by frame from {facts.codec} to {_NAMES[target.codec]}"]
    if facts.rotation:
        said.append(f"turned by {facts.rotation} degrees counterclockwise as the camera noted")
    size = (shape.height, shape.width) if facts.rotation in (90, 270) else (shape.width, shape.height)
    if target.inner != size:
        said.append(f"scaled from {size[0]} × {size[1]} to {target.inner[0]} × {target.inner[1]}")
    if (target.width, target.height) != target.inner:
        said.append(f"padded with black to {target.width} × {target.height}")
    if target.rate != found.rate:
        change = f"from {float(found.rate):.5g} to {float(target.rate):.5g} per second"
        said.append(f"frames repeated or left out to come {change}")
    if target.field_order != shape.field_order:
        said.append("deinterlaced")
    if _is_deep(shape.pixels) and target.codec != "ffv1":
        said.append("reduced to 8 bits")
    return "; ".join(said) + "."


def _is_deep(pixels: str) -> bool:
    """Whether FFmpeg's pixel format has more than 8 bits per sample."""
    return any(mark in pixels for mark in ("10", "12", "14", "16", "48", "64", "p9"))
