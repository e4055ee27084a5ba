"""Run an exam: begin, keep what was seen, finish or abandon."""

import errno
import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from appliance import __version__
from appliance.clinic.exam import REASONS, WRONG_WORKLIST_ENTRY, Exam, ExamState, Picture, Series, find_reason
from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient
from appliance.dicom import check, objects
from appliance.dicom.anatomy import find_region
from appliance.dicom.syntaxes import by_name
from appliance.dicom.uids import Fresh, Uids
from appliance.errors import CheckError, DiskFull, IllegalPair, SettingsError, SpoolError, StateError
from appliance.events import Event, Teller, nobody
from appliance.settings import Settings, SourceSetting
from appliance.spool.ledger import Ending, Ledger
from appliance.spool.shelf import Kept, Shelf
from appliance.workflow.ingest import Document
from capture.encode import jpeg
from capture.frame import Clip, Pixels, Still
from capture.picture import decode_stream, read_frames

log = logging.getLogger("dicap.acquire")
Subject = Still | Clip | Document
What = Literal["still", "clip"]
WHAT: tuple[What, ...] = ("still", "clip")
THUMBNAIL_WIDTH = 640  # pixels: the screen shows it large, to judge it by


def here_and_now() -> datetime:
    """The time with this machine's zone."""
    return datetime.now().astimezone()


@dataclass(frozen=True)
class Place:
    """Where exams are run: the settings, the spool, and whom to tell.

    `uids` makes UIDs, `now` tells the time (both repeatable in a simulation), `ring` wakes the courier.
    """

    settings: Settings
    shelf: Shelf
    ledger: Ledger
    uids: Uids = field(default_factory=Fresh)
    tell: Teller = nobody
    ring: Callable[[], None] = lambda: None
    now: Callable[[], datetime] = here_and_now


@dataclass(frozen=True)
class How:
    """What a picture becomes: words of COMMANDS.md for object and syntax, and what is written about it.

    `conversion` is how the picture came in (PS3.3 C.8.6.1). `region` was chosen by a person,
    `usual_region` is the source's setting for orders that name none, `usual_still` and `usual_clip` its syntaxes.
    """

    object: str = "auto"
    syntax: str = "auto"
    quality: int = 90
    region: Code | None = None
    usual_region: Code | None = None
    usual_still: str = "auto"
    usual_clip: str = "auto"
    laterality: str = ""
    origin: str = "captured"
    conversion: str = "DV"
    fragmentable: bool = False


@dataclass(frozen=True)
class Made:
    """An object about to be written: its kind and series' modality, who writes it, and how it looks when small.

    `what` is still, clip, document or report; `uid` its SOP Instance UID, empty for a new one; the rest as in Picture.
    """

    kind: str
    modality: str
    write: Callable[[Path, objects.Making], objects.Written]
    look: Callable[[], Pixels | None]
    captured: datetime
    what: str = "still"
    laterality: str = ""
    origin: str = "captured"
    seconds: float = 0.0
    flaws: tuple[str, ...] = ()
    uid: str = ""


def region_set(source: SourceSetting) -> Code | None:
    """The anatomic region that the settings say of a source."""
    region = source.anatomic_region
    return Code(region.value, region.scheme, region.meaning) if region else None


