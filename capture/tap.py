"""The one reader of a source: feeds recorders, which lose nothing, and screens, which get the newest frame only."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from capture.encode import jpeg
from capture.evidence import Evidence
from capture.frame import Format, Frame
from capture.picture import preview
from capture.source import CaptureError, Source, SourceLost

_SPILL = 160 << 20  # bytes of frames that wait for a recorder before frames are lost
_LEAST = 12  # frames that may wait, however large they are
_AGAIN = (0.25, 2.0)  # seconds before the first and between later attempts to open a lost source
_SILENCE = 2.0  # seconds without a frame after which there is no signal
_STOP = 5.0  # seconds that a source may take to let go
_QUALITY = 80


def _nobody(state: str, words: str) -> None:
    """Hears the news where nobody else does."""


class Reader:
    """The frames of a tap, each of them, in order; made by Tap.subscribe. One thread reads it.

    The tap never waits: where the reader is too slow for too long, frames are lost, counted in `lost`, and seen as gaps
    in Frame.number. `ended` says in words why no more will come, and is empty until then; `flaws` what was wrong with
    the source.
    """

    def __init__(self, depth: int | None, forget: Callable[[Reader], None]) -> None:
        self.lost = 0
        self.ended = ""
        self.flaws: list[str] = []
        self._depth = depth
        self._forget = forget
        self._frames: deque[Frame] = deque()
        self._news = threading.Condition()

    def get(self, timeout: float) -> Frame | None:
        """The next frame; None when none came within `timeout` seconds, or when there are no more (see `ended`)."""
        with self._news:
            self._news.wait_for(lambda: bool(self._frames) or bool(self.ended), timeout)
            return self._frames.popleft() if self._frames else None

    def close(self) -> None:
        """Read no more."""
        self._forget(self)

    def put(self, frame: Frame) -> bool:
        """The tap's side: take a frame; False where there was no room and it is lost."""
        with self._news:
            if len(self._frames) >= (self._depth or max(_LEAST, _SPILL // _weight(frame))):
                self.lost += 1
                return False
            self._frames.append(frame)
            self._news.notify()
            return True

    def end(self, words: str, flaws: list[str]) -> None:
        """The tap's side: no more frames come, and why."""
        with self._news:
            if not self.ended:
                self.ended, self.flaws = words, list(flaws)
            self._news.notify()


class Tap:
    """A thread that reads a source from `start` to `stop`, and opens it again when the device was lost.

    `on_news` is called with a state word and a sentence, from the tap's thread, whenever something changes: `live`,
    `no signal`, `frozen`, `lost`, `ended`, and `dropped` for frames that did not come or were not taken in time.
    """

    def __init__(self, open_source: Callable[[], Source], *, on_news: Callable[[str, str], None] = _nobody) -> None:
        self.format: Format | None = None
        self.name = ""
        self.seen = 0.0  # when the newest frame came, seconds since 1970
        self._open, self._tell = open_source, on_news
        self._state = "starting"
        self._latest: Frame | None = None
        self._came = time.monotonic()
        self._news = threading.Condition()
        self._readers: list[Reader] = []
        self._stopping = threading.Event()
        self._source: Source | None = None
        self._thread: threading.Thread | None = None
        self._drawing = threading.Lock()
        self._drawn: dict[int, tuple[int, bytes]] = {}
        self._base = 0  # added to the numbers of a source that was opened again

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._thread is not None and not self._stopping.is_set()

    @property
    def state(self) -> str:
        """`starting`, `live`, `no signal`, `frozen`, `lost: words`, `ended` or `stopped`."""
        if self._state in ("live", "frozen") and self.format:
            patience = max(_SILENCE, 5 / float(self.format.rate))
            if time.monotonic() - self._came > patience:
                return "no signal"
        return self._state

    def start(self) -> None:
        """Begin to read; a source that is missing is said in `state` and tried again, not raised."""
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the source go and end every reader; may be called twice."""
        self._stopping.set()
        source = self._source
        if source:
            source.close()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(_STOP)
        self._end_readers("the station was stopped", [])
        with self._news:
            self._state = "stopped"
            self._news.notify_all()

    def latest(self) -> Frame | None:
        """The newest frame."""
        return self._latest

    def wait_frame(self, after: int, timeout: float) -> Frame | None:
        """The newest frame once its number is above `after`; None when the time is up, or the source ended."""

        def ready() -> bool:
            fresh = self._latest is not None and self._latest.number > after
            return fresh or self._state in ("ended", "stopped")

        with self._news:
            self._news.wait_for(ready, timeout)
            latest = self._latest
        return latest if latest is not None and latest.number > after else None

    def subscribe(self, depth: int | None = None) -> Reader:
        """Every frame from now on; `depth` frames may wait, by default 160 MB of them (at least 12)."""
        reader = Reader(depth, self._forget)
        with self._news:
            if self._state in ("ended", "stopped"):
                reader.end(f"the source has {self._state}", [])
            self._readers.append(reader)
        return reader

    def preview(self, width: int) -> tuple[int, bytes] | None:
        """Number and JPEG of the newest frame, at most `width` wide, pixels square; made once per frame and width."""
        frame = self._latest
        if frame is None:
            return None
        with self._drawing:
            made = self._drawn.get(width)
            if made is None or made[0] < frame.number:
                made = (frame.number, jpeg(preview(frame, width), _QUALITY, is_bgr=True))
                if len(self._drawn) > 4:
                    self._drawn.clear()
                self._drawn[width] = made
            return made

    def _forget(self, reader: Reader) -> None:
        with self._news:
            if reader in self._readers:
                self._readers.remove(reader)

    def _run(self) -> None:
        """The thread: open, read until the source is lost, open again."""
        pause = _AGAIN[0]
        while not self._stopping.is_set():
            try:
                source = self._open()
            except CaptureError as error:
                self._lost(error)
                self._stopping.wait(pause)
                pause = min(pause * 2, _AGAIN[1])
                continue
            pause = _AGAIN[0]
            self._source, self.name = source, source.name
            try:
                if self._read(source, Evidence(source)):
                    return
            except CaptureError as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001  whatever a driver raises: the tap lives on and opens it again
                self._lost(SourceLost(f"{source.name} failed: {error!r}"))
            finally:
                source.close()
            self._stopping.wait(pause)

    def _read(self, source: Source, evidence: Evidence) -> bool:
        """Read until the end; True if it came by itself or by `stop`. Raises CaptureError when the source is lost."""
        self._base = self._next_number(source)
        self.format = source.format
        while not self._stopping.is_set():
            frame = source.read()
            if frame is None:
                break
            missing = evidence.look(frame)
            if self._base:
                frame = Frame(self._base + frame.number, frame.time, frame.image, frame.format, frame.losses)
            self._publish(frame)
            if missing:
                self._tell("dropped", f"{missing} frames did not come from {source.name}")
            self._enter(evidence.state, f"{source.name}: {evidence.state}")
        if not self._stopping.is_set():
            flaws: list[str] = list(getattr(source, "flaws", ()))
            self._end_readers("; ".join(flaws) or "the source has ended", flaws)
            self._enter("ended", "; ".join([f"{source.name} has ended", *flaws]))
        return True

    def _next_number(self, source: Source) -> int:
        """Numbers go on where a lost source stopped, with room for what was missed meanwhile."""
        if self._latest is None:
            return 0
        away = time.monotonic() - self._came
        return self._latest.number + max(1, round(away * float(source.format.rate)))

    def _publish(self, frame: Frame) -> None:
        """Hand a frame to every reader and to whoever looks at the newest; never waits."""
        now = time.monotonic()
        with self._news:
            self._latest, self._came, self.seen = frame, now, time.time()
            self.format = frame.format
            readers = list(self._readers)
            self._news.notify_all()
        full = [reader for reader in readers if not reader.put(frame)]
        for reader in full:
            if reader.lost in (1, 10, 100, 1000):
                self._tell("dropped", f"the recording does not keep up: {reader.lost} frames were lost")

    def _lost(self, error: CaptureError) -> None:
        """Say what happened; recordings end when the device went away, and wait on while it was never there."""
        words = f"lost: {error} {error.advice}"
        if isinstance(error, SourceLost):
            self._end_readers(str(error), [str(error)])
        self._enter(words, words.removeprefix("lost: "))

    def _end_readers(self, words: str, flaws: list[str]) -> None:
        with self._news:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.end(words, flaws)

    def _enter(self, state: str, words: str) -> None:
        with self._news:
            if state == self._state:
                return
            self._state = state
            self._news.notify_all()
        self._tell(state.partition(":")[0], words)


def _weight(frame: Frame) -> int:
    """Bytes of a frame."""
    if isinstance(frame.image, np.ndarray):
        return max(1, frame.image.nbytes)
    return max(1, sum(plane.buffer_size for plane in frame.image.planes))
