"""What a Linux video device says of itself: name, inputs, standards, formats, field order, signal. Linux only."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE, and the capability bit of the same value
_DEVICE_CAPS = 0x80000000
_NO_POWER, _NO_SIGNAL, _NO_LOCK = 0x1, 0x2, 0x100
_STD_525 = 0xF900  # NTSC M, M-JP, M-KR and 443; PAL-M and PAL-60 have 525 lines too
_FORMAT_SIZE = 208 if struct.calcsize("P") == 8 else 204
_NAMES = {
    b"YUYV": "yuyv422", b"UYVY": "uyvy422", b"NV12": "nv12", b"YU12": "yuv420p", b"GREY": "gray", b"Y16 ": "gray16le",
    b"RGB3": "rgb24", b"BGR3": "bgr24", b"MJPG": "mjpeg", b"JPEG": "mjpeg",
}  # fmt: skip


def _request(letters: str, number: int, size: int) -> int:
    """The number of an ioctl as asm-generic/ioctl.h composes it; `r` where the kernel writes, `w` where it reads."""
    way = {"r": 2, "w": 1, "rw": 3}[letters]
    return way << 30 | size << 16 | ord("V") << 8 | number


_QUERYCAP = _request("r", 0, 104)
_ENUM_FMT = _request("rw", 2, 64)
_G_FMT = _request("rw", 4, _FORMAT_SIZE)
_G_STD = _request("r", 23, 8)
_ENUMINPUT = _request("rw", 26, 80)
_G_INPUT = _request("r", 38, 4)
_S_INPUT = _request("rw", 39, 4)
_CROPCAP = _request("rw", 58, 44)
_ENUM_FRAMESIZES = _request("rw", 74, 44)
_ENUM_FRAMEINTERVALS = _request("rw", 75, 52)


@dataclass(frozen=True)
class Input:
    """One socket of a grabber.

    `standards` is the set of TV standards it takes as V4L2's bits (v4l2_std_id), 0 for a digital one; `status` V4L2's
    bits for what is wrong with its signal.
    """

    index: int
    name: str
    standards: int
    status: int

    @property
    def has_signal(self) -> bool:
        """Whether the device sees a picture there; digital ones that cannot tell say yes."""
        return not self.status & (_NO_POWER | _NO_SIGNAL | _NO_LOCK)


@dataclass(frozen=True)
class Mode:
    """A picture that the device offers: FFmpeg's name of the format (or `mjpeg`), size, and the highest rate."""

    pixels: str
    width: int
    height: int
    rate: Fraction