class Acquisition:
    """The verbs of an exam, safe to call from several threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        station = place.settings.station
        self._device = objects.Device(
            manufacturer=station.manufacturer,
            model=station.model,
            serial=station.serial,
            institution=station.institution,
            department=station.department,
            station_name=station.name,
            ae_title=station.ae_title,
            versions=f"dicap {__version__}",
        )

    def begin(self, orders: Sequence[Order], operator: str = "") -> Exam:
        """Open an exam for one order or several of one patient; every RIS is owed the news.

        Raises DiskFull below the reserve, StateError where the orders are not one patient's or one is open already.
        """
        place = self._place
        place.shelf.demand_space(place.settings.station.reserve_mb)
        people = {(order.patient.id, order.patient.issuer) for order in orders}
        births = {order.patient.birth_date for order in orders if order.patient.birth_date}
        if len(people) != 1 or len(births) > 1:  # two hospitals may have given the same ID to two people
            raise StateError("an exam is for the orders of one patient")
        step_uid = place.uids.new()
        exam_id = "E" + hashlib.sha256(step_uid.encode()).hexdigest()[:15].upper()
        station = place.settings.station
        exam = Exam(
            id=exam_id,
            orders=tuple(orders),
            study_uid=orders[0].study_uid,
            step_uid=step_uid,
            step_id=exam_id,
            modality=orders[0].modality or station.modality,
            started=place.now(),
            station_ae=station.ae_title,
            station_name=station.name,
            operator=operator or station.operator,
            location=orders[0].location,
        )
        place.ledger.begin(exam, place.settings.with_role("mpps"))
        self._news("exam.begun", exam=exam.id)
        return exam

    def unscheduled(self, patient: Patient, description: str = "") -> Order:
        """An order for a patient who was not ordered: a new study (IHE RAD TF-2, unscheduled case).

        Raises SettingsError naming everything about the patient that could not be written.
        """
        if wrong := patient.mistakes():
            raise SettingsError("; ".join(wrong), "Correct it and try again; no exam was begun.")
        return Order(
            patient=patient,
            study_uid=self._place.uids.new(),
            procedure_description=description,
            modality=self._place.settings.station.modality,
            unscheduled=True,
        )

    def keep(self, exam_id: str, subject: Subject, how: How, uid: str = "") -> Picture:
        """Make the object, check it, put it on the shelf, write it down: when this returns, it is safe.

        `uid` is its SOP Instance UID where that was decided before. Raises IllegalPair, CheckError (the object then lies
        in the attic), SpoolError, StateError.
        """
        exam = self._place.ledger.exam(exam_id)
        region = how.region or find_region(exam.orders, how.usual_region)
        kind = self._kind(exam, subject, how, region)
        still = isinstance(subject, Still)
        return self.keep_made(
            exam_id,
            Made(
                kind=kind,
                modality="DOC" if kind == "document" else objects.modality_for(kind, exam.modality),
                write=lambda out, making: self._write(
                    out, replace(making, region=region, conversion=_conversion(subject, how)), subject, how
                ),
                look=lambda: _first_picture(subject),
                captured=self._place.now() if isinstance(subject, Document) else subject.captured,
                what="still" if still else "clip" if isinstance(subject, Clip) else "document",
                laterality=how.laterality,
                origin=how.origin,
                seconds=subject.seconds if isinstance(subject, Clip) else 0.0,
                flaws=() if isinstance(subject, Document) else (*subject.flaws, *self._instead(exam, subject, how, kind)),
                uid=uid,
            ),
        )

    def keep_made(self, exam_id: str, made: Made) -> Picture:
        """The same for an object that somebody else knows how to write."""
        place = self._place
        exam = place.ledger.exam(exam_id)
        if exam.state != ExamState.OPEN:
            raise StateError(f"the exam {exam_id} has ended")
        uid = made.uid or place.uids.new()
        picture_id = hashlib.sha256(uid.encode()).hexdigest()[:16]
        series = self._series(exam, made.modality)
        number = place.ledger.next_number(series.uid)
        making = objects.Making(
            exam=exam,
            series=series,
            number=number,
            kind=made.kind,
            sop_instance_uid=uid,
            device=self._device,
            laterality=made.laterality,
            created=place.now(),
        )
        written, kept = self._put(making, made, picture_id)
        picture = Picture(
            id=picture_id,
            exam_id=exam.id,
            kind=made.what,
            series=series,
            number=number,
            sop_class_uid=written.sop_class_uid,
            sop_instance_uid=uid,
            syntax_uid=written.syntax_uid,
            file=kept.file,
            size=kept.size,
            sha256=kept.sha256,
            rows=written.rows,
            columns=written.columns,
            frames=written.frames,
            captured=made.captured,
            seconds=made.seconds,
            origin=made.origin,
            flaws=made.flaws,
        )
        return self._write_down(picture)

    def _put(self, making: objects.Making, made: Made, picture_id: str) -> tuple[objects.Written, Kept]:
        """Write, check and shelve; raises SpoolError when the disk does not take it, and then nothing of it is left."""
        shelf = self._place.shelf
        work = shelf.temporary()
        try:
            work.mkdir()
            out = work / f"{picture_id}.dcm"
            written = made.write(out, making)
            self._demand_legal(out, made.origin)
            kept = shelf.keep(out, making.exam.id, out.name)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = f"the {made.what} could not be written: {error.strerror or error}"
            raise DiskFull(what) if full else SpoolError(what) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self._draw_small(shelf.thumbnail(picture_id), made)
        return written, kept

    def _draw_small(self, path: Path, made: Made) -> None:
        """The picture for the screen; without it, the object is safe all the same."""
        try:
            first = made.look()
            if first is not None:
                path.write_bytes(jpeg(first, 80, THUMBNAIL_WIDTH))
        except Exception as error:
            log.exception("no thumbnail %s", path)
            path.unlink(missing_ok=True)
            self._news("thumbnail.missing", words=str(error))

    def _write_down(self, picture: Picture) -> Picture:
        at_once = self._place.settings.station.send == "at once"
        try:
            self._place.ledger.keep(picture, self._place.settings.with_role("store") if at_once else ())
        except StateError:
            self._place.shelf.set_aside(self._place.shelf.path(picture.file))
            raise
        self._news("object.kept", exam=picture.exam_id, picture=picture.id)
        return picture

    def delete(self, picture_id: str) -> None:
        """Take a picture out of its open exam, on the technologist's word; raises StateError when it has ended."""
        picture = self._place.ledger.delete(picture_id)
        self._place.shelf.drop(picture.file)
        self._news("object.deleted", exam=picture.exam_id, picture=picture_id)

    def finish(self, exam_id: str) -> Exam:
        """End an exam well: its objects are owed to the archives, the end to the RIS."""
        return self._end(exam_id, Ending(ExamState.FINISHED, self._place.now()))

    def abandon(self, exam_id: str, reason: str = "110513") -> Exam:
        """End an exam early. The pictures are sent all the same, unless they were taken under the wrong entry.

        `reason` is a code value of CID 9300 or words of its meaning; SettingsError names them where it is neither.
        """
        code = find_reason(reason)
        if code is None:
            known = "; ".join(f"{one.value} {one.meaning}" for one in REASONS.values())
            raise SettingsError(f"{reason!r} is not one reason to abandon an exam", f"Known: {known}. It is still open.")
        withheld = "taken under the wrong worklist entry" if code == WRONG_WORKLIST_ENTRY else ""
        return self._end(exam_id, Ending(ExamState.ABANDONED, self._place.now(), code, withheld))

    def _end(self, exam_id: str, ending: Ending) -> Exam:
        settings = self._place.settings
        exam = self._place.ledger.end(exam_id, ending, settings.with_role("store"), settings.with_role("mpps"))
        self._news("exam.ended", exam=exam.id, state=str(exam.state))
        return exam

    def _news(self, kind: str, **facts: str) -> None:
        self._place.tell(Event(kind, dict(facts)))
        self._place.ring()

    def demand_legal(self, orders: Sequence[Order], what: What, how: How) -> None:
        """Say before a capture what would fail after it: IllegalPair, or SettingsError where a region is asked for."""
        station = self._place.settings.station
        word = how.object if how.object != "auto" else station.object
        syntax = self._syntax(how, what)
        if syntax != "auto" or word == "document":
            syntax = "explicit" if syntax == "auto" else syntax
            objects.demand_pair("sc" if word == "auto" else word, by_name(syntax), what)
        if what == "clip" and word.startswith("vl-") and (how.region or find_region(orders, how.usual_region)) is None:
            raise SettingsError(
                f"a {word} clip must say which part of the body it shows, and neither order nor settings do",
                "Give --region, or set sources.<name>.anatomic_region. Nothing was captured.",
            )

    def _kind(self, exam: Exam, subject: Subject, how: How, region: Code | None) -> str:
        """The kind asked for; left to us, a clip that lacks the region its IOD demands becomes Secondary Capture."""
        if isinstance(subject, Document):
            return "document"
        word = how.object if how.object != "auto" else self._place.settings.station.object
        if word != "auto":
            return word
        kind = objects.kind_for(exam.modality, subject)
        return "sc" if isinstance(subject, Clip) and kind.startswith("vl-") and region is None else kind

    def _instead(self, exam: Exam, subject: Still | Clip, how: How, kind: str) -> list[str]:
        """Words for a clip that became Secondary Capture only because nobody said what it shows."""
        asked = how.object if how.object != "auto" else self._place.settings.station.object
        usual = objects.kind_for(exam.modality, subject)
        if asked != "auto" or kind == usual:
            return []
        return [f"kept as Secondary Capture, not as {usual} video: neither order nor settings name the part of the body"]

    def _series(self, exam: Exam, modality: str) -> Series:
        order = exam.orders[0]
        words = order.step_description or order.procedure_description
        number = 2 if modality == "DOC" else 1
        return self._place.ledger.series(exam.id, Series(self._place.uids.new(), number, modality, words[:64], words[:64]))

    def _write(self, out: Path, making: objects.Making, subject: Subject, how: How) -> objects.Written:
        if isinstance(subject, Document):
            return objects.write_document(out, making, subject.path, subject.title)
        what: What = "clip" if isinstance(subject, Clip) else "still"
        word = self._syntax(how, what)
        try:
            return _write_as(out, making, subject, word, how)
        except IllegalPair as error:
            if how.syntax != "auto" or word == "auto":
                raise
            # only the settings say so: a picture that was taken is never lost for that
            self._place.tell(Event("object.otherwise", {"words": f"{error} Written as auto instead."}))
            return _write_as(out, making, subject, "auto", how)

    def _syntax(self, how: How, what: What) -> str:
        """The first word that is not auto: asked for, the source's, the station's."""
        station = self._place.settings.station
        words = (how.syntax, how.usual_clip, station.clip_syntax) if what == "clip" else (
            how.syntax, how.usual_still, station.still_syntax
        )  # fmt: skip
        return next((word for word in words if word != "auto"), "auto")

    def _demand_legal(self, out: Path, origin: str) -> None:
        if origin in ("received", "faulty"):
            return  # originals of others, and objects wrong on purpose, are exempt and marked so
        try:
            check.demand(out)
        except CheckError as error:
            aside = self._place.shelf.set_aside(out)
            raise CheckError(str(error), f"The picture is safe in {aside}. {CheckError.advice}") from error


def _write_as(out: Path, making: objects.Making, subject: Still | Clip, word: str, how: How) -> objects.Written:
    syntax = objects.auto_syntax(subject, word)
    if isinstance(subject, Clip):
        return objects.write_clip(out, making, subject, syntax, how.quality, how.fragmentable)
    return objects.write_still(out, making, subject, syntax, how.quality)


def _conversion(subject: Subject, how: How) -> str:
    """A still whose source knows millimetres was scanned."""
    return "SI" if isinstance(subject, Still) and subject.millimetres else how.conversion


def _first_picture(subject: Subject) -> Pixels | None:
    if isinstance(subject, Document):
        return None
    if isinstance(subject, Clip):
        return next(read_frames(subject))
    return subject.pixels if subject.pixels is not None or subject.stream is None else decode_stream(subject.stream)
