"""An endoscopy phantom: looking down a gut with its folds, fine vessels, wet glints and a dark way ahead."""

from functools import cache

import numpy as np

from appliance.simulator.grain import TURN, Grain, fill, turned, wave
from capture.frame import Pixels

ROWS, COLUMNS = 480, 640
FIELD = 232  # radius of what the optics show, in pixels
STEP = 44  # from fold to fold; an octave of the distance has 64


def endoscopy_frame(seed: int, number: int) -> Pixels:
    """One frame (480, 640, 3) uint8 RGB; `number` moves the scope, the same seed is the same patient.

    Everything but the grain is drawn at half the resolution: optics are soft, and it takes a quarter of the time.
    """
    person = Grain(seed)
    phase, hue = person.between(0, TURN - 1), person.between(-9, 9)
    sway = turned(number * 23 + phase, 30 + number % 7)
    down, right = _half_grid()
    down, right = down - sway[0], right - sway[1] - 6
    ring, near = _rings(down, right, number, phase)
    light = np.minimum(14 + near * near // 105, 176) - np.maximum(0, near - 170) // 2  # far ahead it is dark
    depth = 168 + wave(right * 3 + down * 2 + phase * 3) // 4  # a fold is not equally high all around
    fold = _profile()[ring & 127]
    bright = light * (256 - (256 - fold) * depth // 256) >> 8
    vessel = _vessels(down, right, number, phase) * light >> 8
    mucosa = _patches(ring, right, down, phase) * light >> 7
    red = bright * 268 // 256 + 22 + mucosa // 2 - vessel // 3
    green = bright * (150 + hue) // 256 + 6 + mucosa - vessel
    blue = bright * (112 + hue) // 256 + 9 + mucosa - vessel * 3 // 4
    picture = np.stack([_doubled(red), _doubled(green), _doubled(blue)], axis=-1)
    noise = Grain(seed, 1, number).octets(ROWS, COLUMNS).astype(np.int32) - 128
    picture += (noise >> 5)[..., None]
    shown: Pixels = np.clip(picture, 0, 255).astype(np.uint8)
    _glints(shown, fold, near, Grain(seed, 2, number))
    shown[~_field()] = 4
    return shown


@cache
def _profile() -> Pixels:
    """How bright the wall is from one fold to the next, outwards: dark behind the crest, bright on it, then fading."""
    rise = [70 + step * step * 176 // 144 for step in range(13)]
    fade = [246 - (128 - 13 - left) * 150 // 115 + left // 24 for left in range(115, 0, -1)]
    return np.array(rise + fade, np.int32)


@cache
def _half_grid() -> tuple[Pixels, Pixels]:
    """Rows and columns from the middle, at half the resolution."""
    down, right = np.mgrid[0:ROWS:2, 0:COLUMNS:2].astype(np.int32)
    return down - ROWS // 2, right - COLUMNS // 2


@cache
def _field() -> Pixels:
    """What the optics show: a circle with its sides cut off, as many endoscopes have it."""
    down, right = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.int32)
    down, right = 2 * (down - ROWS // 2) + 1, 2 * (right - COLUMNS // 2) + 1
    round_part = down * down + right * right < 4 * (FIELD + 36) ** 2
    return np.asarray(round_part & (np.abs(right) < 2 * (FIELD + 20)) & (np.abs(down) < 2 * FIELD))


@cache
def _logarithm() -> Pixels:
    """The logarithm of 0 to 511 in 64 steps to the octave: by the squares' own growth, whole numbers all the way."""
    values = [0, 0]
    for number in range(2, 512):
        octave = number.bit_length() - 1
        # six bits after the point by squaring
        rest, bits = number << (30 - octave), 0
        for _ in range(6):
            rest = rest * rest >> 30
            bits = bits << 1 | (rest >= 1 << 31)
            rest >>= rest >= 1 << 31
        values.append(octave << 6 | bits)
    return np.array(values, np.int32)


def _rings(down: Pixels, right: Pixels, number: int, phase: int) -> tuple[Pixels, Pixels]:
    """How far along the gut the wall is at each pixel, and how far from the middle of the lumen, in pixels."""
    corners = [turned(phase + third * TURN // 3 + number * 4, 64) for third in range(3)]
    sides = [(down * corner[0] + right * corner[1]) >> 6 for corner in corners]
    triangular = np.maximum(np.maximum(sides[0], sides[1]), sides[2])  # the colon's folds leave a triangle open
    squares = down * down + right * right
    round_one = np.searchsorted(_squares(), squares.ravel(), side="right").reshape(squares.shape).astype(np.int32) - 1
    near = np.clip((round_one * 5 + triangular * 6) >> 3, 0, 511)
    warp = 160 + (wave(right * 4 + phase) + wave(down * 5 - right * 3 + 3 * phase) // 2) // 2
    along = _logarithm()[np.clip(near + (warp * near >> 11), 1, 511)]
    return along * 128 // STEP - number * 24 + phase, near


@cache
def _squares() -> Pixels:
    """The squares of 0 to 511: a square root without fractions is a search among them."""
    return np.arange(512, dtype=np.int32) ** 2


def _patches(ring: Pixels, right: Pixels, down: Pixels, phase: int) -> Pixels:
    """Slowly changing colour of the wall."""
    patches: Pixels = (wave(ring * 4 + right * 2 + phase) + wave(down * 5 - right * 3 + phase * 2)) // 40
    return patches


def _vessels(down: Pixels, right: Pixels, number: int, phase: int) -> Pixels:
    """Fine winding lines that come and go: where slow waves that bend each other cross zero."""
    down, right = down + number, right - number
    bend = wave(down * 7 + right * 2 + phase * 5)
    other = wave(right * 6 - down * 3 + bend + phase * 7)
    one = wave(right * 9 + down * 4 + other * 2 + phase)
    two = wave(down * 11 - right * 5 + bend * 2 - other + phase * 3)
    thick = 26 + (bend >> 3) - (other >> 4)
    lines: Pixels = np.maximum(0, thick - np.abs(one)) + np.maximum(0, thick // 2 - (np.abs(two) >> 1))
    return lines


def _doubled(values: Pixels) -> Pixels:
    """Twice as many rows and columns, those between the old ones from their neighbours."""
    tall = np.repeat(values, 2, axis=0)
    tall[1:-1:2] = (values[:-1] + values[1:]) >> 1
    wide = np.repeat(tall, 2, axis=1)
    wide[:, 1:-1:2] = (tall[:, :-1] + tall[:, 1:]) >> 1
    return wide


def _glints(picture: Pixels, fold: Pixels, near: Pixels, grain: Grain) -> None:
    """The lamp mirrored on wet crests: small white spots that jump as the scope moves."""
    wet = np.argwhere((fold > 222) & (near > 60) & (near < 210))
    for _ in range(min(22, len(wet))):
        row, column = (2 * wet[grain.between(0, len(wet) - 1)]).tolist()
        high, wide = grain.between(1, 3), grain.between(2, 6)
        fill(picture, (row, column, high + 1, wide + 2), 214)
        fill(picture, (row, column, high, wide), 250)
