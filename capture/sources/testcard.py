"""The test card: a moving picture of any size and rate that needs no hardware, and a strip that says which frame it is."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import numpy as np

from capture.frame import Format, Frame, Pixels
from capture.picture import plane_of
from capture.source import SourceMissing
from capture.sources.pace import Pace
from capture.sources.scene import Scene

BLOCKS = 32  # bits in the strip
ROWS = 16  # rows of the bits, and again of their inverse
WHITE, BLACK = 235, 16
_SPEC = re.compile(r"testcard(?::(\d+)x(\d+)(?:@(\d+(?:\.\d+)?|\d+/\d+))?)?")
_LARGEST = 8192
FULL_SCALE = 255


def open_spec(spec: str) -> TestCard:
    """Open `testcard[:WIDTHxHEIGHT[@RATE]]`; SourceMissing where that is not a size and a rate."""
    match = _SPEC.fullmatch(spec)
    advice = "Write testcard:WIDTHxHEIGHT@RATE, as in testcard:1280x720@30 or testcard:720x480@30000/1001."
    if not match:
        raise SourceMissing(f"{spec!r} is not a test card.", advice)
    width, height = int(match[1] or 1280), int(match[2] or 720)
    try:
        rate = Fraction(match[3] or 30)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not 64 <= width <= _LARGEST or not 64 <= height <= _LARGEST or not Fraction(1, 60) <= rate <= 240:
        raise SourceMissing(
            f"{spec!r}: a test card is 64 to {_LARGEST} wide and high, and has up to 240 frames a second.", advice
        )
    return TestCard(width, height, rate)


class TestCard:
    """Delivers frames at its rate by a monotonic clock, as a device does.

    Like a device it holds a second's worth of frames for a late reader; what is not read by then is lost, which shows
    as a gap in Frame.number.
    """

    __test__ = False  # pytest: this is no test
    live = True

    def __init__(self, width: int, height: int, rate: Fraction) -> None:
        self.format = Format(width, height, rate, "yuv420p")
        self.name = f"test card {width}×{height} at {float(rate):.4g}/s"
        self._scene = Scene(width, height, rate)
        self._pace = Pace()
        self._next = 0
        self._held = max(4, round(rate))

    def read(self) -> Frame | None:
        """The next frame, when its time has come; None once closed."""
        newest = int(self._pace.elapsed() * self.format.rate)
        if newest - self._next >= self._held:
            self._next = newest
        number = self._next
        offset = float(number / self.format.rate)
        if not self._pace.wait(offset):
            return None
        self._next = number + 1
        moment = self._pace.moment(offset)
        return Frame(number, moment, self.draw(number, moment), self.format)

    def draw(self, number: int, moment: float) -> av.VideoFrame:
        """Frame `number` as yuv420p; `moment` (seconds since 1970) is the clock shown in it."""
        image = self._scene.draw(number, moment)
        write_strip(plane_of(image, 0), number)
        return image

    def close(self) -> None:
        """Stop; a reader that waits gets None."""
        self._pace.close()


def write_strip(luma: Pixels, number: int) -> None:
    """Write the number into the top 32 rows of a brightness plane (rows, columns), as COMMANDS.md describes."""
    block = luma.shape[1] // BLOCKS
    bits = (np.uint32(number & 0xFFFFFFFF) >> np.arange(BLOCKS - 1, -1, -1, dtype=np.uint32)) & 1
    row = np.full(luma.shape[1], BLACK, np.uint8)
    row[: block * BLOCKS] = np.repeat(np.where(bits, WHITE, BLACK).astype(np.uint8), block)
    luma[:ROWS] = row
    row[: block * BLOCKS] = WHITE + BLACK - row[: block * BLOCKS]
    luma[ROWS : 2 * ROWS] = row


def read_strip(picture: Pixels) -> int | None:
    """The frame number in the strip of a picture: (rows, columns) or (rows, columns, 3), uint8 or uint16.

    None where the strip is not legible, or where bits and inverted bits do not agree.
    """
    block = picture.shape[1] // BLOCKS
    if block < 1 or picture.shape[0] < 2 * ROWS:
        return None
    strip = picture[: 2 * ROWS, : block * BLOCKS].astype(np.float32) / (np.iinfo(picture.dtype).max / FULL_SCALE)
    if strip.ndim == 3:
        strip = strip.mean(axis=2)
    edge = block // 4  # the borders of a block suffer from the codec; its middle says what it is
    middles = strip.reshape(2, ROWS, BLOCKS, block)[:, 4:-4, :, edge : block - edge].mean(axis=(1, 3))
    bits, inverse = middles > FULL_SCALE / 2, middles < FULL_SCALE / 2
    if not np.array_equal(bits[0], inverse[1]):
        return None
    return int(sum(1 << (BLOCKS - 1 - at) for at in range(BLOCKS) if bits[0][at]))
