"""Where in the body: a coded region found in what was ordered or set. Never guessed."""

from collections.abc import Iterable
from functools import lru_cache

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as Term

from appliance.clinic.order import Code, Order
from appliance.dicom import tables

# CID 4 Anatomic Region, 4029 Dermatology, 4030 CT, MR and PET, 4031 Common, 4040 Endoscopy
_GROUPS = ("cid4", "cid4029", "cid4030", "cid4031", "cid4040")


@lru_cache(maxsize=1)
def _regions() -> frozenset[Term]:
    """Every term of the groups above, once."""
    return frozenset(term for group in _GROUPS for term in getattr(codes, group).concepts.values())


@lru_cache(maxsize=1)
def _unpaired() -> frozenset[Term]:
    """Those of them that are no paired structure."""
    return frozenset(Term(value, "SCT", meaning) for value, meaning in tables.unpaired_regions().items())


def is_region(code: Code) -> bool:
    """Whether PS3.16 lists the term as an anatomic region; retired SNOMED-RT codes count as their SCT twins."""
    return _is_among(code, _regions())


def is_unpaired(code: Code) -> bool:
    """Whether the region is no paired structure, so that laterality is not asked for; false where that is not sure."""
    return _is_among(code, _unpaired())


def _is_among(code: Code, terms: frozenset[Term]) -> bool:
    """Membership by meaning: the value in its scheme, or its twin in the other SNOMED scheme."""
    term = Term(code.value, code.scheme, code.meaning)
    # terms that are equal across SNOMED's two schemes do not hash alike
    return term in terms or (code.scheme == "SRT" and any(term == one for one in terms))


def find_region(orders: Iterable[Order], setting: Code | None = None) -> Code | None:
    """The region that orders are about: named among their protocol or procedure codes, else the source's setting, else none.

    The first that PS3.16 lists counts; a code for a procedure is not a region, even where everybody knows which.
    """
    for order in orders:
        for code in (*order.protocol_codes, *order.procedure_codes):
            if is_region(code):
                return code
    return setting
