"""What the test card shows: a round field as an endoscope has it, colour bars, a clock. Painted once, animated cheaply."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from capture.coding import LIMITED
from capture.frame import Pixels
from capture.picture import matrix_for, plane_of

_STRIP = 32
_BARS = [(235, 235, 235), (235, 235, 16), (16, 235, 235), (16, 235, 16), (235, 16, 235), (235, 16, 16), (16, 16, 235)]
_INK = (214, 222, 226)
_FAINT = (120, 134, 144)
_FONT = cv2.FONT_HERSHEY_DUPLEX


class Scene:
    """A picture of this size that moves. `draw` costs about half a millisecond at 1080 lines.

    The field of view is a map of phases: the walls of a lumen. Rolling one table of 256 brightnesses through it makes
    the folds come nearer; no pixel is computed anew.
    """

    def __init__(self, width: int, height: int, rate: Fraction) -> None:
        self._width, self._height, self._rate = width, height, rate
        room = height - _STRIP
        self._unit = max(0.25, min(room / 690, width / 1280))  # text and margins scale with the picture
        self._bar = max(4, round(34 * self._unit))
        size = max(16, min(room - self._bar - round(24 * self._unit), round(width * 0.62))) // 2 * 2
        wide = width >= height * 1.1
        self._left = (round(width * 0.035) if wide else (width - size) // 2) // 2 * 2
        self._top = (_STRIP + max(0, room - self._bar - size) // 2) // 2 * 2
        self._size = size
        self._column = self._left + size + round(34 * self._unit) if wide else 0
        self._planes = self._paint()
        self._phase, self._shade, self._table = _lumen(size)

    def draw(self, number: int, moment: float) -> av.VideoFrame:
        """Frame `number` as yuv420p, without the strip; `moment` (seconds since 1970) is what the clock shows."""
        image = av.VideoFrame(self._width, self._height, "yuv420p")
        image.colorspace = matrix_for(self._width, self._height)
        image.color_range = LIMITED
        views = []
        for at, painted in enumerate(self._planes):
            view = plane_of(image, at)
            np.copyto(view, painted)
            views.append(view)
        seconds = float(number / self._rate)
        field = views[0][self._top : self._top + self._size, self._left : self._left + self._size]
        table = np.roll(self._table, round(seconds * 42) % 256)
        lit = cv2.multiply(cv2.LUT(self._phase, table), self._shade, scale=1 / 255)
        np.maximum(field, lit, out=field)
        self._instrument(views, seconds)
        self._words(views[0], number, moment)
        return image

    def _instrument(self, views: list[Pixels], seconds: float) -> None:
        """A bright probe that circles in the field, so that a frozen picture is seen at a glance."""
        radius, angle = self._size * 0.27, seconds * 1.9
        centre = self._size / 2
        across = self._left + centre + radius * np.cos(angle)
        down = self._top + centre + radius * np.sin(angle * 1.31)
        ball = max(2.0, self._size * 0.028)
        cv2.circle(views[0], (round(across), round(down)), round(ball), 205, -1, cv2.LINE_AA)
        cv2.circle(
            views[0], (round(across - ball * 0.3), round(down - ball * 0.3)), max(1, round(ball * 0.3)), 235, -1, cv2.LINE_AA
        )
        for view, value in ((views[1], 150), (views[2], 96)):
            cv2.circle(view, (round(across / 2), round(down / 2)), max(1, round(ball / 2)), value, -1)

    def _words(self, luma: Pixels, number: int, moment: float) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(moment)) + f".{int(moment * 10) % 10}"
        if not self._column:
            _write(luma, clock, (round(8 * self._unit) + 4, self._height - self._bar - 6), max(0.35, 0.7 * self._unit), 200)
            return
        step = round(52 * self._unit)
        _write(luma, clock, (self._column, self._top + round(4.3 * step)), 1.25 * self._unit, 225)
        _write(luma, f"frame {number}", (self._column, self._top + round(5.3 * step)), 0.8 * self._unit, 190)

    def _paint(self) -> tuple[Pixels, Pixels, Pixels]:
        """Everything that stands still, as the three planes of yuv420p."""
        canvas = np.zeros((self._height, self._width, 3), np.uint8)
        canvas[:] = (13, 17, 20)
        tissue = _tissue(self._size)
        canvas[self._top : self._top + self._size, self._left : self._left + self._size] = tissue
        edges = np.linspace(0, self._width, len(_BARS) + 1).astype(int)
        for at, colour in enumerate(_BARS):
            canvas[self._height - self._bar :, edges[at] : edges[at + 1]] = colour
        if self._column:
            self._print_column(canvas)
        planes = _planes(canvas)
        planes[0][:_STRIP] = 16
        for chroma in planes[1:]:
            chroma[: _STRIP // 2] = 128
        # what lights the field comes with each frame; its colours stand still
        planes[0][self._top : self._top + self._size, self._left : self._left + self._size][_disc(self._size)] = 16
        return planes

    def _print_column(self, canvas: Pixels) -> None:
        """The words and the steps of gray beside the field."""
        step = round(52 * self._unit)
        lines = (
            ("TEST CARD", 1.35, _INK, 1.2),
            ("not a patient", 0.8, _FAINT, 2.0),
            (f"{self._width} x {self._height}  {float(self._rate):.4g}/s", 0.8, _FAINT, 2.9),
        )
        for words, scale, colour, line in lines:
            _write(canvas, words, (self._column, self._top + round(line * step)), scale * self._unit, colour)
        ramp = np.linspace(16, 235, 11).astype(np.uint8)
        side = max(2, (self._width - self._column - round(28 * self._unit)) // len(ramp))
        for at, value in enumerate(ramp):
            corner = (self._column + at * side, self._top + round(6.4 * step))
            cv2.rectangle(canvas, corner, (corner[0] + side - 2, corner[1] + round(0.9 * step)), (int(value),) * 3, -1)


def _write(picture: Pixels, words: str, at: tuple[int, int], scale: float, ink: Any) -> None:
    cv2.putText(picture, words, at, _FONT, scale, ink, max(1, round(scale * 1.3)), cv2.LINE_AA)


def _planes(canvas: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """RGB as writable yuv420p planes, in the matrix that belongs to the size."""
    rows, columns = canvas.shape[:2]
    frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
    matrix = matrix_for(columns, rows)
    yuv = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=LIMITED)
    return plane_of(yuv, 0).copy(), plane_of(yuv, 1).copy(), plane_of(yuv, 2).copy()


def _polar(size: int) -> tuple[Pixels, Pixels]:
    """Distance from the lumen's centre, which lies a little off, and the angle; 1 is the field's edge."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) * (2 / size) - 1
    rows, columns = rows + 0.1, columns - 0.14
    return np.asarray(np.hypot(rows, columns)), np.asarray(np.arctan2(rows, columns))


