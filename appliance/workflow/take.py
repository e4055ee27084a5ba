"""One recording under way: a thread that carries frames from the tap to the recorder."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from appliance.errors import StateError
from appliance.workflow.acquire import How
from capture.frame import Clip, Frame
from capture.recorder import Recorder
from capture.tap import Reader


class Take:
    """A clip being recorded into a folder of its own; `seconds` limits it, counted in frames of the source."""

    def __init__(self, exam_id: str, folder: Path, how: How, seconds: float | None = None) -> None:
        self.exam_id = exam_id
        self.folder = folder
        self.how = how
        self.started = time.time()
        self._seconds = seconds
        self._over = threading.Event()
        self._recorder: Recorder | None = None
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        folder.mkdir(parents=True)
        note = {"syntax": how.syntax, "object": how.object}
        (folder / "how.json").write_text(json.dumps(note), encoding="utf-8")

    @property
    def frames(self) -> int:
        """How many frames are recorded."""
        return self._recorder.frames if self._recorder else 0

    def start(self, reader: Reader, codec: Callable[[Frame], str], ended: Callable[[], None]) -> None:
        """Begin; `codec` chooses by the first frame, `ended` is called where the take ended without being told to."""

        def run() -> None:
            try:
                self._carry(reader, codec)
            except Exception as error:  # noqa: BLE001  kept for finish(), which tells the person
                self._error = error
            finally:
                reader.close()
                self._note(reader)
            if not self._over.is_set():
                ended()

        self._thread = threading.Thread(target=run, name="take", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the take has its seconds, or the source has ended."""
        if self._thread:
            self._thread.join()

    def finish(self) -> Clip:
        """Stop, and close the clip. Raises StateError when there was no frame, or what stopped the recording."""
        self._over.set()
        self.wait()
        if self._recorder is None or not self._recorder.frames:
            raise self._error or StateError("no frame came while recording")
        return self._recorder.stop()

    def _note(self, reader: Reader) -> None:
        """What was wrong with the source, or with this machine, belongs to the clip."""
        words = [*reader.flaws]
        if reader.lost:
            words.append(f"{reader.lost} frames were lost because this machine did not keep up")
        if self._recorder and self._recorder.frames:
            for one in words:
                self._recorder.note(one)

    def _carry(self, reader: Reader, codec: Callable[[Frame], str]) -> None:
        first = until = 0
        while not self._over.is_set():
            frame = reader.get(0.25)
            if frame is None:
                if reader.ended:
                    return
                continue
            if self._recorder is None:
                self._recorder = Recorder(self.folder, codec(frame))
                first = frame.number
                until = first + round(self._seconds * float(frame.format.rate)) if self._seconds else 0
            if until and frame.number >= until:
                return
            self._recorder.write(frame)
            if until and frame.number == until - 1:
                return
