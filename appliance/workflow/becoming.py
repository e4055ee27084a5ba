"""What a picture becomes: its kind of object, its syntax, its region; decided before a capture, and never lost after."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.clinic.exam import Exam
from appliance.clinic.order import Code, Order
from appliance.dicom import objects
from appliance.dicom.anatomy import find_region
from appliance.dicom.syntaxes import by_name
from appliance.errors import IllegalPair, SettingsError
from appliance.events import Event, Teller
from appliance.settings import SourceSetting, Station
from appliance.workflow.ingest import Document
from capture.frame import Clip, Pixels, Still
from capture.picture import decode_stream, read_frames

Subject = Still | Clip | Document
What = Literal["still", "clip"]
WHAT: tuple[What, ...] = ("still", "clip")


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


def region_set(source: SourceSetting) -> Code | None:
    """The anatomic region that the settings say of a source."""
    region = source.anatomic_region
    return Code(region.value, region.scheme, region.meaning) if region else None


def demand_legal(station: Station, orders: Sequence[Order], what: What, how: How) -> None:
    """Say before a capture what would fail after it: IllegalPair, or SettingsError where a region is asked for."""
    word = how.object if how.object != "auto" else station.object
    syntax = syntax_of(station, how, what)
    if syntax != "auto" or word == "document":
        syntax = "explicit" if syntax == "auto" else syntax
        objects.demand_pair("sc" if word == "auto" else word, by_name(syntax), what)
    if what == "clip" and word.startswith("vl-") and (how.region or find_region(orders, how.usual_region)) is None:
        raise SettingsError(
            f"a {word} clip must say which part of the body it shows, and neither order nor settings do",
            "Choose it on the screen, give --region, or set sources.<name>.anatomic_region. Nothing was captured.",
        )


def kind_of(station: Station, exam: Exam, subject: Subject, how: How) -> str:
    """The kind asked for; left to us, a clip that lacks the region its IOD demands becomes Secondary Capture."""
    if isinstance(subject, Document):
        return "document"
    word = how.object if how.object != "auto" else station.object
    if word != "auto":
        return word
    kind = objects.kind_for(exam.modality, subject)
    lacks = isinstance(subject, Clip) and kind.startswith("vl-") and region_of(exam, how) is None
    return "sc" if lacks else kind


def region_of(exam: Exam, how: How) -> Code | None:
    """Chosen by a person, named by the orders, or set for the source."""
    return how.region or find_region(exam.orders, how.usual_region)


def instead(station: Station, exam: Exam, subject: Still | Clip, how: How) -> list[str]:
    """Words for a clip that became Secondary Capture only because nobody said what it shows."""
    asked = how.object if how.object != "auto" else station.object
    usual = objects.kind_for(exam.modality, subject)
    if asked != "auto" or kind_of(station, exam, subject, how) == usual:
        return []
    return [f"kept as Secondary Capture, not as {usual} video: neither order nor settings name the part of the body"]


def syntax_of(station: Station, how: How, what: What) -> str:
    """The first word that is not auto: asked for, the source's, the station's."""
    words = (how.syntax, how.usual_clip, station.clip_syntax) if what == "clip" else (
        how.syntax, how.usual_still, station.still_syntax
    )  # fmt: skip
    return next((word for word in words if word != "auto"), "auto")


@dataclass(frozen=True)
class Writer:
    """Writes one subject as the object it becomes; a setting that does not fit costs no picture, and is told."""

    station: Station
    subject: Subject
    how: How
    tell: Teller

    def __call__(self, out: Path, making: objects.Making) -> objects.Written:
        """Write the object at `out`; raises IllegalPair where the syntax was asked for and is illegal."""
        subject = self.subject
        if isinstance(subject, Document):
            return objects.write_document(out, making, subject.path, subject.title)
        word = syntax_of(self.station, self.how, "clip" if isinstance(subject, Clip) else "still")
        try:
            return _write_as(out, making, subject, word, self.how)
        except IllegalPair as error:
            if self.how.syntax != "auto" or word == "auto":
                raise
            # only the settings say so: a picture that was taken is never lost for that
            self.tell(Event("object.otherwise", {"words": f"{error} Written as auto instead."}))
            return _write_as(out, making, subject, "auto", self.how)


def _write_as(out: Path, making: objects.Making, subject: Still | Clip, word: str, how: How) -> objects.Written:
    syntax = objects.auto_syntax(subject, word)
    if isinstance(subject, Clip):
        return objects.write_clip(out, making, subject, syntax, how.quality, how.fragmentable)
    return objects.write_still(out, making, subject, syntax, how.quality)


def conversion_of(subject: Subject, how: How) -> str:
    """A still whose source knows millimetres was scanned."""
    return "SI" if isinstance(subject, Still) and subject.millimetres else how.conversion


def first_picture(subject: Subject) -> Pixels | None:
    """What the thumbnail shows; None for a document."""
    if isinstance(subject, Document):
        return None
    if isinstance(subject, Clip):
        return next(read_frames(subject))
    return subject.pixels if subject.pixels is not None or subject.stream is None else decode_stream(subject.stream)
