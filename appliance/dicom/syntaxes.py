"""The table of transfer syntaxes: what each carries, whether it loses anything, its limits (PS3.5 sections 8, 10 and A)."""

import difflib
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from appliance.errors import InputError, SettingsError

_ROOT = "1.2.840.10008.1.2"


@dataclass(frozen=True)
class Syntax:
    """One transfer syntax.

    `name` is the word of `--syntax`; `kind` is `native` (uncompressed), `frame` (one stream per frame) or `video` (one
    stream for all). `method` is the word of Lossy Image Compression Method (0028,2114) and `codec` that of
    capture.frame.Loss, both empty where nothing is lost. `max_bits` is the largest Bits Stored, `colours` the
    Photometric Interpretation that colour pictures get (gray ones are MONOCHROME2, except in video, which is always
    colour). `fragmentable_uid` is empty where PS3.5 A.4 knows none; it equals `uid` where several fragments are
    allowed anyway (HEVC). `containers` are FFmpeg's names of the legal ones; `square_pixels` forbids any other shape.
    """

    name: str
    uid: str
    kind: Literal["native", "frame", "video"]
    lossy: bool = False
    method: str = ""
    codec: str = ""
    max_bits: int = 16
    colours: str = "RGB"
    fragmentable_uid: str = ""
    containers: tuple[str, ...] = ()
    square_pixels: bool = False

    @property
    def is_compressed(self) -> bool:
        """Whether Pixel Data is encapsulated (PS3.5 A.4)."""
        return self.kind != "native"


# (0028,2114) for each word of capture.frame.Loss, PS3.3 C.7.6.1.1.5.1
METHODS: dict[str, str] = {
    "jpeg": "ISO_10918_1",
    "jpegls": "ISO_14495_1",
    "jpeg2000": "ISO_15444_1",
    "htj2k": "ISO_15444_15",
    "mpeg2video": "ISO_13818_2",
    "h264": "ISO_14496_10",
    "hevc": "ISO_23008_2",
}


def _lossless(name: str, end: str, colours: str = "RGB") -> Syntax:
    return Syntax(name, _ROOT + end, "frame", colours=colours)


def _lossy(name: str, end: str, codec: str, colours: str, max_bits: int = 16) -> Syntax:
    return Syntax(name, _ROOT + end, "frame", True, METHODS[codec], codec, max_bits, colours)


def _video(name: str, end: str, codec: str, max_bits: int = 8, square: bool = True) -> Syntax:
    uid = f"{_ROOT}.4.{end}"
    return Syntax(
        name, uid, "video", True, METHODS[codec], codec, max_bits, "YBR_PARTIAL_420",
        fragmentable_uid=uid if codec == "hevc" else uid + ".1",
        containers=("mpeg", "mpegts", "mp4") if codec == "mpeg2video" else ("mpegts", "mp4"),
        square_pixels=square,
    )  # fmt: skip


# PS3.5 Table 8.2.1-1 knows only YBR_FULL_422 (and RGB) for baseline JPEG, whatever the subsampling in the stream
SYNTAXES: dict[str, Syntax] = {
    syntax.name: syntax
    for syntax in (
        Syntax("implicit", _ROOT, "native"),
        Syntax("explicit", _ROOT + ".1", "native"),
        Syntax("deflated", _ROOT + ".1.99", "native"),
        _lossless("rle", ".5"),
        _lossy("jpeg", ".4.50", "jpeg", "YBR_FULL_422", max_bits=8),
        _lossless("jpeg-lossless", ".4.70"),
        _lossless("jls", ".4.80"),
        _lossy("jls-near", ".4.81", "jpegls", "RGB"),
        _lossless("j2k", ".4.90", "YBR_RCT"),
        _lossy("j2k-lossy", ".4.91", "jpeg2000", "YBR_ICT"),
        _lossless("htj2k", ".4.201", "YBR_RCT"),
        _lossy("htj2k-lossy", ".4.203", "htj2k", "YBR_ICT"),
        _video("mpeg2", "100", "mpeg2video", square=False),
        _video("mpeg2-hd", "101", "mpeg2video"),
        _video("h264", "102", "h264"),
        _video("h264-bd", "103", "h264"),
        _video("h264-42", "104", "h264"),
        _video("hevc", "107", "hevc"),
        _video("hevc10", "108", "hevc", max_bits=10),
    )
}

# What others write and we read, but never choose ourselves
_FOREIGN: tuple[Syntax, ...] = (
    _lossy("jpeg-extended", ".4.51", "jpeg", "YBR_FULL_422", max_bits=12),
    _lossless("jpeg-lossless-57", ".4.57"),
    _lossless("htj2k-rpcl", ".4.202", "YBR_RCT"),
    _video("h264-3d", "105", "h264"),
    _video("h264-stereo", "106", "h264"),
)
_BY_UID: dict[str, Syntax] = {
    uid: syntax for syntax in (*SYNTAXES.values(), *_FOREIGN) for uid in (syntax.uid, syntax.fragmentable_uid) if uid
}


