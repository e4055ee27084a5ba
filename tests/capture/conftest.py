"""Pictures of our own making for the tests of capture/: numbered videos, and sources that misbehave on request."""

import threading
import time
from fractions import Fraction

import av
import pytest

from capture.frame import Format, Frame
from capture.source import SourceLost, SourceMissing
from capture.sources.testcard import TestCard


def write_video(path, frames, size=(320, 240), rate=25, codec="libx264", options=None, container=None):
    """A video of the test card: its strip numbers the frames from 0."""
    card = TestCard(*size, Fraction(rate))
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=Fraction(rate), options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            image = card.draw(number, 0.0)
            image.pts, image.time_base = number, 1 / Fraction(rate)
            file.mux(stream.encode(image))
        file.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    """Makes a numbered video once for each set of arguments: video(frames, size, rate)."""
    made = {}

    def make(frames=50, size=(320, 240), rate=25, suffix=".mp4"):
        key = frames, size, rate, suffix
        if key not in made:
            path = tmp_path_factory.mktemp("video") / f"numbered{suffix}"
            made[key] = write_video(path, frames, size, rate, options={"preset": "ultrafast", "crf": "18"})
        return made[key]

    return make


class Script:
    """A source that does what it is told: `steps` are ("frame", number), ("lost",), ("hang",), ("raise", error)."""

    def __init__(self, steps, size=(320, 240), rate=50, live=True, hold=0.0):
        self.name = "scripted camera"
        self.format = Format(*size, Fraction(rate), "yuv420p")
        self.live = live
        self.flaws = []
        self.closed = threading.Event()
        self._card = TestCard(*size, Fraction(rate))
        self._steps = iter(steps)
        self._hold = hold

    def read(self):
        if self.closed.wait(self._hold):
            return None
        step = next(self._steps, None)
        if step is None:
            return None
        if step[0] == "frame":
            shown = step[2] if len(step) > 2 else step[1]
            return Frame(step[1], time.time(), self._card.draw(shown, 0.0), self.format)
        if step[0] == "lost":
            raise SourceLost("the scripted camera was unplugged")
        if step[0] == "raise":
            raise step[1]
        self.closed.wait(20)
        return None

    def close(self):
        self.closed.set()


def frames(*numbers):
    """Steps that deliver these frames."""
    return [("frame", number) for number in numbers]


class Opener:
    """An open_source for a Tap: gives these sources one after the other; None is a device that is not there."""

    def __init__(self, *sources):
        self._sources = list(sources)
        self.opened = 0

    def __call__(self):
        self.opened += 1
        source = self._sources.pop(0) if self._sources else None
        if source is None:
            raise SourceMissing("the scripted camera is not connected.")
        return source


def until(true, timeout=10.0):
    """Wait until something holds; fails when it does not."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
