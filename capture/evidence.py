"""No signal, a frozen picture, lost frames: noticed from the frames themselves, and said in words."""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable

import numpy as np

from capture.frame import Format, Frame, Pixels
from capture.picture import plane_of

_FROZEN = 3.0  # seconds without any change: a sensor always has noise, a stopped device has none
_FLAT = 1.0  # standard deviation of brightness below which there is no picture, only a colour
_STEP = 37  # every so manieth sample is looked at; odd, so that no raster hides a change
_ASK = 1.0  # seconds between two questions to the device


@runtime_checkable
class Signalling(Protocol):
    """A source that knows whether anything arrives at its input."""

    def has_signal(self) -> bool:
        """Whether a picture arrives."""
        ...


class Evidence:
    """Looks at every frame of a source; `state` is `live`, `no signal` or `frozen`. Costs some microseconds a frame."""

    def __init__(self, source: object) -> None:
        self.state = "live"
        self.lost = 0  # frames that the source did not deliver
        self._source = source if isinstance(source, Signalling) else None
        self._asked = 0.0
        self._signal = True
        self._sample: Pixels | None = None
        self._changed = 0.0
        self._number: int | None = None

    def look(self, frame: Frame) -> int:
        """Note a frame; returns how many are missing before it."""
        now = time.monotonic()
        missing = 0 if self._number is None else frame.number - self._number - 1
        self._number = frame.number
        self.lost += missing
        sample = _sample(frame)
        if self._sample is None or not np.array_equal(sample, self._sample):
            self._changed = now
        self._sample = sample
        if self._source and now - self._asked >= _ASK:
            self._asked, self._signal = now, self._source.has_signal()
        still = now - self._changed > max(_FROZEN, 3 / float(frame.format.rate))
        if not self._signal or (still and float(sample.std()) < _FLAT):
            self.state = "no signal"
        else:
            self.state = "frozen" if still else "live"
        return missing


def words_for_missing(missing: list[tuple[int, int]], shape: Format) -> list[str]:
    """What is said about lost frames: one line for each of the first gaps, then their sum.

    `missing` holds (frames recorded before the gap, frames lost in it).
    """
    lines = []
    for before, count in missing[:5]:
        at = before / float(shape.rate)
        lines.append(f"{count} {'frame is' if count == 1 else 'frames are'} missing after frame {before} ({at:.2f} s)")
    if len(missing) > 5:
        rest = sum(count for _, count in missing[5:])
        lines.append(f"{rest} further frames are missing in {len(missing) - 5} places")
    return lines


def _sample(frame: Frame) -> Pixels:
    """Some thousand brightnesses from all over the picture."""
    if isinstance(frame.image, np.ndarray):
        return frame.image.reshape(-1)[::_STEP].copy()
    plane = plane_of(frame.image, 0)
    return plane[:: max(1, plane.shape[0] // 64), ::_STEP].copy()
