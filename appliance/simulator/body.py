"""A CT phantom: a trunk from the chest down to the kidneys, made of ellipses that change from slice to slice."""

from functools import cache

import numpy as np

from appliance.simulator.grain import TURN, Grain, fill, soften, turned
from capture.frame import Pixels

SIZE = 256
MIDDLE = SIZE // 2
DEPTH = 1024  # of the scanned length: 0 at the top of the chest, 1024 at the kidneys
WATER = 1024  # stored values are Hounsfield units + 1024
AIR, LUNG, FAT, MUSCLE = WATER - 1000, WATER - 840, WATER - 95, WATER + 55
BLOOD, LIVER, KIDNEY, SPONGE, BONE = WATER + 140, WATER + 105, WATER + 175, WATER + 260, WATER + 700
FINDING = WATER + 30


def ct_slice(seed: int, index: int, count: int) -> Pixels:
    """One axial slice (256, 256) uint16 of 12 bits, Hounsfield units + 1024, seen from the feet.

    The same seed is the same person: its slices, `index` of `count` from the top of the chest to the kidneys, belong
    together. Noise differs from slice to slice. What lies outside the field of view is 0.
    """
    person = Grain(seed)
    build = person.between(-6, 6)  # percent broader or slimmer
    finding = (person.between(24, 58), person.between(-30, 26), person.between(4, 8), person.between(560, 900))
    level = DEPTH * (2 * index + 1) // (2 * max(1, count))
    picture = np.full((SIZE, SIZE), AIR, np.int32)
    wide, high = _at(level, 100, 108, 106) * (100 + build) // 100, _at(level, 66, 76, 74) * (100 + build) // 100
    _trunk(picture, level, high, wide, Grain(seed, 1))
    if level < 700:
        _chest(picture, level, high, wide, Grain(seed, 2, index))
    if level > 480:
        _belly(picture, level, high, wide, finding)
    _spine(picture, level, high)
    _couch(picture, high)
    noise = Grain(seed, 3, index).bell(SIZE, SIZE) * np.where(_circle(), 3, 1) >> 2
    stored: Pixels = np.clip(soften(picture + noise), 0, 4095).astype(np.uint16)
    stored[~_circle()] = 0
    return stored


def _at(level: int, top: int, middle: int, bottom: int) -> int:
    """A measure between its values at the top, in the middle and at the bottom."""
    half = DEPTH // 2
    if level < half:
        return top + (middle - top) * level // half
    return middle + (bottom - middle) * (level - half) // half