def by_name(word: str) -> Syntax:
    """The syntax of that `--syntax` word; SettingsError names the nearest. (`auto` is resolved in dicom.objects.)"""
    if word in SYNTAXES:
        return SYNTAXES[word]
    near = difflib.get_close_matches(word.lower(), SYNTAXES, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(SYNTAXES)}"
    raise SettingsError(f"There is no transfer syntax called {word!r}{hint}")


def by_uid(uid: str) -> Syntax:
    """The syntax of a UID, its fragmentable twin included; InputError for one that we cannot handle."""
    if uid in _BY_UID:
        return _BY_UID[uid]
    raise InputError(f"Transfer syntax {uid} is not one that dicap can handle.")


@dataclass(frozen=True)
class _Limits:
    """What a video syntax may carry: samples or macroblocks per picture and per second, by its own standard's level."""

    syntax: str
    profiles: tuple[str, ...]
    level: int
    picture: int
    second: int


# H.264 Table A-1 counts macroblocks of 16 × 16, HEVC Table A.8 luma samples
_H264 = (
    _Limits("h264", ("High", "Constrained High", "Progressive High"), 41, 8192, 245_760),
    _Limits("h264-42", ("High", "Constrained High", "Progressive High"), 42, 8704, 522_240),
)
_HEVC = (
    _Limits("hevc", ("Main",), 153, 8_912_896, 534_773_760),
    _Limits("hevc10", ("Main 10",), 153, 8_912_896, 534_773_760),
)
_MPEG2_MAIN_LEVELS = (0, 8, 10)  # unknown, Main, Low
_MPEG2_HIGH_LEVELS = (0, 4)


def by_stream(codec: str, profile: str, level: int, width: int, height: int, rate: Fraction) -> Syntax:
    """The video syntax under which a coded stream is legal as it is (PS3.5 8.2.5 to 8.2.8, 8.2.10, 8.2.11).

    `codec`, `profile` and `level` are FFmpeg's (`h264`, `High`, 41; level 0 or less: unknown), sizes in pixels, rate in
    frames per second. InputError says why no syntax fits: then the stream must be transcoded. The caller also obeys
    `square_pixels` and `containers` of the answer; high-tier HEVC is the caller's to refuse.
    """
    if codec == "mpeg2video":
        return _mpeg2(profile, level, width, height, rate)
    if codec not in ("h264", "hevc"):
        raise InputError(f"DICOM has no transfer syntax for {codec} video.")
    tables = _H264 if codec == "h264" else _HEVC
    fitting = [row for row in tables if profile in row.profiles]
    if not fitting:
        legal = " or ".join(dict.fromkeys(row.profiles[0] for row in tables))
        raise InputError(f"{codec} video of profile {profile or 'unknown'} is not legal in DICOM; {legal} is.")
    unit = 16 if codec == "h264" else 1
    picture = -(-width // unit) * -(-height // unit)
    for row in fitting:
        slim = max(width, height) <= unit * (8 * row.picture) ** 0.5
        if level <= row.level and picture <= row.picture and picture * rate <= row.second and slim:
            return SYNTAXES[row.syntax]
    raise InputError(
        f"{codec} video of {width} × {height} at {float(rate):.4g}/s, level {level}, is above the level that DICOM allows."
    )


def _mpeg2(profile: str, level: int, width: int, height: int, rate: Fraction) -> Syntax:
    """PS3.5 8.2.5 (any size up to the level's) and 8.2.6 (two sizes only, no MP@H-14)."""
    if profile != "Main":
        raise InputError(f"MPEG-2 video of profile {profile or 'unknown'} is not legal in DICOM; Main is.")
    nominal = next((whole for whole in (25, 30, 50, 60) if _is_rate(rate, whole)), 0)
    most_rows = {25: 576, 30: 480}.get(nominal, 0)  # PS3.5 Table 8-1
    if level in _MPEG2_MAIN_LEVELS and width <= 720 and height <= most_rows:
        return SYNTAXES["mpeg2"]
    high_sizes = {25: (720, 1080), 30: (720, 1080), 50: (720,), 60: (720,)}.get(nominal, ())  # PS3.5 Table 8-3
    if level in _MPEG2_HIGH_LEVELS and height in high_sizes and width * 9 == height * 16:
        return SYNTAXES["mpeg2-hd"]
    raise InputError(
        f"MPEG-2 video of {width} × {height} at {float(rate):.4g}/s, level {level}, fits neither Main Level (up to"
        " 720 × 576 at 25/s or 720 × 480 at 30/s) nor High Level (1280 × 720 or 1920 × 1080 at 25 or 30/s,"
        " 1280 × 720 at 50 or 60/s)."
    )


def _is_rate(rate: Fraction, nominal: int) -> bool:
    """Whether a rate is the nominal one or, for 30 and 60, its NTSC twin (containers round it)."""
    twins = [Fraction(nominal)] + ([Fraction(nominal * 1000, 1001)] if nominal % 30 == 0 else [])
    return any(abs(rate - twin) < Fraction(1, 100) for twin in twins)
