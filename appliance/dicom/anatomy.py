"""Where in the body: a coded region found in what was ordered or set. Never guessed."""

from functools import lru_cache

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as Term

from appliance.clinic.exam import Exam
from appliance.clinic.order import Code

# CID 4 Anatomic Region, 4029 Dermatology, 4030 CT, MR and PET, 4031 Common, 4040 Endoscopy
_GROUPS = ("cid4", "cid4029", "cid4030", "cid4031", "cid4040")


@lru_cache(maxsize=1)
def _regions() -> frozenset[Term]:
    return frozenset(term for group in _GROUPS for term in getattr(codes, group).concepts.values())


def is_region(code: Code) -> bool:
    """Whether PS3.16 lists the term as an anatomic region; retired SNOMED-RT codes count as their SCT twins."""
    term = Term(code.value, code.scheme, code.meaning)
    # terms that are equal across SNOMED's two schemes do not hash alike
    return term in _regions() or (code.scheme == "SRT" and any(term == one for one in _regions()))


def find_region(exam: Exam, setting: Code | None = None) -> Code | None:
    """The region of an exam: named among its protocol or procedure codes, else the source's setting, else none."""
    for order in exam.orders:
        for code in (*order.protocol_codes, *order.procedure_codes):
            if is_region(code):
                return code
    return setting
