"""One exam after another in front of one camera: the station's verbs, joined to the tap."""

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from appliance.clinic.exam import Exam, ExamState, Picture
from appliance.clinic.order import Order
from appliance.errors import ApplianceError, SpoolError, StateError
from appliance.events import Event
from appliance.settings import SourceSetting
from appliance.workflow.acquire import Acquisition
from appliance.workflow.becoming import How, demand_legal, region_set
from appliance.workflow.place import Place
from appliance.workflow.regions import Regions
from appliance.workflow.take import Left, Note, Take, codec_for, left_behind
from capture.frame import Clip, Frame, Still
from capture.recorder import salvage
from capture.source import CaptureError, SourceLost
from capture.tap import Tap

log = logging.getLogger("dicap.session")
FIRST_FRAME = 10.0  # seconds a source may take to show its first frame
FRESH = 2.0  # seconds; an older frame is not what the technologist sees
KEEPING = 60.0  # seconds that the end of an exam waits for its pictures


class NotRunning(StateError):
    """That recording has ended already."""


class NothingRecorded(StateError):
    """No frame came while recording: there is no clip."""


class Session:
    """What a technologist does: begin, still, record, stop, delete, finish, abandon. Safe from several threads.

    An exam does not end while a picture of it is being kept: what was pressed before Finish is in it.
    """

    def __init__(self, place: Place, acquisition: Acquisition, tap: Tap, source: SourceSetting) -> None:
        self._place = place
        self._acquisition = acquisition
        self._tap = tap
        self._source = source
        self.regions = Regions(place, source)
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._take: Take | None = None
        self._keeping: list[tuple[str, str]] = []  # (exam, words) of each picture on its way to the shelf
        self._closing: set[str] = set()
        self._exam_id = self._open_exam()

    # the exam

    @property
    def exam(self) -> Exam | None:
        """The open exam of this station, also one that an earlier start left open."""
        exam_id = self._exam_id
        if exam_id is None:
            return None
        exam = self._place.ledger.exam(exam_id)
        if exam.state == ExamState.OPEN:
            return exam
        with self._lock:  # another process has ended it
            if self._exam_id == exam_id:
                self._exam_id = None
        return None

    @property
    def take(self) -> Take | None:
        """The clip being recorded, which may be for an exam of a script's."""
        return self._take

    @property
    def busy(self) -> list[str]:
        """What is still being done, in words."""
        with self._lock:
            return [words for _, words in self._keeping]

    def begin(self, orders: Sequence[Order]) -> Exam:
        """Open an exam, or take up the one that was left open for just these orders.

        Raises StateError while another is open here, or elsewhere for one of them; DiskFull.
        """
        with self._lock:
            if self.exam:
                raise StateError("an exam is open: finish or abandon it first")
            if self._take and self._place.ledger.exam(self._take.exam_id).state != ExamState.OPEN:
                self._ended(self._take)  # its exam was ended elsewhere: nothing more is recorded for it
            exam = self._left_open(orders) or self._acquisition.begin(orders)
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
        exam_id = self._demand_exam().id
        with self._lock:
            self._demand_not_closing(exam_id)
            self._closing.add(exam_id)
        try:
            if self._take and self._take.exam_id == exam_id:
                with contextlib.suppress(NothingRecorded):  # then there is nothing to lose
                    self._stop(self._take)
            with self._news:
                if not self._news.wait_for(lambda: exam_id not in [one for one, _ in self._keeping], KEEPING):
                    raise StateError("pictures of this exam are still being kept", "Nothing was changed; try again soon.")
                ended = end(exam_id)
                self._exam_id = None
                return ended
        finally:
            with self._lock:
                self._closing.discard(exam_id)

    def set_region(self, value: str) -> None:
        """Which part of the body further pictures of the open exam show: one of `regions.offered`, else SettingsError."""
        exam = self._demand_exam()
        chosen = self.regions.choose(exam, value)
        self._place.tell(Event("exam.region", {"exam": exam.id, "region": chosen.meaning}))

    # pictures

    def still(self, how: How | None = None) -> Picture:
        """Keep what is on the screen now; the frame is taken before anything else."""
        exam_id, frame = self._exam_id, self._tap.latest()  # in this order: never a later patient's picture
        frame = self._demand_fresh(frame)
        return self.keep(exam_id or self._demand_exam().id, still_of(frame), how or self.how())

    def stills(self, how: How, exam_id: str | None, count: int, every: float) -> list[Picture]:
        """Several stills, `every` seconds apart, never the same frame twice; SourceLost when the source has no more."""
        exam_id = exam_id or self._demand_exam().id
        if not self._tap.running:
            self._tap.start()
        pictures: list[Picture] = []
        last = self._tap.latest()
        after = -1 if last is None or self._is_fresh(last) else last.number  # never what was seen long ago
        for number in range(count):
            if number:
                time.sleep(every)
            frame = self._tap.wait_frame(after, FIRST_FRAME)
            if frame is None:
                raise SourceLost(f"there is no further picture: {self._tap.state}")
            after = frame.number
            pictures.append(self.keep(exam_id, still_of(frame), how))
        return pictures

    def keep(self, exam_id: str, subject: Still | Clip, how: How, uid: str = "") -> Picture:
        """Keep a picture, and say meanwhile that it is being kept."""
        with self._lock:
            self._demand_not_closing(exam_id)
            one = self._on_its_way(exam_id, "keeping a clip" if isinstance(subject, Clip) else "keeping a still")
        try:
            return self._acquisition.keep(exam_id, subject, self.regions.applied(exam_id, how), uid)
        finally:
            self._arrived(one)

    def _on_its_way(self, exam_id: str, words: str) -> tuple[str, str]:
        with self._lock:
            self._keeping.append((exam_id, words))
            return exam_id, words

    def _arrived(self, one: tuple[str, str]) -> None:
        with self._news:
            self._keeping.remove(one)
            self._news.notify_all()

    def record(self) -> Take:
        """Start to record; raises StateError when a recording runs, SourceLost without a picture, DiskFull."""
        return self._record(self.how(), self._demand_exam().id, None, self._ended)

    def clip(self, how: How, exam_id: str | None, seconds: float) -> Picture:
        """Record this many seconds, counted in frames; when this returns, the clip is kept.

        Where the source ends, or falls silent, sooner, the clip is what there was.
        """
        take = self._record(how, exam_id or self._demand_exam().id, seconds, lambda take: None)
        take.wait(FIRST_FRAME)
        try:
            return self._stop(take)
        except NotRunning:
            return take.kept.result()  # somebody else has stopped it

    def _record(self, how: How, exam_id: str, seconds: float | None, ended: Callable[[Take], None]) -> Take:
        with self._lock:
            if self._take:
                raise StateError("a clip is being recorded already")
            self._demand_not_closing(exam_id)
            self._place.shelf.demand_space(self._place.settings.station.reserve_mb)
            orders, said = self._place.ledger.exam(exam_id).orders, self.regions.applied(exam_id, how)
            demand_legal(self._place.settings.station, orders, "clip", said)
            if self._tap.running:
                self._demand_fresh(self._tap.latest())
            folder = self._place.shelf.recordings / exam_id / f"{time.time_ns()}"
            try:
                take = Take(exam_id, folder, Note(how, self._place.uids.new()), seconds)
            except OSError as error:
                raise SpoolError(f"the recording cannot begin: {error.strerror}") from error
            look = partial(self._why_to_end, take)
            words = (how.syntax, self._source.clip_syntax, self._place.settings.station.clip_syntax)
            take.start(self._tap.subscribe(), lambda frame: codec_for(words, frame.format), look, ended)
            self._take = take
            if not self._tap.running:
                self._tap.start()  # after the reader is there: not one frame of a file is missed
        self._place.tell(Event("recording.begun", {"exam": exam_id}))
        return take

    def _why_to_end(self, take: Take) -> str:
        """There must be room for the reserve and for the object that the recording becomes, and the exam must be open."""
        try:
            needed = self._place.settings.station.reserve_mb + take.size() // 1_000_000
            if self._place.shelf.free_mb() <= needed:
                return "the disk was nearly full: the clip ends there"
            if self._place.ledger.exam(take.exam_id).state != ExamState.OPEN:
                return "the exam was ended elsewhere: the clip ends there"
        except (OSError, SpoolError) as error:
            log.warning("the recording goes on, though %s", error)
        return ""

    def stop(self) -> Picture:
        """End the recording of the open exam; when this returns, the clip is kept."""
        take = self._take
        if take is None or take.exam_id != self._exam_id:
            raise NotRunning("no clip is being recorded")
        return self._stop(take)

    def _stop(self, take: Take) -> Picture:
        """End this very recording; NotRunning where somebody else has ended it, NothingRecorded without a frame."""
        with self._lock:
            if self._take is not take:
                raise NotRunning("no clip is being recorded")
            self._take = None
            one = self._on_its_way(take.exam_id, "keeping a clip")
        try:
            picture = self._kept(take)
            take.kept.set_result(picture)
            return picture
        except BaseException as error:
            take.kept.set_exception(error)
            raise
        finally:
            take.let_go()
            self._arrived(one)

    def _kept(self, take: Take) -> Picture:
        try:
            clip = take.finish()
        except (StateError, CaptureError) as error:
            self._clear(take)
            raise NothingRecorded(str(error), error.advice) from error
        try:
            how = self.regions.applied(take.exam_id, take.note.how)  # also what was chosen while it ran
            picture = self._acquisition.keep(take.exam_id, clip, how, take.note.uid)
        except SpoolError as error:
            error.advice = f"The recording is safe, and is kept when the station is started again. {error.advice}"
            raise
        except (ApplianceError, CaptureError) as error:
            aside = self._place.shelf.set_aside(take.folder)
            self._clear(take)
            error.advice = f"The recording is safe in {aside}. {error.advice}"
            raise
        self._clear(take)
        return picture

    def delete(self, picture_id: str) -> None:
        """Take a picture out of the open exam."""
        self._acquisition.delete(picture_id)

    def close(self) -> None:
        """The station stops: a running recording is kept, if not now, then at the next start. Raises nothing."""
        if self._take:
            self._keep_ended(self._take)

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
        """After a crash: close what was being recorded and keep it in its exam. Returns what was rescued; raises nothing.

        What was kept before the crash is not kept twice; what cannot be kept goes to the attic, or waits for more space.
        """
        rescued = []
        for left in left_behind(self._place.shelf.recordings):
            try:
                rescued += self._rescue(left)
                self._clear(left)
            except SpoolError as error:
                log.warning("%s stays where it is: %s", left.folder, error)
            except Exception as error:
                log.exception("%s cannot be kept", left.folder)
                with contextlib.suppress(SpoolError):
                    where = str(self._place.shelf.set_aside(left.folder))
                    self._clear(left)
                    self._place.tell(Event("recording.aside", {"exam": left.exam_id, "where": where, "words": str(error)}))
        return rescued

    def _rescue(self, left: Left) -> list[Picture]:
        note = left.note or Note(self.how(), "")
        if note.uid and self._place.ledger.has_object(note.uid):
            return []
        clips = [clip for clip in map(salvage, left.files) if clip]
        return [self.keep(left.exam_id, clip, note.how, "" if at else note.uid) for at, clip in enumerate(clips)]

    def _ended(self, take: Take) -> None:
        """The source ended by itself, or the disk is nearly full: the clip is kept without anybody asking."""
        threading.Thread(target=self._keep_ended, args=(take,), name="take-ended", daemon=True).start()

    def _keep_ended(self, take: Take) -> None:
        try:
            picture = self._stop(take)
            words = "; ".join(("the recording ended by itself; the clip is kept", *picture.flaws))
            self._place.tell(Event("recording.ended", {"words": words}))
        except NotRunning:
            return  # the technologist was quicker
        except (ApplianceError, CaptureError) as error:
            words = f"{str(error).rstrip('.')}. {error.advice}"
            self._place.tell(Event("recording.aside", {"words": words}))
        except Exception:
            log.exception("a recording could not be kept")
            words = "a fault in dicap; the recording is kept at the next start"
            self._place.tell(Event("recording.aside", {"words": words}))

    def _clear(self, take: Take | Left) -> None:
        """Nothing of it stays among the recordings."""
        shutil.rmtree(take.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other recordings of the exam may lie there
            take.folder.parent.rmdir()

    def _is_fresh(self, frame: Frame) -> bool:
        return abs(time.time() - self._tap.seen) <= max(FRESH, 3 / float(frame.format.rate))

    def _demand_fresh(self, frame: Frame | None) -> Frame:
        if frame is None or not self._is_fresh(frame):
            raise SourceLost(f"there is no live picture: {self._tap.state}")
        return frame

    def _demand_not_closing(self, exam_id: str) -> None:
        if exam_id in self._closing:
            raise StateError("the exam is just being ended")

    def _left_open(self, orders: Sequence[Order]) -> Exam | None:
        """The exam for just these orders of the same patient that some other process began and did not end."""
        wanted = {(order.key, order.study_uid, order.patient.id) for order in orders}
        for exam in self._place.ledger.exams(ExamState.OPEN):
            if wanted == {(order.key, order.study_uid, order.patient.id) for order in exam.orders}:
                return exam
        return None

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
