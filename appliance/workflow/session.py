"""One exam after another in front of one camera: the station's verbs, joined to the tap."""

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from appliance.clinic.exam import Exam, ExamState, Picture
from appliance.clinic.order import Order
from appliance.errors import ApplianceError, IllegalPair, StateError
from appliance.events import Event
from appliance.settings import SourceSetting
from appliance.workflow.acquire import Acquisition, How, Place, region_set
from appliance.workflow.take import Take
from capture.encode import choose_codec
from capture.frame import Clip, Frame, Still
from capture.recorder import salvage
from capture.source import CaptureError, SourceLost
from capture.tap import Tap

FIRST_FRAME = 10.0  # seconds a source may take to show its first frame
FRESH = 2.0  # seconds; an older frame is not what the technologist sees
VIDEO_CODECS = frozenset({"mpeg2", "mpeg2-hd", "h264", "hevc"})


class Session:
    """What a technologist does: begin, still, record, stop, delete, finish, abandon. Safe from several threads."""

    def __init__(self, place: Place, acquisition: Acquisition, tap: Tap, source: SourceSetting) -> None:
        self._place = place
        self._acquisition = acquisition
        self._tap = tap
        self._source = source
        self._lock = threading.RLock()
        self._take: Take | None = None
        self._busy: list[str] = []
        self._exam_id = self._open_exam()

    # the exam

    @property
    def exam(self) -> Exam | None:
        """The open exam of this station, also one that an earlier start left open."""
        if self._exam_id is None:
            return None
        exam = self._place.ledger.exam(self._exam_id)
        if exam.state != ExamState.OPEN:
            self._exam_id = None
            return None
        return exam

    @property
    def take(self) -> Take | None:
        """The clip being recorded."""
        return self._take

    @property
    def busy(self) -> list[str]:
        """What is still being done, in words."""
        return list(self._busy)

    def begin(self, orders: Sequence[Order]) -> Exam:
        """Open an exam; raises StateError while another is open here."""
        with self._lock:
            if self.exam:
                raise StateError("an exam is open: finish or abandon it first")
            exam = self._acquisition.begin(orders)
            self._exam_id = exam.id
            self._place.ledger.sign("station-exam", {"id": exam.id})
            return exam

    def finish(self) -> Exam:
        """End the exam; a running recording is stopped and kept first."""
        return self._close(lambda exam_id: self._acquisition.finish(exam_id))

    def abandon(self, reason: str) -> Exam:
        """End the exam early; a running recording is stopped and kept first."""
        return self._close(lambda exam_id: self._acquisition.abandon(exam_id, reason))

    def _close(self, end: Callable[[str], Exam]) -> Exam:
        with self._lock:
            exam = self._demand_exam()
            if self._take:
                self.stop()
            ended = end(exam.id)
            self._exam_id = None
            return ended

    # pictures

    def still(self, how: How | None = None, exam_id: str | None = None) -> Picture:
        """Keep what is on the screen now; the frame is taken before anything else."""
        frame = self._frame()
        exam_id = exam_id or self._demand_exam().id
        return self.keep(exam_id, still_of(frame), how or self.how())

    def stills(self, how: How, exam_id: str | None, count: int, every: float) -> list[Picture]:
        """Several stills, `every` seconds apart, never the same frame twice; SourceLost when the source has no more."""
        exam_id = exam_id or self._demand_exam().id
        if not self._tap.running:
            self._tap.start()
        pictures: list[Picture] = []
        after = -1
        for number in range(count):
            if number:
                time.sleep(every)
            frame = self._tap.wait_frame(after, FIRST_FRAME)
            if frame is None:
                raise SourceLost(f"there is no further picture: {self._tap.state}")
            after = frame.number
            pictures.append(self.keep(exam_id, still_of(frame), how))
        return pictures

    def keep(self, exam_id: str, subject: Still | Clip, how: How) -> Picture:
        """Keep a picture, and say meanwhile that it is being kept."""
        words = "keeping a clip" if isinstance(subject, Clip) else "keeping a still"
        self._busy.append(words)
        try:
            return self._acquisition.keep(exam_id, subject, how)
        finally:
            self._busy.remove(words)

    def record(self) -> Take:
        """Start to record; raises StateError when a recording runs, SourceLost without a picture, DiskFull."""
        return self._record(self.how(), self._demand_exam().id, None, self._ended)

    def clip(self, how: How, exam_id: str | None, seconds: float) -> Picture:
        """Record this many seconds, counted in frames; when this returns, the clip is kept.

        Where the source ends sooner, the clip is what there was.
        """
        self._record(how, exam_id or self._demand_exam().id, seconds, lambda: None).wait()
        return self.stop()

    def _record(self, how: How, exam_id: str, seconds: float | None, ended: Callable[[], None]) -> Take:
        with self._lock:
            if self._take:
                raise StateError("a clip is being recorded already")
            self._place.shelf.demand_space(self._place.settings.station.reserve_mb)
            self._acquisition.demand_legal(self._place.ledger.exam(exam_id).orders, "clip", how)
            if self._tap.running:
                self._frame()
            take = Take(exam_id, self._place.shelf.recordings / exam_id / f"{time.time_ns()}", how, seconds)
            self._take = take
            take.start(self._tap.subscribe(), lambda frame: self._codec(how.syntax, frame), ended)
            if not self._tap.running:
                self._tap.start()  # after the reader is there: not one frame of a file is missed
        self._place.tell(Event("recording.begun", {"exam": exam_id}))
        return take

    def stop(self) -> Picture:
        """End the recording; when this returns, the clip is kept."""
        with self._lock:
            take, self._take = self._take, None
        if take is None:
            raise StateError("no clip is being recorded")
        clip = take.finish()
        try:
            picture = self.keep(take.exam_id, clip, take.how)
        except (ApplianceError, CaptureError) as error:
            error.advice += f" The recording is safe in {take.folder}: it is tried again when the station starts."
            raise
        self._clear(take.folder)
        return picture

    def delete(self, picture_id: str) -> None:
        """Take a picture out of the open exam."""
        self._acquisition.delete(picture_id)

    def how(self, object_word: str = "auto", syntax: str = "auto") -> How:
        """What the settings say of this source's pictures."""
        source = self._source
        return How(
            object=source.object if object_word == "auto" else object_word,
            syntax=syntax,
            quality=source.quality,
            usual_region=region_set(source),
            usual_still=source.still_syntax,
            usual_clip=source.clip_syntax,
            laterality=source.laterality,
            conversion="SYN" if source.spec.startswith("testcard") else "DI" if ":" in source.spec.split("/")[0] else "DV",
        )

    def take_up(self) -> list[Picture]:
        """After a crash: close what was being recorded and keep it in its exam. Returns what was rescued."""
        rescued = []
        for folder in sorted(self._place.shelf.recordings.glob("*/*")):
            exam_id = folder.parent.name
            clips = [clip for clip in (salvage(path) for path in sorted(folder.iterdir())) if clip]
            try:
                words = json.loads((folder / "how.json").read_text(encoding="utf-8"))
                for clip in clips:
                    rescued.append(self.keep(exam_id, clip, self.how(words["object"], words["syntax"])))
            except (ApplianceError, CaptureError, OSError, ValueError) as error:
                kept = self._place.shelf.set_aside(folder)
                self._place.tell(Event("recording.aside", {"exam": exam_id, "where": str(kept), "words": str(error)}))
                continue
            self._clear(folder)
        return rescued

    def _ended(self) -> None:
        """The source ended by itself, or the seconds are over: the clip is kept without anybody asking."""
        threading.Thread(target=self._keep_ended, name="take-ended", daemon=True).start()

    def _keep_ended(self) -> None:
        try:
            self.stop()
            self._place.tell(Event("recording.ended", {"words": "the recording ended by itself; the clip is kept"}))
        except StateError:
            return  # the technologist was quicker
        except (ApplianceError, CaptureError) as error:
            self._place.tell(Event("recording.aside", {"words": f"{error} {error.advice}"}))

    def _clear(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other recordings of the exam may lie there
            folder.parent.rmdir()

    def _codec(self, asked: str, frame: Frame) -> str:
        """What to record with: as asked or set; where only the settings say it and it cannot be, what suits the source.

        H.264 and HEVC take square pixels only (PS3.5 8.2.7), which PAL and NTSC do not have.
        """
        station = self._place.settings.station
        word = next((one for one in (asked, self._source.clip_syntax, station.clip_syntax) if one != "auto"), "auto")
        unfit = word in ("h264", "hevc") and frame.format.aspect != 1
        if unfit and asked == word:
            advice = "Legal: mpeg2, or a per-frame syntax."
            raise IllegalPair(f"{word} takes square pixels only, this source has others", advice)
        if word == "auto" or unfit:
            chosen = choose_codec(frame.format).codec
            return "raw" if chosen in ("h264", "hevc") and frame.format.aspect != 1 else chosen
        return word if word in VIDEO_CODECS else "raw"

    def _frame(self) -> Frame:
        frame = self._tap.latest()
        if frame is None or time.time() - self._tap.seen > FRESH:
            raise SourceLost(f"there is no live picture: {self._tap.state}")
        return frame

    def _demand_exam(self) -> Exam:
        exam = self.exam
        if exam is None:
            raise StateError("no exam is open: choose a patient first")
        return exam

    def _open_exam(self) -> str | None:
        sign = self._place.ledger.signs("station-exam").get("station-exam")
        if sign is None:
            return None
        is_open = str(sign[1]["id"]) in {exam.id for exam in self._place.ledger.exams(ExamState.OPEN)}
        return str(sign[1]["id"]) if is_open else None


def still_of(frame: Frame) -> Still:
    """The still that a frame is; its time is the kernel's."""
    captured = datetime.fromtimestamp(frame.time, UTC).astimezone()
    bits = 16 if frame.format.pixels.startswith("gray16") else 8
    return Still(captured, pixels=frame.array(), bits=bits, aspect=frame.format.aspect, losses=frame.losses)
