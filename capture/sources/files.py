"""A video or a folder of pictures that is already on disk, played as if live at its own rate."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np

from capture.footage import Facts, look, opened
from capture.frame import Format, Frame, Loss, Pixels
from capture.picture import rotate, settle_colour
from capture.source import BadPicture, Source, SourceMissing
from capture.sources.pace import Pace

PICTURES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".jp2"))
_LOSSY = {"mpeg2video": "mpeg2video", "h264": "h264", "hevc": "hevc", "mjpeg": "jpeg", "jpeg2000": "jpeg2000"}
_OPTION = re.compile(r"loop|rate=(\d+(?:\.\d+)?|\d+/\d+)")
_PATIENCE = 5.0  # seconds that close waits for a decoder in the middle of a frame


def open_spec(spec: str) -> Source:
    """Open `file:PATH[?loop][&rate=N]`; SourceMissing where nothing is there, BadPicture where it is no picture."""
    path, loop, rate = _parse(spec)
    if not path.exists():
        raise SourceMissing(f"there is no file or folder {path}.", "Check the path; a relative one counts from here.")
    if path.is_dir() or path.suffix.lower() in PICTURES:
        return PictureFolder(path, loop, rate or Fraction(1))
    if path.stat().st_size == 0:
        raise BadPicture(f"{path.name} is empty (0 bytes).")
    return VideoFile(path, loop, rate)


def _parse(spec: str) -> tuple[Path, bool, Fraction | None]:
    """Path, whether to repeat, and the rate of `file:PATH[?loop][&rate=N]`."""
    words = spec.removeprefix("file:")
    place, question, tail = words.rpartition("?")
    options = tail.split("&")
    if not question or not all(_OPTION.fullmatch(one) for one in options):
        return Path(words).expanduser(), False, None  # a question mark may be part of a name
    rates = [Fraction(one[5:]) for one in options if one.startswith("rate=")]
    if rates and not 0 < rates[0] <= 240:
        raise SourceMissing(f"{spec!r}: the rate must be above 0 and at most 240.", "Write ?rate=2 for two a second.")
    return Path(place).expanduser(), "loop" in options, rates[0] if rates else None


class VideoFile:
    """Plays a video at its own rate. No frame is dropped here: to a slow reader it comes late.

    The frames stay as they were decoded, and carry the time at which they were due; the clock starts with the first
    `read`. `rate` plays it faster or slower than it says. `flaws` tells what could not be read, once the end was
    reached. Raises BadPicture where nothing can be decoded.
    """

    live = False

    def __init__(self, path: Path, loop: bool = False, rate: Fraction | None = None) -> None:
        facts = look(path)
        self.name = f"{path.name}: {facts}"
        self.flaws: list[str] = []
        self._path, self._loop, self._rate = path, loop, rate
        self._turns = round(facts.rotation / 90) % 4  # counterclockwise
        self.format = _played(facts, rate, self._turns)
        self._losses = _losses_of(facts)
        self._pace = Pace()
        self._lock = threading.Lock()
        self._number = 0
        self._damaged = 0
        self._frames = self._play(facts)

    def read(self) -> Frame | None:
        """The next frame when its time has come; None at the end, or once closed."""
        with self._lock:
            if self._pace.closed:
                return None
            found = next(self._frames, None)
        if found is None:
            return None
        image, offset = found
        if not self._pace.wait(offset):
            return None
        number = self._number
        self._number += 1
        shape = self.format
        if isinstance(image, av.VideoFrame) and (image.width, image.height) != (shape.width, shape.height):
            shape = replace(shape, width=image.width, height=image.height)
        return Frame(number, self._pace.moment(offset), image, shape, self._losses)

    def close(self) -> None:
        """Let the file go; a reader that waits gets None."""
        self._pace.close()
        if self._lock.acquire(timeout=_PATIENCE):
            self._frames.close()
            self._lock.release()

    def _play(self, facts: Facts) -> Generator[tuple[av.VideoFrame | Pixels, float], None, None]:
        """Frames and when each is due, in seconds since the first."""
        begun, tick, end = 0.0, float(1 / self.format.rate), 0.0
        while True:
            count, first = 0, None
            for image in self._decoded():
                at = image.time if image.time is not None and not self._rate else None
                first = at if first is None else first
                end = max(end, begun + (at - first if at is not None and first is not None else count * tick))
                count += 1
                yield (self._turned(settle_colour(image)), end)
            self._mark_end(facts, count, end - begun + tick)
            if not self._loop or not count:
                return
            begun = end + tick

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """What can be decoded; damaged packets are passed over and counted."""
        self._damaged = 0
        try:
            with opened(self._path) as (container, stream):
                for packet in container.demux(stream):
                    try:
                        images = packet.decode()
                    except av.error.InvalidDataError:
                        self._damaged += 1
                        continue
                    self._damaged += sum(image.is_corrupt for image in images)
                    yield from images
        except (av.error.FFmpegError, BadPicture, OSError) as error:
            self.flaws.append(f"{self._path.name} could not be read to its end: {error}")

    def _mark_end(self, facts: Facts, count: int, seconds: float) -> None:
        # an edit list hides frames that the header counts: then the time is still whole
        if count < facts.frames and seconds < facts.seconds - 1.5 / float(facts.format.rate):
            self.flaws.append(
                f"{self._path.name} is cut off or damaged: {count} of its {facts.frames} frames could be read."
            )
        elif self._damaged:
            self.flaws.append(f"{self._path.name} is damaged in {self._damaged} places.")

    def _turned(self, image: av.VideoFrame) -> av.VideoFrame | Pixels:
        if not self._turns:
            return image
        return rotate(image.to_ndarray(format="gray" if self.format.pixels == "gray" else "rgb24"), -self._turns)


def _played(facts: Facts, rate: Fraction | None, turns: int) -> Format:
    """The format in which a video is shown: upright, which a telephone's is not in its file."""
    shape = facts.format
    width, height, aspect, pixels = shape.width, shape.height, shape.aspect, shape.pixels
    if turns:
        pixels = "gray" if pixels.startswith("gray") else "rgb24"
    if turns % 2:
        width, height, aspect = height, width, 1 / aspect
    return Format(width, height, rate or shape.rate, pixels, aspect, shape.field_order)


