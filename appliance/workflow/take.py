"""One recording under way, in a folder of its own that says enough for another process to keep it after a crash."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from appliance.clinic.exam import Picture
from appliance.dicom.syntaxes import by_stream
from appliance.errors import ApplianceError, IllegalPair, StateError
from appliance.spool.books import from_json, to_json
from appliance.spool.latch import Latch
from appliance.workflow.becoming import How
from capture.coding import coding_for
from capture.encode import choose_codec
from capture.frame import Clip, Format, Frame
from capture.recorder import Recorder
from capture.source import CaptureError
from capture.tap import Reader

NOTE, LOCK = "how.json", "take.lock"
VIDEO_CODECS = frozenset({"mpeg2", "mpeg2-hd", "h264", "hevc"})


@dataclass(frozen=True)
class Note:
    """What lies beside a recording: what the clip becomes, under which SOP Instance UID, so that it is kept once."""

    how: How
    uid: str


class Take:
    """A clip being recorded into a folder of its own; `seconds` limits it, counted in frames of the source.

    The folder is locked until `let_go`, so that nobody takes it for what a crash left. `kept` becomes the picture, or
    why there is none.
    """

    def __init__(self, exam_id: str, folder: Path, note: Note, seconds: float | None = None) -> None:
        self.exam_id = exam_id
        self.folder = folder
        self.note = note
        self.started = time.time()
        self.kept: Future[Picture] = Future()
        self._seconds = seconds
        self._over = threading.Event()
        self._recorder: Recorder | None = None
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        folder.mkdir(parents=True)
        self._latch = Latch(folder / LOCK)
        self._latch.take()
        (folder / NOTE).write_text(to_json(note), encoding="utf-8")

    @property
    def frames(self) -> int:
        """How many frames are recorded."""
        return self._recorder.frames if self._recorder else 0

    def start(
        self, reader: Reader, codec: Callable[[Frame], str], look: Callable[[], str], ended: Callable[["Take"], None]
    ) -> None:
        """Begin; `codec` chooses by the first frame, `look` says why to end, `ended` hears that it ended by itself."""
        recorder = Recorder(self.folder, codec)
        self._recorder = recorder

        def run() -> None:
            try:
                recorder.follow(reader, seconds=self._seconds, stop=self._over, look=look)
            except Exception as error:  # noqa: BLE001  kept for finish(), which tells the person
                self._error = error
            if not self._over.is_set():
                ended(self)

        self._thread = threading.Thread(target=run, name="take", daemon=True)
        self._thread.start()

    def wait(self, patience: float) -> None:
        """Wait until the take has its seconds or the source has ended; at most `patience` seconds without a new frame."""
        assert self._thread
        count, since = self.frames, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < patience:
            self._thread.join(0.25)
            if self.frames != count:
                count, since = self.frames, time.monotonic()

    def finish(self) -> Clip:
        """Stop, and close the clip. Raises StateError when there was no frame, CaptureError for what stopped it."""
        self._over.set()
        if self._thread:
            self._thread.join()
        if self._recorder is not None and self._recorder.frames:
            return self._recorder.stop()
        if isinstance(self._error, CaptureError):
            raise self._error
        if self._error:
            raise CaptureError(f"nothing could be recorded: {self._error}", "Record again.") from self._error
        raise StateError("no frame came while recording", "Look at the live picture, and record again.")

    def size(self) -> int:
        """Bytes on disk so far."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def let_go(self) -> None:
        """Nobody works on the folder any more; may be called twice."""
        self._latch.free()


@dataclass(frozen=True)
class Left:
    """What a crash left of a take: its folder, its exam, its note (None where that is torn), its recordings."""

    folder: Path
    exam_id: str
    note: Note | None
    files: tuple[Path, ...]


def left_behind(recordings: Path) -> Iterator[Left]:
    """The takes of processes that are no more, oldest first; each is locked for as long as it is looked at."""
    for folder in sorted(path for path in recordings.glob("*/*") if path.is_dir()):
        with Latch(folder / LOCK) as latch:
            if not latch.take():
                continue  # somebody records into it, or is just keeping it
            try:
                note: Note | None = from_json(Note, (folder / NOTE).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                note = None
            yield Left(folder, folder.parent.name, note, tuple(sorted(folder.glob("clip-*"))))


def codec_for(words: Sequence[str], layout: Format) -> str:
    """What to record with, of the wishes `auto` or a syntax: asked for, the source's, the station's; the first counts.

    IllegalPair where what was asked for cannot be; where only the settings say it, what suits the source takes its place.
    A per-frame syntax is recorded raw.
    """
    word = next((one for one in words if one != "auto"), "auto")
    if word != "auto" and word not in VIDEO_CODECS:
        return "raw"
    wrong = "not asked for" if word == "auto" else why_not(word, layout)
    if not wrong:
        return word
    if words[0] != "auto":
        raise IllegalPair(f"this source cannot be recorded as {word}: {wrong}", "Choose auto, or a per-frame syntax.")
    chosen = choose_codec(layout).codec
    return "raw" if why_not(chosen, layout) else chosen


def why_not(codec: str, layout: Format) -> str:
    """Why a recording of this kind could not become an object, in words (PS3.5 8.2.5 to 8.2.11); empty where it can."""
    if codec.startswith(("h264", "hevc")) and layout.aspect != 1:
        return f"{codec} takes square pixels only"
    try:
        coding = coding_for(codec, layout)
        by_stream(coding.codec, coding.profile, coding.level, coding.format.width, coding.format.height, coding.format.rate)
    except (CaptureError, ApplianceError) as error:
        return str(error)
    return ""
