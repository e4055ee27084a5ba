"""Synthetic CT, ultrasound and endoscopy: whole numbers only, so that every machine makes the same pixels."""

import numpy as np

from capture.frame import Pixels

AIR, WATER, BONE = 24, 1024, 2024  # stored values: Hounsfield units + 1024
CT_SIZE = 256


def ct_slice(seed: int, index: int, count: int) -> Pixels:
    """One axial slice (256, 256) uint16, 12 bits, Hounsfield units + 1024: a body with a spine, lungs and a vessel.

    The body's outline and the organs change with `index` of `count`; noise differs from slice to slice.
    """
    rows, columns = np.mgrid[0:CT_SIZE, 0:CT_SIZE].astype(np.int64) - CT_SIZE // 2
    lift = 4 * index // max(1, count // 4 + 1)
    picture = np.full((CT_SIZE, CT_SIZE), AIR, np.int64)
    _fill(picture, rows, columns, (0, 0, 84 + lift, 112 - lift), WATER + 40)
    for side in (-1, 1):
        _fill(picture, rows, columns, (-6, side * 52, 46 - lift, 34 + lift), WATER - 820)
    _fill(picture, rows, columns, (58, 0, 17, 15), BONE - 400 + 8 * index)
    _fill(picture, rows, columns, (-14 + index, 6, 9, 9), WATER + 180)
    noise = np.random.Generator(np.random.PCG64([seed, index])).integers(-12, 13, picture.shape)
    slices: Pixels = np.clip(picture + noise, 0, 4095).astype(np.uint16)
    return slices


def ultrasound_frame(seed: int, number: int) -> Pixels:
    """One frame (240, 320) uint8 of a sector scan with a beating cavity; `number` moves it and its speckle."""
    rows, columns = np.mgrid[0:240, 0:320].astype(np.int64)
    depth = rows - 8
    sideways = columns - 160
    distance = depth * depth + sideways * sideways
    sector = (depth > 0) & (sideways * sideways * 3 < depth * depth * 4) & (distance < 224 * 224)
    speckle = np.random.Generator(np.random.PCG64([seed, number])).integers(0, 90, rows.shape)
    bands = (distance // 900 % 7) * 9
    beat = (0, 3, 7, 10, 11, 10, 7, 3)[number % 8]
    cavity = ((rows - 120) ** 2) * 4 + ((columns - 160) ** 2) * 3 < (52 + beat) ** 2 * 3
    picture = np.where(cavity, speckle // 5, 40 + speckle + bands)
    return np.where(sector, np.minimum(picture, 255), 0).astype(np.uint8)


def endoscopy_frame(seed: int, number: int) -> Pixels:
    """One frame (480, 640, 3) uint8 of a round field with folds around a dark lumen; `number` moves the scope."""
    rows, columns = np.mgrid[0:480, 0:640].astype(np.int64)
    down, right = rows - 240, columns - 320
    field = down * down + right * right < 228 * 228
    lumen_down, lumen_right = down + 3 * number % 40 - 20, right - 5 * number % 60 + 30
    distance = lumen_down * lumen_down + lumen_right * lumen_right
    folds = ((distance // 1800 + (np.abs(lumen_down) + np.abs(lumen_right)) // 40 + number) % 5) * 8
    light = np.clip(30 + distance // 160, 30, 200)
    noise = np.random.Generator(np.random.PCG64([seed, number, 7])).integers(0, 10, rows.shape)
    red = np.clip(light + folds + noise, 0, 255)
    picture = np.stack([red, red * 5 // 9 + noise, red * 4 // 9 + noise], axis=-1)
    return np.where(field[..., None], picture, 8).astype(np.uint8)


def _fill(
    picture: Pixels, rows: Pixels, columns: Pixels, ellipse: tuple[int, int, int, int], value: int
) -> None:
    """Fill an ellipse given as centre row, centre column, half height, half width (in pixels from the middle)."""
    row, column, high, wide = ellipse
    inside = (rows - row) ** 2 * wide * wide + (columns - column) ** 2 * high * high <= high * high * wide * wide
    picture[inside] = value
