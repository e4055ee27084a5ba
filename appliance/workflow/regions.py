"""Which part of the body the open exam shows: chosen on the screen, named by the orders, or set for the source."""

from dataclasses import dataclass, replace
from typing import Literal

from appliance.clinic.exam import Exam
from appliance.clinic.order import Code
from appliance.dicom import anatomy, objects
from appliance.errors import SettingsError
from appliance.settings import SourceSetting
from appliance.workflow.becoming import How, region_set
from appliance.workflow.place import Place

SIGN = "station-region"


@dataclass(frozen=True)
class Region:
    """A region and who said so."""

    code: Code
    said_by: Literal["chosen", "order", "setting"]


class Regions:
    """The regions of one station's exams; what was chosen is in the ledger, and outlives a crash of the station."""

    def __init__(self, place: Place, source: SourceSetting) -> None:
        self._place = place
        self._source = source

    def region(self, exam: Exam) -> Region | None:
        """What is known of this exam: a person's word before the orders', the orders' before the settings'."""
        if chosen := self._chosen(exam.id):
            return Region(chosen, "chosen")
        return self._told(exam)

    def offered(self, exam: Exam) -> list[Code]:
        """What a person may choose from: the common regions of the modality, before them one that order or setting names."""
        told = self._told(exam)
        common = anatomy.choices(exam.modality)
        return common if told is None or told.code.value in {one.value for one in common} else [told.code, *common]

    def choose(self, exam: Exam, value: str) -> Code:
        """Remember the region of that code value for all further pictures of the exam; SettingsError if not offered."""
        code = next((one for one in self.offered(exam) if one.value == value), None)
        if code is None:
            raise SettingsError(f"{value!r} is not a region to choose here", "Choose one of the list; nothing was changed.")
        facts = {"exam": exam.id, "value": code.value, "scheme": code.scheme, "meaning": code.meaning}
        self._place.ledger.sign(SIGN, facts)
        return code

    def is_needed(self, exam: Exam) -> bool:
        """Whether clips would be Video VL (PS3.3 A.32.5 to A.32.7, which demand a region), and nobody has said it yet."""
        words = (self._source.object, self._place.settings.station.object, objects.kind_for(exam.modality))
        kind = next(word for word in words if word != "auto")
        return kind.startswith("vl-") and self.region(exam) is None

    def applied(self, exam_id: str, how: How) -> How:
        """`how` with the region that a person chose for this exam, unless it names one itself."""
        return how if how.region else replace(how, region=self._chosen(exam_id))

    def _chosen(self, exam_id: str) -> Code | None:
        sign = self._place.ledger.signs(SIGN).get(SIGN)
        if sign is None or sign[1]["exam"] != exam_id:
            return None
        return Code(sign[1]["value"], sign[1]["scheme"], sign[1]["meaning"])

    def _told(self, exam: Exam) -> Region | None:
        if ordered := anatomy.find_region(exam.orders):
            return Region(ordered, "order")
        usual = region_set(self._source)
        return Region(usual, "setting") if usual else None
