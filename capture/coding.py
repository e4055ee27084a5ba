"""How a codec word becomes an encoder, its options and a container, within what PS3.5 8.2.5 to 8.2.10 allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from capture.frame import Format
from capture.source import EncoderMissing

BT709, BT470BG, SMPTE170M = 1, 5, 6  # AVColorSpace
LIMITED, FULL = 1, 2  # AVColorRange

_FILM, _NTSC, _NTSC2 = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)
_MPEG2_RATES = (_FILM, Fraction(24), Fraction(25), _NTSC, Fraction(30), Fraction(50), _NTSC2, Fraction(60))
# PS3.5 table 8-1: what MP@HL may look like, progressive, and at 1080 lines also interlaced
_HIGH_RATES = {
    (1920, 1080): (Fraction(25), _NTSC, Fraction(30)),
    (1280, 720): (Fraction(25), _NTSC, Fraction(30), Fraction(50), _NTSC2, Fraction(60)),
}
SUFFIXES = frozenset((".mpg", ".ts", ".raw"))  # of recordings
_SNAP = Fraction(1, 500)  # a rate this near to a legal one is that rate: containers round


@dataclass(frozen=True)
class Coding:
    """One encoder, ready to be opened: `word` is ours, `codec` is Clip.codec, `container` is Clip.container.

    `format` is what comes out of it: even sizes, yuv420p, a rate that the codec can write.
    """

    word: str
    codec: str
    container: str
    muxer: str
    suffix: str
    encoder: str
    format: Format
    options: tuple[tuple[str, str], ...] = ()
    profile: str = ""
    level: int = 0
    threads: int = 0


def coding_for(word: str, shape: Format, bit_rate: int | None = None) -> Coding:
    """The coding that `word` (mpeg2, mpeg2-hd, h264, h264-hardware, hevc, raw) means for this format.

    `bit_rate` in bit/s replaces our own choice. Video has even sizes. EncoderMissing where the codec cannot carry it.
    """
    if word == "raw":
        pixels = "gray16le" if shape.pixels.startswith("gray16") else "gray" if shape.pixels.startswith("gray") else "rgb24"
        return Coding("raw", "raw", "raw", "", ".raw", "", replace(shape, pixels=pixels))
    even = replace(shape, width=shape.width + shape.width % 2, height=shape.height + shape.height % 2, pixels="yuv420p")
    if word in ("mpeg2", "mpeg2-hd"):
        return _mpeg2(word, even, bit_rate)
    if word in ("h264", "h264-hardware"):
        return _h264(word, even, bit_rate)
    if word == "hevc":
        return _hevc(even, bit_rate)
    raise EncoderMissing(f"there is no video codec called {word!r}", "Choose mpeg2, mpeg2-hd, h264, hevc or raw.")


def snapped(rate: Fraction) -> Fraction:
    """The standard rate that this one means, or the rate itself."""
    near = min(_MPEG2_RATES, key=lambda legal: abs(legal - rate))
    return near if abs(near - rate) <= near * _SNAP / 2 else rate


def mpeg2_is_legal(shape: Format) -> bool:
    """Whether an archive may be given MPEG-2 of this size and rate.

    MP@ML up to 720×576 at 25/s or 720×480 at 29.97 or 30/s (PS3.5 8.2.5), or one of the sizes and rates of MP@HL (8.2.6,
    table 8-1). An encoder could make more than that.
    """
    rate = snapped(shape.rate)
    if shape.width <= 720 and shape.height <= 576:
        return rate in ((Fraction(25),) if shape.height > 480 else (Fraction(25), _NTSC, Fraction(30)))
    if shape.field_order != "progressive" and (shape.width, shape.height) != (1920, 1080):
        return False
    return rate in _HIGH_RATES.get((shape.width, shape.height), ())


def _mpeg2(word: str, shape: Format, bit_rate: int | None) -> Coding:
    """Main profile; Main level as far as it reaches, else (and for mpeg2-hd always) High level.

    A group of pictures lasts half a second and is closed, so that a long clip can be cut anywhere near. About 0.45 bit
    per pixel in high definition: 28 Mbit/s for 1080 lines at 30/s.
    """
    rate = snapped(shape.rate)
    if rate not in _MPEG2_RATES:
        legal = ", ".join(f"{float(one):.4g}" for one in _MPEG2_RATES)
        raise EncoderMissing(
            f"MPEG-2 has no {float(shape.rate):.4g} frames per second; it has {legal}.", "Choose h264 or a per-frame syntax."
        )
    if shape.width > 1920 or shape.height > 1152 or rate * shape.width * shape.height > 62_668_800:
        raise EncoderMissing(
            f"{shape.width}×{shape.height} at {float(rate):.4g}/s is more than MPEG-2 MP@HL carries.", "Choose h264 or hevc."
        )
    main = word == "mpeg2" and shape.width <= 720 and shape.height <= 576 and rate <= 30
    pixels = float(rate * shape.width * shape.height)
    wish = bit_rate or int(min(max(pixels * 0.9, 4e6), 9.5e6) if main else min(max(pixels * 0.45, 15e6), 40e6))
    top = 15_000_000 if main else 80_000_000
    if wish > top:
        raise EncoderMissing(f"{wish} bit/s is more than MPEG-2 allows here ({top}).", "Choose a lower bit rate.")
    options = {
        "b": str(wish),
        "maxrate": str(min(top, wish * 3 // 2)),
        "bufsize": "1835008" if main else "9781248",  # the level's VBV buffer
        "g": str(max(1, round(rate / 2))),
        "bf": "0",
        "sc_threshold": "1000000000",  # FFmpeg closes GOPs only without scene detection
        "flags": "+cgop" if shape.field_order == "progressive" else "+cgop+ildct+ilme",
        "profile": "4",
        "level": "8" if main else "4",
    }
    shape = replace(shape, rate=rate)
    threads = 1 if main else 2
    level, shown = int(options["level"]), tuple(options.items())
    return Coding(word, "mpeg2video", "mpeg", "vob", ".mpg", "mpeg2video", shape, shown, "Main", level, threads)


def _h264(word: str, shape: Format, bit_rate: int | None) -> Coding:
    """High profile, level 4.1, or 4.2 where the rate asks for it (PS3.5 8.2.7, 8.2.8); one IDR frame a second.

    Constant quality, with a ceiling of 15 Mbit/s up to 720×576 and 40 Mbit/s above.
    """
    blocks = -(-shape.width // 16) * -(-shape.height // 16)
    if blocks > 8704 or blocks * shape.rate > 522_240 or max(shape.width, shape.height) > 4096:
        raise EncoderMissing(
            f"{shape.width}×{shape.height} at {float(shape.rate):.4g}/s is more than H.264 level 4.2 carries.",
            "Choose hevc or a smaller size.",
        )
    level = 41 if blocks <= 8192 and blocks * shape.rate <= 245_760 else 42
    gop = max(1, round(shape.rate))
    top = bit_rate or (15_000_000 if blocks <= 1620 else 40_000_000)
    quality = {"b": str(bit_rate)} if bit_rate else {"crf": "20"}
    options: dict[str, str] = {"maxrate": str(top), "bufsize": str(top), **quality, "g": str(gop), "bf": "0"}
    if word == "h264-hardware":
        options = {"b": str(bit_rate or top // 2), "g": str(gop), "profile": "high", "level": f"{level}"}
        encoder = "h264_v4l2m2m"
    else:
        # ultrafast alone is Constrained Baseline; the 8×8 transform makes it High and costs nothing measurable
        params = f"8x8dct=1:keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:force-cfr=1"
        if shape.field_order != "progressive":
            params += ":tff=1" if shape.field_order == "tff" else ":bff=1"
        options |= {"preset": "ultrafast", "profile": "high", "level": f"{level / 10:.1f}", "x264-params": params}
        encoder = "libx264"
    return Coding(word, "h264", "mpegts", "mpegts", ".ts", encoder, shape, tuple(options.items()), "High", level)


def _hevc(shape: Format, bit_rate: int | None) -> Coding:
    """Main profile, level 5.1, main tier (PS3.5 8.2.10). Slow: only for whoever asks for it, or above 1080 lines."""
    size = shape.width * shape.height
    if size > 8_912_896 or size * shape.rate > 534_773_760 or max(shape.width, shape.height) > 8444:
        raise EncoderMissing(
            f"{shape.width}×{shape.height} at {float(shape.rate):.4g}/s is more than HEVC level 5.1 carries.",
            "Choose a smaller size.",
        )
    gop = max(1, round(shape.rate))
    params = f"log-level=error:level-idc=5.1:keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=0"
    params += ":high-tier=0:rc-lookahead=0"
    quality = {"b": str(bit_rate)} if bit_rate else {"crf": "22"}
    options = {**quality, "preset": "ultrafast", "profile": "main", "x265-params": params}
    return Coding("hevc", "hevc", "mpegts", "mpegts", ".ts", "libx265", shape, tuple(options.items()), "Main", 153)
