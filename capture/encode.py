"""Frames in, video out (MPEG-2, H.264, HEVC, or raw frames), and JPEG for screens; which codec this machine can bear."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import av
import av.error
import av.filter
import cv2
import numpy as np
from av.video.stream import VideoStream

from capture.coding import BT470BG, BT709, FULL, LIMITED, SMPTE170M, Coding, coding_for, mpeg2_is_legal
from capture.frame import Format, Frame, Pixels
from capture.picture import fit_width, matrix_for
from capture.source import CaptureError, EncoderMissing

_SPACES = {BT709: "bt709", BT470BG: "bt470bg", SMPTE170M: "smpte170m"}
_TRIAL_FRAMES = 12
_HEADROOM = 1.5  # how much faster than the source an encoder must be to be trusted with it


class Encoder(Protocol):
    """Writes frames of one format into one file, in order."""

    coding: Coding

    def encode(self, frame: Frame) -> None:
        """Take the next frame."""

    def close(self) -> None:
        """Write what is left and close the file."""


def open_encoder(path: Path, codec: str, shape: Format, bit_rate: int | None = None) -> Encoder:
    """An encoder for `codec` (mpeg2, mpeg2-hd, h264, h264-hardware, hevc, raw) that writes to `path`.

    `bit_rate` in bit/s replaces our own choice. EncoderMissing where the codec cannot carry that size and rate (PS3.5
    8.2.5 to 8.2.10), or where this machine has no such encoder.
    """
    coding = coding_for(codec, shape, bit_rate)
    return RawEncoder(path, coding) if coding.codec == "raw" else VideoEncoder(path, coding)


class RawEncoder:
    """Frames one after the other: rgb24, gray or gray16le, no padding."""

    def __init__(self, path: Path, coding: Coding) -> None:
        self.coding = coding
        self._file: BinaryIO = path.open("wb", buffering=0)

    def encode(self, frame: Frame) -> None:
        """Append the frame's pixels."""
        pixels = np.ascontiguousarray(frame.array())
        written = 0
        whole = memoryview(pixels.data).cast("B")
        while written < len(whole):
            written += self._file.write(whole[written:]) or 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class VideoEncoder:
    """Encodes frames with libavcodec and writes them to disk as they come; libavcodec releases the GIL meanwhile.

    The time stamp of a frame in the file is its place in it divided by the rate; no B-frames, closed GOPs.
    """

    def __init__(self, path: Path, coding: Coding) -> None:
        self.coding = coding
        self._count = 0
        self._seen = False
        self._graph: Any = None
        self._tick = 1 / coding.format.rate
        try:
            self._file = av.open(str(path), "w", format=coding.muxer, options={"flush_packets": "1"})
            stream = self._file.add_stream(coding.encoder, rate=coding.format.rate, options=dict(coding.options))
        except (av.error.FFmpegError, ValueError) as error:
            raise _no_encoder(coding, error) from error
        assert isinstance(stream, VideoStream)
        self._stream = stream

    def encode(self, frame: Frame) -> None:
        """Take the next frame; EncoderMissing if the encoder does not open, OSError where it cannot be written."""
        image = _as_video(frame, self.coding.format)
        if self._graph is None:
            self._open(image)
        self._graph.push(image)
        ready = self._graph.pull()
        ready.pts, ready.time_base = self._count, self._tick
        self._count += 1
        packets = self._stream.encode(ready)
        if packets and not self._seen:
            self._seen = True
            _demand_profile(self.coding, bytes(packets[0]))
        self._file.mux(packets)

    def close(self) -> None:
        """Write what the encoder still holds, and the end of the file."""
        try:
            if self._count:
                self._file.mux(self._stream.encode())
        finally:
            self._file.close()

    def _open(self, image: av.VideoFrame) -> None:
        """Make chain and encoder for frames like this one: what need not be converted goes through untouched."""
        shape = self.coding.format
        matrix = int(image.colorspace)
        fits = image.format.name == "yuv420p" and matrix in _SPACES and int(image.color_range) != FULL
        if not fits:
            matrix = matrix_for(shape.width, shape.height)
        field = {"tff": "tff", "bff": "bff"}.get(shape.field_order, "prog")
        steps = [("setparams", f"field_mode={field}:range=tv:colorspace={_SPACES[matrix]}")]
        if not fits:
            interlaced = int(field != "prog")
            convert = f"interl={interlaced}:out_color_matrix={_SPACES[matrix]}:out_range=tv:flags=bilinear"
            steps = [("scale", convert), ("format", "yuv420p"), *steps]
        self._graph = graph(image, shape.rate, steps)
        coder = self._stream.codec_context
        coder.width, coder.height, coder.pix_fmt = shape.width, shape.height, "yuv420p"
        coder.sample_aspect_ratio = shape.aspect
        coder.color_range = LIMITED
        coder.colorspace = coder.color_primaries = matrix
        coder.color_trc = BT709 if matrix == BT709 else SMPTE170M
        coder.thread_count = self.coding.threads
        try:
            coder.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise _no_encoder(self.coding, error) from error


def _demand_profile(coding: Coding, packet: bytes) -> None:
    """Archives take H.264 of High profile only (PS3.5 8.2.7): an encoder that makes another one is none for us."""
    at = packet.find(b"\x00\x00\x01\x67")
    if coding.codec == "h264" and at >= 0 and packet[at + 4] != 100:
        raise EncoderMissing(
            f"{coding.encoder} made H.264 of profile {packet[at + 4]}, not High (100), which archives demand."
        )


