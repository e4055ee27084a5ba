"""Pictures and films for the tests of files: made here, each frame with its number in black and white at the top."""

import hashlib
import struct
import zlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 16
STRIP = 32
_GRAIN = np.random.default_rng(7).integers(-60, 60, (1200, 2000), dtype=np.int16)

H264 = {"profile": "high", "preset": "veryfast", "level": "4.1"}
H264_OPEN = {
    "profile": "high",
    "preset": "veryfast",
    "x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0:b-pyramid=normal",
}
HEVC = {
    "preset": "ultrafast",
    "x265-params": "log-level=none:open-gop=0:keyint=12:min-keyint=12:scenecut=0:level-idc=4:high-tier=0",
}
HEVC_OPEN = {
    "preset": "ultrafast",
    "x265-params": "log-level=none:open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0",
}
MPEG2 = {"b": "4000000", "sc_threshold": "1000000000", "flags": "+cgop", "profile": "4", "level": "8"}
MPEG2_OPEN = {"b": "4000000", "sc_threshold": "1000000000", "profile": "4", "level": "8"}


def numbered(number: int, width: int, height: int, grain: float = 0.3) -> np.ndarray:
    """An RGB picture that moves and says its number: 16 blocks in the top 32 rows, most significant bit first."""
    picture = np.empty((height, width, 3), np.int16)
    picture[:] = np.linspace(40, 200, width, dtype=np.int16)[None, :, None]
    picture[:, :, 1] = np.linspace(180, 60, height, dtype=np.int16)[:, None]
    shift = number * 3 % 600
    picture += (_GRAIN[shift : shift + height, shift : shift + width, None] * grain).astype(np.int16)
    block = width // BITS
    for bit in range(BITS):
        picture[:STRIP, bit * block : (bit + 1) * block] = 235 if number >> (BITS - 1 - bit) & 1 else 16
    return np.clip(picture, 0, 255).astype(np.uint8)


def read_number(picture: np.ndarray) -> int:
    """The number that a picture shows; AssertionError where it cannot be read for certain."""
    gray = picture.mean(axis=2) if picture.ndim == 3 else picture
    block = gray.shape[1] // BITS
    number = 0
    for bit in range(BITS):
        mean = gray[6 : STRIP - 6, bit * block + block // 4 : (bit + 1) * block - block // 4].mean()
        assert mean < 90 or mean > 160, f"bit {bit} is neither black nor white: {mean}"
        number = number * 2 + int(mean > 125)
    return number


def film(path: Path, codec: str = "libx264", numbers: Iterable[int] = range(60), **more) -> Path:
    """A film of numbered pictures. `more`: size, rate, pixels, gop, options, container and so on."""
    width, height = more.get("size", (320, 240))
    rate = Fraction(more.get("rate", 25))
    with av.open(str(path), "w", format=more.get("container"), options=more.get("muxing", {})) as out:
        out.metadata.update(more.get("tags", {}))
        stream = out.add_stream(codec, rate=rate, options=more.get("options", H264 if codec == "libx264" else {}))
        stream.width, stream.height, stream.pix_fmt = width, height, more.get("pixels", "yuv420p")
        coder = stream.codec_context
        coder.gop_size, coder.max_b_frames = more.get("gop", 12), more.get("bframes", 2)
        coder.sample_aspect_ratio = more.get("aspect", Fraction(1))
        times = more.get("times")
        coder.time_base = Fraction(1, 90000) if times else 1 / rate
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(numbered(number, width, height, more.get("grain", 0.3)), format="rgb24")
            if "prepare" in more:
                frame = more["prepare"](frame)
            frame.time_base = coder.time_base
            frame.pts = round(times[place] * 90000) if times else place
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def fields(order: str):
    """What makes the frames of a film interlaced: `tff` or `bff`."""
    graphs = []

    def prepare(frame: av.VideoFrame) -> av.VideoFrame:
        if not graphs:
            graph = av.filter.Graph()
            first = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
            last = graph.add("setfield", order)
            first.link_to(last)
            last.link_to(graph.add("buffersink"))
            graph.configure()
            graphs.append(graph)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        graphs[0].push(frame)
        return graphs[0].pull()

    return prepare


def again(source: Path, target: Path, **more) -> Path:
    """The same packets in another container. `more`: container, tags, rotation, sound."""
    with av.open(str(source)) as given, av.open(str(target), "w", format=more.get("container")) as out:
        out.metadata.update(more.get("tags", {}))
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        if "rotation" in more:
            copy.set_display_rotation(more["rotation"])
        voice = out.add_stream("aac", rate=48000) if more.get("sound") else None
        for packet in given.demux(stream):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
        if voice:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024 * 4), np.float32), format="fltp", layout="mono")
            tone.sample_rate = 48000
            out.mux(voice.encode(tone))
            out.mux(voice.encode(None))
    return target


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that says that it is so large."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def packet_sums(path: Path) -> list[str]:
    """A checksum of every coded picture, in the order of the file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [hashlib.sha256(bytes(packet)).hexdigest() for packet in container.demux(stream) if packet.size]


def pictures(path: Path) -> list[np.ndarray]:
    """Every decoded frame in the order of showing, as RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])]


def numbers_of(path: Path) -> list[int]:
    """The number of every decoded frame."""
    with av.open(str(path)) as container:
        return [read_number(frame.to_ndarray(format="gray")) for frame in container.decode(container.streams.video[0])]