class Device:
    """An open device; every question is one ioctl of linux/videodev2.h, and needs no stream to run.

    `name` is the driver's, `captures` whether it takes pictures at all. Raises OSError as the kernel gives it, also in
    the middle, when the device was pulled out; ImportError where there is no ioctl.
    """

    def __init__(self, path: str) -> None:
        import fcntl  # Linux and its kin only

        self.path = path
        self._ioctl = fcntl.ioctl
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            answer = self._ask(_QUERYCAP, bytes(104))
        except OSError:
            self.close()
            raise
        card, capabilities, device = struct.unpack_from("=32s", answer, 16)[0], *struct.unpack_from("=II", answer, 84)
        self.name = _text(card)
        self.captures = bool((device if capabilities & _DEVICE_CAPS else capabilities) & _CAPTURE)

    def close(self) -> None:
        """Let the device go; may be called twice."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def inputs(self) -> list[Input]:
        """Its sockets, in the device's order."""
        found = []
        for index in range(32):
            answer = self._try(_ENUMINPUT, struct.pack("=I76x", index))
            if answer is None:
                break
            _, name, _kind, _audio, _tuner, standards, status = struct.unpack_from("=I32sIIIQI", answer)
            found.append(Input(index, _text(name), standards, status))
        return found

    def input(self) -> int:
        """The socket in use."""
        answer = self._try(_G_INPUT, bytes(4))
        return int(struct.unpack("=I", answer)[0]) if answer else 0

    def choose_input(self, index: int) -> None:
        """Use this socket."""
        self._ask(_S_INPUT, struct.pack("=I", index))

    def lines(self) -> int:
        """How many lines the standard in use has: 525, 625, or 0 for a digital signal."""
        answer = self._try(_G_STD, bytes(8))
        standard = struct.unpack("=Q", answer)[0] if answer else 0
        return 0 if not standard else 525 if standard & _STD_525 else 625

    def field_order(self) -> str:
        """`progressive`, `tff` or `bff`: V4L2 itself is asked, since decoders do not know."""
        answer = self._try(_G_FMT, struct.pack("=I", _CAPTURE) + bytes(_FORMAT_SIZE - 4))
        if answer is None:
            return "progressive"
        field = struct.unpack_from("=I", answer, _FORMAT_SIZE - 200 + 12)[0]
        if field == 4:  # interlaced, in the order of the standard: 525 lines begin with the bottom field
            return "bff" if self.lines() == 525 else "tff"
        return {8: "tff", 9: "bff"}.get(field, "progressive")

    def pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height; V4L2 gives it upside down."""
        answer = self._try(_CROPCAP, struct.pack("=I40x", _CAPTURE))
        high, wide = struct.unpack_from("=II", answer, 36) if answer else (0, 0)
        return Fraction(wide, high) if high and wide else Fraction(1)

    def modes(self) -> list[Mode]:
        """The sizes and rates it lists, raw formats and JPEG; none where the device takes any size."""
        return [
            Mode(pixels, width, height, rate)
            for code, pixels in self._formats()
            for width, height in self._sizes(code)
            if (rate := self._rate(code, width, height))
        ]

    def _formats(self) -> Iterator[tuple[bytes, str]]:
        for index in range(64):
            answer = self._try(_ENUM_FMT, struct.pack("=II56x", index, _CAPTURE))
            if answer is None:
                return
            code = answer[44:48]
            if code in _NAMES:
                yield code, _NAMES[code]

    def _sizes(self, code: bytes) -> Iterator[tuple[int, int]]:
        """Width and height of each size that is listed for a pixel format; none where any size within limits goes."""
        for index in range(64):
            answer = self._try(_ENUM_FRAMESIZES, struct.pack("=I4s36x", index, code))
            if answer is None or struct.unpack_from("=I", answer, 8)[0] != 1:  # only listed sizes
                return
            yield struct.unpack_from("=II", answer, 12)

    def _rate(self, code: bytes, width: int, height: int) -> Fraction | None:
        """The highest rate at this size."""
        best = None
        for index in range(64):
            answer = self._try(_ENUM_FRAMEINTERVALS, struct.pack("=I4sII36x", index, code, width, height))
            if answer is None:
                break
            seconds, parts = struct.unpack_from("=II", answer, 20)  # of a range, the shortest interval comes first
            if seconds and parts:
                best = max(best or Fraction(0), Fraction(parts, seconds))
        return best

    def _ask(self, request: int, question: bytes) -> bytes:
        """One ioctl: the question is the structure filled in as far as asked, the answer the whole of it."""
        answer = bytearray(question)
        self._ioctl(self._fd, request, answer)
        return bytes(answer)

    def _try(self, request: int, question: bytes) -> bytes | None:
        """The answer, or None where the device has none; a device that is gone is an OSError."""
        try:
            return self._ask(request, question)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
                return None
            raise


def best_mode(modes: list[Mode]) -> Mode | None:
    """What to ask a camera for: fluent before large, at most 1920×1080, raw before JPEG."""

    def worth(mode: Mode) -> tuple[bool, int, bool, Fraction]:
        return mode.rate >= 24, mode.width * mode.height, mode.pixels != "mjpeg", min(mode.rate, Fraction(30))

    fitting = [mode for mode in modes if mode.width <= 1920 and mode.height <= 1080]
    return max(fitting or modes, key=worth, default=None)


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace").strip()
