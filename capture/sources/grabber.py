"""A video device of Linux (V4L2): composite, S-Video, HDMI, SDI and USB cameras; its input and TV standard."""

from __future__ import annotations

import errno
import re
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import InputContainer

from capture.frame import Format, Frame, Loss
from capture.picture import settle_colour
from capture.source import Listing, NotOnThisSystem, SourceLost, SourceMissing

if TYPE_CHECKING:
    from capture.sources.v4l2 import Device, Input

_SPEC = re.compile(r"(?:v4l2:)?(/dev/(?:v4l/[^:]*(?::[^:]*)*?|video\d+))(?::([^:]*))?(?::([^:]*))?")
_GAP = 1.75  # intervals after which a frame is missing rather than late
_PATIENCE = 2.0  # seconds that close waits for a read under way
_SIZES = {525: (720, 480), 625: (720, 576)}
_WORDS = {
    errno.ENOENT: "there is no such device",
    errno.EBUSY: "another program uses it",
    errno.EACCES: "this user may not open it (is it in the group video?)",
    errno.ENODEV: "it was unplugged",
    errno.ENOTTY: "it is no video device",
}


def open_spec(spec: str) -> Grabber:
    """Open `/dev/videoN[:INPUT[:STANDARD]]`; NotOnThisSystem outside Linux, SourceMissing in words otherwise."""
    _demand_linux(spec)
    match = _SPEC.fullmatch(spec)
    if not match:
        raise SourceMissing(
            f"{spec!r} is not a video device.", "Write /dev/video0, /dev/video0:S-Video or /dev/video0:0:PAL."
        )
    return Grabber(match[1], match[2] or "", match[3] or "")


def find() -> list[Listing]:
    """Every capture device with its name, inputs and formats; NotOnThisSystem outside Linux."""
    _demand_linux("/dev/video*")
    found = (_listing(str(path)) for path in sorted(Path("/dev").glob("video*"), key=lambda one: (len(one.name), one.name)))
    return [one for one in found if one]


def _demand_linux(spec: str) -> None:
    if not sys.platform.startswith("linux"):
        raise NotOnThisSystem(f"{spec} is not on this system: V4L2 devices exist on Linux only.")


def _device(path: str) -> Device:
    """The device, open for questions; SourceMissing in words, NotOnThisSystem where there is no ioctl."""
    from capture.sources.v4l2 import Device

    try:
        return Device(path)
    except ImportError as error:
        raise NotOnThisSystem(f"{path} is not on this system: {error.name or error} is missing here.") from error
    except OSError as error:
        raise SourceMissing(f"{path} cannot be opened: {_words(error)}.") from error


def _words(error: OSError) -> str:
    """What the kernel's error number means for a person with a cable in the hand."""
    return _WORDS.get(error.errno or 0, error.strerror or str(error))


def _listing(path: str) -> Listing | None:
    """What `dicap sources` shows of a device; None for one that takes no pictures (metadata, encoders)."""
    try:
        device = _device(path)
    except SourceMissing as error:
        return Listing(path, str(error))
    try:
        if not device.captures:
            return None
        inputs = tuple(one.name + ("" if one.has_signal else " (no signal)") for one in device.inputs())
        modes = sorted(device.modes(), key=lambda one: -one.width * one.height)
        formats = tuple(f"{one.pixels} {one.width}x{one.height}@{float(one.rate):.4g}" for one in modes)
        return Listing(path, device.name, inputs, formats)
    except OSError as error:
        return Listing(path, f"{device.name}: {_words(error)}")
    finally:
        device.close()


def find_input(inputs: list[Input], word: str) -> Input:
    """The input of that name or number; SourceMissing that lists what there is."""
    for one in inputs:
        if word in (str(one.index), one.name) or word.lower() == one.name.lower():
            return one
    near = [one for one in inputs if word.lower() in one.name.lower()]
    if len(near) == 1:
        return near[0]
    known = ", ".join(f"{one.index} {one.name}" for one in inputs) or "none"
    raise SourceMissing(f"there is no input {word!r}; this device has: {known}.", "Choose one of these inputs.")


class Beat:
    """The rhythm of a device's time stamps: says how many frames are missing between two of them.

    What counts is the rhythm of late, not the rate on paper: a camera that slows down in the dark loses nothing.
    """

    def __init__(self, rate: Fraction) -> None:
        self._usual = float(1 / rate)
        self._intervals: deque[float] = deque(maxlen=15)
        self._last: float | None = None

    def missing(self, moment: float) -> int:
        """Frames lost between the frame before and the one stamped `moment` (seconds)."""
        last, self._last = self._last, moment
        if last is None:
            return 0
        interval = moment - last
        usual = statistics.median(self._intervals) if len(self._intervals) >= 5 else self._usual
        self._intervals.append(interval)
        return round(interval / usual) - 1 if usual > 0 and interval > _GAP * usual else 0


