"""Run an exam: begin, keep what was seen, finish or abandon."""

import errno
import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from appliance import __version__
from appliance.clinic.exam import REASONS, WRONG_WORKLIST_ENTRY, Exam, ExamState, Picture, Series, find_reason
from appliance.clinic.order import Code, Order
from appliance.clinic.patient import Patient
from appliance.dicom import check, objects
from appliance.errors import CheckError, DiskFull, SettingsError, SpoolError, StateError
from appliance.events import Event
from appliance.spool.ledger import Ending
from appliance.spool.shelf import Kept
from appliance.workflow.becoming import How, Subject, Writer, conversion_of, first_picture, instead, kind_of, region_of
from appliance.workflow.ingest import Document
from appliance.workflow.place import Place
from capture.encode import jpeg
from capture.frame import Clip, Pixels, Still

log = logging.getLogger("dicap.acquire")
THUMBNAIL_WIDTH = 640  # pixels: the screen shows it large, to judge it by


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
    region: Code | None = None
    conversion: str = "SYN"
    laterality: str = ""
    origin: str = "captured"
    seconds: float = 0.0
    flaws: tuple[str, ...] = ()
    uid: str = ""


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
        station = self._place.settings.station
        kind = kind_of(station, exam, subject, how)
        return self.keep_made(
            exam_id,
            Made(
                kind=kind,
                modality="DOC" if kind == "document" else objects.modality_for(kind, exam.modality),
                write=Writer(station, subject, how, self._place.tell),
                look=partial(first_picture, subject),
                captured=self._place.now() if isinstance(subject, Document) else subject.captured,
                what="still" if isinstance(subject, Still) else "clip" if isinstance(subject, Clip) else "document",
                region=region_of(exam, how),
                conversion=conversion_of(subject, how),
                laterality=how.laterality,
                origin=how.origin,
                seconds=subject.seconds if isinstance(subject, Clip) else 0.0,
                flaws=() if isinstance(subject, Document) else (*subject.flaws, *instead(station, exam, subject, how)),
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
            region=made.region,
            conversion=made.conversion,
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
            self._place.shelf.drop(picture.file)  # its thumbnail
            raise
        self._news("object.kept", exam=picture.exam_id, picture=picture.id)
        return picture

    def delete(self, picture_id: str) -> None:
        """Take a picture out of its open exam, on the technologist's word; raises StateError when it has ended."""
        picture = self._place.ledger.delete(picture_id)
        try:
            self._place.shelf.drop(picture.file)
        except SpoolError as error:  # it is nobody's any more: the next start moves it to the attic
            log.warning("%s", error)
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

    def _series(self, exam: Exam, modality: str) -> Series:
        order = exam.orders[0]
        words = order.step_description or order.procedure_description
        number = 2 if modality == "DOC" else 1
        return self._place.ledger.series(exam.id, Series(self._place.uids.new(), number, modality, words[:64], words[:64]))

    def _demand_legal(self, out: Path, origin: str) -> None:
        if origin in ("received", "faulty"):
            return  # originals of others, and objects wrong on purpose, are exempt and marked so
        try:
            check.demand(out)
        except CheckError as error:
            aside = self._place.shelf.set_aside(out)
            raise CheckError(str(error), f"The picture is safe in {aside}. {CheckError.advice}") from error