def _disc(size: int) -> Pixels:
    """Which pixels of the square lie in the field of view."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) * (2 / size) - 1
    return np.asarray(np.hypot(rows, columns) < 0.985)


def _smooth(size: int, grain: float, seed: int) -> Pixels:
    """Soft noise around 0, about 1 high."""
    coarse = max(3, round(size / grain / 8)) if grain > size / 8 else max(3, round(size / grain))
    noise = np.random.default_rng(seed).standard_normal((coarse, coarse)).astype(np.float32)
    return np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC))


def _lumen(size: int) -> tuple[Pixels, Pixels, Pixels]:
    """The map of phases, the light that falls on each place, and the table of brightnesses to roll through them."""
    away, angle = _polar(size)
    folds = -2.6 * np.log(np.maximum(away, 0.02)) + 0.16 * np.sin(3 * angle + 1) + 0.07 * np.sin(5 * angle)
    folds += 0.09 * _smooth(size, size / 6, 3)
    phase = (np.mod(folds, 1.0) * 255).astype(np.uint8)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) * (2 / size) - 1
    edge = np.clip((0.985 - np.hypot(rows, columns)) * 28, 0, 1)
    light = np.clip((away - 0.06) * 2.1, 0, 1) ** 0.8 * np.clip(1.16 - 0.42 * away, 0, 1)
    grain = 1 + 0.05 * _smooth(size, size / 40, 5) + 0.03 * _smooth(size, size / 120, 7)
    shade = np.clip(255 * light * edge * grain * (1 - 0.22 * _vessels(size)), 0, 255).astype(np.uint8)
    turn = np.linspace(0, 1, 256, endpoint=False)
    ridge = (
        np.exp(-(((turn - 0.82) / 0.16) ** 2))
        - 0.75 * np.exp(-(((turn - 0.04) / 0.07) ** 2))
        - 0.5 * np.exp(-(((turn - 1.04) / 0.07) ** 2))
    )
    table = np.clip(128 + 62 * ridge, 16, 225).astype(np.uint8)
    return np.asarray(phase), np.asarray(shade), table


def _vessels(size: int) -> Pixels:
    """Fine branching lines, 0 to 1."""
    field = _smooth(size, size / 9, 11) + 0.5 * _smooth(size, size / 17, 13)
    return np.asarray(np.exp(-((field / 0.055) ** 2)))


def _tissue(size: int) -> Pixels:
    """The colours of the field, RGB; outside the disc the dark of the card."""
    away, _ = _polar(size)
    warm = np.array([206, 112, 92], np.float32) + 9 * _smooth(size, size / 5, 17)[..., None]
    deep = np.array([150, 52, 40], np.float32)
    mix = np.clip(1.25 - away * 1.25, 0, 1)[..., None]
    colour = warm * (1 - mix) + deep * mix
    vessel = 0.5 * _vessels(size)[..., None]
    colour = colour * (1 - vessel) + np.array([176, 40, 44], np.float32) * vessel
    picture = np.clip(colour, 0, 255).astype(np.uint8)
    picture[~_disc(size)] = (13, 17, 20)
    return np.asarray(picture)