class Grabber:
    """A V4L2 device, read through libavdevice.

    Frames carry the kernel's time stamp (seconds since 1970), and a pause between stamps shows as a gap in Frame.number.
    Field order and signal come from the driver itself, since a decoder does not know them. A TV input is read at 720×480
    or 720×576, a camera in its best mode (`v4l2.best_mode`), anything else as its driver is set.
    """

    live = True

    def __init__(self, path: str, socket: str, standard: str) -> None:
        self._device = _device(path)
        try:
            options = self._settle(socket, standard)
            self._container: InputContainer = av.open(path, format="v4l2", options=options)
        except OSError as error:  # PyAV's errors of the system are OSErrors too
            self._device.close()
            raise SourceMissing(f"{path} cannot be opened: {_words(error)}.") from error
        except (av.error.FFmpegError, SourceMissing):
            self._device.close()
            raise
        self.name = f"{self._device.name} ({path})"
        self._losses: tuple[Loss, ...] = ()
        self.format = self._look()
        self._frames = self._play()
        self._beat = Beat(self.format.rate)
        self._lock = threading.Lock()
        self._closed = False
        self._number = -1
        self._offset: float | None = None

    def read(self) -> Frame | None:
        """The next frame; None once closed. SourceLost when the device goes away."""
        with self._lock:
            if self._closed:
                return None
            try:
                image = next(self._frames)
            except (StopIteration, OSError, av.error.FFmpegError) as error:
                words = _words(error) if isinstance(error, OSError) else "it sends nothing any more"
                raise SourceLost(f"{self.name} was lost: {words}.") from error
        moment = self._moment(image)
        self._number += 1 + self._beat.missing(moment)
        return Frame(self._number, moment, settle_colour(image), self.format, self._losses)

    def has_signal(self) -> bool:
        """Whether a picture arrives at the input, as the device says."""
        try:
            chosen = self._device.input()
            return all(one.has_signal for one in self._device.inputs() if one.index == chosen)
        except OSError:
            return False

    def close(self) -> None:
        """Let the device go."""
        self._closed = True
        if self._lock.acquire(
            timeout=_PATIENCE
        ):  # a read without a signal may never return: then the process's end frees it
            self._container.close()
            self._device.close()
            self._lock.release()

    def _settle(self, socket: str, standard: str) -> dict[str, str]:
        """FFmpeg's options for this input and standard. The size is always set: drivers remember odd ones."""
        from capture.sources.v4l2 import best_mode

        if not self._device.captures:
            raise SourceMissing(f"{self._device.path} ({self._device.name}) takes no pictures.")
        options = {"timestamps": "default"}  # "abs" would smooth them, and gaps with them
        if socket:
            chosen = find_input(self._device.inputs(), socket)
            self._device.choose_input(chosen.index)
            options["channel"] = str(chosen.index)
        else:
            options["channel"] = str(self._device.input())
        if standard:
            options["standard"] = standard
        lines = (525 if "NTSC" in standard.upper() else 625) if standard else self._device.lines()
        mode = best_mode(self._device.modes())
        if lines:
            options["video_size"] = "{}x{}".format(*_SIZES[lines])
        elif mode:
            options |= {
                "input_format": mode.pixels,
                "video_size": f"{mode.width}x{mode.height}",
                "framerate": str(mode.rate),
            }
        return options

    def _look(self) -> Format:
        """What the open device delivers; the pixels of television are not square (BT.601)."""
        stream: Any = self._container.streams.video[0]
        coder = stream.codec_context
        lines = self._device.lines()
        rate = Fraction(30000, 1001) if lines == 525 else Fraction(25) if lines else Fraction(stream.average_rate or 30)
        aspect = self._device.pixel_aspect()
        if lines and aspect == 1:
            aspect = Fraction(10, 11) if lines == 525 else Fraction(59, 54)
        pixels = coder.pix_fmt or "yuyv422"
        return Format(coder.width, coder.height, rate, pixels, aspect if lines else Fraction(1), self._device.field_order())

    def _moment(self, image: av.VideoFrame) -> float:
        """The kernel's stamp as time of day; it counts from the machine's start, or from 1970 with old drivers."""
        if image.pts is None or not image.time_base:
            return time.time()
        stamp = float(image.pts * image.time_base)
        if self._offset is None:
            since_start = time.time() - time.monotonic()
            self._offset = since_start if abs(stamp - time.monotonic()) < abs(stamp - time.time()) else 0.0
        return stamp + self._offset

    def _play(self) -> Iterator[av.VideoFrame]:
        """Frames as they come; a camera that sends JPEG has compressed them already, and by how much is measured."""
        stream = self._container.streams.video[0]
        for packet in self._container.demux(stream):
            if stream.codec_context.name == "mjpeg" and packet.size:
                self._losses = (Loss("jpeg", round(self.format.width * self.format.height * 3 / packet.size, 2)),)
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                continue  # a torn JPEG of a camera; the time stamps show the gap
