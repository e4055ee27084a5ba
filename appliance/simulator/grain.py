"""What every phantom is made of: repeatable grain, ellipses and waves, in whole numbers only."""

from functools import cache

import numpy as np

from capture.frame import Pixels

TURN = 1024  # whole numbers of a full turn, for angles


class Grain:
    """Repeatable random numbers for one picture: the raw stream of PCG64, which NumPy never changes (NEP 19)."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64([one & 0xFFFFFFFF for one in seed])

    def octets(self, *shape: int) -> Pixels:
        """An array of that shape, uint8, every value equally likely."""
        count = int(np.prod(shape))
        raw: Pixels = np.asarray(self._bits.random_raw(-(-count // 8)))
        return raw.view(np.uint8)[:count].reshape(shape)

    def bell(self, *shape: int) -> Pixels:
        """An array of that shape, int32, about normal: mean 0, standard deviation 64, never beyond 222."""
        several = self.octets(3, *shape).astype(np.int32)
        bell: Pixels = (several[0] + several[1] + several[2] - 382) // 2
        return bell

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._bits.random_raw()) % (high - low + 1)


@cache
def sine() -> tuple[int, ...]:
    """The sine of a full turn in TURN steps, times 4096: by rotation, so that every machine has the same numbers."""
    # sin and cos of one step of 2π/1024, times 2^40
    step_sine, step_cosine = 6746476518, 1099490929780
    x, y = 1 << 40, 0
    table = []
    for _ in range(TURN):
        table.append((y + (1 << 27)) >> 28)
        x, y = (x * step_cosine - y * step_sine) >> 40, (x * step_sine + y * step_cosine) >> 40
    return tuple(table)


def turned(angle: int, length: int) -> tuple[int, int]:
    """The (down, right) parts of a length at an angle, TURN to the full turn, clockwise from the right."""
    table = sine()
    return table[angle % TURN] * length >> 12, table[(angle + TURN // 4) % TURN] * length >> 12


def fill(picture: Pixels, ellipse: tuple[int, int, int, int], value: int) -> None:
    """Fill an ellipse given as middle row, middle column, half height, half width; what lies outside is left out.

    `picture` may have one sample or several; all get the value.
    """
    row, column, high, wide = ellipse
    top, left = max(0, row - high), max(0, column - wide)
    part = picture[top : max(0, row + high + 1), left : max(0, column + wide + 1)]
    if not part.size or high < 1 or wide < 1:
        return
    down = (np.arange(part.shape[0], dtype=np.int64)[:, None] + top - row) ** 2 * wide * wide
    right = (np.arange(part.shape[1], dtype=np.int64)[None, :] + left - column) ** 2 * high * high
    part[down + right <= high * high * wide * wide] = value


def soften(picture: Pixels) -> Pixels:
    """Each pixel mixed with its neighbours (1 2 1 both ways); the edges stay."""
    mixed = picture.copy()
    mixed[1:-1] = (picture[:-2] + 2 * picture[1:-1] + picture[2:]) >> 2
    result = mixed.copy()
    result[:, 1:-1] = (mixed[:, :-2] + 2 * mixed[:, 1:-1] + mixed[:, 2:]) >> 2
    return result


def triangle(values: Pixels, period: int) -> Pixels:
    """A wave of straight lines over whole numbers: from 0 up to period // 2 and back; `period` is a power of two."""
    phase = values & (period - 1)
    waves: Pixels = np.minimum(phase, period - phase)
    return waves


@cache
def _sines() -> Pixels:
    """The table as an array, to be looked up by arrays."""
    return np.array(sine(), np.int32)


def wave(values: Pixels) -> Pixels:
    """The sine of angles, TURN to the full turn, times 256."""
    waves: Pixels = _sines()[values & (TURN - 1)] >> 4
    return waves
