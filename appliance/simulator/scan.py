"""An ultrasound phantom: a sector scan of a beating heart, with speckle that is finer along the beam than across it."""

from functools import cache
from math import isqrt

import numpy as np

from appliance.simulator.grain import TURN, Grain, sine, soften, triangle
from capture.frame import Pixels

ROWS, COLUMNS = 480, 640
LINES, REACH = 192, 440  # beams, and samples along each
APEX = (18, COLUMNS // 2)
BEAT = 20  # frames of one heart beat
HALF = 126  # half the sector's opening, TURN to the full turn: 44 degrees


def ultrasound_frame(seed: int, number: int) -> Pixels:
    """One frame (480, 640) uint8 of a loop; `number` is the frame's place in it, the same seed is the same patient.

    Drawn beam by beam as the scanner hears it, then laid out as a sector. A beat of the heart has BEAT frames.
    """
    person = Grain(seed)
    tilt, thick = person.between(-14, 14), person.between(0, 8)
    phase = sine()[number * TURN // BEAT % TURN] if number % BEAT < BEAT // 2 else 0
    squeeze = phase * 15 // 4096 * 2  # systole is the first half of the beat
    echo = _tissue(tilt, thick, squeeze, number) * _grain(seed, number) >> 7
    echo = _through(echo)
    picture = np.zeros((ROWS, COLUMNS), np.uint8)
    inside, where = _sector()
    picture.ravel()[inside] = echo.ravel()[where]
    _scales(picture)
    return picture


@cache
def _beams() -> tuple[Pixels, Pixels]:
    """How far down and how far aside each sample of each beam lies, (REACH, LINES) each, in pixels."""
    angles = [(2 * line - LINES + 1) * HALF // LINES % TURN for line in range(LINES)]
    down = np.array([sine()[(angle + TURN // 4) % TURN] for angle in angles], np.int32)
    aside = np.array([sine()[angle] for angle in angles], np.int32)
    depth = np.arange(REACH, dtype=np.int32)[:, None]
    return depth * down >> 12, depth * aside >> 12


@cache
def _sector() -> tuple[Pixels, Pixels]:
    """The pixels of the picture that the sector covers, and the sample that each shows."""
    down, aside = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.int64)
    down, aside = down - APEX[0], aside - APEX[1]
    squares = np.arange(REACH + 1, dtype=np.int64) ** 2
    depth = np.searchsorted(squares, down * down + aside * aside, side="right") - 1
    # beams by their slope: a beam is the last whose slope is not larger
    slopes = [sine()[one % TURN] * 4096 // sine()[(one + TURN // 4) % TURN] for one in _edges()]
    slope = aside * 4096 // np.maximum(down, 1)
    line = np.searchsorted(np.array(slopes, np.int64), slope, side="right") - 1
    inside = (down > 0) & (depth >= 6) & (depth < REACH) & (line >= 0) & (line < LINES)
    return np.flatnonzero(inside), (depth * LINES + line)[inside]


def _edges() -> list[int]:
    """The angles between which the beams lie, one more than there are beams."""
    return [(2 * line - LINES) * HALF // LINES for line in range(LINES + 1)]


def _grain(seed: int, number: int) -> Pixels:
    """Speckle: bright and dark grains, two samples deep and three beams wide, most of it moving with the tissue."""
    fixed = Grain(seed, 1).octets(REACH, LINES).astype(np.int32)
    moving = Grain(seed, 2, number).octets(REACH, LINES).astype(np.int32)
    mixed = 3 * np.roll(fixed, triangle(np.array(number * 3), 16).item(), axis=0) + moving >> 2
    wide = np.roll(mixed, 1, axis=1) + 2 * mixed + np.roll(mixed, -1, axis=1) >> 2
    # contrast that the averaging took is given back; squares make the bright grains rare
    strong = np.clip((wide - 128) * 3 + 128, 0, 320)
    speckle: Pixels = 18 + (strong * strong >> 8)
    return speckle


def _tissue(tilt: int, thick: int, squeeze: int, number: int) -> Pixels:
    """How bright each sample is before speckle: walls, the chambers, the valve, what lies around."""
    down, aside = _beams()
    aside = aside + tilt * down // 160
    level = np.full((REACH, LINES), 44, np.int32)
    level[:46] = 120 - np.arange(46, dtype=np.int32)[:, None]  # the chest wall, bright and layered
    level[:46] += triangle(np.arange(46, dtype=np.int32) * 5, 32)[:, None] * 3
    outer = _round(down - 232, aside + 8, 178 - squeeze // 3, 118 + thick - squeeze // 3)
    level[outer < 1100] = 215  # the sac around the heart
    level[outer < 1024] = 112
    left = _round(down - 176, aside - 42, 108 - squeeze, 44 - squeeze * 2 // 3)
    right = _round(down - 196, aside + 52, 86 - squeeze * 2 // 3, 32 - squeeze // 2)
    aria = _round(down - 338, aside - 44, 48 + squeeze // 2, 46 + squeeze // 2)
    other = _round(down - 330, aside + 44, 42 + squeeze // 3, 36 + squeeze // 3)
    for chamber in (left, right, aria, other):
        level[chamber < 1160] = 165
        level[chamber < 1024] = 9
    _valves(level, down, aside, number, squeeze)
    return level


def _valves(level: Pixels, down: Pixels, aside: Pixels, number: int, squeeze: int) -> None:
    """Two leaflets between the chambers on each side: shut while the heart squeezes, swinging when it fills."""
    swing = 0 if squeeze else 8 + triangle(np.array(number * 8), 64).item()
    for middle, reach in ((42, 34), (-48, 26)):
        for side in (-1, 1):
            along = (aside - middle) * side
            line = 288 - (reach - along) * swing // 28
            level[(along > 0) & (along < reach) & (np.abs(down - line) < 4)] = 230


def _round(down: Pixels, aside: Pixels, high: int, wide: int) -> Pixels:
    """Where a sample lies in an ellipse: 0 in its middle, 1024 on its edge."""
    place: Pixels = (down * down * 1024) // (high * high) + (aside * aside * 1024) // (wide * wide)
    return place


def _through(echo: Pixels) -> Pixels:
    """Weaker with depth, but for the gain that makes up for it; never more than a screen shows."""
    gain = np.array([256 - isqrt(depth * 36) + (20 if 200 < depth < 300 else 0) for depth in range(REACH)], np.int32)
    softer: Pixels = soften(np.clip(echo * gain[:, None] >> 8, 0, 255)).astype(np.uint8)
    return softer


def _scales(picture: Pixels) -> None:
    """A gray scale on the left and a mark for every two centimetres on the right, as every scanner shows them."""
    picture[60:316, 18:30] = np.arange(255, -1, -1, dtype=np.uint8)[:, None]
    for number in range(0, REACH, 44):
        row = APEX[0] + number
        if row < ROWS - 2:
            long = 10 if number % 220 == 0 else 5
            picture[row : row + 2, COLUMNS - 20 : COLUMNS - 20 + long] = 170