@cache
def _circle() -> Pixels:
    """The field of view: what the scanner reconstructs."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.int32) - MIDDLE
    return np.asarray(rows * rows + columns * columns <= 126 * 126)


def _ellipse(picture: Pixels, down: int, right: int, size: tuple[int, int], value: int) -> None:
    """Fill an ellipse given by its distance from the middle, down and to the right, and its half height and width."""
    fill(picture, (MIDDLE + down, MIDDLE + right, size[0], size[1]), value)


def _trunk(picture: Pixels, level: int, high: int, wide: int, person: Grain) -> None:
    """Skin, fat, muscle, and ribs around the chest."""
    _ellipse(picture, 0, 0, (high, wide), MUSCLE - 20)
    _ellipse(picture, 0, 0, (high - 2, wide - 2), FAT)
    _ellipse(picture, 0, 0, (high - 9, wide - 9), MUSCLE)
    for side in (-1, 1):  # the muscles of the back
        _ellipse(picture, high - 20, side * 26, (9, 18), MUSCLE + 8)
    _ellipse(picture, 0, 0, (high - 15, wide - 15), FAT - 5)
    if level > 860:
        return
    turn = level // 3 + person.between(0, 60)
    for number in range(13):  # ribs run obliquely: a slice cuts each somewhere else
        down, right = turned(number * TURN // 13 + turn, 1000)
        place = down * (high - 12) // 1000, right * (wide - 12) // 1000
        if abs(place[1]) > 18 and place[0] < high - 24:
            _ellipse(picture, *place, (4, 5), BONE)
            _ellipse(picture, *place, (2, 3), SPONGE)
    _ellipse(picture, 14 - high, 0, (4, 13), BONE - 150)  # the breastbone
    _ellipse(picture, 14 - high, 0, (2, 11), SPONGE - 60)


def _chest(picture: Pixels, level: int, high: int, wide: int, grain: Grain) -> None:
    """Lungs with their vessels, the heart, the great vessels, the windpipe."""
    lung_high, lung_wide = _at(level, 34, high - 20, 20), _at(level, 30, 46, 30)
    for side in (-1, 1):
        aside = side * (wide * 49 // 100 - (6 if side > 0 and level > 260 else 0))
        _ellipse(picture, 2, aside, (lung_high, lung_wide), LUNG)
        for _ in range(26):
            down, right = turned(grain.between(0, TURN), grain.between(4, lung_wide - 5))
            thick = 3 if abs(right + side * 18) < 12 else 1
            _ellipse(picture, 2 + down * lung_high // lung_wide, aside + right, (thick, thick), MUSCLE - 60)
    if level < 240:
        _ellipse(picture, -20, 0, (24, 20), FAT + 20)
        for down, right, size in ((-12, -12, 7), (-16, 12, 6), (-2, 12, 7), (-24, 2, 5)):
            _ellipse(picture, down, right, (size, size), BLOOD)
        _ellipse(picture, 6, -1, (8, 9), AIR + 20)
    else:
        size = _at(level, 8, 44, 36)
        _ellipse(picture, -16, 12, (size * 7 // 8, size), FAT)
        _ellipse(picture, -15, 13, (size * 6 // 8, size * 7 // 8), MUSCLE + 20)
        _ellipse(picture, -24, 0, (size * 3 // 8, size * 3 // 8), BLOOD)
        _ellipse(picture, -10, 26, (size * 3 // 8, size * 3 // 8), BLOOD + 10)
        _ellipse(picture, 6, 4, (size * 2 // 8, size * 3 // 8), BLOOD - 10)
    _ellipse(picture, 31, 16, (8, 8), BLOOD)  # the aorta beside the spine


def _belly(picture: Pixels, level: int, high: int, wide: int, finding: tuple[int, int, int, int]) -> None:
    """Liver, stomach with its bubble, spleen, kidneys, gut, the great vessels; something round in the liver."""
    liver = _at(level, 0, 20, 50) if level < 760 else 50 - (level - 760) // 10
    # on the picture's left: a slice is seen from the feet
    _ellipse(picture, -6, -wide * 45 // 100, (min(high - 19, liver + 14), liver), LIVER)
    _ellipse(picture, -high + 34, -14, (max(1, liver // 3), max(1, liver * 6 // 8)), LIVER)
    for down, right in ((-6, -54), (4, -44), (-16, -62), (12, -58)):
        _ellipse(picture, down, right, (2, 4), LIVER + 55)
    away = abs(level - finding[3]) // 40
    if away < finding[2]:
        _ellipse(picture, finding[1] // 2 - 4, -finding[0] - 8, (finding[2] - away, finding[2] - away), FINDING)
    _ellipse(picture, -16, 40, (22, 30), MUSCLE - 20)
    _ellipse(picture, -26, 42, (11, 21), AIR + 10)
    _ellipse(picture, 26, wide * 60 // 100, (17, 12), LIVER + 25)
    if level > 700:
        for side in (-1, 1):
            _ellipse(picture, 28, side * 46, (20, 14), KIDNEY)
            _ellipse(picture, 28, side * 42, (9, 6), FAT + 30)
        for number, (down, right) in enumerate(((-34, 12), (-26, -8), (-8, 14), (-12, 62), (6, 58), (-40, 40))):
            _ellipse(picture, down, right, (8, 10), MUSCLE - 15)
            _ellipse(picture, down - 2, right, (3 + number % 3, 5), AIR + 60 if number % 2 else WATER + 12)
    _ellipse(picture, 28, 10, (8, 8), BLOOD)
    _ellipse(picture, 22, -14, (8, 9), BLOOD - 25)


def _spine(picture: Pixels, level: int, high: int) -> None:
    """A vertebra: its body, the arch around the canal, and what sticks out of it; discs lie between two."""
    disc = level // 64 % 4 == 3
    middle = high - 34
    _ellipse(picture, middle, 0, (15, 19), MUSCLE + 40 if disc else BONE)
    if not disc:
        _ellipse(picture, middle, 0, (12, 16), SPONGE)
        for side in (-1, 1):
            _ellipse(picture, middle + 17, side * 17, (4, 12), BONE - 100)
        _ellipse(picture, middle + 28, 0, (9, 3), BONE - 60)
    _ellipse(picture, middle + 17, 0, (9, 11), BONE - 100)
    _ellipse(picture, middle + 17, 0, (7, 8), WATER + 20)
    _ellipse(picture, middle + 17, 0, (4, 5), WATER + 45)


def _couch(picture: Pixels, high: int) -> None:
    """The table the patient lies on: a shell with foam in it."""
    top = MIDDLE + high + 2
    columns = np.arange(MIDDLE - 84, MIDDLE + 85)
    sag = (columns - MIDDLE) ** 2 // 600
    for column, lift in zip(columns, sag, strict=True):
        picture[top - lift + 6 : top - lift + 8, column] = WATER - 120
        picture[top - lift + 8 : top - lift + 17, column] = WATER - 930
        picture[top - lift + 17 : top - lift + 19, column] = WATER - 120