def _no_encoder(coding: Coding, error: Exception) -> EncoderMissing:
    return EncoderMissing(f"this machine cannot encode {coding.word} ({coding.encoder}): {error}")


def _as_video(frame: Frame, shape: Format) -> av.VideoFrame:
    """The frame as libavcodec wants it; odd sizes are filled up to even ones by repeating the last row and column."""
    image: Any = frame.image
    odd = (frame.format.width, frame.format.height) != (shape.width, shape.height)
    if odd:
        image = frame.array()
        down, right = shape.height - image.shape[0], shape.width - image.shape[1]
        image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
    if isinstance(image, np.ndarray):
        name = "rgb24" if image.ndim == 3 else "gray16le" if image.dtype == np.uint16 else "gray"
        image = av.VideoFrame.from_ndarray(image, format=name)
        image.color_range = FULL
    return image  # type: ignore[no-any-return]


def graph(frame: av.VideoFrame, rate: Fraction, steps: list[tuple[str, str]]) -> Any:
    """A libavfilter chain for frames like this one; each step is a filter's name and its arguments.

    `push` a frame, `pull` the result: a frame of its own even where nothing is changed, so that its time stamp can be
    set while others still look at the original.
    """
    facts = [
        f"video_size={frame.width}x{frame.height}",
        f"pix_fmt={frame.format.name}",
        f"time_base={rate.denominator}/{rate.numerator}",
        f"colorspace={_SPACES.get(int(frame.colorspace), 'unknown')}",
        f"range={({LIMITED: 'tv', FULL: 'pc'}).get(int(frame.color_range), 'unknown')}",
    ]
    made = av.filter.Graph()
    last = made.add("buffer", ":".join(facts))
    for name, arguments in [*steps, ("buffersink", "")]:
        step = made.add(name, arguments or None)
        last.link_to(step)
        last = step
    made.configure()
    return made


def jpeg(picture: Pixels, quality: int, width: int | None = None, *, is_bgr: bool = False) -> bytes:
    """A baseline JPEG for screens: RGB (rows, columns, 3) or gray (rows, columns); 16 bits are shown by their upper 8.

    Scaled down to `width` where that is less.
    """
    if picture.dtype != np.uint8:
        picture = (picture >> 8).astype(np.uint8)
    if width is not None:
        picture = fit_width(picture, width)
    if picture.ndim == 3 and not is_bgr:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    done, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EncoderMissing("OpenCV wrote no JPEG", "Install opencv-python-headless again.")
    return bytes(coded)


@dataclass(frozen=True)
class Choice:
    """A codec that was chosen: its word, why, and how many times faster than the source each candidate was."""

    codec: str
    reason: str
    speeds: tuple[tuple[str, float], ...] = ()


@functools.lru_cache(maxsize=16)
def choose_codec(shape: Format) -> Choice:
    """The codec that this machine keeps up with at this size and rate, found by trying (under a second; once a process).

    MPEG-2 where PS3.5 allows the size and rate and it is fast enough, because every archive takes it; else H.264; else
    whatever is fastest. EncoderMissing where no encoder takes that size and rate.
    """
    speeds: list[tuple[str, float]] = []
    refusals: list[str] = []
    for word in ("mpeg2", "h264-hardware", "h264", "hevc"):
        if (word == "mpeg2" and not mpeg2_is_legal(shape)) or (word == "hevc" and speeds):
            continue
        try:
            speeds.append((word, _speed(word, shape)))
        except (CaptureError, av.error.FFmpegError, OSError) as error:
            refusals.append(f"{word}: {error}")
    if not speeds:
        seen = f"{shape.width}×{shape.height} at {float(shape.rate):g}/s"
        raise EncoderMissing(f"no encoder takes {seen}. " + "; ".join(refusals))
    fast = [(word, speed) for word, speed in speeds if speed >= _HEADROOM]
    word = fast[0][0] if fast else max(speeds, key=lambda one: one[1])[0]
    said = ", ".join(f"{name} {times:.1f}×" for name, times in speeds)
    why = "is fast enough" if fast else "is the fastest here, and may not keep up: frames may be lost"
    reason = f"{word} {why}; measured for {shape.width}×{shape.height} at {float(shape.rate):g}/s: {said} real time"
    return Choice(word, reason, tuple(speeds))


def _speed(word: str, shape: Format) -> float:
    """How many times faster than the source this encoder is, on a moving, noisy picture; nothing is written to disk."""
    random = np.random.default_rng(1)
    noise = random.integers(0, 12, (shape.height + 32, shape.width + 32), np.uint8)
    rows, columns = np.ogrid[: noise.shape[0], : noise.shape[1]]
    big = (noise + ((rows // 3 + columns // 2) % 160) + 40).astype(np.uint8)
    flat = Format(shape.width, shape.height, shape.rate, "gray", shape.aspect, shape.field_order)
    coding = coding_for(word, flat)
    images = []
    for number in range(_TRIAL_FRAMES):
        cut = np.ascontiguousarray(big[number : number + shape.height, number : number + shape.width])
        images.append(Frame(number, 0.0, cut, flat))
    encoder = VideoEncoder(Path("/dev/null") if Path("/dev/null").exists() else Path("NUL"), coding)
    encoder.encode(images[0])
    begun = time.perf_counter()
    for image in images[1:]:
        encoder.encode(image)
    encoder.close()
    return float((_TRIAL_FRAMES - 1) / shape.rate / Fraction(max(time.perf_counter() - begun, 1e-6)))