def _losses_of(facts: Facts) -> tuple[Loss, ...]:
    """The compression that the video brings along; its ratio is counted from 24 bits a pixel and the whole file."""
    if facts.codec not in _LOSSY:
        return ()
    frames = facts.frames or facts.seconds * float(facts.format.rate)
    whole = facts.format.width * facts.format.height * 3 * max(1.0, frames)
    return (Loss(_LOSSY[facts.codec], round(max(1.0, whole / facts.path.stat().st_size), 2)),)


class PictureFolder:
    """Shows the pictures of a folder (or one picture) in the order of their names, one a second unless told otherwise.

    A picture that cannot be read is a lost frame: its number is left out, and `flaws` names it.
    """

    live = False

    def __init__(self, path: Path, loop: bool, rate: Fraction) -> None:
        found = (
            [one for one in path.iterdir() if one.suffix.lower() in PICTURES and one.is_file()] if path.is_dir() else [path]
        )
        self._paths = sorted(found, key=_by_number)
        if not self._paths:
            raise SourceMissing(f"there is no picture in {path}.", "It plays JPEG, PNG, BMP and TIFF.")
        self.name = f"{path.name}: {len(self._paths)} pictures at {float(rate):.4g}/s"
        self.flaws: list[str] = []
        self._loop, self._rate = loop, rate
        self._pace = Pace()
        self._number = 0
        self.format = self._first_format()

    def read(self) -> Frame | None:
        """The next picture when its time has come; None at the end, or once closed."""
        unread = 0
        while not self._pace.closed and unread < len(self._paths):
            number, self._number = self._number, self._number + 1
            if number >= len(self._paths) and not self._loop:
                return None
            path = self._paths[number % len(self._paths)]
            try:
                picture = read_picture(path)
            except BadPicture as error:
                unread += 1
                if number < len(self._paths):
                    self.flaws.append(str(error))
                continue
            offset = float(number / self._rate)
            if not self._pace.wait(offset):
                return None
            losses = (Loss("jpeg", _ratio(picture, path)),) if path.suffix.lower() in (".jpg", ".jpeg") else ()
            return Frame(number, self._pace.moment(offset), picture, _format_of(picture, self._rate), losses)
        return None

    def close(self) -> None:
        """Stop; a reader that waits gets None."""
        self._pace.close()

    def _first_format(self) -> Format:
        wrong = None
        for path in self._paths:
            try:
                return _format_of(read_picture(path), self._rate)
            except BadPicture as error:
                wrong = wrong or error
        raise wrong or BadPicture("no picture can be read.")


def read_picture(path: Path) -> Pixels:
    """A picture as (rows, columns, 3) RGB or (rows, columns), uint8 or uint16, upright by its EXIF.

    Colours of 16 bits are shown by their upper 8. BadPicture for what is empty, damaged, too large or no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR) if data.size else None
    except OSError as error:
        raise BadPicture(f"{path.name} cannot be read: {error.strerror}.") from error
    except cv2.error as error:
        raise BadPicture(f"{path.name} is not a picture that can be read: {error.err}") from error
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise BadPicture(f"{path.name} is not the picture that its name says it is.")
    if picture.ndim == 2:
        return np.asarray(picture)
    if picture.dtype == np.uint16:
        picture = (picture.astype(np.uint16) >> 8).astype(np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def _format_of(picture: Pixels, rate: Fraction) -> Format:
    pixels = "rgb24" if picture.ndim == 3 else "gray16le" if picture.dtype == np.uint16 else "gray"
    return Format(picture.shape[1], picture.shape[0], rate, pixels)


def _ratio(picture: Pixels, path: Path) -> float:
    return round(max(1.0, picture.nbytes / max(1, path.stat().st_size)), 2)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Names in the order people mean: picture 2 before picture 10."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name)]
