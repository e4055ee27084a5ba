"""Frames to a clip on disk, in pieces that survive a power cut; and what a crash left behind, made a clip again."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import av.error

from capture import journal, rescue
from capture.coding import coding_for
from capture.encode import Encoder, open_encoder
from capture.frame import Clip, Format, Frame
from capture.source import CaptureError
from capture.tap import Reader

_WAITING = 8  # frames between the writer and the encoder; the long queue is the Reader's
_SYNC = 0.5  # seconds between two fsyncs: what a power cut may take
_POLL = 0.25
_LOOK = 1.0  # seconds between two looks whether the recording may go on


class Recorder:
    """Encodes frames into a file of its own in `folder`, in a thread of its own (libavcodec leaves the GIL alone).

    `codec` is mpeg2, mpeg2-hd, h264, h264-hardware, hevc or raw, or chooses one of them by the first frame. Give it the
    frames of one Reader: `write` waits while the encoder is behind, and the Reader is what holds the rest. Beside the
    clip lies its journal (`.journal`): with it `salvage` makes a clip of what a crash leaves. Both belong to the caller,
    who removes the folder.
    """

    def __init__(self, folder: Path, codec: str | Callable[[Frame], str]) -> None:
        self._folder, self._codec = folder, codec
        self._waiting: queue.Queue[Frame | None] = queue.Queue(_WAITING)
        self._path: Path | None = None
        self._shape: Format | None = None
        self._journal: journal.Journal | None = None
        self._encoder: Encoder | None = None
        self._error: Exception | None = None
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def frames(self) -> int:
        """How many frames are recorded so far."""
        return len(self._journal.record.numbers) if self._journal else 0

    def write(self, frame: Frame) -> None:
        """Take a frame. Raises what stopped the encoder (a full disk, a changed format): `stop` still gives the clip so far.

        EncoderMissing at the first frame where the codec cannot carry its size and rate.
        """
        if self._journal is None:
            self._begin(frame)
        elif self._shape and (frame.format.width, frame.format.height) != (self._shape.width, self._shape.height):
            sizes = [f"{one.width}×{one.height}" for one in (self._shape, frame.format)]
            words = f"the picture changed from {sizes[0]} to {sizes[1]}"
            self.note(f"{words}; the clip ends there")
            raise CaptureError(f"{words}.", "The clip up to there is kept; begin a new one.")
        while True:
            if self._error:
                raise self._error
            try:
                return self._waiting.put(frame, timeout=_POLL)
            except queue.Full:
                continue

    def note(self, words: str) -> None:
        """Write down what a person should know about this clip: it becomes one of Clip.flaws."""
        if self._journal and not self._stopped.is_set():
            self._journal.note(words)

    def follow(
        self,
        reader: Reader,
        *,
        seconds: float | None = None,
        stop: threading.Event | None = None,
        look: Callable[[], str] = lambda: "",
    ) -> None:
        """Take the frames of a reader until `seconds` of the source are over, `stop` is set, or the source ends.

        Without losses N seconds at rate R are round(N·R) frames, at least one; a lost frame counts as time that passed, so
        that the clip then has fewer, and says so. What waits in the reader when `stop` is set is still taken. `look` is
        called every second; words of its end the clip there and become a flaw. Raises as `write` does.
        """
        last: int | None = None
        looked = time.monotonic()
        try:
            while True:
                stopped = stop is not None and stop.is_set()
                if stopped:
                    reader.close()
                frame = reader.get(0 if stopped else _POLL)
                if frame is None:
                    if stopped or reader.ended:
                        return
                    continue
                if seconds and last is None:
                    last = frame.number + max(1, round(seconds * frame.format.rate)) - 1
                if last is None or frame.number <= last:
                    self.write(frame)
                if last is not None and frame.number >= last:
                    return
                if time.monotonic() - looked >= _LOOK:
                    looked = time.monotonic()
                    if words := look():
                        self.note(words)
                        return
        finally:
            reader.close()
            for words in reader.flaws:
                self.note(words)
            if reader.lost:
                self.note(f"{reader.lost} frames were lost because this machine did not keep up")

    def stop(self) -> Clip:
        """Encode what waits and close the clip; may be called once. CaptureError where there is no whole frame.

        What went wrong on the way, and every missing frame, stands in Clip.flaws.
        """
        if self._journal is None or self._path is None or self._encoder is None:
            raise CaptureError("nothing was recorded: no frame came.", "Look at the live picture, and record again.")
        while self._threads[0].is_alive():
            try:
                self._waiting.put(None, timeout=_POLL)
                break
            except queue.Full:
                continue
        self._threads[0].join()
        self._stopped.set()
        self._threads[1].join()
        try:
            _sync(self._path)
        except OSError as error:
            self._error = self._error or error
        if self._error:
            with contextlib.suppress(OSError):  # a full disk takes no note, either: then the clip itself has it
                self._journal.note(f"the recording stopped early: {_words(self._error)}")
                self._journal.close()
            clip = rescue.clip_of(self._path, self._journal.record)
            if clip is None:
                raise CaptureError(f"nothing could be recorded: {_words(self._error)}") from self._error
            return clip
        self._journal.end()
        return rescue.finished(self._path, self._journal.record, self.frames)

    def _begin(self, frame: Frame) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._shape = frame.format
        codec = self._codec if isinstance(self._codec, str) else self._codec(frame)
        suffix = coding_for(codec, frame.format).suffix
        self._path = self._folder / f"clip-{time.time_ns()}{suffix}"
        opened = open_encoder(self._path, codec, frame.format)
        captured = datetime.fromtimestamp(frame.time, UTC).astimezone()
        self._encoder = opened
        self._journal = journal.Journal(
            self._path.with_suffix(journal.SUFFIX), opened.coding, frame.format, captured, frame.losses
        )
        for name, work in (("recorder", self._encode), ("recorder-sync", self._keep_synced)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _encode(self) -> None:
        assert self._encoder and self._journal
        try:
            while (frame := self._waiting.get()) is not None:
                self._encoder.encode(frame)
                self._journal.frame(frame.number, frame.time)
        except Exception as error:  # noqa: BLE001  told by write() and stop(), in the caller's thread
            self._error = error
        try:
            self._encoder.close()
        except (OSError, av.error.FFmpegError) as error:
            self._error = self._error or error

    def _keep_synced(self) -> None:
        assert self._path
        try:
            while not self._stopped.wait(_SYNC):
                _sync(self._path)
        except OSError as error:  # a disk that does not keep what it took
            self._error = self._error or error


def salvage(path: Path) -> Clip | None:
    """A clip of what a crash or a power cut left at `path`, with a flaw that says so; None where there is no whole frame.

    Of a recording that had ended the clip is as `stop` gave it. None too for a file that is no recording.
    """
    return rescue.salvage(path)


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return  # a raw file that was not begun
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
